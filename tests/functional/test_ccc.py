"""Scores of continuous values: by hand, against two-pass formulas, scikit-learn and torchmetrics, as sums of parts."""

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.functional.regression import concordance_corrcoef

from fer_lightning.functional.circumplex import PROTOTYPES, emotions
from fer_lightning.functional.continuous import best_epoch, bootstrap_sums, ccc, mae, rmse, sagr, terms


def two_pass(x: np.ndarray, y: np.ndarray) -> float:
    return 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def score(function, x, y) -> list[float]:
    columns = [np.asarray(values, dtype=float).reshape(len(x), -1) for values in (x, y)]
    return function(terms(*columns).sum(axis=0)).tolist()


def pair(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.clip(rng.normal(0.1, 0.4, (n, 2)), -1, 1)
    return x, np.clip(0.6 * x + rng.normal(0.2, 0.3, (n, 2)), -1, 1)


def test_by_hand():
    # means 0 and 1/2, variances 1/2 and 1/4 (over n = 4), covariance 1/4: 2/4 / (1/2 + 1/4 + 1/4)
    x, y = [-1, 0, 0, 1], [0, 0, 1, 1]
    assert score(ccc, x, y) == pytest.approx([0.5])
    assert score(rmse, x, y) == pytest.approx([np.sqrt(2 / 4)])
    assert score(mae, x, y) == pytest.approx([2 / 4])
    assert score(sagr, x, y) == pytest.approx([2 / 4])  # 0 and 0, 1 and 1


@pytest.mark.parametrize("seed", range(5))
def test_against_other_implementations(seed):
    x, y = pair(seed, n=7 + 50 * seed)
    assert score(ccc, x, y) == pytest.approx([two_pass(x[:, i], y[:, i]) for i in (0, 1)])
    assert score(rmse, x, y) == pytest.approx(reference.root_mean_squared_error(x, y, multioutput="raw_values"))
    assert score(mae, x, y) == pytest.approx(reference.mean_absolute_error(x, y, multioutput="raw_values"))


def test_torchmetrics_differs_by_its_variances_over_n_minus_1():
    x, y = pair(0, n=9)
    var_x, var_y, cov = x.var(0, ddof=1), y.var(0, ddof=1), (x * y).mean(0) - x.mean(0) * y.mean(0)
    theirs = concordance_corrcoef(torch.from_numpy(y), torch.from_numpy(x)).numpy()
    assert theirs == pytest.approx(2 * cov * 9 / 8 / (var_x + var_y + (x.mean(0) - y.mean(0)) ** 2))
    assert not np.allclose(theirs, score(ccc, x, y), atol=1e-3)
    many = pair(1, n=100_000)
    theirs = concordance_corrcoef(torch.from_numpy(many[1]), torch.from_numpy(many[0])).numpy()
    assert theirs == pytest.approx(score(ccc, *many), abs=1e-5)


@pytest.mark.parametrize("function", [ccc, rmse, mae, sagr])
def test_sums_of_parts_are_the_sums_of_the_whole_and_means_of_parts_are_not(function):
    x, y = pair(3)
    whole, parts = terms(x, y), np.split(np.arange(len(x)), [1, 64, 70])
    added = sum(whole[part].sum(axis=0) for part in parts)
    assert function(added) == pytest.approx(score(function, x, y))
    mean = np.mean([function(whole[part].sum(axis=0)) for part in parts], axis=0)
    assert not np.allclose(mean, function(added), atol=1e-3)


def test_samples_without_annotation_do_not_count_in_the_value_they_lack():
    x, y = pair(4)
    torn = x.copy()
    torn[:20, 0], torn[10:50, 1] = -5, np.nan
    known = np.isfinite(torn) & (torn > -5)
    expected = [two_pass(x[known[:, i], i], y[known[:, i], i]) for i in (0, 1)]
    assert score(ccc, torn, y) == pytest.approx(expected)
    assert terms(torn, y).sum(axis=0)[:, 0].tolist() == [180, 160]


def test_limits():
    x = np.array([-0.5, 0.1, 0.7])
    assert score(ccc, x, x) == pytest.approx([1])
    assert score(ccc, x, 0.2 - x) == pytest.approx([-1])  # mirrored at its mean
    assert score(ccc, x, [0.3, 0.3, 0.3]) == pytest.approx([0])
    assert score(ccc, [0.1] * 3, [0.1] * 3) == [0], "0 / 0, and rounding must not make anything else of it"
    assert score(ccc, [0.4], [0.2]) == [0]
    for function in (ccc, rmse, mae, sagr):
        assert np.isnan(function(np.zeros((1, 8)))).all()


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"target \(3, 1\) and predicted \(3,\)"):
        terms(np.zeros((3, 1)), np.zeros(3))


def test_the_bootstrap_draws_whole_groups():
    x, y = pair(5, n=60)
    group = np.random.default_rng(0).integers(6, size=60)
    sums = np.stack([terms(x[group == g], y[group == g]).sum(axis=0) for g in range(6)])
    found = bootstrap_sums(sums, {"first": lambda s: ccc(s)[:, 0]}, resamples=300, level=0.9, seed=7)
    values = []
    for counts in np.random.default_rng(7).multinomial(6, np.full(6, 1 / 6), size=300):
        rows = np.concatenate([np.flatnonzero(group == g) for g in range(6) for _ in range(counts[g])])
        values.append(two_pass(x[rows, 0], y[rows, 0]))
    assert found["first"] == pytest.approx(tuple(np.quantile(values, (0.05, 0.95))))
    with pytest.raises(ValueError, match="at least 2 groups, found 1"):
        bootstrap_sums(sums[:1], {})


def test_the_oracle_takes_the_epoch_with_the_highest_ccc_and_the_earliest_of_equals():
    x, y = pair(6)
    assert best_epoch(np.stack([-x, y, x, x]), x) == 2


def test_a_diverged_prediction_has_no_ccc_and_is_never_the_best():
    x, y = pair(6)
    broken = y.copy()
    broken[0, 0] = np.nan
    assert np.isnan(ccc(terms(x, broken).sum(axis=0))).tolist() == [True, *[False] * (x.shape[1] - 1)]
    with pytest.raises(ValueError, match="not a number: training has diverged"):
        best_epoch(np.stack([y, broken]), x)


def test_a_value_that_no_held_out_sample_has_does_not_choose_the_epoch():
    x, y = pair(6)
    partly = x.copy()
    partly[:, 0] = np.nan
    assert best_epoch(np.stack([-x, y, x, -x]), partly) == 2
    assert best_epoch(np.stack([-x, x]), np.full_like(x, np.nan)) == 0


def test_each_prototype_is_its_own_emotion_and_the_middle_is_neutral():
    points = np.array(list(PROTOTYPES.values()))
    assert emotions(points[:, 0], points[:, 1]).tolist() == list(PROTOTYPES)
    assert emotions(np.array([0.0, 0.19, 0.21]), np.zeros(3)).tolist() == ["neutral", "neutral", "surprise"]
    assert emotions(np.array([0.19]), np.zeros(1), neutral_radius=0).tolist() == ["surprise"]
    assert emotions(np.array([0.9]), np.array([-0.9]), prototypes={"calm": (0.5, -0.8)}).tolist() == ["calm"]


@pytest.mark.parametrize("value", [-5.0, np.nan, 1.01])
def test_points_outside_the_plane_are_refused(value):
    with pytest.raises(ValueError, match=r"must be in \[-1, 1\], found \[0\.0, "):
        emotions(np.array([0.0, 0.0]), np.array([0.1, value]))
