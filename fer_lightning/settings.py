"""Keys, numbers and switches of the config: known, of the right kind, in their range, before any file is read."""

import inspect
import math
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import PurePath
from pydoc import ErrorDuringImport, locate
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from fer_lightning.compose import CONF
from fer_lightning.errors import ConfigError

#: Key -> kind, least and greatest value. A key that is not there, or null, is asked for elsewhere.
NUMBERS: dict[str, tuple[type, float, float]] = {
    "seed": (int, 0, 2**32 - 1),
    "trainer.max_epochs": (int, 1, math.inf),
    "trainer.accumulate_grad_batches": (int, 1, math.inf),
    "trainer.checkpoint_every": (int, 0, math.inf),
    "trainer.checkpoint_minutes": (float, 0, math.inf),
    "trainer.gradient_clip_val": (float, 0, math.inf),
    "optimizer.weight_decay": (float, 0, math.inf),
    "loss.label_smoothing": (float, 0, 1),
    "data.batch_size": (int, 1, math.inf),
    "data.num_workers": (int, 0, math.inf),
    "protocol.workers": (int, 1, math.inf),
    "protocol.threads": (int, 1, math.inf),
    "protocol.folds.k": (int, 2, math.inf),
    "protocol.oracle_every": (int, 1, math.inf),
}
SWITCHES = ("tiny", "trainer.save_weights", "trainer.channels_last", "data.keep_manifest")
LISTS = ("protocol.only", "protocol.gpus", "parts.freeze", "data.classes", "data.channels")
#: What the path of a run folder is made of, see `identity.run_folder`.
NAMES = ("data.name", "model_name", "protocol.name")
#: Node -> the keys that are read of it, "" for the whole config. A node with a `_target_` is read by what that makes.
READ: dict[str, tuple[str, ...]] = {
    "": (
        "augment", "before", "budget", "callbacks", "data", "ensemble", "launcher", "logger", "loss", "mix", "model",
        "model_name", "needs", "optimizer", "paper", "parts", "paths", "protocol", "row", "run_name", "scheduler",
        "seed", "sweep", "table", "task", "tiny", "trainer",
    ),
    "augment": ("transform", "evaluate", "views"),
    "logger": (),
    "mix": (),
    "needs": ("kind", "channels", "min_size", "small", "example"),
    "paths": ("raw", "runs", "cache"),
    "protocol": ("name", "folds", "selection", "inner_val", "metric", "oracle_every", "only", "index", "workers",
                 "gpus", "threads"),
    "scheduler": ("scheduler", "interval", "monitor", "total_steps"),
    "sweep": (),
}  # fmt: skip
#: Nodes that are read by interpolations in YAML files only, such as ${paper:size,48}.
QUOTED = ("paper", "launcher")
#: Nodes in which nobody looks for a key of another one.
ASIDE = ("paper.", "needs.", "before.", "data.expects.", "data.expects_view.")
#: Keys that are taken out before the target of the node sees the others.
OURS = {
    "model": ("weights", "module", "module_after"),
    "trainer": ("checkpoint_every", "checkpoint_minutes", "save_weights", "channels_last", "compile"),
}
REFERENCE = re.compile(r"\$\{(paper:)?(?:oc\.select:)?([A-Za-z_][\w.]*)")
KINDS = {int: "a whole number", float: "a number"}


def check_settings(cfg: DictConfig) -> None:
    """Refuse values that would fail deep inside of a library, or that would do nothing and be kept as if they had.

    Raises:
        ConfigError: names the key, what was found and what can be said.
    """
    check_keys(cfg)
    for key, (kind, least, most) in NUMBERS.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and not (_is(value, kind) and least <= value <= most):
            span = f"from {least:g}" + (f" to {most:g}" if most < math.inf else "")
            raise ConfigError(f"{key}={value}: expected {KINDS[kind]} {span}")
    rate = OmegaConf.select(cfg, "optimizer.lr")
    if rate is not None and not (_is(rate, float) and 0 < rate < math.inf):
        raise ConfigError(f"optimizer.lr={rate}: expected a number above 0, such as 0.001")
    for key in SWITCHES:
        value = OmegaConf.select(cfg, key)
        if value is not None and not isinstance(value, bool):
            raise ConfigError(f"{key}={value}: expected true or false")
    for key in LISTS:
        value = OmegaConf.select(cfg, key)
        if value is not None and not isinstance(value, ListConfig):
            raise ConfigError(f"{key}={value}: expected a list; with one element {key}=[{value}]")
    check_folder_names(cfg)
    if cfg.before is not None and not OmegaConf.is_dict(cfg.before):
        raise ConfigError(f"before={cfg.before}: expected overrides in braces, such as 'before={{model: vggnet}}'")


def check_folder_names(cfg: DictConfig) -> None:
    """Refuse names that would put the run folder outside of paths.runs, or where `report` does not look.

    Raises:
        ConfigError: names the key, what was found and what can be said.
    """
    for key in NAMES:
        name = OmegaConf.select(cfg, key)
        text = str(name)
        plain = isinstance(name, str | int | float) and text.isprintable() and not {"/", "\\"} & set(text)
        if not plain or not text or text.startswith("."):
            raise ConfigError(
                f"{key}={' '.join(text.split())}: expected a plain folder name, a part of <paths.runs>/<data>/<model>/"
                "<protocol>: without /, \\ and line breaks, and with no dot in front"
            )
    name = cfg.run_name
    if name and (PurePath(str(name)).is_absolute() or ".." in PurePath(str(name)).parts):
        raise ConfigError(f"run_name={name}: expected a folder below paths.runs, without .. and not from the root")


def check_keys(cfg: DictConfig) -> None:
    """Refuse a key that nothing reads, as `+foo=1` or a misspelt line of a YAML file brings it.

    Hydra itself refuses keys that are only changed (`foo=1`). What one adds is known by `READ`, by the signature of the
    node's `_target_`, or because some `${...}` reads it, in the config or in a file of conf/. Mappings that a
    `_target_` is given, such as data.where, are its own affair.

    Raises:
        ConfigError: names the key and similar ones.
    """
    whole = OmegaConf.to_container(cfg, resolve=False)
    quoted = _references(OmegaConf.to_yaml(cfg)) | _conf_references()
    for path, node in _nodes(whole):
        known = _known(path, node)
        for key in () if known is None else map(str, node):
            name = f"{path}.{key}".lstrip(".")
            if key in known or key.startswith("_") or ("_target_" not in node and _quotes(quoted, name)):
                continue
            raise ConfigError(f"{name}: nothing reads this key. {_similar(whole, path, key, known)}")
    for path, value in _leaves({name: whole[name] for name in QUOTED if whole.get(name)}):
        if not _quotes(quoted, path):
            there = [place for place in sorted(quoted) if place.startswith(path.partition(".")[0] + ".")]
            near = _like(path.rpartition(".")[2], there)
            meant = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(there)}"
            raise ConfigError(f"{path}={value}: nothing reads this key. {meant}")
    for name, node in (whole.get("callbacks") or {}).items():
        if not isinstance(node, dict) or "_target_" not in node:
            raise ConfigError(f"callbacks.{name}: expected a node with _target_, the class to make, found {node}")


def _known(path: str, node: dict) -> tuple[str, ...] | None:
    """The keys that a node may have; None where all are welcome.

    Raises:
        ConfigError: its `_target_` is not there or cannot be imported.
    """
    target = node.get("_target_")
    if not isinstance(target, str) or "${" in target:
        return READ.get(path)
    try:
        found = locate(target)
    except ErrorDuringImport as error:
        raise ConfigError(f"{path}._target_={target} cannot be imported: {' '.join(str(error).split())}") from error
    if not callable(found):
        raise ConfigError(f"{path}._target_={target}: expected a class or function, found no such name")
    try:
        accepted = inspect.signature(found).parameters
    except ValueError:  # a class written in C may have none; what makes it says what it does not take
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values()):
        return None
    return (*accepted, *OURS.get(path, ()))


def _nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict]]:
    """All mappings at `node` and below it with their places. `before` is a command line of its own."""
    if isinstance(node, dict):
        yield path, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        place = f"{path}.{key}".lstrip(".")
        if place not in ("before", "ensemble"):
            yield from _nodes(child, place)


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All places below `node` that hold no mapping, with what they hold."""
    if not isinstance(node, dict):
        yield path, node
        return
    for key, child in node.items():
        yield from _leaves(child, f"{path}.{key}".lstrip("."))


def _references(text: str) -> set[str]:
    """What the interpolations of a YAML text read: ``{"data.classes", "paper.lr.adam", ...}``."""
    return {("paper." if paper else "") + place for paper, place in REFERENCE.findall(text)}


@cache
def _conf_references() -> set[str]:
    """What the files of conf/ read: also options that are not chosen, as a model's paper speaks to all data sets."""
    return _references("\n".join(file.read_text() for file in sorted(CONF.rglob("*.yaml"))))


def _quotes(quoted: set[str], path: str) -> bool:
    """Whether an interpolation reads this place, something below it, or a node that it lies in."""
    return any(f"{path}.".startswith(f"{place}.") or place.startswith(f"{path}.") for place in quoted)


def _similar(whole: dict, path: str, key: str, known: tuple[str, ...]) -> str:
    """Keys that may have been meant: beside it, or where there are none, of the same or a like name elsewhere."""
    wrong = f"{path}.{key}".lstrip(".")
    beside = [f"{path}.{name}".lstrip(".") for name in known]
    places = [place for place, _ in _leaves(whole) if not f"{place}.".startswith((f"{wrong}.", *ASIDE))]
    near = (_like(key, beside) if path else []) or _like(key, [*beside, *places])
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"There are {', '.join(beside)}" if beside else f"{path} has none"


def _like(key: str, places: list[str]) -> list[str]:
    """Up to four places whose last name is like `key`, the likest first."""
    names = get_close_matches(key, dict.fromkeys(place.rpartition(".")[2] for place in places), n=3, cutoff=0.6)
    return [place for name in names for place in dict.fromkeys(places) if place.rpartition(".")[2] == name][:4]


def _is(value: Any, kind: type) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole or (kind is float and isinstance(value, float) and math.isfinite(value))
