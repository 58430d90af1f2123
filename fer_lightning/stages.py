"""Staged transfer as one config: `before` names the run whose weights a run starts from."""

import copy
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf, open_dict

from fer_lightning import identity
from fer_lightning.compose import configure
from fer_lightning.errors import ConfigError
from fer_lightning.functional.folds import Fold
from fer_lightning.planning import check_options, chosen, open_data, plan
from fer_lightning.protocols import weights
from fer_lightning.protocols.fold import is_done
from fer_lightning.protocols.past import Past, check_past, check_unseen, past_of, read_past

#: What both stages share, unless `before` says otherwise.
SHARED = ("data", "protocol", "seed", "paths", "tiny")
SHARED_TRAINER = ("accelerator", "devices", "num_nodes", "strategy", "precision")


def earlier(cfg: DictConfig) -> DictConfig | None:
    """The config of the run that comes before, None without one.

    It is composed from the overrides in ``cfg.before`` (``{model: vggnet, trainer.max_epochs: 100}``), on the data,
    the folds and the seed of this run, and keeps its weights. Other data (``{data: fer2013}``) bring their own folds;
    what they share with those of this run is refused before anything is trained (`check_before`).

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


def check_before(cfg: DictConfig, folds: Sequence[Fold], manifest: pd.DataFrame) -> None:
    """Refuse, before anything is trained, what would be refused when these folds begin with what comes before.

    What a stage will have seen is known from its config and manifest: the same rules are applied to that.

    Args:
        cfg: of the run; without `before` nothing is asked.
        folds: those of the run that are to be trained.
        manifest: of the run.

    Raises:
        LeakError: a stage before trains on what one of these folds, or of a stage between, tests or chooses by.
        ConfigError: it leaves no weights that one of them could begin with, or its own options do not fit.
    """
    if cfg.before and folds:
        _starts(cfg, folds, manifest, {identity.rows_of(cfg.data): manifest})


def _starts(
    cfg: DictConfig, folds: Sequence[Fold], manifest: pd.DataFrame, known: dict[str, pd.DataFrame]
) -> dict[str, Past]:
    """Fold -> the past of the weights that it will begin with, after making sure that it may; {} of fresh ones.

    `known` are manifests that were built already: building one can take longer than everything else here.
    """
    first, pasts = earlier(cfg) if folds else None, {}  # where nothing is to be trained, nothing comes before it
    left = {} if first is None else _left(first, known)
    for fold in folds:
        if first is not None:
            pasts[fold.name] = left[_own(cfg, left, fold)]
            _check(cfg, pasts[fold.name], fold, manifest)
        elif cfg.model.weights:
            file = weights.find(cfg.model.weights, fold.name)
            check_unseen(file, fold, manifest)
            pasts[fold.name] = read_past(file)
    return pasts


def _left(cfg: DictConfig, known: dict[str, pd.DataFrame]) -> dict[str, Past]:
    """Fold -> the past of its weights in the folder of this run, when what is not there yet will have been trained."""
    check_options(cfg)
    rows = identity.rows_of(cfg.data)
    if rows not in known:
        known[rows] = open_data(cfg).manifest
    out = identity.run_folder(cfg)
    todo = [fold for fold in chosen(cfg, plan(cfg, known[rows])) if not is_done(out, fold)]
    starts = _starts(cfg, todo, known[rows], known)
    new = {fold.name: past_of(fold, known[rows], starts.get(fold.name)) for fold in todo}
    return {name: read_past(file) for name, file in weights.kept(out).items() if name not in new} | new


def _own(cfg: DictConfig, left: dict[str, Past], fold: Fold) -> str:
    """The fold of the stage before whose weights this one begins with."""
    name = weights.pick(left, fold.name)
    if name is None:
        raise ConfigError(
            f"{_said(cfg)}: expected that it leaves weights of a fold {fold.name}, or of a single fold, found "
            f"{len(left)} folds (first: {list(left)[:3]}). Give both stages folds of the same names, or let the first "
            "train one fold only (protocol.only in before)"
        )
    return name


def _check(cfg: DictConfig, past: Past, fold: Fold, manifest: pd.DataFrame) -> None:
    advice = (
        "Name no setting of the data, the folds (protocol), their validation samples or the seed in before: both "
        "stages then have the same folds; or name data without these samples"
    )
    who = f"{_said(cfg)}: that run, or one that it begins with, trains on"
    check_past(past, fold, manifest, who, (advice, advice))


def _said(cfg: DictConfig) -> str:
    return f"before={{{', '.join(f'{key}: {value}' for key, value in cfg.before.items())}}}"
