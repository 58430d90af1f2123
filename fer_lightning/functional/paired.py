"""Is one run better than another? Tests for two runs that predicted the same samples.

`mcnemar` takes every sample as independent. The other two draw or swap whole groups (people, videos), so they hold
where the samples of a group resemble each other; for samples without groups each sample is a group of its own.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import binomtest

Statistics = Mapping[str, Callable[[np.ndarray], np.ndarray]]
#: Two differences that are equal on paper may differ by rounding.
TOLERANCE = 1e-12


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of McNemar's test: are as many samples hit by the first only as by the second only?

    Source: McNemar 1947, doi:10.1007/BF02295996; exact form: a sign test of the samples on which they differ.

    Args:
        only_first: samples that only the first run hits, at least 0.
        only_second: samples that only the second run hits, at least 0.

    Returns:
        p in ``(0, 1]``; 1 where both hit the same samples.

    Raises:
        ValueError: for a negative number.

    Example:
        >>> mcnemar(1, 5)  # 2 * (1 + 6) / 2**6
        0.21875
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"mcnemar needs two counts, found {only_first} and {only_second}")
    differing = only_first + only_second
    return float(binomtest(only_first, differing, 0.5).pvalue) if differing else 1.0


def bootstrap_difference(
    first: np.ndarray,
    second: np.ndarray,
    statistics: Statistics,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:  # fmt: skip
    """Percentile bootstrap of ``statistic(first) - statistic(second)``: both are scored on the same drawn groups.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3 (percentile interval).

    Args:
        first: counts of each group in the first run, ``(G, ..., C, C)``, rows true; in the place of ... may stand
            several seeds of it.
        second: the same of the second run.
        statistics: name -> function from pooled counts ``(B, ..., C, C)`` to values ``(B,)``, see `metrics`.
        resamples: B.
        level: confidence level, in ``(0, 1)``.
        seed: of the draws; all statistics share them.

    Returns:
        name -> lower end, upper end, p: twice the smaller share of the resamples on one side of 0 (those at 0 stand on
        both), the data as they are counted among them, so that p is never 0; at most 1.

    Raises:
        ValueError: for shapes or true classes that do not fit, fewer than 2 groups, a wrong level.
    """
    first, second = _check(first, second)
    if len(first) < 2 or not 0 < level < 1 or resamples < 1:
        found = f"{len(first)}, {level}, {resamples}"
        raise ValueError(f"a bootstrap needs 2 groups, 0 < level < 1 and resamples >= 1, found {found}")
    pairs, multiplicity = _distinct(first, second)
    drawn = np.random.default_rng(seed).multinomial(len(first), multiplicity / len(first), size=resamples)
    pooled = np.tensordot(drawn, pairs, axes=1)
    found = {}
    for name, function in statistics.items():
        gained = function(pooled[:, 0]) - function(pooled[:, 1])
        low, high = np.quantile(gained, [(1 - level) / 2, (1 + level) / 2])
        side = min((gained <= TOLERANCE).sum(), (gained >= -TOLERANCE).sum())
        found[name] = float(low), float(high), float(min(1.0, 2 * (side + 1) / (resamples + 1)))
    return found


def permutation_difference(
    first: np.ndarray, second: np.ndarray, statistics: Statistics, permutations: int = 9999, seed: int = 0
) -> dict[str, float]:
    """Two-sided permutation test: were the two runs interchangeable, each group could belong to either of them.

    In each permutation a coin decides for every group whether its two sets of predictions are swapped (of the
    accuracy this is the sign-flip test of the differences of the groups).

    Source of counting the data as they are among the permutations: Phipson & Smyth 2010, arXiv:1603.05766.

    Args:
        first, second, statistics, seed: as in `bootstrap_difference`.
        permutations: number of random swaps.

    Returns:
        name -> p in ``(0, 1]``, at least ``1 / (permutations + 1)``.

    Raises:
        ValueError: for shapes or true classes that do not fit.
    """
    first, second = _check(first, second)
    pairs, multiplicity = _distinct(first, second)
    swapped = np.random.default_rng(seed).binomial(multiplicity, 0.5, size=(permutations, len(multiplicity)))
    moved = np.tensordot(swapped, pairs[:, 1] - pairs[:, 0], axes=1)
    one, other = first.sum(axis=0) + moved, second.sum(axis=0) - moved
    found = {}
    for name, function in statistics.items():
        observed = abs(function(first.sum(axis=0)) - function(second.sum(axis=0)))
        extreme = np.abs(function(one) - function(other)) >= observed - TOLERANCE
        found[name] = float((extreme.sum() + 1) / (permutations + 1))
    return found


def _check(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim < 3 or first.shape != second.shape or first.shape[-2] != first.shape[-1]:
        raise ValueError(f"expected counts (groups, classes, classes) twice, found {first.shape} and {second.shape}")
    some = first.reshape(len(first), -1).any(axis=1)
    if not some.all() or (first.sum(axis=-1) != second.sum(axis=-1)).any():
        raise ValueError("both runs must have the same true samples of each class in each group, and each group some")
    return first, second


def _distinct(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different pairs ``(D, 2, ..., C, C)`` and how many groups show each: equal groups are interchangeable."""
    pairs = np.stack([first, second], axis=1)
    distinct, multiplicity = np.unique(pairs.reshape(len(pairs), -1), axis=0, return_counts=True)
    return distinct.reshape(-1, *pairs.shape[1:]), multiplicity
