"""Valence, arousal or other values in [-1, 1]: their loss, their sums over an epoch, and the task."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from fer_lightning.functional.continuous import NOT_ANNOTATED, TINY, ccc, rmse
from fer_lightning.ranks import together
from fer_lightning.tasks.parts import Parts
from fer_lightning.tasks.training import Task


def sums(predicted: Tensor, target: Tensor) -> Tensor:
    """The first six sums of `functional.continuous`, float64 ``(T, 6)``; differentiable.

    Args:
        predicted: ``(n, T)``.
        target: ``(n, T)``, nan or -5 where a value is not known.
    """
    known = target.isfinite() & (target != NOT_ANNOTATED)
    x, y = (torch.where(known, values.double(), 0.0) for values in (target, predicted))
    return torch.stack([known.double(), x, y, x * x, y * y, x * y], dim=-1).sum(dim=0)


class ContinuousLoss(nn.Module):
    """``mse * (mean squared error) + ccc * (1 - CCC)``, the mean over the values that occur in the batch.

    The body-gesture report (arXiv:2407.09913) trains with the first; the second is the measure of ABAW as a loss. In a
    batch of one, or where neither series varies, a CCC is 0 and has no gradient. Nothing known at all: 0.

    Args:
        mse: weight of the squared error.
        ccc: weight of the concordance part, see `functional.continuous.ccc`.

    Shape:
        predicted ``(n, T)``, target ``(n, T)`` with nan or -5 where a value is not known; output a scalar.
    """

    def __init__(self, mse: float, ccc: float) -> None:
        super().__init__()
        self.mse, self.ccc = mse, ccc

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        return self.of(sums(predicted, target)).float()

    def of(self, sums: Tensor) -> Tensor:
        """The loss of samples that have these sums, ``(T, 6)``."""
        n = sums[:, 0]
        x, y, xx, yy, xy = (sums[:, 1:] / n.clamp(min=1)[:, None]).unbind(dim=1)
        spread = xx + yy - 2 * x * y
        concordance = 2 * (xy - x * y) / torch.where(spread > TINY, spread, 1.0)
        each = self.mse * (xx + yy - 2 * xy) + self.ccc * (1 - concordance)
        return torch.where(n > 0, each, 0.0).sum() / (n > 0).sum().clamp(min=1)


class Agreement(Metric):
    """Sums over batches, and over processes when `compute` is called in several of them.

    Args:
        num_targets: T.
    """

    full_state_update = False

    def __init__(self, num_targets: int) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(num_targets, 6, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        self.sums += sums(predicted.detach(), target)

    def compute(self) -> Tensor:
        """float64 ``(T, 6)``."""
        return self.sums


class ContinuousTask(Task):
    """Train a network to predict T values in ``[-1, 1]``.

    Args:
        net: input to ``(N, num_targets)``.
        loss: see `ContinuousLoss`.
        optimizer, scheduler, parts: see `Task`.
        num_targets: T, the number of ``data.targets``.
        tanh: squash the outputs into ``[-1, 1]``.

    Attributes:
        history: see `Task`; train_ccc and, where the fold has validation samples, val_loss, val_ccc and val_rmse, each
            the mean over the values. Those of validation are of all samples at once, not a mean over batches.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: ContinuousLoss,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: dict[str, Any],
        num_targets: int,
        tanh: bool = True,
        parts: Parts | None = None,
    ) -> None:
        super().__init__(net, optimizer, scheduler, parts)
        self.loss, self.tanh = loss, tanh
        self.seen, self.validated = Agreement(num_targets), Agreement(num_targets)
        self._losses: list[tuple[Tensor, int]] = []

    def values(self, inputs: Tensor) -> Tensor:
        """The predicted values, ``(N, T)``."""
        values = self.answer(inputs)
        return values.tanh() if self.tanh else values

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        values = self.values(batch["input"])
        loss = self.loss(values, batch["target"])
        if not self.perturbed:
            self._losses.append((loss.detach(), len(values)))
            self.seen.update(values, batch["target"])
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self.validated.update(self.values(batch["input"]), batch["target"])

    def predict_step(self, batch: dict, batch_idx: int) -> Tensor:
        return self.values(batch["input"])

    def on_train_epoch_start(self) -> None:
        self._losses.clear()
        self.seen.reset()

    def on_validation_epoch_start(self) -> None:
        self.validated.reset()

    def training_line(self) -> dict[str, float]:
        losses = together(self._losses)
        loss = sum(float(loss) * n for loss, n in losses) / sum(n for _, n in losses)
        return {"train_loss": loss, "train_ccc": float(ccc(self.seen.compute().cpu().numpy()).mean())}

    def validation_line(self) -> dict[str, float]:
        if not self.validated.update_called:
            return {}
        found = self.validated.compute()
        return {"val_loss": float(self.loss.of(found))} | value_figures(found)


def value_figures(sums: Tensor) -> dict[str, float]:
    """val_ccc and val_rmse, the means over the values, of sums ``(T, 6)``."""
    array = sums.cpu().numpy()
    return {"val_ccc": float(ccc(array).mean()), "val_rmse": float(rmse(array).mean())}
