"""Rows of a table against its first: by how much they differ, and whether that may be chance."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from fer_lightning.reporting.compare import compare
from fer_lightning.reporting.papers.collect import file_name
from fer_lightning.reporting.papers.results import read_committed
from fer_lightning.reporting.pool import Pool

MEASURES = {"accuracy": "accuracy", "uf1": "UF1"}
HEADS = [
    "row",
    "against",
    "seeds",
    *(head for name in MEASURES.values() for head in (f"{name}: difference", "95 %", "p")),
]
METHOD = (
    "*Against*: each row against the first that predicted the same samples with the same folds and seeds; the "
    "difference, its 95 % interval (bootstrap, both rows scored on the same people drawn, or samples where nobody is "
    "known), and p of the two-sided permutation test over those. Of several seeds all predictions count together, "
    "and those of a person drawn together. No p is corrected for the number of rows: of twenty that do not differ, one "
    "falls below .05."
)


def against_first(table: Path, cells: Iterable[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """One line for each row but the first of its kind; of oracle_test there is none.

    Args:
        table: ``experiments/<table>``.
        cells: facts of the runs at one budget, in the order of the rows.
    """
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for facts in cells:
        if facts["classes"] and "oracle_test" not in facts["selection"]:
            rows.setdefault(facts["row"], {})[facts["seed"]] = facts
    firsts: dict[tuple, str] = {}
    lines = []
    for row, runs in rows.items():
        some = next(iter(runs.values()))
        first = firsts.setdefault((some["data"], some["samples"], some["protocol"], len(some["folds"]["fold"])), row)
        seeds = sorted(set(runs) & set(rows[first]))
        if first == row or not seeds:
            continue
        pools = [_stacked(table, [rows[name][seed] for seed in seeds]) for name in (row, first)]
        found = compare(*pools, (row, first))
        lines.append(
            [row, first, ", ".join(map(str, seeds)), *(text for name in MEASURES for text in _cells(found[name]))]
        )
    return HEADS, lines


def _cells(found: dict[str, Any]) -> list[str]:
    interval = "{:+.3f} to {:+.3f}".format(*found["ci95"]) if found["ci95"] else "one person only"
    p = found["permutation_p"]
    return [f"{found['difference']:+.4f}", interval, f"{p:.3f}" if p >= 0.001 else "< .001"]


def _stacked(table: Path, cells: list[dict[str, Any]]) -> Pool:
    """Several seeds as one pool, in which the predictions of a person (or of a sample) are one group."""
    pools = [read_committed(table / "predictions" / f"{file_name(facts)}.json", facts)[0] for facts in cells]
    parts = []
    for facts, pool in zip(cells, pools, strict=True):
        rows = pool.labelled().table
        group = rows["group"].where(rows["group"] != "", rows["sample_id"])
        parts.append(rows.assign(group=group, sample_id=rows["sample_id"] + f" seed {facts['seed']}"))
    return replace(pools[0], table=pd.concat(parts, ignore_index=True))
