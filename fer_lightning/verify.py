"""`python -m fer_lightning.verify data=<d>`: is this folder the release, whole, unaltered and without leaks?

Builds the manifest, reads every picture once (through the cache) and reports counts against the release, pictures
that show nothing, exact and near duplicates inside and across the splits, duplicates with conflicting labels, and
splits of different sharpness (a sign of an altered copy). Exit code 0; with --strict, 1 when something was found; 2
when the data cannot be read at all.
"""

import argparse
import json
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from fer_lightning.compose import configure
from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.errors import DatasetError, FERError
from fer_lightning.files import write_atomically
from fer_lightning.functional import duplicates
from fer_lightning.progress import CacheProgress

#: A picture whose pixels vary less than this (of 255) shows nothing.
SPREAD = 2.0
#: A split whose median sharpness is below this share of another's was not made by the same hands.
SHARPNESS = 0.1
#: Above this many pictures, near duplicates are looked for only when asked (the cost grows with the square).
MANY = 60_000
SPLIT_ORDER = ("train", "val", "test", "")


def main(arguments: list[str] | None = None) -> int:
    """Verify one data set; print a report and write it as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="+", metavar="data=<d> key=value", help="as for train.py")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when something was found")
    parser.add_argument("--near", type=float, default=None, metavar="R", help="least correlation of near duplicates "
                        f"(default .98, looked for up to {MANY:,} pictures; 0 switches it off)")  # fmt: skip
    parser.add_argument("--json", type=Path, default=None, help="default: <paths.runs>/verify/<data>.json")
    given = parser.parse_args(arguments)
    try:
        cfg = configure(given.overrides)
        report = verify(cfg, given.near)
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    file = given.json or Path(cfg.paths.runs) / "verify" / f"{cfg.data.name}.json"
    write_atomically(file, json.dumps(report, indent=2) + "\n")
    print_report(report)
    print(f"\n{file}")
    return int(given.strict and bool(report["findings"]))


def verify(cfg: DictConfig, near: float | None = None) -> dict:
    """The report on one data set.

    Args:
        cfg: composed config.
        near: least correlation of near duplicates; None: .98 for data sets of ordinary size; 0: not looked for.

    Returns:
        ``{"data", "root", "synthetic", "samples", "groups", "labels" (split -> label -> n), "left_out", "sharpness",
        "findings": [{"check", "text", "number", "examples"}]}``.

    Raises:
        FERError: the raw folder cannot be read.
    """
    data: FERDataModule = instantiate(cfg.data)
    findings = []
    try:
        data.build()
    except DatasetError as error:
        if data.expects is None and data.expects_view is None:
            raise
        data.expects = data.expects_view = None
        data.build()  # readable without the counts: then the counts are the finding
        findings.append(_finding("counts", str(error), 1, []))
    progress = CacheProgress(data.name)
    try:
        data.prepare(Path(cfg.paths.cache), 2, progress)
    finally:
        progress.close()
    rows = data.manifest
    pictures = data.cache.array[[data.cache.rows[sample] for sample in rows["sample_id"]]]
    findings += _constant(rows, pictures) + _exact(rows, pictures)
    if near is None:
        near = 0.98 if len(rows) <= MANY else 0
    if near:
        findings += _near(rows, pictures, near)
    sharp = _sharpness(rows, pictures)
    counts = pd.crosstab(rows["split"], rows["label"]).reindex(columns=data.classes, fill_value=0)
    labels = {split: counts.loc[split].astype(int).to_dict() for split in SPLIT_ORDER if split in counts.index}
    return {
        "data": data.name, "root": str(data.root), "synthetic": data.synthetic, "samples": len(rows),
        "groups": int(rows.loc[rows["group"] != "", "group"].nunique()),
        "labels": labels, "left_out": data.dropped, "sharpness": sharp, "findings": findings + _unlike(sharp),
    }  # fmt: skip


def _finding(check: str, text: str, number: int, examples: list[str]) -> dict:
    return {"check": check, "text": text, "number": int(number), "examples": examples[:5]}


def _constant(rows: pd.DataFrame, pictures: np.ndarray) -> list[dict]:
    low = np.flatnonzero(duplicates.spread(pictures) < SPREAD)
    black = sum(not pictures[row].any() for row in low)
    text = f"{len(low)} pictures show nothing ({black} are black, {len(low) - black} near-constant)"
    return [_finding("constant", text, len(low), rows["sample_id"].iloc[low].tolist())] if len(low) else []


def _exact(rows: pd.DataFrame, pictures: np.ndarray) -> list[dict]:
    groups = duplicates.exact_groups(pictures)
    if not groups:
        return []
    ids, labels, splits = (rows[column].to_numpy() for column in ("sample_id", "label", "split"))
    members = sum(map(len, groups))
    text = f"{len(groups)} groups of identical pictures, {members} pictures, {members - len(groups)} of them redundant"
    found = [_finding("exact duplicates", text, len(groups), [" = ".join(ids[g]) for g in groups[:5]])]
    torn = [group for group in groups if len(set(labels[group])) > 1]
    if torn:
        examples = [", ".join(f"{ids[row]} {labels[row]}" for row in group) for group in torn[:5]]
        found.append(
            _finding("conflicting labels", f"{len(torn)} of these groups carry several labels", len(torn), examples)
        )
    for first, second in combinations([split for split in SPLIT_ORDER if split and split in set(splits)], 2):
        twins = duplicates.across(groups, splits, first, second)
        if len(twins):
            share = len(twins) / (splits == second).sum()
            text = f"{len(twins)} pictures of {second} ({share:.1%}) are also in {first}"
            found.append(_finding(f"{second} in {first}", text, len(twins), ids[twins].tolist()))
    return found


def _near(rows: pd.DataFrame, pictures: np.ndarray, threshold: float) -> list[dict]:
    ids, splits = rows["sample_id"].to_numpy(), rows["split"].to_numpy()
    pairs, values = duplicates.near_pairs(pictures, threshold)
    if not len(pairs):
        return []
    order = np.argsort(-values)
    how = f"pixel correlation of at least {threshold}, mirrored copies included, exact ones counted too"
    examples = [f"{ids[a]} ~ {ids[b]} ({values[i]:.3f})" for i in order for a, b in [pairs[i]] if values[i] < 0.9999]
    found = [_finding("near duplicates", f"{len(pairs)} pairs of like pictures ({how})", len(pairs), examples)]
    for first, second in combinations([split for split in SPLIT_ORDER if split and split in set(splits)], 2):
        twins = np.unique(_paired(pairs, splits, first, second))
        if len(twins):
            share = len(twins) / (splits == second).sum()
            text = f"{len(twins)} pictures of {second} ({share:.1%}) have a like one in {first}"
            found.append(_finding(f"{second} near {first}", text, len(twins), ids[twins].tolist()))
    return found


def _paired(pairs: np.ndarray, splits: np.ndarray, first: str, second: str) -> np.ndarray:
    """Rows of split `second` that are paired with a row of split `first`."""
    a, b = splits[pairs[:, 0]], splits[pairs[:, 1]]
    return np.concatenate([pairs[(a == first) & (b == second), 1], pairs[(a == second) & (b == first), 0]])


def _sharpness(rows: pd.DataFrame, pictures: np.ndarray) -> dict[str, list[float]]:
    """Split -> 1 %, 50 % and 99 % quantile of the Laplacian variance."""
    sharp, splits = duplicates.sharpness(pictures), rows["split"].to_numpy()
    return {
        split: [round(float(q), 1) for q in np.quantile(sharp[splits == split], (0.01, 0.5, 0.99))]
        for split in SPLIT_ORDER
        if (splits == split).any()
    }


def _unlike(sharp: dict[str, list[float]]) -> list[dict]:
    medians = {split: values[1] for split, values in sharp.items()}
    dull, crisp = min(medians, key=medians.get), max(medians, key=medians.get)
    if medians[dull] >= SHARPNESS * medians[crisp]:
        return []
    text = (
        f"the pictures of {dull or 'one part'} are far less sharp than those of {crisp or 'the other'} (median "
        f"Laplacian variance {medians[dull]:g} against {medians[crisp]:g}): somebody blurred them. This is not the "
        "release; a network trained on it is trained and tested on different pictures"
    )
    return [_finding("altered", text, 1, [])]


def print_report(report: dict) -> None:
    """The report for people."""
    print(f"{report['data']} in {report['root']}" + ("  (SYNTHETIC)" if report["synthetic"] else ""))
    print(f"{report['samples']:,} samples, {report['groups']:,} groups (subjects, clips or videos)\n")
    table = pd.DataFrame(report["labels"]).T.rename(index={"": "(no split)"})
    table["total"] = table.sum(axis=1)
    print(table.to_string())
    for reason, number in report["left_out"].items():
        print(f"left out: {number} ({reason})")
    for split, (low, median, high) in report["sharpness"].items():
        print(f"sharpness of {split or 'all'}: {median:g} (1 % {low:g}, 99 % {high:g})")
    print(f"\n{len(report['findings'])} findings" if report["findings"] else "\nnothing found")
    for finding in report["findings"]:
        print(f"- {finding['check']}: {finding['text']}")
        for example in finding["examples"][:3]:
            print(f"    {example}")


if __name__ == "__main__":
    sys.exit(main())
