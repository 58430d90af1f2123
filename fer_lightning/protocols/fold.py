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
import pandas as pd
import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.files import write_atomically
from fer_lightning.functional.folds import Fold, check_disjoint
from fer_lightning.functional.selection import oracle_epoch
from fer_lightning.protocols.selection import BestValidationEpoch, TestEveryEpoch, probabilities
from fer_lightning.versions import versions

#: Warnings of Lightning that are right in general and say nothing here.
UNHELPFUL = (
    ".*does not have many workers.*",  # arrays come out of a memory map; workers would only copy them
    ".*across ranks is zero.*",  # folds without validation samples
    ".*Checkpoint directory.*",  # a fold that goes on finds its own checkpoint there
    ".*isinstance\\(treespec, LeafSpec\\).*",  # between Lightning and torch
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
                _fit_and_predict(cfg, data, fold, out, listen)
        return True
    except Timeout:
        return False


def fold_seed(seed: int, name: str) -> int:
    """The seed of one fold: of the run's seed and the fold's name, so order and number of folds do not matter."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])


class _EpochSeed(pl.Callback):
    """Seed each epoch by itself: a fold resumed in the middle then draws what it would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        torch.manual_seed((self.seed + trainer.current_epoch) % 2**32)


class _Tell(pl.Callback):
    """Pass each epoch's line on to whoever shows progress."""

    def __init__(self, fold: str, listen: Listener) -> None:
        self.fold, self.listen = fold, listen

    def on_train_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        line = task.history[-1] if task.history else {}
        self.listen({"fold": self.fold, "epoch": trainer.current_epoch, "epochs": trainer.max_epochs} | line)


def _fit_and_predict(cfg: DictConfig, data: FERDataModule, fold: Fold, out: Path, listen: Listener) -> None:
    check_disjoint(fold, data.manifest)
    started = time.perf_counter()
    seed = fold_seed(cfg.seed, fold.name)
    _quiet()
    pl.seed_everything(seed, workers=True, verbose=False)
    data.use_fold(fold, seed, transform=instantiate(cfg.augment.transform))
    task = build_task(cfg, has_validation=bool(fold.val))
    keeper = _keeper(cfg, data)
    trainer = _trainer(cfg, fold, out, seed, keeper, listen)
    resume = out / "checkpoints" / fold.name / "last.ckpt"
    trainer.fit(task, datamodule=data, ckpt_path=resume if resume.is_file() else None, weights_only=True)
    torch.manual_seed(seed)
    epoch = cfg.trainer.max_epochs
    if isinstance(keeper, BestValidationEpoch):
        task.net.load_state_dict(keeper.weights)
        epoch = keeper.epoch
    test = probabilities(task, data.loader("test"))
    if isinstance(keeper, TestEveryEpoch):
        epoch, test = _oracle(keeper, data, fold, out)
    if fold.val:
        _write_predictions(out / "validation", data, fold, fold.val, probabilities(task, data.loader("val")))
    _write_curves(out, fold, task.history)
    facts = {
        "fold": fold.name, "seed": cfg.seed, "selection": cfg.protocol.selection, "epoch": epoch,
        "epochs": cfg.trainer.max_epochs, "seconds": round(time.perf_counter() - started, 3),
        "device": _device(trainer), "threads": torch.get_num_threads(), "versions": versions(),
    }  # fmt: skip
    write_atomically(out / "predictions" / f"{fold.name}.json", json.dumps(facts, indent=2) + "\n")
    # Last, because this file says that the fold is done.
    _write_predictions(out / "predictions", data, fold, fold.test, test)
    if resume.is_file():
        resume.unlink()


def build_task(cfg: DictConfig, has_validation: bool = False) -> pl.LightningModule:
    """Network, loss, optimizer and scheduler of the config, joined to the LightningModule of the task.

    Args:
        cfg: the whole config.
        has_validation: whether the fold has validation samples; a scheduler with `monitor: auto` then follows
            their loss, else the training loss. It never follows a test figure.
    """
    scheduler = dict(instantiate(cfg.scheduler))
    if scheduler.get("monitor") == "auto":
        scheduler["monitor"] = "val_loss" if has_validation else "train_loss"
    return instantiate(
        cfg.task,
        net=instantiate(cfg.model),
        loss=instantiate(cfg.loss),
        optimizer=instantiate(cfg.optimizer),
        scheduler=scheduler,
        _convert_="object",
    )


def _keeper(cfg: DictConfig, data: FERDataModule) -> pl.Callback | None:
    rule = cfg.protocol.selection
    if rule == "inner_val":
        return BestValidationEpoch(cfg.protocol.metric)
    if rule == "oracle_test":
        return TestEveryEpoch(data.loader("test"), cfg.protocol.oracle_every)
    return None


def _trainer(cfg: DictConfig, fold: Fold, out: Path, seed: int, keeper: Any, listen: Listener) -> pl.Trainer:
    callbacks = [_EpochSeed(seed), _Tell(fold.name, listen), *instantiate(cfg.callbacks).values()]
    if keeper is not None:
        callbacks.append(keeper)
    options = dict(cfg.trainer)
    every = options.pop("checkpoint_every")
    if every:
        folder = out / "checkpoints" / fold.name
        callbacks.append(ModelCheckpoint(folder, filename="last", every_n_epochs=every, enable_version_counter=False))
    keeps = any(isinstance(callback, pl.callbacks.Checkpoint) for callback in callbacks)
    logger = False
    if cfg.logger.logger:
        logger = instantiate(cfg.logger.logger)(name=fold.name, save_dir=str(out / cfg.logger.name))
    return instantiate(
        options, callbacks=callbacks, logger=logger, default_root_dir=str(out), enable_checkpointing=keeps,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
        _convert_="all",
    )  # fmt: skip


def _oracle(keeper: TestEveryEpoch, data: FERDataModule, fold: Fold, out: Path) -> tuple[int, torch.Tensor]:
    epochs, records = keeper.arrays()
    target = data.loader("test").dataset.labels.numpy()
    best = oracle_epoch(records, target)
    file = out / "epochs" / f"{fold.name}.npz"
    write_atomically(file, lambda f: np.savez(f, sample_id=np.array(fold.test), epoch=epochs, probabilities=records))
    return int(epochs[best]), torch.from_numpy(records[best])


def _write_predictions(
    folder: Path, data: FERDataModule, fold: Fold, ids: tuple[str, ...], values: torch.Tensor
) -> None:
    values = values.double().numpy()
    table = pd.DataFrame(
        {"sample_id": list(ids), "fold": fold.name, "label": data.by_id.loc[list(ids), "label"].tolist()}
    )
    table["predicted"] = np.array(data.classes)[values.argmax(axis=1)]
    for place, name in enumerate(data.classes):
        table[f"p_{name}"] = values[:, place]
    write_atomically(folder / f"{fold.name}.csv", table.to_csv(index=False, float_format="%.8f", lineterminator="\n"))


def _write_curves(out: Path, fold: Fold, history: list[dict[str, float]]) -> None:
    write_atomically(
        out / "curves" / f"{fold.name}.csv", pd.DataFrame(history).to_csv(index=False, lineterminator="\n")
    )


def _device(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _quiet() -> None:
    """Silence what Lightning says once per Trainer: it would be said once per fold."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in UNHELPFUL:
        warnings.filterwarnings("ignore", text)
