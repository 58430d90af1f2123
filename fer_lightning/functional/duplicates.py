"""Pictures that occur twice, show nothing, or were blurred: what a check of a data set looks for.

All functions take arrays of shape ``(N, ...)``, one picture a row, of any dtype; pictures may be memory-mapped.
"""

import hashlib
from collections.abc import Sequence

import numpy as np


def exact_groups(pictures: np.ndarray) -> list[np.ndarray]:
    """Groups of rows with identical content, in the order of their first member.

    Example:
        >>> [group.tolist() for group in exact_groups(np.array([[1, 2], [3, 4], [1, 2]]))]
        [[0, 2]]
    """
    rows: dict[bytes, list[int]] = {}
    for row, picture in enumerate(pictures):
        rows.setdefault(hashlib.blake2b(np.ascontiguousarray(picture).tobytes(), digest_size=16).digest(), []).append(
            row
        )
    return [np.array(group) for group in rows.values() if len(group) > 1]


def near_pairs(pictures: np.ndarray, threshold: float, block: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows whose pictures correlate, one of them possibly mirrored.

    Pearson correlation of the pixels, so brightness and contrast do not matter; constant pictures have no pairs.

    Args:
        pictures: shape ``(N, C, H, W)`` or ``(N, H, W)``; mirrored along the last axis.
        threshold: least correlation, in ``(0, 1]``; .98 finds re-encoded and slightly cropped copies.
        block: rows compared at a time; memory is about ``8 * block * N`` bytes.

    Returns:
        Pairs ``(P, 2)`` with the smaller row first, and their correlations ``(P,)``.
    """
    straight = _unit(pictures)
    mirrored = _unit(pictures[..., ::-1])
    pairs, values = [], []
    for start in range(0, len(straight), block):
        part = slice(start, start + block)
        best = np.maximum(straight[part] @ straight[start:].T, straight[part] @ mirrored[start:].T)
        first, second = np.nonzero(best >= threshold)
        keep = second > first
        pairs.append(np.stack([first[keep], second[keep]], axis=1) + start)
        values.append(best[first[keep], second[keep]])
    return np.concatenate(pairs), np.concatenate(values)


def _unit(pictures: np.ndarray) -> np.ndarray:
    flat = np.asarray(pictures, dtype=np.float32).reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)


def spread(pictures: np.ndarray) -> np.ndarray:
    """Standard deviation of the pixels of each picture, shape ``(N,)``; 0 for a picture of one value."""
    return np.array([float(np.std(picture, dtype=np.float64)) for picture in pictures])


def sharpness(pictures: np.ndarray) -> np.ndarray:
    """Variance of the 4-neighbour Laplacian of each picture, shape ``(N,)``: small for blurred pictures.

    Inner pixels only; the mean over channels where there are several. A Gaussian blur of 3.3 pixels takes the
    median of the FER2013 faces from about 2,000 to about 6.
    """
    found = np.empty(len(pictures))
    for row, picture in enumerate(pictures):
        p = np.asarray(picture, dtype=np.float32)
        inner = p[..., :-2, 1:-1] + p[..., 2:, 1:-1] + p[..., 1:-1, :-2] + p[..., 1:-1, 2:] - 4 * p[..., 1:-1, 1:-1]
        found[row] = inner.reshape(-1, inner.shape[-2] * inner.shape[-1]).var(axis=1).mean()
    return found


def across(groups: Sequence[np.ndarray], parts: Sequence[str], first: str, second: str) -> np.ndarray:
    """Rows of part `second` that have a twin in part `first`."""
    names = np.asarray(parts)
    hit = [group[names[group] == second] for group in groups if (names[group] == first).any()]
    return np.concatenate(hit) if hit else np.array([], dtype=int)
