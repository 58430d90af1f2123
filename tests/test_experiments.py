"""Committed results are rebuilt from their committed prediction files, byte for byte."""

import shutil

import pytest

from fer_lightning.reporting.scores import write_scores
from tests.runs import HOUSE

RUNS = sorted(file.parent for file in (HOUSE / "experiments").rglob("scores.json"))


def test_there_are_results():
    assert RUNS


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.relative_to(HOUSE / "experiments").as_posix())
def test_scores_equal_what_the_prediction_files_say(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "scores.json").unlink()
    assert write_scores(copy)["synthetic"] is False, "a published number comes from real data"
    assert (copy / "scores.json").read_bytes() == (run / "scores.json").read_bytes()
