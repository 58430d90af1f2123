"""Intervals: against scipy, by hand, and by how often they hold the truth."""

import time

import numpy as np
import pytest
from scipy import stats as reference

from fer_lightning.functional.metrics import accuracy, uar, uf1
from fer_lightning.functional.stats import bootstrap, wilson

STATISTICS = {"accuracy": accuracy, "uf1": uf1, "uar": uar}


def people(count: int, seed: int = 0, classes: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    confusions = rng.poisson(0.5, size=(count, classes, classes)) + rng.poisson(1.5, size=(count, 1, 1)) * np.eye(
        classes
    )
    confusions[:, 0, 0] += 1
    return confusions.astype(int)


def single_samples(count: int, classes: int = 7, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    target = rng.integers(classes, size=count)
    predicted = np.where(rng.random(count) < 0.7, target, rng.integers(classes, size=count))
    confusions = np.zeros((count, classes, classes), dtype=int)
    confusions[np.arange(count), target, predicted] = 1
    return confusions


@pytest.mark.parametrize(("hits", "n", "level"), [(0, 5, 0.95), (312, 441, 0.95), (7, 7, 0.9), (2600, 3589, 0.99)])
def test_wilson_agrees_with_scipy(hits, n, level):
    expected = reference.binomtest(hits, n).proportion_ci(confidence_level=level, method="wilson")
    assert wilson(hits, n, level) == pytest.approx((expected.low, expected.high))


def test_wilson_by_hand():
    # 1 of 2, z = 1.959964: middle 1/2, half width z / (2 sqrt(2 + z^2))
    z = 1.959964
    assert wilson(1, 2) == pytest.approx((0.5 - z / (2 * (2 + z**2) ** 0.5), 0.5 + z / (2 * (2 + z**2) ** 0.5)))


@pytest.mark.parametrize(("hits", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (0, 0, 0.95), (1, 2, 1.0)])
def test_wilson_refuses_impossible_counts(hits, n, level):
    with pytest.raises(ValueError, match="wilson needs 0 <= hits <= n"):
        wilson(hits, n, level)


@pytest.mark.parametrize("name", STATISTICS)
def test_bootstrap_agrees_with_scipy(name):
    confusions = people(68)

    def pooled(indices, axis):
        return STATISTICS[name](confusions[indices].sum(axis=axis if axis >= 0 else indices.ndim - 1))

    expected = reference.bootstrap(
        (np.arange(68),), pooled, n_resamples=4000, method="percentile", rng=np.random.default_rng(1), axis=-1
    ).confidence_interval
    low, high = bootstrap(confusions, STATISTICS, resamples=4000)[name]
    width = high - low
    assert low == pytest.approx(expected.low, abs=0.06 * width)
    assert high == pytest.approx(expected.high, abs=0.06 * width)


def test_two_people_by_hand():
    # one always right, one always wrong: a resample scores 0, 1/2 or 1 with shares 1/4, 1/2, 1/4
    confusions = np.array([np.diag([4, 0]), [[0, 4], [0, 0]]])
    assert bootstrap(confusions, {"accuracy": accuracy})["accuracy"] == (0.0, 1.0)
    assert bootstrap(confusions, {"accuracy": accuracy}, level=0.4)["accuracy"] == (0.5, 0.5)


def test_over_single_samples_it_is_close_to_wilson():
    confusions = single_samples(3589)
    hits = int(np.trace(confusions.sum(axis=0)))
    assert bootstrap(confusions, STATISTICS)["accuracy"] == pytest.approx(wilson(hits, 3589), abs=0.002)


def test_people_widen_the_interval_of_samples():
    confusions = np.array([np.diag([5, 5])] * 7 + [[[0, 5], [5, 0]]] * 3)
    cells = confusions.reshape(-1, 4).sum(axis=0)
    singles = np.repeat(np.eye(4, dtype=int).reshape(4, 2, 2), cells, axis=0)
    over_people = np.diff(bootstrap(confusions, {"a": accuracy})["a"])
    over_samples = np.diff(bootstrap(singles, {"a": accuracy})["a"])
    assert over_people > 2.5 * over_samples  # sqrt(10) for samples that all agree within a person


def test_the_same_seed_gives_the_same_interval():
    first, second = (bootstrap(people(20), STATISTICS, seed=3) for _ in range(2))
    assert first == second != bootstrap(people(20), STATISTICS, seed=4)


@pytest.mark.parametrize("confusions", [people(68), single_samples(3589)], ids=["68 people", "3589 samples"])
def test_it_takes_less_than_a_second(confusions):
    start = time.perf_counter()
    bootstrap(confusions, STATISTICS)
    assert time.perf_counter() - start < 1


def test_one_person_has_no_interval():
    with pytest.raises(ValueError, match="at least 2 groups, each with a sample, found 1 groups"):
        bootstrap(people(1), STATISTICS)


def test_a_person_without_samples_is_refused():
    with pytest.raises(ValueError, match="each with a sample"):
        bootstrap(np.array([np.zeros((2, 2)), np.eye(2)]), STATISTICS)
