"""Which samples are shown, and what is said of all of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fer_lightning.errors import ConfigError


def choose(table: pd.DataFrame, classes: Sequence[str], number: int, seed: int) -> pd.DataFrame:
    """The same number of samples of every class, half of them rightly predicted where there are both.

    Drawn at random, so that nobody picks the pictures that look best. Of an odd number, one more is right.

    Args:
        table: rows with `label` and `predicted`.
        classes: in the order of the result.
        number: of each class; fewer where a class has fewer.
        seed: of the draw.
    """
    rng, parts = np.random.default_rng(seed), [table[:0]]
    for name in classes:
        of_class = table[table["label"] == name]
        right, wrong = (of_class[(of_class["predicted"] == name) == is_right] for is_right in (True, False))
        rights = min(number - min(number // 2, len(wrong)), len(right))
        parts += [_draw(right, rights, rng), _draw(wrong, min(number - rights, len(wrong)), rng)]
    return pd.concat(parts)


def limit(table: pd.DataFrame, classes: Sequence[str], number: int, seed: int) -> pd.DataFrame:
    """At most so many rows of each class, drawn at random, in the order of the table."""
    rng = np.random.default_rng(seed)
    return pd.concat([_draw(table[table["label"] == name], number, rng) for name in classes]).sort_index()


def named(table: pd.DataFrame, ids: Sequence[str]) -> pd.DataFrame:
    """The rows of these samples, in this order.

    Raises:
        ConfigError: one of them was not tested.
    """
    rows = table.set_index("sample_id", drop=False)
    unknown = [name for name in ids if name not in rows.index]
    if unknown:
        raise ConfigError(f"--ids names {unknown}, which this run did not test; the first are {list(rows.index[:3])}")
    return rows.loc[list(ids)].reset_index(drop=True)


def _draw(rows: pd.DataFrame, number: int, rng: np.random.Generator) -> pd.DataFrame:
    return rows.iloc[np.sort(rng.permutation(len(rows))[:number])]


def class_means(maps: np.ndarray, table: pd.DataFrame, classes: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Where the network looks in the samples of each true class: in all, in those it knew, in those it mistook.

    Each map is divided by its sum first, so that a sample of high confidence counts no more than another. A map of
    zeros, where nothing speaks for the class, has no sum: it is left out and counted.

    Args:
        maps: ``(n, h, w)``, not negative.
        table: `label` and `predicted` of the same samples.
        classes: names.

    Returns:
        class -> `all`, `right`, `wrong` -> `samples` (number of maps in the mean), `empty` (number of zeros), `map`
        (``(h, w)``, of sum 1; None without samples).
    """
    sums = maps.sum(axis=(1, 2))
    right = (table["label"] == table["predicted"]).to_numpy()
    means = {}
    for name in classes:
        of_class = (table["label"] == name).to_numpy()
        groups = {"all": of_class, "right": of_class & right, "wrong": of_class & ~right}
        means[name] = {
            group: {"samples": int((rows & (sums > 0)).sum()), "empty": int((rows & (sums <= 0)).sum()),
                    "map": _mean(maps[rows & (sums > 0)])}
            for group, rows in groups.items()
        }  # fmt: skip
    return means


def _mean(maps: np.ndarray) -> np.ndarray | None:
    return (maps / maps.sum(axis=(1, 2), keepdims=True)).mean(axis=0) if len(maps) else None
