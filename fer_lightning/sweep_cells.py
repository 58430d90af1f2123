"""The cells of a sweep: which are there already, what became of the others, and what is said about them."""

import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from fer_lightning.errors import FERError, PoolError


@dataclass
class Cell:
    """One run folder of a grid.

    Attributes:
        overrides: key -> value, as on the command line.
        config: the whole config of the cell.
        folder: its run folder.
        jobs: numbers of the launched jobs that work at it; several with one job per fold.
        state: there (before this sweep), refused, open, done, failed.
        reason: why it was refused or failed.
    """

    overrides: dict[str, str]
    config: DictConfig
    folder: Path
    jobs: list[int] = field(default_factory=list)
    state: str = "open"
    reason: str = ""


def is_done(cell: Cell) -> bool:
    """Whether the folder holds the scores of this config and the predictions of all folds that they are made of."""
    import json

    from fer_lightning.identity import identity, resolved, saved

    scores = cell.folder / "scores.json"
    if not scores.is_file():
        return False
    files = list((cell.folder / "predictions").glob("[!.]*.csv"))
    return (
        identity(saved(cell.folder)) == identity(resolved(cell.config))
        and len(files) >= json.loads(scores.read_text())["folds"]
    )


def announce(cells: list[Cell], jobs: int) -> None:
    """Say what is there, what is refused and why, and what will be run in how many jobs."""
    counts = {state: sum(cell.state == state for cell in cells) for state in ("there", "refused", "open")}
    more = f" in {jobs} jobs" if jobs != counts["open"] else ""
    print(f"Sweep of {len(cells)} cells: {counts['there']} are there already, {counts['refused']} are refused, "
          f"{counts['open']} to run{more}.", file=sys.stderr)  # fmt: skip
    keys = varied(cells)
    for cell in cells:
        if cell.state == "refused":
            print(f"  refused: {' '.join(f'{key}={cell.overrides.get(key)}' for key in keys)}: {cell.reason}",
                  file=sys.stderr)  # fmt: skip


def varied(cells: list[Cell]) -> list[str]:
    """Keys in which the cells differ, in the order of the command line."""
    keys = dict.fromkeys(key for cell in cells for key in cell.overrides)
    return [key for key in keys if len({cell.overrides.get(key) for cell in cells}) > 1]


def settle(cells: list[Cell], results: list[JobReturn], seen: Mapping[int, str] | None = None) -> None:
    """What became of the cells that were open.

    Args:
        cells: of the sweep.
        results: of the jobs that a launcher has given back, in their order; Ctrl-C keeps those of its last batch.
        seen: `Progress.failed`: why jobs have failed, also of that batch.
    """
    failures = dict(seen or {})
    for number, job in enumerate(results):
        if job.status is JobStatus.FAILED:
            failures[number] = _why(job)
    for cell in cells:
        if cell.state == "open":
            ended = [results[job] for job in cell.jobs if job < len(results)]
            failed = [failures[job] for job in cell.jobs if job in failures]
            if failed:
                cell.state, cell.reason = "failed", failed[0]
            elif is_done(cell) or (len(ended) == len(cell.jobs) and _pool(cell.folder)):
                cell.state = "done"


def _why(job: JobReturn) -> str:
    return f"{type(job._return_value).__name__}: {job._return_value}"


def _pool(folder: Path) -> bool:
    """Score a run whose jobs have all ended: on a network file system none of them may have seen the others' files."""
    from fer_lightning.reporting.scores import write_scores

    try:
        write_scores(folder)
    except PoolError as error:
        print(f"{folder} has no scores yet: {error}", file=sys.stderr)
        return False
    return True


def report(cells: list[Cell], folder: Path) -> None:
    """Print the table of all cells and write it below `folder`."""
    from fer_lightning.reporting.grid import print_grid, write_grid

    keys = varied(cells)
    rows = [
        {key: cell.overrides.get(key, "") for key in keys}
        | {"state": cell.state, "reason": cell.reason, "folder": cell.folder}
        | {"metric": cell.config.protocol.metric}
        for cell in cells
    ]
    print_grid(*write_grid(rows, keys, folder))


class Progress(Callback):
    """Says what became of each job and how long the rest will take.

    Args:
        jobs: number of jobs.
        started: seconds since the epoch: the jobs of a cluster are other processes, on other machines.

    Attributes:
        failed: number of a job of this process -> why it has failed; a launcher that is stopped does not tell any more.
            Jobs in processes of their own (launcher=joblib and those of clusters) do not stand here.
    """

    def __init__(self, jobs: int, started: float) -> None:
        self.jobs, self.started = jobs, started
        self.failed: dict[int, str] = {}

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        value = job_return._return_value
        result = f"scored {value:.4f}" if isinstance(value, float) else "done, pool not complete yet"
        if job_return.status is JobStatus.FAILED:
            result = "failed"
            self.failed[config.hydra.job.num] = _why(job_return)
            if not isinstance(value, FERError):
                traceback.print_exception(value)
        number, passed = config.hydra.job.num + 1, time.time() - self.started
        left = timedelta(seconds=round(passed / number * (self.jobs - number)))
        print(f"sweep: job {number} of {self.jobs} {result}; {timedelta(seconds=round(passed))} passed, "
              f"about {left} left", file=sys.stderr, flush=True)  # fmt: skip
