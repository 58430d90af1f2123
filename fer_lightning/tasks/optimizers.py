"""Optimizers that need more than parameters and a learning rate; all others are named in `conf/optimizer` directly."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from pytorch_optimizer import SAM, Lookahead, Ranger21

from fer_lightning.errors import ConfigError

Maker = Callable[..., torch.optim.Optimizer]


def ranger21(
    params: Iterable,
    num_iterations: int,
    lr: float,
    weight_decay: float,
    norm_loss_factor: float,
    warm_down_start: float,
    warm_down_min_lr: float,
) -> Ranger21:
    """Ranger21, Wright and Demeure 2021, arXiv:2106.13731: AdamW with look-ahead, positive-negative momentum, gradient
    centralisation and clipping, and its own schedule: linear warm-up, constant, linear warm-down.

    Args:
        params: parameters or groups.
        num_iterations: steps of the whole training; the task gives them.
        lr: the highest rate.
        weight_decay: decoupled.
        norm_loss_factor: of the norm loss.
        warm_down_start: share of the steps after which the rate falls; 1: it does not.
        warm_down_min_lr: the last rate.

    Raises:
        ConfigError: the schedule would raise the rate at its end instead of lowering it.
    """
    if warm_down_min_lr > lr and warm_down_start < 1:
        raise ConfigError(
            f"Ranger21 ends its schedule at optimizer.warm_down_min_lr={warm_down_min_lr:g}, which is above "
            f"optimizer.lr={lr:g}: set a smaller one"
        )
    return Ranger21(
        params,
        num_iterations,
        lr=lr,
        weight_decay=weight_decay,
        norm_loss_factor=norm_loss_factor,
        num_warm_down_iterations=num_iterations - int(warm_down_start * num_iterations),
        warm_down_min_lr=warm_down_min_lr,
    )


def lookahead(params: Iterable, lr: float, base: Maker, k: int, alpha: float) -> Lookahead:
    """Look-ahead around any optimizer, Zhang et al. 2019, arXiv:1907.08610.

    Args:
        params: parameters or groups.
        lr: rate of the fast weights.
        base: makes their optimizer.
        k: fast steps to one slow step.
        alpha: how far the slow weights go towards the fast ones.
    """
    return Lookahead(base(params, lr=lr), k=k, alpha=alpha)


def sam(params: Iterable, lr: float, base: Maker, rho: float, adaptive: bool) -> SAM:
    """Sharpness-aware minimisation around any optimizer, Foret et al. 2021, arXiv:2010.01412; two passes a step.

    Args:
        params: parameters or groups.
        lr: rate of the step.
        base: makes the optimizer that takes it.
        rho: radius of the neighbourhood.
        adaptive: scale it by the weights (ASAM, Kwon et al. 2021, arXiv:2102.11600).
    """
    made = SAM(params, partial(base, lr=lr), rho=rho, adaptive=adaptive)
    # A scheduler looks there for a momentum or betas to cycle; it finds the values in the groups, which both share.
    made.defaults = made.base_optimizer.defaults | made.defaults
    return made


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """The learning rate of each group at the step that was taken last; Ranger21 keeps its own."""
    inner = getattr(optimizer, "optimizer", optimizer)  # of Lookahead
    if isinstance(inner, Ranger21) and not inner.disable_lr_scheduler:
        return [inner.current_lr] * len(optimizer.param_groups)
    return [group["lr"] for group in optimizer.param_groups]
