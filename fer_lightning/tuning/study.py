"""Trials of a study: asked for under a lock, run as ordinary run folders, judged by validation predictions alone.

The objective is `protocol.metric` of all validation predictions of the run (several folds pooled). Trials do predict
their test samples, as every run does; those files are not read and no score is made of them (`run(..., score=False)`).
"""

import contextlib
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, Trial, TrialState

from fer_lightning.compose import configure
from fer_lightning.errors import ConfigError, FERError
from fer_lightning.identity import run_folder
from fer_lightning.reporting.validation import validation_score
from fer_lightning.run import run
from fer_lightning.tuning.pruning import Watch, pruner
from fer_lightning.tuning.space import Space, suggest, text

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
#: Trials that may fail before any has succeeded: then it is the command that is wrong.
FIRST = 3


@dataclass(frozen=True)
class Plan:
    """What a study is asked for.

    Attributes:
        name: of the study.
        folder: ``<runs>/tune/<name>``.
        storage: Optuna's URL of the data base.
        overrides: of the command line, without the search space.
        of: what is searched: the identity of their config, and the space.
        epochs: `trainer.max_epochs`.
        space: see `tuning.space`.
        metric: `protocol.metric`.
        trials: number of trials of the whole study, those of earlier calls among them.
        seed: of the sampler.
        pruner: median, hyperband, wilcoxon or none.
        workers: processes on this study.
        until: seconds since the epoch after which no trial begins; None: no end.
    """

    name: str
    folder: Path
    storage: str
    overrides: list[str]
    of: dict[str, Any]
    epochs: int
    space: Space
    metric: str
    trials: int
    seed: int
    pruner: str
    workers: int
    until: float | None


def open_study(plan: Plan) -> optuna.Study:
    """The study, made where it is not there.

    Raises:
        ConfigError: a study of this name searches something else; names what differs.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    study = optuna.create_study(
        storage=storage(plan.storage), study_name=plan.name, direction="maximize", load_if_exists=True,
        pruner=pruner(plan.pruner, plan.epochs),
    )  # fmt: skip
    found = study.user_attrs.get("of")
    if found is None:
        study.set_user_attr("of", plan.of)
        study.set_user_attr("metric", plan.metric)
    elif found != plan.of:
        ours = plan.of
        differ = sorted(key for key in found.keys() | ours.keys() if found.get(key) != ours.get(key))
        lines = [f"  {key}: {found.get(key, '(absent)')} there, {ours.get(key, '(absent)')} now" for key in differ[:8]]
        raise ConfigError(f"study {plan.name} searches something else:\n" + "\n".join(lines) + "\nChoose another "
                          "--study, or the options with which it began.")  # fmt: skip
    return study


def storage(url: str) -> optuna.storages.RDBStorage:
    """Optuna's storage; sqlite waits for other processes that write."""
    patient = {"connect_args": {"timeout": 120}} if url.startswith("sqlite") else {}
    return optuna.storages.RDBStorage(url, engine_kwargs=patient)


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: running or ended, without those whose process was killed (they are asked again)."""
    killed = set(study.user_attrs.get("killed", []))
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state is not TrialState.WAITING and trial.number not in killed]


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count and run no more."""
    return [trial for trial in counted(study) if trial.state in ENDED]


def work(plan: Plan) -> None:
    """Run trials until the study has as many as it was asked for; several processes may do this at once.

    Raises:
        FERError: what no other trial could do better: data that is missing, a full disk, or first trials that all fail.
    """
    study = open_study(plan)
    began, before, echo = time.time(), len(ended(study)), sys.stderr
    while plan.until is None or time.time() < plan.until:
        asked = _ask(study, plan)
        if asked is None:
            return
        trial, lock = asked
        try:
            _run(study, trial, plan, echo)
            _tell(study, trial.number, plan, began, before, echo)
        finally:
            lock.release()
        _demand_some_success(study)


def _ask(study: optuna.Study, plan: Plan) -> tuple[Trial, FileLock] | None:
    """The next trial and the lock that says that its process lives; None when there are enough."""
    with FileLock(plan.folder / "ask.lock"):
        _ask_killed_again(study, plan.folder)
        number = len(counted(study))
        if number >= plan.trials:
            return None
        # Seeded trial by trial: a study that was stopped draws on as if it had not been.
        seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=plan.workers > 1)
        trial = study.ask()
        lock = _lock(plan.folder, trial.number)
        lock.acquire()
        return trial, lock


def _lock(folder: Path, number: int) -> FileLock:
    file = folder / "running" / f"{number}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file, timeout=0)


def _ask_killed_again(study: optuna.Study, folder: Path) -> None:
    """A running trial whose lock nobody holds was killed: it failed, and its parameters are asked again."""
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        try:
            with _lock(folder, trial.number):
                study.set_user_attr("killed", [*study.user_attrs.get("killed", []), trial.number])
                study.tell(trial.number, state=TrialState.FAIL)
                if trial.params:
                    study.enqueue_trial(trial.params)
        except Timeout:
            continue  # its process lives


def _run(study: optuna.Study, trial: Trial, plan: Plan, echo: TextIO) -> None:
    """Run one trial and tell the study how it ended. What the run prints goes to ``logs/<number>.log``."""
    overrides = [*plan.overrides, *(text(key, value) for key, value in suggest(trial, plan.space).items())]
    trial.set_user_attr("overrides", overrides)
    log = plan.folder / "logs" / f"{trial.number}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            config = configure(overrides)
            folder = run_folder(config)
            trial.set_user_attr("folder", str(folder))
            run(config, Watch(trial, folder, config.protocol.name == "holdout", plan.metric, echo), score=False)
            value = validation_score(folder, plan.metric)
            if value is None or value != value:
                raise ConfigError(f"{folder}: {plan.metric} of its validation predictions is {value}")
            study.tell(trial, value)
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except Exception as error:
            traceback.print_exc()
            trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
            study.tell(trial, state=TrialState.FAIL)
            if isinstance(error, FERError) and not isinstance(error, ConfigError):
                raise


def _tell(study: optuna.Study, number: int, plan: Plan, began: float, before: int, echo: TextIO) -> None:
    """One line for a trial that ended, with the best one so far and the time that is left."""
    done, trial = len(ended(study)), study.get_trials(deepcopy=False)[number]
    word = {TrialState.PRUNED: "pruned", TrialState.FAIL: f"failed ({trial.user_attrs.get('reason')})"}.get(trial.state)
    word = word or f"{plan.metric} {trial.value:.4f}"
    top = best(study)
    passed = time.time() - began
    left = passed / max(done - before, 1) * max(plan.trials - done, 0)
    clock = [timedelta(seconds=round(seconds)) for seconds in (passed, left)]
    own = " ".join(trial.user_attrs["overrides"][len(plan.overrides) :])
    print(f"trial {number}: {word} (best {f'{top.value:.4f}, trial {top.number}' if top else 'none yet'})  {own}  "
          f"{done} of {plan.trials} done, {clock[0]} passed, about {clock[1]} left", file=echo, flush=True)  # fmt: skip


def best(study: optuna.Study) -> FrozenTrial | None:
    """The complete trial with the highest value, the earliest of equal ones."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return max(complete, key=lambda trial: (trial.value, -trial.number), default=None)


def _demand_some_success(study: optuna.Study) -> None:
    trials = ended(study)
    if len(trials) >= FIRST and all(trial.state is TrialState.FAIL for trial in trials):
        reasons: dict[str, Any] = dict.fromkeys(str(trial.user_attrs.get("reason")) for trial in trials)
        raise ConfigError("all trials failed:\n  " + "\n  ".join(reasons))
