"""A cluster that lives as long as the tests, and the patience to wait for its jobs."""

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.slurm import slurm
from tests.runs import HOUSE, command


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[dict[str, str]]:
    """A running SLURM of two nodes: the environment of its users."""
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def start(environment) -> Callable[..., subprocess.CompletedProcess]:
    """As for all tests, but for more processes at the same time than there are cores."""

    def go(*overrides: str, **more: str) -> subprocess.CompletedProcess:
        env = environment | more
        return subprocess.run(command(*overrides), cwd=HOUSE, env=env, capture_output=True, text=True, timeout=1500)

    return go
