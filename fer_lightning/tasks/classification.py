"""One LightningModule for every network that names one of C expressions."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fer_lightning.functional.metrics import accuracy, confusion, uf1
from fer_lightning.ranks import together
from fer_lightning.tasks.parts import Parts
from fer_lightning.tasks.training import Task


class ClassificationTask(Task):
    """Train a network to name one of C classes.

    Args:
        net: input ``(N, C, H, W)`` to logits ``(N, num_classes)``.
        loss: ``(logits, labels) -> scalar``.
        optimizer, scheduler, parts: see `Task`.
        num_classes: size of the output.
        soft_target: train on ``batch["target"]``, a distribution over the classes (the shares of votes), instead of
            the label. Validation and scores use the label.
        mix: ``(inputs (N, C, H, W), labels (N,) or targets (N, C)) -> (inputs, targets)``, applied to each training
            batch; train_accuracy is then that against the class with the largest share.

    Attributes:
        history: see `Task`; train_accuracy and, where the fold has validation samples, val_loss, val_accuracy, val_uf1.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: dict[str, Any],
        num_classes: int,
        soft_target: bool = False,
        parts: Parts | None = None,
        mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        super().__init__(net, optimizer, scheduler, parts)
        self.loss, self.num_classes, self.soft_target, self.mix = loss, num_classes, soft_target, mix
        self._seen: list[tuple[Tensor, Tensor, int]] = []
        self._val: list[tuple[Tensor, Tensor]] = []

    def on_after_batch_transfer(self, batch: dict, dataloader_idx: int) -> dict:
        """Mix a training batch: here and not in the step, which SAM takes twice."""
        if self.mix is None or not self.trainer.training:
            return batch
        inputs, shape = batch["input"], batch["input"].shape
        pictures = inputs.flatten(1, -3)  # of a clip, all frames alike
        pictures, target = self.mix(pictures, batch["target"] if self.soft_target else batch["label"])
        labels = target.argmax(dim=1)
        return batch | {"input": pictures.view(shape), "target": target, "label": labels}

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        logits, labels = self.answer(batch["input"]), batch["label"]
        loss = self.loss(logits, batch["target"] if self.soft_target or self.mix else labels)
        if not self.perturbed:
            self._seen.append((loss.detach(), (logits.argmax(dim=1) == labels).sum(), len(labels)))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self._val.append((self.answer(batch["input"]), batch["label"]))

    def predict_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.answer(batch["input"]).softmax(dim=1)

    def on_train_epoch_start(self) -> None:
        self._seen.clear()

    def on_validation_epoch_start(self) -> None:
        self._val.clear()

    def training_line(self) -> dict[str, float]:
        seen = together(self._seen)
        count = sum(n for *_, n in seen)
        return {
            "train_loss": sum(float(loss) * n for loss, _, n in seen) / count,
            "train_accuracy": sum(int(hits) for _, hits, _ in seen) / count,
        }

    def validation_line(self) -> dict[str, float]:
        if not self._val:
            return {}
        logits, labels = (torch.cat(parts) for parts in zip(*together(self._val), strict=True))
        loss = nn.functional.cross_entropy(logits, labels)
        return {"val_loss": float(loss)} | class_figures(logits, labels, self.num_classes)


def class_figures(logits: Tensor, labels: Tensor, num_classes: int) -> dict[str, float]:
    """val_accuracy and val_uf1 of logits ``(n, C)`` and labels ``(n,)``."""
    counts = confusion(labels.cpu().numpy(), logits.argmax(dim=1).cpu().numpy(), num_classes)
    return {"val_accuracy": accuracy(counts), "val_uf1": uf1(counts)}
