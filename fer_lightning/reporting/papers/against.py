"""Rows of a table against its first: by how much they differ, and whether that may be chance."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from fer_lightning.reporting import units
from fer_lightning.reporting.compare import aligned, check_classes, differences
from fer_lightning.reporting.papers.collect import file_name
from fer_lightning.reporting.papers.results import read_committed

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
    "known), and p of the two-sided permutation test over those. Of several seeds the difference is the mean of "
    "theirs, and a person is drawn with the predictions of all. This covers the choice of test samples, not the "
    "randomness of training: with one seed, a small p may be that seed's and not the network's. No p is corrected for "
    "the number of rows."
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
        found = _differences(table, [runs[seed] for seed in seeds], [rows[first][seed] for seed in seeds])
        lines.append(
            [row, first, ", ".join(map(str, seeds)), *(text for name in MEASURES for text in _cells(found[name]))]
        )
    return HEADS, lines


def _differences(table: Path, own: list[dict[str, Any]], other: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of the same seeds of two rows."""
    tables: tuple[list[pd.DataFrame], ...] = ([], [])
    for both in zip(own, other, strict=True):
        files = [table / "predictions" / f"{file_name(facts)}.json" for facts in both]
        pools = [read_committed(file, facts)[0] for file, facts in zip(files, both, strict=True)]
        check_classes(pools, [file.stem for file in files])
        found = aligned([pool.labelled().table for pool in pools], [file.stem for file in files], "tested samples")
        for kept, rows in zip(tables, found, strict=True):
            kept.append(rows)
    return differences(*(units.counts(rows, own[0]["classes"]) for rows in tables))


def _cells(found: dict[str, Any]) -> list[str]:
    interval = "{:+.3f} to {:+.3f}".format(*found["ci95"]) if found["ci95"] else "one person only"
    p = found["permutation_p"]
    return [f"{round(found['difference'], 4) + 0.0:+.4f}", interval, f"{p:.3f}" if p >= 0.001 else "< .001"]
