"""The sharpest self-test of honest evaluation: a network that guesses must score what guessing scores.

Guessing among three classes with 250, 109 and 83 samples has an expected UF1 of .314 and UAR of .333; one run on 442
samples scatters by about .022, so the honest figure is the mean of three seeds.
"""

import json

import numpy as np
import pytest

from fer_lightning.identity import run_folder
from fer_lightning.run import run
from tests.runs import configure


@pytest.fixture
def scores(fer_raw, tmp_path):
    """Scores of the guesser on the real MEGC2019 labels, through the default path of `data=megc2019_flow`."""

    def start(*overrides: str) -> dict:
        places = [f"paths.raw={fer_raw}", f"paths.runs={tmp_path}", "data.batch_size=442"]
        cfg = configure("model=random_guess", "data=megc2019_flow", *places, *overrides)
        run(cfg)
        return json.loads((run_folder(cfg) / "scores.json").read_text())

    return start


@pytest.mark.slow
def test_a_random_guesser_scores_a_third_by_default(scores):
    found = [scores("trainer.max_epochs=1", f"seed={seed}") for seed in range(3)]
    assert {(one["samples"], one["folds"], one["selection"]) for one in found} == {(442, 68, "last")}
    assert np.mean([one["uf1"] for one in found]) == pytest.approx(0.33, abs=0.05)
    assert np.mean([one["uar"] for one in found]) == pytest.approx(0.333, abs=0.05)


@pytest.mark.slow
def test_thirty_looks_at_the_test_samples_lift_a_guesser_far_above_chance(scores):
    oracle = scores("protocol.selection=oracle_test", "trainer.max_epochs=30")
    assert oracle["honest"]["uf1"] < 0.4
    assert oracle["uf1"] > 0.6
    assert oracle["honest"]["oracle_gap_uf1"] > 0.25
