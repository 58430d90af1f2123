"""Your own pictures in class folders, to manifest.

Layout, as the option `levels` names it::

    own/train/angry/1.jpg ...               levels=[split,label]            (protocol=holdout)
    own/s01/angry/1.jpg ...                 levels=[subject,label]          (protocol=kfold or protocol=loso)
    own/test/s01/angry/1.jpg ...            levels=[split,subject,label]
    own/angry/s01_1.jpg ...                 levels=[label], and subject_pattern='^(s[0-9]+)_' reads who is seen from
                                            the file name

Pictures may lie in further folders below (one per clip, say). jpg, png, bmp and tif are read. Pictures of other kinds
(webp, gif, heic, ...; a csv that names one is refused) are left out, counted and named by kind with every run; hidden
files and all else are passed over.

Either the people or the split must be known, and all classes must be given in ``data.classes``: see `own_csv` for both
rules and their reasons. ``subject_pattern='(.+)'`` takes every file name for a person of its own; say so only where
nobody is seen twice.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, own_csv, synthetic
from fer_lightning.datasets.table import check_path
from fer_lightning.errors import ConfigError, DatasetError
from fer_lightning.functional.frames import is_image, natural_key

LEVELS = ("split", "subject", "label")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
HINT = (
    "The folder must hold pictures in class folders, such as train/angry/1.jpg; data.builder.levels names the folders."
)
CURE = (
    "sort the pictures into folders per person (data.builder.levels=[subject,label] protocol=kfold) or per part "
    "(data.builder.levels=[split,label] protocol=holdout), or give data.builder.subject_pattern if the file names tell"
)


def build_manifest(
    root: Path | str,
    levels: Sequence[str] = ("split", "label"),
    subject_pattern: str | None = None,
    name: str = "own",
    classes: Sequence[str] | None = None,
    relabel: Mapping[str, str] | None = None,
    leave_out: Sequence[str] = (),
) -> pd.DataFrame:
    """One row per picture, in natural order of the paths. Lists folders, opens no picture.

    Args:
        root: raw folder.
        levels: what the folders mean, from `root` downwards: some of split, subject, label.
        subject_pattern: regular expression whose first group is the subject, searched in the file name without suffix.
        name: of the data set; sample ids and groups start with it.
        classes: class names; a folder with another name is an error. None lets every folder pass.
        relabel: folder name -> class name.
        leave_out: folder names that are not wanted.

    Returns:
        A manifest, see `contract`. ``attrs["dropped"]`` names the pictures of kinds that are not read.

    Raises:
        DatasetNotFoundError: no such folder.
        ConfigError: options that make no sense, or folders that are no classes.
        DatasetError: pictures that do not lie where `levels` says, or that nobody can split.
    """
    levels = _check_levels(levels, subject_pattern)
    root = contract.require_root(root, "own pictures", HINT)
    pictures, others = _pictures(root)
    paths = sorted(pictures, key=natural_key)
    rows = pd.DataFrame([_row(path, levels, subject_pattern) for path in paths])
    where = rows["path"].tolist()
    manifest = own_csv.own_manifest(rows, where, CURE, name=name, classes=classes, relabel=relabel, leave_out=leave_out)
    dropped: dict[str, list[str]] = {}
    for path in sorted(others, key=natural_key):
        reason = f"{PurePosixPath(path).suffix.lower()} pictures are not read; save them as png or jpg"
        dropped.setdefault(reason, []).append(f"{name}/{path}")
    manifest.attrs = {"dropped": dropped}
    return manifest


def _check_levels(levels: Sequence[str], pattern: str | None) -> list[str]:
    levels = list(levels)
    if "label" not in levels or len(set(levels)) < len(levels) or not set(levels) <= set(LEVELS):
        raise ConfigError(f"levels={levels} must name label, and may name split and subject, each once")
    if pattern is None:
        return levels
    if "subject" in levels:
        raise ConfigError(f"levels={levels} and subject_pattern={pattern!r} both say who is seen; leave one out")
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"subject_pattern={pattern!r} is no regular expression: {error}") from error
    if groups < 1:
        raise ConfigError(f"subject_pattern={pattern!r} needs a group in brackets: the subject, as in '^(s[0-9]+)_'")
    return levels


def _pictures(root: Path) -> tuple[list[str], list[str]]:
    """Paths below `root` of pictures, and of pictures of a kind that is not read."""
    pictures, others, videos = [], [], 0
    for folder, folders, files in os.walk(root, onerror=_stop, followlinks=True):
        folders[:] = [item for item in folders if not item.startswith((".", "__MACOSX"))]
        place = Path(folder).relative_to(root)
        pictures += [(place / file).as_posix() for file in files if is_image(file)]
        others += [(place / file).as_posix() for file in files if _is_other(file)]
        videos += sum(file.lower().endswith(VIDEO_SUFFIXES) for file in files)
    if not pictures:
        found = "no pictures"
        if videos:
            found = f"no pictures, but {videos} videos; write their frames as pictures first"
        elif others:
            found = f"no pictures that can be read, but {len(others)} such as {min(others)}; save them as png or jpg"
        raise DatasetError(f"own pictures: {root} holds {found}. {HINT}")
    return pictures, others


def _is_other(name: str) -> bool:
    return name.lower().endswith(own_csv.OTHER_SUFFIXES) and not name.startswith(".")


def _stop(error: OSError) -> None:
    raise DatasetError(f"own pictures: the folder {error.filename} cannot be listed: {error.strerror}") from error


def _row(path: str, levels: Sequence[str], pattern: str | None) -> dict[str, str]:
    check_path(path)
    folders = PurePosixPath(path).parts[:-1]
    if len(folders) < len(levels):
        raise DatasetError(
            f"{path} lies in {len(folders)} folder(s), data.builder.levels={list(levels)} asks for at least "
            f"{len(levels)}; move the picture, or name the folders as they are"
        )
    row = {"path": path} | dict(zip(levels, folders, strict=False))
    if pattern is not None:
        match = re.search(pattern, PurePosixPath(path).stem)
        if match is None or not match.group(1):
            raise DatasetError(
                f"{path}: data.builder.subject_pattern={pattern!r} finds no subject in {PurePosixPath(path).stem!r}"
            )
        row["subject"] = match.group(1)
    return row


def write_tiny(
    root: Path | str,
    seed: int = 0,
    classes: Sequence[str] = own_csv.TINY_CLASSES,
    levels: Sequence[str] = ("split", "label"),
) -> None:
    """Write class folders in the order of `levels` for 12 people with two drawn faces of each class."""
    rng = np.random.default_rng(seed)
    with synthetic.raw_folder(root) as folder:
        for subject, split in own_csv.tiny_people():
            for index, label in enumerate(classes):
                names = {"split": split, "subject": subject, "label": label}
                place = folder.joinpath(*(names[level] for level in levels))
                for number in (1, 2):
                    synthetic.write_image(place / f"{subject}_{number}.png", own_csv.tiny_face(rng, index))
