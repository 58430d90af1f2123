"""Samples that tell something about a run: of each class some that were recognised, and the worst mistakes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_lightning.reporting.contact import enlarge, picture
from fer_lightning.reporting.pool import Pool
from fer_lightning.reporting.rows import value_columns


def choose(pool: Pool, number: int) -> pd.DataFrame:
    """Samples to show.

    Args:
        pool: predictions.
        number: how many of each kind.

    Returns:
        Of classes: for each class `number` samples that were recognised, drawn at random but always the same, and
        the `number` that were taken for another class with the greatest confidence; columns sample_id, fold, label,
        predicted, p_label, p_predicted, right. Of values: the `number` best and worst predicted samples; columns
        sample_id, fold, the values, predicted ones, error (root mean square over the values).
    """
    if not pool.classes:
        table = pool.table.dropna(subset=pool.targets)
        gaps = table[pool.targets].to_numpy(dtype=float) - table[value_columns(pool.targets)].to_numpy()
        table = table.assign(error=np.sqrt((gaps**2).mean(axis=1))).sort_values("error", kind="stable")
        ends = table if len(table) <= 2 * number else pd.concat([table[:number], table[len(table) - number :]])
        return ends[["sample_id", "fold", *pool.targets, *value_columns(pool.targets), "error"]]
    pool = pool.labelled()
    each, rows = pool.table[[f"p_{name}" for name in pool.classes]].to_numpy(), np.arange(len(pool.table))
    table = pool.table[["sample_id", "fold", "label", "predicted"]].assign(
        p_label=each[rows, pool.indices("label")],
        p_predicted=each[rows, pool.indices("predicted")],
        right=pool.table["label"] == pool.table["predicted"],
    )
    parts = [table[:0]]
    for name in pool.classes:
        of_class = table[table["label"] == name]
        right, wrong = of_class[of_class["right"]], of_class[~of_class["right"]]
        parts.append(right.sample(min(number, len(right)), random_state=0))
        parts.append(wrong.sort_values("p_predicted", ascending=False, kind="stable")[:number])
    return pd.concat(parts)


def pictures(data: Any, sample_ids: Sequence[str]) -> list[np.ndarray]:
    """What the network saw of these samples, as a person can look at it: RGB, uint8, ``(H, W, 3)``.

    Args:
        data: a prepared `FERDataModule`.
        sample_ids: of its manifest.
    """
    shown = getattr(data.recipe, "picture", None) or (lambda array: picture(array, data.channels))
    return [enlarge(shown(array)) for array in data.cache.array[data.cache.numbers(list(sample_ids))]]


def caption(row: dict[str, Any]) -> str:
    """``happy``, or ``happy taken for sad (.93)``; of values, how far off."""
    if "error" in row:
        return f"{row['sample_id']}\noff by {row['error']:.2f}"
    taken = f"{row['label']}" if row["right"] else f"{row['label']} taken for {row['predicted']}"
    return f"{row['sample_id']}\n{taken} ({row['p_predicted']:.2f})"


def samples_figure(samples: pd.DataFrame, shown: Sequence[np.ndarray]) -> Figure:
    """All chosen samples on one page; the captions of mistakes are orange."""
    columns = min(6, len(samples))
    rows = -(-len(samples) // columns)
    figure = Figure(figsize=(2.2 * columns, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, row, image in zip(grid, samples.to_dict("records"), shown, strict=False):  # the last row may have gaps
        axes.imshow(image)
        axes.set_title(caption(row), fontsize=7, color="black" if row.get("right", True) else "#D55E00", wrap=True)
    return figure


def bars_figure(folds: pd.DataFrame, column: str) -> Figure:
    """One bar a fold, with the number of its samples."""
    figure = Figure(figsize=(7, 1.5 + 0.2 * len(folds)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(folds["fold"], folds[column], color="#0072B2")
    axes.bar_label(bars, [f"n = {n}" for n in folds["n"]], fontsize=7, padding=2)
    axes.set(xlabel=column, xlim=(0, 1.1) if column == "accuracy" else None)
    axes.tick_params(labelsize=8)
    axes.invert_yaxis()
    return figure
