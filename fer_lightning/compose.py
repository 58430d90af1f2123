"""The config of a command line, for the commands beside `train.py`: `data=<d> [group=option] [key=value]`."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
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
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", overrides)
    except HydraException as error:
        raise ConfigError(str(error)) from error
