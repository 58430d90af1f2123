"""Show finished runs: ``python -m fer_lightning.dashboards RUN [RUN ...] --logger wandb|tensorboard``.

Also those that were trained without a logger. Pictures of samples need the raw data, or the cache made of them.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fer_lightning.compose import CONF, options
from fer_lightning.dashboards.board import Pictures
from fer_lightning.dashboards.samples import pictures
from fer_lightning.dashboards.watch import publish
from fer_lightning.errors import FERError, PoolError
from fer_lightning.resolvers import register


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish each run folder; return 0, or 2 when one of them cannot be shown."""
    parser = argparse.ArgumentParser(prog="python -m fer_lightning.dashboards", description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder with scores.json")
    parser.add_argument("--logger", required=True, choices=[name for name in options("logger") if name != "none"])
    parser.add_argument("--online", action="store_true", help="wandb: upload at once; needs an account")
    parser.add_argument("--root", type=Path, help="the raw folder of the data, where it has moved")
    parser.add_argument("--pictures", action=argparse.BooleanOptionalAction, help="show pictures of samples, or not")
    given = parser.parse_args(arguments)
    register()
    cfg = OmegaConf.load(CONF / "logger" / f"{given.logger}.yaml")
    if "offline" in cfg:
        cfg.offline = not given.online
    if given.pictures is not None:
        cfg.pictures = given.pictures
    failed = False
    for folder in given.runs:
        try:
            _demand_run(folder)
            dashboard = instantiate(cfg)
            publish(dashboard, folder, _pictures(folder, given.root) if dashboard.pictures else None)
            print(folder)
        except FERError as error:
            failed = True
            print(f"error: {error}", file=sys.stderr)
    return 2 if failed else 0


def _demand_run(folder: Path) -> None:
    """Refuse what is no run folder, before its config is read.

    Raises:
        PoolError: it has no config.yaml.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        raise PoolError(f"{file}: not found. Give the folder of a finished run: it holds config.yaml and scores.json")


def _pictures(folder: Path, root: Path | None) -> Pictures | None:
    """What makes pictures from the data of this run; None where they cannot be made."""
    config = OmegaConf.load(folder / "config.yaml")
    if root is not None:
        config.data.root = str(root)
    try:
        data = instantiate(config.data)
        data.build(Path(config.paths.cache))
        data.prepare(Path(config.paths.cache))
    except (FERError, InstantiationException) as error:  # an old run may name a recipe that has another name now
        print(f"{folder}: no pictures of samples ({error})", file=sys.stderr)
        return None
    return functools.partial(pictures, data)


if __name__ == "__main__":
    sys.exit(main())
