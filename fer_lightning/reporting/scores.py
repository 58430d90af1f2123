"""From a pool to ``scores.json``: every published number of a run, and nothing that training computed."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_lightning.errors import PoolError
from fer_lightning.files import write_atomically
from fer_lightning.functional import metrics
from fer_lightning.functional.stats import bootstrap, wilson
from fer_lightning.reporting import units
from fer_lightning.reporting.agreement import score_values
from fer_lightning.reporting.epochs import fact, read_epochs
from fer_lightning.reporting.pool import Pool, read_pool
from fer_lightning.reporting.twins import without_twins

SCORES: dict[str, Callable[[np.ndarray], Any]] = {
    "accuracy": metrics.accuracy,
    "uf1": metrics.uf1,
    "uar": metrics.uar,
    "weighted_f1": metrics.weighted_f1,
    "mcc": metrics.mcc,
    "accuracy_one_vs_rest": metrics.accuracy_one_vs_rest,
}
WITH_INTERVAL = ("uf1", "uar", "accuracy")
LEVEL, RESAMPLES, SEED = 0.95, 2000, 0
#: How the intervals are made where each sample stands for itself.
OF_SAMPLES = "uf1, uar: {}; accuracy: 95 % Wilson interval"


def write_scores(folder: Path) -> dict[str, Any]:
    """Rebuild ``scores.json`` of a run folder from its predictions; the same files give the same bytes.

    Raises:
        PoolError: the run is incomplete or contradicts itself; an old ``scores.json`` is left as it is.
        StorageError: the file could not be written.
    """
    scores = score(read_pool(folder))
    write_atomically(Path(folder) / "scores.json", json.dumps(scores, indent=2, allow_nan=False) + "\n")
    return scores


def score(pool: Pool) -> dict[str, Any]:
    """All figures of a run.

    Returns:
        samples, folds, classes, selection, seed; accuracy, uf1, uar, weighted_f1, mcc,
        accuracy_one_vs_rest; the 95 % intervals of three of them (null where a single group leaves none)
        and `interval`, the sentence that says how they were made; per_class, confusion (rows true); parts
        (by source data set, for composites); validation (hold-out runs that chose by it); of FER2013 deduplicated
        (without the samples that Training holds too, see `twins`); honest
        (selection=oracle_test: what the last epoch scores and by how much the oracle exceeds it);
        synthetic, versions, device, seconds. A run that predicts continuous values has the figures of
        `agreement.score_values` in their place; one that predicts both has them as `continuous` behind honest, and
        the figures of the classes are of the labelled samples.
    """
    run = {"selection": pool.selection, "seed": pool.seed}
    made = {
        "synthetic": pool.synthetic,
        "versions": distinct([fact(pool, fold, "versions") for fold in pool.folds]),
        "device": distinct([fact(pool, fold, "device") for fold in pool.folds]),
        "seconds": float(sum(fact(pool, fold, "seconds", int | float) for fold in pool.folds)),
    }
    if not pool.classes:
        figures = score_values(pool)
        first = {name: figures.pop(name) for name in ("samples", "folds", "targets")}
        return first | run | figures | made
    both = {"continuous": score_values(pool)} if pool.targets else {}
    return _score_classes(pool, run) | both | made


def objective(scores: dict[str, Any]) -> float:
    """The figure that a sweep maximises: UF1 of classes, CCC of values, of both the mean of the two."""
    blocks = scores | {"ccc": scores["continuous"]["ccc"]} if "continuous" in scores else scores
    found = [blocks[name] for name in ("uf1", "ccc") if name in blocks]
    return sum(found) / len(found)


def _score_classes(pool: Pool, run: dict[str, Any]) -> dict[str, Any]:
    labelled = pool.labelled()
    if labelled.table.empty:
        raise PoolError(f"{pool.folder}: none of the {len(pool.table)} tested samples has a label: no score")
    figures = _figures(labelled.table, pool.classes, units.has_groups(labelled.table))
    kept = without_twins(labelled.table, labelled)
    deduplicated = {"deduplicated": _some(kept, pool.classes)} if 0 < len(kept) < len(labelled.table) else {}
    return {
        "samples": figures.pop("samples"),
        "folds": figures.pop("folds"),
        "classes": pool.classes,
        **run,
        **{name: figures[name] for name in SCORES},
        **{f"{name}_ci95": figures[f"{name}_ci95"] for name in WITH_INTERVAL},
        "interval": units.interval_sentence(labelled.table, RESAMPLES, SEED, OF_SAMPLES),
        "per_class": figures["per_class"],
        "confusion": figures["confusion"],
        "parts": _parts(labelled),
        "validation": _validation(labelled),
        **deduplicated,
        "honest": _honest(pool, labelled.table, figures),
    }


def _figures(table: pd.DataFrame, classes: list[str], grouped: bool) -> dict[str, Any]:
    """Figures of the rows; `grouped`: whether any sample of the whole run has a group."""
    counts = confusion(table, classes)
    each = metrics.per_class(counts)
    intervals = _intervals(table, classes, grouped)
    return {
        "samples": len(table),
        "folds": int(table["fold"].nunique()),
        **{name: function(counts) for name, function in SCORES.items()},
        **{f"{name}_ci95": intervals[name] for name in WITH_INTERVAL},
        "per_class": {name: {key: each[key][i].item() for key in each} for i, name in enumerate(classes)},
        "confusion": counts.tolist(),
    }


def confusion(table: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """Counts ``(C, C)`` of the columns label and predicted."""
    names = pd.Index(classes)
    return metrics.confusion(names.get_indexer(table["label"]), names.get_indexer(table["predicted"]), len(classes))


def _intervals(table: pd.DataFrame, classes: list[str], grouped: bool) -> dict[str, list[float] | None]:
    counts = units.counts([table], classes)[:, 0]
    if len(counts) < 2:
        return dict.fromkeys(WITH_INTERVAL)
    ends = bootstrap(counts, {name: SCORES[name] for name in WITH_INTERVAL}, RESAMPLES, LEVEL, SEED)
    if not grouped:
        ends["accuracy"] = wilson(int((table["label"] == table["predicted"]).sum()), len(table), LEVEL)
    return {name: list(ends[name]) for name in WITH_INTERVAL}


def _parts(pool: Pool) -> dict[str, Any]:
    if pool.table["dataset"].nunique() < 2:
        return {}
    grouped = units.has_groups(pool.table)
    return {name: _figures(rows, pool.classes, grouped) for name, rows in pool.table.groupby("dataset", sort=True)}


def _validation(pool: Pool) -> dict[str, Any] | None:
    if pool.validation is None or pool.protocol != "holdout":
        return None
    return _some(pool.validation, pool.classes)


def _some(table: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    figures = _figures(table, classes, units.has_groups(table))
    return {name: figures[name] for name in ("samples", "accuracy", "uf1", "uar", "accuracy_ci95")}


def _honest(pool: Pool, table: pd.DataFrame, oracle: dict[str, Any]) -> dict[str, Any] | None:
    """What the training scores that the oracle chose from, at the last recorded epoch of each fold."""
    if pool.selection != "oracle_test":
        return None
    predicted = {
        sample: pool.classes[index]
        for epochs in read_epochs(pool).values()
        for sample, index in zip(epochs.sample_id, epochs.probabilities[-1].argmax(axis=1), strict=True)
    }
    table = table.assign(predicted=table["sample_id"].map(predicted))
    figures = _figures(table, pool.classes, units.has_groups(table))
    gaps = {f"oracle_gap_{name}": oracle[name] - figures[name] for name in WITH_INTERVAL}
    return figures | gaps


def distinct(values: Iterable[Any]) -> Any:
    """The one value that all folds agree on, or the list of the different ones in order of appearance."""
    different: list[Any] = []
    for value in values:
        if value not in different:
            different.append(value)
    return different[0] if len(different) == 1 else different
