"""The scores of continuous values, such as valence and arousal: a block of ``scores.json``."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from fer_lightning.errors import PoolError
from fer_lightning.functional import continuous
from fer_lightning.reporting import units
from fer_lightning.reporting.epochs import read_epochs
from fer_lightning.reporting.pool import Pool
from fer_lightning.reporting.rows import value_columns

MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ccc": continuous.ccc,
    "rmse": continuous.rmse,
    "mae": continuous.mae,
    "sagr": continuous.sagr,
}
LEVEL, RESAMPLES, SEED = 0.95, 2000, 0


def score_values(pool: Pool) -> dict[str, Any]:
    """All figures of the values of a run.

    Returns:
        samples (those with a value), folds, targets; ccc, rmse, mae and sagr, each the mean over the values and for
        each value, like ccc_valence; the 95 % intervals of all these (null where a single group leaves none) and
        `interval`; parts (of the data sets in which all values occur), validation and honest as in `scores.score`.

    Raises:
        PoolError: no sample has one of the values.
    """
    for name in pool.targets:
        if pool.table[name].isna().all():
            raise PoolError(f"{pool.folder}: none of the {len(pool.table)} tested samples has a value of {name}")
    figures = _figures(pool.table, pool.targets)
    return {
        "samples": figures.pop("samples"),
        "folds": figures.pop("folds"),
        "targets": pool.targets,
        **figures,
        "interval": units.interval_sentence(pool.table, RESAMPLES, SEED),
        "parts": _parts(pool),
        "validation": _validation(pool),
        "honest": _honest(pool, figures),
    }


def names(targets: list[str]) -> list[str]:
    """ccc, ccc_valence, ccc_arousal, rmse ..., in this order."""
    return [name for measure in MEASURES for name in (measure, *(f"{measure}_{target}" for target in targets))]


def statistics(targets: list[str]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """name -> function of sums ``(..., T, 8)``, of all `names`."""
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    for measure, function in MEASURES.items():
        found[measure] = lambda sums, function=function: function(sums).mean(axis=-1)
        for place, target in enumerate(targets):
            found[f"{measure}_{target}"] = lambda sums, function=function, place=place: function(sums)[..., place]
    return found


def annotated(table: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    """The rows with a value."""
    return table[table[targets].notna().any(axis=1)]


def terms(table: pd.DataFrame, targets: list[str]) -> np.ndarray:
    """`continuous.terms` of the rows, ``(n, T, 8)``."""
    return continuous.terms(table[targets].to_numpy(dtype=float), table[value_columns(targets)].to_numpy(dtype=float))


def _figures(table: pd.DataFrame, targets: list[str]) -> dict[str, Any]:
    table = annotated(table, targets)
    own, scores = terms(table, targets), statistics(targets)
    sums = units.sums([table], [own])[:, 0]
    ends = continuous.bootstrap_sums(sums, scores, RESAMPLES, LEVEL, SEED) if len(sums) > 1 else {}
    return {
        "samples": len(table),
        "folds": int(table["fold"].nunique()),
        **{name: float(function(own.sum(axis=0))) for name, function in scores.items()},
        **{f"{name}_ci95": list(ends[name]) if ends else None for name in scores},
    }


def _parts(pool: Pool) -> dict[str, Any]:
    if pool.table["dataset"].nunique() < 2:
        return {}
    parts = pool.table.groupby("dataset", sort=True)
    return {name: _figures(rows, pool.targets) for name, rows in parts if rows[pool.targets].notna().any().all()}


def _validation(pool: Pool) -> dict[str, Any] | None:
    if pool.validation is None or pool.protocol != "holdout":
        return None
    figures = _figures(pool.validation, pool.targets)
    return {name: figures[name] for name in ("samples", *names(pool.targets), "ccc_ci95")}


def _honest(pool: Pool, oracle: dict[str, Any]) -> dict[str, Any] | None:
    """What the training scores that the oracle chose from, at the last recorded epoch of each fold."""
    if pool.selection != "oracle_test":
        return None
    columns = value_columns(pool.targets)
    last = pd.concat(
        pd.DataFrame(epochs.values[-1], index=epochs.sample_id, columns=columns)
        for epochs in read_epochs(pool).values()
    )
    table = pool.table.assign(**{name: last.loc[pool.table["sample_id"], name].to_numpy() for name in columns})
    figures = _figures(table, pool.targets)
    return figures | {f"oracle_gap_{name}": oracle[name] - figures[name] for name in names(pool.targets)}
