"""What the tracks of Aff-Wild2 share: annotation files, and which of their lines have a picture or file of OpenPose."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, video
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional.subsample import Subsampling, first_of_each

#: Class names in the order of the codes 0..7; the releases of 2020 and 2021 have the first seven.
EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
EXPR_HEADERS = (",".join(EXPRESSIONS), ",".join(EXPRESSIONS[:7]))
VA_HEADER = "valence,arousal"
NO_EXPRESSION, NO_VALENCE_AROUSAL = -1, -5.0
SPLIT_FOLDERS = {"train": ("Train_Set", "Training_Set"), "val": ("Validation_Set",)}
FACES = "cropped_aligned"
FOLDERS = {"frames": FACES} | video.OPENPOSE_FOLDERS
NOT_ANNOTATED = "frames with label -1 or -5 (not annotated)"
NO_FACE = "annotated frames without an image (no face was detected)"
NO_OPENPOSE = "annotated frames without a file of OpenPose"
BOTH_PEOPLE = "annotated frames of one of two people, where OpenPose's files hold both (a folder for each is needed)"
NO_LINE = "images or files of OpenPose beyond the last line of the annotation"
BEYOND_IMAGES = "annotated frames after the last image or file of OpenPose of the video"
HINT = (
    "Aff-Wild2 needs a signed licence agreement: https://ibug.doc.ic.ac.uk/resources/aff-wild2/. The folder must hold "
    f"annotations/EXPR_.../ or VA_.../, and {FACES}/ or what OpenPose made (openpose/)."
)
_NUMBER = r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*"
_PAIR = re.compile(f"{_NUMBER},{_NUMBER}")


def read_track(
    root: Path | str,
    track: str,
    read: Callable[[Path], pd.DataFrame],
    input: str,
    unit: str,
    sub: Subsampling,
    validation_as: str,
    two_people: str,
) -> pd.DataFrame:
    """Manifest of one track: one row per frame that is annotated and has a file of this input.

    Args:
        root: raw folder.
        track: ``EXPR`` or ``VA``, the beginning of the folder's name.
        read: `read_expr` or `read_va`; their columns beside ``frame`` become columns of the manifest.
        input: one of `video.INPUTS`.
        unit: ``frame``; an annotated clip does not exist.
        sub: which frames are taken.
        validation_as: ``val`` or ``test``.
        two_people: ``together`` or ``apart``.

    Raises:
        ConfigError: an option that makes no sense.
        DatasetNotFoundError: the folder, the annotations or all files are missing.
        DatasetError: a bad annotation file, a video in both sets, or two files of one frame.
    """
    video.check_input("Aff-Wild2", input, sub)
    if unit != "frame" or validation_as not in ("val", "test") or two_people not in ("together", "apart"):
        raise ConfigError(
            f"Aff-Wild2: unit={unit!r} must be 'frame', since frames are annotated, "
            f"validation_as={validation_as!r} 'val' or 'test', two_people={two_people!r} 'together' or 'apart'"
        )
    root = contract.require_root(root, "Aff-Wild2", HINT)
    files = find_files(root, track)
    if not (root / FOLDERS[input]).is_dir():
        raise DatasetNotFoundError(f"Aff-Wild2: no folder {FOLDERS[input]} in {root}. {contract.how_to_get(HINT)}")
    tables, dropped = [], {}
    for file, split in files:
        rows, left_out = _video(root, file, read(file), input, sub)
        group = re.sub(r"_(left|right)$", "", file.stem) if two_people == "together" else file.stem
        tables.append(rows.assign(group=f"affwild2/{group}", split=validation_as if split == "val" else split))
        for reason, ids in left_out.items():
            dropped.setdefault(reason, []).extend(ids)
    tables = [rows for rows in tables if len(rows)]
    if not tables:
        raise DatasetNotFoundError(
            f"Aff-Wild2: none of the {len(files)} annotated videos has an annotated frame with a file in "
            f"{root / FOLDERS[input]} (first video: {files[0][0].stem}). {contract.how_to_get(HINT)}"
        )
    manifest = pd.concat(tables, ignore_index=True)
    if sub.pose_distance:
        manifest, dropped[video.NEAR_DUPLICATE] = video.without_near_duplicates(root, manifest, sub.pose_distance)
    manifest = contract.fill(manifest.assign(dataset="affwild2"))
    manifest.attrs = {"dropped": dropped}
    return manifest


def find_files(root: Path, track: str) -> list[tuple[Path, str]]:
    """(file, train or val) of one track, the training videos first, by name."""
    folders = sorted(item for item in (root / "annotations").glob(f"{track}*") if item.is_dir())
    if len(folders) != 1:
        found = [item.name for item in folders] or "none"
        raise DatasetNotFoundError(
            f"Aff-Wild2: expected one folder annotations/{track}_... in {root}, found {found}; keep one release. "
            f"{contract.how_to_get(HINT)}"
        )
    files = []
    for split, names in SPLIT_FOLDERS.items():
        found = [file for name in names for file in sorted((folders[0] / name).glob("*.txt"))]
        if not found:
            raise DatasetNotFoundError(
                f"Aff-Wild2: no {' or '.join(names)}/<video>.txt in {folders[0]}. {contract.how_to_get(HINT)}"
            )
        files += [(file, split) for file in found if not file.name.startswith(".")]
    seen: dict[str, Path] = {}
    for file, _ in files:
        if file.stem in seen:
            both = f"{seen[file.stem].parent.name} and {file.parent.name}"
            raise DatasetError(f"Aff-Wild2: {file.name} stands in {both}; a video must stand in one set")
        seen[file.stem] = file
    return files


def read_expr(file: Path | str) -> pd.DataFrame:
    """One annotation file of the expression track.

    Returns:
        One row per line: ``frame`` (from 1) and ``label`` (class name, "" where not annotated).

    Raises:
        DatasetError: an unknown header, no lines, or a line that is no class of the header nor -1; the line is named.
    """
    file = Path(file)
    header, lines = _lines(file, EXPR_HEADERS, "Neutral,Anger,... of the expression track")
    names = {str(code): name for code, name in enumerate(header.split(","))} | {str(NO_EXPRESSION): ""}
    codes = [line.strip() for line in lines]
    for number, code in enumerate(codes, start=2):
        if code not in names:
            raise DatasetError(
                f"{file.name}, line {number}: expected a class 0..{len(names) - 2} or -1 (not annotated), found "
                f"{lines[number - 2]!r}; take the annotations from the release"
            )
    labels = pd.Series([names[code] for code in codes], dtype="str")
    return pd.DataFrame({"frame": np.arange(1, len(labels) + 1), "label": labels})


def read_va(file: Path | str) -> pd.DataFrame:
    """One annotation file of the valence-arousal track.

    Returns:
        One row per line: ``frame`` (from 1), ``valence`` and ``arousal`` in ``[-1, 1]``; both are NaN where either is
        -5 (not annotated).

    Raises:
        DatasetError: an unknown header, no lines, or a line that is not two numbers in [-1, 1] or -5, which is named.
    """
    file = Path(file)
    _, lines = _lines(file, (VA_HEADER,), f"{VA_HEADER} of the valence-arousal track")
    pairs = []
    for number, line in enumerate(lines, start=2):
        match = _PAIR.fullmatch(line)
        values = tuple(map(float, match.groups())) if match else ()
        if not match or not all(-1 <= value <= 1 or value == NO_VALENCE_AROUSAL for value in values):
            raise DatasetError(
                f"{file.name}, line {number}: expected valence,arousal in [-1, 1], or -5 (not annotated), found "
                f"{line!r}; take the annotations from the release"
            )
        pairs.append((math.nan, math.nan) if NO_VALENCE_AROUSAL in values else values)
    table = pd.DataFrame(pairs, columns=["valence", "arousal"], dtype=np.float64)
    table.insert(0, "frame", np.arange(1, len(table) + 1))
    return table


def _lines(file: Path, headers: tuple[str, ...], expected: str) -> tuple[str, list[str]]:
    """The header in lower case without spaces, and the lines below it without blank ones at the end."""
    # not splitlines(): a stray form feed would move all frames below it
    lines = file.read_text(encoding="utf-8-sig", errors="replace").rstrip().split("\n")
    header = re.sub(r"\s", "", lines[0]).lower()
    if header not in headers:
        pointer = " (a Git-LFS pointer: run `git lfs pull`)" if header.startswith("versionhttps://git-lfs") else ""
        found = repr(lines[0][:80]) if header else "an empty line or file"
        raise DatasetError(f"{file.name}: line 1 must be the header {expected}, found {found}{pointer}")
    if len(lines) < 2:
        raise DatasetError(f"{file.name}: no lines below the header; take the annotations from the release")
    return header, lines[1:]


def _video(
    root: Path, file: Path, table: pd.DataFrame, input: str, sub: Subsampling
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Rows of one video (sample_id, path, and the table's columns), and the sample ids left out by reason."""
    place = f"{FOLDERS[input]}/{file.stem}"
    names = video.list_frames(root / place, input, f"Aff-Wild2: {place}")
    if 0 in names:
        raise DatasetError(f"Aff-Wild2: {place}/{names[0]} is frame 0, but frames count from 1; name the files anew")
    numbers = np.union1d(table["frame"], np.array(list(names), dtype=int))
    numbers = numbers[first_of_each(numbers - 1, sub.step)]
    taken = table[table["frame"].isin(numbers)]
    known = taken.iloc[:, 1]
    annotated, there = known.notna() & (known != ""), taken["frame"].isin(list(names))
    within = taken["frame"] <= max(names, default=0)
    left_out = {
        NOT_ANNOTATED: taken.loc[~annotated, "frame"],
        NO_FACE if input == "frames" else NO_OPENPOSE: taken.loc[annotated & ~there & within, "frame"],
        BEYOND_IMAGES: taken.loc[annotated & ~within, "frame"],
        NO_LINE: numbers[numbers > len(table)],
    }
    whole = re.sub(r"_(left|right)$", "", place)
    if input != "frames" and not names and whole != place and (root / whole).is_dir():
        left_out[BOTH_PEOPLE] = left_out.pop(BEYOND_IMAGES)
    ids = {reason: [_sample(file, frame) for frame in frames] for reason, frames in left_out.items() if len(frames)}
    kept = taken[annotated & there]
    rows = kept.drop(columns="frame").assign(
        sample_id=[_sample(file, frame) for frame in kept["frame"]],
        path=[f"{place}/{names[frame]}" for frame in kept["frame"]],
    )
    return rows, ids


def _sample(file: Path, frame: int) -> str:
    return f"affwild2/{file.stem}/{frame:05d}"
