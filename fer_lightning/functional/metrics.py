"""Scores of a confusion matrix, rows true, columns predicted.

Every function takes counts of shape ``(C, C)`` and gives a float, or of shape ``(..., C, C)`` and gives an
array of shape ``(...)``: that is how a bootstrap scores thousands of resampled matrices in one call.

Counts are pooled over all folds *before* a score is taken. The mean of per-fold scores is another number:
perfect predictions of the 68 subjects of MEGC2019 have a pooled UF1 of 1 and a fold mean of .632, since most
subjects do not show all classes.

"F1" and "accuracy" mean several things in this field. WAR is `accuracy`, UAR is `uar`, UF1 and macro-F1 are
`uf1`, micro-F1 of single-label predictions is `accuracy` again; see also `accuracy_one_vs_rest`.

Absent classes: a class without a true sample is left out of the means of `uf1` and `uar`; what was predicted as such
a class still counts as a miss of the true one. The evaluation script of MEGC2019 does the same where nothing is
predicted as that class, and else gives it an F1 of 0 and a recall of nan. No data set here lacks a class as a whole.
Counts without any sample have no score: nan.
"""

import numpy as np


def confusion(target: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the samples of each (true, predicted) pair.

    Args:
        target: true class indices, shape ``(n,)``.
        predicted: predicted class indices, shape ``(n,)``.
        num_classes: C.

    Returns:
        int64 counts, shape ``(C, C)``, rows true.

    Raises:
        ValueError: for unequal lengths or an index outside ``0..C-1``.

    Example:
        >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), num_classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    target, predicted = np.asarray(target), np.asarray(predicted)
    if target.shape != predicted.shape or target.ndim != 1:
        shapes = f"target {target.shape} and predicted {predicted.shape}"
        raise ValueError(f"{shapes} must be one-dimensional and equally long")
    for name, values in (("target", target), ("predicted", predicted)):
        if values.size and not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"{name} must hold class indices, found {values.dtype}")
        stray = values[(values < 0) | (values >= num_classes)]
        if stray.size:
            raise ValueError(f"{name} holds class {stray[0]}, outside 0..{num_classes - 1}")
    cells = target.astype(np.int64) * num_classes + predicted.astype(np.int64)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def accuracy(counts: np.ndarray) -> float | np.ndarray:
    """Share of hits: plain accuracy, also called WAR; equal to micro-F1. Range ``[0, 1]``.

    Example:
        >>> accuracy(np.array([[2, 0], [1, 1]]))
        0.75
    """
    return _plain(_ratio(_hits(counts).sum(axis=-1), np.sum(counts, axis=(-2, -1))))


def uf1(counts: np.ndarray) -> float | np.ndarray:
    """Unweighted F1: mean over the classes of the pooled per-class F1 (macro-F1). Range ``[0, 1]``.

    Source: See et al. 2019, MEGC 2019, doi:10.1109/FG.2019.8756611 (``UF1``).

    Example:
        >>> round(uf1(np.array([[2, 0], [1, 1]])), 6)  # F1 = 4/5 and 2/3
        0.733333
    """
    return _plain(_mean_over_supported(per_class(counts)["f1"], counts))


def uar(counts: np.ndarray) -> float | np.ndarray:
    """Unweighted average recall (balanced accuracy): mean over the classes of the pooled recall, ``[0, 1]``.

    Source: See et al. 2019, MEGC 2019, doi:10.1109/FG.2019.8756611 (``UAR``).

    Example:
        >>> uar(np.array([[2, 0], [1, 1]]))  # recall = 1 and 1/2
        0.75
    """
    return _plain(_mean_over_supported(per_class(counts)["recall"], counts))


def weighted_f1(counts: np.ndarray) -> float | np.ndarray:
    """Mean of the per-class F1, weighted with the number of true samples. Range ``[0, 1]``.

    Example:
        >>> round(weighted_f1(np.array([[2, 0], [1, 1]])), 6)
        0.733333
    """
    scores = per_class(counts)
    return _plain(_ratio((scores["f1"] * scores["support"]).sum(axis=-1), scores["support"].sum(axis=-1)))


def mcc(counts: np.ndarray) -> float | np.ndarray:
    """Matthews correlation coefficient for C classes, ``[-1, 1]``; 0 for a constant prediction.

    Source: Gorodkin 2004, R_K, doi:10.1016/j.compbiolchem.2004.09.006.

    Example:
        >>> round(mcc(np.array([[2, 0], [1, 1]])), 6)
        0.57735
    """
    counts = np.asarray(counts, dtype=np.float64)
    true, predicted, total = counts.sum(axis=-1), counts.sum(axis=-2), counts.sum(axis=(-2, -1))
    covariance = _hits(counts).sum(axis=-1) * total - (true * predicted).sum(axis=-1)
    spread = (total**2 - (true**2).sum(axis=-1)) * (total**2 - (predicted**2).sum(axis=-1))
    value = np.divide(covariance, np.sqrt(spread), out=np.zeros_like(covariance), where=spread > 0)
    return _plain(np.where(total > 0, value, np.nan))


def accuracy_one_vs_rest(counts: np.ndarray) -> float | np.ndarray:
    """Mean over the classes of the one-vs-rest accuracy (TP + TN) / N. Range ``[1 - 2/C, 1]``.

    This is what the WASPP paper (eq. 2) prints as "accuracy"; what it prints as "F1" is the plain hit rate.
    Each error is one false positive and one false negative, so the mean is ``1 - (2 / C) * (1 -
    accuracy)``: with three classes, a hit rate of a third gives .556. Never compare it with an `accuracy`.

    Example:
        >>> WASPP_NET = np.array([[312, 129, 0], [0, 0, 0], [0, 0, 0]])  # 312 hits of 441, three classes
        >>> round(100 * accuracy_one_vs_rest(WASPP_NET), 2), round(accuracy(WASPP_NET), 4)
        (80.5, 0.7075)
    """
    return _plain(1 - 2 / np.shape(counts)[-1] * (1 - np.asarray(accuracy(counts))))


def per_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support of each class, arrays of shape ``(..., C)``.

    Where a denominator is 0 (never predicted, never true) the value is 0.

    Example:
        >>> {name: values.round(2).tolist() for name, values in per_class(np.array([[2, 0], [1, 1]])).items()}
        {'precision': [0.67, 1.0], 'recall': [1.0, 0.5], 'f1': [0.8, 0.67], 'support': [2, 2]}
    """
    hits, support, predicted = _hits(counts), np.sum(counts, axis=-1), np.sum(counts, axis=-2)
    return {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(support + predicted, 1),
        "support": support,
    }


def _hits(counts: np.ndarray) -> np.ndarray:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient; nan where the denominator is 0."""
    denominator = np.asarray(denominator, dtype=np.float64)
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0)


def _mean_over_supported(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    supported = np.sum(counts, axis=-1) > 0
    return _ratio((values * supported).sum(axis=-1), supported.sum(axis=-1))


def _plain(values: np.ndarray) -> float | np.ndarray:
    values = np.asarray(values)
    return float(values) if values.ndim == 0 else values
