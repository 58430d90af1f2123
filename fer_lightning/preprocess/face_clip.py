"""Some frames of a clip at one size: what networks read that see a face move."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import DatasetError
from fer_lightning.functional.frames import clip_frames, frames_between
from fer_lightning.preprocess import sources
from fer_lightning.preprocess.remark import Remarked
from fer_lightning.preprocess.resize import INTERPOLATIONS, resize

GRAY, COLOURS = ["gray"], ["red", "green", "blue"]
REPEATED = "the clip has fewer frames than are taken: some stand there twice"


class FaceClip:
    """Choose frames, turn them grey or leave their colours, resize.

    Of the n frames that are there from onset to offset, both included, frame ``i`` of T is number
    ``round(i (n - 1) / (T - 1))``, counted from 0 (halves to the even number): the first and the last are always taken,
    and a shorter clip repeats frames. A clip without onset and offset is all of its folder.

    Args:
        size: height and width of the result in pixels. A frame that has it already is not resampled.
        frames: how many are taken, T.
        channels: ``[gray]``, or ``[red, green, blue]``, which are equal for a grey frame.
        interpolation: one of `resize.INTERPOLATIONS`.
    """

    VERSION = 1

    def __init__(
        self, size: int = 112, frames: int = 16, channels: Sequence[str] = COLOURS, interpolation: str = "area"
    ) -> None:
        if list(channels) not in (GRAY, COLOURS):
            raise ValueError(f"channels={list(channels)} must be {GRAY} or {COLOURS}")
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation={interpolation!r} is not one of {list(INTERPOLATIONS)}")
        if size < 1 or frames < 2:
            raise ValueError(f"size={size} must be at least 1 pixel, frames={frames} at least 2")
        self.size, self.frames, self.interpolation = int(size), int(frames), interpolation
        self.channel_names = [str(name) for name in channels]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(channels, frames, size, size)."""
        return (len(self.channel_names), self.frames, self.size, self.size)

    @property
    def dtype(self) -> np.dtype:
        """uint8, black 0 to white 255."""
        return np.dtype(np.uint8)

    @property
    def channels(self) -> list[str]:
        """What the channels mean."""
        return list(self.channel_names)

    def chunk_key(self, path: str) -> str:
        """Rows with equal keys are best made in one process; clips are independent."""
        return ""

    def flip(self, array: np.ndarray) -> np.ndarray:
        """The clip of the mirrored face."""
        return np.ascontiguousarray(array[..., ::-1])

    def make(self, root: Path, rows: pd.DataFrame) -> Iterator[np.ndarray | Remarked]:
        """One uint8 array ``(channels, frames, size, size)`` per clip.

        Raises:
            DatasetError: the folder or all of its frames are missing, a frame is damaged, or only one of onset and
                offset is known; the clip or file is named.
        """
        for row in rows.itertuples():
            names = self._names(Path(root), row)
            chosen = np.rint(np.linspace(0, len(names) - 1, self.frames)).astype(int)
            read = {i: self._frame(sources.read_file(root, f"{row.path}/{names[i]}")) for i in np.unique(chosen)}
            clip = np.stack([read[i] for i in chosen], axis=1)
            yield Remarked(clip, REPEATED) if len(names) < self.frames else clip

    def _names(self, root: Path, row: tuple) -> list[str]:
        names = clip_frames(root, row.path, row.sample_id)
        if pd.isna(row.onset) != pd.isna(row.offset):
            raise DatasetError(
                f"{row.sample_id}: expected onset and offset, or neither, found {row.onset} and {row.offset}"
            )
        if pd.notna(row.onset):
            names = frames_between(names, row.onset, row.offset)
        if not names:
            span = f" from {row.onset} to {row.offset}" if pd.notna(row.onset) else " with a number in their names"
            raise DatasetError(f"{row.sample_id}: no frames{span} in {row.path}; complete the frames")
        return list(names.values())

    def _frame(self, image: np.ndarray) -> np.ndarray:
        """One frame ``(channels, size, size)``."""
        if self.channel_names == GRAY:
            image = sources.to_gray(image)
        image = resize(image, self.size, self.interpolation)
        return image.transpose(2, 0, 1) if image.ndim == 3 else np.stack([image] * len(self.channel_names))
