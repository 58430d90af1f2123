"""DFEW (single-labelled clips), frames or what OpenPose made of them, to manifest: a sample is one frame, or one clip.

Layouts, also one folder down (``DFEW``, ``DFEW-part2``)::

    dfew/
    ├── EmoLabel_DataSplit/{train,test}(single-labeled)/set_1.csv ... set_5.csv       video_name,label    (or)
    ├── label/single_{train,test}set_1.csv ...
    ├── Clip/clip_224x224/00001/00001_00001.jpg ...        all frames       (or data_affine/single_label/data)
    ├── Clip/clip_224x224_16f/00001/1.jpg ... 16.jpg       16 frames of each clip
    ├── openpose/00001/*_keypoints.json                    of OpenPose (--write_json): names see `video.list_frames`
    └── openpose_rendered/00001/*_rendered.png             the same (--write_images --disable_blending)

``video_name`` is a whole number, the folder has its five digits; labels count from 1 (happy) to 7 (fear), and 0 means
"not single-labelled". Five official folds, each a train and a test list, no validation list. A clip is a `group`: its
frames are never split. DFEW does not name people.

Source: Jiang et al. 2020, ACM MM, doi:10.1145/3394171.3413620. 11,697 clips have frames; 12 to 847 each, median 70.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, synthetic, synthetic_pose, video
from fer_lightning.datasets.dfew_lists import (
    EMOTIONS,
    FOLDS,
    HINT,
    LISTS,
    PARTS,
    UNPACKED_NAMES,
    read_all_folds,
    read_fold,
)
from fer_lightning.datasets.release import count
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional import openpose
from fer_lightning.functional.subsample import Subsampling, first_of_each

FRAME_FOLDERS = ("Clip/clip_224x224", "data_affine/single_label/data", "Clip/clip_224x224_16f")
#: Input -> folders that may hold one folder for each clip.
FOLDERS = {"frames": FRAME_FOLDERS} | {name: (folder,) for name, folder in video.OPENPOSE_FOLDERS.items()}
NO_FRAMES = "clips of the list without a frame in the raw folder"
NOT_SINGLE = "clips with label 0 (not single-labelled)"
#: Rows of `synthetic.EXPRESSIONS` that `write_tiny` draws, in the order of EMOTIONS.
TINY_FACES = (3, 4, 6, 0, 5, 1, 2)
TINY_FRAMES = 9


def build_manifest(
    root: Path | str,
    fold: int | None = 1,
    input: str = "frames",
    unit: str = "frame",
    every: int | None = None,
    seconds: float | None = None,
    fps: float = 30.0,
    pose_distance: float | None = None,
    frames: str | None = None,
    first_label: int = 1,
    label_zero: str = "refuse",
) -> pd.DataFrame:
    """One row per frame or clip, clips in the order of the train list, then of the test list. Opens no picture.

    Args:
        root: raw folder.
        fold: official fold, 1 to 5; None takes the clips of all, for the protocol `published_folds`.
        input: ``frames``, ``openpose_json`` or ``openpose_rendered``.
        unit: ``frame``, or ``clip``: `path` is then the clip's folder, and onset and offset are the first and the last
            number in the names of its files.
        every: take the first and then every so-manieth frame of a clip.
        seconds: take the first frame in each stretch of this time.
        fps: frames a second, for `seconds`. The release does not tell it, and films differ: 30 is a guess.
        pose_distance: take frames whose pose has moved this far, in lengths of the torso (`subsample.distinct`);
            reads every JSON file.
        frames: folder below `root` with one folder for each clip; None takes the first of `FOLDERS`.
        first_label: code of *happy*: 1 in the official lists, 0 in some people's copies.
        label_zero: what a 0 in an official list does: ``refuse``, or ``drop`` (and report) the clip.

    Returns:
        A manifest, see `contract`: ``sample_id`` is ``dfew/00001/00017`` (clip, frame) or ``dfew/00001``, ``group`` is
        ``dfew/00001``, `split` is train or test. With ``fold=None`` there is no split, but a column ``published_fold``:
        "1" to "5", the fold that tests the clip. ``attrs["release_counts"]`` counts the *clips* of the lists;
        ``attrs["dropped"]`` names clips without frames, and near-duplicates.

    Raises:
        ConfigError: an option that makes no sense.
        DatasetNotFoundError: the folder, a list, or all frames are missing.
        DatasetError: a list with another header, a bad row or a clip twice, naming file and line; lists that do not
            test each clip once; two files of one frame.
        LeakError: a clip stands in both lists of a fold.
    """
    sub = Subsampling(every, seconds, fps, pose_distance)
    _check_options(fold, input, unit, sub, first_label, label_zero)
    root = contract.require_root(root, "DFEW", HINT)
    clips = read_fold(root, fold, first_label) if fold else read_all_folds(root, first_label)
    clips["group"] = "dfew/" + clips["clip"]
    clips, dropped = _single_labelled(clips, label_zero)
    release_counts = count(contract.fill(clips))
    listed = _list_clips(root, _find_frames(root, input, frames), clips["clip"], input)
    there = clips["clip"].isin(listed.keys())
    if not there.all():
        dropped[NO_FRAMES] = clips.loc[~there, "group"].tolist()
    clips = clips[there].reset_index(drop=True)
    rows = _clip_rows(clips, listed, input) if unit == "clip" else _frame_rows(clips, listed, sub)
    if sub.pose_distance:
        rows, near = video.without_near_duplicates(root, rows, sub.pose_distance)
        dropped[video.NEAR_DUPLICATE] = near
    manifest = contract.fill(rows.drop(columns="clip").assign(dataset="dfew"))
    manifest.attrs = {"release_counts": release_counts, "dropped": dropped}
    return manifest


def _check_options(
    fold: int | None, input: str, unit: str, sub: Subsampling, first_label: int, label_zero: str
) -> None:
    if fold is not None and fold not in FOLDS:
        raise ConfigError(f"DFEW: fold={fold!r} is none of the official folds {list(FOLDS)}, or null for all")
    video.check_input("DFEW", input, sub)
    if unit not in ("frame", "clip"):
        raise ConfigError(f"DFEW: unit={unit!r} must be 'frame' or 'clip'")
    if unit == "clip" and (sub.rule or input == "openpose_rendered"):
        raise ConfigError(
            f"DFEW: unit='clip' does not go with {sub.rule or input}: the recipe chooses the frames of a clip, from "
            "pictures or JSON; set every, seconds and pose_distance to null, input to frames or openpose_json"
        )
    if first_label not in (0, 1):
        raise ConfigError(f"DFEW: first_label={first_label!r} must be 1 (official) or 0")
    if label_zero not in ("refuse", "drop"):
        raise ConfigError(f"DFEW: label_zero={label_zero!r} must be 'refuse' or 'drop'")


def _single_labelled(clips: pd.DataFrame, label_zero: str) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The clips with one label, and what was left out."""
    zero = clips["label"] == ""
    if not zero.any():
        return clips, {}
    if label_zero == "refuse":
        raise DatasetError(
            f"DFEW: {int(zero.sum())} clips have label 0, which means not single-labelled (first: "
            f"{clips['clip'][zero].iloc[0]}). If these lists count from 0, set data.builder.first_label=0; to leave "
            "such clips out, data.builder.label_zero=drop"
        )
    return clips[~zero].reset_index(drop=True), {NOT_SINGLE: clips.loc[zero, "group"].tolist()}


def _find_frames(root: Path, input: str, frames: str | None) -> str:
    names = [frames] if frames else list(FOLDERS[input])
    for top in UNPACKED_NAMES[:1] if frames else UNPACKED_NAMES:
        for name in names:
            if (root / top / name).is_dir():
                return (Path(top) / name).as_posix()
    raise DatasetNotFoundError(
        f"DFEW: the lists are there, but no folder {' or '.join(names)} with one folder for each clip in {root}. "
        f"{contract.how_to_get(HINT)}"
    )


def _list_clips(root: Path, folder: str, clips: pd.Series, input: str) -> dict[str, tuple[str, dict[int, str]]]:
    """Clip -> its folder below the root, and its files by frame; clips without any are not there."""
    folders: dict[str, str] = {}
    for item in (root / folder).iterdir():
        if not item.name.isdecimal():
            continue
        clip = item.name.zfill(5)
        if clip in folders:
            raise DatasetError(f"DFEW: {folder} holds {folders[clip]} and {item.name}, both clip {clip}; remove one")
        folders[clip] = item.name
    places = {clip: f"{folder}/{folders[clip]}" for clip in clips if clip in folders}
    listed = {clip: (place, video.list_frames(root / place, input, f"DFEW: {place}")) for clip, place in places.items()}
    listed = {clip: found for clip, found in listed.items() if found[1]}
    if not listed:
        raise DatasetNotFoundError(
            f"DFEW: none of the {len(clips)} clips has a frame in {root / folder} (first: {clips.iloc[0]}). "
            f"{contract.how_to_get(HINT)}"
        )
    return listed


def _clip_rows(clips: pd.DataFrame, listed: dict[str, tuple[str, dict[int, str]]], input: str) -> pd.DataFrame:
    spans = []
    for clip in clips["clip"]:
        names = listed[clip][1]
        numbers = list(names) if input == "frames" else [openpose.split_name(name)[1] for name in names.values()]
        spans.append((numbers[0], numbers[-1]))
    onset, offset = zip(*spans, strict=True)
    paths = [listed[clip][0] for clip in clips["clip"]]
    return clips.assign(sample_id=clips["group"], path=paths, onset=onset, offset=offset)


def _frame_rows(clips: pd.DataFrame, listed: dict[str, tuple[str, dict[int, str]]], sub: Subsampling) -> pd.DataFrame:
    numbers, paths, repeats = [], [], []
    for clip in clips["clip"]:
        place, names = listed[clip]
        there = np.array(list(names))
        # `every` counts the frames that are there, `seconds` those that were recorded
        taken = there[first_of_each(np.arange(len(there)) if sub.every else there - there[0], sub.step)].tolist()
        numbers += taken
        paths += [f"{place}/{names[number]}" for number in taken]
        repeats.append(len(taken))
    rows = clips.loc[clips.index.repeat(repeats)].reset_index(drop=True)
    return rows.assign(sample_id=rows["group"] + pd.Series([f"/{number:05d}" for number in numbers]), path=paths)


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write 35 clips of 9 drawn frames, 48x48 pixels, the JSON of as many drawn people, and all lists: each fold tests
    one clip of each class.

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
            name, expression = f"{clip:05d}", TINY_FACES[code]
            for frame in range(1, TINY_FRAMES + 1):
                face = synthetic.face(rng, 48, 48, expression)
                image = np.stack([face, face, face], axis=-1)
                synthetic.write_image(folder / f"{FRAME_FOLDERS[0]}/{name}/{name}_{frame:05d}.jpg", image)
            looks = [(code, expression)] * TINY_FRAMES
            synthetic_pose.write_video(folder / f"openpose/{name}", name, rng, looks)
