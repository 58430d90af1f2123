"""Search spaces: ``conf/tune/<name>.yaml``.

::

    optimizer.lr: {low: 1e-5, high: 1e-1, log: true}      # a range; of whole numbers where low and high are whole
    data.batch_size: {choices: [16, 32, 64]}
    optimizer:
      choices:                                            # each choice may bring entries of its own
        sgd: {optimizer.momentum: {choices: [0.9, 0.99]}}
        adam: {}
"""

from pathlib import Path
from typing import Any, Protocol

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from fer_lightning.compose import CONF, configure, options
from fer_lightning.errors import ConfigError

Space = dict[str, dict[str, Any]]
#: Keys that change what is measured, on which samples, or where it is kept: trials would not be comparable.
FIXED = ("data", "task", "protocol", "seed", "run_name", "paths", "launcher", "logger", "sweep", "tiny", "debug")
FIXED_BELOW = (
    "protocol.", "paths.", "logger.", "launcher.", "task.num_", "data.classes", "data.targets", "data.relabel",
    "data.where", "data.root", "data.name", "data.builder", "data.tiny",
)  # fmt: skip
RANGE = {"low", "high", "log", "step"}


class Asked(Protocol):
    """What of an Optuna trial is used here."""

    def suggest_categorical(self, name: str, choices: list) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float: ...


def read_space(name: str) -> Space:
    """The entries of a search space; `name` is that of a file in conf/tune, or the path of a YAML file.

    Raises:
        ConfigError: there is no such file, or it is not a mapping.
    """
    file = Path(name) if name.endswith((".yaml", ".yml")) else CONF / "tune" / f"{name}.yaml"
    if not file.is_file():
        raise ConfigError(f"tune={name}: no such search space; there are {options('tune')}, or name a .yaml file")
    space = OmegaConf.to_container(OmegaConf.load(file))
    if not isinstance(space, dict) or not space:
        raise ConfigError(f"{file}: expected entries like `optimizer.lr: {{low: 1e-5, high: 1e-1, log: true}}`")
    return space


def check_space(space: Space, overrides: list[str], config: DictConfig | None = None) -> None:
    """Refuse a space that does not fit the config of the command line.

    Args:
        space: see `read_space`.
        overrides: of the command line.
        config: what they compose to, where it is known.

    Raises:
        ConfigError: names the key, what is wrong with it and what there is.
    """
    config = config or configure(overrides)
    given = {text.split("=", 1)[0].lstrip("+~") for text in overrides}
    for key, entry in space.items():
        if key in FIXED or key.startswith(FIXED_BELOW):
            raise ConfigError(f"{key} cannot be searched: trials that differ in it are not comparable on validation")
        if key in given:
            raise ConfigError(f"{key} is in the search space and on the command line; leave it out of one of them")
        _check_entry(key, entry)
        _check_key(key, entry, config)
        for choice in entry.get("choices", ()):
            try:
                deeper = [*overrides, text(key, choice)]
                chosen = configure(deeper)
            except (ConfigError, HydraException) as error:
                raise ConfigError(f"{key}: {choice!r} is no value of it: {error}") from error
            check_space(_branch(entry, choice), deeper, chosen)


def _check_entry(key: str, entry: Any) -> None:
    form = "expected {low: , high: [, log: true] [, step: ]} or {choices: [...]}"
    if not isinstance(entry, dict) or not (set(entry) == {"choices"} or {"low", "high"} <= set(entry) <= RANGE):
        raise ConfigError(f"{key}: {form}, found {entry}")
    if "choices" in entry:
        if not entry["choices"] or not all(isinstance(c, str | int | float | None) for c in entry["choices"]):
            raise ConfigError(f"{key}: choices must be texts, numbers, true, false or null, found {entry['choices']}")
        return
    low, high, step = entry["low"], entry["high"], entry.get("step")
    if not all(isinstance(value, int | float) for value in (low, high)) or not low < high:
        raise ConfigError(f"{key}: low must be a number below high, found {low!r} and {high!r}")
    if entry.get("log") and (low <= 0 or step):
        raise ConfigError(f"{key}: log needs low > 0 and no step, found low {low} and step {step}")


def _check_key(key: str, entry: dict[str, Any], config: DictConfig) -> None:
    if (CONF / key).is_dir():
        unknown = [name for name in entry.get("choices", [None]) if name not in options(key)]
        if unknown:
            raise ConfigError(f"{key} has no option {unknown}; choose from {options(key)}")
        return
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if not isinstance(node, DictConfig) or leaf not in node:
        known = sorted(f"{parent}.{name}" for name in node) if isinstance(node, DictConfig) else sorted(config)
        raise ConfigError(f"{key} is no key of this config; there are {known}")


def suggest(trial: Asked, space: Space, where: str = "") -> dict[str, Any]:
    """Ask for a value of every entry, and of those that the choices bring.

    Returns:
        key -> value. The trial knows an entry of a choice as ``optimizer.lr (optimizer=sgd)``: what is learnt about
        the learning rate of one optimizer says nothing about another's.
    """
    found: dict[str, Any] = {}
    for key, entry in space.items():
        if "choices" in entry:
            found[key] = trial.suggest_categorical(key + where, list(entry["choices"]))
            found |= suggest(trial, _branch(entry, found[key]), f" ({key}={found[key]})")
            continue
        low, high, log, step = entry["low"], entry["high"], bool(entry.get("log")), entry.get("step")
        if isinstance(low, int) and isinstance(high, int):
            found[key] = trial.suggest_int(key + where, low, high, step=step or 1, log=log)
        else:
            found[key] = trial.suggest_float(key + where, low, high, step=step, log=log)
    return found


def _branch(entry: dict[str, Any], choice: Any) -> Space:
    choices = entry["choices"]
    return (choices[choice] or {}) if isinstance(choices, dict) else {}


def text(key: str, value: Any) -> str:
    """The override ``key=value`` of the command line."""
    plain = {None: "null", True: "true", False: "false"}
    return f"{key}={plain[value] if value is None or isinstance(value, bool) else value}"
