"""Losses of classes: by hand, against scikit-learn, torch and torchvision, and counted on training samples only."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from fer_lightning.errors import ConfigError
from fer_lightning.functional.folds import Fold
from fer_lightning.protocols.build import build_loss
from fer_lightning.tasks.losses import FocalLoss, WeightedCrossEntropy, class_weights
from tests.runs import configure


def logits(n: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, classes, generator=generator) * 3,
        torch.randint(classes, (n,), generator=generator),
    )


def test_inverse_frequency_is_scikit_learns_balanced():
    counts = [6, 3, 1]
    labels = np.repeat([0, 1, 2], counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights(counts, "inverse", 0.9).tolist() == pytest.approx(expected.tolist())
    assert class_weights([6, 0, 2], "inverse", 0.9).tolist() == pytest.approx([8 / 12, 0, 8 / 4])


def test_the_effective_number_by_hand():
    # beta 1/2: 1 / (1 - 1/2) = 2 and 1 / (1 - 1/4) = 4/3, whose mean is 5/3
    assert class_weights([1, 2], "effective", 0.5).tolist() == pytest.approx([6 / 5, 4 / 5])
    assert class_weights([1, 0, 2], "effective", 0.5).tolist() == pytest.approx([6 / 5, 0, 4 / 5])
    assert class_weights([7, 90], "effective", 0.0).tolist() == [1, 1]
    first, second = class_weights([7, 91], "effective", 1 - 1e-9).tolist()
    assert first / second == pytest.approx(91 / 7, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "beta", "message"),
    [
        ("inverted", 0.9, r"loss\.weights='inverted' is not one of \['inverse', 'effective'\]"),
        ([1.0, 2.0], 0.9, r"expected 3 numbers from 0, in the order of data\.classes"),
        ([1.0, 2.0, -1.0], 0.9, "expected 3 numbers from 0"),
        ([1.0, 2.0, math.nan], 0.9, "expected 3 numbers from 0"),
        ("effective", 1.0, r"loss\.beta=1\.0 is outside \[0, 1\)"),
    ],
)
def test_weights_that_are_none_are_refused(weights, beta, message):
    with pytest.raises(ConfigError, match=message):
        class_weights([1, 2, 3], weights, beta)


def test_the_weighted_loss_is_a_mean_over_samples_and_adds_up():
    found, labels = logits(20, 3)
    loss = WeightedCrossEntropy([1, 2, 3], [1.0, 2.0, 5.0], beta=0.9)
    each = F.cross_entropy(found, labels, torch.tensor([1.0, 2.0, 5.0]), reduction="none")
    assert float(loss(found, labels)) == pytest.approx(float(each.mean()))
    parts = [float(loss(found[rows], labels[rows])) * len(rows) for rows in torch.arange(20).split(7)]
    assert sum(parts) / 20 == pytest.approx(float(loss(found, labels)))
    assert float(loss(found, F.one_hot(labels, 3).float())) == pytest.approx(float(loss(found, labels)))
    assert float(loss(found[:1], labels[:1])) == pytest.approx(float(each[0])), "the weight of a lone sample counts"


def test_equal_weights_are_cross_entropy_also_with_smoothed_labels():
    found, labels = logits(20, 3)
    loss = WeightedCrossEntropy([4, 4, 4], "inverse", 0.9, label_smoothing=0.1)
    assert float(loss(found, labels)) == pytest.approx(float(F.cross_entropy(found, labels, label_smoothing=0.1)))


def test_label_smoothing_by_hand():
    # softmax (1/4, 3/4), target (0.1, 0.9)
    loss = instantiate(configure("loss.label_smoothing=0.2").loss)
    found = float(loss(torch.tensor([[0.0, math.log(3)]]), torch.tensor([1])))
    assert found == pytest.approx(-0.1 * math.log(1 / 4) - 0.9 * math.log(3 / 4))


def test_the_focal_loss_by_hand():
    loss = FocalLoss([1, 1], gamma=2.0, weights=None, beta=0.9)
    found = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    one, two = (1 / 4) ** 2 * math.log(4 / 3), (1 / 2) ** 2 * math.log(2)
    assert float(loss(found, torch.tensor([1, 0]))) == pytest.approx((one + two) / 2)
    shares = torch.tensor([[0.4, 0.6], [1.0, 0.0]])
    mixed = 0.6 * one + 0.4 * (3 / 4) ** 2 * math.log(4)
    assert float(loss(found, shares)) == pytest.approx((mixed + two) / 2)
    weighted = FocalLoss([1, 1], gamma=2.0, weights=[3.0, 1.0], beta=0.9)
    assert float(weighted(found, torch.tensor([1, 0]))) == pytest.approx((one + 3 * two) / 2)


def test_the_focal_loss_without_focus_is_cross_entropy():
    found, labels = logits(50, 5)
    loss = FocalLoss([1] * 5, gamma=0.0, weights=None, beta=0.9)
    assert float(loss(found, labels)) == pytest.approx(float(F.cross_entropy(found, labels)))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_the_focal_loss_of_two_classes_is_torchvisions(gamma):
    z, labels = logits(50, 1)[0][:, 0], logits(50, 2)[1]
    expected = sigmoid_focal_loss(z, labels.float(), alpha=-1, gamma=gamma, reduction="mean")
    loss = FocalLoss([1, 1], gamma=gamma, weights=None, beta=0.9)
    assert float(loss(torch.stack([torch.zeros_like(z), z], dim=1), labels)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_sample_that_is_surely_right_has_a_finite_gradient(gamma):
    found = torch.tensor([[0.0, 200.0], [200.0, 0.0]], requires_grad=True)
    FocalLoss([1, 1], gamma=gamma, weights=None, beta=0.9)(found, torch.tensor([1, 1])).backward()
    assert torch.isfinite(found.grad).all()
    assert found.grad[1].abs().sum() > 0


def test_a_negative_gamma_is_refused():
    with pytest.raises(ConfigError, match=r"loss\.gamma=-1\.0 is below 0"):
        FocalLoss([1, 1], gamma=-1.0, weights=None, beta=0.9)


@pytest.mark.parametrize("loss", ["weighted_cross_entropy", "focal"])
def test_classes_are_counted_on_the_training_samples_of_the_fold(loss):
    cfg = configure("data=megc2019_flow", f"loss={loss}", "loss.weights=inverse")
    labels = ["positive"] * 3 + ["negative"] + ["surprise"] * 20 + ["negative"] * 40
    manifest = pd.DataFrame({"sample_id": [f"s{i:02}" for i in range(len(labels))], "label": labels})
    ids = manifest["sample_id"].tolist()
    fold = Fold("one", tuple(ids[:4]), tuple(ids[4:24]), tuple(ids[24:]))
    weights = build_loss(cfg, fold, manifest).weight
    assert weights.tolist() == pytest.approx([4 / 2, 4 / 6, 0]), (
        "negative, positive, surprise: 1, 3 and 0 are trained on"
    )
