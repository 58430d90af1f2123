"""What `-m` does around the jobs: which grid is run, which of its cells are there already, and a table at the end.

A cell is a run folder. One that has its scores is not started again, so a sweep that was killed goes on where it was.
"""

import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from fer_lightning.errors import ConfigError, FERError, PoolError

MULTIRUN = ("-m", "--multirun")
#: What the grid of fold jobs (conf/sweep/folds.yaml, conf/protocol/loso_jobs.yaml) is where no config counts the folds.
UNKNOWN = "range(0,None)"


def choose_grid(arguments: list[str]) -> list[str]:
    """Switch a model's default sweep off where the command line brings a grid of its own.

    `python train.py model=waspp -m` runs the model's default sweep, `... optimizer=sgd,adam -m` only what it says, and
    `... sweep=[placement,seeds] -m` the product of the grids that it names.

    Args:
        arguments: command line without the program's name.

    Returns:
        The arguments, with `sweep=none` added where a grid, or one job per fold, is asked for and no sweep is named,
        and with `-m` in front: Hydra refuses overrides on both sides of it.

    Raises:
        ConfigError: a sweep that would not be run: without -m, or `sweep=a,b`.
    """
    multirun = any(argument in MULTIRUN for argument in arguments)
    if not multirun and not any(argument.startswith("sweep=") for argument in arguments):
        return arguments
    others = [argument for argument in arguments if argument not in MULTIRUN]
    texts = [argument for argument in others if "=" in argument and not argument.startswith("-")]
    overrides = OverridesParser.create().parse_overrides(texts)
    named = [override for override in overrides if override.key_or_group == "sweep"]
    if any(override.is_sweep_override() for override in named):
        raise ConfigError("sweep=a,b would run one grid after the other; sweep=[a,b] runs their product")
    if not multirun:
        if named[0].value() != "none" and not any(argument.startswith("-") for argument in arguments):
            raise ConfigError("a sweep is run with -m: put -m at the end of the command")
        return arguments
    grid = any(override.is_sweep_override() for override in overrides) or "protocol=loso_jobs" in texts
    if grid and not named:
        others.insert(others.index(texts[-1]) + 1, "sweep=none")
    return ["-m", *others]


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


class Grid(Sweeper):
    """Hydra's grid of choices, with run folders in mind: starts what is missing and reports on all.

    Args:
        params: key -> choices, what `conf/sweep` sets; the command line wins over it.
        max_batch_size: jobs that the launcher is given at a time; null: all.
    """

    def __init__(self, params: dict[str, str] | None = None, max_batch_size: int | None = None) -> None:
        self.params, self.max_batch_size = params or {}, max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> list[JobReturn]:
        """Plan, launch, report.

        Raises:
            SystemExit: 1 when a cell failed, 2 when all were refused or the grid itself is, 130 when stopped.
        """
        try:
            cells, todo = self._plan(self._jobs(arguments))
        except FERError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(2)
        _announce(cells, len(todo))
        self.hydra_context.callbacks.callbacks.append(Progress(len(todo), time.time()))
        results: list[JobReturn] = []
        try:
            for start in range(0, len(todo), self.max_batch_size or len(todo) or 1):
                batch = todo[start : start + (self.max_batch_size or len(todo))]
                results += self.launcher.launch(batch, initial_job_idx=start)
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            _settle(cells, results)
            _report(cells, Path(cells[0].config.paths.runs) / "sweeps")
        if any(cell.state == "failed" for cell in cells):
            sys.exit(1)
        if all(cell.state == "refused" for cell in cells):
            sys.exit(2)
        return results

    def _jobs(self, arguments: Sequence[str]) -> Sequence[Sequence[str]]:
        """The overrides of each job; the command line wins over `params`.

        Raises:
            ConfigError: one job per fold, and nobody says how many folds there are; or there is no job at all.
        """
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        typed = {override.key_or_group for override in parser.parse_overrides(list(arguments))}
        unknown = [key for key, value in self.params.items() if value == UNKNOWN]
        for key in unknown:
            if key not in typed:
                data = next((text for text in arguments if text.startswith("data=")), "this data")
                raise ConfigError(
                    f"one job per fold needs their number, data.expects.groups, which is not set for {data}: "
                    f"add {key}=range(0,<number of folds>)"
                )
        params = [f"{key}={value}" for key, value in self.params.items() if key not in unknown]
        overrides = parser.parse_overrides([*params, *arguments])
        for override in overrides:
            if override.is_discrete_sweep() and not list(override.sweep_string_iterator()):
                raise ConfigError(f"nothing is swept: {override.input_line} has no values")
        [jobs] = BasicSweeper.split_arguments(overrides, None)
        return jobs

    def _plan(self, jobs: Sequence[Sequence[str]]) -> tuple[list[Cell], list[Sequence[str]]]:
        """The cells in the order of the grid, and the jobs to launch."""
        from fer_lightning.identity import identity, resolved, run_folder
        from fer_lightning.run import check_options

        cells: dict[Path, Cell] = {}
        todo: list[Sequence[str]] = []
        for job in jobs:
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(job))
            with read_write(config), open_dict(config):
                del config["hydra"]
            folder = run_folder(config)
            cell = cells.get(folder)
            if cell is None:
                cell = cells[folder] = Cell(dict(text.split("=", 1) for text in job), config, folder)
                try:
                    check_options(config)
                except FERError as error:
                    cell.state, cell.reason = "refused", str(error)
                if is_done(cell):
                    cell.state = "there"
            elif identity(resolved(config)) != identity(resolved(cell.config)):
                raise ConfigError(f"run_name={config.run_name} gives different cells the same folder; leave it out")
            if cell.state == "open":
                cell.jobs.append(len(todo))
                todo.append(job)
        return list(cells.values()), todo


class Progress(Callback):
    """Says what became of each job and how long the rest will take.

    Args:
        jobs: number of jobs.
        started: seconds since the epoch: the jobs of a cluster are other processes, on other machines.
    """

    def __init__(self, jobs: int, started: float) -> None:
        self.jobs, self.started = jobs, started

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        value = job_return._return_value
        result = f"scored {value:.4f}" if isinstance(value, float) else "done, pool not complete yet"
        if job_return.status is JobStatus.FAILED:
            result = "failed"
            if not isinstance(value, FERError):
                traceback.print_exception(value)
        number, passed = config.hydra.job.num + 1, time.time() - self.started
        left = timedelta(seconds=round(passed / number * (self.jobs - number)))
        print(f"sweep: job {number} of {self.jobs} {result}; {timedelta(seconds=round(passed))} passed, "
              f"about {left} left", file=sys.stderr, flush=True)  # fmt: skip


def is_done(cell: Cell) -> bool:
    """Whether the folder holds the scores of this config and the predictions of all folds that they are made of."""
    import json

    from omegaconf import OmegaConf

    from fer_lightning.identity import identity, resolved

    scores = cell.folder / "scores.json"
    if not scores.is_file():
        return False
    saved = OmegaConf.to_container(OmegaConf.load(cell.folder / "config.yaml"))
    files = list((cell.folder / "predictions").glob("[!.]*.csv"))
    return identity(saved) == identity(resolved(cell.config)) and len(files) >= json.loads(scores.read_text())["folds"]


def _announce(cells: list[Cell], jobs: int) -> None:
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


def _settle(cells: list[Cell], results: list[JobReturn]) -> None:
    """What became of the cells that were open."""
    for cell in cells:
        if cell.state == "open":
            ended = [results[job] for job in cell.jobs if job < len(results)]
            failed = [job._return_value for job in ended if job.status is JobStatus.FAILED]
            if failed:
                cell.state, cell.reason = "failed", f"{type(failed[0]).__name__}: {failed[0]}"
            elif is_done(cell) or (len(ended) == len(cell.jobs) and _pool(cell.folder)):
                cell.state = "done"


def _pool(folder: Path) -> bool:
    """Score a run whose jobs have all ended: on a network file system none of them may have seen the others' files."""
    from fer_lightning.reporting.scores import write_scores

    try:
        write_scores(folder)
    except PoolError as error:
        print(f"{folder} has no scores yet: {error}", file=sys.stderr)
        return False
    return True


def _report(cells: list[Cell], folder: Path) -> None:
    from fer_lightning.reporting.grid import print_grid, write_grid

    keys = varied(cells)
    rows = [
        {key: cell.overrides.get(key, "") for key in keys}
        | {"state": cell.state, "reason": cell.reason, "folder": cell.folder}
        | {"metric": cell.config.protocol.metric}
        for cell in cells
    ]
    print_grid(*write_grid(rows, keys, folder))
