"""The test probabilities of every recorded epoch of a run with selection=oracle_test.

They serve two ends: to check that the published predictions are those of the oracle's epoch, and to say what
the same training scores at its last epoch.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_lightning.errors import PoolError
from fer_lightning.functional.selection import oracle_epoch
from fer_lightning.reporting.pool import SUM_TOLERANCE, Pool, probability_columns


@dataclass(frozen=True)
class Epochs:
    """One fold: sample ids ``(n,)``, epochs ``(E,)``, probabilities ``(E, n, C)``, true indices ``(n,)``."""

    sample_id: np.ndarray
    epoch: np.ndarray
    probabilities: np.ndarray
    target: np.ndarray


def read_epochs(pool: Pool) -> dict[str, Epochs]:
    """Probabilities of all recorded epochs, by fold.

    Raises:
        PoolError: when a file is missing or broken, or when the predictions of a fold are not those of its
            best epoch.
    """
    return {meta["fold"]: _read_fold(pool, meta) for meta in pool.folds}


def _read_fold(pool: Pool, meta: dict[str, Any]) -> Epochs:
    path = pool.folder / "epochs" / f"{meta['fold']}.npz"
    rows = pool.table[pool.table["fold"] == meta["fold"]].set_index("sample_id")
    sample_id, epoch, probabilities = _arrays(path, meta["fold"])
    expected = (len(epoch), len(rows), len(pool.classes))
    if sorted(sample_id) != sorted(rows.index) or probabilities.shape != expected or not len(epoch):
        raise PoolError(
            f"{path}: expected probabilities {expected} of the {len(rows)} samples of "
            f"predictions/{meta['fold']}.csv, found {probabilities.shape} of {len(sample_id)} samples"
        )
    rows = rows.loc[sample_id]
    target = pd.Index(pool.classes).get_indexer(rows["label"])
    best = oracle_epoch(probabilities, target)
    if epoch[best] != meta["epoch"]:
        raise PoolError(
            f"{path}: the epoch with the most hits is {epoch[best]}, but predictions/{meta['fold']}.json "
            f"names epoch {meta['epoch']}; both files must come from one run"
        )
    gap = np.abs(rows[probability_columns(pool.classes)].to_numpy(dtype=float) - probabilities[best]).max()
    if not gap <= SUM_TOLERANCE:
        raise PoolError(
            f"{path}: probabilities of epoch {meta['epoch']} differ from predictions/{meta['fold']}.csv "
            f"by up to {gap:.2g}; both files must come from one run"
        )
    return Epochs(sample_id, epoch, probabilities, target)


def _arrays(path: Path, fold: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    remedy = f"Remove predictions/{fold}.csv and run the same command again: only this fold is run"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["sample_id"], arrays["epoch"], arrays["probabilities"]
    except FileNotFoundError as error:
        raise PoolError(f"{path}: not found, but selection=oracle_test records all epochs. {remedy}") from error
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        wanted = "expected the arrays sample_id, epoch, probabilities"
        raise PoolError(f"{path}: {wanted} ({error}). {remedy}") from error
