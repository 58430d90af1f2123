"""What `-m` does around the jobs: which grid is run, which of its cells are there already, and a table at the end.

A cell is a run folder. One that has its scores is not started again, so a sweep that was killed goes on where it was.
"""

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from fer_lightning.errors import ConfigError, FERError
from fer_lightning.fold_jobs import INDEX, FoldNumbers, asked_for, spread
from fer_lightning.sweep_cells import Cell, Progress, announce, is_done, report, settle

MULTIRUN = ("-m", "--multirun")
#: Up to so many cells are planned in a moment; of more it is said, since to compose a config takes a while.
FEW = 5


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
            cells, todo = self._plan(arguments)
        except FERError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("stopped while the sweep was planned: nothing of it was started", file=sys.stderr)
            sys.exit(130)
        announce(cells, len(todo))
        progress = Progress(len(todo), time.time())
        self.hydra_context.callbacks.callbacks.append(progress)
        results: list[JobReturn] = []
        try:
            for start in range(0, len(todo), self.max_batch_size or len(todo) or 1):
                batch = todo[start : start + (self.max_batch_size or len(todo))]
                results += self.launcher.launch(batch, initial_job_idx=start)
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            settle(cells, results, progress.failed)
            report(cells, Path(cells[0].config.paths.runs) / "sweeps")
        if any(cell.state == "failed" for cell in cells):
            sys.exit(1)
        if all(cell.state == "refused" for cell in cells):
            sys.exit(2)
        return results

    def _plan(self, arguments: Sequence[str]) -> tuple[list[Cell], list[Sequence[str]]]:
        """The cells in the order of the grid, and the jobs to launch."""
        grid = self._grid(arguments)
        each = asked_for(grid)
        known = [override for key, override in grid.items() if not (each and key == INDEX)]
        [found] = BasicSweeper.split_arguments(known, None)
        number = len({tuple(text for text in job if not text.startswith(f"{INDEX}=")) for job in found})
        if number > FEW:
            print(f"planning {number} cells", file=sys.stderr, flush=True)
        cells = self._cells(found)
        jobs = [(tuple(job), job) for job in found]
        if each:
            counted = FoldNumbers()
            numbers = {job: counted.of(cell.config) for job, cell in cells.items() if cell.state == "open"}
            jobs = spread(grid, numbers)
        todo: list[Sequence[str]] = []
        for key, job in jobs:
            if cells[key].state == "open":
                cells[key].jobs.append(len(todo))
                todo.append(job)
        return list({cell.folder: cell for cell in cells.values()}.values()), todo

    def _grid(self, arguments: Sequence[str]) -> dict[str, Override]:
        """Key -> its choices; the command line wins over `params`.

        Raises:
            ConfigError: a key has no choice, so there is no job at all.
        """
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        grid = {override.get_key_element(): override for override in overrides}
        for key, override in grid.items():
            if key == INDEX and asked_for(grid):
                continue
            if override.is_discrete_sweep() and not list(override.sweep_string_iterator()):
                raise ConfigError(f"nothing is swept: {override.input_line} has no values")
        return grid

    def _cells(self, jobs: Iterable[Sequence[str]]) -> dict[tuple[str, ...], Cell]:
        """The cell of each job of the grid; several jobs may belong to one."""
        from fer_lightning.identity import identity, resolved, run_folder
        from fer_lightning.planning import check_options

        cells: dict[tuple[str, ...], Cell] = {}
        folders: dict[Path, Cell] = {}
        for job in jobs:
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(job))
            with read_write(config), open_dict(config):
                del config["hydra"]
            folder = run_folder(config)
            cell = folders.get(folder)
            if cell is None:
                cell = folders[folder] = Cell(dict(text.split("=", 1) for text in job), config, folder)
                try:
                    check_options(config)
                except FERError as error:
                    cell.state, cell.reason = "refused", str(error)
                if is_done(cell):
                    cell.state = "there"
            elif identity(resolved(config)) != identity(resolved(cell.config)):
                raise ConfigError(f"run_name={config.run_name} gives different cells the same folder; leave it out")
            cells[tuple(job)] = cell
        return cells
