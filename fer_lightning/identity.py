"""What makes a run this run: the config less what cannot change a result."""

import hashlib
import json
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fer_lightning.errors import ConfigError
from fer_lightning.files import write_atomically

#: Keys that say where and how fast, not what. They may differ between two goes at the same run.
VOLATILE = (
    "paths", "logger", "launcher", "run_name", "data.root", "data.num_workers", "data.tiny", "protocol.workers",
    "protocol.gpus", "protocol.only", "protocol.index", "trainer.accelerator", "trainer.devices", "trainer.num_nodes",
    "trainer.checkpoint_every", "trainer.checkpoint_minutes", "table", "row", "budget", "ensemble",
)  # fmt: skip
#: Networks whose config has no `sweep` also when they are run by themselves: they name a grid (conf/model), which sets
#: no such key. Folders of committed runs are named accordingly; the list is closed: no new network belongs here.
WITHOUT_SWEEP = ("daspp", "dspp", "waspp", "wspp")

#: What the arrays are made of, and how they are served.
NOT_OF_THE_ROWS = ("recipe", "channels", "pixel_range", "batch_size", "num_workers", "sampling", "spotter")


def resolved(cfg: DictConfig) -> dict:
    """The config as plain containers with every interpolation resolved."""
    return OmegaConf.to_container(cfg, resolve=True)


def identity(config: dict) -> dict[str, object]:
    """Flat ``{"model.branches": 3, ...}`` of everything that can change a result.

    The grid that a run is a cell of cannot. Its key does not say whether there is one (``sweep=none`` leaves an empty
    mapping, a named grid no key), so each run has what a single command would give it.
    """
    config = {key: value for key, value in config.items() if key != "sweep"}
    if config.get("model_name") not in WITHOUT_SWEEP:
        config["sweep"] = {}
    flat = _flatten(config)
    return {k: v for k, v in flat.items() if not any(k == name or k.startswith(f"{name}.") for name in VOLATILE)}


def run_folder(cfg: DictConfig) -> Path:
    """The run folder: a function of the config, never of the clock.

    ``<paths.runs>/<data>/<model>/<protocol>-<selection>/seed<seed>-<hash>``, or ``<paths.runs>/<run_name>``.
    """
    if cfg.run_name:
        return Path(cfg.paths.runs) / str(cfg.run_name)
    text = "\n".join(f"{key}={value!r}" for key, value in sorted(identity(resolved(cfg)).items()))
    short = hashlib.sha256(text.encode()).hexdigest()[:8]
    protocol = f"{cfg.protocol.name}-{cfg.protocol.selection}"
    return Path(cfg.paths.runs) / str(cfg.data.name) / str(cfg.model_name) / protocol / f"seed{cfg.seed}-{short}"


def claim(folder: Path, cfg: DictConfig) -> None:
    """Write ``config.yaml`` into a new run folder, or make sure that an old one holds the same run.

    Raises:
        ConfigError: the folder holds a run of another config; names the keys that differ.
    """
    file = folder / "config.yaml"
    ours = resolved(cfg)
    if not file.is_file():
        write_atomically(file, OmegaConf.to_yaml(OmegaConf.create(ours)))
        return
    found, wanted = identity(saved(folder)), identity(ours)
    differ = sorted(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
    if differ:
        lines = [f"  {k}: {found.get(k, '(absent)')!r} there, {wanted.get(k, '(absent)')!r} now" for k in differ[:8]]
        more = f"\n  and {len(differ) - 8} more" if len(differ) > 8 else ""
        raise ConfigError(
            f"{folder} holds a run of another config:\n" + "\n".join(lines) + more +
            "\nChoose another run_name, leave run_name out (then each config has its own folder), or delete the folder."
        )  # fmt: skip


def saved(folder: Path) -> dict:
    """The ``config.yaml`` of a run folder.

    Raises:
        ConfigError: it cannot be read, so nobody can say which config the folder is of.
    """
    file = folder / "config.yaml"
    try:
        found = OmegaConf.to_container(OmegaConf.load(file))
        if isinstance(found, dict) and found:
            return found
        reason = f"found {str(found)[:60]}"
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
    raise ConfigError(
        f"{file}: expected the config of a run, {reason}. Put it back from a copy. Without one: where the folder has "
        "the name that its config gives it, remove the file and run the same command again, finished folds are kept; "
        "where run_name gave it, delete the folder or choose another run_name, since its folds may be of other settings"
    )


def _flatten(node: object, prefix: str = "") -> dict[str, object]:
    if isinstance(node, dict) and node:
        parts = [_flatten(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in node.items()]
        return {key: value for part in parts for key, value in part.items()}
    return {prefix: node}


def rows_of(data: DictConfig) -> str:
    """The settings of a data set that its manifest, so its rows and folds, follows from, as text."""
    about = OmegaConf.to_container(data, resolve=True)
    return json.dumps({key: value for key, value in about.items() if key not in NOT_OF_THE_ROWS}, default=str)
