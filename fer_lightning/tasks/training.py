"""What all tasks share: a line of curves an epoch, optimizer, scheduler, and parts that are frozen or learn slowly."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from fer_lightning.errors import ConfigError


class Task(pl.LightningModule):
    """Train a network; keep one line of curves per epoch. Nothing here is a published number.

    A task says in `training_line` and `validation_line` what stands in a line, and computes its losses and predictions.

    Args:
        net: the network.
        optimizer: parameters -> optimizer (a partial).
        scheduler: mapping with `scheduler` (a partial: optimizer -> scheduler, or null), `interval`
            (`epoch` or `step`), optionally `total_steps: true` when it wants to know the number of steps, and
            `monitor`, a key of the history lines, when it follows one.
        freeze: names of parts of the network, like ``features`` or ``features.0``, that are not trained. They stay in
            evaluation mode: batch norm keeps its statistics, dropout is off.
        lr_factor: name of a part -> factor of its learning rate.

    Attributes:
        history: one dict per finished epoch: epoch (1-based), lr (of the parts without a factor), train_loss, and what
            the task adds.

    Raises:
        ConfigError: when training begins, for a part that the network does not have.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: dict[str, Any],
        freeze: Sequence[str] = (),
        lr_factor: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.make_optimizer, self.scheduler = optimizer, scheduler
        self.frozen, self.lr_factor = tuple(freeze), dict(lr_factor or {})
        self.history: list[dict[str, float]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)

    def training_line(self) -> dict[str, float]:
        """train_loss and other figures of the epoch that ends."""
        raise NotImplementedError

    def validation_line(self) -> dict[str, float]:
        """Figures of the validation samples; {} where the fold has none."""
        raise NotImplementedError

    def configure_model(self) -> None:
        """Called by the Trainer before training."""
        parts = [name for name, _ in self.net.named_children()]
        for part in (*self.frozen, *self.lr_factor):
            if part not in dict(self.net.named_modules()):
                raise ConfigError(f"task.freeze or task.lr_factor names {part!r}; the network has the parts {parts}")
        for part in self.frozen:
            self.net.get_submodule(part).requires_grad_(False)
        if not any(parameter.requires_grad for parameter in self.net.parameters()):
            raise ConfigError(f"task.freeze={list(self.frozen)} leaves nothing to train; the network has {parts}")
        self.train(self.training)

    def train(self, mode: bool = True) -> "Task":
        super().train(mode)
        for part in self.frozen:
            self.net.get_submodule(part).eval()
        return self

    def on_train_epoch_end(self) -> None:
        line = {"epoch": self.current_epoch + 1, "lr": self.trainer.optimizers[0].param_groups[0]["lr"]}
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
        groups = self._groups()
        optimizer = self.make_optimizer([{"params": parameters} for _, parameters in groups])
        for group, (factor, _) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] *= factor
        if self.scheduler.get("scheduler") is None:
            return optimizer
        steps = {}
        if self.scheduler.get("total_steps"):
            steps = {"total_steps": int(self.trainer.estimated_stepping_batches)}
        scheduler = self.scheduler["scheduler"](optimizer, **steps)
        rates = [group["lr"] / factor for group, (factor, _) in zip(optimizer.param_groups, groups, strict=True)]
        if not torch.tensor(rates).allclose(torch.tensor(rates[:1])):
            raise ConfigError(
                f"{type(scheduler).__name__} sets one learning rate for all parts: leave task.lr_factor out"
            )
        entry = {"scheduler": scheduler, "interval": self.scheduler["interval"]}
        if self.scheduler.get("monitor"):
            entry["monitor"] = self.scheduler["monitor"]
        return {"optimizer": optimizer, "lr_scheduler": entry}

    def _groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """(factor of the learning rate, trained parameters): first those of no named part, then part by part.

        A parameter belongs to the longest name that fits it.
        """
        members: dict[str, list[nn.Parameter]] = {part: [] for part in ("", *self.lr_factor)}
        for name, parameter in self.net.named_parameters():
            if parameter.requires_grad:
                fitting = [part for part in self.lr_factor if name.startswith(f"{part}.")]
                members[max(fitting, key=len, default="")].append(parameter)
        return [(self.lr_factor.get(part, 1.0), found) for part, found in members.items() if found]
