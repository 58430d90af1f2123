"""Intervals: how much a score would move with other samples or other people."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import ndtri


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share; for independent samples only.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Args:
        hits: successes, ``0..n``.
        n: trials, at least 1.
        level: confidence level, in ``(0, 1)``.

    Returns:
        Lower and upper end, in ``[0, 1]``.

    Raises:
        ValueError: for arguments outside these ranges.

    Example:
        >>> [round(end, 3) for end in wilson(8, 10)]
        [0.49, 0.943]
    """
    if not 0 <= hits <= n or n < 1 or not 0 < level < 1:
        raise ValueError(f"wilson needs 0 <= hits <= n, n >= 1 and 0 < level < 1, found {hits}, {n}, {level}")
    z = ndtri((1 + level) / 2)
    share, scale = hits / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


def bootstrap(
    confusions: np.ndarray,
    statistics: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over groups: whole people are drawn with replacement, with all their samples.

    Samples of one person resemble each other, so an interval over samples would be too narrow. A resample
    in which a class does not occur is scored over the classes that do.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3 (percentile interval).

    Args:
        confusions: counts of each group, ``(G, ..., C, C)``; a single sample is a matrix with a single 1. In the place
            of ... may stand several seeds, which are then scored on the same people drawn.
        statistics: name -> function from pooled counts ``(B, ..., C, C)`` to values ``(B,)``, see `metrics`.
        resamples: B.
        level: confidence level, in ``(0, 1)``.
        seed: of the draws; all statistics share them.

    Returns:
        name -> lower and upper end.

    Raises:
        ValueError: for fewer than 2 groups, an empty group, a wrong shape or a wrong level.
    """
    confusions = np.asarray(confusions)
    if confusions.ndim < 3 or confusions.shape[-2] != confusions.shape[-1]:
        raise ValueError(f"expected confusions (groups, classes, classes), found {confusions.shape}")
    if len(confusions) < 2 or not confusions.reshape(len(confusions), -1).any(axis=1).all():
        raise ValueError(f"a bootstrap needs at least 2 groups, each with a sample, found {len(confusions)} groups")
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"a bootstrap needs 0 < level < 1 and resamples >= 1, found {level}, {resamples}")
    groups = len(confusions)
    # Equal groups are interchangeable: drawing among the distinct ones has the same distribution, and
    # thousands of groups of one sample become at most C * C.
    distinct, multiplicity = np.unique(confusions.reshape(groups, -1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(groups, multiplicity / groups, size=resamples)
    pooled = (drawn @ distinct).reshape(resamples, *confusions.shape[1:])
    tails = (1 - level) / 2, (1 + level) / 2
    return {name: _ends(function(pooled), tails) for name, function in statistics.items()}


def _ends(values: np.ndarray, tails: tuple[float, float]) -> tuple[float, float]:
    low, high = np.quantile(values, tails)
    return float(low), float(high)
