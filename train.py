"""Train and score a model: `python train.py model=<m> data=<d> [group=option] [key=value] [-m]`.

Heavy packages are imported inside, so `--help` and a misspelt name answer at once.
"""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from fer_lightning.compose import check_names
from fer_lightning.errors import ConfigError, FERError
from fer_lightning.folded_help import folded_help
from fer_lightning.launching import check_launcher
from fer_lightning.resolvers import register
from fer_lightning.sweep import choose_grid

register()
told: set[str] = set()  # messages printed so far: a sweep without data says why once, not once a cell


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    """Run one cell; returns its pooled UF1, which a sweep can maximise."""
    from fer_lightning.protocols.team import follow, met
    from fer_lightning.run import run

    try:
        with met(cfg) as leads:
            return run(cfg) if leads else follow()
    except (FERError, InstantiationException) as error:
        message = _said(error)
        print("the same error again" if message in told else f"\n{message}", file=sys.stderr)
        told.add(message)
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            # The sweep goes on with the other cells and ends with a non-zero exit code.
            raise error.with_traceback(None) from None
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as stopped:
        code = _exit_code(stopped)
        if code is None:
            raise
        print("\nstopped: finished folds are kept, the same command goes on", file=sys.stderr)
        sys.exit(code)


def _exit_code(stopped: KeyboardInterrupt | SystemExit) -> int | None:
    """130 after Ctrl-C, 143 after SIGTERM, None of any other exit."""
    from pytorch_lightning.utilities.exceptions import SIGTERMException  # a SystemExit without a code

    if isinstance(stopped, SIGTERMException):
        return 143
    # Lightning makes an exit with 1 of Ctrl-C
    return 130 if isinstance(stopped, KeyboardInterrupt) or stopped.code == 1 else None


def _said(error: FERError | InstantiationException) -> str:
    """The error in words; of one inside of what Hydra was making, that one and the key that says what to make."""
    if isinstance(error, FERError):
        return f"{type(error).__name__}: {error}"
    cause = error.__cause__ or error
    key = str(error).rpartition("full_key: ")[2] if "full_key: " in str(error) else ""
    return f"{'' if isinstance(cause, FERError) else 'ConfigError: '}{type(cause).__name__}: {cause}" + (
        f" (in {key})" if key else ""
    )


if __name__ == "__main__":
    try:
        check_launcher(sys.argv[1:])
        sys.argv[1:] = choose_grid(sys.argv[1:])
        check_names(sys.argv[1:])
    except ConfigError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
    if {"--help", "-h"} & set(sys.argv):
        folded_help(main)
    else:
        main()
