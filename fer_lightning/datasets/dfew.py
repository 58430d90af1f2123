"""DFEW (single-labelled clips), frame images to manifest: one sample is one frame.

Layouts, also one folder down (``DFEW``, ``DFEW-part2``)::

    dfew/
    ├── EmoLabel_DataSplit/{train,test}(single-labeled)/set_1.csv ... set_5.csv       video_name,label    (or)
    ├── label/single_{train,test}set_1.csv ...
    ├── Clip/clip_224x224/00001/00001_00001.jpg ...        all frames       (or data_affine/single_label/data)
    └── Clip/clip_224x224_16f/00001/1.jpg ... 16.jpg       16 frames of each clip

``video_name`` is a whole number, the folder has its five digits; labels count from 1 (happy) to 7 (fear), and 0 means
"not single-labelled". Five official folds, each a train and a test list, no validation list. A clip is a `group`: its
frames are never split. DFEW does not name people.

Source: Jiang et al. 2020, ACM MM, doi:10.1145/3394171.3413620. 11,697 clips have frames; 12 to 847 each, median 70.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, synthetic
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError, LeakError
from fer_lightning.functional.frames import index_frames

#: Class names in the order of the codes 1..7.
EMOTIONS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
FOLDS = (1, 2, 3, 4, 5)
PARTS = ("train", "test")
UNPACKED_NAMES = ("", "DFEW", "DFEW-part2", "dfew")
LISTS = ("EmoLabel_DataSplit/{part}(single-labeled)/set_{fold}.csv", "label/single_{part}set_{fold}.csv")
FRAME_FOLDERS = ("Clip/clip_224x224", "data_affine/single_label/data", "Clip/clip_224x224_16f")
NO_FRAMES = "clips of the list without a frame in the raw folder"
NOT_SINGLE = "clips with label 0 (not single-labelled)"
HINT = (
    "DFEW needs a signed licence agreement: https://dfew-dataset.github.io. The folder must hold "
    f"{LISTS[0].format(part='train', fold=1)} and so on, and the frames ({' or '.join(FRAME_FOLDERS)}); videos are not "
    "read."
)
#: Rows of `synthetic.EXPRESSIONS` that `write_tiny` draws, in the order of EMOTIONS.
TINY_FACES = (3, 4, 6, 0, 5, 1, 2)


def build_manifest(
    root: Path | str,
    fold: int = 1,
    every: int = 1,
    frames: str | None = None,
    first_label: int = 1,
    label_zero: str = "refuse",
) -> pd.DataFrame:
    """One row per frame, clips in the order of the train list, then of the test list. Lists folders, opens no image.

    Args:
        root: raw folder.
        fold: official fold, 1 to 5.
        every: take the first and then every so-manieth frame of a clip.
        frames: folder below `root` with one folder of frames per clip; None takes the first of `FRAME_FOLDERS`.
        first_label: code of *happy*: 1 in the official lists, 0 in some people's copies.
        label_zero: what a 0 in an official list does: ``refuse``, or ``drop`` (and report) the clip.

    Returns:
        A manifest, see `contract`: ``sample_id`` is ``dfew/00001/00017`` (clip, frame), ``group`` is ``dfew/00001``,
        `split` is train or test. ``attrs["release_counts"]`` counts the *clips* of both lists; ``attrs["dropped"]``
        names clips without frames.

    Raises:
        ConfigError: an option that makes no sense.
        DatasetNotFoundError: the folder, a list, or all frames are missing.
        DatasetError: a list with another header, a bad row or a clip twice, naming file and line.
        LeakError: a clip stands in both lists.
    """
    _check_options(fold, every, first_label, label_zero)
    root = contract.require_root(root, "DFEW", HINT)
    clips = pd.concat(
        [read_list(_find_list(root, part, fold), first_label).assign(split=part) for part in PARTS], ignore_index=True
    )
    twice = clips["clip"].duplicated()
    if twice.any():
        raise LeakError(
            f"DFEW fold {fold}: {int(twice.sum())} clips stand in the train and in the test list (first: "
            f"{clips['clip'][twice].iloc[0]}); take both lists from the release"
        )
    clips["group"] = "dfew/" + clips["clip"]
    clips, dropped = _single_labelled(clips, fold, label_zero)
    release_counts = contract.count(clips)
    manifest, missing = _frames(root, _find_frames(root, frames), clips, every)
    if missing:
        dropped[NO_FRAMES] = missing
    manifest.attrs = {"release_counts": release_counts, "dropped": dropped}
    return manifest


def read_list(file: Path | str, first_label: int = 1) -> pd.DataFrame:
    """One official list: columns clip (``00001``) and label (class name; "" for an official 0).

    Raises:
        DatasetError: another header, no rows, or a row that is not two whole numbers in range; the line is named.
    """
    file = Path(file)
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    header = [field.strip().strip('"') for field in lines[0].split(",")] if lines else []
    if sorted(header) != ["label", "video_name"]:
        pointer = " (a Git-LFS pointer: run `git lfs pull`)" if header and header[0].startswith("version https") else ""
        raise DatasetError(f"{file.name}: line 1 must name the columns video_name,label, found {header[:4]}{pointer}")
    names = dict(enumerate(EMOTIONS, start=first_label)) | ({0: ""} if first_label else {})
    rows, seen = [], {}
    for number, line in enumerate(lines[1:], start=2):
        fields = dict(zip(header, (field.strip().strip('"') for field in line.split(",")), strict=False))
        if not line.strip():
            continue
        clip, code = fields["video_name"], fields.get("label", "")
        if line.count(",") != 1 or not clip.isdecimal() or not code.isdecimal() or int(code) not in names:
            raise DatasetError(
                f"{file.name}, line {number}: expected a clip number and a label {min(names)}..{max(names)}, found "
                f"{line!r}; take the lists from the release"
            )
        clip = clip.zfill(5)
        if clip in seen:
            raise DatasetError(f"{file.name}, line {number}: clip {clip} stands in line {seen[clip]} too")
        seen[clip] = number
        rows.append((clip, names[int(code)]))
    if not rows:
        raise DatasetError(f"{file.name}: no rows below the header; take the lists from the release")
    return pd.DataFrame(rows, columns=["clip", "label"])


def _check_options(fold: int, every: int, first_label: int, label_zero: str) -> None:
    if fold not in FOLDS:
        raise ConfigError(f"DFEW: fold={fold!r} is none of the official folds {list(FOLDS)}")
    if every < 1:
        raise ConfigError(f"DFEW: every={every} must be at least 1 (each frame)")
    if first_label not in (0, 1):
        raise ConfigError(f"DFEW: first_label={first_label!r} must be 1 (official) or 0")
    if label_zero not in ("refuse", "drop"):
        raise ConfigError(f"DFEW: label_zero={label_zero!r} must be 'refuse' or 'drop'")


def _single_labelled(clips: pd.DataFrame, fold: int, label_zero: str) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The clips with one label, and what was left out."""
    zero = clips["label"] == ""
    if not zero.any():
        return clips, {}
    if label_zero == "refuse":
        raise DatasetError(
            f"DFEW fold {fold}: {int(zero.sum())} clips have label 0, which means not single-labelled (first: "
            f"{clips['clip'][zero].iloc[0]}). If these lists count from 0, set data.builder.first_label=0; to leave "
            "such clips out, data.builder.label_zero=drop"
        )
    return clips[~zero].reset_index(drop=True), {NOT_SINGLE: clips.loc[zero, "group"].tolist()}


def _find_list(root: Path, part: str, fold: int) -> Path:
    names = [name.format(part=part, fold=fold) for name in LISTS]
    for folder in UNPACKED_NAMES:
        for name in names:
            if (root / folder / name).is_file():
                return root / folder / name
    raise DatasetNotFoundError(f"DFEW: no {' or '.join(names)} in {root}. {contract.how_to_get(HINT)}")


def _find_frames(root: Path, frames: str | None) -> str:
    names = (
        [frames] if frames else [f"{folder}/{name}".lstrip("/") for folder in UNPACKED_NAMES for name in FRAME_FOLDERS]
    )
    for name in names:
        if (root / name).is_dir():
            return Path(name).as_posix()
    looked = [frames] if frames else list(FRAME_FOLDERS)
    raise DatasetNotFoundError(
        f"DFEW: the lists are there, but no folder {' or '.join(looked)} with the frames in {root}. "
        f"{contract.how_to_get(HINT)}"
    )


def _frames(root: Path, folder: str, clips: pd.DataFrame, every: int) -> tuple[pd.DataFrame, list[str]]:
    """One row per frame taken, and the groups of clips that have none."""
    folders = {item.name.zfill(5): item.name for item in (root / folder).iterdir() if item.name.isdecimal()}
    numbers, paths, repeats, missing = [], [], [], []
    for clip, group in zip(clips["clip"], clips["group"], strict=True):
        names: dict[int, str] = {}
        if clip in folders:
            place = f"{folder}/{folders[clip]}"
            try:
                names = index_frames(item.name for item in (root / place).iterdir())
            except ValueError as error:
                raise DatasetError(f"DFEW: {place}: {error}; remove one of the two") from error
        taken = list(names)[::every]
        numbers += taken
        paths += [f"{place}/{names[number]}" for number in taken]
        repeats.append(len(taken))
        if not taken:
            missing.append(group)
    if not paths:
        raise DatasetNotFoundError(
            f"DFEW: none of the {len(clips)} clips has a frame in {root / folder} (first: {clips['clip'][0]}). "
            f"{contract.how_to_get(HINT)}"
        )
    rows = clips.loc[clips.index.repeat(repeats)].reset_index(drop=True)
    rows["sample_id"] = rows["group"] + pd.Series([f"/{number:05d}" for number in numbers])
    return contract.fill(rows.drop(columns="clip").assign(dataset="dfew", path=paths)), missing


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write 35 clips of 9 drawn frames, 48x48 pixels, and all lists: each fold tests one clip of each class.

    As in people's copies, the frames of one listed clip (16372) are missing.
    """
    rng = np.random.default_rng(seed)
    clips = [(7 * index + 1, index % len(EMOTIONS), FOLDS[index // len(EMOTIONS)]) for index in range(35)]
    listed = [*clips, (16372, 2, 5)]
    with synthetic.raw_folder(root) as folder:
        for fold in FOLDS:
            for part in PARTS:
                rows = [f"{clip},{code + 1}" for clip, code, tested in listed if (tested == fold) == (part == "test")]
                file = folder / LISTS[0].format(part=part, fold=fold)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("\r\n".join(["video_name,label", *rows, ""]))
        for clip, code, _ in clips:
            for frame in range(1, 10):
                face = synthetic.face(rng, 48, 48, TINY_FACES[code])
                image = np.stack([face, face, face], axis=-1)
                synthetic.write_image(folder / f"{FRAME_FOLDERS[0]}/{clip:05d}/{clip:05d}_{frame:05d}.jpg", image)
