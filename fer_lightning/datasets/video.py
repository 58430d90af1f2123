"""The frames of one video, as pictures or as what OpenPose made of them: shared by DFEW and Aff-Wild2."""

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import ConfigError, DatasetError
from fer_lightning.functional import openpose, pose
from fer_lightning.functional.frames import index_frames
from fer_lightning.functional.subsample import Subsampling, distinct

#: Input -> folder that holds one folder of OpenPose's files for each video. ``--write_json`` writes the first,
#: ``--write_images`` the second.
OPENPOSE_FOLDERS = {"openpose_json": "openpose", "openpose_rendered": "openpose_rendered"}
INPUTS = ("frames", *OPENPOSE_FOLDERS)
NEAR_DUPLICATE = "frames whose pose is nearly that of the last one taken (pose_distance)"
_NAMES = {
    "openpose_json": re.compile(r"(?:.*[^0-9])?([0-9]+)(?:_keypoints)?\.json"),
    "openpose_rendered": re.compile(r"(?:.*[^0-9])?([0-9]+)_rendered\.(?:png|jpe?g|bmp)", re.IGNORECASE),
}


def check_input(name: str, input: str, sub: Subsampling) -> None:
    """Refuse an unknown input, or a comparison of poses where there are none.

    Raises:
        ConfigError: naming data set and option.
    """
    if input not in INPUTS:
        raise ConfigError(f"{name}: input={input!r} is not one of {list(INPUTS)}")
    if sub.pose_distance is not None and input != "openpose_json":
        raise ConfigError(
            f"{name}: pose_distance={sub.pose_distance} compares key points, input={input!r} has none; take "
            "input=openpose_json or openpose_images, or every or seconds"
        )


def list_frames(folder: Path, input: str, where: str) -> dict[int, str]:
    """Frame number -> file name, in order of the numbers; empty where there is no such folder. Opens no file.

    Frames count from 1, and so do pictures. OpenPose counts the frames of a video from 0, in twelve digits:
    ``<video>_000000000016_keypoints.json`` is frame 17. Made from pictures, its files carry the picture's name:
    ``00001_00017_keypoints.json`` is frame 17 too.

    Args:
        folder: of one video.
        input: one of `INPUTS`.
        where: what to call the folder in messages.

    Raises:
        DatasetError: two files are one frame.
    """
    names = os.listdir(folder) if folder.is_dir() else []
    if input == "frames":
        try:
            return index_frames(names)
        except ValueError as error:
            raise DatasetError(f"{where}: {error}; remove one of the two") from error
    frames: dict[int, str] = {}
    for name in sorted(names):
        match = _NAMES[input].fullmatch(name)
        if match is None or name.startswith("."):
            continue
        number = int(match[1]) + (len(match[1]) == 12)
        if number in frames:
            raise DatasetError(
                f"{where}: {frames[number]!r} and {name!r} are both frame {number}; remove one of the two"
            )
        frames[number] = name
    return dict(sorted(frames.items()))


def without_near_duplicates(root: Path, rows: pd.DataFrame, distance: float) -> tuple[pd.DataFrame, list[str]]:
    """Rows whose pose differs from that of the last row taken of the same video, see `distinct`. Opens all files.

    The same person is followed through a video; all points found count, of body, face and hands.

    Args:
        root: raw folder.
        rows: with `path` and `sample_id`, which is ``<video>/<frame>``; frames of one video in order.
        distance: in lengths of the torso (neck to mid-hip).

    Returns:
        The rows taken, and the sample ids of the others. A warning counts the frames that show no torso: they cannot
        be compared, and are taken.
    """
    taken, unknown = np.ones(len(rows), dtype=bool), 0
    for places in rows.groupby(rows["sample_id"].str.rpartition("/")[0], sort=False).indices.values():
        points, mask = _poses([root / path for path in rows["path"].iloc[places]])
        taken[places] = distinct(points, mask, distance)
        unknown += int((~mask.any(axis=1)).sum())
    if unknown:
        warnings.warn(
            f"pose_distance={distance}: {unknown} of {len(rows)} frames show nobody whose neck and hips were found; "
            "they were not compared, and all taken",
            stacklevel=3,
        )
    return rows[taken].reset_index(drop=True), rows.loc[~taken, "sample_id"].tolist()


def _poses(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """One person through the frames of a video: points in lengths of the torso ``(N, 137, 2)``, mask ``(N, 137)``."""
    frames = [openpose.read(file) for file in files]
    points, mask = np.zeros((len(frames), openpose.POINTS, 2)), np.zeros((len(frames), openpose.POINTS), dtype=bool)
    for number, (frame, person) in enumerate(zip(frames, pose.track(frames), strict=True)):
        if person is not None:
            points[number], mask[number] = frame.points[person], frame.mask[person]
    return pose.by_torso(points, mask)
