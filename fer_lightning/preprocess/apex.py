"""The apex frame of a clip, spotted in its frames, as a recipe: `data.builder.apex=spot`."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fer_lightning.errors import DatasetError
from fer_lightning.functional import apex
from fer_lightning.functional.frames import clip_frames, frames_between, middle_frame, nearest_frames
from fer_lightning.preprocess import sources
from fer_lightning.preprocess.flow import METHODS as FLOWS
from fer_lightning.preprocess.flow import optical_flow
from fer_lightning.preprocess.remark import Remarked

METHODS = ("frame_difference", "divide_and_conquer", "flow")
TOO_FEW = "too few frames to spot an apex: the middle frame was taken"
#: Part of a clip that the running mean of divide and conquer may span.
SMOOTHED = 4


class SpotApex:
    """The *number* of the frame that shows the expression at its strongest, for clips with onset and offset.

    All frames from onset to offset that are there are read once, grey. An apex that somebody annotated is not looked
    at.

    Args:
        method: ``frame_difference``, ``divide_and_conquer`` or ``flow``, see `functional.apex`; how far each errs on
            drawn clips says ``python benchmarks/flow.py --apex``.
        flow: optical flow of ``flow``, see `preprocess.flow.optical_flow`; ``dis`` is the fastest.
        window: running mean of ``divide_and_conquer`` in frames, odd; never more than a quarter of the clip.
        longest: larger frames are reduced so that their longer side has so many pixels (those of CASME II have 340).
    """

    VERSION = 1

    def __init__(
        self, method: str = "frame_difference", flow: str = "dis", window: int = 5, longest: int = 340
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method={method!r} is not one of {list(METHODS)}")
        if flow not in FLOWS:
            raise ValueError(f"flow={flow!r} is not one of {list(FLOWS)}")
        if window < 1 or window % 2 == 0 or longest < 1:
            raise ValueError(f"window={window} must be odd and longest={longest} at least 1")
        self.method, self.flow, self.window, self.longest = method, flow, int(window), int(longest)
        self._seconds: Counter[str] = Counter()

    @property
    def shape(self) -> tuple[int]:
        """One number."""
        return (1,)

    @property
    def dtype(self) -> np.dtype:
        """int32, a frame number as in the file names."""
        return np.dtype(np.int32)

    @property
    def channels(self) -> list[str]:
        """What the number means."""
        return ["apex"]

    def chunk_key(self, path: str) -> str:
        """Rows with equal keys are best made in one process; clips are independent."""
        return ""

    def flip(self, array: np.ndarray) -> np.ndarray:
        """A mirrored clip has the same apex."""
        return array

    def make(self, root: Path, rows: pd.DataFrame) -> Iterator[np.ndarray | Remarked]:
        """One frame number, int32 ``(1,)``, per clip.

        Raises:
            DatasetError: onset, offset or a frame is missing or damaged, or the frames differ in size or are too small;
                the clip is named.
        """
        for row in rows.itertuples():
            started = time.perf_counter()
            numbers, frames = self._read(Path(root), row)
            read = time.perf_counter()
            if len(frames) < apex.MIN_FRAMES:
                number = nearest_frames(numbers, middle_frame(row.onset, row.offset), n=1)[0]
                yield Remarked(np.array([number], dtype=np.int32), TOO_FEW)
                continue
            try:
                index = self.index(frames)
            except ValueError as error:
                raise DatasetError(f"{row.sample_id}: {error}") from error
            self._seconds.update({"reading": read - started, "spotting": time.perf_counter() - read})
            yield np.array([numbers[index]], dtype=np.int32)

    def index(self, frames: np.ndarray) -> int:
        """Index of the apex among grey uint8 frames ``(T, H, W)``, onset first; see `functional.apex`."""
        if self.method == "frame_difference":
            return apex.spot_frame_difference(frames)
        if self.method == "divide_and_conquer":
            window = max(1, min(self.window, len(frames) // SMOOTHED))
            return apex.spot_divide_and_conquer(frames, window=window - 1 + window % 2)
        flows = (optical_flow(frames[0], frame, self.flow) for frame in frames[1:])
        motion = [apex.region_motion(u, v) for u, v in flows]
        return apex.spot_flow(np.array([0 * motion[0], *motion]))

    def _read(self, root: Path, row: tuple) -> tuple[list[int], np.ndarray]:
        """Numbers and grey frames of the clip, of one size."""
        if pd.isna(row.onset) or pd.isna(row.offset):
            raise DatasetError(
                f"{row.sample_id}: spotting needs onset and offset, found {row.onset} and {row.offset}; name them, or "
                "take another data.builder.apex"
            )
        names = clip_frames(root, row.path, row.sample_id)
        if row.onset not in names:
            near = nearest_frames(names, row.onset)
            raise DatasetError(f"{row.sample_id}: no onset frame {row.onset} in {row.path}; nearest there are {near}")
        names = frames_between(names, row.onset, row.offset)
        frames = [sources.to_gray(sources.read_file(root, f"{row.path}/{name}")) for name in names.values()]
        sizes = {frame.shape for frame in frames}
        if len(sizes) > 1:
            raise DatasetError(
                f"{row.sample_id}: frames of several sizes in {row.path}: {sorted(sizes)}; crop all alike"
            )
        scale = self.longest / max(frames[0].shape)
        if scale < 1:
            frames = [cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in frames]
        return list(names), np.stack(frames)
