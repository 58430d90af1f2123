"""Schedulers that need more than the optimizer; all others are named in `conf/scheduler` directly."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR


def one_cycle(
    optimizer: Optimizer, total_steps: int, pct_start: float, div_factor: float, final_div_factor: float,
    cycle_momentum: bool,
) -> OneCycleLR:  # fmt: skip
    """One cycle up to each group's own rate and down again, Smith and Topin 2018, arXiv:1708.07120.

    Args:
        optimizer: its rates are the highest of the cycle.
        total_steps: of the training.
        pct_start: share of the steps that go up.
        div_factor, final_div_factor: highest rate / first, first / last.
        cycle_momentum: let the momentum (or beta 1) go the other way.
    """
    return OneCycleLR(
        optimizer, [group["lr"] for group in optimizer.param_groups], total_steps, pct_start=pct_start,
        div_factor=div_factor, final_div_factor=final_div_factor, cycle_momentum=cycle_momentum,
    )  # fmt: skip


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float, start_factor: float) -> LRScheduler:
    """A straight line up to the optimizer's rate, then half a cosine down to zero, step by step.

    Args:
        optimizer: of the rates to reach.
        total_steps: of the training.
        warmup: share of the steps that go up, below 1.
        start_factor: first rate / highest, above 0.
    """
    up = min(max(round(warmup * total_steps), 1), total_steps - 1)
    if up < 1:  # a training of one step
        return LinearLR(optimizer, 1.0, total_iters=1)
    parts = [LinearLR(optimizer, start_factor, total_iters=up), CosineAnnealingLR(optimizer, total_steps - up)]
    return SequentialLR(optimizer, parts, [up])
