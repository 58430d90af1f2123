"""What a launcher needs before Hydra looks for it: `-m`, its plugin, and an environment."""

import os
import secrets
from importlib import import_module

from fer_lightning.errors import ConfigError
from fer_lightning.sweep import MULTIRUN

#: Option of conf/launcher -> package that brings it, and what installs it.
PLUGINS = {
    "joblib": ("hydra_joblib_launcher", "pip install hydra-joblib-launcher"),
    "slurm": ("hydra_submitit_launcher", "pip install hydra-submitit-launcher"),
    "ray": ("hydra_ray_launcher", "pip install ray jsonschema && pip install --no-deps hydra-ray-launcher"),
}


def check_launcher(arguments: list[str]) -> None:
    """Refuse a launcher that would do nothing, or that Hydra would only say it does not know.

    Args:
        arguments: command line without the program's name.

    Raises:
        ConfigError: without -m, or the plugin is not installed.
    """
    name = next((name for name in PLUGINS if f"launcher={name}" in arguments), None)
    if name is None:
        return
    if not any(argument.startswith("-") for argument in arguments):
        raise ConfigError(f"launcher={name} starts the jobs of a multirun: put {MULTIRUN[0]} at the end of the command")
    package, command = PLUGINS[name]
    try:
        import_module(f"hydra_plugins.{package}")
    except ModuleNotFoundError:
        raise ConfigError(f"launcher={name} needs the package {package}: {command}") from None
    if name == "ray" and not any(argument.startswith("launcher.address=") for argument in arguments):
        _keep_ray_to_itself()


def _keep_ray_to_itself() -> None:
    """A token for the cluster of this multirun: Ray would write one into the home folder. And no usage statistics."""
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
