"""The rows of the papers' tables, as conf/experiment, conf/budget and experiments/<table>/paper.csv describe them.

Read as plain YAML: nothing is composed, and nothing heavy imported.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fer_lightning.compose import CONF
from fer_lightning.errors import ConfigError

EXPERIMENTS = CONF.parent / "experiments"
BUDGETS = ("full", "night", "cpu", "smoke")
NEEDS_GPU = "needs a GPU"
NO_SETTING = "only at budget"


@dataclass(frozen=True)
class Row:
    """A row of a printed table.

    Attributes:
        name: of its file in ``conf/experiment``.
        table, row: of ``experiments/<table>/paper.csv``.
        budgets: budget -> key -> value of what it changes; `full` changes nothing.
        members: names of the experiments that an ensemble is made of.
        rule: of the ensemble.
        seeds: runs of each member that the ensemble is made of; with seed s those with seeds s * seeds and following.
        metrics: that are asked of it.
        of_paper: whether its table stands in a paper, with or without numbers; some are ours alone.
    """

    name: str
    table: str
    row: str
    budgets: dict[str, dict[str, Any]]
    members: tuple[str, ...]
    rule: str
    seeds: int
    metrics: frozenset[str]
    of_paper: bool = True

    @property
    def trained(self) -> bool:
        """Whether more than parameters is asked of it."""
        return not all(metric.startswith("parameters_") for metric in self.metrics)

    @property
    def counted(self) -> bool:
        """Whether the paper prints parameters of it."""
        return any(metric.startswith("parameters_") for metric in self.metrics)


def read_rows(conf: Path = CONF, experiments: Path = EXPERIMENTS) -> dict[str, Row]:
    """Name -> row, in the order of the tables and of their paper.csv; imports and composes nothing."""
    printed: dict[tuple[str, str], set[str]] = {}
    of_paper: set[str] = set()
    for file in sorted(experiments.glob("*/paper.csv")):
        from fer_lightning.reporting.papers.results import read_paper  # pandas takes a second

        for line in read_paper(file.parent).itertuples():
            printed.setdefault((file.parent.name, line.row), set()).add(line.metric)
            of_paper |= {file.parent.name} if line.source else set()
    rows = []
    for file in sorted((conf / "experiment").glob("*.yaml")):
        content = yaml.safe_load(file.read_text())
        if not content.get("table"):
            continue
        table, row = content["table"], content["row"]
        if (table, row) not in printed:
            raise ConfigError(f"{file.name}: experiments/{table}/paper.csv has no row {row!r}")
        ensemble = content.get("ensemble") or {}
        rows.append(Row(
            file.stem, table, row, read_budgets(file, conf), tuple(ensemble.get("members", ())),
            ensemble.get("rule", "mean"), ensemble.get("seeds", 1), frozenset(printed[table, row]),
            table in of_paper,
        ))  # fmt: skip
    order = {key: place for place, key in enumerate(printed)}
    return {row.name: row for row in sorted(rows, key=lambda row: order[row.table, row.row])}


def read_budgets(file: Path, conf: Path) -> dict[str, dict[str, Any]]:
    """What `budget` of a row's file says, with the files of ``conf/budget`` that it builds on."""
    content = yaml.safe_load(file.read_text()) or {}
    of_budget = file.parent.name == "budget"
    found: dict[str, dict[str, Any]] = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, dict) and "/budget" in entry:
            base = conf / "budget" / f"{entry['/budget']}.yaml"
        elif isinstance(entry, str) and entry != "_self_":
            base = file.with_name(f"{entry}.yaml")
        else:
            continue
        found = _merged(found, read_budgets(base, conf))
    return _merged(found, content if of_budget else content.get("budget") or {})


def _merged(first: dict[str, dict], second: dict[str, dict | None]) -> dict[str, dict]:
    return first | {name: first.get(name, {}) | (keys or {}) for name, keys in second.items()}


def why_not(row: Row, budget: str, rows: dict[str, Row]) -> str:
    """Why a row is never run at this budget, or "": what its files say, wherever it is asked."""
    if row.members:
        return next(filter(None, (why_not(rows[name], budget, rows) for name in row.members)), "")
    if budget == "full" or budget in row.budgets or not row.trained:
        return ""
    others = [name for name in BUDGETS if name in row.budgets and name != "smoke"]
    return f"{NO_SETTING} {' and '.join(others)}" if others else f"{NEEDS_GPU} (budget full only)"
