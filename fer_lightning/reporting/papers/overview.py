"""The README beside experiments/: what a reader without a GPU gets, one line for each row of the papers' tables."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from fer_lightning.files import write_atomically
from fer_lightning.functional.frames import natural_key
from fer_lightning.reporting.papers import readme, wording
from fer_lightning.reporting.papers.results import read_paper

#: What is shown, each in a table of its own: what a machine without a GPU gives.
BUDGETS = ("cpu", "night")
#: The figure of a row: of these, the first that its table prints.
FIGURES = ("accuracy_one_vs_rest", "uf1", "accuracy", "ccc")
HEADS = ("table", "row", "figure", "paper", "ours", "difference", "last epoch, where ours is the oracle's †")


def write_overview(file: Path, experiments: Path) -> None:
    """Write the generated part of the README; the same files give the same bytes.

    Raises:
        PoolError: the README has no marks.
    """
    tables = sorted(
        (each.parent for each in experiments.glob("*/results.csv")), key=lambda each: natural_key(each.name)
    )
    text = []
    for budget in BUDGETS:
        if lines := [line for table in tables for line in _lines(table, budget)]:
            text += [f"<details><summary>{len(lines)} rows at budget {budget}</summary>\n"]
            text += [*readme.markdown(HEADS, lines), "</details>"]
    write_atomically(file, readme.between_marks(file, file.read_text(), "\n".join(text)))


def _lines(table: Path, budget: str) -> Iterator[list[str]]:
    paper, results = read_paper(table), readme.without_repeats(readme.read_results(table))
    own = results[(results["budget"] == budget) & (results["part"] == "all")]
    printed = set(paper["metric"])
    if not printed & set(FIGURES) or not paper["printed"].any():
        return  # times and parameters, whose runs stand in other tables; tables of no paper
    for row in dict.fromkeys(paper["row"]):
        lines = readme.main_results(own, row)
        there = set(lines["metric"])
        metric = next((name for name in dict.fromkeys(paper["metric"]) if name in there & set(FIGURES)), "")
        if not metric:
            continue
        said = paper.loc[(paper["row"] == row) & (paper["part"] == "all") & (paper["metric"] == metric), "printed"]
        text = next(iter(said), "")
        gap = readme.difference(lines, metric, text) if text else ""
        yield [f"[{table.name}](experiments/{table.name})", row, wording.title(metric), text,
               readme.ours(lines, metric), gap, _honest(own, row, metric)]  # fmt: skip


def _honest(results: pd.DataFrame, row: str, metric: str) -> str:
    own = results[(results["row"] == row) & (results["metric"] == metric)]
    if "oracle_test" not in set(own["selection"]):
        return ""
    return wording.number(metric, own.loc[own["selection"] == "last", "value"].mean())
