"""Runs of the whole program on tiny synthetic data: in this process, or as a user starts them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from fer_lightning.resolvers import register

HOUSE = Path(__file__).resolve().parent.parent.parent
#: A network that trains in milliseconds, on the smallest data with subjects.
SMALL = ["model=ststnet", "data=megc2019_flow", "debug=tiny", "optimizer.lr=0.001", "data.batch_size=8"]


def configure(*overrides: str) -> DictConfig:
    """The config of `python train.py <overrides>`."""
    register()
    with initialize_config_dir(str(HOUSE / "conf"), version_base="1.3"):
        return compose("config", list(overrides))


def predictions(folder: Path) -> dict[str, bytes]:
    """File name -> content of the predictions of a run."""
    return {file.name: file.read_bytes() for file in sorted((folder / "predictions").glob("*.csv"))}


def command(*overrides: str) -> list[str]:
    return [sys.executable, "train.py", *overrides]


@pytest.fixture(scope="session")
def tiny_raw(tmp_path_factory) -> Path:
    """A raw folder with synthetic data sets in their real layouts."""
    from fer_lightning.datasets import casme2, fer2013, megc2019_flow

    root = tmp_path_factory.mktemp("raw")
    casme2.write_tiny(root / "casme2")
    fer2013.write_tiny(root / "fer2013")
    megc2019_flow.write_tiny(root / "megc2019")
    return root


@pytest.fixture
def run_here(tiny_raw, tmp_path, monkeypatch) -> Callable[..., Path]:
    """Run one cell in this process; returns its run folder. Keyword `runs` names the folder of results."""
    from fer_lightning.identity import run_folder
    from fer_lightning.run import run

    monkeypatch.setenv("FER_RAW", str(tiny_raw))
    monkeypatch.setenv("FER_CACHE", str(tiny_raw / "cache"))

    def start(*overrides: str, runs: str = "runs") -> Path:
        monkeypatch.setenv("FER_RUNS", str(tmp_path / runs))
        cfg = configure(*[o for o in SMALL if o != "debug=tiny"], "trainer.max_epochs=3", *overrides)
        run(cfg)
        return run_folder(cfg)

    return start


@pytest.fixture
def environment(tiny_raw, tmp_path) -> dict[str, str]:
    """The environment of a user whose raw folder is the tiny one."""
    return os.environ | {"FER_RAW": str(tiny_raw), "FER_RUNS": str(tmp_path / "runs")}


@pytest.fixture
def start(environment) -> Callable[..., subprocess.CompletedProcess]:
    """`python train.py <overrides>` in a process of its own, to its end."""

    def go(*overrides: str, **more: str) -> subprocess.CompletedProcess:
        env = environment | more
        return subprocess.run(command(*overrides), cwd=HOUSE, env=env, capture_output=True, text=True, timeout=300)

    return go


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name, dtype={"sample_id": str, "fold": str}, keep_default_na=False)
