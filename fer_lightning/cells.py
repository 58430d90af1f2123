"""A row of a paper's table with a seed at a budget, and which of several cells one run serves."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fer_lightning.identity import identity, resolved
from fer_lightning.paper_rows import Row

#: In what a run that is scored at its last epoch may differ from one that looked at the test samples on its way.
OF_THE_LOOKS = ("protocol.selection", "protocol.oracle_every")


@dataclass
class Cell:
    """One row with one seed at one budget.

    Attributes:
        row, seed, budget: which.
        asked: another data set than the row's own that was asked for, or "".
        overrides: what is said to ``train.py``.
        config: the whole config; None of an ensemble and where it could not be composed.
        folder: the run folder; of an ensemble only once it is made.
        members: cells of an ensemble.
        state: open, there, counted, lacks data, needs a GPU, only at budget (another), refused; then done or failed.
        reason: why it is not run, or what failed.
        seconds: how long it will take; None: unknown.
        measured: whether `seconds` is from an earlier run of this row.
        read: `last` where the run looks at the test samples and this cell is its last epoch, else "".
    """

    row: Row
    seed: int
    budget: str
    asked: str = ""
    overrides: list[str] = field(default_factory=list)
    config: DictConfig | None = None
    folder: Path | None = None
    members: list["Cell"] = field(default_factory=list)
    state: str = "open"
    reason: str = ""
    seconds: float | None = None
    measured: bool = False
    read: str = ""

    @property
    def command(self) -> str:
        """What runs this cell alone."""
        if self.row.members:
            return f"python -m fer_lightning.reproduce {self.row.table} --budget {self.budget} --seeds {self.seed}"
        return shlex.join(["python", "train.py", *self.overrides])

    def about(self) -> dict[str, Any]:
        """What `collect` wants to know."""
        below_runs = self.folder.parts[-2:] if self.row.members else self.folder.parts[-4:]
        return {"row": self.row.row, "seed": self.seed, "budget": self.budget, "asked": self.asked,
                "run": "/".join(below_runs), "command": self.command,
                **({"read": self.read} if self.read else {})}  # fmt: skip


def with_members(cells: Iterable[Cell]) -> list[Cell]:
    """The cells with those that they are made of, each once and before what is made of it."""
    ordered: dict[int, Cell] = {}
    for cell in cells:
        for each in (*cell.members, cell):
            ordered.setdefault(id(each), each)
    return list(ordered.values())


def distinct(cells: Iterable[Cell]) -> list[Cell]:
    """The first cell of each run folder, which rows of several tables may share; ensembles have none yet."""
    first: dict[Any, Cell] = {}
    for cell in cells:
        first.setdefault(cell.folder or (cell.row.name, cell.seed), cell)
    return list(first.values())


def share_trainings(cells: Iterable[Cell]) -> None:
    """Let one training serve a row that is scored at the last epoch and its twin that looks at the test samples.

    Looking changes nothing of the training (`TestEveryEpoch`), and its run keeps what the last epoch predicted; only a
    network that draws while it is evaluated, such as `RandomGuess`, draws otherwise then. A row whose seconds are
    printed is trained alone, for looking takes time.
    """
    cells = list(cells)
    alone = {cell.folder for cell in cells if any(metric.startswith("seconds") for metric in cell.row.metrics)}
    looking = {_training(cell): cell for cell in cells if _selection(cell) == "oracle_test"}
    for cell in cells:
        if cell.state == "open" and _selection(cell) == "last" and cell.folder not in alone:
            twin = looking.get(_training(cell))
            if twin is not None and twin.state in ("open", "there"):
                cell.read, cell.overrides, cell.config, cell.folder = "last", twin.overrides, twin.config, twin.folder
                cell.state, cell.seconds, cell.measured = twin.state, twin.seconds, twin.measured


def _selection(cell: Cell) -> str:
    return "" if cell.config is None else cell.config.protocol.selection


def _training(cell: Cell) -> tuple[tuple[str, str], ...]:
    config = identity(resolved(cell.config))
    return tuple(sorted((key, repr(value)) for key, value in config.items() if key not in OF_THE_LOOKS))
