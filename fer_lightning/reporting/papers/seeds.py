"""Several seeds of a row: the mean of each figure, and the interval of that mean."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from fer_lightning.functional.continuous import bootstrap_sums
from fer_lightning.functional.stats import bootstrap
from fer_lightning.reporting import agreement, units
from fer_lightning.reporting.pool import Pool
from fer_lightning.reporting.scores import LEVEL, RESAMPLES, SCORES, SEED
from fer_lightning.reporting.twins import twins_of, without_twins

#: Those that get an interval; of one seed alone accuracy_one_vs_rest follows from accuracy.
MEASURES = ("accuracy", "uf1", "uar", "accuracy_one_vs_rest")
Line = dict[str, Any]
Ends = dict[tuple[str, str], tuple[float, float]]


def mean_figures(pools: Sequence[Pool], lines: Iterable[Line]) -> Iterator[Line]:
    """part, metric, value, low, high and n of the mean over the seeds of a row.

    The interval is a bootstrap over people (samples where nobody is known), all seeds scored on the same people drawn:
    it covers the choice of test samples. How training varies beyond these seeds it does not cover.

    Args:
        pools: what was predicted, one a seed.
        lines: the figures of all of them, of each seed.
    """
    ends = dict(_of_classes(pools)) if pools[0].classes else {}
    ends |= dict(_of_values(pools)) if pools[0].targets else {}
    for (part, metric), own in pd.DataFrame(lines).groupby(["part", "metric"], sort=False):
        low, high = ends.get((part, metric), (None, None))
        yield {
            "part": part, "metric": metric, "value": round(float(own["value"].mean()), 6),
            "low": None if low is None else round(low, 6), "high": None if high is None else round(high, 6),
            "n": ", ".join(dict.fromkeys(own["n"].astype(str))),
        }  # fmt: skip


def _of_classes(pools: Sequence[Pool]) -> Iterator[tuple[tuple[str, str], tuple[float, float]]]:
    classes, labelled = pools[0].classes, [pool.labelled() for pool in pools]
    tables = [pool.table for pool in labelled]
    for part, rows in _parts(tables).items():
        yield from (((part, name), ends) for name, ends in _ends(rows, classes, MEASURES))
    if all(pool.validation is not None and pool.protocol == "holdout" for pool in labelled):
        rows = [pool.validation for pool in labelled]
        yield from ((("all", f"validation_{name}"), ends) for name, ends in _ends(rows, classes, ("accuracy",)))
    if twins_of(pools[0]):
        kept = [without_twins(table, pools[0]) for table in tables]
        yield from ((("all", f"{name}_deduplicated"), ends) for name, ends in _ends(kept, classes, ("accuracy",)))


def _parts(tables: Sequence[pd.DataFrame]) -> dict[str, list[pd.DataFrame]]:
    """Of each data set its rows in each seed, and of all."""
    names = sorted(tables[0]["dataset"].unique())
    parts = {name: [table[table["dataset"] == name] for table in tables] for name in names} if len(names) > 1 else {}
    return {"all": list(tables)} | parts


def _ends(
    tables: Sequence[pd.DataFrame], classes: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[str, tuple[float, float]]]:
    counts = units.counts(tables, classes)
    if len(counts) > 1:
        statistics = units.means({name: SCORES[name] for name in names})
        yield from bootstrap(counts, statistics, RESAMPLES, LEVEL, SEED).items()


def _of_values(pools: Sequence[Pool]) -> Iterator[tuple[tuple[str, str], tuple[float, float]]]:
    targets = pools[0].targets
    for part, tables in _parts([pool.table for pool in pools]).items():
        rows = [agreement.annotated(table, targets) for table in tables]
        sums = units.sums(rows, [agreement.terms(table, targets) for table in rows])
        if len(sums) > 1:
            ends = bootstrap_sums(sums, units.means(agreement.statistics(targets)), RESAMPLES, LEVEL, SEED)
            yield from (((part, name), pair) for name, pair in ends.items())
