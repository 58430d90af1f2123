"""Fixtures shared by all tests."""

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing import active_children
from pathlib import Path

import pytest

from tests import warm
from tests.runs import SMALL, configure


@pytest.fixture(scope="session", autouse=True)
def warm_processes() -> Iterator[None]:
    """What the tests spawn in this process does not begin with imports, see `tests.warm`."""
    with warm.spawned():
        yield
    for left in active_children():  # of a test that failed: else Python would wait for it at its end
        left.kill()


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


def runner(patch: pytest.MonkeyPatch, raw: Path, folder: Path) -> Callable[..., Path]:
    """What `run_here` gives, for results below `folder`."""
    from fer_lightning.identity import run_folder
    from fer_lightning.run import run

    patch.setenv("FER_RAW", str(raw))
    patch.setenv("FER_CACHE", str(raw / "cache"))

    def start(*overrides: str, runs: str = "runs") -> Path:
        patch.setenv("FER_RUNS", str(folder / runs))
        cfg = configure(*[o for o in SMALL if o != "debug=tiny"], "trainer.max_epochs=3", *overrides)
        run(cfg)
        return run_folder(cfg)

    return start


@pytest.fixture
def run_here(tiny_raw, tmp_path, monkeypatch) -> Callable[..., Path]:
    """Run one cell in this process; returns its run folder. Keyword `runs` names the folder of results."""
    return runner(monkeypatch, tiny_raw, tmp_path)


@pytest.fixture(scope="module")
def whole(tiny_raw, tmp_path_factory) -> Callable[..., Path]:
    """As `run_here`, for tests of one file that compare with the same run: made once, and not to be changed."""

    @cache
    def start(*overrides: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            return runner(patch, tiny_raw, tmp_path_factory.mktemp("whole"))(*overrides)

    return start


@pytest.fixture
def environment(tiny_raw, tmp_path) -> dict[str, str]:
    """The environment of a user whose raw folder is the tiny one."""
    return os.environ | {"FER_RAW": str(tiny_raw), "FER_RUNS": str(tmp_path / "runs")}


@pytest.fixture
def start(environment) -> Callable[..., subprocess.CompletedProcess]:
    """`python train.py <overrides>` in a process of its own, to its end; it begins with all imported, see `warm`."""
    return lambda *overrides, **more: warm.run(["train.py", *overrides], environment | more)
