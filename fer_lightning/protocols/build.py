"""Network, task and augmentation of a config."""

from collections.abc import Callable

import pandas as pd
import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.functional.folds import Fold
from fer_lightning.network import build_network
from fer_lightning.protocols import weights


def build_augment(cfg: DictConfig, recipe: object) -> dict[str, Callable]:
    """`transform`, `evaluate` and `views` of ``cfg.augment``, as far as they are set, made for this recipe."""
    return {name: make(recipe=recipe) for name, make in instantiate(cfg.augment).items() if make is not None}


def build_task(cfg: DictConfig, fold: Fold | None = None, manifest: pd.DataFrame | None = None) -> pl.LightningModule:
    """Network, loss, optimizer and scheduler of the config, joined to the LightningModule of the task.

    Args:
        cfg: the whole config.
        fold: what it is for. Where it has validation samples, a scheduler with `monitor: auto` follows their loss, else
            the training loss; it never follows a test figure. `model.weights` may hold weights for each fold.
        manifest: the rows of the fold's samples; needed with `model.weights`.

    Raises:
        ConfigError: the weights are not there or do not fit.
        LeakError: they were trained on what this fold tests.
    """
    scheduler = dict(instantiate(cfg.scheduler))
    if scheduler.get("monitor") == "auto":
        scheduler["monitor"] = "val_loss" if fold and fold.val else "train_loss"
    net = build_net(cfg)
    if cfg.model.weights:
        file = weights.find(cfg.model.weights, fold.name)
        weights.check_unseen(file, fold, manifest)
        weights.load(net, file, cfg.parts.freeze)
    return instantiate(
        cfg.task,
        net=net,
        loss=instantiate(cfg.loss),
        optimizer=instantiate(cfg.optimizer),
        scheduler=scheduler,
        parts=instantiate(cfg.parts),
        _convert_="object",
    )


def build_net(cfg: DictConfig) -> nn.Module:
    """The network of the config, with as many outputs as its task predicts."""
    return build_network(cfg, num_outputs(cfg))


def num_outputs(cfg: DictConfig) -> int:
    """Size of the network's output: logits of the task's classes, then its continuous values."""
    return cfg.task.get("num_classes", 0) + cfg.task.get("num_targets", 0)


def predicted_columns(cfg: DictConfig, data: FERDataModule) -> tuple[list[str], list[str]]:
    """Names of the classes and of the values that the task predicts; either may be empty."""
    return (
        data.classes if cfg.task.get("num_classes") else [],
        data.targets if cfg.task.get("num_targets") else [],
    )
