"""The sharpest self-test of honest evaluation: a network that guesses must score what guessing scores."""

import json

import pytest

from fer_lightning.identity import run_folder
from fer_lightning.run import run
from tests.runs import configure


@pytest.mark.slow
def test_a_random_guesser_scores_a_third_by_default_and_far_more_by_the_oracle(fer_raw, tmp_path):
    def scores(*overrides: str) -> dict:
        cfg = configure(
            "model=random_guess", "data=megc2019_flow", "trainer.max_epochs=50", "data.batch_size=442",
            f"paths.raw={fer_raw}", f"paths.runs={tmp_path}", *overrides,
        )  # fmt: skip
        run(cfg)
        return json.loads((run_folder(cfg) / "scores.json").read_text())

    honest = scores()
    assert (honest["samples"], honest["folds"]) == (442, 68)
    assert honest["selection"] == "last"
    assert honest["uf1"] == pytest.approx(0.33, abs=0.05)
    oracle = scores("protocol.selection=oracle_test")
    assert oracle["honest"]["uf1"] == pytest.approx(0.33, abs=0.05)
    assert oracle["uf1"] > 0.6, "fifty looks at the test samples lift a guesser far above chance"
    assert oracle["honest"]["oracle_gap_uf1"] > 0.25
