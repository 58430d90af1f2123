"""From the committed files of a table to its results.csv: every figure is computed again from predictions."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_lightning.errors import PoolError
from fer_lightning.files import write_atomically
from fer_lightning.reporting.agreement import names as value_names
from fer_lightning.reporting.papers.collect import AGAIN, ROUNDED, file_name, read_table
from fer_lightning.reporting.papers.seeds import mean_figures
from fer_lightning.reporting.pool import Pool
from fer_lightning.reporting.rows import check_classes, columns_of, probability_columns, refuse, value_columns
from fer_lightning.reporting.scores import SCORES, score

COLUMNS = (
    "row", "seed", "budget", "data", "selection", "part", "metric", "value", "low", "high", "n", "epochs", "seconds",
    "device", "commit", "run",
)  # fmt: skip


def write_results(table: Path) -> pd.DataFrame:
    """Rebuild ``<table>/results.csv`` from ``<table>/predictions``; the same files give the same bytes.

    A line is a figure of one seed. Of a row with several there are lines of their mean too, whose seed reads ``0 1 2``.

    Args:
        table: ``experiments/<table>``; its ``paper.csv`` gives the order of the rows.

    Raises:
        PoolError: a committed file is missing, broken, or contradicts another.
    """
    paper = read_paper(table)
    rows: dict[tuple[str, str], list[tuple[Path, dict[str, Any]]]] = {}
    for file in sorted((table / "predictions").glob("*.json")):
        facts = read_facts(file)
        rows.setdefault((facts["row"], budget_name(facts)), []).append((file, facts))
    lines = [line for files in rows.values() for line in _of_row(files)]
    results = pd.DataFrame(lines, columns=COLUMNS)
    order = {row: place for place, row in enumerate(dict.fromkeys(paper["row"]))}
    stray = sorted(set(results["row"]) - set(order))
    if stray:
        raise PoolError(f"{table / 'predictions'} has results of rows that paper.csv does not name: {stray}")
    places = {"row": lambda column: column.map(order), "seed": lambda column: column.map(_place)}
    results = results.sort_values(
        ["row", "budget", "seed"], key=lambda column: places.get(column.name, lambda same: same)(column), kind="stable",
        ignore_index=True,
    )  # fmt: skip
    write_atomically(table / "results.csv", results.to_csv(index=False, lineterminator="\n"))
    return results


def _place(seed: int | str) -> float:
    """Seeds in their order, and their mean behind them."""
    return seed if isinstance(seed, int) else float("inf")


def read_paper(table: Path) -> pd.DataFrame:
    """``paper.csv``, all text: row, part, metric, printed, source, note."""
    return pd.read_csv(table / "paper.csv", dtype=str, keep_default_na=False)


def _of_row(files: list[tuple[Path, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The lines of a row at one budget: of each seed, and of several seeds their mean."""
    by_rule: dict[str, list[tuple[Pool, list[dict[str, Any]]]]] = {}
    for file, facts in files:
        blank = dict.fromkeys(COLUMNS, "") | {"row": facts["row"], "part": "all"}
        if "parameters_total" in facts:
            for metric in ("parameters_train", "parameters_total"):
                yield blank | {"metric": metric, "value": facts[metric]}
            continue
        blank |= {"budget": budget_name(facts), "data": facts["data"], "selection": facts["selection"]}
        of_seed = blank | {
            "seed": facts["seed"], "epochs": most(facts["folds"]["epochs"]),
            "seconds": round(sum(facts["folds"]["seconds"]), 1), "device": text(facts["device"]), "run": facts["run"],
            "commit": text([version["commit"] for version in listed(facts["versions"])]),
        }  # fmt: skip
        for pool in read_committed(file, facts):
            lines = list(figures(pool))
            by_rule.setdefault(pool.selection, []).append((pool, lines))
            yield from (of_seed | {"selection": pool.selection} | line for line in lines)
        yield from (of_seed | line for line in _of_training(facts["folds"]))
    for rule, seeds in by_rule.items():
        if len(seeds) > 1:
            numbers = " ".join(str(seed) for seed in sorted(pool.seed for pool, _ in seeds))
            found = mean_figures([pool for pool, _ in seeds], [line for _, own in seeds for line in own])
            yield from (blank | {"seed": numbers, "selection": rule} | line for line in found)


def read_facts(file: Path) -> dict[str, Any]:
    """What a ``.json`` of ``predictions`` says.

    Raises:
        PoolError: it cannot be read.
    """
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise PoolError(f"{file}: cannot be read ({error}). {AGAIN}") from error


def budget_name(facts: dict[str, Any]) -> str:
    """The budget, with the other data set that was asked for: results of both never stand in one table."""
    budget, asked = facts.get("budget", ""), facts.get("asked", "")
    return f"{budget}, data={asked}" if asked else budget


def read_committed(file: Path, facts: dict[str, Any]) -> list[Pool]:
    """The run as it was scored and, of oracle_test, also as it was at the last epoch of each fold.

    Args:
        file: the ``.json`` of a cell.
        facts: its content.

    Raises:
        PoolError: a table is missing, is not the one that was collected (SHA-256), or contradicts itself.
    """
    if file_name(facts) != file.stem:
        raise PoolError(f"{file} says that it is of {file_name(facts)}; it was renamed or edited")
    table = _read_checked(file.with_suffix(".csv.gz"), facts, "predictions_sha256")
    if len(table) != facts["samples"] or table["sample_id"].duplicated().any():
        raise PoolError(
            f"{file.with_suffix('.csv.gz')}: {len(table)} rows of {table['sample_id'].nunique()} samples, expected "
            f"{facts['samples']} of as many. {AGAIN}"
        )
    of_fold = zip(facts["folds"]["fold"], facts["folds"]["seconds"], strict=True)
    made = {"device": facts["device"], "versions": facts["versions"]}
    validation = file.with_name(f"{file.stem}-validation.csv.gz")
    validated = validation.is_file() or "validation_sha256" in facts
    pool = Pool(
        folder=file.parent,
        table=table.drop(columns=[name for name in table if name.startswith("last_")]),
        validation=_read_checked(validation, facts, "validation_sha256") if validated else None,
        folds=[{"fold": fold, "seconds": seconds} | made for fold, seconds in of_fold],
        **{key: facts[key] for key in
           ("classes", "targets", "model", "data", "protocol", "selection", "seed", "synthetic")},
    )  # fmt: skip
    if pool.selection != "oracle_test":
        return [pool]
    last = {name.removeprefix("last_"): table[name] for name in table if name.startswith("last_")}
    return [pool, replace(pool, table=pool.table.assign(**last), selection="last")]


def _read_checked(path: Path, facts: dict[str, Any], digest: str) -> pd.DataFrame:
    """A table of predictions that is the one that was collected, and does not contradict itself."""
    if digest not in facts:
        raise PoolError(f"{path}: its SHA-256 does not stand in the .json beside it ({digest}). {AGAIN}")
    classes, targets = facts["classes"], facts["targets"]
    numbers = [*probability_columns(classes), *targets, *value_columns(targets)]
    lasts = [f"last_{name}" for name in numbers]
    table = read_table(path, [*numbers, *lasts], facts[digest])
    expected = {*columns_of(classes, targets), "dataset", "group"}
    if lacking := sorted(expected - set(table)):
        raise PoolError(f"{path}: has no columns {lacking}. {AGAIN}")
    last = table[[name for name in table if name.startswith("last_")]].rename(columns=lambda name: name[len("last_") :])
    for rows in (table, table.assign(**last)):
        if classes:
            check_classes(path, rows, classes, targets, ROUNDED, AGAIN)
        values = rows[value_columns(targets)].to_numpy(dtype=float)
        refuse(path, rows, ~np.isfinite(values).all(axis=1), "have no predicted value", value_columns(targets), AGAIN)
    return table


def figures(pool: Pool) -> Iterator[dict[str, Any]]:
    """part, metric, value, low, high and n of each figure of `pool`, and of each of its parts."""
    # Only a run folder has the record of all epochs that `score` asks of oracle_test.
    scores = score(replace(pool, selection="last"))
    for block in (scores, scores.get("continuous")):
        if block is not None:
            parts = {"all": block} | block["parts"]
            yield from (line for name, part in parts.items() for line in _of_block(part, name, pool))
    for metric, name in (("validation_accuracy", "validation"), ("accuracy_deduplicated", "deduplicated")):
        block = scores.get(name)
        if block and "accuracy" in block:
            low, high = block["accuracy_ci95"] or (np.nan, np.nan)
            yield _line("all", metric, block["accuracy"], low, high, block["samples"])


def _of_block(block: dict[str, Any], part: str, pool: Pool) -> Iterator[dict[str, Any]]:
    line = partial(_line, part, n=block["samples"])
    for metric in SCORES if "accuracy" in block else value_names(pool.targets):
        ends = block.get(f"{metric}_ci95")
        if metric == "accuracy_one_vs_rest" and block["accuracy_ci95"]:
            errors = 2 / len(pool.classes)  # it is 1 - 2 / C (1 - accuracy) in each resample too
            ends = [1 - errors * (1 - end) for end in block["accuracy_ci95"]]
        low, high = ends or (np.nan, np.nan)
        yield line(metric, block[metric], low, high)
    if "per_class" in block:
        found = [each["precision"] for each in block["per_class"].values() if each["support"]]
        yield line("macro_precision", sum(found) / len(found), np.nan, np.nan)


def _line(part: str, metric: str, value: float, low: float, high: float, n: int) -> dict[str, Any]:
    value, low, high = (None if np.isnan(x) else round(float(x), 6) for x in (value, low, high))
    return {"part": part, "metric": metric, "value": value, "low": low, "high": high, "n": n}


def _of_training(folds: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    seconds = np.array(folds["seconds"])
    found = {"seconds_per_fold": seconds.mean(), "hours": seconds.sum() / 3600}
    if None not in folds["epochs"]:
        found["samples_per_second"] = np.dot(folds["train"], folds["epochs"]) / seconds.sum()
    if None not in folds["train_accuracy"]:
        found["train_accuracy"] = np.mean(folds["train_accuracy"])
    yield from ({"metric": metric, "value": round(float(value), 6)} for metric, value in found.items())


def most(values: list[int | None]) -> int | str:
    """The largest number; "" where there is none, as of an ensemble."""
    return max((value for value in values if value is not None), default="")


def listed(value: Any) -> list[Any]:
    """A list of what all folds agree on, or the list of what they differ in."""
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """The different ones, with commas."""
    return ", ".join(dict.fromkeys(listed(value)))
