"""Rows of predictions: their columns, and what makes them contradict themselves."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_lightning.errors import PoolError

SUM_TOLERANCE = 1e-4
TIE_TOLERANCE = 1e-6
CURE = "Remove this file and run the same command again: only this fold is run"


def probability_columns(classes: list[str]) -> list[str]:
    """Columns of the class probabilities, in class order."""
    return [f"p_{name}" for name in classes]


def value_columns(targets: list[str]) -> list[str]:
    """Columns of the predicted values, in the order of the targets."""
    return [f"predicted_{name}" for name in targets]


def columns_of(classes: list[str], targets: list[str]) -> list[str]:
    """Columns of a predictions file."""
    of_classes = ["label", "predicted", *probability_columns(classes)] if classes else []
    return ["sample_id", "fold", *of_classes, *targets, *value_columns(targets)]


def check_classes(
    path: Path, rows: pd.DataFrame, classes: list[str], targets: list[str], rounded: float = 0.0, cure: str = CURE
) -> None:
    """Refuse predictions of classes that contradict themselves, and turn their probabilities into numbers.

    Args:
        path: of the file, for messages.
        rows: label, predicted, p_<class> ...; a label may be "" where there are targets.
        classes: names in index order.
        targets: names of the continuous values that are predicted too.
        rounded: by how much a written probability may be off.
        cure: what to do about it.

    Raises:
        PoolError: naming the file, the first such row, and `cure`.
    """
    columns, refuse_rows = probability_columns(classes), partial(refuse, path, rows, cure=cure)
    rows[columns] = rows[columns].apply(pd.to_numeric, errors="coerce")
    probabilities = rows[columns].to_numpy()
    unlabelled = (rows["label"] == "") & bool(targets)
    refuse_rows(~rows["label"].isin(classes) & ~unlabelled, f"have a label outside {classes}", "label")
    refuse_rows(~rows["predicted"].isin(classes), f"have a predicted outside {classes}", "predicted")
    outside = ~((probabilities >= -TIE_TOLERANCE) & (probabilities <= 1 + TIE_TOLERANCE)).all(axis=1)
    refuse_rows(outside, "have a probability that is no number from 0 to 1", columns)
    off = ~(np.abs(probabilities.sum(axis=1) - 1) <= SUM_TOLERANCE + len(classes) * rounded)
    refuse_rows(off, "have probabilities that do not sum to 1", columns)
    own = probabilities[np.arange(len(rows)), pd.Index(classes).get_indexer(rows["predicted"])]
    lower = own < probabilities.max(axis=1, initial=0.0) - TIE_TOLERANCE - 2 * rounded
    refuse_rows(lower, "are not predicted as their most probable class", ["predicted", *columns])


def refuse(path: Path, rows: pd.DataFrame, bad: Any, what: str, show: str | list[str], cure: str = CURE) -> None:
    """Raise PoolError where `bad` is true anywhere: `what` is wrong, with the columns `show` of the first row."""
    bad = np.asarray(bad)
    if bad.any():
        first = rows[bad].iloc[0]
        found = first[show] if isinstance(show, str) else first[show].to_dict()
        raise PoolError(f"{path}: {int(bad.sum())} rows {what} (first: {first['sample_id']!r} with {found!r}). {cure}")
