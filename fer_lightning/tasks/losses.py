"""Losses that weigh the classes by their training samples, and the focal loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_lightning.errors import ConfigError

SCHEMES = ("inverse", "effective")


def class_weights(counts: Sequence[int], weights: str | Sequence[float], beta: float) -> Tensor:
    """One weight per class, float32 ``(C,)``. A class without training samples weighs 0 and does not count in C.

    Args:
        counts: training samples of each class.
        weights: ``inverse``, n / (C n_c), which is 1 on average over the samples; ``effective``, (1 - beta) / (1 -
            beta^n_c), scaled to 1 on average over the classes (Cui et al. 2019, arXiv:1901.05555); or the weights.
        beta: of ``effective``; 0 weighs all classes alike, towards 1 it becomes the inverse frequency.

    Raises:
        ConfigError: another scheme, another number of weights, a weight below 0, or a beta outside ``[0, 1)``.
    """
    if not isinstance(weights, str):
        found = torch.tensor(list(weights), dtype=torch.float32)
        if len(found) != len(counts) or not (found >= 0).all():
            raise ConfigError(
                f"loss.weights={list(weights)}: expected {len(counts)} numbers from 0, in the order of data.classes"
            )
        return found
    if weights not in SCHEMES:
        raise ConfigError(f"loss.weights={weights!r} is not one of {list(SCHEMES)}, nor a list of one number per class")
    if not 0 <= beta < 1:
        raise ConfigError(f"loss.beta={beta} is outside [0, 1)")
    number = torch.tensor(list(counts), dtype=torch.float64)
    occurs = number > 0
    if weights == "inverse":
        found = number.sum() / (occurs.sum() * number)
    else:
        found = 1 / (1 - beta**number)
        found = found / found[occurs].mean()
    return torch.where(occurs, found, 0.0).float()


class WeightedCrossEntropy(nn.Module):
    """Cross entropy in which every sample counts by the weight of its class.

    The sum is divided by the number of samples. torch divides by the sum of their weights, with which a weight would
    not count in a batch of one class, and several small batches would not add up to a large one.

    Args:
        counts: training samples of each class.
        weights, beta: see `class_weights`.
        label_smoothing: as in `torch.nn.CrossEntropyLoss`.

    Shape:
        logits ``(N, C)``, target ``(N,)`` or probabilities ``(N, C)``; output a scalar.
    """

    def __init__(
        self, counts: Sequence[int], weights: str | Sequence[float], beta: float, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", class_weights(counts, weights, beta), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        total = F.cross_entropy(logits, target, self.weight, reduction="sum", label_smoothing=self.label_smoothing)
        return total / len(logits)


class FocalLoss(nn.Module):
    """``-(1 - p)^gamma log p`` of the softmax probability of the true class, Lin et al. 2017, arXiv:1708.02002.

    The paper's is of a sigmoid; `torchvision.ops.sigmoid_focal_loss` is that one. Of a distribution over the classes:
    the sum over them by their shares. The mean is over the samples, as in `WeightedCrossEntropy`.

    Args:
        counts: training samples of each class.
        gamma: 0 is cross entropy.
        weights, beta: see `class_weights`; null: all classes alike. They stand for the paper's alpha.

    Shape:
        logits ``(N, C)``, target ``(N,)`` or probabilities ``(N, C)``; output a scalar.
    """

    def __init__(self, counts: Sequence[int], gamma: float, weights: str | Sequence[float] | None, beta: float) -> None:
        super().__init__()
        if gamma < 0:
            raise ConfigError(f"loss.gamma={gamma} is below 0")
        self.gamma = gamma
        weight = torch.ones(len(counts)) if weights is None else class_weights(counts, weights, beta)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        shares = F.one_hot(target, logits.shape[1]) if target.ndim == 1 else target
        log_p = logits.log_softmax(dim=1)
        # From 0 the power has an infinite slope for gamma below 1: a sample that is surely right would give nan.
        wrong = (-log_p.expm1()).clamp(min=1e-7) ** self.gamma
        return -(shares * self.weight * wrong * log_p).sum(dim=1).mean()
