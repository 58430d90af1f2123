"""The scores: by hand, against scikit-learn, and against the integers of the WASPP paper."""

import numpy as np
import pytest
from sklearn import metrics as reference

from fer_lightning.functional.metrics import (
    accuracy,
    accuracy_one_vs_rest,
    confusion,
    mcc,
    per_class,
    uar,
    uf1,
    weighted_f1,
)

SCORES = (accuracy, uf1, uar, weighted_f1, mcc, accuracy_one_vs_rest)


def with_hits(hits: int, samples: int, classes: int = 3) -> np.ndarray:
    counts = np.zeros((classes, classes), dtype=int)
    counts[0, 0], counts[1, 0] = hits, samples - hits
    return counts


def test_confusion_has_the_true_class_in_rows():
    assert confusion([0, 0, 2], [1, 0, 2], num_classes=3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_uf1_and_uar_by_hand():
    # class 0: TP 2, FP 1, FN 0 -> F1 4/5, recall 1;  class 1: TP 1, FP 0, FN 1 -> F1 2/3, recall 1/2
    counts = np.array([[2, 0], [1, 1]])
    assert uf1(counts) == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert uar(counts) == pytest.approx(3 / 4)


@pytest.mark.parametrize("seed", range(10))
def test_scores_agree_with_sklearn(seed):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 9))
    target = np.concatenate([np.arange(classes), rng.integers(classes, size=150)])
    predicted = np.where(rng.random(len(target)) < 0.5, target, rng.integers(classes, size=len(target)))
    counts = confusion(target, predicted, classes)
    assert counts.tolist() == reference.confusion_matrix(target, predicted).tolist()
    assert accuracy(counts) == pytest.approx(reference.accuracy_score(target, predicted))
    assert uf1(counts) == pytest.approx(reference.f1_score(target, predicted, average="macro"))
    assert uar(counts) == pytest.approx(reference.balanced_accuracy_score(target, predicted))
    assert weighted_f1(counts) == pytest.approx(reference.f1_score(target, predicted, average="weighted"))
    assert mcc(counts) == pytest.approx(reference.matthews_corrcoef(target, predicted))
    expected = reference.precision_recall_fscore_support(target, predicted, zero_division=0)
    for ours, theirs in zip(per_class(counts).values(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs)
    rest = [reference.accuracy_score(target == c, predicted == c) for c in range(classes)]
    assert accuracy_one_vs_rest(counts) == pytest.approx(np.mean(rest))


@pytest.mark.parametrize(
    ("hits", "samples", "printed"),
    [(312, 441, 80.50), (128, 145, 92.18), (75, 132, 71.21), (109, 164, 77.64)],
)
def test_accuracy_of_the_waspp_paper(hits, samples, printed):
    counts = with_hits(hits, samples)
    assert round(100 * accuracy_one_vs_rest(counts), 2) == printed
    # what the paper prints as F1 is the plain hit rate, recovered from its accuracy
    assert accuracy(counts) == pytest.approx(1 - 1.5 * (1 - accuracy_one_vs_rest(counts)))


def test_one_vs_rest_equals_accuracy_for_two_classes():
    counts = np.array([[7, 3], [2, 8]])
    assert accuracy_one_vs_rest(counts) == pytest.approx(accuracy(counts))


def test_a_class_without_true_samples_is_left_out_but_still_costs():
    counts = np.array([[3, 0, 1], [0, 4, 0], [0, 0, 0]])
    f1_of_first = 2 * 3 / (4 + 3)
    assert uf1(counts) == pytest.approx((f1_of_first + 1) / 2)
    assert uar(counts) == pytest.approx((3 / 4 + 1) / 2)
    target, predicted = [0] * 4 + [1] * 4, [0, 0, 0, 2] + [1] * 4
    present = {"labels": [0, 1], "average": "macro"}
    assert uf1(counts) == pytest.approx(reference.f1_score(target, predicted, **present))
    assert uar(counts) == pytest.approx(reference.recall_score(target, predicted, **present))


def test_mcc_of_a_constant_prediction_is_zero():
    assert mcc(np.array([[5, 0], [5, 0]])) == 0.0


def test_without_samples_there_is_no_score():
    assert all(np.isnan(score(np.zeros((3, 3), dtype=int))) for score in SCORES)


@pytest.mark.parametrize("score", SCORES)
def test_stacked_counts_are_scored_one_by_one(score):
    stack = np.random.default_rng(0).integers(0, 9, size=(4, 5, 3, 3))
    values = score(stack)
    assert values.shape == (4, 5)
    assert values[2, 3] == pytest.approx(score(stack[2, 3]))
    assert isinstance(score(stack[0, 0]), float)


def test_pooled_perfect_predictions_score_one_where_the_mean_over_people_does_not():
    people = [np.diag([2, 0, 0]), np.diag([1, 1, 0]), np.diag([1, 1, 1])]
    assert uf1(np.sum(people, axis=0)) == 1.0
    over_all_classes = [np.mean(per_class(counts)["f1"]) for counts in people]
    assert np.mean(over_all_classes) == pytest.approx((1 / 3 + 2 / 3 + 1) / 3)


def test_confusion_names_the_stray_class():
    with pytest.raises(ValueError, match=r"predicted holds class 3, outside 0\.\.2"):
        confusion(np.array([0]), np.array([3]), num_classes=3)
    with pytest.raises(ValueError, match=r"target holds class -1, outside 0\.\.2"):
        confusion(np.array([-1]), np.array([0]), num_classes=3)


def test_confusion_refuses_probabilities_and_unequal_lengths():
    with pytest.raises(ValueError, match="predicted must hold class indices, found float64"):
        confusion(np.array([0]), np.array([0.7]), num_classes=3)
    with pytest.raises(ValueError, match=r"target \(2,\) and predicted \(1,\)"):
        confusion(np.array([0, 1]), np.array([0]), num_classes=3)
