"""Fixtures shared by all tests."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs import HOUSE, SMALL, command, configure


@pytest.fixture(scope="session")
def fer_raw() -> Path:
    """The folder with real data; tests that need it are skipped, with the reason, where it is not given."""
    value = os.environ.get("FER_RAW")
    if not value:
        pytest.skip("FER_RAW is not set: no real data to test on")
    root = Path(value).resolve()
    if not root.is_dir():
        pytest.fail(f"FER_RAW={value} is not a folder")
    return root


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
