"""What is done to gradients between the backward pass and the optimizer's step."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_optimizer.optimizer import centralize_gradient
from torch import Tensor


class SampleMean(pl.Callback):
    """Accumulated gradients are the mean over the samples of a step, as those of one large batch are.

    Lightning divides the mean loss of each batch by `accumulate_grad_batches`. At the end of an epoch there may be
    fewer batches, and the last one may be smaller: the step would be too small and its samples would count unequally.
    Losses that are no mean over samples, such as a CCC, and batch norm still see one batch at a time.
    """

    def on_train_batch_start(self, trainer: pl.Trainer, task: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        number, batches = trainer.accumulate_grad_batches, trainer.train_dataloader.batch_sampler
        first = batch_idx - batch_idx % number
        ends = [min(place * batches.batch_size, len(batches.sampler)) for place in range(first, first + number + 1)]
        ends = ends[: len(batches) - first + 1]  # batches that are left out
        size = ends[batch_idx - first + 1] - ends[batch_idx - first]
        self.factor = number * size / (ends[-1] - ends[0])

    def on_before_backward(self, trainer: pl.Trainer, task: pl.LightningModule, loss: Tensor) -> None:
        factor = self.factor
        if factor != 1:
            loss.register_hook(lambda gradient: gradient * factor)


class GradientCentralization(pl.Callback):
    """Take from the gradient of each output channel its mean: for every optimizer, before clipping.

    Yong et al. 2020, arXiv:2004.01461; of convolutions and fully connected layers, not of biases and norms. Ranger and
    Ranger21 do it by themselves.
    """

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, task: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        with torch.no_grad():
            centralize_gradient([parameter.grad for parameter in task.net.parameters() if parameter.grad is not None])
