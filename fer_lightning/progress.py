"""Progress for people: folds and epochs with time left, on a terminal as bars, in a log file as lines."""

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

#: Seconds between two lines where the output is no terminal.
LINE_EVERY = 15.0


class FoldProgress:
    """Shows how many folds are done and how far the running ones are.

    Use as a context manager; feed it the lines that `run_fold` tells and `fold_done` for each finished fold.

    Args:
        folds: number of folds in all.
        done: number of folds that were finished before.
        listen: also told every line.
    """

    def __init__(self, folds: int, done: int, listen: Callable[[dict[str, Any]], None] = lambda line: None) -> None:
        self.folds, self.done_before, self.done, self.listen = folds, done, done, listen
        self.console = Console(stderr=True)
        self.started = self.last_line = time.monotonic()
        self.running: dict[str, dict[str, Any]] = {}
        self.bars: dict[str, TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            console=self.console, disable=not self.console.is_terminal, transient=True,
        )  # fmt: skip
        self.total = self.progress.add_task("folds", total=folds, completed=done, note="")

    def __enter__(self) -> "FoldProgress":
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def epoch(self, line: dict[str, Any]) -> None:
        """One epoch begins: ``{"fold", "epoch" (1-based, of the last finished one), "epochs", "train_loss", ...}``."""
        fold = line["fold"]
        self.running[fold] = line
        self.listen(line)
        if fold not in self.bars:
            self.bars[fold] = self.progress.add_task(f"  {fold}", total=line["epochs"], note="")
        note = f"loss {line['train_loss']:.3f}" if "train_loss" in line else ""
        note += f"  val accuracy {line['val_accuracy']:.3f}" if "val_accuracy" in line else ""
        self.progress.update(self.bars[fold], completed=line["epoch"], note=note)
        self.progress.update(self.total, completed=self.done + self._fraction())
        self._line(note)

    def fold_done(self, fold: str) -> None:
        """A fold's predictions are written."""
        self.done += 1
        self.running.pop(fold, None)
        if fold in self.bars:
            self.progress.remove_task(self.bars.pop(fold))
        self.progress.update(self.total, completed=self.done + self._fraction())
        self._line("", now=self.done == self.folds)

    def _fraction(self) -> float:
        return sum(line["epoch"] / line["epochs"] for line in self.running.values())

    def _line(self, note: str, now: bool = False) -> None:
        """Where there is no terminal: a line now and then instead of a bar."""
        moment = time.monotonic()
        if self.console.is_terminal or not (now or moment - self.last_line >= LINE_EVERY):
            return
        self.last_line = moment
        passed, finished = moment - self.started, self.done - self.done_before + self._fraction()
        left = passed / finished * (self.folds - self.done - self._fraction()) if finished > 0 else float("nan")
        epochs = ", ".join(f"{name} epoch {line['epoch']}/{line['epochs']}" for name, line in self.running.items())
        print(f"folds {self.done}/{self.folds}  {_time(passed)} passed, {_time(left)} left  {epochs}  {note}".rstrip(),
              file=sys.stderr, flush=True)  # fmt: skip


def _time(seconds: float) -> str:
    if seconds != seconds:
        return "?"
    return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"


class CacheProgress:
    """Progress of making arrays from raw files; shows nothing when the cache is there already.

    Called with (rows done, rows in all); the first call may say that rows were done before. A smaller number than the
    last one begins another round (apex spotting before the flow).
    """

    def __init__(self, name: str) -> None:
        self.name, self.progress, self.task = name, None, None
        self.console = Console(stderr=True)
        self.done: int | None = None

    def __call__(self, done: int, total: int) -> None:
        moment = time.monotonic()
        if self.done is None or done < self.done:
            self.before, self.started, self.last_line = done, moment, moment
            self.close()
        self.done = done
        if self.console.is_terminal:
            if self.progress is None:
                self.progress = Progress(
                    TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                    TextColumn("left"), TimeRemainingColumn(), console=self.console, transient=True,
                )  # fmt: skip
                self.task = self.progress.add_task(f"preparing {self.name}", total=total)
                self.progress.start()
            self.progress.update(self.task, completed=done)
        elif done == total or moment - self.last_line >= LINE_EVERY:
            self.last_line = moment
            passed, made = moment - self.started, done - self.before
            left = _time(passed / made * (total - done)) if made else "?"
            print(f"preparing {self.name}: {done}/{total}  {_time(passed)} passed, {left} left",
                  file=sys.stderr, flush=True)  # fmt: skip

    def close(self) -> None:
        """Take the bar away."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
