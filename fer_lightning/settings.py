"""Numbers and switches of the config: of the right kind and in their range, before any file is read."""

import math
from pathlib import PurePath
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

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
KINDS = {int: "a whole number", float: "a number"}


def check_settings(cfg: DictConfig) -> None:
    """Refuse values that would fail deep inside of a library, or that would do nothing and be kept as if they had.

    Raises:
        ConfigError: names the key, what was found and what can be said.
    """
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
    name = cfg.run_name
    if name and (PurePath(str(name)).is_absolute() or ".." in PurePath(str(name)).parts):
        raise ConfigError(f"run_name={name}: expected a folder below paths.runs, without .. and not from the root")
    if cfg.before is not None and not OmegaConf.is_dict(cfg.before):
        raise ConfigError(f"before={cfg.before}: expected overrides in braces, such as 'before={{model: vggnet}}'")


def _is(value: Any, kind: type) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole or (kind is float and isinstance(value, float) and math.isfinite(value))
