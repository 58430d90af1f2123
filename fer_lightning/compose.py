"""The config of a command line, for the commands beside `train.py`: `data=<d> [group=option] [key=value]`."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.initialize import get_gh_backup, restore_gh_from_backup
from omegaconf import DictConfig

from fer_lightning.errors import ConfigError
from fer_lightning.resolvers import register

CONF = Path(__file__).resolve().parent.parent / "conf"


def options(group: str) -> list[str]:
    """Names that a config group offers, e.g. all data sets."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def configure(overrides: list[str]) -> DictConfig:
    """Compose the config as `train.py` does; without a model or an experiment, one that asks nothing of the data.

    Raises:
        ConfigError: an unknown group, option or key; the message lists what exists.
    """
    register()
    if not any(text.startswith(("model=", "experiment=")) for text in overrides):
        overrides = ["model=random_guess", *overrides]
    check_names(overrides)
    outer = get_gh_backup()  # inside of `train.py` Hydra is there already, and two at once it refuses
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", overrides)
    except HydraException as error:
        raise ConfigError(str(error)) from error
    finally:
        restore_gh_from_backup(outer)


def check_names(arguments: Iterable[str]) -> None:
    """Refuse an option that its group does not have, and name similar ones: Hydra would list all of 216 experiments.

    Args:
        arguments: of a command line; what is no choice of a group, or more than names, is left to Hydra.

    Raises:
        ConfigError: names the group.
    """
    for group, equal, value in (text.partition("=") for text in arguments):
        if not equal or not (CONF / group).is_dir() or not re.fullmatch(r"[\w.,-]+", value):
            continue
        known = options(group)
        for name in value.split(","):
            if name not in (*known, "null"):
                near = get_close_matches(name, known, n=5, cutoff=0.5)
                meant = f"Did you mean {', '.join(near)}?" if near else f"There are {', '.join(known)}."
                raise ConfigError(f"{group}={name}: no such file in {CONF / group}. {meant}")
