"""Exponential moving average of the weights: training goes on with the raw ones, everything else sees the average."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from fer_lightning.errors import ConfigError


class EMA(pl.Callback):
    """After each optimizer step, ``average = d average + (1 - d) weights`` with ``d = min(decay, (1 + n) / (10 + n))``
    after n earlier steps, so that the start is soon forgotten (as TensorFlow's ExponentialMovingAverage does with
    `num_updates`). Validation, the choice of the epoch, saved weights and predictions are of the average.

    The statistics of batch norm are averaged too: those of the last step belong to the weights of the last step.
    Counters are copied.

    Args:
        decay: d in the long run.

    Raises:
        ConfigError: a decay outside ``[0, 1)``.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"callbacks.ema.decay={decay} is outside [0, 1)")
        self.decay = decay
        self.steps = 0
        self.average: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        known = self.average or {name: tensor.clone() for name, tensor in _tensors(task.net).items()}
        self.average = {name: known[name].to(tensor.device) for name, tensor in _tensors(task.net).items()}

    def on_train_batch_end(self, trainer: pl.Trainer, task: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == self.steps:
            return  # gradients are still being accumulated
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps = trainer.global_step
        for name, tensor in _tensors(task.net).items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)

    def on_validation_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self.swap(task.net)

    def on_validation_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self.swap(task.net)

    def swap(self, net: nn.Module) -> None:
        """Exchange the network's weights and their average; twice leaves all as it was."""
        for name, tensor in _tensors(net).items():
            kept = tensor.clone()
            tensor.copy_(self.average[name])
            self.average[name].copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps, self.average = state_dict["steps"], state_dict["average"]


def _tensors(net: nn.Module) -> dict[str, Tensor]:
    """Weights and statistics by name, each once even where two layers share it."""
    found = dict(net.named_parameters()) | dict(net.named_buffers())
    return {name: tensor.detach() for name, tensor in found.items()}


@contextmanager
def scored_weights(trainer: pl.Trainer, task: pl.LightningModule) -> Iterator[None]:
    """Within it, the network has the weights that its epoch would be scored with."""
    averages = [callback for callback in trainer.callbacks if isinstance(callback, EMA)]
    for average in averages:
        average.swap(task.net)
    yield
    for average in averages:
        average.swap(task.net)


def end_with_average(trainer: pl.Trainer, task: pl.LightningModule) -> None:
    """Leave the network with the average, where one was kept."""
    for callback in trainer.callbacks:
        if isinstance(callback, EMA):
            callback.swap(task.net)
