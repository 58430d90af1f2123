"""Ending trials early: what a running trial tells its study, and which rule judges it."""

import time
from pathlib import Path
from typing import Any, TextIO

import optuna
import pandas as pd

from fer_lightning.functional.frames import natural_key
from fer_lightning.reporting.validation import score_files

#: Seconds between two lines of a running trial.
LINE_EVERY = 30.0


def pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    """The rule that ends trials early.

    Args:
        name: median (stopped where the best value so far is below the median of the earlier trials at this epoch; from
            the sixth trial on, after a fifth of the epochs), hyperband, wilcoxon (signed-rank test over folds against
            the best trial) or none.
        epochs: `trainer.max_epochs`.
    """
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 5 + 1)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs)
    if name == "wilcoxon":
        return optuna.pruners.WilcoxonPruner(p_threshold=0.1)
    return optuna.pruners.NopPruner()


class Watch:
    """Listens to a run: reports the metric of every epoch or, with several folds, of every finished fold.

    The line of the last epoch does not come here, nor does the last fold: there is nothing left to end.

    Args:
        trial: of Optuna.
        folder: the run folder.
        single: whether the protocol has one fold.
        metric: `protocol.metric`.
        echo: where a line is printed now and then.
    """

    def __init__(self, trial: optuna.Trial, folder: Path, single: bool, metric: str, echo: TextIO) -> None:
        self.trial, self.folder, self.single, self.metric, self.echo = trial, folder, single, metric, echo
        self.reported: set[str] = set()
        self.last_line = time.monotonic()

    def __call__(self, line: dict[str, Any]) -> None:
        """Takes the lines of `run_fold`.

        Raises:
            optuna.TrialPruned: the pruner ends the trial.
        """
        new = self._epoch(line) if self.single else self._folds()
        if new and self.trial.should_prune():
            raise optuna.TrialPruned
        if time.monotonic() - self.last_line >= LINE_EVERY:
            self.last_line = time.monotonic()
            found = f"  {self.metric} {line[self.metric]:.4f}" if self.metric in line else ""
            print(f"trial {self.trial.number}: fold {line['fold']} epoch {line['epoch']} of {line['epochs']}{found}",
                  file=self.echo, flush=True)  # fmt: skip

    def _epoch(self, line: dict[str, Any]) -> bool:
        if self.metric not in line:
            return False
        self.trial.report(line[self.metric], step=line["epoch"])
        return True

    def _folds(self) -> bool:
        """Report the folds whose validation predictions are there; a fold's number is its step in every trial."""
        files = [file for file in (self.folder / "validation").glob("[!.]*.csv") if file.stem not in self.reported]
        if files:
            tested = pd.read_csv(self.folder / "manifest.csv", usecols=["fold"], dtype=str, keep_default_na=False)
            names = sorted(set(tested["fold"]) - {""}, key=natural_key)
        for file in files:
            self.reported.add(file.stem)
            self.trial.report(score_files([file], self.metric), step=names.index(file.stem))
        return bool(files)
