"""Paired tests: by hand, against scipy, and by how often they are wrong."""

from itertools import product

import numpy as np
import pytest
from scipy import stats as reference

from fer_lightning.functional.metrics import accuracy, uar, uf1
from fer_lightning.functional.paired import bootstrap_difference, mcnemar, permutation_difference

STATISTICS = {"accuracy": accuracy, "uf1": uf1, "uar": uar}


def groups(count: int, rng: np.random.Generator, skills: tuple[float, float], classes: int = 3, size: int = 4):
    """Counts of two runs over the same samples, each ``(count, classes, classes)``."""
    target = rng.integers(classes, size=(count, size))
    found = []
    for skill in skills:
        predicted = np.where(rng.random(target.shape) < skill, target, rng.integers(classes, size=target.shape))
        counts = np.zeros((count, classes, classes), dtype=int)
        np.add.at(counts, (np.arange(count)[:, None], target, predicted), 1)
        found.append(counts)
    return found


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 2**5), (1, 5, 2 * 7 / 2**6), (3, 3, 1.0), (0, 10, 2 / 2**10)],
)
def test_mcnemar_by_hand(b, c, p):
    assert mcnemar(b, c) == mcnemar(c, b) == pytest.approx(p)


@pytest.mark.parametrize(("b", "c"), [(10, 29), (150, 190), (7, 8)])
def test_mcnemar_is_twice_the_tail_of_the_binomial(b, c):
    assert mcnemar(b, c) == pytest.approx(min(1, 2 * reference.binom.cdf(min(b, c), b + c, 0.5)))


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="needs two counts, found -1 and 2"):
        mcnemar(-1, 2)


def test_a_run_does_not_differ_from_itself():
    counts, _ = groups(20, np.random.default_rng(0), (0.5, 0.5))
    assert set(bootstrap_difference(counts, counts, STATISTICS).values()) == {(0.0, 0.0, 1.0)}
    assert set(permutation_difference(counts, counts, STATISTICS).values()) == {1.0}


def test_two_groups_by_hand():
    # The first run hits all 4 samples of both groups, the second none of one group: a resample gains 0, 1/2 or 1.
    right, wrong = np.diag([4, 0]), np.array([[0, 4], [0, 0]])
    first, second = np.stack([right, right]), np.stack([right, wrong])
    low, high, p = bootstrap_difference(first, second, {"accuracy": accuracy}, resamples=4000)["accuracy"]
    assert (low, high) == (0.0, 1.0)
    assert p == pytest.approx(2 * 0.25, abs=0.04)  # a quarter draws only the group without a difference


@pytest.mark.parametrize("count", [2, 3, 5])
def test_groups_that_all_gain_have_two_of_all_swaps(count):
    first = np.stack([np.diag([4, 0])] * count)
    second = np.stack([np.array([[2, 2], [0, 0]])] * count)
    assert permutation_difference(first, second, {"a": accuracy})["a"] == pytest.approx(2 / 2**count, abs=0.02)


@pytest.mark.parametrize("name", STATISTICS)
def test_the_permutation_test_agrees_with_all_swaps_and_with_scipy(name):
    first, second = groups(9, np.random.default_rng(4), (0.85, 0.4))
    statistic, both = STATISTICS[name], np.concatenate([first, second])

    def gained(one, other, axis=-1):
        return np.asarray(statistic(both[one].sum(axis=-3)) - statistic(both[other].sum(axis=-3)))

    ids = np.arange(9)
    every = [gained(np.where(c, ids + 9, ids), np.where(c, ids, ids + 9)) for c in product([False, True], repeat=9)]
    exact = np.mean(np.abs(every) >= abs(gained(ids, ids + 9)) - 1e-12)
    scipy_p = reference.permutation_test(
        (ids, ids + 9), gained, permutation_type="samples", vectorized=True, n_resamples=np.inf, axis=-1
    ).pvalue
    assert permutation_difference(first, second, STATISTICS)[name] == pytest.approx(exact, abs=0.02)
    assert scipy_p == pytest.approx(exact)


def test_over_single_samples_the_permutation_test_of_hits_is_mcnemar():
    counts = groups(400, np.random.default_rng(1), (0.62, 0.55), size=1)
    hits = [each.trace(axis1=1, axis2=2) for each in counts]
    p = mcnemar(int((hits[0] > hits[1]).sum()), int((hits[0] < hits[1]).sum()))
    assert 0.01 < p < 0.6, "a p that could be missed"
    assert permutation_difference(*counts, STATISTICS)["accuracy"] == pytest.approx(p, abs=0.02)


@pytest.mark.parametrize("name", STATISTICS)
def test_the_bootstrap_agrees_with_scipy(name):
    first, second = groups(60, np.random.default_rng(2), (0.7, 0.6))

    def gained(drawn, axis):
        return STATISTICS[name](first[drawn].sum(axis=-3)) - STATISTICS[name](second[drawn].sum(axis=-3))

    expected = reference.bootstrap(
        (np.arange(60),), gained, n_resamples=4000, method="percentile", rng=np.random.default_rng(1), axis=-1
    ).confidence_interval
    low, high, _ = bootstrap_difference(first, second, STATISTICS, resamples=4000)[name]
    assert low == pytest.approx(expected.low, abs=0.08 * (high - low))
    assert high == pytest.approx(expected.high, abs=0.08 * (high - low))


def test_equal_runs_are_called_different_in_one_of_twenty_cases():
    rng = np.random.default_rng(3)
    trials = [groups(30, rng, (0.6, 0.6)) for _ in range(200)]
    swapped = [permutation_difference(*pair, {"uf1": uf1}, permutations=399)["uf1"] for pair in trials]
    drawn = [bootstrap_difference(*pair, {"uf1": uf1}, resamples=400)["uf1"][2] for pair in trials]
    assert 0 < np.mean(np.array(swapped) <= 0.05) < 0.1
    assert 0 < np.mean(np.array(drawn) <= 0.05) < 0.12  # a percentile bootstrap of 30 groups is a little too eager


def test_samples_of_a_group_that_agree_do_not_count_as_many():
    """Ten people with ten samples each, all or none of them right: McNemar sees 60 against 40 samples."""
    right, wrong = np.diag([10, 0]), np.array([[0, 10], [0, 0]])
    first, second = np.stack([right] * 6 + [wrong] * 4), np.stack([wrong] * 6 + [right] * 4)
    assert mcnemar(60, 40) < 0.06
    assert permutation_difference(first, second, {"a": accuracy})["a"] > 0.7  # exactly: 1 - C(10, 5) / 2**10 = .754


def test_the_same_seed_gives_the_same_figures():
    pair = groups(20, np.random.default_rng(0), (0.8, 0.6))
    assert bootstrap_difference(*pair, STATISTICS, seed=3) == bootstrap_difference(*pair, STATISTICS, seed=3)
    assert permutation_difference(*pair, STATISTICS) == permutation_difference(*pair, STATISTICS)


@pytest.mark.parametrize("test", [bootstrap_difference, permutation_difference])
def test_what_is_no_pair_is_refused(test):
    counts, _ = groups(5, np.random.default_rng(0), (0.5, 0.5))
    with pytest.raises(ValueError, match=r"expected counts .* found \(5, 3, 3\) and \(4, 3, 3\)"):
        test(counts, counts[:4], STATISTICS)
    with pytest.raises(ValueError, match="the same true samples of each class in each group"):
        test(counts, np.roll(counts, 1, axis=1), STATISTICS)


def test_one_group_has_no_bootstrap():
    counts, _ = groups(1, np.random.default_rng(0), (0.5, 0.5))
    with pytest.raises(ValueError, match="a bootstrap needs 2 groups"):
        bootstrap_difference(counts, counts, STATISTICS)
