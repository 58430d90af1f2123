"""Which epoch a fold is scored at: `last`, `inner_val` or `oracle_test`.

`last` needs nothing. `inner_val` keeps the weights of the best epoch on validation samples that were carved
out of the training side (or that the data set provides). `oracle_test` looks at the test samples after every
epoch: it is what many papers did, it is kept so that their numbers can be compared, and it is the only place
in which test samples and training meet.
"""

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Checkpoint
from torch.utils.data import DataLoader

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.data.dataset import to_device
from fer_lightning.errors import ConfigError
from fer_lightning.protocols.averaging import scored_weights
from fer_lightning.ranks import together, world

RULES = ("last", "inner_val", "oracle_test")


class BestValidationEpoch(Checkpoint):
    """Keep the weights of the epoch that is best on the validation samples; ties keep the earlier epoch.

    A `Checkpoint`, because the Trainer runs those after the task has written its line for the epoch.

    Args:
        metric: a key of the task's history lines; a loss is minimised, everything else maximised.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.sign = -1.0 if metric.endswith("loss") else 1.0
        self.best, self.epoch = -float("inf"), 0
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        line = task.history[-1]
        if self.metric not in line:
            known = [name for name in line if name.startswith("val_")]
            raise ConfigError(f"protocol.metric={self.metric!r} is no figure of this task; choose one of {known}")
        value = self.sign * line[self.metric]
        if value > self.best:
            self.best, self.epoch = value, line["epoch"]
            with scored_weights(trainer, task):
                self.weights = copy.deepcopy(task.net.state_dict())

    def restore(self, task: pl.LightningModule) -> int:
        """Give the network the weights that were kept; the number of their epoch.

        Raises:
            ConfigError: no epoch had a figure to compare.
        """
        if not self.weights:
            raise diverged(task, f"{self.metric} was never finite")
        task.net.load_state_dict(self.weights)
        return self.epoch

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.epoch, self.weights = (state_dict[key] for key in ("best", "epoch", "weights"))


class TestEveryEpoch(pl.Callback):
    """Record the test probabilities while training goes on. Only `selection=oracle_test` makes one.

    Args:
        loader: the fold's test samples, unshuffled.
        every: epochs between records; the last epoch is always recorded.
    """

    __test__ = False  # not a test class, whatever its name suggests to pytest

    def __init__(self, loader: DataLoader, every: int = 1) -> None:
        self.loader, self.every = loader, every
        self.epochs: list[int] = []
        self.records: list[torch.Tensor] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self.every == 0 or epoch == trainer.max_epochs:
            self.epochs.append(epoch)
            with scored_weights(trainer, task):
                self.records.append(probabilities(task, self.loader))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Epoch numbers ``(E,)`` and probabilities ``(E, n, C)``."""
        return np.array(self.epochs), torch.stack(self.records).numpy()

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "records": self.records}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs, self.records = list(state_dict["epochs"]), list(state_dict["records"])


def check_selection(cfg: DictConfig) -> None:
    """Refuse an unknown rule, and one that would choose by something else than validation samples.

    Raises:
        ConfigError: names the option.
    """
    if cfg.protocol.selection not in RULES:
        raise ConfigError(f"protocol.selection={cfg.protocol.selection!r} is not one of {list(RULES)}")
    if cfg.protocol.selection == "inner_val" and not str(cfg.protocol.metric).startswith("val_"):
        raise ConfigError(
            f"protocol.selection=inner_val with protocol.metric={cfg.protocol.metric!r}: only a figure of validation "
            "samples (val_...) chooses the epoch. Choose e.g. val_accuracy, val_uf1 or val_loss"
        )


def make_keeper(cfg: DictConfig, data: FERDataModule) -> BestValidationEpoch | TestEveryEpoch | None:
    """What keeps, while the fold trains, that by which the rule chooses; `last` needs nothing."""
    rule = cfg.protocol.selection
    if rule == "inner_val":
        return BestValidationEpoch(cfg.protocol.metric)
    if rule == "oracle_test":
        return TestEveryEpoch(data.loader("test", views=True), cfg.protocol.oracle_every)
    return None


def check_finite(task: pl.LightningModule, found: Iterable[torch.Tensor]) -> None:
    """Refuse predictions that are no numbers: the loss of an epoch does not know what its last steps have done.

    Raises:
        ConfigError: with the advice that a loss which is no number gives.
    """
    if not all(torch.isfinite(predicted).all() for predicted in found):
        raise diverged(task, "predictions are not finite")


def diverged(task: pl.LightningModule, what: str) -> ConfigError:
    """The error of a fold that ends without numbers."""
    line = task.history[-1]
    return ConfigError(
        f"{what} when training ends after epoch {line['epoch']}: training has diverged. Lower optimizer.lr (now "
        f"{line['lr']:g}) or set trainer.gradient_clip_val."
    )


@torch.inference_mode()
def view_probabilities(task: pl.LightningModule, loader: DataLoader) -> torch.Tensor:
    """Class probabilities ``(n, K, C)``, on the CPU, of all samples of a loader, in evaluation mode.

    A task with continuous values gives those instead, ``(n, K, T)``, one with both the two side by side.
    K is the number of views that the loader makes of a sample, 1 without. The network's mode is put back afterwards,
    so training goes on as if nobody had looked. Processes that share the fold predict its samples by turns (the n-th is
    that of process n modulo world, see `FERDataModule.loader`), and each gets the predictions of all.
    """
    training = task.net.training
    task.eval()
    parts = []
    for batch in loader:
        batch = to_device(batch, task.device)
        views = batch["input"].shape[1] if loader.dataset.views else 1
        inputs = batch["input"].flatten(0, 1) if loader.dataset.views else batch["input"]
        found = task.predict_step(batch | {"input": inputs}, 0)
        parts.append(found.unflatten(0, (-1, views)).cpu())
    task.train(training)  # the task, not its network: frozen parts stay as they are
    found = [torch.cat(theirs) for (theirs,) in together([(parts,)]) if theirs]
    whole = torch.empty(len(loader.dataset), *found[0].shape[1:])
    for place, theirs in enumerate(found):
        whole[place :: world()] = theirs
    return whole


def probabilities(task: pl.LightningModule, loader: DataLoader) -> torch.Tensor:
    """The mean over views of `view_probabilities`, ``(n, C)``."""
    return view_probabilities(task, loader).mean(dim=1)
