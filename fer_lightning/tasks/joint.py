"""Expression classes and continuous values from one network output."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fer_lightning.functional.continuous import ccc
from fer_lightning.ranks import together
from fer_lightning.tasks.classification import class_figures
from fer_lightning.tasks.continuous import Agreement, ContinuousLoss, value_figures
from fer_lightning.tasks.parts import Parts
from fer_lightning.tasks.training import Task


class JointTask(Task):
    """Train a network to name one of C classes and to predict T values in ``[-1, 1]``.

    A sample without a label (-1) does not count in the classes' loss and figures, one without a value (nan, -5) not in
    those of the values.

    Args:
        net: input to ``(N, num_classes + num_targets)``, the logits first.
        loss: of the classes, ``(logits, labels) -> scalar``.
        target_loss: of the values.
        optimizer, scheduler, parts: see `Task`.
        num_classes: C.
        num_targets: T, the number of ``data.targets``.
        tanh: squash the values into ``[-1, 1]``.
        class_weight, target_weight: of the two losses in their sum.

    Attributes:
        history: see `Task`; train_accuracy and train_ccc and, where the fold has validation samples, val_loss,
            val_accuracy, val_uf1, val_ccc and val_rmse.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        target_loss: ContinuousLoss,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: dict[str, Any],
        num_classes: int,
        num_targets: int,
        tanh: bool = True,
        class_weight: float = 1.0,
        target_weight: float = 1.0,
        parts: Parts | None = None,
    ) -> None:
        super().__init__(net, optimizer, scheduler, parts)
        self.loss, self.target_loss = loss, target_loss
        self.num_classes, self.tanh = num_classes, tanh
        self.class_weight, self.target_weight = class_weight, target_weight
        self.seen, self.validated = Agreement(num_targets), Agreement(num_targets)
        self._seen: list[tuple[Tensor, Tensor, Tensor, int]] = []
        self._val: list[tuple[Tensor, Tensor]] = []

    def outputs(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(N, C)`` and values ``(N, T)``."""
        found = self.answer(inputs)
        values = found[:, self.num_classes :]
        return found[:, : self.num_classes], values.tanh() if self.tanh else values

    def class_loss(self, loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of the labelled samples, 0 without any."""
        known = labels >= 0
        return loss(logits[known], labels[known]) if known.any() else logits.sum() * 0

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        logits, values = self.outputs(batch["input"])
        labels, target = batch["label"], batch["target"]
        loss = self.class_weight * self.class_loss(self.loss, logits, labels)
        loss = loss + self.target_weight * self.target_loss(values, target)
        if not self.perturbed:
            hits = (logits.argmax(dim=1) == labels).sum()
            self._seen.append((loss.detach(), hits.detach(), (labels >= 0).sum(), len(labels)))
            self.seen.update(values, target)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        logits, values = self.outputs(batch["input"])
        self._val.append((logits, batch["label"]))
        self.validated.update(values, batch["target"])

    def predict_step(self, batch: dict, batch_idx: int) -> Tensor:
        logits, values = self.outputs(batch["input"])
        return torch.cat([logits.softmax(dim=1), values], dim=1)

    def on_train_epoch_start(self) -> None:
        self._seen.clear()
        self.seen.reset()

    def on_validation_epoch_start(self) -> None:
        self._val.clear()
        self.validated.reset()

    def training_line(self) -> dict[str, float]:
        losses, hits, labelled, counts = zip(*together(self._seen), strict=True)
        return {
            "train_loss": sum(float(loss) * n for loss, n in zip(losses, counts, strict=True)) / sum(counts),
            "train_accuracy": int(sum(hits)) / max(int(sum(labelled)), 1),
            "train_ccc": float(ccc(self.seen.compute().cpu().numpy()).mean()),
        }

    def validation_line(self) -> dict[str, float]:
        if not self._val:
            return {}
        logits, labels = (torch.cat(parts) for parts in zip(*together(self._val), strict=True))
        found, known = self.validated.compute(), labels >= 0
        loss = self.class_weight * self.class_loss(nn.functional.cross_entropy, logits, labels)
        loss = loss + self.target_weight * self.target_loss.of(found)
        figures = class_figures(logits[known], labels[known], self.num_classes)
        return {"val_loss": float(loss)} | figures | value_figures(found)
