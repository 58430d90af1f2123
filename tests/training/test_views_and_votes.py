"""Whole runs with augmentation, test-time views and soft labels."""

import json

import numpy as np
import pytest
import torch

from fer_lightning.errors import ConfigError
from fer_lightning.identity import run_folder
from fer_lightning.run import run
from fer_lightning.tasks.classification import ClassificationTask
from tests.runs import configure, read


@pytest.fixture
def tiny(tmp_path):
    """Run one cell on synthetic data; returns its run folder."""

    def start(*overrides: str):
        options = ["debug=tiny", "trainer.max_epochs=2", "optimizer.lr=0.001", f"paths.runs={tmp_path}"]
        cfg = configure(*options, *overrides)
        run(cfg)
        return run_folder(cfg)

    return start


@pytest.mark.slow
def test_predictions_are_the_mean_of_the_saved_views(tiny):
    out = tiny("model=arch1", "data=fer2013", "augment=vggspinal")
    table = read(out, "predictions/holdout.csv")
    with np.load(out / "views" / "holdout.npz") as views:
        assert views["sample_id"].tolist() == table["sample_id"].tolist()
        assert views["probabilities"].shape == (len(table), 10, 7)
        assert len(set(views["view"].tolist())) == 10
        assert (views["probabilities"].std(axis=1) > 0).any(), "ten equal views"
        mean = views["probabilities"].mean(axis=1)
    assert np.allclose(table.filter(like="p_"), mean, atol=1e-6)
    assert json.loads((out / "scores.json").read_text())["samples"] == len(table)


@pytest.mark.slow
def test_faces_learn_from_the_shares_of_votes(tiny):
    out = tiny("model=arch1", "data=ferplus_votes")
    assert len(read(out, "predictions/holdout.csv")) > 0
    assert (read(out, "curves/holdout.csv")["train_loss"] > 0).all()


def test_the_loss_of_votes_is_their_cross_entropy():
    task = ClassificationTask(
        torch.nn.Flatten(), torch.nn.CrossEntropyLoss(), torch.optim.SGD, {"scheduler": None}, 2, soft_target=True
    )
    logits = torch.tensor([[0.0, 0.0], [0.0, float(np.log(3))]])  # probabilities 1/2, 1/2 and 1/4, 3/4
    shares = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    loss = task.training_step({"input": logits, "label": torch.tensor([0, 0]), "target": shares}, 0)
    expected = (np.log(2) + 0.5 * np.log(4) + 0.5 * np.log(4 / 3)) / 2
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_votes_need_a_column_for_each_class(tiny):
    with pytest.raises(ConfigError, match=r"one column of the manifest per class.*ferplus_votes"):
        tiny("model=arch1", "data=fer2013", "task=distribution")
