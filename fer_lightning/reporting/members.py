"""The members of an ensemble: run folders that predicted the same classes of the same samples."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import ConfigError, PoolError
from fer_lightning.functional.frames import natural_key
from fer_lightning.functional.mixing import combine
from fer_lightning.reporting.compare import aligned, check_classes, is_oracle
from fer_lightning.reporting.epochs import at_last_epoch
from fer_lightning.reporting.pool import KEYS, Pool, read_pool
from fer_lightning.reporting.rows import SUM_TOLERANCE, probability_columns
from fer_lightning.reporting.twins import without_twins

VIEWS = ("mean", "vote", "centre")


@dataclass(frozen=True)
class Members:
    """M runs, checked against each other, in natural order of their names.

    Attributes:
        names: see `member_names`.
        pools: of each.
        fingerprints: SHA-256 of the files that were read of each.
        table: the tested samples in the order of the first run: sample_id, dataset, group, label, fold.
        folds: name of the fold in which each run tested the samples, ``(M, n)``.
        probabilities: ``(M, n, C)``.
        chosen: class indices that each run predicts, ``(M, n)``.
    """

    names: list[str]
    pools: list[Pool]
    fingerprints: list[str]
    table: pd.DataFrame
    folds: np.ndarray
    probabilities: np.ndarray
    chosen: np.ndarray


def find(patterns: Sequence[str]) -> list[Path]:
    """Run folders, in the order given; a pattern with ``*`` or ``?`` stands for all folders that it matches.

    Raises:
        ConfigError: a pattern matches no folder.
    """
    folders = []
    for pattern in patterns:
        names = [pattern] if Path(pattern).is_dir() else glob(pattern)
        found = [Path(name) for name in sorted(names, key=natural_key) if Path(name).is_dir()]
        if not found:
            raise ConfigError(f"{pattern}: expected a run folder (it holds predictions/ and config.yaml), found none")
        folders += found
    return folders


def member_names(folders: Sequence[Path]) -> list[str]:
    """Paths from the folder that all have in common: short, and the same wherever the runs are kept."""
    paths = [folder.resolve() for folder in folders]
    common = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(common).as_posix() for path in paths]


def read_members(folders: Sequence[Path], views: str | None = None, last: bool = False) -> Members:
    """Read the runs and make sure that their predictions can be mixed.

    Args:
        folders: of the runs.
        views: None, or one of `VIEWS`: how the saved predictions of each sample's views are put together again.
        last: take the last epoch of runs with selection=oracle_test.

    Raises:
        ConfigError: too few members.
        PoolError: one is incomplete, or they do not predict the same classes of the same samples.
        ValueError: `views` is none of them.
    """
    if views and views not in VIEWS:
        raise ValueError(f"views={views!r} is not one of {VIEWS}")
    if len(folders) < (1 if views else 2):
        alone = "; of a single run only the views can be put together (--views)"
        raise ConfigError(f"an ensemble needs at least 2 members, found {len(folders)}{alone}")
    named = sorted(zip(member_names(folders), folders, strict=True), key=lambda pair: natural_key(pair[0]))
    names, pools = [name for name, _ in named], [read_pool(folder) for _, folder in named]
    if last:
        pools = [at_last_epoch(pool) if pool.selection == "oracle_test" else pool for pool in pools]
    check_classes(pools, names)
    for name, pool in zip(names, pools, strict=True):
        if pool.targets:
            raise PoolError(f"{name} predicts {pool.targets} beside classes; only runs of classes alone can be mixed")
    tables = aligned([pool.table for pool in pools], names, "tested samples")
    found = [
        _with_views(pool, table, views) if views else _plain(pool, table)
        for pool, table in zip(pools, tables, strict=True)
    ]
    return Members(
        names=names,
        pools=pools,
        fingerprints=[_fingerprint(pool.folder, bool(views), last) for pool in pools],
        table=tables[0][KEYS],
        folds=np.stack([table["fold"].to_numpy(dtype=object) for table in tables]),
        probabilities=np.stack([probabilities for probabilities, _ in found]),
        chosen=np.stack([chosen for _, chosen in found]),
    )


def validation_by_fold(members: Members) -> dict[str, list[pd.DataFrame]]:
    """Fold -> the validation predictions of each member, rows aligned; of FER2013 without twins of training samples.

    Raises:
        ConfigError: a member has no validation predictions of a fold, or tests other samples in it.
        PoolError: they are of different samples.
    """
    folds = list(dict.fromkeys(members.table["fold"]))
    for name, pool, tested in zip(members.names, members.pools, members.folds, strict=True):
        if pool.validation is None:
            raise ConfigError(
                f"{name} has no validation predictions (validation/<fold>.csv). Runs with validation samples "
                "(protocol.selection=inner_val) write them; of the rules, only weights needs them"
            )
        other = np.flatnonzero(tested != members.folds[0])
        if len(other):
            raise ConfigError(
                f"{name} tests {len(other)} samples in other folds than {members.names[0]} (first: "
                f"{members.table['sample_id'].iloc[other[0]]!r}, in {tested[other[0]]} and "
                f"{members.folds[0][other[0]]}); validation samples of one may be tested by the other"
            )
        missing = [fold for fold in folds if fold not in set(pool.validation["fold"])]
        if missing:
            raise ConfigError(f"{name} has no validation predictions of {len(missing)} folds (first: {missing[0]})")
    return {fold: _of_fold(members, fold) for fold in folds}


def _of_fold(members: Members, fold: str) -> list[pd.DataFrame]:
    tables = [without_twins(pool.validation[pool.validation["fold"] == fold], pool) for pool in members.pools]
    remedy = "Validation samples that a protocol draws depend on the seed: weights need members of one seed"
    return aligned(tables, members.names, f"validation samples in fold {fold}", remedy)


def _plain(pool: Pool, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    probabilities = table[probability_columns(pool.classes)].to_numpy(dtype=float)
    return probabilities, pd.Index(pool.classes).get_indexer(table["predicted"])


def _with_views(pool: Pool, table: pd.DataFrame, how: str) -> tuple[np.ndarray, np.ndarray]:
    """The predictions of a run, put together from those of the views in another way."""
    if is_oracle(pool):
        raise ConfigError(f"{pool.folder}: saved views are those of the last epoch, but its selection is oracle_test")
    files = [_read_views(pool, fold, table) for fold in table["fold"].unique()]
    for (_, found, _), fold in zip(files, table["fold"].unique(), strict=True):
        if found.tolist() != files[0][1].tolist():
            raise PoolError(
                f"{pool.folder / 'views' / fold}.npz: expected the views {files[0][1].tolist()} of the other folds, "
                f"found {found.tolist()}: not one run. {_again(fold)}"
            )
    ids = np.concatenate([sample_id for sample_id, _, _ in files])
    order = pd.Index(ids).get_indexer(table["sample_id"])
    views = np.concatenate([probabilities for _, _, probabilities in files])[order].transpose(1, 0, 2)
    gap = np.abs(views.mean(axis=0) - _plain(pool, table)[0]).max()
    if not gap <= SUM_TOLERANCE:
        raise PoolError(f"{pool.folder}: the mean of views/ differs from predictions/ by up to {gap:.2g}: not one run")
    if how == "centre":
        names = files[0][1].tolist()
        if "centre" not in names:
            raise ConfigError(f"{pool.folder}: --views centre needs a view called 'centre', found {names}")
        views = views[names.index("centre")][None]
    return combine("vote" if how == "vote" else "mean", views, views.argmax(axis=-1))


def _read_views(pool: Pool, fold: str, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample ids ``(n,)``, names of views ``(V,)``, probabilities ``(n, V, C)``."""
    path = pool.folder / "views" / f"{fold}.npz"
    expected = sorted(table.loc[table["fold"] == fold, "sample_id"])
    wanted = f"{path}: expected the arrays sample_id, view and probabilities of the samples of predictions/{fold}.csv"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            sample_id, view, probabilities = (arrays[name] for name in ("sample_id", "view", "probabilities"))
        same = sample_id.ndim == 1 and sorted(sample_id.tolist()) == expected
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: not found; only runs with views=<name> keep the predictions of views") from error
    except Exception as error:  # a bit that fell over makes zipfile and NumPy raise a dozen types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PoolError(f"{wanted} ({reason}). {_again(fold)}") from error
    shape = len(expected), view.size, len(pool.classes)
    if not same or view.ndim != 1 or probabilities.shape != shape or probabilities.dtype.kind != "f":
        raise PoolError(
            f"{wanted}, {shape[0]} with {shape[1]} views and {shape[2]} classes; found {len(np.ravel(sample_id))} "
            f"{'' if same else 'other '}samples and {probabilities.dtype} {probabilities.shape}. {_again(fold)}"
        )
    return sample_id, view, probabilities.astype(float)


def _again(fold: str) -> str:
    return f"Remove predictions/{fold}.csv and run the same command again: only this fold is run"


def _fingerprint(folder: Path, views: bool, epochs: bool) -> str:
    total = hashlib.sha256()
    kinds = ["predictions/*.csv", "validation/*.csv"]
    kinds += [kind for kind, wanted in {"views/*.npz": views, "epochs/*.npz": epochs}.items() if wanted]
    for file in sorted(file for kind in kinds for file in folder.glob(kind) if not file.name.startswith(".")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return total.hexdigest()
