"""Jobs side by side on one machine."""

import pytest

from tests.cluster.cells import FOLD_JOBS, SWEEP, cells, scores

pytestmark = pytest.mark.cluster
JOBLIB = ["launcher=joblib", "launcher.n_jobs=2"]


def test_a_sweep_side_by_side_equals_the_sweep_one_after_the_other(start, tmp_path):
    """From nothing: the jobs must also agree who writes the synthetic data and who makes the cache."""
    one = start(*SWEEP, FER_RUNS=str(tmp_path / "one"))
    two = start(*SWEEP, *JOBLIB, FER_RUNS=str(tmp_path / "two"))
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert [len(files) for files in cells(tmp_path / "one").values()] == [9, 9, 9, 9]
    assert cells(tmp_path / "two") == cells(tmp_path / "one")
    assert scores(tmp_path / "two") == scores(tmp_path / "one")
    assert two.stdout.count("done") == 4, "the table at the end has a line for each cell"
    assert len(list((tmp_path / "two" / "cache").glob("megc2019_flow-*"))) == 1


def test_jobs_on_one_run_folder_share_its_folds_and_score_them_once_all_are_done(start, tmp_path):
    together = start(*FOLD_JOBS[:5], FER_RUNS=str(tmp_path / "one"))
    apart = start(*FOLD_JOBS, "launcher=joblib", "launcher.n_jobs=4", FER_RUNS=str(tmp_path / "two"))
    assert (together.returncode, apart.returncode) == (0, 0), apart.stderr
    assert len(cells(tmp_path / "two")) == 1
    assert cells(tmp_path / "two") == cells(tmp_path / "one")
    assert scores(tmp_path / "two") == scores(tmp_path / "one") != []
