"""What a study found: its trials by validation and, when it has ended, the test scores of the best one."""

import json
import sys
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.console import Console
from rich.table import Table

from fer_lightning.compose import configure
from fer_lightning.files import write_atomically
from fer_lightning.identity import run_folder
from fer_lightning.run import run
from fer_lightning.tuning.study import best, counted, ended

#: Complete trials below which importances are noise.
ENOUGH = 10


def print_trials(study: optuna.Study, folder: Path, rows: int = 10) -> None:
    """Print the best trials and write all to ``study.csv``; validation figures only.

    Args:
        study: of Optuna.
        folder: of the study.
        rows: number of trials to print.
    """
    trials = sorted(counted(study), key=_order)
    write_atomically(folder / "study.csv", _frame(trials).to_csv(index=False, lineterminator="\n"))
    console = Console(width=None if sys.stdout.isatty() else 160)
    metric = study.user_attrs["metric"]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for header in ("trial", metric, "parameters"):
        table.add_column(header, overflow="fold")
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    for trial in complete[:rows]:
        own = " ".join(trial.user_attrs["overrides"][-len(trial.params) :])
        table.add_row(str(trial.number), f"{trial.value:.4f}", own)
    console.print(table)
    counts = [(state.name.lower(), sum(trial.state is state for trial in trials)) for state in TrialState]
    notes = [f"{len(trials)} trials: {', '.join(f'{count} {state}' for state, count in counts if count)}. "
             f"All: {folder / 'study.csv'}"]  # fmt: skip
    reasons = dict.fromkeys(trial.user_attrs["reason"] for trial in trials if "reason" in trial.user_attrs)
    notes += [f"failed: {reason}" for reason in reasons]
    weights = importances(study, complete)
    if weights:
        found = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
        notes.append(f"Share of the variance over the trials (fANOVA): {found}")
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def importances(study: optuna.Study, complete: list[FrozenTrial]) -> dict[str, float]:
    """Share of each parameter that all trials have; {} where there are too few trials or the values are all equal."""
    shared = set.intersection(*(set(trial.params) for trial in complete)) if complete else set()
    if len(complete) < ENOUGH or not shared or len({trial.value for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator, params=sorted(shared))


def finish(study: optuna.Study, folder: Path) -> bool:
    """Score the best trial of an ended study on its test samples, for the first time, and print it.

    Writes ``best.json``.

    Returns:
        False when no trial is complete.
    """
    top, number = best(study), len(ended(study))
    if top is None:
        return False
    overrides = top.user_attrs["overrides"]
    config = configure(overrides)
    print(f"\nBest trial: {top.number}, {study.user_attrs['metric']} {top.value:.4f} on validation.\n"
          f"  python train.py {' '.join(overrides)}\nIts test scores:", flush=True)  # fmt: skip
    run(config)
    seen = [*study.user_attrs.get("tested_after", []), number]
    study.set_user_attr("tested_after", sorted(set(seen)))
    print(sentence(study, top))
    found = {"trial": top.number, "metric": study.user_attrs["metric"], "value": top.value, "params": top.params,
             "overrides": overrides, "folder": str(run_folder(config)), "chosen": sentence(study, top)}  # fmt: skip
    write_atomically(folder / "best.json", json.dumps(found, indent=2) + "\n")
    return True


def sentence(study: optuna.Study, top: FrozenTrial) -> str:
    """How the best trial was chosen, for whoever prints its test score."""
    after = study.user_attrs["tested_after"]
    text = (
        f"Chosen on validation ({study.user_attrs['metric']} {top.value:.4f}) among {after[-1]} trials; "
        "the test scores of the other trials were not computed. The validation figure is the best of many and so "
        "too high; the test scores are not."
    )
    if len(after) > 1:
        text += (
            f" But test scores were already seen after {', '.join(map(str, after[:-1]))} trials of this study: if that "
            "is why it went on, they are no longer untouched."
        )
    return text


def _order(trial: FrozenTrial) -> tuple[bool, float, int]:
    complete = trial.state is TrialState.COMPLETE
    return not complete, -trial.value if complete else 0.0, trial.number


def _frame(trials: list[FrozenTrial]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for trial in trials:
        seconds = trial.duration.total_seconds() if trial.duration else None
        row = {"trial": trial.number, "state": trial.state.name.lower(), "value": trial.value, "seconds": seconds}
        attributes = {key: trial.user_attrs.get(key, "") for key in ("folder", "reason")}
        rows.append(row | trial.params | attributes)
    return pd.DataFrame(rows)
