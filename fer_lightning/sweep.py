"""What `-m` does around the jobs: a model's own default grid, and a table of all cells at the end."""

import sys
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

MULTIRUN = ("-m", "--multirun")


def choose_grid(arguments: list[str]) -> list[str]:
    """Switch a model's default sweep off where the command line brings a grid of its own.

    `python train.py model=waspp -m` runs the model's default sweep, `... optimizer=sgd,adam -m` only what it says.

    Args:
        arguments: command line without the program's name.

    Returns:
        The arguments, with `sweep=none` added where a grid, or one job per fold, is asked for and no sweep is named,
        and with `-m` in front: Hydra refuses overrides on both sides of it.
    """
    if not any(argument in MULTIRUN for argument in arguments):
        return arguments
    others = [argument for argument in arguments if argument not in MULTIRUN]
    texts = [argument for argument in others if "=" in argument and not argument.startswith("-")]
    overrides = OverridesParser.create().parse_overrides(texts)
    named = any(override.key_or_group == "sweep" for override in overrides)
    grid = any(override.is_sweep_override() for override in overrides) or "protocol=loso_jobs" in texts
    if grid and not named:
        others.insert(others.index(texts[-1]) + 1, "sweep=none")
    return ["-m", *others]


class Summary(Callback):
    """Collects the jobs of a multirun and prints one line for each when all are done."""

    def __init__(self) -> None:
        self.cells: list[tuple[list[str], str]] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Remember what the job was and what it returned (its pooled score, or why it failed)."""
        value = job_return._return_value
        result = f"{_measure(config)} {value:.4f}" if isinstance(value, float) else "done, pool not complete yet"
        if isinstance(value, BaseException):
            result = f"failed: {(str(value) or type(value).__name__).splitlines()[0]}"
        self.cells.append((list(job_return.overrides or []), result))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print one line a cell, with the overrides in which the cells differ."""
        if not self.cells:
            return
        shared = set.intersection(*[set(overrides) for overrides, _ in self.cells]) if len(self.cells) > 1 else set()
        print("\nAll cells of this multirun (pooled scores; intervals are in each scores.json):", file=sys.stderr)
        for overrides, result in self.cells:
            print(f"  {result}   {' '.join(o for o in overrides if o not in shared)}", file=sys.stderr)


def _measure(config: DictConfig) -> str:
    """What `run` returns for this task."""
    task = config.task
    named = [name for key, name in (("num_classes", "UF1"), ("num_targets", "CCC")) if key in task]
    return " / ".join(named)
