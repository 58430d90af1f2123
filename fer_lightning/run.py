"""One cell of a table: data, folds, training, pooled scores. Called by `train.py` for each job."""

import hashlib
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from fer_lightning import identity
from fer_lightning.dashboards.samples import pictures
from fer_lightning.dashboards.watch import Watch
from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.errors import ConfigError
from fer_lightning.files import write_atomically
from fer_lightning.functional.folds import Fold
from fer_lightning.progress import CacheProgress
from fer_lightning.protocols.build import check_network, check_precision, predicted_columns
from fer_lightning.protocols.ddp import check_folds, check_processes
from fer_lightning.protocols.devices import check_gpus
from fer_lightning.protocols.fold import Listener, is_done
from fer_lightning.protocols.parallel import run_folds
from fer_lightning.protocols.selection import check_selection
from fer_lightning.protocols.stopping import check_stopping
from fer_lightning.recipe import check_recipe
from fer_lightning.reporting import figures, scores, tables
from fer_lightning.settings import check_settings
from fer_lightning.stages import earlier, follow
from fer_lightning.tasks.continuous import ContinuousLoss


def run(cfg: DictConfig, listen: Listener | None = None, score: bool = True) -> float | None:
    """Run the folds that the config asks for; score them when the pool is complete.

    Args:
        cfg: the whole config.
        listen: told each epoch's line, see `run_fold`; what it raises ends the run.
        score: False leaves the test predictions unread: no scores.json, no figures, nothing printed.

    Returns:
        What a sweep maximises: the pooled UF1, of continuous values the mean CCC, of both their mean; None when only
        some of the folds were asked for, or no scores.
    """
    check_options(cfg)
    check_gpus(cfg)
    data: FERDataModule = instantiate(cfg.data)
    if cfg.get("tiny") and not data.synthetic:
        _write_tiny(data)
    data.build(Path(cfg.paths.cache))
    check_values(cfg, data)
    folds = plan(cfg, data.manifest)
    check_network(cfg, data, (chosen(cfg, folds) or folds)[0])
    out = identity.run_folder(cfg)
    identity.claim(out, cfg)
    _describe(cfg, data, folds, out)
    progress = CacheProgress(data.name)
    try:
        data.spot(Path(cfg.paths.cache), max(cfg.protocol.workers, 2), progress)
        _write_manifest(out, data.manifest, folds)
        data.prepare(Path(cfg.paths.cache), max(cfg.protocol.workers, 2), progress)
    finally:
        progress.close()
    for remark, number in data.remarks.items():
        print(f"  {number} sample(s): {remark}; {data.cache.folder / 'index.csv'} names them", file=sys.stderr)
    todo = [fold for fold in chosen(cfg, folds) if not is_done(out, fold)]
    _write_facts(out, data, bool(todo))
    cfg = begin(cfg, todo, score)
    watch = Watch(cfg, out, live=len(folds) == 1 and score)
    run_folds(cfg, data, chosen(cfg, folds), out, lambda line: [hear(line) for hear in (watch.epoch, listen) if hear])
    missing = [fold.name for fold in folds if not is_done(out, fold)]
    if missing:
        print(f"{len(folds) - len(missing)} of {len(folds)} folds are done (next: {missing[0]}). {out}")
        return None
    if not score:
        return None
    result = scores.write_scores(out)
    figures.write_figures(out)
    tables.print_scores(result, out)
    watch.publish(partial(pictures, data))
    return scores.objective(result)


def begin(cfg: DictConfig, todo: list[Fold], score: bool) -> DictConfig:
    """Run what comes before, if anything is to be trained; the config that starts from its weights."""
    first = earlier(cfg) if todo else None
    if first is None:
        return cfg
    print(f"  before it: {' '.join(f'{key}={value}' for key, value in cfg.before.items())}", file=sys.stderr)
    run(first, score=score)
    return follow(cfg, first)


def check_options(cfg: DictConfig) -> None:
    """Refuse options that do not fit each other before any file is read."""
    if cfg.ensemble:
        raise ConfigError(
            f"experiment={cfg.table}-{cfg.row} is an ensemble of {list(cfg.ensemble.members)} and trains nothing: "
            f"python -m fer_lightning.reproduce {cfg.table}"
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


def _describe(cfg: DictConfig, data: FERDataModule, folds: list[Fold], out: Path) -> None:
    counts = data.manifest["label"].value_counts()
    classes, targets = predicted_columns(cfg, data)
    labels = ", ".join([*(f"{name} {counts.get(name, 0)}" for name in classes), *targets])
    print(f"{data.name}: {len(data.manifest)} samples ({labels}), {len(folds)} fold(s)", file=sys.stderr)
    for reason, count in data.dropped.items():
        print(f"  left out: {count} ({reason})", file=sys.stderr)
    for reason, count in data.corrected.items():
        print(f"  corrected: {count} ({reason})", file=sys.stderr)
    if data.synthetic:
        print("  this data is SYNTHETIC: scores say nothing about faces", file=sys.stderr)
    print(f"  run folder: {out}", file=sys.stderr)


def _csv(table: pd.DataFrame) -> Iterator[bytes]:
    """The file in parts: millions of rows need not stand in memory as text."""
    for start in range(0, len(table), 100_000):
        part = table.iloc[start : start + 100_000]
        yield part.to_csv(index=False, header=start == 0, lineterminator="\n").encode()


def _holds(file: Path, parts: Iterator[bytes]) -> bool:
    with file.open("rb") as stream:
        return all(stream.read(len(part)) == part for part in parts) and not stream.read(1)


def _write_manifest(out: Path, manifest: pd.DataFrame, folds: list[Fold]) -> None:
    """Keep the rows and the fold each is tested in; refuse to go on with other data in an old run folder."""
    tested, index = np.full(len(manifest), "", dtype=object), pd.Index(manifest["sample_id"])
    for fold in folds:
        tested[index.get_indexer(fold.test)] = fold.name
    table, file = manifest.assign(fold=tested), out / "manifest.csv"
    if not file.is_file():
        write_atomically(file, lambda stream: stream.writelines(_csv(table)))
    elif not _holds(file, _csv(table)):
        raise ConfigError(
            f"{file} differs from the manifest of the data as it is now: the raw data, or the way it is read, has "
            "changed since this run began. Delete the run folder or choose another run_name."
        )


def _write_facts(out: Path, data: FERDataModule, trains: bool) -> None:
    """Keep whether the data is synthetic and a hash of its arrays; refuse to train on others in an old run folder.

    The hash is not that of the cache, which changes with the place and the times of the raw files: these may be moved,
    and the cache be made again, between two goes at a run.
    """
    file = out / "run.json"
    if file.is_file() and not trains:
        return
    facts = {"synthetic": data.synthetic, "pixels": pixels(data.cache.array)}
    try:
        found = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        found = {}
    found = found if isinstance(found, dict) else {}
    if found.get("pixels", facts["pixels"]) != facts["pixels"]:  # runs of before this was kept do not say
        raise ConfigError(
            f"{file}: this run began with other pixels (hash {found['pixels']}) than are read now ({facts['pixels']}): "
            "raw files, or what makes arrays of them, have changed since, and folds of one run would not be alike. Put "
            "the old files back, delete the run folder, or choose another run_name."
        )
    write_atomically(file, json.dumps(facts) + "\n")


def pixels(array: np.ndarray) -> str:
    """Hash of the arrays of all samples; of more than 256 MiB, of as many samples as that, evenly spaced."""
    digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
    for row in array[:: max(1, -(-array.nbytes // 2**28))]:
        digest.update(np.ascontiguousarray(row))
    return digest.hexdigest()[:16]
