"""Distributed data parallel training of one fold: the same steps as in one process, each shared by several.

What a process sees of a batch is in `data.sampling`, who it is in `ranks`, how it starts in `protocols.team`.
"""

import os
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments import ClusterEnvironment
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.errors import ConfigError
from fer_lightning.functional.folds import Fold
from fer_lightning.ranks import rank, world


def on_gpu(cfg: DictConfig) -> bool:
    """Whether the Trainer will take a GPU."""
    return cfg.trainer.accelerator != "cpu" and torch.cuda.is_available()


def processes(cfg: DictConfig) -> int:
    """How many processes train a fold: one for each device of each node.

    Raises:
        ConfigError: that many devices are not here, or the option is of another kind.
    """
    devices, here = cfg.trainer.devices, torch.cuda.device_count() if on_gpu(cfg) else None
    if OmegaConf.is_list(devices):
        number = len(devices)
    elif devices == "auto":
        number = here or 1
    else:
        number = devices
    if not isinstance(number, int) or number < 1:
        raise ConfigError(f"trainer.devices={devices!r} is neither a number of devices, nor a list of GPUs, nor auto")
    if here is not None and number > here:
        raise ConfigError(f"trainer.devices={devices}: there are {here} GPU(s) here")
    return number * cfg.trainer.get("num_nodes", 1)


def check_processes(cfg: DictConfig) -> None:
    """Refuse what does not go together with several processes a fold.

    Raises:
        ConfigError: names the options.
    """
    number = processes(cfg)
    if number == 1:
        return
    if cfg.protocol.workers > 1:
        raise ConfigError(
            f"trainer.devices and trainer.num_nodes ask for {number} processes a fold, protocol.workers="
            f"{cfg.protocol.workers} for as many folds side by side: choose one of them. Folds side by side need no "
            "exchange between processes and are faster, as long as there are more folds than devices"
        )
    if cfg.data.batch_size % number:
        raise ConfigError(
            f"data.batch_size={cfg.data.batch_size} is the batch of a step, in all {number} processes together, and "
            f"cannot be shared equally by them: choose a multiple of {number}"
        )


def check_folds(cfg: DictConfig, folds: list[Fold]) -> None:
    """Refuse folds with too few training or validation samples for each process to have one.

    Raises:
        ConfigError: names the first such fold.
    """
    number = processes(cfg)
    few = [fold for fold in folds if len(fold.train) < number or 0 < len(fold.val) < number]
    if few:
        raise ConfigError(
            f"fold {few[0].name} has {len(few[0].train)} training and {len(few[0].val)} validation samples for "
            f"{number} processes ({len(few)} such fold(s)): each needs one of both. Use fewer trainer.devices"
        )


def started_outside(cfg: DictConfig) -> ClusterEnvironment | None:
    """What srun or torchrun says about the processes they started; None where this process is the only one.

    Raises:
        ConfigError: they are not as many as the config says.
    """
    number = processes(cfg)
    if number == 1:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # that srun is installed and was not used
            kind = next((kind for kind in (TorchElasticEnvironment, SLURMEnvironment) if kind.detect()), None)
            found = kind() if kind else None
    except RuntimeError as error:
        raise ConfigError(str(error)) from error
    if found is None or found.world_size() == 1:
        return None
    if found.world_size() != number:
        raise ConfigError(
            f"{found.world_size()} processes were started (by srun or torchrun), but trainer.devices times "
            f"trainer.num_nodes is {number}"
        )
    return found


def share_training(cfg: DictConfig, data: FERDataModule, task: pl.LightningModule) -> None:
    """Give this process its part of each batch, and its batch norms what the others see. Alone: nothing."""
    if world() == 1:
        return
    synced = cfg.trainer.get("sync_batchnorm", True)
    if synced:
        task.net = share_batch_norm(task.net, on_gpu(cfg))
    # Batch norm needs two samples: of all processes, or of each.
    data.share(rank(), world(), least=world() if synced else 2 * world())


def join_trainer(cfg: DictConfig) -> dict[str, Any]:
    """Options of the Trainer of this process. What Lightning would share and synchronise is done already."""
    ours = {"use_distributed_sampler": False, "sync_batchnorm": False}
    if world() == 1:
        return ours
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else Lightning takes cores / processes
    plugins = [] if started_outside(cfg) else [Team(world() // cfg.trainer.get("num_nodes", 1))]
    return ours | {"strategy": DDPStrategy(broadcast_buffers=False), "plugins": plugins}


def callbacks() -> list[pl.Callback]:
    """What makes a step of several processes that of one; [] where it is one."""
    return [SameBuffers(), WholeBatch()] if world() > 1 else []


class Team(LightningEnvironment):
    """The processes are there and know each other: Lightning shall start none.

    Args:
        per_node: processes on a node.
    """

    creates_processes_externally = True

    def __init__(self, per_node: int) -> None:
        super().__init__()
        self.per_node = per_node

    def local_rank(self) -> int:
        return rank() % self.per_node

    def node_rank(self) -> int:
        return rank() // self.per_node


class WholeBatch(pl.Callback):
    """Make DDP's mean of gradients the gradient of the whole batch, also where the parts of a batch differ in size.

    The loss must be a mean over samples. One that is not, like 1 - CCC, is computed on each process's part.
    """

    def on_train_batch_start(self, trainer: pl.Trainer, task: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        self.weight = trainer.train_dataloader.batch_sampler.weight(batch_idx)

    def on_before_backward(self, trainer: pl.Trainer, task: pl.LightningModule, loss: Tensor) -> None:
        weight = self.weight
        if weight != 1:
            loss.register_hook(lambda gradient: gradient * weight)


class SameBuffers(pl.Callback):
    """After each step rank 0's statistics of batch norm are everybody's. Where it is synced they are equal already."""

    def on_train_batch_end(self, trainer: pl.Trainer, task: pl.LightningModule, *_: Any) -> None:
        for buffer in task.net.buffers():
            dist.broadcast(buffer, src=0)


class _Sum(torch.autograd.Function):
    """The sum over processes of a tensor; so is its gradient."""

    @staticmethod
    def forward(context: Any, part: Tensor) -> Tensor:
        whole = part.clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


class BatchNormOfAll(_BatchNorm):
    """Batch norm over the samples of all processes: what torch's SyncBatchNorm does, which needs a GPU."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        others = [0, *range(2, inputs.dim())]  # all dimensions but the channels
        count = torch.tensor(float(inputs.numel() // inputs.shape[1]))
        dist.all_reduce(count)
        mean = _Sum.apply(inputs.sum(others, keepdim=True)) / count
        variance = _Sum.apply((inputs - mean).square().sum(others, keepdim=True)) / count
        if self.track_running_stats:
            self.num_batches_tracked += 1
            factor = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean.flatten(), factor)
                self.running_var.lerp_(variance.flatten() * count / (count - 1), factor)
        normed = (inputs - mean) / (variance + self.eps).sqrt()
        if self.affine:
            shape = mean.shape
            normed = normed * self.weight.view(shape) + self.bias.view(shape)
        return normed

    def _check_input_dim(self, inputs: Tensor) -> None:
        """Any number of dimensions."""


def share_batch_norm(net: nn.Module, gpu: bool) -> nn.Module:
    """The network with batch norms that see the batch of all processes; weights and their names stay as they are.

    Raises:
        ConfigError: on the CPU, for a batch norm of another library.
    """
    if gpu:
        from timm.layers import convert_sync_batchnorm  # torch's own would lose the activation in timm's BatchNormAct2d

        return convert_sync_batchnorm(net)
    for module in net.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            module.__class__ = BatchNormOfAll
        elif isinstance(module, _BatchNorm):
            raise ConfigError(
                f"trainer.sync_batchnorm=true does not know {type(module).__name__} on the CPU; with false each "
                "process takes the statistics of its own part of a batch"
            )
    return net
