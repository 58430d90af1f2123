"""Jobs as tasks of a Ray cluster, here one that Ray starts for the multirun."""

import pytest

from tests.cluster.cells import cells
from tests.runs import SMALL

pytestmark = pytest.mark.cluster


def test_a_sweep_on_ray_equals_the_sweep_in_one_process(start, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    sweep = [*SMALL, "seed=0,1", "-m"]
    here = start(*sweep, FER_RUNS=str(tmp_path / "one"))
    ray = start(*sweep, "launcher=ray", FER_RUNS=str(tmp_path / "two"), HOME=str(home))
    assert (here.returncode, ray.returncode) == (0, 0), ray.stderr
    assert len(cells(tmp_path / "one")) == 2
    assert cells(tmp_path / "two") == cells(tmp_path / "one")
    assert ray.stdout.count("done") == 2, "the table at the end has a line for each cell"
    assert not (home / ".ray").exists(), "a token was left in the home folder"
