"""Protocols: a protocol is a list of folds, a fold is a name and three lists of sample ids.

The functions here see nothing but the manifest. Nothing else in the project knows what LOSO is. What must
never be split between train and test is the manifest's `group`, such as ``casme2/sub01``: a bare subject
number is no group, since 24 of the 35 numeric subject ids occur in more than one micro-expression data set.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_lightning.errors import ConfigError, LeakError
from fer_lightning.functional.frames import natural_key

PARTS = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)


@dataclass(frozen=True)
class Fold:
    """Sample ids to train on, to choose the epoch by (may be empty) and to be scored on; manifest order."""

    name: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def holdout(manifest: pd.DataFrame, inner_val: float = 0.0, seed: int = 0) -> list[Fold]:
    """One fold, from the manifest's `split` column: the division that the data set was published with.

    Args:
        manifest: rows with ``train``, ``val`` or ``test`` in `split`.
        inner_val: share of the training samples that becomes `val` where the data set has no ``val`` rows.
        seed: of that choice.

    Raises:
        ConfigError: when a row has no split, or when there is nothing to train on or to test.
        LeakError: when a group stands in two parts.
    """
    split = manifest["split"]
    missing = manifest.loc[~split.isin(PARTS), "sample_id"]
    if len(missing):
        people = (manifest["group"] != "").all()
        cure = "use protocol=loso (leave one subject out) or protocol=kfold for this dataset"
        raise ConfigError(
            f"holdout needs train, val or test as split of every sample, but {len(missing)} rows have none "
            f"(first: {missing.iloc[0]!r}); {cure if people else 'give every row a split'}"
        )
    counts = {part: int((split == part).sum()) for part in PARTS}
    if not counts["train"] or not counts["test"]:
        raise ConfigError(f"holdout needs train and test rows, found {counts}; is the raw folder complete?")
    part = pd.Index(PARTS).get_indexer(split)
    if inner_val and not counts["val"]:
        part[_inner_val(manifest, part == TRAIN, inner_val, seed, "holdout")] = VAL
    return [_fold("holdout", manifest, _ids(manifest), part)]


def leave_one_subject_out(manifest: pd.DataFrame, inner_val: float = 0.0, seed: int = 0) -> list[Fold]:
    """One fold per group, in natural order: this group is tested, all others train.

    Args:
        manifest: rows with a `group`; the fold of ``casme2/sub01`` is called ``casme2-sub01``.
        inner_val: share of the training samples of each fold that becomes `val`; whole groups, never the
            tested one.
        seed: of the choice of these groups. The choice depends on the fold, not on the folds before it.

    Raises:
        ConfigError: when rows have no group, or when there is only one group.
    """
    _demand_groups(manifest, "leave_one_subject_out")
    groups = sorted(manifest["group"].unique(), key=natural_key)
    names, ids = _fold_names(groups), _ids(manifest)
    folds = []
    for group in groups:
        tested = (manifest["group"] == group).to_numpy()
        folds.append(_group_fold(names[group], manifest, ids, tested, inner_val, seed))
    return folds


def kfold_by_group(manifest: pd.DataFrame, k: int = 5, seed: int = 0, inner_val: float = 0.0) -> list[Fold]:
    """``k`` folds of whole groups, balanced over the classes: ``fold0`` ... Each group is tested once.

    Groups are dealt out largest first (equal sizes in seeded order), each to the fold in which it leaves the
    shares of the classes most even.

    Args:
        manifest: rows with a `group`.
        k: number of folds, ``2..number of groups``.
        seed: of the dealing order and of the inner validation groups.
        inner_val: as in `leave_one_subject_out`.

    Raises:
        ConfigError: when rows have no group, or when `k` does not fit their number.
    """
    _demand_groups(manifest, "kfold_by_group")
    counts = _class_counts(manifest["group"], manifest["label"])
    if not 2 <= k <= len(counts):
        raise ConfigError(f"kfold_by_group: k={k} is not in 2..{len(counts)}, the number of groups")
    shares = counts / counts.sum(axis=0)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts.to_numpy().sum(axis=1)[order], kind="stable")]
    load, place = np.zeros((k, counts.shape[1])), {}
    for index in order:
        share = shares.iloc[index].to_numpy()
        growth = ((load + share) ** 2 - load**2).sum(axis=1)
        # While folds are empty they are served first, so that k groups give k folds.
        chosen = int(np.where(load.any(axis=1) & (~load.any(axis=1)).any(), np.inf, growth).argmin())
        load[chosen] += share
        place[counts.index[index]] = chosen
    fold_of, ids = manifest["group"].map(place).to_numpy(), _ids(manifest)
    return [_group_fold(f"fold{i}", manifest, ids, fold_of == i, inner_val, seed) for i in range(k)]


def by_column(
    manifest: pd.DataFrame, column: str = "published_fold", seed: int = 0, inner_val: float = 0.0
) -> list[Fold]:
    """Folds published with the data set: one per value of a column, in natural order; its rows test, all others train.

    Args:
        manifest: rows with the name of the fold that tests them in `column`; the folds are called ``fold1`` and so on.
        column: which column.
        seed: of the inner validation groups.
        inner_val: as in `leave_one_subject_out`.

    Raises:
        ConfigError: when there is no such column, a row has no fold, or all have the same.
        LeakError: when a group stands in two folds.
    """
    if column not in manifest.columns:
        raise ConfigError(
            f"by_column needs a column {column!r}, the manifest has {list(manifest.columns)}; let the data set fill it "
            "(data.builder.fold=null or data.builder.folds=<list>), or use another protocol"
        )
    fold_of = manifest[column].astype(str).where(manifest[column].notna(), "")
    missing = manifest.loc[fold_of == "", "sample_id"]
    if len(missing):
        raise ConfigError(
            f"by_column needs a {column} for every sample, but {len(missing)} of {len(manifest)} rows have none "
            f"(first: {missing.iloc[0]!r}); give the builder the list of folds, or use another protocol"
        )
    names = _fold_names(sorted(fold_of.unique(), key=natural_key))
    if len(names) < 2:
        raise ConfigError(f"by_column needs at least 2 folds, found {list(names)} in column {column!r}")
    ids = _ids(manifest)
    return [
        _group_fold(f"fold{name}", manifest, ids, (fold_of == value).to_numpy(), inner_val, seed)
        for value, name in names.items()
    ]


def check_disjoint(fold: Fold, manifest: pd.DataFrame) -> None:
    """Refuse a fold in which a sample or a group stands in two parts; rows without a group count by sample.

    Raises:
        LeakError: naming the sample or group and the two parts.
        ConfigError: when the fold names a sample that the manifest does not have.
    """
    ids = [*fold.train, *fold.val, *fold.test]
    part = np.repeat([TRAIN, VAL, TEST], [len(fold.train), len(fold.val), len(fold.test)])
    rows = pd.Index(manifest["sample_id"]).get_indexer(ids)
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        raise ConfigError(
            f"fold {fold.name}: {len(unknown)} samples are not in the manifest (first: {ids[unknown[0]]!r}); "
            "folds must be made from the manifest they are used with"
        )
    twice = np.flatnonzero(np.bincount(rows) > 1)
    if len(twice):
        _refuse(fold.name, "sample", manifest["sample_id"].iloc[twice[0]], part[rows == twice[0]], len(twice))
    _refuse_shared_groups(fold.name, manifest["group"].iloc[rows], part)


def _refuse_shared_groups(name: str, groups: pd.Series, part: np.ndarray) -> None:
    code, names = pd.factorize(groups)
    stands = np.zeros((len(names), len(PARTS)), dtype=bool)
    stands[code, part] = True
    shared = np.flatnonzero((stands.sum(axis=1) > 1) & (names != ""))
    if len(shared):
        _refuse(name, "group", names[shared[0]], np.flatnonzero(stands[shared[0]]), len(shared))


def _refuse(name: str, what: str, first: str, parts: np.ndarray, number: int) -> None:
    where = " and ".join(PARTS[part] for part in parts)
    raise LeakError(
        f"fold {name}: {what} {first!r} stands in {where}; {number} such {what}s. A {what} may stand in one part only, "
        "once"
    )


def _demand_groups(manifest: pd.DataFrame, protocol: str) -> None:
    missing = manifest.loc[manifest["group"] == "", "sample_id"]
    if len(missing):
        cure = "say in the data who is seen; protocol=holdout would need a split for every row"
        if manifest["split"].isin(PARTS).all():
            cure = "use protocol=holdout for this dataset"
        raise ConfigError(
            f"{protocol} needs a subject for every sample, but {len(missing)} rows have none "
            f"(first: {missing.iloc[0]!r}); {cure}"
        )
    groups = manifest["group"].unique()
    if len(groups) < 2:
        found = list(groups)
        raise ConfigError(f"{protocol} needs at least 2 groups, found {found}; is the raw folder complete?")


def _ids(manifest: pd.DataFrame) -> np.ndarray:
    """Sample ids as Python strings: made once, shared by all folds."""
    return manifest["sample_id"].to_numpy(dtype=object)


def _group_fold(
    name: str, manifest: pd.DataFrame, ids: np.ndarray, tested: np.ndarray, inner_val: float, seed: int
) -> Fold:
    part = np.where(tested, TEST, TRAIN)
    if inner_val:
        part[_inner_val(manifest, ~tested, inner_val, seed, name)] = VAL
    return _fold(name, manifest, ids, part)


def _fold(name: str, manifest: pd.DataFrame, ids: np.ndarray, part: np.ndarray) -> Fold:
    """The fold in which each row of the manifest stands in one part."""
    _refuse_shared_groups(name, manifest["group"], part)
    return Fold(name, *(tuple(ids[part == code]) for code in (TRAIN, VAL, TEST)))


def _inner_val(manifest: pd.DataFrame, train: np.ndarray, share: float, seed: int, name: str) -> np.ndarray:
    """Mask of the training rows that become validation rows: whole groups, about `share` of the samples."""
    if not 0 < share < 1:
        raise ConfigError(f"inner_val={share} must be a share between 0 and 1 (0 for none)")
    units = manifest["group"].where(manifest["group"] != "", manifest["sample_id"])
    counts = _class_counts(units[train], manifest.loc[train, "label"])
    if len(counts) < 2:
        needs = f"inner_val={share} needs at least 2 training groups, found {len(counts)}"
        raise ConfigError(f"fold {name}: {needs}; use protocol.selection=last")
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    chosen = counts.index[_carve(counts.to_numpy(), share, rng)]
    return train & units.isin(chosen).to_numpy()


def _carve(counts: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Groups that hold about `share` of each class, with every class on both sides if possible.

    Args:
        counts: samples of each group and class, shape ``(G, C)``.

    Returns:
        Mask of the groups, shape ``(G,)``.
    """
    total, chosen = counts.sum(axis=0), np.zeros(len(counts), dtype=bool)
    target, taken = np.maximum(total * share, 1), np.zeros_like(total)
    order = rng.permutation(len(counts))
    for index in order:
        nearer = np.abs(taken + counts[index] - target).sum() < np.abs(taken - target).sum()
        if nearer and _leaves_all_classes(total - taken, counts[index]):
            chosen[index], taken = True, taken + counts[index]
    for column in np.flatnonzero(taken == 0):
        holders = [i for i in order if counts[i, column] and _leaves_all_classes(total - taken, counts[i])]
        if holders and taken[column] == 0:
            smallest = min(holders, key=lambda i: counts[i].sum())
            chosen[smallest], taken = True, taken + counts[smallest]
    if not chosen.any():
        # Each group is the only one with some class: give up the fewest classes, then the fewest samples.
        lost = (total - counts == 0).sum(axis=1)
        chosen[min(order, key=lambda i: (lost[i], counts[i].sum()))] = True
    return chosen


def _leaves_all_classes(remaining: np.ndarray, group: np.ndarray) -> bool:
    return bool((remaining > group)[group > 0].all())


def _class_counts(units: pd.Series, labels: pd.Series) -> pd.DataFrame:
    """Samples of each unit (row, natural order) and class (column)."""
    unit, names = pd.factorize(units, sort=True)
    label, classes = pd.factorize(labels, sort=True)
    counts = np.bincount(unit * len(classes) + label, minlength=len(names) * len(classes))
    table = pd.DataFrame(counts.reshape(len(names), len(classes)), index=names, columns=classes)
    return table.loc[sorted(names, key=natural_key)]


def _fold_names(groups: Iterable[str]) -> dict[str, str]:
    """Group -> a name that can be a file name."""
    names = {group: re.sub(r"[^A-Za-z0-9._-]+", "-", group) for group in groups}
    first: dict[str, str] = {}
    for group, name in names.items():
        if first.setdefault(name, group) != group:
            both = f"groups {first[name]!r} and {group!r}"
            raise ConfigError(f"{both} would both be fold {name!r}; rename one of them")
    return names
