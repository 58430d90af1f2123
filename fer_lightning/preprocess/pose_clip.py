"""Some frames of a clip as key points: what networks read that see a person move."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import DatasetError
from fer_lightning.functional import openpose, pose
from fer_lightning.preprocess.pose_array import PoseArray
from fer_lightning.preprocess.remark import Remarked

WINDOWS = ("all", "start", "middle")
NO_FILE = "there is no file"
REPEATED = "the clip has fewer frames than are taken: some stand there twice"


class PoseClip:
    """Choose frames, choose a person, normalise each frame as `PoseArray` does.

    Of the n frames from onset to offset, both included, ``all`` takes number ``round(i (n - 1) / (T - 1))``, counted
    from 0 (halves to the even number): the first and the last are always taken. ``start`` and ``middle`` take T frames
    on end. A clip of fewer than T frames repeats some. Frame numbers are those of the file names, which OpenPose counts
    from 0 in a video; a clip without onset and offset is all files of its folder. A frame without a file is one without
    people.

    To follow a person (``track``) all files are read from the first to the last frame taken, since between two of these
    people may move by more than their own width; otherwise only the frames taken.

    Args:
        frames: how many are taken, T.
        window: ``all``, ``start`` or ``middle``; see above.
        person: ``track`` (the largest of the first frame, then whoever overlaps the last box most), or in each frame
            anew ``area``, ``confidence`` or ``first``.
        parts: as the arguments below, see `PoseArray`.
        channels: the same.
        normalise: the same; each frame by its own torso or box.
        scale: the same; null looks at all files read of a clip.
        width: the same.
        height: the same.
    """

    VERSION = 1

    def __init__(
        self,
        frames: int = 16,
        window: str = "all",
        person: str = "track",
        parts: Sequence[str] = tuple(openpose.PARTS),
        channels: Sequence[str] = ("x", "y", "mask"),
        normalise: str | None = "box",
        scale: str | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> None:
        if window not in WINDOWS:
            raise ValueError(f"window={window!r} is not one of {list(WINDOWS)}")
        if frames < 2:
            raise ValueError(f"frames={frames} must be at least 2")
        self._frame = PoseArray(parts, channels, person, normalise, scale, width, height)
        self.frames, self.window, self.person = int(frames), window, person
        self.parts, self.channel_names = self._frame.parts, self._frame.channel_names
        self.normalise, self.scale, self.width, self.height = normalise, scale, width, height

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, frames, joints)."""
        channels, joints = self._frame.shape
        return (channels, self.frames, joints)

    @property
    def dtype(self) -> np.dtype:
        """float32."""
        return self._frame.dtype

    @property
    def channels(self) -> list[str]:
        """What the channels mean."""
        return self._frame.channels

    def chunk_key(self, path: str) -> str:
        """Rows with equal keys are best made in one process; clips are independent."""
        return ""

    def flip(self, array: np.ndarray) -> np.ndarray:
        """The key points of the mirrored scene, see `PoseArray.flip`."""
        return self._frame.flip(array)

    def picture(self, array: np.ndarray, size: int = 160) -> np.ndarray:
        """First, middle and last frame side by side: RGB, uint8, ``(size, 3 size, 3)``."""
        frames = (0, self.frames // 2, self.frames - 1)
        return np.concatenate([self._frame.picture(array[:, frame], size) for frame in frames], axis=1)

    def make(self, root: Path, rows: pd.DataFrame) -> Iterator[np.ndarray | Remarked]:
        """One float32 array ``(channels, frames, joints)`` per clip; remarked where some of it is missing.

        Raises:
            DatasetError: the folder or all of its files are missing, it holds two videos, only one of onset and offset
                is known, or a file cannot be read, see `PoseArray.make`.
        """
        for row in rows.itertuples():
            files = _files(Path(root) / row.path, row.sample_id)
            numbers = _numbers(files, row)
            taken = [numbers[place] for place in self._places(len(numbers))]
            read = range(taken[0], taken[-1] + 1) if self.person == "track" else taken
            frames = {number: openpose.read(f"{root}/{row.path}/{files[number]}") for number in read if number in files}
            people = self._people(frames)
            scale = self._frame.scale_of(list(frames.values()), row.path)
            arrays, remarks = [], Counter()
            for number in taken:
                array, remark = np.zeros(self._frame.shape, np.float32), NO_FILE
                if number in files:
                    array, remark = self._frame.array(frames[number], people[number], scale, f"{row.path} {number}")
                arrays.append(array)
                remarks[remark] += 1
            said = [
                f"{'all' if n == self.frames else 'some'} frames: {remark}" for remark, n in remarks.items() if remark
            ]
            said += [REPEATED] if len(numbers) < self.frames else []
            clip = np.stack(arrays, axis=1)
            yield Remarked(clip, "; ".join(sorted(said))) if said else clip

    def _places(self, length: int) -> list[int]:
        """Which of this many frames are taken, counted from 0."""
        if self.window == "all" or length < self.frames:
            return np.rint(np.linspace(0, length - 1, self.frames)).astype(int).tolist()
        first = 0 if self.window == "start" else (length - self.frames) // 2
        return list(range(first, first + self.frames))

    def _people(self, frames: dict[int, openpose.Frame]) -> dict[int, int | None]:
        if self.person == "track":
            return dict(zip(frames, pose.track(frames.values()), strict=True))
        return {number: pose.choose(frame, self.person) for number, frame in frames.items()}


def _files(folder: Path, sample: str) -> dict[int, str]:
    """Frame number -> file name, ascending; files that are no JSON or have no number are ignored."""
    if not folder.is_dir():
        raise DatasetError(f"{sample}: no folder {folder}; complete the files that OpenPose wrote")
    files: dict[int, str] = {}
    videos: dict[str, str] = {}
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")):
        video, number = openpose.split_name(name)
        if number is None:
            continue
        videos.setdefault(video, name)
        if len(videos) > 1 or number in files:
            other = files.get(number) or next(iter(videos.values()))
            raise DatasetError(
                f"{sample}: {other!r} and {name!r} in {folder} are of two videos, or the same frame; one folder must "
                "hold one video"
            )
        files[number] = name
    return dict(sorted(files.items()))


def _numbers(files: dict[int, str], row: tuple) -> Sequence[int]:
    """The frame numbers of a clip, with or without a file."""
    if pd.isna(row.onset) != pd.isna(row.offset):
        raise DatasetError(
            f"{row.sample_id}: expected onset and offset, or neither, found {row.onset} and {row.offset}"
        )
    numbers = list(files) if pd.isna(row.onset) else range(int(row.onset), int(row.offset) + 1)
    if not any(number in files for number in numbers):
        there = f"those there are {min(files)} to {max(files)}" if files else "there are none"
        span = f" from {row.onset} to {row.offset}" if pd.notna(row.onset) else ""
        raise DatasetError(
            f"{row.sample_id}: no file <video>_<frame>_keypoints.json{span} in {row.path}; {there}. Frame numbers are "
            "those of the file names, which OpenPose counts from 0"
        )
    return numbers
