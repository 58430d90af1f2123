"""What was predicted of the test samples in every recorded epoch of a run with selection=oracle_test.

It serves two ends: to check that the published predictions are those of the oracle's epoch, and to say what
the same training scores at its last epoch.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
import pandas as pd

from fer_lightning.errors import PoolError
from fer_lightning.functional.continuous import best_epoch
from fer_lightning.functional.selection import oracle_epoch
from fer_lightning.reporting.pool import Pool
from fer_lightning.reporting.rows import SUM_TOLERANCE, probability_columns, value_columns

#: Digits in the prediction files of a run folder, so that the last epoch reads as that of a run that never looked.
DIGITS = 8


@dataclass(frozen=True)
class Epochs:
    """One fold.

    Attributes:
        sample_id: ``(n,)``.
        epoch: their numbers, ``(E,)``.
        probabilities: ``(E, n, C)``; C is 0 in a run without classes.
        values: ``(E, n, T)``; T is 0 in a run without continuous values.
        target: true class indices, ``(n,)``; -1 without a label.
    """

    sample_id: np.ndarray
    epoch: np.ndarray
    probabilities: np.ndarray
    values: np.ndarray
    target: np.ndarray


def read_epochs(pool: Pool) -> dict[str, Epochs]:
    """Predictions of all recorded epochs, by fold.

    Raises:
        PoolError: when a file is missing or broken, or when the predictions of a fold are not those of its
            best epoch.
    """
    return {meta["fold"]: _read_fold(pool, meta) for meta in pool.folds}


def last_epoch(pool: Pool) -> pd.DataFrame:
    """What a run with selection=oracle_test predicts at the last epoch of each fold, rows as in ``pool.table``."""
    columns = [*probability_columns(pool.classes), *value_columns(pool.targets)]
    parts = [
        pd.DataFrame(np.hstack([fold.probabilities[-1], fold.values[-1]]), index=fold.sample_id, columns=columns)
        .astype(float)
        .round(DIGITS)
        for fold in read_epochs(pool).values()
    ]
    rows = pd.concat(parts).loc[pool.table["sample_id"]].reset_index(drop=True)
    if pool.classes:
        best = rows[probability_columns(pool.classes)].to_numpy().argmax(axis=1)
        rows.insert(0, "predicted", np.array(pool.classes)[best])
    return rows


def at_last_epoch(pool: Pool) -> Pool:
    """A run with selection=oracle_test as it would be with selection=last: looking changes nothing of the training.

    (A network that draws random numbers when it predicts, as `RandomGuess`, draws other ones the next time.)
    """
    folds = [fold | {"epoch": fact(pool, fold, "epochs", int)} for fold in pool.folds]
    return replace(pool, table=pool.table.assign(**last_epoch(pool)), folds=folds, selection="last")


def fact(pool: Pool, meta: dict[str, Any], key: str, kind: type | UnionType = object) -> Any:
    """What ``predictions/<fold>.json`` says under `key`.

    Raises:
        PoolError: it says nothing, or something of another kind; names the file.
    """
    if not isinstance(meta.get(key), kind) or key not in meta:
        found = repr(meta[key]) if key in meta else f"only {', '.join(meta)}"
        raise PoolError(
            f"{pool.folder / 'predictions' / meta['fold']}.json: expected {key} of the fold, found {found}. Remove "
            f"predictions/{meta['fold']}.* and run the same command again: only this fold is run"
        )
    return meta[key]


def _read_fold(pool: Pool, meta: dict[str, Any]) -> Epochs:
    path = pool.folder / "epochs" / f"{meta['fold']}.npz"
    rows = pool.table[pool.table["fold"] == meta["fold"]].set_index("sample_id")
    columns = {"probabilities": probability_columns(pool.classes), "values": value_columns(pool.targets)}
    sample_id, epoch, found = _arrays(path, meta["fold"], [name for name in columns if columns[name]])
    for name in columns:
        expected = (len(epoch), len(rows), len(columns[name]))
        found.setdefault(name, np.zeros(expected))
        if sorted(sample_id) != sorted(rows.index) or found[name].shape != expected or not len(epoch):
            raise PoolError(
                f"{path}: expected {name} {expected} of the {len(rows)} samples of "
                f"predictions/{meta['fold']}.csv, found {found[name].shape} of {len(sample_id)} samples. Remove "
                f"predictions/{meta['fold']}.csv and run the same command again: only this fold is run"
            )
    rows = rows.loc[sample_id]
    if pool.classes:
        target = pd.Index(pool.classes).get_indexer(rows["label"])
        best, rule = oracle_epoch(found["probabilities"], target), "the most hits"
    else:
        target = np.full(len(rows), -1)
        best, rule = best_epoch(found["values"], rows[pool.targets].to_numpy(dtype=float)), "the highest CCC"
    named = fact(pool, meta, "epoch", int)
    if epoch[best] != named:
        raise PoolError(
            f"{path}: the epoch with {rule} is {epoch[best]}, but predictions/{meta['fold']}.json "
            f"names epoch {named}; both files must come from one run"
        )
    for name in columns:
        gap = np.abs(rows[columns[name]].to_numpy(dtype=float) - found[name][best]).max(initial=0.0)
        if not gap <= SUM_TOLERANCE:
            raise PoolError(
                f"{path}: {name} of epoch {named} differ from predictions/{meta['fold']}.csv "
                f"by up to {gap:.2g}; both files must come from one run"
            )
    return Epochs(sample_id, epoch, found["probabilities"], found["values"], target)


def _arrays(path: Path, fold: str, names: list[str]) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Sample ids ``(n,)``, epochs ``(E,)`` and the arrays called `names`, of finite numbers."""
    remedy = f"Remove predictions/{fold}.csv and run the same command again: only this fold is run"
    kinds = {"sample_id": ("U", 1, "text (samples,)"), "epoch": ("iu", 1, "whole numbers (epochs,)")}
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in (*kinds, *names)}
    except FileNotFoundError as error:
        raise PoolError(f"{path}: not found, but selection=oracle_test records all epochs. {remedy}") from error
    except Exception as error:  # a bit that fell over makes zipfile and NumPy raise a dozen types
        wanted, reason = ", ".join([*kinds, *names]), " ".join(str(error).split())
        raise PoolError(f"{path}: expected the arrays {wanted} ({reason or type(error).__name__}). {remedy}") from error
    for name, array in found.items():
        kind, axes, words = kinds.get(name, ("f", 3, "numbers (epochs, samples, columns)"))
        if array.dtype.kind not in kind or array.ndim != axes:
            raise PoolError(f"{path}: expected {name} as {words}, found {array.dtype} {array.shape}. {remedy}")
        if kind == "f" and (wrong := int((~np.isfinite(array)).sum())):
            raise PoolError(f"{path}: expected finite {name}, found {wrong} of {array.size} that are not. {remedy}")
    return found.pop("sample_id"), found.pop("epoch"), found
