"""The leaky rule does what its documentation says, to the size it says."""

import numpy as np
import pytest

from fer_lightning.functional.metrics import confusion, uf1
from fer_lightning.functional.selection import oracle_epoch


def one_hot(predicted: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[predicted]


def test_the_epoch_with_most_hits_wins_and_the_earliest_of_equals():
    target = np.array([0, 1, 2])
    epochs = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1], [2, 2, 2]])  # 1, 2, 2, 1 hits
    assert oracle_epoch(one_hot(epochs, 3), target) == 1


def test_a_random_guesser_looks_good_under_the_oracle():
    # 68 people like those of MEGC2019: 1 to 39 samples, most with few; shares 57 %, 25 %, 19 %
    rng = np.random.default_rng(0)
    sizes = np.minimum(1 + rng.geometric(1 / 5.5, size=68), 39)
    last, oracle = np.zeros((3, 3), dtype=int), np.zeros((3, 3), dtype=int)
    for size in sizes:
        target = rng.choice(3, size=size, p=[0.57, 0.25, 0.18])
        epochs = rng.integers(3, size=(800, size))
        last += confusion(target, epochs[-1], 3)
        oracle += confusion(target, epochs[oracle_epoch(one_hot(epochs, 3), target)], 3)
    assert 0.25 < uf1(last) < 0.42
    assert 0.70 < uf1(oracle) < 0.90


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"found \(2, 3, 3\) and \(4,\)"):
        oracle_epoch(np.zeros((2, 3, 3)), np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match=r"found \(0, 3, 3\)"):
        oracle_epoch(np.zeros((0, 3, 3)), np.zeros(3, dtype=int))


def test_nan_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        oracle_epoch(np.full((1, 1, 2), np.nan), np.array([0]))
