"""Processes that run folds side by side, and the one that started them."""

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fer_lightning.protocols import fold as fold_module
from tests import warm
from tests.runs import HOUSE, SMALL, configure

PATIENCE = 300.0  # seconds, on a machine that does other things too
#: A process that fails at once, before a queue of folds that is longer than a pipe is wide.
MANY = """
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
import pandas as pd
from omegaconf import OmegaConf
from fer_lightning.functional.folds import Fold
from fer_lightning.progress import FoldProgress
from fer_lightning.protocols.parallel import _run_side_by_side
cfg = OmegaConf.create({"data": {"_target_": "no.such.Module"}, "protocol": {"threads": 1, "workers": 2, "gpus": None},
                        "trainer": {"accelerator": "cpu", "devices": 1, "strategy": "auto", "num_nodes": 1}})
data = SimpleNamespace(manifest=pd.DataFrame({"sample_id": ["a"]}), cache=SimpleNamespace(folder=Path("x/y")))
folds = [Fold(str(i), tuple("sample" * 20 + str(k) for k in range(500)), (), (str(i),)) for i in range(40)]
with FoldProgress(40, 0, lambda line: None) as progress:
    _run_side_by_side(cfg, data, folds, Path(mkdtemp()), 1, progress)
"""


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(what, why: str) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, why
        time.sleep(0.2)


def test_a_failure_ends_the_command_although_many_folds_wait(environment):
    found = subprocess.run([sys.executable, "-c", MANY], cwd=HOUSE, env=environment, capture_output=True, text=True,
                           timeout=PATIENCE)  # fmt: skip
    assert found.returncode == 1
    assert "fer_lightning.errors.FERError: InstantiationException: Error locating target" in found.stderr


def test_processes_that_load_samples_end_with_their_fold(run_here, monkeypatch):
    found, fit = [], fold_module.fit_and_predict

    def counted(*arguments):
        fit(*arguments)
        found.append(len(children(os.getpid())))

    monkeypatch.setattr(fold_module, "fit_and_predict", counted)
    gc.disable()  # which would end some of them now and then
    try:
        before = len(children(os.getpid()))
        run_here("protocol.only=[samm-006,samm-007]", "protocol.selection=oracle_test", "data.num_workers=1",
                 "trainer.max_epochs=2")  # fmt: skip
    finally:
        gc.enable()
    assert found == [before] * 2


@pytest.mark.slow
def test_fold_processes_end_when_the_one_that_started_them_is_killed(environment):
    endless = [*SMALL, "protocol=kfold", "protocol.folds.k=2", "protocol.workers=2", "trainer.max_epochs=1000000"]
    started = warm.begin(["train.py", *endless], environment)  # but what it starts begins with nothing imported
    folds = []
    try:
        locks = Path(environment["FER_RUNS"])
        wait_until(lambda: len(list(locks.glob("*/*/*/*/locks/*.lock"))) == 2, "no two folds began")
        folds = children(started.pid)
        assert len(folds) >= 2
        started.kill()
        started.join()
        wait_until(lambda: not any(map(runs, folds)), "processes of folds live on without the one that listens to them")
    finally:
        started.kill()
        for pid in filter(runs, folds):
            subprocess.run(["kill", "-9", str(pid)], check=False)


@pytest.mark.parametrize("protocol", ["kfold", "loso", "published_folds"])
def test_a_fold_has_as_many_threads_alone_as_among_others(protocol):
    # null would divide the cores by the processes, and sums of floats depend on the number of threads
    assert configure("model=arch1", "data=dfew", f"protocol={protocol}").protocol.threads == 1
