"""Where a fold is trained: on which GPU, with how many cores of the processor."""

import os
from functools import cache

import torch
from hydra.core.hydra_config import HydraConfig
from joblib import cpu_count
from omegaconf import DictConfig

from fer_lightning.errors import ConfigError
from fer_lightning.protocols.ddp import processes


def check_gpus(cfg: DictConfig) -> None:
    """Refuse a `protocol.gpus` that this machine cannot give or that another option contradicts.

    Raises:
        ConfigError: no such GPU; a fold that is to be trained on several devices or on the CPU.
    """
    gpus = cfg.protocol.gpus
    if gpus is None:
        return
    found = torch.cuda.device_count() if cfg.trainer.accelerator != "cpu" else 0
    if not gpus or not all(0 <= gpu < found for gpu in gpus):
        raise ConfigError(
            f"protocol.gpus={list(gpus)} must name GPUs that can be used: here they are {list(range(found))} "
            f"(trainer.accelerator={cfg.trainer.accelerator})"
        )
    if processes(cfg) > 1:
        raise ConfigError(
            f"protocol.gpus gives each fold one GPU, trainer.devices={cfg.trainer.devices} several: leave one out"
        )


def deal_gpu(cfg: DictConfig, worker: int, workers: int) -> DictConfig:
    """The config with `trainer.devices` set to the GPU of this worker, where `protocol.gpus` names some.

    Folds side by side (protocol.workers) and jobs side by side (launcher=joblib) go round the list: worker w of n in
    job j of a multirun takes number j * n + w of it.
    """
    gpus = cfg.protocol.gpus
    if gpus is None:
        return cfg
    cfg = cfg.copy()
    cfg.trainer.devices = [gpus[(_job() * workers + worker) % len(gpus)]]
    return cfg


def _job() -> int:
    """Number of this job of a multirun; 0 where there is none."""
    return HydraConfig.get().job.get("num") or 0 if HydraConfig.initialized() else 0


@cache  # Lightning sets the variable too, for what comes later
def cores() -> int:
    """Processor cores that this process was given: OMP_NUM_THREADS (joblib and Ray set it), or those it may run on."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else cpu_count()
