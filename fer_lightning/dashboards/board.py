"""What a dashboard shows of a run. All of it is read from the run folder, so any finished run can be shown later.

One run folder (one cell of a table, with all its folds) is one run of the dashboard.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fer_lightning.dashboards.samples import choose
from fer_lightning.errors import PoolError
from fer_lightning.functional.frames import natural_key
from fer_lightning.reporting.pool import Pool, read_pool
from fer_lightning.reporting.rows import value_columns

#: Sample ids -> RGB pictures, uint8, ``(H, W, 3)``.
Pictures = Callable[[Sequence[str]], list[np.ndarray]]


@dataclass(frozen=True)
class Heading:
    """What is known when a run begins.

    Attributes:
        name: unlike that of other cells.
        group: runs that belong together: those of a paper's table, or of one data set, model, protocol and selection.
        tags: table and row where the config names them, data, model, protocol, selection, SYNTHETIC.
        config: resolved.
    """

    name: str
    group: str
    tags: list[str]
    config: dict[str, Any]


@dataclass(frozen=True)
class Board:
    """A finished run.

    Attributes:
        pool: its predictions.
        scores: `flat` of ``scores.json``.
        folds: one line each: fold, n and, of classes, hits and accuracy; of values, their RMSE; epoch, seconds.
        curves: fold, epoch, lr, train_loss ...; None where the run kept no curves.
        figures: the pictures of ``figures/``.
        samples: some predictions, see `samples.choose`.
        pictures: of these samples; None: not to be shown.
    """

    pool: Pool
    scores: dict[str, float | int | str]
    folds: pd.DataFrame
    curves: pd.DataFrame | None
    figures: list[Path]
    samples: pd.DataFrame
    pictures: list[np.ndarray] | None

    def epochs(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Each epoch and the mean over the folds of what was noted then."""
        if self.curves is not None:
            for epoch, line in self.curves.drop(columns="fold").groupby("epoch").mean().iterrows():
                yield int(epoch), line.dropna().to_dict()


def read_heading(folder: Path) -> Heading:
    """Name, group, tags and config of a run that has begun.

    Raises:
        PoolError: this is no run folder.
    """
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text())
        synthetic = json.loads((folder / "run.json").read_text())["synthetic"]
    except FileNotFoundError as error:
        raise PoolError(f"{error.filename}: not found. Is {folder} the folder of a run that has begun?") from error
    protocol = config["protocol"]
    what = [config["data"]["name"], config["model_name"], protocol["name"], protocol["selection"]]
    paper = [str(config[key]) for key in ("table", "row") if config.get(key)]
    tags = dict.fromkeys([*paper, *what, *["SYNTHETIC"] * synthetic])
    return Heading(
        name=str(config["run_name"] or " ".join([*(paper or [what[1], "on", what[0]]), folder.name])),
        group=str(config.get("table") or " ".join(what)),
        tags=[tag[:64] for tag in tags],  # W&B takes no longer ones
        config=config,
    )


def read_board(folder: Path, samples: int, pictures: Pictures | None) -> Board:
    """Everything that is shown of a finished run.

    Args:
        folder: the run folder.
        samples: how many samples of a class to show that were recognised, and as many that were not.
        pictures: makes their pictures; None: show none.

    Raises:
        PoolError: the run is not complete, contradicts itself, or has not been scored.
    """
    pool = read_pool(folder)
    file = folder / "scores.json"
    if not file.is_file():
        raise PoolError(f"{file}: not found. Score the run first: python -m fer_lightning.score --figures {folder}")
    chosen = choose(pool, samples)
    return Board(
        pool=pool,
        scores=flat(json.loads(file.read_text())),
        folds=_folds(pool),
        curves=_curves(folder),
        figures=sorted((folder / "figures").glob("*.png")),
        samples=chosen,
        pictures=None if pictures is None else pictures(chosen["sample_id"].tolist()),
    )


def flat(scores: dict[str, Any], above: str = "") -> dict[str, float | int | str]:
    """Scores under one name each: uf1, uf1_low and uf1_high (its 95 % interval), parts/samm/uf1 ...

    Lists become text; tables (the confusion matrix) and what is null are left out.
    """
    found: dict[str, float | int | str] = {}
    for key, value in scores.items():
        if isinstance(value, dict):
            found |= flat(value, f"{above}{key}/")
        elif key.endswith("_ci95") and value:
            name = above + key.removesuffix("_ci95")
            found |= {f"{name}_low": value[0], f"{name}_high": value[1]}
        elif isinstance(value, list):
            if value and not isinstance(value[0], list):
                found[above + key] = ", ".join(map(str, value))
        elif value is not None:
            found[above + key] = value
    return found


def thinned(curves: pd.DataFrame, lines: int = 10_000) -> pd.DataFrame:
    """Every k-th epoch and the last of each fold, so that about `lines` are left: a W&B chart shows no more."""
    every = -(-len(curves) // lines)
    last = curves.groupby("fold")["epoch"].transform("max")
    return curves[(curves["epoch"] % every == 0) | (curves["epoch"] == last)]


def _folds(pool: Pool) -> pd.DataFrame:
    table = pool.labelled().table if pool.classes else pool.table
    made = pd.DataFrame({"fold": table["fold"], "n": 1})
    if pool.classes:
        made["hits"] = (table["label"] == table["predicted"]).astype(int)
    for name, predicted in zip(pool.targets, value_columns(pool.targets), strict=True):
        made[f"rmse_{name}"] = (table[name] - table[predicted]) ** 2
    sums = made.groupby("fold").agg({c: "mean" if c.startswith("rmse_") else "sum" for c in made.columns[1:]})
    if pool.classes:
        sums["accuracy"] = sums["hits"] / sums["n"]
    for name in pool.targets:
        sums[f"rmse_{name}"] **= 0.5
    facts = pd.DataFrame(pool.folds)[["fold", "epoch", "seconds"]]  # in natural order of the folds
    return facts[["fold"]].merge(sums.reset_index(), on="fold").merge(facts, on="fold")


def _curves(folder: Path) -> pd.DataFrame | None:
    files = sorted((folder / "curves").glob("[!.]*.csv"), key=lambda file: natural_key(file.stem))
    if not files:
        return None
    both = pd.concat([pd.read_csv(file).assign(fold=file.stem) for file in files], ignore_index=True)
    return both[["fold", *both.columns.drop("fold")]]
