"""`python -m fer_lightning.report <runs folder>`: all runs on one HTML page, for people without account or server.

A sortable, filterable table of all cells with their intervals; for each cell its confusion matrix, classes, learning
curves, folds, versions, settings and the command that runs it again; what each selection rule scores beside what the
leak of oracle_test is worth. The file holds everything it needs and opens from the disk. It is built from the files of
the runs alone: the same files give the same bytes. Unfinished runs are listed with the folds they have; folders that
cannot be read are named on the page and here. Exit code 0, or 2 when nothing could be read or written.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from fer_lightning.errors import FERError
from fer_lightning.files import write_atomically
from fer_lightning.identity import identity
from fer_lightning.reporting.page.collect import collect
from fer_lightning.reporting.page.page import page


def main(arguments: list[str] | None = None) -> int:
    """Write the page; say where it is and what it left out."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder with run folders anywhere below it")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: RUNS/report.html)")
    parser.add_argument(
        "--check", action="store_true",
        help="rebuild each score from its predictions (slow), refuse cells whose scores.json says something else",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    if not given.runs.is_dir():
        print(f"error: {given.runs} is no folder; give the folder of the runs, as in paths.runs", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    follow = partial(
        track, description="reading runs", console=console, disable=not console.is_terminal, transient=True
    )
    found = collect(given.runs, identity, given.check, follow)
    for refused in found["broken"]:
        print(f"refused: {refused['path']}: {refused['reason']}", file=sys.stderr)
    if not found["cells"] and not found["unfinished"]:
        print(f"error: no run in {given.runs} could be read; a run folder holds config.yaml", file=sys.stderr)
        return 2
    file = given.out or given.runs / "report.html"
    try:
        write_atomically(file, page(found, f"fer_lightning: {given.runs.resolve().name}"))
    except FERError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = ", ".join(f"{len(found[name])} {name}" for name in ("cells", "unfinished", "broken"))
    print(f"{file}  ({counts}, {file.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
