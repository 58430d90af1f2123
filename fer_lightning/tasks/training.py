"""What all tasks share: a line of curves an epoch, optimizer, scheduler, parts that are trained in their way."""

import inspect
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_optimizer import SAM
from torch import Tensor, nn

from fer_lightning.errors import ConfigError
from fer_lightning.tasks.optimizers import rates
from fer_lightning.tasks.parts import Parts


class Task(pl.LightningModule):
    """Train a network; keep one line of curves per epoch. Nothing here is a published number.

    A task says in `training_line` and `validation_line` what stands in a line, and computes its losses and predictions.

    Args:
        net: the network.
        optimizer: parameters -> optimizer (a partial). One that has an argument `num_iterations` is told the steps.
        scheduler: mapping with `scheduler` (a partial: optimizer -> scheduler, or null), `interval`
            (`epoch` or `step`), optionally `total_steps: true` when it wants to know the number of steps, and
            `monitor`, a key of the history lines, when it follows one.
        parts: what is frozen, learns at another rate, decays or drops out in another way.

    Attributes:
        history: one dict per finished epoch: epoch (1-based), lr (of the epoch's last step, of the parts without a
            factor), train_loss, and what the task adds.
        perturbed: whether the pass that runs now is the second one of SAM, which figures leave out.

    Raises:
        ConfigError: when training begins, for a part that the network does not have.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: dict[str, Any],
        parts: Parts | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.make_optimizer, self.scheduler = optimizer, scheduler
        self.parts = parts or Parts()
        self.history: list[dict[str, float]] = []
        self.perturbed = False
        self._lr = float("nan")

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)

    def answer(self, inputs: Tensor) -> Tensor:
        """The output of the network in 32 bits.

        Raises:
            ConfigError: it is no tensor. A network that was checked in evaluation mode may still add an auxiliary
                output while it is trained, as Inception does.
        """
        found = self.net(inputs)
        if not isinstance(found, Tensor):
            mode = "training" if self.training else "evaluation"
            raise ConfigError(
                f"{type(self.net).__name__} gives a {type(found).__name__} in {mode} mode, "
                "expected one tensor of logits or values, which forward returns alone, without auxiliary outputs"
            )
        return found.float()

    def training_line(self) -> dict[str, float]:
        """train_loss and other figures of the epoch that ends."""
        raise NotImplementedError

    def validation_line(self) -> dict[str, float]:
        """Figures of the validation samples; {} where the fold has none."""
        raise NotImplementedError

    def configure_model(self) -> None:
        """Called by the Trainer before training."""
        self.parts.apply(self.net)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Task":
        super().train(mode)
        self.parts.quiet(self.net)
        return self

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: LightningOptimizer, optimizer_closure: Callable[[], Any]
    ) -> None:
        """Take a step and remember its learning rate: when an epoch ends, schedulers have set that of the next."""
        if isinstance(optimizer.optimizer, SAM):
            optimizer_closure()  # the gradient by which it moves the weights before it looks for the one to follow
            self.perturbed = True
        try:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        finally:
            self.perturbed = False
        self._lr = rates(optimizer.optimizer)[0]

    def on_train_start(self) -> None:
        """Let a plateau take the step that a checkpoint lacks: Lightning takes it afterwards, and not when resuming."""
        for config in self.trainer.lr_scheduler_configs:
            if config.reduce_on_plateau and config.scheduler.last_epoch < len(self.history):
                # In 32 bits, as an unbroken training hears it from Lightning.
                value = torch.tensor(self.history[-1][config.monitor], dtype=torch.get_default_dtype())
                self.lr_scheduler_step(config.scheduler, value)

    def on_train_epoch_end(self) -> None:
        line = {"epoch": self.current_epoch + 1, "lr": self._lr}
        line |= self.training_line() | self.validation_line()
        if not torch.isfinite(torch.tensor(line["train_loss"])):
            raise ConfigError(
                f"the training loss is {line['train_loss']} in epoch {line['epoch']}: training has diverged. "
                f"Lower optimizer.lr (now {line['lr']:g}) or set trainer.gradient_clip_val."
            )
        self.history.append(line)
        # `self.log` costs about as much as a training step of a small network, so it is used only when
        # somebody reads it: a logger, or a scheduler that follows a metric.
        if self.trainer.loggers or self.scheduler.get("monitor"):
            self.log_dict({name: value for name, value in line.items() if name != "epoch"})

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> dict | torch.optim.Optimizer:
        groups = self.parts.groups(self.net)
        options = {}
        if "num_iterations" in inspect.signature(self.make_optimizer).parameters:
            options["num_iterations"] = self._steps()
        optimizer = self.make_optimizer([group for _, group in groups], **options)
        for group, (factor, _) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] *= factor
        if self.scheduler.get("scheduler") is None:
            return optimizer
        options = {"total_steps": self._steps()} if self.scheduler.get("total_steps") else {}
        scheduler = self.scheduler["scheduler"](optimizer, **options)
        base = [group["lr"] / factor for group, (factor, _) in zip(optimizer.param_groups, groups, strict=True)]
        if not torch.tensor(base).allclose(torch.tensor(base[:1])):
            raise ConfigError(
                f"{type(scheduler).__name__} sets one learning rate for all parts: leave parts.lr_factor out"
            )
        entry = {"scheduler": scheduler, "interval": self.scheduler["interval"]}
        if self.scheduler.get("monitor"):
            entry["monitor"] = self.scheduler["monitor"]
        return {"optimizer": optimizer, "lr_scheduler": entry}

    def _steps(self) -> int:
        """Optimizer steps of the whole training."""
        return int(self.trainer.estimated_stepping_batches)
