"""One fold in several processes: rank 0 leads, the others follow it from fold to fold.

Rank 0 builds the data, holds the locks and writes; the others wait until it names a fold, train it with rank 0 and give
it what they predict. On one node rank 0 starts them. On several, srun or torchrun starts the same command in each.
"""

import os
import signal
import sys
import threading
import traceback
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing import connection, get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning_fabric.plugins.environments.lightning import find_free_network_port
from omegaconf import DictConfig, OmegaConf

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.data.manifest import lent, load
from fer_lightning.errors import FERError
from fer_lightning.functional.folds import Fold
from fer_lightning.memory import keep_freed_memory
from fer_lightning.protocols.ddp import on_gpu, processes, started_outside
from fer_lightning.protocols.fold import fit_and_predict
from fer_lightning.ranks import join, leave, told, world
from fer_lightning.resolvers import register

#: Seconds after which this process ends when another one has failed and it still waits for it: NCCL does not notice.
GRACE = 60.0


@contextmanager
def met(cfg: DictConfig) -> Iterator[bool]:
    """Meet the processes that srun or torchrun has started; gives whether this one leads. Alone it does.

    Raises:
        ConfigError: they are not as many as the config says.
    """
    outside = started_outside(cfg)
    if outside is None:
        yield True
        return
    place, number = outside.global_rank(), outside.world_size()
    purpose = hex(zlib.crc32(OmegaConf.to_yaml(cfg, resolve=True).encode()))  # this cell of a sweep
    join(outside.main_address, outside.main_port, place, number, on_gpu(cfg), purpose)
    try:
        yield place == 0
        if place == 0:
            told(None)
    finally:
        leave()


@contextmanager
def led(cfg: DictConfig, data: FERDataModule, out: Path, todo: Sequence[Fold]) -> Iterator[None]:
    """Within it the other processes, if there shall be some, follow this one through its folds.

    Raises:
        FERError: why another process failed.
    """
    number = processes(cfg)
    if number == 1 or not (todo or world() > 1):
        yield
        return
    settings, cache_dir = OmegaConf.to_container(cfg, resolve=True), data.cache.folder.parent
    with lent(data.manifest, out) as manifest, _started(number, on_gpu(cfg)) if world() == 1 else nullcontext():
        told((settings, manifest, cache_dir, out, torch.get_num_threads()))
        yield
        told(None)


def follow() -> None:
    """Do what rank 0 does, fold by fold, until it has no more."""
    register()
    while (job := told()) is not None:
        config, manifest, cache_dir, out, threads = job
        cfg = OmegaConf.create(config)
        if not on_gpu(cfg):
            keep_freed_memory()
        torch.set_num_threads(threads)
        data: FERDataModule = instantiate(cfg.data)
        data.manifest = load(manifest)
        data.prepare(cache_dir)
        while (fold := told()) is not None:
            fit_and_predict(cfg, data, fold, out, lambda line: None)


@contextmanager
def _started(number: int, gpu: bool) -> Iterator[None]:
    """Start the other processes of this node and end them."""
    context, port = get_context("spawn"), find_free_network_port()
    errors, over = context.SimpleQueue(), threading.Event()
    others = [context.Process(target=_other, args=(place, number, port, gpu, errors)) for place in range(1, number)]
    for other in others:
        other.start()
    threading.Thread(target=_watch, args=(others, errors, over), daemon=True).start()
    try:
        join("127.0.0.1", port, 0, number, gpu)
        yield
        told(None)
        for other in others:
            other.join()
    except Exception as error:
        # A connection that was closed: the process at its other end knows why.
        if isinstance(error, RuntimeError) or type(error) is FERError:
            _blame(others, errors)
        raise
    finally:
        over.set()
        for other in others:
            other.kill()  # Lightning catches SIGTERM
            other.join()
        leave()


def _other(place: int, number: int, port: int, gpu: bool, errors: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches rank 0 as well, and that ends this process
    try:
        join("127.0.0.1", port, place, number, gpu)
        follow()
    except Exception as error:
        if not isinstance(error, FERError):
            traceback.print_exc()  # rank 0 can show the message only, not where it came from
        errors.put(error if isinstance(error, FERError) else FERError(f"{type(error).__name__}: {error}"))
        sys.exit(1)
    leave()


def _blame(others: Sequence[SpawnProcess], errors: Any) -> None:
    """Raise the error by which another process ended; return if they go on."""
    connection.wait([other.sentinel for other in others], timeout=5.0)
    if not errors.empty():
        raise errors.get() from None
    codes = [other.exitcode for other in others if other.exitcode]
    if codes:
        raise FERError(
            f"a process of the fold ended with exit code {codes[0]} (negative: killed by that signal; -9 is often too "
            "little memory). Run the same command again: finished folds are skipped"
        ) from None


def _watch(others: Sequence[SpawnProcess], errors: Any, over: threading.Event) -> None:
    """End this process if another one ends before its time and this one does not notice."""
    # No exit codes: asked for in two threads at once, one of them gets none.
    connection.wait([other.sentinel for other in others])
    if not over.wait(GRACE):
        why = "killed?" if errors.empty() else errors.get()
        print(f"another process of this fold has failed: {why}", file=sys.stderr, flush=True)
        os._exit(1)
