"""What may be wrong with the pictures of a data set, in words, with numbers and examples.

A finding is ``{"check", "text", "number", "examples"}``. Functions take manifest rows (``sample_id, label, split,
subject, group``) and the pictures of these rows, ``(N, ...)``, possibly memory-mapped.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from fer_lightning.functional import duplicates

#: A picture whose pixels vary less than this (of 255) shows nothing.
SPREAD = 2.0
#: A split whose median sharpness is below this share of another's was not made by the same hands.
SHARPNESS = 0.1
SPLIT_ORDER = ("train", "val", "test", "")


def finding(check: str, text: str, number: int, examples: list[str]) -> dict:
    """One finding with the first five of its examples."""
    return {"check": check, "text": text, "number": int(number), "examples": examples[:5]}


def constant(rows: pd.DataFrame, pictures: np.ndarray) -> list[dict]:
    """Pictures of one value, or nearly."""
    low = np.flatnonzero(duplicates.spread(pictures) < SPREAD)
    black = sum(not pictures[row].any() for row in low)
    text = f"{len(low)} pictures show nothing ({black} are black, {len(low) - black} near-constant)"
    return [finding("constant", text, len(low), rows["sample_id"].iloc[low].tolist())] if len(low) else []


def exact_duplicates(rows: pd.DataFrame, pictures: np.ndarray) -> list[dict]:
    """Identical pictures, those of them with several labels, those of several people, and those in two splits."""
    groups = duplicates.exact_groups(pictures)
    if not groups:
        return []
    ids, labels, splits = (rows[column].to_numpy() for column in ("sample_id", "label", "split"))
    members = sum(map(len, groups))
    text = f"{len(groups)} groups of identical pictures, {members} pictures, {members - len(groups)} of them redundant"
    found = [finding("exact duplicates", text, len(groups), [" = ".join(ids[g]) for g in groups[:5]])]
    torn = [group for group in groups if len(set(labels[group])) > 1]
    if torn:
        examples = [", ".join(f"{ids[row]} {labels[row]}" for row in group) for group in torn[:5]]
        found.append(
            finding("conflicting labels", f"{len(torn)} of these groups carry several labels", len(torn), examples)
        )
    for first, second in combinations([split for split in SPLIT_ORDER if split and split in set(splits)], 2):
        twins = duplicates.across(groups, splits, first, second)
        if len(twins):
            share = len(twins) / (splits == second).sum()
            text = f"{len(twins)} pictures of {second} ({share:.1%}) are also in {first}"
            found.append(finding(f"{second} in {first}", text, len(twins), ids[twins].tolist()))
    return found + _several_people("people", "identical", rows, groups)


def near_duplicates(rows: pd.DataFrame, pictures: np.ndarray, threshold: float) -> list[dict]:
    """Pictures that correlate by at least `threshold`, one of them possibly mirrored, in all and across splits."""
    ids, splits = rows["sample_id"].to_numpy(), rows["split"].to_numpy()
    pairs, values = duplicates.near_pairs(pictures, threshold)
    if not len(pairs):
        return []
    order = np.argsort(-values)
    how = f"pixel correlation of at least {threshold}, mirrored copies included, exact ones counted too"
    examples = [f"{ids[a]} ~ {ids[b]} ({values[i]:.3f})" for i in order for a, b in [pairs[i]] if values[i] < 0.9999]
    found = [finding("near duplicates", f"{len(pairs)} pairs of like pictures ({how})", len(pairs), examples)]
    for first, second in combinations([split for split in SPLIT_ORDER if split and split in set(splits)], 2):
        twins = np.unique(_paired(pairs, splits, first, second))
        if len(twins):
            share = len(twins) / (splits == second).sum()
            text = f"{len(twins)} pictures of {second} ({share:.1%}) have a like one in {first}"
            found.append(finding(f"{second} near {first}", text, len(twins), ids[twins].tolist()))
    a, b = rows["group"].to_numpy()[pairs[order]].T
    return found + _several_people("people near", "near", rows, pairs[order][a != b])


def _several_people(check: str, kind: str, rows: pd.DataFrame, alike: Sequence[np.ndarray]) -> list[dict]:
    """Which of the rows that are alike belong to several groups of the manifest: a leak wherever these make the folds.

    Args:
        check: name of the finding.
        kind: how they are alike: identical or near.
        rows: of the manifest; a group "" says nothing.
        alike: rows that are alike, by their places.
    """
    ids, people = rows["sample_id"].to_numpy(), rows["group"].to_numpy()
    known = [members[people[members] != ""] for members in alike]
    shared = [members for members in known if len(set(people[members])) > 1]
    if not shared:
        return []
    number, sign = len(np.unique(np.concatenate(shared))), "=" if kind == "identical" else "~"
    whom = "people" if (rows["subject"] != "").any() else "groups (clips or videos)"
    text = (
        f"{number} {kind} pictures stand with several {whom}: under leave-one-subject-out and k-fold a picture is "
        "trained on and tested"
    )
    examples = [f" {sign} ".join(f"{ids[row]} of {people[row]}" for row in members) for members in shared[:5]]
    return [finding(check, text, number, examples)]


def _paired(pairs: np.ndarray, splits: np.ndarray, first: str, second: str) -> np.ndarray:
    """Rows of split `second` that are paired with a row of split `first`."""
    a, b = splits[pairs[:, 0]], splits[pairs[:, 1]]
    return np.concatenate([pairs[(a == first) & (b == second), 1], pairs[(a == second) & (b == first), 0]])


def sharpness(rows: pd.DataFrame, pictures: np.ndarray) -> dict[str, list[float]]:
    """Split -> 1 %, 50 % and 99 % quantile of the Laplacian variance."""
    sharp, splits = duplicates.sharpness(pictures), rows["split"].to_numpy()
    return {
        split: [round(float(q), 1) for q in np.quantile(sharp[splits == split], (0.01, 0.5, 0.99))]
        for split in SPLIT_ORDER
        if (splits == split).any()
    }


def unlike(sharp: dict[str, list[float]]) -> list[dict]:
    """Whether the pictures of one split are far less sharp than those of another; takes what `sharpness` gives."""
    medians = {split: values[1] for split, values in sharp.items()}
    dull, crisp = min(medians, key=medians.get), max(medians, key=medians.get)
    if medians[dull] >= SHARPNESS * medians[crisp]:
        return []
    text = (
        f"the pictures of {dull or 'one part'} are far less sharp than those of {crisp or 'the other'} (median "
        f"Laplacian variance {medians[dull]:g} against {medians[crisp]:g}): somebody blurred them. This is not the "
        "release; a network trained on it is trained and tested on different pictures"
    )
    return [finding("altered", text, 1, [])]
