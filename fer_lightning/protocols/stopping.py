"""Ending a fold before its last epoch, by validation samples that the test samples have no part in."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from hydra.utils import get_class
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Checkpoint

from fer_lightning.errors import ConfigError
from fer_lightning.functional.folds import Fold


class EarlyStopping(Checkpoint):
    """Stop when no epoch of the last `patience` ones was better by more than `min_delta` than the best before.

    A `Checkpoint`, because the Trainer runs those after the task has written its line for the epoch. (Lightning's own
    reads only what is logged, and a fold that is resumed after it had stopped would train one more epoch.)

    Args:
        metric: a key of the task's history lines; a loss is minimised, everything else maximised.
        patience: epochs.
        min_delta: smaller improvements are none.
    """

    def __init__(self, metric: str, patience: int, min_delta: float) -> None:
        if patience < 1 or min_delta < 0:
            raise ConfigError(
                f"early stopping: patience={patience} must be at least 1, min_delta={min_delta} at least 0"
            )
        self.metric, self.patience, self.min_delta = metric, patience, min_delta
        self.sign = -1.0 if metric.endswith("loss") else 1.0
        self.best, self.waited = -float("inf"), 0

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        trainer.should_stop = self.waited >= self.patience

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        line = task.history[-1]
        if self.metric not in line:
            known = [name for name in line if name.startswith("val_")]
            raise ConfigError(f"early stopping by {self.metric!r}: no figure of this task; choose one of {known}")
        value = self.sign * line[self.metric]
        if value > self.best + self.min_delta:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        trainer.should_stop = self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.waited = state_dict["best"], state_dict["waited"]


def check_stopping(cfg: DictConfig, folds: Sequence[Fold]) -> None:
    """Refuse early stopping where it has nothing honest to look at.

    Raises:
        ConfigError: with `oracle_test`, or a fold without validation samples.
    """
    chosen = [entry for entry in cfg.callbacks.values() if get_class(entry._target_) is EarlyStopping]
    if not chosen:
        return
    if not str(chosen[0].metric).startswith("val_"):
        raise ConfigError(
            f"early stopping by {chosen[0].metric!r}: only a figure of validation samples (val_...) stops"
        )
    if cfg.protocol.selection == "oracle_test":
        raise ConfigError(
            "early stopping does not go with protocol.selection=oracle_test, which looks for the best of all epochs by "
            "the test samples: choose inner_val"
        )
    without = [fold.name for fold in folds if not fold.val]
    if without:
        raise ConfigError(
            f"early stopping needs validation samples; {len(without)} fold(s) have none (first: {without[0]!r}), and "
            "test samples never decide when training ends. Choose protocol.selection=inner_val, or callbacks=none"
        )
