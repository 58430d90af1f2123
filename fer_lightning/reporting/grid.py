"""The table of a sweep: one row a cell, ranked by what is honest, and means over seeds."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from fer_lightning.files import write_atomically
from fer_lightning.reporting.scores import objective
from fer_lightning.reporting.tables import DAGGER, SYNTHETIC
from fer_lightning.reporting.validation import MEASURES, validation_score

FIGURES = ("uf1", "uar", "accuracy", "ccc")
HEADERS = {
    "uf1": "UF1", "uar": "UAR", "accuracy": "accuracy", "ccc": "CCC", "oracle": f"oracle {DAGGER}",
    "validation": "validation",
}  # fmt: skip
TEST = (
    "Ranked by the test figures: to take the first row is to choose on the test set. Report all rows, or choose by "
    "validation (python -m fer_lightning.tune)."
)
ORACLE = f"{DAGGER} epoch chosen on the test samples; these cells are ranked by their last epoch, which stands in UF1."
#: How many cells a line names that share a reason.
NAMED = 3
SEEDS = "Over seeds: mean, standard deviation (n - 1) and number of seeds of the figure that ranks."


def write_grid(rows: list[dict[str, Any]], keys: list[str], folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, Path]:
    """Read the scores of all cells; write ``<folder>/<hash of the grid>.csv`` and ``.json``.

    Args:
        rows: of each cell its value of each key, state (there, done, failed, refused or open), reason, folder (the run
            folder) and metric (`protocol.metric`).
        keys: in which the cells differ.
        folder: ``<runs>/sweeps``.

    Returns:
        The cells in the order of their rank (within each data set), the means over seeds, and the csv.
    """
    cells = pd.DataFrame([row | _figures(row) for row in rows])
    cells = cells.reindex(columns=[*dict.fromkeys([*cells.columns, "data", "figure", "validation"])])
    cells.insert(0, "rank", cells.groupby("data")["figure"].rank(ascending=False, method="min").astype("Int64"))
    cells = cells.sort_values(["data", "rank"], kind="stable", ignore_index=True)
    seeds = _over_seeds(cells, [key for key in keys if key != "seed"]) if "seed" in keys else pd.DataFrame()
    names = sorted(str(Path(row["folder"]).relative_to(folder.parent)) for row in rows)
    file = folder / f"{hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:8]}.csv"
    write_atomically(file, cells.to_csv(index=False, lineterminator="\n"))
    content = {name: json.loads(table.to_json(orient="records", default_handler=str))
               for name, table in (("cells", cells), ("over_seeds", seeds))}  # fmt: skip
    write_atomically(file.with_suffix(".json"), json.dumps({"note": TEST} | content, indent=2) + "\n")
    return cells, seeds, file


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    """What stands in a cell's ``scores.json``; with the oracle, that of the last epoch."""
    file = Path(row["folder"]) / "scores.json"
    if row["state"] not in ("there", "done"):
        return {}
    scores = json.loads(file.read_text())
    honest = _without_oracle(scores)
    flat = honest | honest.get("continuous", {}) | {name: honest[name] for name in FIGURES if name in honest}
    found = {"data": _data(row), "seed_of_run": scores["seed"], "selection": scores["selection"]}
    found |= {"samples": scores["samples"], "folds": scores["folds"], "figure": objective(honest)}
    for name in (name for name in FIGURES if name in flat):
        found[name] = flat[name]
        found[f"{name}_low"], found[f"{name}_high"] = flat.get(f"{name}_ci95") or (None, None)
    if honest is not scores:
        found["oracle"] = objective(scores)
    if row["metric"] in MEASURES:
        found["validation"] = validation_score(file.parent, row["metric"])
    return found | {"seconds": scores["seconds"], "synthetic": scores["synthetic"]}


def _without_oracle(scores: dict[str, Any]) -> dict[str, Any]:
    if scores["selection"] != "oracle_test":
        return scores
    both = {}
    if "continuous" in scores:
        both["continuous"] = scores["continuous"] | scores["continuous"]["honest"]
    return scores | scores["honest"] | both


def _data(row: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_load((Path(row["folder"]) / "config.yaml").read_text())["data"]["name"]


def _over_seeds(cells: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    scored = cells[cells["figure"].notna()]
    groups = scored.groupby(["data", *keys], sort=False)
    table = groups["figure"].agg(mean="mean", sd="std", seeds="count")
    table["validation"] = groups["validation"].mean()
    return table.sort_values(["data", "mean"], ascending=[True, False]).reset_index()


def print_grid(cells: pd.DataFrame, seeds: pd.DataFrame, file: Path, console: Console | None = None) -> None:
    """Print the cells, the means over seeds, and what a reader must know about them."""
    console = console or Console(width=None if sys.stdout.isatty() else 160)
    shown = [name for name in HEADERS if name in cells and cells[name].notna().any()]
    first, last = list(cells.columns).index("rank") + 1, list(cells.columns).index("state")
    keys = list(cells.columns[first:last])
    table = _table(["", *keys, *(HEADERS[name] for name in shown), "state"])
    for _, cell in cells.iterrows():
        rank = "" if pd.isna(cell["rank"]) else str(cell["rank"])
        figures = [_with_interval(cell, name) for name in shown]
        table.add_row(rank, *(str(cell[key]) for key in keys), *figures, cell["state"])
    console.print(table)
    if len(seeds):
        seeds = seeds.dropna(axis="columns", how="all")
        over = _table(list(seeds.columns))
        for _, group in seeds.iterrows():
            over.add_row(*(_number(value) if isinstance(value, float) else str(value) for value in group))
        console.print(over)
    scored = cells["figure"].notna().any()
    notes = _reasons(cells, keys)
    notes += [TEST] if scored else []
    notes += [ORACLE] if "oracle" in shown else []
    notes += [SEEDS] if len(seeds) else []
    notes += [SYNTHETIC] if "synthetic" in cells and cells["synthetic"].eq(True).any() else []
    open_ = int((cells["state"] == "open").sum())
    notes += [f"{open_} cells are open: the same command goes on with them."] if open_ else []
    for note in [*notes, str(file)]:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _reasons(cells: pd.DataFrame, keys: list[str]) -> list[str]:
    """A line for each reason why cells failed or were refused, with the first cells that it stopped."""
    lines = []
    for (state, reason), group in cells[cells["reason"] != ""].groupby(["state", "reason"], sort=False):
        names = [" ".join(f"{key}={cell[key]}" for key in keys) for _, cell in group.head(NAMED).iterrows()]
        more = f" and {len(group) - NAMED} more" if len(group) > NAMED else ""
        lines.append(f"{state}: {', '.join(names)}{more}: {reason}" if keys else f"{state}: {reason}")
    return lines


def _table(headers: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"


def _with_interval(cell: pd.Series, name: str) -> str:
    low, high = cell.get(f"{name}_low"), cell.get(f"{name}_high")
    return _number(cell[name]) + ("" if pd.isna(low) else f" ({low:.3f}-{high:.3f})")
