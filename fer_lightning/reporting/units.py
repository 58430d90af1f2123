"""What a resample draws and a permutation swaps: groups (people, videos) where they are known, else single samples."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

Statistics = Mapping[str, Callable[[np.ndarray], np.ndarray]]


def units(table: pd.DataFrame) -> pd.Series:
    """Of each row its group, or its sample where no group is known."""
    return table["group"].where(table["group"] != "", table["sample_id"])


def has_groups(table: pd.DataFrame) -> bool:
    """Whether any row has a group, so that samples are not independent."""
    return bool((table["group"] != "").any())


def said(table: pd.DataFrame) -> str:
    """How many there are, such as ``68 groups``, ``3589 samples`` or ``4 groups and 30 single samples``."""
    known = table["group"] != ""
    groups, samples = table.loc[known, "group"].nunique(), table.loc[~known, "sample_id"].nunique()
    if not groups:
        return f"{samples} samples"
    return f"{groups} groups and {samples} single samples" if samples else f"{groups} groups"


def interval_sentence(table: pd.DataFrame, resamples: int, seed: int, of_samples: str = "{}") -> str:
    """How the intervals of a run were made; `of_samples` is said around it where no sample has a group."""
    grouped = has_groups(table)
    if units(table).nunique() < 2:
        return f"No interval: all samples are of one {'group' if grouped else 'sample'}."
    method = f"95 % percentile bootstrap, {resamples} resamples, seed {seed}, over {said(table)}"
    of_groups = f"{method}, each drawn with all its samples (parts: over the groups of the part)"
    text = of_groups if grouped else of_samples.format(method)
    return f"{text}. It covers the choice of test samples, not the randomness of training."


def counts(tables: Sequence[pd.DataFrame], classes: Sequence[str]) -> np.ndarray:
    """Confusion counts of each unit in each of S runs (seeds) that tested the same people.

    Args:
        tables: S tables, with the columns sample_id, group, label and predicted.
        classes: names in index order.

    Returns:
        int64 ``(G, S, C, C)``, rows true; units in order of appearance, zeros where a run did not test one.
    """
    places, number = _places(tables)
    order = pd.Index(classes)
    found = np.zeros((number, len(tables), len(order), len(order)), dtype=np.int64)
    for seed, (place, table) in enumerate(zip(places, tables, strict=True)):
        np.add.at(found, (place, seed, *(order.get_indexer(table[name]) for name in ("label", "predicted"))), 1)
    return found


def sums(tables: Sequence[pd.DataFrame], terms: Sequence[np.ndarray]) -> np.ndarray:
    """What each unit adds to a score in each of S runs, ``(G, S, ...)``, units as of `counts`.

    Args:
        tables: with the columns sample_id and group.
        terms: of each table what its rows add, ``(n, ...)``.
    """
    places, number = _places(tables)
    found = np.zeros((number, len(tables), *terms[0].shape[1:]))
    for seed, (place, own) in enumerate(zip(places, terms, strict=True)):
        np.add.at(found, (place, seed), own)
    return found


def _places(tables: Sequence[pd.DataFrame]) -> tuple[list[np.ndarray], int]:
    """Of each table the unit of each row as a number, and how many units there are."""
    places, names = pd.factorize(pd.concat([units(table) for table in tables]))
    return np.split(places, np.cumsum([len(table) for table in tables])[:-1]), len(names)


def means(statistics: Statistics) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The same statistics of S runs at once, ``(..., S, C, C) -> (...)``: the mean of what each run scores."""
    return {name: lambda pooled, own=own: own(pooled).mean(axis=-1) for name, own in statistics.items()}
