"""`python -m fer_lightning.report <runs folder>`: all runs on one HTML page, for people without account or server.

A sortable, filterable table of all cells with their intervals; for each cell its confusion matrix, classes, learning
curves, folds, versions, settings and the command that runs it again; what each selection rule scores beside what the
leak of oracle_test is worth. The file holds everything it needs and opens from the disk. It is built from the files of
the runs alone: the same files give the same bytes. Unfinished runs are listed with the folds they have; folders that
cannot be read are named on the page and here. Exit code 0, or 2 when nothing could be read or written.

--papers makes the page of the papers' tables instead, from the committed files of experiments/ alone: each printed
figure beside ours, its difference and interval, how it was made, confusion matrices, learning curves, what the number
and the place of branches are worth, and what the leak of oracle_test is.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from fer_lightning.compose import CONF
from fer_lightning.errors import FERError
from fer_lightning.files import write_atomically
from fer_lightning.identity import identity
from fer_lightning.paper_rows import BUDGETS, EXPERIMENTS, read_rows, why_not
from fer_lightning.reporting.page.collect import collect
from fer_lightning.reporting.page.page import PAPERS, page
from fer_lightning.reporting.page.papers import collect_papers, read_places

WANTED = {
    "runs": "give the folder of the runs, as in paths.runs",
    "papers": "it holds a folder for each table, with paper.csv and results.csv",
}


def main(arguments: list[str] | None = None) -> int:
    """Write a page; say where it is and what it left out."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if (given.runs is None) == (given.papers is None):
        parser.error("give a folder of runs, or --papers")
    if given.papers is not None and given.check:
        parser.error("--check is of runs; --papers always compares results.csv with the predictions")
    folder = given.papers or given.runs
    if not folder.is_dir():
        print(f"error: {folder} is no folder; {WANTED['papers' if given.papers else 'runs']}", file=sys.stderr)
        return 2
    return _papers(folder, given.out) if given.papers else _runs(folder, given.out, given.check)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, metavar="RUNS", nargs="?", help="folder with run folders anywhere below it")
    parser.add_argument(
        "--papers", type=Path, metavar="FOLDER", nargs="?", const=EXPERIMENTS,
        help="the papers' tables; FOLDER holds <table>/paper.csv (default: experiments/)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: report.html in the folder)")
    parser.add_argument(
        "--check", action="store_true",
        help="rebuild each score from its predictions (slow), refuse cells whose scores.json says something else",
    )  # fmt: skip
    return parser


def _runs(runs: Path, out: Path | None, check: bool) -> int:
    console = Console(stderr=True)
    follow = partial(
        track, description="reading runs", console=console, disable=not console.is_terminal, transient=True
    )
    found = collect(runs, identity, check, follow)
    _name_refused(found)
    if not found["cells"] and not found["unfinished"]:
        print(f"error: no run in {runs} could be read; a run folder holds config.yaml", file=sys.stderr)
        return 2
    counts = ", ".join(f"{len(found[name])} {name}" for name in ("cells", "unfinished", "broken"))
    return _write(out or runs / "report.html", page(found, f"fer_lightning: {runs.resolve().name}"), counts)


def _papers(experiments: Path, out: Path | None) -> int:
    rows = read_rows()
    reasons = {(row.table, row.row, budget): why_not(row, budget, rows) for row in rows.values() for budget in BUDGETS}
    found = collect_papers(experiments, reasons, read_places(CONF / "experiment"))
    _name_refused(found)
    if not found["tables"]:
        print(f"error: no table in {experiments} could be read; {WANTED['papers']}", file=sys.stderr)
        return 2
    counts = f"{len(found['tables'])} tables, {len(found['broken'])} broken"
    return _write(out or experiments / "report.html", page(found, "fer_lightning: the papers' tables", PAPERS), counts)


def _name_refused(found: dict[str, Any]) -> None:
    """Say on stderr what is not on the page, and why."""
    for refused in found["broken"]:
        print(f"refused: {refused['path']}: {refused['reason']}", file=sys.stderr)


def _write(file: Path, text: str, counts: str) -> int:
    try:
        write_atomically(file, text)
    except FERError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{file}  ({counts}, {file.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
