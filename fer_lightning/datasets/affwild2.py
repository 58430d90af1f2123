"""Aff-Wild2 (ABAW), annotation files and cropped faces to manifest: one sample is one annotated video frame.

Layout::

    affwild2/
    ├── annotations/
    │   ├── EXPR_.../{Train_Set,Training_Set}/<video>.txt      Validation_Set/<video>.txt
    │   └── VA_.../...
    └── cropped_aligned/<video>/00001.jpg ...                  112x112 pixels, five digits, from 1

The folder of a track is called ``EXPR_Set``, ``EXPR_Recognition_Challenge`` and so on, from release to release. The
first line of a file names its classes (eight; seven without Other until 2021), then **line i, counted from 0 below the
header, is image i + 1**. -1 (expression) and -5 (valence, arousal) mean "not annotated". Frames in which no face was
detected have no image.

``<video>_left`` and ``<video>_right`` are two people in one video file: they are two sequences and one `group`. The
labels of the test set are not public.

Source: Kollias & Zafeiriou 2019, BMVC, arXiv:1910.04855; https://ibug.doc.ic.ac.uk/resources/aff-wild2/
"""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, synthetic
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional.frames import index_frames

#: Class names in the order of the codes 0..7; the releases of 2020 and 2021 have the first seven.
EXPRESSIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
EXPR_HEADERS = (",".join(EXPRESSIONS), ",".join(EXPRESSIONS[:7]))
VA_HEADER = "valence,arousal"
NO_EXPRESSION, NO_VALENCE_AROUSAL = -1, -5.0
SPLIT_FOLDERS = {"train": ("Train_Set", "Training_Set"), "val": ("Validation_Set",)}
FACES = "cropped_aligned"
NOT_ANNOTATED = "frames with label -1 (not annotated)"
NO_FACE = "annotated frames without an image (no face was detected)"
NO_LINE = "images beyond the last line of the annotation"
BEYOND_IMAGES = "annotated frames after the last image of the video"
HINT = (
    "Aff-Wild2 needs a signed licence agreement: https://ibug.doc.ic.ac.uk/resources/aff-wild2/. The folder must hold "
    f"annotations/EXPR_.../ and {FACES}/."
)
#: Rows of `synthetic.EXPRESSIONS` that `write_tiny` draws, in the order of EXPRESSIONS; other is the last, upside down.
TINY_FACES = (6, 0, 1, 2, 3, 4, 5, 6)


def build_manifest(
    root: Path | str, every: int = 1, validation_as: str = "val", two_people: str = "together"
) -> pd.DataFrame:
    """One row per frame that has an expression and a face. Lists folders, opens no image.

    Args:
        root: raw folder.
        every: take frames 1, 1 + every, 1 + 2 every, ...
        validation_as: what the official Validation_Set is called: ``val``, or ``test``, since no other labels are
            public and papers report on it.
        two_people: ``together`` keeps ``_left`` and ``_right`` of one video in one `group`; ``apart`` gives each its
            own, for releases that put the two into different sets.

    Returns:
        A manifest, see `contract`: ``sample_id`` is ``affwild2/1-30-1280x720/00017``, ``group`` is
        ``affwild2/1-30-1280x720``. ``attrs["dropped"]`` names the frames left out, by reason.

    Raises:
        ConfigError: an option that makes no sense.
        DatasetNotFoundError: the folder, the annotations or all faces are missing.
        DatasetError: a file with an unknown header or a bad line, or a video in both sets.
    """
    if every < 1 or validation_as not in ("val", "test") or two_people not in ("together", "apart"):
        raise ConfigError(
            f"Aff-Wild2: every={every} must be at least 1, validation_as={validation_as!r} 'val' or 'test', "
            f"two_people={two_people!r} 'together' or 'apart'"
        )
    root = contract.require_root(root, "Aff-Wild2", HINT)
    files = _find_files(root, "EXPR")
    if not (root / FACES).is_dir():
        raise DatasetNotFoundError(f"Aff-Wild2: no folder {FACES} in {root}. {contract.how_to_get(HINT)}")
    tables, dropped = [], {}
    for file, split in files:
        rows, left_out = _video(root, file, every)
        group = re.sub(r"_(left|right)$", "", file.stem) if two_people == "together" else file.stem
        tables.append(rows.assign(group=f"affwild2/{group}", split=validation_as if split == "val" else split))
        for reason, ids in left_out.items():
            dropped.setdefault(reason, []).extend(ids)
    rows = pd.concat(tables, ignore_index=True)
    if rows.empty:
        raise DatasetNotFoundError(
            f"Aff-Wild2: none of the {len(files)} annotated videos has an annotated frame with an image in "
            f"{root / FACES} (first video: {files[0][0].stem}). {contract.how_to_get(HINT)}"
        )
    manifest = contract.fill(rows.assign(dataset="affwild2"))
    manifest.attrs = {"dropped": dropped}
    return manifest


def read_expr(file: Path | str) -> pd.DataFrame:
    """One annotation file of the expression track.

    Returns:
        One row per line: ``frame`` (from 1) and ``label`` (class name, "" where not annotated).

    Raises:
        DatasetError: an unknown header, no lines, or a line that is no class of the header nor -1; the line is named.
    """
    file = Path(file)
    header, lines = _lines(file, EXPR_HEADERS, "Neutral,Anger,... of the expression track")
    names = dict(enumerate(header.split(","))) | {NO_EXPRESSION: ""}
    labels = []
    for number, line in enumerate(lines, start=2):
        code = line.strip()
        if not re.fullmatch(r"-1|[0-9]+", code) or int(code) not in names:
            raise DatasetError(
                f"{file.name}, line {number}: expected a class 0..{len(names) - 2} or -1 (not annotated), found "
                f"{line!r}; take the annotations from the release"
            )
        labels.append(names[int(code)])
    return pd.DataFrame({"frame": np.arange(1, len(labels) + 1), "label": pd.Series(labels, dtype=object)})


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
        try:
            values = [float(field) for field in line.split(",")]
        except ValueError:
            values = []
        if len(values) != 2 or not all(-1 <= value <= 1 or value == NO_VALENCE_AROUSAL for value in values):
            raise DatasetError(
                f"{file.name}, line {number}: expected valence,arousal in [-1, 1], or -5 (not annotated), found "
                f"{line!r}; take the annotations from the release"
            )
        pairs.append((math.nan, math.nan) if NO_VALENCE_AROUSAL in values else tuple(values))
    table = pd.DataFrame(pairs, columns=["valence", "arousal"], dtype=np.float64)
    table.insert(0, "frame", np.arange(1, len(table) + 1))
    return table


def _lines(file: Path, headers: tuple[str, ...], expected: str) -> tuple[str, list[str]]:
    """The header in lower case without spaces, and the lines below it without blank ones at the end."""
    lines = file.read_text(encoding="utf-8-sig", errors="replace").rstrip().splitlines()
    header = re.sub(r"\s", "", lines[0]).lower() if lines else ""
    if header not in headers:
        pointer = " (a Git-LFS pointer: run `git lfs pull`)" if header.startswith("versionhttps://git-lfs") else ""
        found = repr(lines[0][:80]) if lines else "an empty file"
        raise DatasetError(f"{file.name}: line 1 must be the header {expected}, found {found}{pointer}")
    if len(lines) < 2:
        raise DatasetError(f"{file.name}: no lines below the header; take the annotations from the release")
    return header, lines[1:]


def _find_files(root: Path, track: str) -> list[tuple[Path, str]]:
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


def _video(root: Path, file: Path, every: int) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Rows of one video (sample_id, path, label), and the sample ids left out by reason."""
    table = read_expr(file)
    folder = root / FACES / file.stem
    try:
        images = index_frames(item.name for item in folder.iterdir()) if folder.is_dir() else {}
    except ValueError as error:
        raise DatasetError(f"Aff-Wild2: {FACES}/{file.stem}: {error}; remove one of the two") from error
    last = max(images, default=0)
    taken = table[(table["frame"] - 1) % every == 0]
    annotated, shown = taken["label"] != "", taken["frame"].isin(list(images))
    beyond = [frame for frame in images if frame > len(table) and (frame - 1) % every == 0]
    left_out = {
        NOT_ANNOTATED: taken.loc[~annotated, "frame"],
        NO_FACE: taken.loc[annotated & ~shown & (taken["frame"] <= last), "frame"],
        BEYOND_IMAGES: taken.loc[annotated & (taken["frame"] > last), "frame"],
        NO_LINE: beyond,
    }
    ids = {reason: [_sample(file, frame) for frame in frames] for reason, frames in left_out.items() if len(frames)}
    kept = taken[annotated & shown]
    rows = pd.DataFrame(
        {
            "sample_id": [_sample(file, frame) for frame in kept["frame"]],
            "path": [f"{FACES}/{file.stem}/{images[frame]}" for frame in kept["frame"]],
            "label": kept["label"].tolist(),
        },
        dtype=object,
    )
    return rows, ids


def _sample(file: Path, frame: int) -> str:
    return f"affwild2/{file.stem}/{frame:05d}"


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write 8 training and 4 validation videos of 16 drawn frames, 48x48 pixels: each class two frames a video.

    As in the release, some frames are not annotated or have no image, and one video holds two people. One annotation
    is longer than its video, one is shorter.
    """
    rng = np.random.default_rng(seed)
    names = [f"{number}-30-1280x720" for number in range(1, 11)]
    names[3:4] = ["4-30-1280x720_left", "4-30-1280x720_right"]
    names.insert(5, "video5")
    with synthetic.raw_folder(root) as folder:
        for index, name in enumerate(names):
            codes = [code for code in range(len(EXPRESSIONS)) for _ in range(2)]
            for number, code in enumerate(codes, start=1):
                if (number + index) % 11 == 0:
                    continue
                face = synthetic.face(rng, 48, 48, TINY_FACES[code])
                face = face[::-1] if EXPRESSIONS[code] == "other" else face
                image = np.stack([face, face, face], axis=-1)
                synthetic.write_image(folder / FACES / name / f"{number:05d}.jpg", image)
            if index % 3 == 0:
                codes[0] = NO_EXPRESSION
            codes = {1: [*codes, 0, 0], 2: codes[:-1]}.get(index, codes)
            header = ",".join(word.capitalize() for word in EXPRESSIONS)
            part = "Train_Set" if index < 8 else "Validation_Set"
            file = folder / "annotations" / "EXPR_Set" / part / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join([header, *map(str, codes), ""]))
