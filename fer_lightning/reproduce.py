"""`python -m fer_lightning.reproduce [table ...]`: the rows of the papers' tables, run, collected and compared.

Says first what is there, what will run and for how long, what lacks data, needs a GPU or is refused. A row that fails
is named at the end (exit code 1), the others go on; a run that was stopped goes on with the same command. What counts
of each run goes to experiments/<table>/predictions; results.csv, README.md of each table and experiments/README.md are
rebuilt from there (--rebuild does only that, without torch). What people wrote outside the marks of a README stays.
Budget smoke makes every row in minutes from generated data, below <runs>/smoke, and leaves experiments/ alone.
"""

import argparse
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from fer_lightning.cells import Cell, share_trainings, with_members
from fer_lightning.compose import configure
from fer_lightning.errors import ConfigError, FERError, StorageError
from fer_lightning.paper_rows import BUDGETS, EXPERIMENTS, Row, read_rows, why_not
from fer_lightning.plan_text import counts, name_reasons, print_plan, span, todo_of
from fer_lightning.reproduction import Plan, count, run_cell


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, collect and rebuild; 0, 1 when a row failed or is refused, 2 for a wrong name, 130 when stopped."""
    given = _parser().parse_args(arguments)
    try:
        rows = read_rows()
        tables = _tables(given, rows)
        if given.list:
            _list(tables, rows)
            return 0
        if given.rebuild:
            _rebuild(EXPERIMENTS, tables, rows)
            return 0
        return _reproduce(given, tables, rows)
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped: the same command goes on; finished rows are kept", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.reproduce", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("tables", nargs="*", metavar="table", help="folders of experiments/ (default: those "
                        "of papers; with --budget smoke, --list and --rebuild all)")  # fmt: skip
    parser.add_argument("--seeds", default="0", help="such as 0,1,2 (default: 0)")
    parser.add_argument("--budget", default="full", choices=BUDGETS, help="full: the paper's settings (default); cpu: "
                        "two hours of two CPU cores; night: some rows for longer; smoke: see above")  # fmt: skip
    parser.add_argument("--data", default="", help="another data set than the rows' own, such as megc2019")
    parser.add_argument("--hours", type=float, default=24.0, help="without a GPU, rows at budget full that would take "
                        "longer are left out and named (default: 24)")  # fmt: skip
    parser.add_argument("--where", nargs="+", default=[], metavar="key=value", help="where and how fast to run, "
                        "never what: protocol.workers=4 protocol.gpus=[0,1,2,3] logger=wandb")  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="only list tables and rows")
    what.add_argument("--dry-run", action="store_true", help="only say what would be done")
    what.add_argument("--collect", action="store_true", help="take what was run already, say on a cluster, into the "
                      "tables; run nothing")  # fmt: skip
    what.add_argument("--rebuild", action="store_true", help="only rebuild tables from the committed files")
    return parser


def _tables(given: argparse.Namespace, rows: dict[str, Row]) -> list[str]:
    there = list(dict.fromkeys(row.table for row in rows.values()))
    unknown = sorted(set(given.tables) - set(there))
    if unknown:
        raise ConfigError(f"no table {unknown}; there are {there}")
    if given.tables or given.budget == "smoke" or given.list or given.rebuild:
        return [table for table in there if table in given.tables] or there
    of_papers = list(dict.fromkeys(row.table for row in rows.values() if row.of_paper))
    if others := [table for table in there if table not in of_papers]:
        print(f"by name only, for they are no paper's: {', '.join(others)}")
    return of_papers


def _list(tables: list[str], rows: dict[str, Row]) -> None:
    for table in tables:
        own = [row for row in rows.values() if row.table == table]
        at = ", ".join(f"{sum(name in row.budgets for row in own)} at budget {name}" for name in ("cpu", "night"))
        print(f"{table}  ({len(own)} rows, {at})")
        for row in own:
            print(f"  {row.name}")


def _reproduce(given: argparse.Namespace, tables: list[str], rows: dict[str, Row]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that fold processes end too
    seeds = _seeds(given.seeds)
    _check_asked(given, [row for row in rows.values() if row.table in tables])
    runs, experiments = Path(os.environ.get("FER_RUNS", "runs")), EXPERIMENTS
    if given.budget == "smoke":
        runs, experiments = runs / "smoke", _copy_papers(runs / "smoke" / "experiments")
    plan = Plan(rows, given.budget, given.data, runs, given.hours, given.where)
    print(f"planning {sum(row.table in tables for row in rows.values())} rows ...", file=sys.stderr, flush=True)
    chosen = [plan.cell(name, seed) for seed in seeds for name in rows if rows[name].table in tables]
    cells = with_members(chosen)
    share_trainings(cells)
    print_plan(cells, given.budget)
    if given.dry_run:
        return 0
    for cell in cells:
        _attempt([cell], experiments, cell.state)
    if not given.collect:
        _run(cells, runs, experiments)
    _note_missing(cells, experiments, own=not given.where)
    _rebuild(experiments, list(dict.fromkeys(cell.row.table for cell in cells)), rows)
    return _end(cells)


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(seed) for seed in text.split(",")]
    except ValueError:
        seeds = [-1]
    if min(seeds) < 0:
        raise ConfigError(f"--seeds {text}: expected whole numbers from 0 on with commas between, such as 0,1,2")
    return seeds


def _check_asked(given: argparse.Namespace, rows: list[Row]) -> None:
    """Refuse --data and --where that do not compose at all: that is no fault of a row, and must not be noted as one.

    Raises:
        ConfigError: what is not there, as `configure` says it.
    """
    if given.data:
        configure([f"data={given.data}"])
    trained = next((row.name for row in rows if row.trained and not row.members), None)
    if given.where and trained:
        configure([f"experiment={trained}", *given.where])


def _copy_papers(out: Path) -> Path:
    for file in [*EXPERIMENTS.glob("*/paper.csv"), *EXPERIMENTS.glob("*.csv")]:
        copy = out / file.relative_to(EXPERIMENTS)
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        except OSError as error:
            raise StorageError(
                f"{copy} could not be written ({error.strerror or error}). Make room, or set FER_RUNS to a folder "
                "that can be written"
            ) from error
    return out


def _run(cells: list[Cell], runs: Path, experiments: Path) -> None:
    todo, started, passed = todo_of(cells), time.monotonic(), 0.0
    for number, cell in enumerate(todo, start=1):
        print(f"\n[{number}/{len(todo)}] {cell.row.name} seed {cell.seed}: {cell.command}", flush=True)
        same = [other for other in cells if other is cell or (cell.folder and other.folder == cell.folder)]
        _attempt(same, experiments, "done", lambda cell=cell: run_cell(cell, runs))
        passed += cell.seconds or 0.0
        spent = time.monotonic() - started
        left = _left(todo[number:], spent, number, passed)
        print(f"[{number}/{len(todo)}] {cell.state}; {span(spent)} passed, about {left} left", flush=True)


def _left(rest: list[Cell], spent: float, number: int, passed: float) -> str:
    """The plan's estimate of the rest, corrected by what the runs so far have really taken."""
    if passed:
        return span(sum(cell.seconds or 0.0 for cell in rest) * spent / passed)
    return span(len(rest) * spent / number)


def _attempt(cells: list[Cell], experiments: Path, state: str, action: Callable[[], None] | None = None) -> None:
    """Do something for cells that share a run folder, and collect them; they are `state` then, or failed."""
    try:
        if action:
            action()
        for cell in cells:
            cell.state = state
            _collect(cell, experiments)
    except Exception as error:
        if not isinstance(error, FERError):
            traceback.print_exc()
        for cell in cells:
            cell.state, cell.reason = "failed", f"{type(error).__name__}: {error}"
        print(f"failed: {cells[0].reason}", file=sys.stderr)


def _collect(cell: Cell, experiments: Path) -> None:
    """The committed files of a cell that is there, and the parameters where the paper prints them."""
    from fer_lightning.reporting.papers.collect import collect, write_facts

    predictions = experiments / cell.row.table / "predictions"
    if cell.row.counted and cell.state != "refused":
        write_facts(predictions / f"{cell.row.row}-counts.json", count(cell.row))
    if cell.state in ("there", "done"):
        collect(cell.folder, predictions, cell.about(), synthetic=cell.budget == "smoke")


def _note_missing(cells: list[Cell], experiments: Path, own: bool) -> None:
    """What is not there and why, in words that hold on other machines too.

    What is refused or fails with another --data, or with a --where (not `own`), tells nothing of the row: not noted.
    """
    from fer_lightning.reporting.papers.missing import note

    for table in dict.fromkeys(cell.row.table for cell in cells):
        there = [cell for cell in cells if cell.row.table == table]
        told = [cell for cell in there if not cell.asked and (own or cell.state not in ("refused", "failed"))]
        note(experiments / table, there[0].budget, {cell.row.row: _public(cell) for cell in told})


def _public(cell: Cell) -> str:
    """The state without paths of this machine; "" where there is a result."""
    if cell.state == "lacks data" and cell.config is not None:
        return f"lacks data: {cell.config.data.name}"
    if cell.state == "failed" or cell.state == "refused":
        return f"{cell.state}: {cell.reason.partition(':')[0]}"
    return cell.state if cell.state in ("lacks data", "needs a GPU") else ""


def _rebuild(experiments: Path, tables: list[str], rows: dict[str, Row]) -> None:
    from fer_lightning.reporting.papers.glance import write_glance
    from fer_lightning.reporting.papers.overview import write_overview
    from fer_lightning.reporting.papers.readme import write_readme
    from fer_lightning.reporting.papers.results import write_results

    for table in tables:
        reasons = {
            (row.row, budget): why_not(row, budget, rows)
            for row in rows.values() if row.table == table for budget in BUDGETS
        }  # fmt: skip
        write_results(experiments / table)
        print(write_readme(experiments / table, reasons))
    print(write_glance(experiments))
    readme = experiments.parent / "README.md"
    if readme.is_file():
        write_overview(readme, experiments)
        print(readme)


def _end(cells: list[Cell]) -> int:
    print(counts(cells))
    bad = [cell for cell in cells if cell.state in ("failed", "refused")]
    name_reasons(bad)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
