"""Jobs of a SLURM cluster: fold jobs, a sweep, a job that is interrupted."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster.cells import FOLD_JOBS, SWEEP, cells, scores
from tests.cluster.slurm import said, wait_for
from tests.runs import HOUSE, SMALL, command

pytestmark = pytest.mark.cluster
SLURM = ["launcher=slurm", "launcher.gpus=null", "launcher.cpus=1", "launcher.mem=1"]


def test_one_job_for_each_fold_gives_the_run_of_one_process(start, cluster, tmp_path):
    here = start(*FOLD_JOBS[:5], FER_RUNS=str(tmp_path / "here"))
    jobs = start(*FOLD_JOBS, *SLURM, FER_RUNS=str(tmp_path / "jobs"), **cluster)
    assert (here.returncode, jobs.returncode) == (0, 0), jobs.stderr
    [files] = cells(tmp_path / "here").values()
    assert len(files) == 9
    assert cells(tmp_path / "jobs") == cells(tmp_path / "here")
    assert scores(tmp_path / "jobs") == scores(tmp_path / "here") != []
    assert f"{scores(tmp_path / 'jobs')[0]['uf1']:.3f}" in jobs.stdout, "the pooled score is printed where one waits"


def test_a_sweep_of_slurm_jobs_equals_the_sweep_in_one_process(start, cluster, tmp_path):
    here = start(*SWEEP, FER_RUNS=str(tmp_path / "here"))
    jobs = start(*SWEEP, *SLURM, FER_RUNS=str(tmp_path / "jobs"), **cluster)
    assert (here.returncode, jobs.returncode) == (0, 0), jobs.stderr
    assert [len(files) for files in cells(tmp_path / "here").values()] == [9, 9, 9, 9]
    assert cells(tmp_path / "jobs") == cells(tmp_path / "here")
    assert jobs.stdout.count("done") == 4, "the table at the end has a line for each cell"


def test_two_nodes_that_train_a_fold_together_give_what_one_gives(start, cluster, tmp_path):
    ddp = [*SMALL, "trainer=ddp", "trainer.accelerator=cpu", "protocol.only=[samm-006]", "-m"]
    nodes = ["trainer.devices=1", "trainer.num_nodes=2", 'launcher.setup=["export MASTER_ADDR=127.0.0.1"]']
    alike = {"OMP_NUM_THREADS": "1"}
    here = start(*ddp, "trainer.devices=2", FER_RUNS=str(tmp_path / "here"), **alike)
    jobs = start(*ddp, *SLURM, *nodes, FER_RUNS=str(tmp_path / "jobs"), **alike, **cluster)
    assert (here.returncode, jobs.returncode) == (0, 0), jobs.stderr
    assert len(next(iter(cells(tmp_path / "here").values()))) == 1
    assert cells(tmp_path / "jobs") == cells(tmp_path / "here")


@pytest.mark.parametrize("how", ["signal", "requeue"])
def test_an_interrupted_job_goes_on_after_its_last_checkpoint(start, environment, cluster, tmp_path, how):
    """`signal`: what SLURM sends before the time limit. `requeue`: the job is taken away, as preemption does."""
    long = [*SMALL, "protocol.only=[casme2-sub01,samm-006]", "trainer.max_epochs=40"]
    long += ["+callbacks.epochs._target_=tests.cluster.epochs.WriteEpochs"]
    noted = tmp_path / "epochs"
    whole = start(*long, FER_RUNS=str(tmp_path / "here"), FER_EPOCHS=str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    more = cluster | {"FER_RUNS": str(tmp_path / "jobs"), "FER_EPOCHS": str(noted)}
    waiting = subprocess.Popen(
        command(*long, "-m", *SLURM), cwd=HOUSE, env=environment | more,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: noted.is_file() and len(noted.read_text().splitlines()) >= 60, "epoch 20 of the second fold", 240)
    [first] = list((tmp_path / "jobs").rglob("predictions/casme2-sub01.csv"))
    written = first.stat().st_mtime_ns
    job = said(["squeue", "--noheader", "--format=%i"], cluster)
    said(["scancel", "--signal=USR2", job] if how == "signal" else ["scontrol", "requeue", job], cluster)
    printed, _ = waiting.communicate(timeout=300)
    assert waiting.returncode == 0, printed
    assert cells(tmp_path / "jobs") == cells(tmp_path / "here")
    assert first.stat().st_mtime_ns == written, "the finished fold was done again"
    before, after = by_process(noted)
    assert before == [*range(40), *range(before[-1] + 1)]
    assert after == list(range(after[0], 40))
    assert 0 < before[-1] <= after[0] <= before[-1] + 1, "the open fold goes on where it was"


def by_process(noted: Path) -> list[list[int]]:
    """The epochs that each process began, in the order in which the processes came."""
    lines = [line.split() for line in noted.read_text().splitlines()]
    return [[int(epoch) for at, epoch in lines if at == process] for process in dict.fromkeys(at for at, _ in lines)]
