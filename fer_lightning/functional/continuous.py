"""Scores of values predicted on a continuous scale, such as valence and arousal.

Everything is computed from eight sums a value: number of samples, x, y, x², y², xy, |x - y| and equal signs, with x the
true and y the predicted value. The sums of two parts of a set add up to those of the whole, so a score does not depend
on how the samples came in batches or processes, and a bootstrap adds whole groups. Scores take sums ``(..., 8)`` and
give ``(...)``; those that need only the first six also take ``(..., 6)``.

The mean of scores over batches, videos or folds is another number; the CCC of ABAW is that of all frames at once.
"""

from collections.abc import Callable, Mapping

import numpy as np

#: What Aff-Wild2 writes where a frame is not annotated. It never counts, and neither does nan.
NOT_ANNOTATED = -5.0
#: Below this mean square (std 1e-6), neither series varies and both are equal: there is nothing to correlate.
TINY = 1e-12


def terms(target: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The eight terms of each sample; 0 where the true value is not known.

    Args:
        target: true values, ``(n, T)``; nan or -5 where there is none.
        predicted: predicted values, ``(n, T)``.

    Returns:
        float64, ``(n, T, 8)``; its sum over any samples is what the scores take.

    Raises:
        ValueError: unequal shapes.
    """
    x, y = np.asarray(target, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"target {x.shape} and predicted {y.shape} must both be (samples, values)")
    alike = np.sign(x) == np.sign(y)
    found = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y, np.abs(x - y), alike], axis=-1)
    found[np.isnan(x) | (x == NOT_ANNOTATED)] = 0
    return found


def ccc(sums: np.ndarray) -> np.ndarray:
    """Concordance correlation, ``[-1, 1]``: 1 on the line y = x, 0 for a constant prediction.

    nan without a sample, and where a prediction is nan.

    ``2 cov / (var_x + var_y + (mean_x - mean_y)²)`` with variances over n, as Lin has it; torchmetrics divides them by
    n - 1, which gives another number for small n. Two equal constants give 0, where the formula is 0 / 0.

    Source: Lin 1989, Biometrics 45(1), 255-268, doi:10.2307/2532051.

    Example:
        >>> x, y = np.array([[-1.0], [0.0], [1.0]]), np.array([[0.0], [0.0], [1.0]])
        >>> ccc(terms(x, y).sum(axis=0)).round(4).tolist()  # 2 (1/3) / (2/3 + 2/9 + 1/9)
        [0.6667]
    """
    n, mean = _means(sums)
    x, y, xx, yy, xy = (mean[..., i] for i in range(5))
    spread = xx + yy - 2 * x * y
    value = np.divide(2 * (xy - x * y), spread, out=np.zeros_like(spread), where=spread > TINY)
    return np.where((n > 0) & np.isfinite(spread), value, np.nan)


def rmse(sums: np.ndarray) -> np.ndarray:
    """Root of the mean squared error, at least 0; nan without a sample.

    Example:
        >>> rmse(terms(np.array([[0.0], [0.0]]), np.array([[0.3], [0.4]])).sum(axis=0)).round(4).tolist()
        [0.3536]
    """
    _, mean = _means(sums)
    return np.sqrt(np.maximum(mean[..., 2] + mean[..., 3] - 2 * mean[..., 4], 0))


def mae(sums: np.ndarray) -> np.ndarray:
    """Mean absolute error, at least 0; nan without a sample."""
    return _means(sums)[1][..., 5]


def sagr(sums: np.ndarray) -> np.ndarray:
    """Sign agreement: share of samples whose predicted value has the sign of the true one, ``[0, 1]``.

    As reported on AffectNet, Mollahosseini et al. 2017, arXiv:1708.03985. Zero is a sign of its own.
    """
    return _means(sums)[1][..., 6]


def best_epoch(values: np.ndarray, target: np.ndarray) -> int:
    """Epoch with the highest mean CCC on the held-out samples, the earliest one on a tie: a leak, see `oracle_epoch`.

    The mean is over the values that these samples have; without any there is nothing to choose by, and it is the first.

    Args:
        values: predicted values of the held-out samples, ``(E, n, T)``, one slice an epoch.
        target: true values, ``(n, T)``.

    Returns:
        Index into the first axis (not an epoch number).

    Raises:
        ValueError: a prediction is no number.
    """
    if not np.isfinite(values).all():
        raise ValueError("a predicted value is not a number: training has diverged")
    known = np.any(~np.isnan(target) & (target != NOT_ANNOTATED), axis=0)
    if not known.any():
        return 0
    return int(np.argmax([np.mean(ccc(terms(target, epoch).sum(axis=0))[known]) for epoch in values]))


def bootstrap_sums(
    sums: np.ndarray,
    statistics: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over groups, as `stats.bootstrap`, for scores that are functions of sums.

    Args:
        sums: of each group, ``(G, T, 8)``.
        statistics: name -> function from pooled sums ``(B, T, 8)`` to values ``(B,)``.
        resamples: B.
        level: confidence level, in ``(0, 1)``.
        seed: of the draws; all statistics share them.

    Returns:
        name -> lower and upper end.

    Raises:
        ValueError: fewer than 2 groups.
    """
    groups = len(sums)
    if groups < 2:
        raise ValueError(f"a bootstrap needs at least 2 groups, found {groups}")
    rng, shares = np.random.default_rng(seed), np.full(groups, 1 / groups)
    block = max(1, 10_000_000 // groups)  # resamples at a time: 80 MB of counts
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    flat = sums.reshape(groups, -1)
    pooled = np.concatenate([rng.multinomial(groups, shares, size=size) @ flat for size in sizes])
    pooled = pooled.reshape(resamples, *sums.shape[1:])
    tails = (1 - level) / 2, (1 + level) / 2
    ends = {name: np.nanquantile(function(pooled), tails) for name, function in statistics.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _means(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of samples ``(...)`` and the other sums divided by it; nan where it is 0."""
    sums = np.asarray(sums, dtype=np.float64)
    n = sums[..., :1]
    mean = np.divide(sums[..., 1:], n, out=np.full_like(sums[..., 1:], np.nan), where=n > 0)
    return n[..., 0], mean
