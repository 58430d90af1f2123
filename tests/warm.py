"""Processes that begin with everything imported: a server imports it once, and each of them is a fork of it.

A fresh Python takes four to five seconds of processor time for torch and Lightning, ten times what it then does in a
test. Apart from what is imported these are processes as any other: with their own number, environment, folder and
output, started with pickled arguments, killed by signals, and ended by Python itself. That the commands also run in a
Python that has imported nothing is tested too: by `subprocess`, once for each of them.
"""

import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.context import SpawnProcess
from multiprocessing.popen_forkserver import Popen
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryFile
from typing import Any

from tests.runs import HOUSE

#: What the server imports. Nothing that a command is started as: `python -m` runs that itself.
IMPORTED = ["torch", "pytorch_lightning", "fer_lightning.run", "tests.warm"]
#: How `multiprocessing` itself starts a process.
COLD = SpawnProcess.__dict__["_Popen"]


class _Shared:
    """A file that is open here and will be open in the process that is started.

    Args:
        number: of the open file, here.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _received, (DupFd(self.number),)


def _received(file: Any) -> int:
    return file.detach()


def _enter(environment: dict, folder: str, outputs: list[int], target: Callable, *arguments: Any, **named: Any) -> None:
    """What the process does: with the environment, folder and output of who has started it, not of the server."""
    assert "pytorch_lightning" in sys.modules, "the server has not imported what it should"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in its background without it
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, file in enumerate(outputs, start=1):
        os.dup2(file, number)
        os.close(file)
    target(*arguments, **named)


def _popen(process: BaseProcess) -> Popen:
    forkserver.set_forkserver_preload(IMPORTED)
    with chdir(HOUSE):  # where its imports are looked for
        forkserver.ensure_running()
    own = process._target, process._args
    shared = [_Shared(number) for number in getattr(process, "outputs", (1, 2))]
    process._target, process._args = _enter, (dict(os.environ), os.getcwd(), shared, own[0], *own[1])
    try:
        return Popen(process)
    finally:
        process._target, process._args = own


@contextmanager
def spawned(cold: bool = False) -> Iterator[None]:
    """Within it what `multiprocessing` would spawn is forked from the server; if `cold`, spawned all the same."""
    before = SpawnProcess.__dict__["_Popen"]
    SpawnProcess._Popen = COLD if cold else staticmethod(_popen)
    try:
        yield
    finally:
        SpawnProcess._Popen = before


def begin(arguments: Sequence[str], environment: dict[str, str], outputs: tuple[int, int] = (1, 2)) -> BaseProcess:
    """`python <arguments>`, begun at the root of the repository; `outputs`: open files for what it prints."""
    process = get_context("spawn").Process(target=_python, args=(list(arguments), environment))
    process.outputs = outputs
    with spawned():
        process.start()
    return process


def run(arguments: Sequence[str], environment: dict[str, str], timeout: float = 300) -> CompletedProcess:
    """`python <arguments>` to its end.

    Raises:
        TimeoutExpired: it did not end within `timeout` seconds, and was killed.
    """
    with TemporaryFile("w+") as out, TemporaryFile("w+") as error:
        process = begin(arguments, environment, (out.fileno(), error.fileno()))
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutExpired(list(arguments), timeout)
        texts = [file.seek(0) or file.read() for file in (out, error)]
    return CompletedProcess(list(arguments), process.exitcode, *texts)


def _python(arguments: list[str], environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(HOUSE)
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(str(HOUSE / arguments[0]), run_name="__main__")
