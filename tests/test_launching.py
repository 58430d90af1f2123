"""What is decided before jobs start: whether a launcher can be used, and which GPU a fold gets."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from pytorch_lightning.utilities.exceptions import SIGTERMException

import train
from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.datasets import contract
from fer_lightning.errors import ConfigError
from fer_lightning.identity import run_folder
from fer_lightning.launching import PLUGINS, check_launcher
from fer_lightning.planning import _write_tiny
from fer_lightning.protocols.devices import check_gpus, cores, deal_gpu
from tests.runs import HOUSE, SMALL, configure

LAUNCHERS = sorted(file.stem for file in (HOUSE / "conf" / "launcher").glob("*.yaml"))


def with_hydra(*overrides: str):
    with initialize_config_dir(str(HOUSE / "conf"), version_base="1.3"):
        return compose("config", [*SMALL, *overrides], return_hydra_config=True)


def test_every_launcher_but_hydras_own_says_which_plugin_it_needs():
    assert sorted([*PLUGINS, "local"]) == LAUNCHERS


@pytest.mark.parametrize("launcher", PLUGINS)
def test_a_missing_plugin_is_named_with_what_installs_it(launcher, monkeypatch):
    package, command = PLUGINS[launcher]
    monkeypatch.setitem(sys.modules, f"hydra_plugins.{package}", None)  # importing it fails
    with pytest.raises(ConfigError, match=f"launcher={launcher} needs the package {package}: {command}"):
        check_launcher([*SMALL, f"launcher={launcher}", "-m"])


def test_a_launcher_that_would_start_nothing_is_refused():
    with pytest.raises(ConfigError, match="launcher=joblib starts the jobs of a multirun: put -m at the end"):
        check_launcher([*SMALL, "launcher=joblib"])
    check_launcher([*SMALL, "launcher=joblib", "--cfg", "job"])
    check_launcher([*SMALL, "launcher=local"])
    check_launcher(SMALL)


def test_a_ray_cluster_of_its_own_has_a_token_and_a_foreign_one_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "hydra_plugins.hydra_ray_launcher", ModuleType("hydra_ray_launcher"))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    check_launcher(["launcher=ray", "launcher.address=auto", "-m"])
    assert "RAY_AUTH_MODE" not in os.environ
    check_launcher(["launcher=ray", "-m"])
    assert (os.environ["RAY_AUTH_MODE"], len(os.environ["RAY_AUTH_TOKEN"])) == ("token", 64)


def test_slurm_asks_for_what_the_trainer_uses():
    launcher = with_hydra("launcher=slurm").hydra.launcher
    assert (launcher.nodes, launcher.tasks_per_node, launcher.gpus_per_node) == (1, 1, 1)
    assert launcher.max_num_timeout > 0, "a job at its time limit would end instead of going on"
    launcher = with_hydra("launcher=slurm", "trainer=ddp", "trainer.devices=4", "trainer.num_nodes=2").hydra.launcher
    assert (launcher.nodes, launcher.tasks_per_node, launcher.gpus_per_node) == (2, 4, 4)


@pytest.mark.parametrize("where", ["launcher=joblib", "launcher=slurm", "protocol.gpus=[0,1]"])
def test_where_a_run_is_trained_does_not_make_it_another_run(where):
    assert run_folder(configure(*SMALL, where)) == run_folder(configure(*SMALL))


@pytest.mark.parametrize(
    ("gpus", "workers", "dealt"),
    [
        ("[0,1,2,3]", 4, [0, 1, 2, 3]),
        ("[0,1,2,3]", 2, [0, 1]),
        ("[5,7]", 3, [5, 7, 5]),
        ("[2]", 2, [2, 2]),
    ],
)
def test_folds_side_by_side_go_round_the_gpus(gpus, workers, dealt):
    cfg = configure(*SMALL, f"protocol.gpus={gpus}")
    assert [list(deal_gpu(cfg, worker, workers).trainer.devices) for worker in range(workers)] == [[g] for g in dealt]
    assert cfg.trainer.devices == 1, "the config of the run was changed"
    assert deal_gpu(configure(*SMALL), 1, 2).trainer.devices == 1


@pytest.mark.parametrize(("job", "dealt"), [(0, [0, 1]), (1, [2, 3]), (2, [0, 1]), (3, [2, 3])])
def test_jobs_side_by_side_take_the_next_gpus(job, dealt, monkeypatch):
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    HydraConfig.instance().set_config(with_hydra(f"hydra.job.num={job}", "hydra.job.id=x"))
    cfg = configure(*SMALL, "protocol.gpus=[0,1,2,3]")
    assert [deal_gpu(cfg, worker, 2).trainer.devices[0] for worker in range(2)] == dealt


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["protocol.gpus=[0,2]"], r"protocol.gpus=\[0, 2\] must name GPUs that can be used: here they are \[0, 1\]"),
        (["protocol.gpus=[-1]"], "must name GPUs"),
        (["protocol.gpus=[]"], "must name GPUs"),
        (["protocol.gpus=[0]", "trainer.accelerator=cpu"], r"here they are \[\] \(trainer.accelerator=cpu\)"),
        (["protocol.gpus=[0,1]", "trainer.devices=2"], "each fold one GPU, trainer.devices=2 several"),
    ],
)
def test_gpus_that_cannot_be_dealt_are_refused(options, reason, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    check_gpus(configure(*SMALL, "protocol.gpus=[1,0]"))
    with pytest.raises(ConfigError, match=reason):
        check_gpus(configure(*SMALL, *options))


def test_a_job_uses_the_cores_it_was_given(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cores.__wrapped__() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= cores.__wrapped__() <= os.cpu_count()


def test_jobs_that_begin_together_write_the_synthetic_data_once(tmp_path):
    written = []

    class Data(FERDataModule):
        def __init__(self) -> None:
            self.root, self.tops = tmp_path / "tiny" / "name", []

        def tiny(self, root: Path) -> None:
            time.sleep(0.05)
            root.mkdir()
            contract.mark_synthetic(root)
            written.append(root)

    with ThreadPoolExecutor(4) as jobs:
        list(jobs.map(lambda _: _write_tiny(Data()), range(4)))
    assert written == [tmp_path / "tiny" / "name"]


@pytest.mark.parametrize(
    ("stopped", "code"),
    [(KeyboardInterrupt(), 130), (SystemExit(1), 130), (SIGTERMException(), 143), (SystemExit(2), None)],
)
def test_a_run_that_was_stopped_never_ends_as_a_finished_one(stopped, code):
    """Lightning makes a SystemExit without a code of SIGTERM, which would be 0, and one with 1 of Ctrl-C."""
    assert train._exit_code(stopped) == code
