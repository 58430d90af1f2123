"""One cell of a table: data, folds, training, pooled scores. Called by `train.py` for each job."""

import sys
from pathlib import Path

import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from fer_lightning import identity
from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.errors import ConfigError
from fer_lightning.files import write_atomically
from fer_lightning.functional.folds import Fold
from fer_lightning.progress import CacheProgress
from fer_lightning.protocols.fold import is_done
from fer_lightning.protocols.parallel import run_folds
from fer_lightning.protocols.selection import RULES
from fer_lightning.reporting import figures, scores, tables


def run(cfg: DictConfig) -> float | None:
    """Run the folds that the config asks for; score them when the pool is complete.

    Returns:
        The pooled UF1 (what a sweep maximises), or None when only some of the folds were asked for.
    """
    check_options(cfg)
    data: FERDataModule = instantiate(cfg.data)
    if cfg.get("tiny") and not data.synthetic:
        data.tiny(data.root)
    manifest = data.build()
    folds = plan(cfg, manifest)
    check_network(cfg, data)
    out = identity.run_folder(cfg)
    identity.claim(out, cfg)
    _describe(data, folds, out)
    _write_manifest(out, manifest, folds, data.synthetic)
    progress = CacheProgress(data.name)
    try:
        data.prepare(Path(cfg.paths.cache), max(cfg.protocol.workers, 2), progress)
    finally:
        progress.close()
    run_folds(cfg, data, chosen(cfg, folds), out)
    missing = [fold.name for fold in folds if not is_done(out, fold)]
    if missing:
        print(f"{len(folds) - len(missing)} of {len(folds)} folds are done (next: {missing[0]}). {out}")
        return None
    result = scores.write_scores(out)
    figures.write_figures(out)
    tables.print_scores(result, out)
    return result["uf1"]


def check_options(cfg: DictConfig) -> None:
    """Refuse options that do not fit each other before any file is read."""
    if cfg.protocol.selection not in RULES:
        raise ConfigError(f"protocol.selection={cfg.protocol.selection!r} is not one of {list(RULES)}")
    kinds = [cfg.needs.kind] if isinstance(cfg.needs.kind, str) else list(cfg.needs.kind or [])
    if kinds and cfg.data.kind not in kinds:
        raise ConfigError(
            f"model={cfg.model_name} reads {' or '.join(kinds)} images, data={cfg.data.name} holds {cfg.data.kind} "
            f"images ({len(cfg.data.channels)} channel(s): {', '.join(cfg.data.channels)}). "
            "Choose another model or data."
        )
    channels = list(cfg.needs.get("channels") or cfg.data.channels)
    if channels != list(cfg.data.channels):
        raise ConfigError(
            f"model={cfg.model_name} needs the {len(channels)} channels {channels}, "
            f"data.channels is {list(cfg.data.channels)}"
        )


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


def check_network(cfg: DictConfig, data: FERDataModule) -> None:
    """One forward pass of zeros: a network that cannot read these arrays is refused before training."""
    net = instantiate(cfg.model).eval()
    shape = (2, *data.recipe.shape)
    try:
        with torch.inference_mode():
            found = tuple(net(torch.zeros(shape)).shape)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model={cfg.model_name} cannot read data={data.name}, whose samples have (channels, height, width) = "
            f"{shape[1:]}: {error}"
        ) from error
    if found != (2, len(data.classes)):
        raise ConfigError(
            f"model={cfg.model_name} gives {found} for 2 samples, expected {(2, len(data.classes))} logits"
        )


def _describe(data: FERDataModule, folds: list[Fold], out: Path) -> None:
    counts = data.manifest["label"].value_counts()
    labels = ", ".join(f"{name} {counts.get(name, 0)}" for name in data.classes)
    print(f"{data.name}: {len(data.manifest)} samples ({labels}), {len(folds)} fold(s)", file=sys.stderr)
    for reason, count in data.dropped.items():
        print(f"  left out: {count} ({reason})", file=sys.stderr)
    for reason, count in data.corrected.items():
        print(f"  corrected: {count} ({reason})", file=sys.stderr)
    if data.synthetic:
        print("  this data is SYNTHETIC: scores say nothing about faces", file=sys.stderr)
    print(f"  run folder: {out}", file=sys.stderr)


def _write_manifest(out: Path, manifest: pd.DataFrame, folds: list[Fold], synthetic: bool) -> None:
    """Keep the rows and the fold each is tested in; refuse to go on with other data in an old run folder."""
    tested = {sample: fold.name for fold in folds for sample in fold.test}
    text = manifest.assign(fold=manifest["sample_id"].map(tested).fillna("")).to_csv(index=False, lineterminator="\n")
    file = out / "manifest.csv"
    if file.is_file() and file.read_text() != text:
        raise ConfigError(
            f"{file} differs from the manifest of the data as it is now: the raw data, or the way it is read, has "
            "changed since this run began. Delete the run folder or choose another run_name."
        )
    write_atomically(file, text)
    write_atomically(out / "run.json", f'{{"synthetic": {str(synthetic).lower()}}}\n')
