"""One LightningModule for every network that names one of C expressions."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from fer_lightning.errors import ConfigError
from fer_lightning.functional.metrics import accuracy, confusion, uf1


class ClassificationTask(pl.LightningModule):
    """Train a network to name one of C classes; keep one line of curves per epoch.

    Nothing here is a published number: those come from prediction files (`reporting`).

    Args:
        net: input ``(N, C, H, W)`` to logits ``(N, num_classes)``.
        loss: ``(logits, labels) -> scalar``.
        optimizer: parameters -> optimizer (a partial).
        scheduler: mapping with `scheduler` (a partial: optimizer -> scheduler, or null), `interval`
            (`epoch` or `step`), optionally `total_steps: true` when it wants to know the number of steps, and
            `monitor`, a key of the history lines, when it follows one.
        num_classes: size of the output.

    Attributes:
        history: one dict per finished epoch: epoch (1-based), lr, train_loss, train_accuracy and, where the
            fold has validation samples, val_loss, val_accuracy, val_uf1.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: dict[str, Any],
        num_classes: int,
    ) -> None:
        super().__init__()
        self.net, self.loss = net, loss
        self.make_optimizer, self.scheduler = optimizer, scheduler
        self.num_classes = num_classes
        self.history: list[dict[str, float]] = []
        self._seen: list[tuple[Tensor, Tensor, int]] = []
        self._val: list[tuple[Tensor, Tensor]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        logits, labels = self.net(batch["input"]), batch["label"]
        loss = self.loss(logits, labels)
        with torch.no_grad():
            self._seen.append((loss.detach(), (logits.argmax(dim=1) == labels).sum(), len(labels)))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self._val.append((self.net(batch["input"]).float(), batch["label"]))

    def predict_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.net(batch["input"]).float().softmax(dim=1)

    def on_train_epoch_start(self) -> None:
        self._seen.clear()

    def on_validation_epoch_start(self) -> None:
        self._val.clear()

    def on_train_epoch_end(self) -> None:
        count = sum(n for *_, n in self._seen)
        line = {
            "epoch": self.current_epoch + 1,
            "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
            "train_loss": sum(float(loss) * n for loss, _, n in self._seen) / count,
            "train_accuracy": sum(int(hits) for _, hits, _ in self._seen) / count,
        }
        if self._val:
            line |= self._validation_line()
        if not torch.isfinite(torch.tensor(line["train_loss"])):
            raise ConfigError(
                f"the training loss is {line['train_loss']} in epoch {line['epoch']}: training has diverged. "
                f"Lower optimizer.lr (now {line['lr']:g}) or set trainer.gradient_clip_val."
            )
        self.history.append(line)
        self._report(line)

    def _validation_line(self) -> dict[str, float]:
        logits = torch.cat([part for part, _ in self._val])
        labels = torch.cat([part for _, part in self._val])
        counts = confusion(labels.cpu().numpy(), logits.argmax(dim=1).cpu().numpy(), self.num_classes)
        loss = nn.functional.cross_entropy(logits, labels)
        return {"val_loss": float(loss), "val_accuracy": accuracy(counts), "val_uf1": uf1(counts)}

    def _report(self, line: dict[str, float]) -> None:
        # `self.log` costs about as much as a training step of a small network, so it is used only when
        # somebody reads it: a logger, or a scheduler that follows a metric.
        if self.trainer.loggers or self.scheduler.get("monitor"):
            self.log_dict({name: value for name, value in line.items() if name != "epoch"})

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> dict | torch.optim.Optimizer:
        optimizer = self.make_optimizer(self.net.parameters())
        if self.scheduler.get("scheduler") is None:
            return optimizer
        steps = {}
        if self.scheduler.get("total_steps"):
            steps = {"total_steps": int(self.trainer.estimated_stepping_batches)}
        entry = {
            "scheduler": self.scheduler["scheduler"](optimizer, **steps),
            "interval": self.scheduler["interval"],
        }
        if self.scheduler.get("monitor"):
            entry["monitor"] = self.scheduler["monitor"]
        return {"optimizer": optimizer, "lr_scheduler": entry}
