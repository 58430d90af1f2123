"""Read one run folder for the page, and refuse what is broken, foreign or contradicts itself."""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fer_lightning.errors import PoolError
from fer_lightning.functional import continuous
from fer_lightning.functional.frames import natural_key
from fer_lightning.reporting.pool import read_pool
from fer_lightning.reporting.rows import value_columns
from fer_lightning.reporting.scores import WITH_INTERVAL, score

#: PyYAML's C parser where it was built in: ten times as fast.
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PER_CLASS = ("precision", "recall", "f1", "support")
REBUILD = "`python -m fer_lightning.score <run folder>` rebuilds scores.json"


def load(file: Path, parse: Callable[[bytes], Any]) -> Any:
    """Parse one file of a run folder.

    Raises:
        PoolError: it is missing or cannot be read.
    """
    try:
        return parse(file.read_bytes())
    except FileNotFoundError as error:
        raise PoolError(f"{file.parent.name}/{file.name} is missing") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise PoolError(f"{file.parent.name}/{file.name} cannot be read: {' '.join(str(error).split())}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """config.yaml as it is."""
    return load(folder / "config.yaml", partial(yaml.load, Loader=YAML))


def describe(config: Any, folder: Path) -> dict[str, Any]:
    """What was run, in the words of its config.

    Raises:
        PoolError: it is the config of something else.
    """
    try:
        optimizer, scheduler = config.get("optimizer") or {}, config.get("scheduler")
        return {
            "model": str(config["model_name"]),
            "data": str(config["data"]["name"]),
            "task": named(config.get("task") or {}).removesuffix("Task").lower(),
            "optimizer": named(optimizer),
            "lr": _finite(_first(optimizer, "lr")),
            "scheduler": named(scheduler.get("scheduler")) or "none" if scheduler else "",
            "protocol": str(config["protocol"]["name"]),
            "selection": str(config["protocol"]["selection"]),
            "seed": int(config["seed"]),
            "epochs": _finite((config.get("trainer") or {}).get("max_epochs")),
        }
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise PoolError(f"{folder.name}/config.yaml is not the config of a run ({error!r})") from error


def named(node: Any) -> str:
    """The class that a config node makes, with those inside it: ``Lookahead(RAdam)``; "" where it names none."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    inner = ", ".join(name for name in map(named, children) if name)
    own = str(node.get("_target_", "")).rsplit(".", 1)[-1] if isinstance(node, dict) else ""
    return f"{own}({inner})" if own and inner else own or inner


def _first(node: Any, key: str) -> float | None:
    """The number called `key` at `node` or below it."""
    if not isinstance(node, dict):
        return None
    if isinstance(node.get(key), int | float):
        return node[key]
    return next((found for child in node.values() if (found := _first(child, key)) is not None), None)


def _finite(value: Any) -> float | None:
    """The number, or None: JSON has neither nan nor inf, and one aborted run may not cost the page of all others."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def count_folds(folder: Path) -> dict[str, int | None]:
    """How many folds of an unfinished run are there, of how many (None before it has a manifest)."""
    done = sum(not file.name.startswith(".") for file in folder.glob("predictions/*.csv"))
    if not (folder / "manifest.csv").is_file():
        return {"done": done, "of": None}
    rows = load(folder / "manifest.csv", lambda content: pd.read_csv(BytesIO(content), usecols=["fold"], dtype=str))
    return {"done": done, "of": int(rows["fold"].nunique())}


def read_scores(folder: Path, cell: dict[str, Any]) -> dict[str, Any]:
    """scores.json, if it has what the page shows and is of this config.

    Raises:
        PoolError: it is broken, foreign, or of another seed or selection rule.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no score")

    scores = load(folder / "scores.json", partial(json.loads, parse_constant=refuse))
    try:
        _demand(scores)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise PoolError(f"{folder.name}/scores.json does not hold the scores of a run ({error!r})") from error
    for key in ("selection", "seed"):
        if scores[key] != cell[key]:
            raise PoolError(f"scores.json says {key} {scores[key]!r}, config.yaml {cell[key]!r}: of another run")
    return scores


def _demand(scores: dict[str, Any]) -> None:
    """Look at everything that the page computes with, so that one foreign file cannot break the page."""
    numbers = [scores["folds"], scores["seconds"]]
    if "classes" in scores:
        counts, each = scores["confusion"], scores["per_class"]
        if [len(counts), *map(len, counts), len(each)] != [len(scores["classes"])] * (len(counts) + 2):
            raise ValueError("classes, confusion and per_class do not fit")
        numbers += [*chain(*counts), *(figures[key] for figures in each.values() for key in PER_CLASS)]
        for block in (scores, *scores["parts"].values(), scores["honest"] or scores):
            numbers += _numbers(block, WITH_INTERVAL)
    if "classes" not in scores or "continuous" in scores:
        values = scores.get("continuous", scores)
        names = ["ccc", "rmse", *(f"ccc_{target}" for target in values["targets"])]
        for block in (values, *values["parts"].values(), values["honest"] or values):
            numbers += _numbers(block, names)
    wrong = [number for number in numbers if not isinstance(number, int | float)]
    made = scores["versions"] if isinstance(scores["versions"], list) else [scores["versions"]]
    if wrong or not all(isinstance(version, dict) for version in made):
        raise ValueError(f"{wrong[:1] or 'versions'} is not what stands there")
    _ = scores["interval"], scores["device"], scores["synthetic"]


def _numbers(block: dict[str, Any], names: Sequence[str]) -> list[Any]:
    """The figures of one block of scores and the ends of their intervals."""
    ends = [end for name in names for end in (block[f"{name}_ci95"] or ())]
    return [block["samples"], *(block[name] for name in names), *ends]


def check_scores(folder: Path, scores: dict[str, Any]) -> None:
    """Rebuild the scores from the predictions.

    Raises:
        PoolError: the predictions are incomplete or say something else; names the keys that differ.
    """
    try:
        rebuilt = json.loads(json.dumps(score(read_pool(folder))))
    except (KeyError, TypeError) as error:
        raise PoolError(f"the predictions cannot be scored ({error!r})") from error
    differ = [key for key in rebuilt | scores if rebuilt.get(key) != scores.get(key)]
    if differ:
        raise PoolError(f"scores.json differs from what the predictions give in {differ}; {REBUILD}")


def read_folds(folder: Path, scores: dict[str, Any]) -> list[list[Any]]:
    """Of each fold, in natural order: name, samples, figure, the epoch it is scored at, seconds.

    The figure is the number of hits or, of values, the mean RMSE; None where the run has one fold only, or where a fold
    has no sample with a value.

    Raises:
        PoolError: a file is missing or broken, or the folds do not add up to scores.json.
    """
    files = [file for file in folder.glob("predictions/*.csv") if not file.name.startswith(".")]
    files.sort(key=lambda file: natural_key(file.stem))
    if not files:
        raise PoolError("scores.json without predictions/: scores that cannot be rebuilt are no result")
    facts = [load(file.with_suffix(".json"), _fold_facts) for file in files]
    if len(files) == 1:
        return [[files[0].stem, scores["samples"], None, *facts[0]]]
    figures = [load(file, partial(_fold_figures, scores)) for file in files]
    samples, hits = sum(number for number, _ in figures), None
    if "classes" in scores:
        hits = sum(figure for _, figure in figures) - sum(row[place] for place, row in enumerate(scores["confusion"]))
    if samples != scores["samples"] or hits:
        raise PoolError(f"scores.json and predictions/ do not have the same number of samples or hits; {REBUILD}")
    return [[file.stem, *figure, *fact] for file, figure, fact in zip(files, figures, facts, strict=True)]


def _fold_facts(content: bytes) -> list[Any]:
    facts = json.loads(content)
    if not isinstance(facts, dict):
        raise ValueError("expected the facts of a fold")
    return [_finite(facts.get(key)) for key in ("epoch", "seconds")]


def _fold_figures(scores: dict[str, Any], content: bytes) -> tuple[int, float | None]:
    """Number of samples with a label or value, and the hits or the mean RMSE."""
    if "classes" in scores:
        rows = pd.read_csv(BytesIO(content), usecols=["label", "predicted"], dtype=str, keep_default_na=False)
        return int((rows["label"] != "").sum()), int((rows["label"] == rows["predicted"]).sum())
    targets, predicted = scores["targets"], value_columns(scores["targets"])
    rows = pd.read_csv(BytesIO(content), usecols=[*targets, *predicted])
    sums = continuous.terms(rows[targets].to_numpy(), rows[predicted].to_numpy()).sum(axis=0)
    known = int(rows[targets].notna().any(axis=1).sum())
    return known, round(float(np.nanmean(continuous.rmse(sums))), 5) if known else None
