"""Run the folds of a run: one after the other, or several side by side in processes of their own."""

import os
import queue
import traceback
from collections.abc import Sequence
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.data.manifest import lent, load
from fer_lightning.errors import FERError
from fer_lightning.functional.folds import Fold
from fer_lightning.memory import keep_freed_memory
from fer_lightning.progress import FoldProgress
from fer_lightning.protocols.ddp import processes
from fer_lightning.protocols.devices import cores, deal_gpu
from fer_lightning.protocols.fold import Listener, is_done, run_fold
from fer_lightning.protocols.team import led


def run_folds(
    cfg: DictConfig, data: FERDataModule, folds: Sequence[Fold], out: Path, listen: Listener = lambda line: None
) -> None:
    """Run every fold that has no predictions yet.

    Folds that another process is at are put aside and looked at again when the own ones are done, so two
    processes on one run folder share the work instead of doing it twice. `listen` is told every line of every fold.

    Raises:
        FERError: a fold failed; the folds that were finished keep their files.
    """
    todo = [fold for fold in folds if not is_done(out, fold)]
    workers = min(cfg.protocol.workers, len(todo))
    with FoldProgress(len(folds), len(folds) - len(todo), listen) as progress:
        if workers <= 1:
            _use_processor(cfg, processes(cfg) // cfg.trainer.get("num_nodes", 1))
            with led(cfg, data, out, todo):
                _run_here(deal_gpu(cfg, 0, 1), data, todo, out, progress)
        elif workers > 1:
            _run_side_by_side(cfg, data, todo, out, workers, progress)


def _use_processor(cfg: DictConfig, workers: int) -> None:
    if not torch.cuda.is_available() or cfg.trainer.accelerator == "cpu":
        keep_freed_memory()
    torch.set_num_threads(cfg.protocol.threads or max(1, cores() // workers))


def _run_here(cfg, data, todo: Sequence[Fold], out: Path, progress: FoldProgress) -> None:
    aside = []
    for fold in todo:
        if run_fold(cfg, data, fold, out, progress.epoch, wait=False):
            progress.fold_done(fold.name)
        else:
            aside.append(fold)
    for fold in aside:
        run_fold(cfg, data, fold, out, progress.epoch, wait=True)
        progress.fold_done(fold.name)


def _run_side_by_side(cfg, data, todo, out: Path, workers: int, progress: FoldProgress) -> None:
    """Worker processes take folds from a queue and tell this process what they do."""
    context = get_context("spawn")
    work, told = context.Queue(), context.Queue()
    for fold in todo:
        work.put(fold)
    for _ in range(workers):
        work.put(None)
    configs = [OmegaConf.to_container(deal_gpu(cfg, number, workers), resolve=True) for number in range(workers)]
    # A file that all workers map: sent to them, a manifest of millions of rows would stand in memory once for each.
    with lent(data.manifest, out) as file:
        rest = file, data.cache.folder.parent, out, workers, work, told
        processes = [context.Process(target=_worker, args=(config, *rest), daemon=True) for config in configs]
        for process in processes:
            process.start()
        try:
            _listen(told, processes, progress, {fold.name for fold in todo})
        finally:
            for process in processes:
                process.terminate()
                process.join()
            work.cancel_join_thread()  # nobody reads what is left; at its end Python would wait until somebody does


def _listen(told: Any, processes: list, progress: FoldProgress, open_folds: set[str]) -> None:
    while open_folds:
        try:
            kind, content = told.get(timeout=1.0)
        except queue.Empty:
            dead = [p for p in processes if p.exitcode not in (None, 0)]
            if dead:
                raise FERError(
                    f"a fold process ended with exit code {dead[0].exitcode} (negative: killed by that signal; -9 is "
                    f"often too little memory). {len(open_folds)} folds are open; run the same command again: finished "
                    "folds are skipped. With less memory use protocol.workers=1."
                ) from None
            continue
        if kind == "epoch":
            progress.epoch(content)
        elif kind == "done":
            open_folds.discard(content)
            progress.fold_done(content)
        else:
            raise content


def _worker(config: dict, manifest: Path, cache_dir: Path, out: Path, workers: int, work: Any, told: Any) -> None:
    from hydra.utils import instantiate

    from fer_lightning.resolvers import register

    Thread(target=_end_with_parent, daemon=True).start()
    register()
    cfg = OmegaConf.create(config)
    _use_processor(cfg, workers)
    try:
        data: FERDataModule = instantiate(cfg.data)
        data.manifest = load(manifest)
        data.prepare(cache_dir)
        aside = []
        while (fold := work.get()) is not None:
            if run_fold(cfg, data, fold, out, lambda line: told.put(("epoch", line)), wait=False):
                told.put(("done", fold.name))
            else:
                aside.append(fold)
        for fold in aside:
            run_fold(cfg, data, fold, out, lambda line: told.put(("epoch", line)), wait=True)
            told.put(("done", fold.name))
    except Exception as error:
        if not isinstance(error, FERError):
            traceback.print_exc()  # the parent process can show the message only, not where it came from
        told.put(("error", error if isinstance(error, FERError) else FERError(f"{type(error).__name__}: {error}")))
        told.close()
        told.join_thread()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its fold processes; they would keep processor, memory and locks."""
    parent_process().join()
    os._exit(1)
