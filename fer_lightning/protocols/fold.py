"""Run one fold: seed, build, fit, predict, write one predictions file.

A fold depends on the config, the data, and its own name; not on the folds before it. If its predictions file
is there, the fold is done.
"""

import json
import logging
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from hydra.utils import instantiate
from omegaconf import DictConfig

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.errors import ConfigError
from fer_lightning.files import write_atomically
from fer_lightning.functional.continuous import best_epoch
from fer_lightning.functional.folds import Fold, check_disjoint
from fer_lightning.functional.selection import oracle_epoch
from fer_lightning.protocols import averaging, ddp, weights
from fer_lightning.protocols.build import build_augment, build_task, predicted_columns, speed_up
from fer_lightning.protocols.checkpoints import Checkpoints, WholeCheckpoints
from fer_lightning.protocols.fold_files import write_arrays, write_curves, write_predictions
from fer_lightning.protocols.gradients import SampleMean
from fer_lightning.protocols.past import Past, past_of
from fer_lightning.protocols.selection import (
    BestValidationEpoch,
    TestEveryEpoch,
    check_finite,
    make_keeper,
    probabilities,
    view_probabilities,
)
from fer_lightning.ranks import rank, told, world
from fer_lightning.versions import versions

#: Warnings of Lightning that are right in general and say nothing here.
UNHELPFUL = (
    ".*does not have many workers.*",  # arrays come out of a memory map; workers would only copy them
    ".*across ranks is zero.*",  # folds without validation samples
    ".*Checkpoint directory.*",  # a fold that goes on finds its own checkpoint there
    ".*in eval mode at the start of training.*",  # task.freeze
    ".*isinstance\\(treespec, LeafSpec\\).*",  # between Lightning and torch
    ".*overridden `on_after_batch_transfer`.*",  # the task mixes what the data module has moved
    ".*`broadcast_buffers` is deprecated.*",  # its successor is not in torch 2.11
    ".*`srun` command is available.*",  # processes are started by `protocols.team` where srun has not
    ".*recommended to use `sync_dist=True`.*",  # what is logged is of all processes, see `ranks.together`
)
Listener = Callable[[dict[str, Any]], None]


def is_done(out: Path, fold: Fold) -> bool:
    """Whether the fold's predictions file is there (it is renamed into place when it is complete)."""
    return (out / "predictions" / f"{fold.name}.csv").is_file()


def run_fold(cfg: DictConfig, data: FERDataModule, fold: Fold, out: Path, listen: Listener, wait: bool = True) -> bool:
    """Fit and predict one fold, unless its file is there already or another process is at it.

    Args:
        cfg: the whole config.
        data: built and prepared.
        fold: what to train on and what to predict.
        out: run folder.
        listen: called with one dict per epoch: fold, epoch, epochs, train_loss, ...
        wait: whether to wait for a process that holds the fold, or to return at once.

    Returns:
        True when the fold's predictions are there; False when another process holds the fold.
    """
    lock = FileLock(out / "locks" / f"{fold.name}.lock", timeout=-1 if wait else 0)
    try:
        with lock:
            if not is_done(out, fold):
                told(fold)
                fit_and_predict(cfg, data, fold, out, listen)
        return True
    except Timeout:
        return False


def fold_seed(seed: int, name: str) -> int:
    """The seed of one fold: of the run's seed and the fold's name, so order and number of folds do not matter."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])


class _EpochSeed(pl.Callback):
    """Seed each epoch by itself: a fold resumed in the middle then draws what it would have drawn.

    Processes that share the fold draw different numbers, so that dropout does not repeat its masks.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        torch.manual_seed((self.seed + trainer.current_epoch + 1_000_003 * rank()) % 2**32)


class _Tell(pl.Callback):
    """Pass each epoch's line on to whoever shows progress."""

    def __init__(self, fold: str, listen: Listener) -> None:
        self.fold, self.listen = fold, listen

    def on_train_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        line = task.history[-1] if task.history else {}
        self.listen({"fold": self.fold, "epoch": trainer.current_epoch, "epochs": trainer.max_epochs} | line)


def fit_and_predict(cfg: DictConfig, data: FERDataModule, fold: Fold, out: Path, listen: Listener) -> None:
    """Fit, predict and write the files of one fold. Where processes share it, all call this and rank 0 writes."""
    check_disjoint(fold, data.manifest)
    started = time.perf_counter()
    seed = fold_seed(cfg.seed, fold.name)
    quiet()
    pl.seed_everything(seed, workers=True, verbose=False)
    data.use_fold(fold, seed, **build_augment(cfg, data.recipe))
    began, past = _begin(cfg, data, fold, out)
    task = build_task(cfg, fold, data.manifest)
    ddp.share_training(cfg, data, task)
    speed_up(cfg, task.net)
    keeper = make_keeper(cfg, data)
    trainer = _trainer(cfg, fold, out, seed, keeper, listen)
    resume = out / "checkpoints" / fold.name / "last.ckpt"
    resumes = told(resume.is_file())
    trainer.fit(task, datamodule=data, ckpt_path=resume if resumes else None, weights_only=True)
    task.to(trainer.strategy.root_device)  # where it was trained: Lightning has moved it to the CPU
    averaging.end_with_average(trainer, task)
    torch.manual_seed(seed)
    epoch = epochs = len(task.history)
    if isinstance(keeper, BestValidationEpoch):
        epoch = keeper.restore(task)
    columns = predicted_columns(cfg, data)
    by_view = view_probabilities(task, data.loader("test", views=True))
    test = by_view.mean(dim=1)
    validation = probabilities(task, data.loader("val", views=True)) if fold.val else test
    check_finite(task, [by_view, validation, *(keeper.records if isinstance(keeper, TestEveryEpoch) else [])])
    if rank() > 0:
        return
    if isinstance(keeper, TestEveryEpoch):
        epoch, test = _oracle(keeper, data, fold, out, *columns)
    if fold.val:
        write_predictions(out / "validation", data, fold, fold.val, validation, *columns)
    write_curves(out, fold, task.history)
    if data.views:
        write_arrays(out / "views", fold, by_view.numpy(), *columns, view=np.array(data.views.names))
    facts = {
        "fold": fold.name, "seed": cfg.seed, "selection": cfg.protocol.selection, "epoch": epoch,
        "epochs": epochs, "seconds": round(time.perf_counter() - started, 3),
        "device": _device(trainer), "processes": world(), "threads": torch.get_num_threads(), "versions": versions(),
    } | began  # fmt: skip
    if past:
        named = {"model": cfg.model_name, "data": data.name, "fold": fold.name, "seed": cfg.seed, "epoch": epoch}
        weights.write(out / "weights" / f"{fold.name}.safetensors", task.net, named | past.facts())
    write_atomically(out / "predictions" / f"{fold.name}.json", json.dumps(facts, indent=2) + "\n")
    # Last, because this file says that the fold is done.
    write_predictions(out / "predictions", data, fold, fold.test, test, *columns)
    if resume.is_file():
        resume.unlink()


def _begin(cfg: DictConfig, data: FERDataModule, fold: Fold, out: Path) -> tuple[dict[str, str], Past | None]:
    """Which weights the fold begins with, as a fact, and what those that it leaves will have seen.

    Both are asked before training: the file may be replaced meanwhile.
    """
    start = weights.find(cfg.model.weights, fold.name) if cfg.model.weights else None
    if start:
        weights.check_same(cfg.model.weights, out)
    past = past_of(fold, data.manifest, start) if cfg.trainer.save_weights else None
    return {"weights": weights.fingerprint(start)} if start else {}, past


def _trainer(cfg: DictConfig, fold: Fold, out: Path, seed: int, keeper: Any, listen: Listener) -> pl.Trainer:
    callbacks = [*ddp.callbacks(), _EpochSeed(seed), _Tell(fold.name, listen), *instantiate(cfg.callbacks).values()]
    if keeper is not None:
        callbacks.append(keeper)
    options = dict(cfg.trainer)
    every, minutes = options.pop("checkpoint_every"), options.pop("checkpoint_minutes")
    for key in ("save_weights", "channels_last", "compile"):
        del options[key]
    if every or minutes:
        callbacks.append(Checkpoints(out / "checkpoints" / fold.name, every, minutes))
    if cfg.trainer.accumulate_grad_batches > 1:
        callbacks.append(SampleMean())
    keeps = any(isinstance(callback, pl.callbacks.Checkpoint) for callback in callbacks)
    joined = ddp.join_trainer(cfg)
    joined["plugins"] = [*joined.get("plugins", []), WholeCheckpoints()]
    trainer = instantiate(
        options, callbacks=callbacks, logger=False, default_root_dir=str(out), enable_checkpointing=keeps,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
        **joined, _convert_="all",
    )  # fmt: skip
    if options["precision"] == "16-mixed" != trainer.precision:
        raise ConfigError(
            f"trainer.precision=16-mixed needs a GPU; here Lightning would take {trainer.precision} in silence. "
            "Choose trainer.precision=bf16-mixed or 32-true"
        )
    return trainer


def _oracle(
    keeper: TestEveryEpoch, data: FERDataModule, fold: Fold, out: Path, classes: list[str], targets: list[str]
) -> tuple[int, torch.Tensor]:
    """The epoch with most hits on the test samples or, without classes, with the highest CCC; what it predicts."""
    epochs, records = keeper.arrays()
    test = data.loader("test").dataset
    if classes:
        best = oracle_epoch(records[..., : len(classes)], test.labels.numpy())
    else:
        best = best_epoch(records, test.targets.numpy())
    write_arrays(out / "epochs", fold, records, classes, targets, epoch=epochs)
    return int(epochs[best]), torch.from_numpy(records[best])


def _device(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def quiet() -> None:
    """Silence what Lightning says once per Trainer: it would be said once per fold."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in UNHELPFUL:
        warnings.filterwarnings("ignore", text)
