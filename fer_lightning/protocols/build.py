"""Network, task and augmentation of a config."""

import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.errors import ConfigError
from fer_lightning.functional.folds import Fold
from fer_lightning.network import build_network
from fer_lightning.protocols import weights
from fer_lightning.protocols.past import check_unseen

#: What steps are computed in, as Lightning calls it; weights are kept in 32 bits.
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def build_augment(cfg: DictConfig, recipe: object) -> dict[str, Callable]:
    """`transform`, `evaluate` and `views` of ``cfg.augment``, as far as they are set, made for this recipe."""
    return {name: make(recipe=recipe) for name, make in instantiate(cfg.augment).items() if make is not None}


def build_task(cfg: DictConfig, fold: Fold | None = None, manifest: pd.DataFrame | None = None) -> pl.LightningModule:
    """Network, loss, optimizer and scheduler of the config, joined to the LightningModule of the task.

    Args:
        cfg: the whole config.
        fold: what it is for. Where it has validation samples, a scheduler with `monitor: auto` follows their loss, else
            the training loss; it never follows a test figure. `model.weights` may hold weights for each fold.
        manifest: the rows of the fold's samples; needed with `model.weights` and with a loss that weighs the classes.

    Raises:
        ConfigError: the weights are not there or do not fit.
        LeakError: they have seen what this fold tests, or were trained on what it validates by.
    """
    scheduler = dict(instantiate(cfg.scheduler))
    if scheduler.get("monitor") == "auto":
        scheduler["monitor"] = "val_loss" if fold and fold.val else "train_loss"
    net = build_net(cfg)
    if cfg.model.weights:
        file = weights.find(cfg.model.weights, fold.name)
        check_unseen(file, fold, manifest)
        weights.load(net, file, cfg.parts.freeze)
    options = {"mix": instantiate(cfg.mix)} if cfg.get("mix") else {}
    return instantiate(
        cfg.task,
        net=net,
        loss=build_loss(cfg, fold, manifest),
        optimizer=instantiate(cfg.optimizer),
        scheduler=scheduler,
        parts=instantiate(cfg.parts),
        **options,
        _convert_="object",
    )


def build_loss(cfg: DictConfig, fold: Fold | None, manifest: pd.DataFrame | None) -> nn.Module:
    """The loss of the config; a partial one is told how many samples of each class the fold trains on."""
    loss = instantiate(cfg.loss)
    if not isinstance(loss, partial):
        return loss
    trained = manifest["label"][manifest["sample_id"].isin(fold.train)].value_counts()
    return loss(counts=[int(trained.get(name, 0)) for name in cfg.data.classes])


def build_net(cfg: DictConfig) -> nn.Module:
    """The network of the config, with as many outputs as its task predicts."""
    return build_network(cfg, num_outputs(cfg))


def speed_up(cfg: DictConfig, net: nn.Module) -> None:
    """Lay the weights out as `trainer.channels_last` says, and compile the forward pass for `trainer.compile`.

    Both change results by rounding, and the masks that dropout draws. The names of the weights stay as they are.
    """
    if cfg.trainer.channels_last:
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.ndim == 4:
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    if cfg.trainer.compile:
        torch.compiler.reset()  # what was compiled for earlier folds would count as too many versions of one network
        net.compile()


def check_precision(cfg: DictConfig) -> None:
    """Refuse weights of 64 or 16 bits: arrays have 32, and a fold would fail after its last epoch.

    Raises:
        ConfigError: names what can be had.
    """
    if str(cfg.trainer.precision) not in PRECISIONS:
        raise ConfigError(
            f"trainer.precision={cfg.trainer.precision!r} is none of {list(PRECISIONS)} (the last on a GPU only): "
            "weights and predictions have 32 bits here. Choose one of them"
        )


def check_network(cfg: DictConfig, data: FERDataModule, fold: Fold) -> None:
    """One forward pass of zeros: a network that cannot read these arrays is refused before training.

    It is in evaluation mode: training mode would move the statistics of batch norms.

    Raises:
        ConfigError: naming the model: it cannot read the arrays, its code fails, or it does not give one tensor of
            ``(2, outputs)``; or a part of it is named that it does not have.
    """
    task = build_task(cfg, fold, data.manifest)
    task.configure_model()  # names a part that is not there, which eval() would look for
    task.eval()
    transform = build_augment(cfg, data.recipe).get("transform")
    shape = (2, *(transform.out_shape(data.recipe.shape) if transform else data.recipe.shape))
    expected, name = (2, num_outputs(cfg)), f"model={cfg.model_name} ({type(task.net).__name__})"
    advice = (
        f"expected one tensor {expected}, which forward returns alone, without auxiliary outputs (the network is made "
        f"with num_classes={expected[1]})"
    )
    try:
        with torch.inference_mode():
            found = task.net(torch.zeros(shape))
    except (RuntimeError, ValueError, AssertionError) as error:  # timm asserts the image size
        raise ConfigError(
            f"model={cfg.model_name} cannot read data={data.name}, whose samples have the shape (channels first) "
            f"{shape[1:]}: {error}"
        ) from error
    except (AttributeError, IndexError, KeyError, TypeError) as error:  # of its code, whatever the arrays are
        raise ConfigError(
            f"{name} fails on data={data.name}, of which it was given {shape} (2 samples, channels first): "
            f"{type(error).__name__}: {error}{_place(error)}; {advice}"
        ) from error
    if not isinstance(found, torch.Tensor):
        raise ConfigError(f"{name} gives a {type(found).__name__} for 2 samples, {advice}")
    if tuple(found.shape) != expected:
        raise ConfigError(f"{name} gives a tensor {tuple(found.shape)} for 2 samples, {advice}")


def _place(error: Exception) -> str:
    """Where in a network's own code it was raised; "" where it has not come so far."""
    of_torch = str(Path(torch.__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call of the network
    own = [frame for frame in frames if not frame.filename.startswith(of_torch)]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def num_outputs(cfg: DictConfig) -> int:
    """Size of the network's output: logits of the task's classes, then its continuous values."""
    return cfg.task.get("num_classes", 0) + cfg.task.get("num_targets", 0)


def predicted_columns(cfg: DictConfig, data: FERDataModule) -> tuple[list[str], list[str]]:
    """Names of the classes and of the values that the task predicts; either may be empty."""
    return (
        data.classes if cfg.task.get("num_classes") else [],
        data.targets if cfg.task.get("num_targets") else [],
    )
