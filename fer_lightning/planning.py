"""What a run is going to do, known before anything is trained: options that fit, data, folds."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.errors import ConfigError
from fer_lightning.functional.folds import Fold
from fer_lightning.protocols.build import check_precision, predicted_columns
from fer_lightning.protocols.ddp import check_folds, check_processes
from fer_lightning.protocols.selection import check_selection
from fer_lightning.protocols.stopping import check_stopping
from fer_lightning.recipe import check_recipe
from fer_lightning.settings import check_settings
from fer_lightning.tasks.continuous import ContinuousLoss

#: How many folds a remark names.
NAMED = 5


def check_options(cfg: DictConfig) -> None:
    """Refuse options that do not fit each other before any file is read."""
    if cfg.ensemble:
        raise ConfigError(
            f"experiment={cfg.table}-{cfg.row} is an ensemble of {list(cfg.ensemble.members)} and trains nothing: "
            f"python -m fer_lightning.reproduce {cfg.table}"
        )
    if lacking := [key for key in ("model_name", "needs") if key not in cfg]:
        made = cfg.model.get("_target_", "no model._target_")
        raise ConfigError(
            f"the YAML of the model ({made}) sets no {' and no '.join(lacking)}. It begins with the line "
            "'# @package _global_' and sets model, model_name and needs: see conf/model/arch1.yaml"
        )
    check_settings(cfg)
    check_selection(cfg)
    check_precision(cfg)
    kinds = [cfg.needs.kind] if isinstance(cfg.needs.kind, str) else list(cfg.needs.kind or [])
    if kinds and cfg.data.kind not in kinds:
        raise ConfigError(
            f"model={cfg.model_name} reads {' or '.join(kinds)} images, data={cfg.data.name} holds {cfg.data.kind} "
            f"images ({len(cfg.data.channels)} channel(s): {', '.join(cfg.data.channels)}). "
            "Choose another model or data."
        )
    check_task(cfg)
    check_recipe(cfg)
    check_processes(cfg)
    targets = list(cfg.data.get("targets") or [])
    if cfg.task.get("soft_target") and len(targets) != len(cfg.data.classes):
        raise ConfigError(
            f"task=distribution needs one column of the manifest per class in data.targets, in the order of "
            f"{list(cfg.data.classes)}; found {targets}. data=ferplus_votes has them"
        )
    channels = list(cfg.needs.get("channels") or cfg.data.channels)
    if channels != list(cfg.data.channels):
        raise ConfigError(
            f"model={cfg.model_name} needs the {len(channels)} channels {channels}, "
            f"data.channels is {list(cfg.data.channels)}"
        )


def check_task(cfg: DictConfig) -> None:
    """Refuse a task whose classes or values the data set does not have, and a loss of another kind."""
    classes, values = cfg.task.get("num_classes"), cfg.task.get("num_targets")
    if classes == 0:
        raise ConfigError(f"data={cfg.data.name} has no classes (data.classes); task=valence_arousal needs none")
    if values == 0:
        raise ConfigError(
            f"this task predicts the columns that data.targets names; data={cfg.data.name} names none. "
            "Choose other data, such as affwild2_va, or data.targets=[valence,arousal] where the manifest has them"
        )
    kind = get_class(cfg.loss._target_)
    if (kind is ContinuousLoss) == bool(classes):
        wanted = "cross_entropy" if classes else "mse, ccc or mse_ccc"
        raise ConfigError(f"the loss {kind.__name__} does not fit this task: choose loss={wanted}")


def open_data(cfg: DictConfig) -> FERDataModule:
    """The data set of a run with its manifest; `debug=tiny` writes the synthetic raw folder first."""
    data: FERDataModule = instantiate(cfg.data)
    if cfg.get("tiny") and not data.synthetic:
        _write_tiny(data)
    data.build(Path(cfg.paths.cache))
    check_values(cfg, data)
    return data


def check_values(cfg: DictConfig, data: FERDataModule) -> None:
    """Refuse values outside -1..1: the task cannot reach them, and -5 may have been meant as "not annotated"."""
    for name in predicted_columns(cfg, data)[1]:
        low, high = data.manifest[name].min(), data.manifest[name].max()
        if low < -1 or high > 1:
            raise ConfigError(f"data.targets: {name} is between {low:g} and {high:g}, expected -1 to 1")


def plan(cfg: DictConfig, manifest: pd.DataFrame) -> list[Fold]:
    """The folds of the protocol; with `inner_val`, each with validation samples."""
    rule, share = cfg.protocol.selection, cfg.protocol.inner_val
    options = {} if share is None else {"seed": cfg.seed, "inner_val": share if rule == "inner_val" else 0.0}
    folds = instantiate(cfg.protocol.folds)(manifest, **options)
    if rule == "inner_val" and not all(fold.val for fold in folds):
        raise ConfigError(
            f"protocol.selection=inner_val needs validation samples, but data={cfg.data.name} with "
            f"protocol={cfg.protocol.name} has none; use protocol.selection=last"
        )
    check_stopping(cfg, folds)
    check_folds(cfg, folds)
    return folds


def chosen(cfg: DictConfig, folds: list[Fold]) -> list[Fold]:
    """The folds this process was asked for: all, those named in `protocol.only`, or number `protocol.index`."""
    if cfg.protocol.index is not None:
        if not 0 <= cfg.protocol.index < len(folds):
            raise ConfigError(f"protocol.index={cfg.protocol.index} is outside 0..{len(folds) - 1}")
        return [folds[cfg.protocol.index]]
    if cfg.protocol.only is None:
        return folds
    names = [fold.name for fold in folds]
    unknown = [name for name in cfg.protocol.only if name not in names]
    if unknown:
        raise ConfigError(f"protocol.only names {unknown}, which are no folds of this run; the first are {names[:5]}")
    return [fold for fold in folds if fold.name in cfg.protocol.only]


def _write_tiny(data: FERDataModule) -> None:
    """Write the synthetic raw folder, unless a job that began at the same moment has done it and reads it already."""
    data.root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(data.root.with_name(f".{data.root.name}.lock")):
        if not data.synthetic:
            data.tiny(data.root)


def without_training(cfg: DictConfig, data: FERDataModule, folds: list[Fold]) -> list[str]:
    """A line for each class of which some fold trains on no sample; with `soft_target`, on no vote for it.

    Small sets with a fold for each subject have such folds, and so do divisions that somebody made: they are said, and
    no reason to end a run.
    """
    classes, rows = predicted_columns(cfg, data)[0], data.manifest
    labels = rows["label"].to_numpy(dtype=object)[:, None] == np.array(classes, dtype=object)
    learned = (rows[data.targets] > 0).to_numpy() if cfg.task.get("soft_target") else labels
    index, missing, tested = pd.Index(rows["sample_id"]), {name: [] for name in classes}, dict.fromkeys(classes, 0)
    for fold in folds:
        lacks = ~learned[index.get_indexer(list(fold.train))].any(axis=0)
        lost = labels[index.get_indexer(list(fold.test))].sum(axis=0)
        for place in np.flatnonzero(lacks):
            missing[classes[place]].append(fold.name)
            tested[classes[place]] += int(lost[place])
    return [
        f"class {name} has no training sample in {_named(missing[name], len(folds))}: it cannot be learned there, "
        f"where {tested[name]} of its samples are tested"
        for name in classes
        if missing[name]
    ]


def _named(folds: list[str], of: int) -> str:
    """``2 of 68 folds (sub01, sub07)``."""
    more = f" and {len(folds) - NAMED} more" if len(folds) > NAMED else ""
    return f"{len(folds)} of {of} fold(s) ({', '.join(folds[:NAMED])}{more})"


def describe(cfg: DictConfig, data: FERDataModule, folds: list[Fold], out: Path) -> None:
    counts = data.manifest["label"].value_counts()
    classes, targets = predicted_columns(cfg, data)
    labels = ", ".join([*(f"{name} {counts.get(name, 0)}" for name in classes), *targets])
    print(f"{data.name}: {len(data.manifest)} samples ({labels}), {len(folds)} fold(s)", file=sys.stderr)
    for reason, count in data.dropped.items():
        print(f"  left out: {count} ({reason})", file=sys.stderr)
    for reason, count in data.corrected.items():
        print(f"  corrected: {count} ({reason})", file=sys.stderr)
    for line in without_training(cfg, data, chosen(cfg, folds)):
        print(f"  {line}", file=sys.stderr)
    if data.synthetic:
        print("  this data is SYNTHETIC: scores say nothing about faces", file=sys.stderr)
    print(f"  run folder: {out}", file=sys.stderr)
