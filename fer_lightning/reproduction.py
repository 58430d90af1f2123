"""Rows of the papers' tables as cells to run: which are there, which can run, which cannot and why, and how long."""

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fer_lightning.cells import Cell
from fer_lightning.compose import CONF, configure
from fer_lightning.errors import ConfigError, DatasetNotFoundError, FERError
from fer_lightning.identity import identity, resolved, rows_of, run_folder
from fer_lightning.paper_rows import EXPERIMENTS, NEEDS_GPU, NO_SETTING, Row, why_not
from fer_lightning.sweep import is_done

SPEEDS = CONF.parent / "docs" / "models.md"


class Plan:
    """Looks at rows and says what is to be done about them.

    Args:
        rows: all rows, by name.
        budget: full, cpu or smoke.
        data: another data set for all of them, or "".
        runs: ``paths.runs``.
        hours: rows at budget full that take longer than this on a CPU are left to a GPU.
        where: overrides that say where and how fast it is run, such as ``protocol.workers=4``.
    """

    def __init__(
        self, rows: dict[str, Row], budget: str, data: str, runs: Path, hours: float, where: Sequence[str] = ()
    ) -> None:
        self.rows, self.budget, self.data, self.runs, self.hours = rows, budget, data, runs, hours
        self.where = list(where)
        self.cells: dict[tuple[str, int], Cell] = {}
        self.configs: dict[str, DictConfig] = {}
        self.found: dict[str, Any] = {}
        self.speeds = read_speeds()
        self.planned: set[Path] = set()

    def cell(self, name: str, seed: int) -> Cell:
        """The cell of a row and a seed; members of an ensemble become cells too."""
        if (name, seed) not in self.cells:
            row = self.rows[name]
            self.cells[name, seed] = cell = Cell(row, seed, self.budget, self.data, self._overrides(row, seed))
            try:
                self._judge(cell)
            except DatasetNotFoundError as error:
                cell.state, cell.reason = "lacks data", _line(error)
            except Exception as error:  # whatever it is, it is named, and the other rows are looked at
                cell.state, cell.reason = "refused", f"{type(error).__name__}: {_line(error)}"
        return self.cells[name, seed]

    def _overrides(self, row: Row, seed: int) -> list[str]:
        changes = row.budgets.get(self.budget, {})
        texts = [f"{key}={'null' if value is None else value}" for key, value in changes.items()]
        data = [f"data={self.data}"] if self.data else []
        return [f"experiment={row.name}", *texts, *data, f"seed={seed}"]

    def _judge(self, cell: Cell) -> None:
        from fer_lightning.run import check_options

        if not cell.row.trained:
            cell.state = "counted"
            return
        cell.reason = why_not(cell.row, self.budget, self.rows)
        if cell.reason:
            cell.state = NO_SETTING if cell.reason.startswith(NO_SETTING) else NEEDS_GPU
            if cell.state == NEEDS_GPU and not cell.row.members:
                cell.config = self._config(cell)
                self._manifest(cell.config)  # a GPU would not help where the data is not there either
            return
        if cell.row.members:
            self._judge_ensemble(cell)
            return
        cell.config = self._config(cell)
        cell.folder = run_folder(cell.config)
        check_options(cell.config)
        if is_done(cell):
            cell.state = "there"
            return
        if cell.config.get("tiny"):
            return  # generated when it is run, in no time
        cell.seconds, cell.measured = self._seconds(cell)
        self.planned.add(cell.folder)
        if self.budget == "full" and not on_gpu() and cell.seconds > 3600 * self.hours:
            cell.state, cell.reason = NEEDS_GPU, f"about {cell.seconds / 3600:,.0f} hours on this CPU"

    def _judge_ensemble(self, cell: Cell) -> None:
        seeds = range(cell.seed * cell.row.seeds, (cell.seed + 1) * cell.row.seeds)
        cell.members = [self.cell(name, seed) for name in cell.row.members for seed in seeds]
        for member in cell.members:
            if member.state not in ("open", "there"):
                cell.state, cell.reason = member.state, f"{member.row.name}: {member.reason}"
                return

    def _config(self, cell: Cell) -> DictConfig:
        """Composed once a row: seeds differ in nothing else."""
        if cell.row.name not in self.configs:
            config = configure([*cell.overrides, f"paths.runs={self.runs}"])
            if self.data:
                self._check_data(cell, config)
            if self.where:
                config = self._moved(cell, config)
            self.configs[cell.row.name] = config
        config = copy.deepcopy(self.configs[cell.row.name])
        config.seed = cell.seed
        return config

    def _check_data(self, cell: Cell, config: DictConfig) -> None:
        own = configure([text for text in cell.overrides if not text.startswith("data=")]).data
        if own.kind != config.data.kind or own.classes != config.data.classes:
            raise ConfigError(f"the row is about {own.name}; data={self.data} holds other classes or another kind")

    def _moved(self, cell: Cell, config: DictConfig) -> DictConfig:
        moved = configure([*cell.overrides, f"paths.runs={self.runs}", *self.where])
        ours, wanted = identity(resolved(moved)), identity(resolved(config))
        differ = sorted(key for key in ours.keys() | wanted.keys() if ours.get(key) != wanted.get(key))
        if differ:
            raise ConfigError(f"--where {' '.join(self.where)}: changes {differ}, so what is run and not only where")
        return moved

    def _seconds(self, cell: Cell) -> tuple[float, bool]:
        """How long it takes and whether that was measured; raises where the data is not there or does not fit."""
        guess = self._guess(cell.config)
        for file in sorted((EXPERIMENTS / cell.row.table / "predictions").glob(f"{cell.row.row}-seed*.json")):
            facts = json.loads(file.read_text())
            if all(facts[key] == getattr(cell, key) for key in ("budget", "asked")) and facts["row"] == cell.row.row:
                return sum(facts["folds"]["seconds"]) / cell.config.protocol.workers + self._before(cell.config), True
        return guess + self._before(cell.config), False

    def _guess(self, config: DictConfig) -> float:
        """Seconds of a run alone: training samples in all its epochs, by the speed of its network."""
        from fer_lightning.run import plan

        each = sum(len(fold.train) for fold in plan(config, self._manifest(config)))
        return each * config.trainer.max_epochs / self.speed(config)

    def _before(self, config: DictConfig) -> float:
        """Seconds of the stages that come before a run, but for those that are there or that another row makes."""
        from fer_lightning.stages import earlier

        first = earlier(config)
        if first is None:
            return 0.0
        folder = run_folder(first)
        if folder in self.planned or (folder / "scores.json").is_file():
            return 0.0
        self.planned.add(folder)
        return self._guess(first) + self._before(first)

    def _manifest(self, config: DictConfig) -> Any:
        """Built once a data set; the error of one that is not there is kept too."""
        from hydra.utils import instantiate

        key = rows_of(config.data)
        if key not in self.found:
            try:
                self.found[key] = instantiate(config.data).build(Path(config.paths.cache))
            except FERError as error:
                self.found[key] = error
        if isinstance(self.found[key], FERError):
            raise self.found[key]
        return self.found[key]

    def speed(self, config: DictConfig) -> float:
        """Training samples a second on the machine of docs/models.md; of VGG-M for pyramid networks in its geometry.

        Pictures of another size than there take time by their area.
        """
        name = "vgg_m" if config.model.get("geometry") == "vggm" else config.model_name
        if name not in self.speeds:
            raise ConfigError(f"{SPEEDS} has no line for {name}: python -m fer_lightning.models --markdown --measure")
        speed, side = self.speeds[name]
        size = config.paper.get("size")
        return speed * (side / size) ** 2 if side and size else speed


def read_speeds(file: Path = SPEEDS) -> dict[str, tuple[float, int | None]]:
    """Model -> training samples a second, and the side of the pictures in pixels (None: it takes no pictures)."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in file.read_text().splitlines() if "|" in line]
    speed, shape = lines[0].index("training/s"), lines[0].index("input")
    sides = {line[0]: line[shape].split("x") for line in lines[2:]}
    return {line[0]: (float(line[speed]), int(side[-1]) if (side := sides[line[0]])[-2:] == [side[-1]] * 2 else None)
            for line in lines[2:]}  # fmt: skip


def on_gpu() -> bool:
    """Whether runs are made on a GPU."""
    import torch

    return torch.cuda.is_available()


def _line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).strip()


def run_cell(cell: Cell, runs: Path) -> None:
    """Run a cell, or mix the runs of an ensemble's members.

    Raises:
        FERError: what `run` raises; a member is not there.
    """
    if not cell.row.members:
        from fer_lightning.run import run

        run(cell.config)
        return
    from fer_lightning.reporting.ensemble import write_ensemble

    missing = [member.row.name for member in cell.members if member.state not in ("there", "done")]
    if missing:
        raise ConfigError(f"the ensemble lacks its members {missing}")
    last = any(member.read == "last" for member in cell.members)
    cell.folder, _ = write_ensemble([member.folder for member in cell.members], cell.row.rule, runs, last=last)


def count(row: Row) -> dict[str, Any]:
    """Parameters of a row's network, with and without running statistics."""
    import torch

    from fer_lightning.models.counting import total_parameters, train_parameters
    from fer_lightning.network import build_network

    with torch.device("meta"):
        net = build_network(configure([f"experiment={row.name}"]))
    return {"row": row.row, "parameters_train": train_parameters(net), "parameters_total": total_parameters(net)}
