"""Search hyper-parameters on inner validation: ``python -m fer_lightning.tune data=<d> model=<m> tune=<space>``.

Optuna draws the trials; each is an ordinary run folder. The test samples are scored once, of the best trial, when the
study has ended.
"""

import argparse
import importlib.util
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from fer_lightning.compose import configure, options
from fer_lightning.errors import ConfigError, FERError, StorageError

if TYPE_CHECKING:
    from fer_lightning.tuning.study import Plan

EPILOG = """
examples:
  python -m fer_lightning.tune data=fer2013 model=resnet18 tune=optimizers --trials 50
  python -m fer_lightning.tune data=casme2 model=waspp protocol.selection=inner_val tune=learning_rate
  python -m fer_lightning.tune data=fer2013 model=resnet18 tune=optimizers --workers 4 protocol.threads=4
  python -m fer_lightning.tune --show fer2013-resnet18-optimizers

A study that was stopped or killed goes on with the same command: trials that ended are kept, one that was cut off is
run again and skips the folds (of long folds the epochs) it had finished. A larger --trials adds trials.
The objective is protocol.metric of the validation predictions, all folds pooled; test predictions are not looked at.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when the study has ended, 1 when it is not complete yet, 2 after an error, 130 when stopped."""
    parser = _parser()
    asked = parser.parse_intermixed_args(arguments)
    try:
        if importlib.util.find_spec("optuna") is None:
            raise ConfigError("this command needs Optuna: pip install 'fer_lightning[tune]'")
        if asked.show:
            return _show(asked)
        return _study(_plan(asked))
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.tune", description=__doc__.split("\n\n")[1], epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for train.py, and tune=<search space>: "
                        f"{', '.join(options('tune'))} (conf/tune), or a .yaml file")  # fmt: skip
    parser.add_argument("--trials", type=int, default=50, help="trials of the whole study (50)")
    parser.add_argument("--study", metavar="NAME", help="its name; <data>-<model>-<space> without")
    parser.add_argument("--storage", metavar="URL", help="Optuna's data base; sqlite in <runs>/tune/<study> without")
    parser.add_argument("--timeout", type=float, metavar="S", help="begin no trial after so many seconds")
    parser.add_argument("--workers", type=int, default=1, help="processes that work on the study (1)")
    parser.add_argument("--pruner", choices=("median", "hyperband", "wilcoxon", "none"), help="what ends trials early: "
                        "median where the protocol has one fold, else wilcoxon (between folds)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the sampler (0); the runs have seed=")
    parser.add_argument("--show", metavar="STUDY", help="print the trials of a study so far")
    return parser


def _plan(asked: argparse.Namespace) -> "Plan":
    """Everything that can be refused before the first trial.

    Raises:
        ConfigError: options that do not fit a study.
    """
    from fer_lightning.identity import identity, resolved
    from fer_lightning.run import check_options
    from fer_lightning.tuning.space import check_space, read_space
    from fer_lightning.tuning.study import Plan

    named = [text.split("=", 1)[1] for text in asked.overrides if text.startswith("tune=")]
    overrides = [text for text in asked.overrides if not text.startswith("tune=")]
    if len(named) != 1:
        raise ConfigError(f"name one search space, tune=<name>; there are {options('tune')}")
    config = configure(overrides)
    check_protocol(config)
    check_options(config)
    space = read_space(named[0])
    check_space(space, overrides, config)
    if asked.trials < 1 or asked.workers < 1:
        raise ConfigError("--trials and --workers must be at least 1")
    single = config.protocol.name == "holdout"
    rule = asked.pruner or ("median" if single else "wilcoxon")
    if (rule == "wilcoxon") == single and rule != "none":
        raise ConfigError(f"--pruner {rule} " + (
            "compares folds, and this protocol has one" if single else
            "compares epochs of one fold, and this protocol has several; choose wilcoxon or none"
        ))  # fmt: skip
    name = asked.study or f"{config.data.name}-{config.model_name}-{Path(named[0]).stem}"
    folder = Path(config.paths.runs) / "tune" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} could not be made ({error.strerror or error}). Make room, or choose another "
            "folder with paths.runs"
        ) from error
    return Plan(
        name=name, folder=folder, storage=asked.storage or _database(folder), overrides=overrides,
        of=json.loads(json.dumps(identity(resolved(config)) | {"search space": space})), space=space,
        epochs=config.trainer.max_epochs, metric=config.protocol.metric, trials=asked.trials, seed=asked.seed,
        pruner=rule, workers=asked.workers, until=None if asked.timeout is None else time.time() + asked.timeout,
    )  # fmt: skip


def check_protocol(config: DictConfig) -> None:
    """Refuse a study that would choose by anything but inner validation.

    Raises:
        ConfigError: the rule or option, and the reason.
    """
    from fer_lightning.reporting.validation import MEASURES

    rule, metric = config.protocol.selection, config.protocol.metric
    if rule == "oracle_test":
        raise ConfigError(
            "protocol.selection=oracle_test looks at the test samples: a study on it would fit them. "
            "Choose protocol.selection=inner_val"
        )
    if rule != "inner_val":
        raise ConfigError(
            f"protocol.selection={rule} sets no validation samples apart, and a study may not choose by test samples. "
            "Add protocol.selection=inner_val"
        )
    if metric not in MEASURES:
        raise ConfigError(f"protocol.metric={metric} cannot be a study's objective; choose one of {list(MEASURES)}")
    if config.protocol.only is not None or config.protocol.index is not None or config.run_name:
        raise ConfigError("a trial runs all folds in a folder of its own: leave protocol.only, .index and run_name out")
    if str(config.trainer.devices) not in ("1", "auto"):
        raise ConfigError("a trial is one process: leave trainer.devices out and use --workers")


def _study(plan: "Plan") -> int:
    from fer_lightning.tuning.result import finish, print_trials
    from fer_lightning.tuning.study import ended, open_study, work

    with _storage_errors(plan.storage):
        study = open_study(plan)
    print(f"Study {plan.name}: {len(ended(study))} of {plan.trials} trials are done; {plan.folder}", file=sys.stderr)
    code = 0
    try:
        if plan.workers == 1:
            work(plan)
        else:
            code = _work_side_by_side(plan)
    except (KeyboardInterrupt, SystemExit):  # Lightning turns the one into the other
        print("\nStopped. The same command goes on with the study.", file=sys.stderr)
        return 130
    done = len(ended(study))
    if done:
        print_trials(study, plan.folder)
    if done < plan.trials:
        print(f"{done} of {plan.trials} trials are done. The same command goes on; --trials {done} ends the study here "
              "and scores its best trial.", file=sys.stderr)  # fmt: skip
        return code or 1
    if not finish(study, plan.folder):
        raise ConfigError("no trial is complete: all were pruned or failed")
    return code


def _work_side_by_side(plan: "Plan") -> int:
    context = get_context("spawn")
    processes = [context.Process(target=_worker, args=(plan,), daemon=False) for _ in range(plan.workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return max(abs(process.exitcode or 0) for process in processes)


def _worker(plan: "Plan") -> None:
    from fer_lightning.tuning.study import work

    try:
        work(plan)
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _show(asked: argparse.Namespace) -> int:
    import optuna

    from fer_lightning.tuning.result import print_trials
    from fer_lightning.tuning.study import storage

    folder = Path(configure(asked.overrides).paths.runs) / "tune" / asked.show
    try:
        if asked.storage is None and not (folder / "study.db").is_file():
            raise KeyError(asked.show)
        url = asked.storage or _database(folder)
        with _storage_errors(url):
            study = optuna.load_study(study_name=asked.show, storage=storage(url))
    except KeyError as error:
        there = sorted(file.parent.name for file in folder.parent.glob("*/study.db"))
        raise ConfigError(f"{folder}: no study {asked.show}; there are {there}") from error
    print_trials(study, folder)
    ended_with = folder / "best.json"
    print(f"Ended: {ended_with}" if ended_with.is_file() else "Test scores are computed when the study has ended.")
    return 0


@contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    """Say of a data base that cannot be opened which one it is, instead of what SQLAlchemy raises.

    Raises:
        StorageError: no such kind of data base, no driver for it, or it cannot be reached.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        raise StorageError(
            f"{_without_password(url)}: the data base of the study cannot be opened ({str(error).splitlines()[0]}). "
            "Give --storage a URL such as sqlite:////folder/study.db, or leave it out"
        ) from error


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "***@", url)


def _database(folder: Path) -> str:
    return f"sqlite:///{folder.resolve() / 'study.db'}"


if __name__ == "__main__":
    sys.exit(main())
