"""Staged transfer as one config: `before` names the run whose weights a run starts from."""

import copy
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from fer_lightning import identity
from fer_lightning.compose import configure
from fer_lightning.errors import ConfigError

#: What both stages share, unless `before` says otherwise: on other folds the first could have seen what is tested.
SHARED = ("data", "protocol", "seed", "paths", "tiny")
SHARED_TRAINER = ("accelerator", "devices", "num_nodes", "strategy", "precision")


def earlier(cfg: DictConfig) -> DictConfig | None:
    """The config of the run that comes before, None without one.

    It is composed from the overrides in ``cfg.before`` (``{model: vggnet, trainer.max_epochs: 100}``), on the data,
    the folds and the seed of this run, and keeps its weights.

    Raises:
        ConfigError: an override that does not compose, or `model.weights` besides.
    """
    if not cfg.before:
        return None
    if cfg.model.weights:
        raise ConfigError("before and model.weights both say what to start from: leave one out")
    overrides = OmegaConf.to_container(cfg.before, resolve=True)
    first = configure([f"{key}={'null' if value is None else value}" for key, value in overrides.items()])
    with open_dict(first):
        for key in SHARED:
            if key in cfg:
                first[key] = copy.deepcopy(cfg._get_node(key))  # with its interpolations, which the stage's paper fills
        for key in SHARED_TRAINER:
            if key in cfg.trainer:
                first.trainer[key] = cfg.trainer[key]
        for key, value in overrides.items():
            if key == "seed" or key.startswith(("data.", "protocol.", "trainer.")):
                OmegaConf.update(first, key, value)
        first.trainer.save_weights = True
    return first


def follow(cfg: DictConfig, first: DictConfig) -> DictConfig:
    """`cfg`, starting from the weights that the run before left."""
    cfg = copy.deepcopy(cfg)
    cfg.model.weights = str(Path(identity.run_folder(first)))
    return cfg
