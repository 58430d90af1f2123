"""`python -m fer_lightning.verify data=<d>`: is this folder the release, whole, unaltered and without leaks?

Builds the manifest, reads every sample once (through the cache) and reports which release it is, counts against it,
files that are cut off or cannot be read, pictures that show nothing, exact and near duplicates inside and across the
splits and under several people, duplicates with conflicting labels, and splits of different sharpness (a sign of an
altered copy). A JPEG that is damaged in its middle decodes like a whole one: no decoder here can tell, and it is not
found. Exit code 0; with --strict, 1 when something was found; 2 when there is no manifest: files missing, or a sheet
with onset behind apex.
With --duplicates it only lists the pictures of val and test that are in train too, pixel for pixel.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig

from fer_lightning.compose import configure
from fer_lightning.errors import ConfigError, DatasetError, FERError
from fer_lightning.files import write_atomically
from fer_lightning.functional.duplicates import exact_groups
from fer_lightning.progress import CacheProgress
from fer_lightning.reporting.findings import (
    SPLIT_ORDER,
    constant,
    exact_duplicates,
    finding,
    near_duplicates,
    sharpness,
    unlike,
)

if TYPE_CHECKING:  # Lightning takes seconds to import; --help needs it not, and a config imports it when it is made
    from fer_lightning.data.datamodule import FERDataModule

#: Above this many pictures, near duplicates are looked for only when asked (the cost grows with the square).
MANY = 60_000
#: Kinds of samples that are no pictures: not black, sharp or alike up to brightness, but possibly equal.
WITHOUT_PIXELS = ("pose", "pose_clip")


def main(arguments: list[str] | None = None) -> int:
    """Verify one data set; print a report and write it as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="+", metavar="data=<d> key=value", help="as for train.py")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when something was found")
    parser.add_argument("--near", type=float, default=None, metavar="R", help="least correlation of near duplicates "
                        f"(default .98, looked for up to {MANY:,} pictures; 0 switches it off)")  # fmt: skip
    parser.add_argument("--duplicates", type=Path, default=None, metavar="FILE",
                        help="only write sample_id, split, twin of pictures that are in train too")  # fmt: skip
    parser.add_argument("--json", type=Path, default=None, help="default: <paths.runs>/verify/<data>.json")
    given = parser.parse_args(arguments)
    try:
        if given.near is not None and not 0 <= given.near <= 1:
            raise ConfigError(f"--near {given.near:g}: expected a correlation from 0 to 1; 0 switches it off")
        cfg = configure(given.overrides)
        if given.duplicates:
            found = in_train(cfg)
            write_atomically(given.duplicates, found.to_csv(index=False, lineterminator="\n"))
            val, test = ((found["split"] == split).sum() for split in ("val", "test"))
            print(f"{given.duplicates}: {val} pictures of val and {test} of test are in train too")
            return 0
        report = verify(cfg, given.near)
        print_report(report)  # first, so that what took minutes to find is seen where it cannot be written
        file = given.json or Path(cfg.paths.runs) / "verify" / f"{cfg.data.name}.json"
        write_atomically(file, json.dumps(report, indent=2) + "\n")
        print(f"\n{file}")
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return int(given.strict and bool(report["findings"]))


def verify(cfg: DictConfig, near: float | None = None) -> dict:
    """The report on one data set.

    Args:
        cfg: composed config.
        near: least correlation of near duplicates; None: .98 for data sets of ordinary size; 0: not looked for.

    Returns:
        ``{"data", "root", "synthetic", "release", "samples", "groups", "labels" (split -> label -> n), "group_sizes"
        (group -> n), "left_out", "corrected" (reason -> n), "sharpness", "findings": [{"check", "text", "number",
        "examples"}]}``.

    Raises:
        FERError: the raw folder cannot be read.
    """
    data = instantiate(cfg.data)
    findings = []
    try:
        data.build()
    except DatasetError as error:
        if data.expects is None and data.expects_view is None:
            raise
        data.expects = data.expects_view = None
        data.build()  # readable without the counts: then the counts are the finding
        findings.append(finding("counts", str(error), 1, []))
    findings += _prepare(data, Path(cfg.paths.cache))
    rows, numbers = data.manifest, data.cache.numbers(data.manifest["sample_id"])
    in_order = np.array_equal(numbers, np.arange(len(data.cache.array)))
    pictures = data.cache.array if in_order else data.cache.array[numbers]  # memory-mapped where it can be
    findings += [
        finding("remark", f"{n} samples: {remark}", n, _with(data, remark)) for remark, n in data.remarks.items()
    ]
    findings += exact_duplicates(rows, pictures)
    if near is None:
        near = 0.98 if len(rows) <= MANY else 0
    sharp = {}
    if data.kind not in WITHOUT_PIXELS:
        findings += constant(rows, pictures) + (near_duplicates(rows, pictures, near) if near else [])
        sharp = sharpness(rows, pictures)
        findings += unlike(sharp)
    sizes = rows.loc[rows["group"] != "", "group"].value_counts()
    counts = pd.crosstab(rows["split"], rows["label"]).reindex(columns=data.classes or [""], fill_value=0)
    labels = {split: counts.loc[split].astype(int).to_dict() for split in SPLIT_ORDER if split in counts.index}
    return {
        "data": data.name, "root": str(data.root), "synthetic": data.synthetic, "release": data.release,
        "samples": len(rows), "groups": len(sizes), "labels": labels,
        "group_sizes": {name: int(size) for name, size in sizes.sort_index().items()} if len(sizes) <= MANY else {},
        "left_out": data.dropped, "corrected": data.corrected, "sharpness": sharp, "findings": findings,
    }  # fmt: skip


def in_train(cfg: DictConfig) -> pd.DataFrame:
    """The samples of val and test whose picture is in train too: sample_id, split, twin (the first one in train).

    Raises:
        ConfigError: no row has split train, or none val or test: an empty list would say that there are no copies.
        FERError: the raw folder cannot be read.
    """
    data = instantiate(cfg.data)
    data.build()
    rows = data.manifest
    splits = rows["split"].to_numpy()
    if not {"train"} < set(splits) - {""}:
        found = rows["split"].replace("", "(none)").value_counts().to_dict()
        raise ConfigError(
            f"--duplicates compares val and test with train, but the splits of data={data.name} are {found}; leave it "
            "out: the report then names identical pictures of several people"
        )
    data.prepare(Path(cfg.paths.cache), 2)
    pictures = data.cache.array[data.cache.numbers(rows["sample_id"])]
    lines = []
    for group in exact_groups(pictures):
        twin = group[splits[group] == "train"][:1]
        lines += [(row, twin[0]) for row in group if len(twin) and splits[row] != "train"]
    copies, twins = np.array(sorted(lines), dtype=int).reshape(-1, 2).T
    ids = rows["sample_id"].to_numpy()
    return pd.DataFrame({"sample_id": ids[copies], "split": splits[copies], "twin": ids[twins]})


def _prepare(data: "FERDataModule", cache_dir: Path) -> list[dict]:
    """Prepare the cache; where files cannot be read, find all of them and go on with the rest."""
    progress = CacheProgress(data.name)
    try:
        data.prepare(cache_dir, 2, progress)
        return []
    except DatasetError as error:
        print(f"{error}\nlooking for every file that cannot be read ...", file=sys.stderr)
    finally:
        progress.close()
    broken = unreadable(data.recipe, data.root, data.manifest)
    if len(broken) == len(data.manifest):
        raise DatasetError(f"none of the {len(broken)} samples can be read; the first: {next(iter(broken.values()))}")
    data.manifest = data.manifest[~data.manifest["sample_id"].isin(list(broken))].reset_index(drop=True)
    data.prepare(cache_dir, 2)
    examples = [f"{sample}: {message}" for sample, message in broken.items()]
    return [finding("unreadable", f"{len(broken)} samples cannot be read", len(broken), examples)]


def unreadable(recipe: object, root: Path, rows: pd.DataFrame) -> dict[str, str]:
    """Sample id -> message, for the rows that a recipe cannot make anything of; found by halving."""
    try:
        for _ in recipe.make(root, rows):
            pass
        return {}
    except DatasetError as error:
        if len(rows) == 1:
            return {rows["sample_id"].iloc[0]: str(error)}
    half = len(rows) // 2
    return unreadable(recipe, root, rows.iloc[:half]) | unreadable(recipe, root, rows.iloc[half:])


def _with(data: "FERDataModule", remark: str) -> list[str]:
    return data.cache.remarks.index[data.cache.remarks == remark].tolist()


def print_report(report: dict) -> None:
    """The report for people."""
    print(f"{report['data']} in {report['root']}" + ("  (SYNTHETIC)" if report["synthetic"] else ""))
    if report["release"]:
        print(f"release: {report['release']}")
    print(f"{report['samples']:,} samples, {report['groups']:,} groups (subjects, clips or videos)")
    sizes = pd.Series(report["group_sizes"], dtype=int)
    if len(sizes):
        named = f"median {sizes.median():g}, {sizes.idxmin()} has {sizes.min()}, {sizes.idxmax()} has {sizes.max()}"
        print(f"samples of a group: {named if sizes.nunique() > 1 else f'all have {sizes.min()}'}")
    print()
    table = pd.DataFrame(report["labels"]).T.rename(index={"": "(no split)"})
    table["total"] = table.sum(axis=1)
    print(table.to_string())
    for reason, number in report["left_out"].items():
        print(f"left out: {number} ({reason})")
    for reason, number in report["corrected"].items():
        print(f"corrected: {number} ({reason})")
    for split, (low, median, high) in report["sharpness"].items():
        print(f"sharpness of {split or 'all'}: {median:g} (1 % {low:g}, 99 % {high:g})")
    number = len(report["findings"])
    print(f"\n{number} finding{'s' * (number > 1)}" if number else "\nnothing found")
    for found in report["findings"]:
        print(f"- {found['check']}: {found['text']}")
        for example in found["examples"][:3]:
            print(f"    {example}")


if __name__ == "__main__":
    sys.exit(main())
