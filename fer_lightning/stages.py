"""Staged transfer as one config: `before` names the run whose weights a run starts from."""

import copy
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from fer_lightning import identity
from fer_lightning.compose import configure
from fer_lightning.errors import ConfigError

#: What both stages share, unless `before` says otherwise.
SHARED = ("data", "protocol", "seed", "paths", "tiny")
SHARED_TRAINER = ("accelerator", "devices", "num_nodes", "strategy", "precision")


def earlier(cfg: DictConfig) -> DictConfig | None:
    """The config of the run that comes before, None without one.

    It is composed from the overrides in ``cfg.before`` (``{model: vggnet, trainer.max_epochs: 100}``), on the data,
    the folds and the seed of this run, and keeps its weights. Other data (``{data: fer2013}``) bring their own folds;
    what they share with those of this run is refused when a fold of it begins (`protocols.past.check_unseen`).

    Raises:
        ConfigError: an override that does not compose, other folds of the same data, or `model.weights` besides.
    """
    if not cfg.before:
        return None
    if cfg.model.weights:
        raise ConfigError("before and model.weights both say what to start from: leave one out")
    overrides = OmegaConf.to_container(cfg.before, resolve=True)
    first = configure([f"{key}={'null' if value is None else value}" for key, value in overrides.items()])
    named = {key.lstrip("+"): value for key, value in overrides.items()}
    if "protocol" in named and "data" not in named:
        raise ConfigError(
            f"before names protocol={named['protocol']} and not data: on the data of this run the stage before needs "
            "its folds, since on others it could train on what is tested. Leave protocol out (single settings may "
            "differ: before={protocol.metric: val_loss}), or name other data as well: before={data: ..., protocol: ...}"
        )
    own = {*named, *(["protocol"] if "data" in named else [])}
    with open_dict(first):
        for key in SHARED:
            if key in cfg and key not in own:
                first[key] = copy.deepcopy(cfg._get_node(key))  # with its interpolations, which the stage's paper fills
        if "data" in named and cfg.get("tiny"):
            first.data.root = "${paths.runs}/tiny/${data.name}"  # as debug=tiny has it: never into the real data
        for key in () if "trainer" in named else SHARED_TRAINER:
            if key in cfg.trainer:
                first.trainer[key] = cfg.trainer[key]
        for key, value in named.items():
            if key == "seed" or key.startswith(("data.", "protocol.", "trainer.", "paths.")):
                OmegaConf.update(first, key, value)
        first.trainer.save_weights = True
    return first


def follow(cfg: DictConfig, first: DictConfig) -> DictConfig:
    """`cfg`, starting from the weights that the run before left."""
    cfg = copy.deepcopy(cfg)
    cfg.model.weights = str(Path(identity.run_folder(first)))
    return cfg
