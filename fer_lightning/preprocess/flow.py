"""Optical flow between the onset and the apex frame of a clip."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from skimage.registration import optical_flow_tvl1

from fer_lightning.errors import DatasetError
from fer_lightning.functional import flow as maths
from fer_lightning.functional.frames import clip_frames, nearest_frames
from fer_lightning.preprocess import sources

#: Channel -> what it is made of: u to the right and v down, in pixels.
FIELDS = {"u": lambda u, v: u, "v": lambda u, v: v, "strain": maths.strain, "magnitude": maths.magnitude}
CHANNELS = tuple(FIELDS)
SIGNED = ("u", "v")
METHODS = ("tvl1", "farneback", "dis")
NORMALISATIONS = ("minmax_per_channel", "symmetric", "fixed_range", "none")


def optical_flow(first: np.ndarray, second: np.ndarray, method: str = "tvl1") -> tuple[np.ndarray, np.ndarray]:
    """Where each point of the first image has gone in the second.

    ``tvl1`` is Zach et al. 2007 / Wedel et al. 2009 as in scikit-image with its defaults (attachment 15, tightness 0.3,
    images in 0..1); ``farneback`` is OpenCV's with the arguments that HTNet uses (0.5, 3, 15, 3, 5, 1.2, 0); ``dis`` is
    Kroeger et al. 2016 as in OpenCV, medium preset.

    Args:
        first: grey, uint8, ``(H, W)``.
        second: same shape and type.
        method: ``tvl1``, ``farneback`` or ``dis``.

    Returns:
        u (to the right) and v (down) in pixels, float64, ``(H, W)``.

    Raises:
        ValueError: the shapes differ, or the method is unknown.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"two grey images of one size are needed, found {first.shape} and {second.shape}")
    if method == "tvl1":
        v, u = optical_flow_tvl1(first.astype(np.float32) / 255, second.astype(np.float32) / 255)  # rows first
    elif method == "farneback":
        u, v = np.moveaxis(cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0), -1, 0)
    elif method == "dis":
        dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        u, v = np.moveaxis(dis.calc(first, second, None), -1, 0)
    else:
        raise ValueError(f"method={method!r} is not one of {list(METHODS)}")
    return u.astype(np.float64), v.astype(np.float64)


def negate(channel: np.ndarray, normalise: str) -> np.ndarray:
    """The stored values of the opposite displacement.

    Right up to the rounding to 8 bits: 255 - x where least and greatest value span 0..255, 256 - x where 128 is no
    motion, -x where nothing was normalised.

    Args:
        channel: u or v of one picture, any shape.
        normalise: how it was stored, see `OnsetApexFlow`.
    """
    if normalise == "none":
        return -channel
    if normalise != "minmax_per_channel":
        return np.clip(2 * maths.ZERO - channel.astype(np.int16), 0, 255).astype(np.uint8)
    return 255 - channel if channel.min() < channel.max() else channel  # constant: no motion at all


class OnsetApexFlow:
    """Onset and apex frame to a flow image.

    In this order, since the results differ: read both frames, turn them grey; (`resize_first` only: resize both
    frames); flow; strain and magnitude; resize each channel (averaging areas when it gets smaller); normalise.
    Displacements stay in pixels of the images that the flow was computed on.

    Args:
        size: height and width of the result in pixels.
        channels: which channels, in which order, of u, v, strain, magnitude.
        method: see `optical_flow`.
        normalise: ``minmax_per_channel`` (each channel of each image from 0 to 255, as the pictures published with
            STSTNet), ``symmetric`` (signs kept: no motion is 128 for u and v, 0 for strain and magnitude),
            ``fixed_range`` (strength kept too) or ``none`` (pixels of displacement as they are, 16-bit floats). In 8
            bits a channel without any variation (equal frames) is all "no motion".
        fixed_range: pixels of displacement that become 255 (``-fixed_range`` becomes 1); ``fixed_range`` only.
        strain_range: strain that becomes 255; ``fixed_range`` only.
        resize_first: resize the frames instead of the flow, as HTNet does.
    """

    VERSION = 1

    def __init__(
        self,
        size: int = 75,
        channels: Sequence[str] = ("u", "v"),
        method: str = "tvl1",
        normalise: str = "minmax_per_channel",
        fixed_range: float = 3.0,
        strain_range: float = 0.3,
        resize_first: bool = False,
    ) -> None:
        unknown = [name for name in channels if name not in CHANNELS]
        if unknown or not channels:
            raise ValueError(f"channels={list(channels)} must be some of {list(CHANNELS)}")
        if method not in METHODS:
            raise ValueError(f"method={method!r} is not one of {list(METHODS)}")
        if normalise not in NORMALISATIONS:
            raise ValueError(f"normalise={normalise!r} is not one of {list(NORMALISATIONS)}")
        if size < 2 or not fixed_range > 0 or not strain_range > 0:
            raise ValueError(
                f"size={size} must be at least 2, fixed_range={fixed_range} and strain_range={strain_range} above 0"
            )
        self.size, self.channel_names = int(size), [str(name) for name in channels]
        self.method, self.normalise, self.resize_first = method, normalise, bool(resize_first)
        self.fixed_range, self.strain_range = float(fixed_range), float(strain_range)
        self._seconds: Counter[str] = Counter()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return (len(self.channel_names), self.size, self.size)

    @property
    def dtype(self) -> np.dtype:
        """uint8, what a value means depends on `normalise`; float16 without."""
        return np.dtype(np.float16 if self.normalise == "none" else np.uint8)

    @property
    def channels(self) -> list[str]:
        """What the channels mean."""
        return list(self.channel_names)

    def chunk_key(self, path: str) -> str:
        """Rows with equal keys are best made in one process; clips are independent."""
        return ""

    def flip(self, array: np.ndarray) -> np.ndarray:
        """The flow of the mirrored clip: mirrored, and what went to the right goes to the left."""
        mirrored = array[..., ::-1].copy()
        for place, name in enumerate(self.channel_names):
            if name == "u":
                mirrored[place] = negate(mirrored[place], self.normalise)
        return mirrored

    def make(self, root: Path, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """One array ``(channels, size, size)`` per clip.

        Raises:
            DatasetError: a frame is missing or damaged, or the two differ in size; clip and file are named.
        """
        for row in rows.itertuples():
            started = time.perf_counter()
            onset, apex = read_pair(Path(root), row.sample_id, row.path, row.onset, row.apex)
            self._seconds["reading"] += time.perf_counter() - started
            yield self.image(onset, apex)

    def image(self, onset: np.ndarray, apex: np.ndarray) -> np.ndarray:
        """The flow image of two grey frames of one size."""
        if self.resize_first:
            onset, apex = self._resize(onset), self._resize(apex)
        started = time.perf_counter()
        u, v = optical_flow(onset, apex, self.method)
        found = time.perf_counter()
        made = np.stack([self._stored(name, self._resize(FIELDS[name](u, v))) for name in self.channel_names])
        self._seconds.update({"optical flow": found - started, "strain and resize": time.perf_counter() - found})
        return made

    def _resize(self, image: np.ndarray) -> np.ndarray:
        if image.shape == (self.size, self.size):
            return image
        smaller = min(image.shape) >= self.size
        return cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)

    def _stored(self, name: str, field: np.ndarray) -> np.ndarray:
        if self.normalise == "none":
            return field.astype(np.float16)
        signed = name in SIGNED
        if self.normalise == "minmax_per_channel":
            return maths.minmax(field, signed)
        if self.normalise == "symmetric":
            return maths.symmetric(field, signed)
        return maths.fixed_range(field, self.strain_range if name == "strain" else self.fixed_range, signed)


def read_pair(root: Path, sample: str, path: str, onset: int, apex: int) -> tuple[np.ndarray, np.ndarray]:
    """The onset and the apex frame of one clip, grey.

    Args:
        root: raw folder.
        sample: sample id, for messages.
        path: folder of the clip below `root`; the last number in a file's name is its frame number.
        onset: frame number.
        apex: frame number.

    Raises:
        DatasetError: a frame is missing or damaged, or the two differ in size.
    """
    if pd.isna(onset) or pd.isna(apex):
        raise DatasetError(f"{sample}: onset-apex flow needs both frame numbers, found onset {onset}, apex {apex}")
    names = clip_frames(root, path, sample)
    frames = []
    for what, number in (("onset", onset), ("apex", apex)):
        if number not in names:
            raise DatasetError(
                f"{sample}: no {what} frame {number} in {path}; nearest there are {nearest_frames(names, number)}"
            )
        frames.append(sources.to_gray(sources.read_file(root, f"{path}/{names[number]}")))
    if frames[0].shape != frames[1].shape:
        raise DatasetError(
            f"{sample}: the onset frame has {frames[0].shape[0]}x{frames[0].shape[1]} pixels, the apex frame "
            f"{frames[1].shape[0]}x{frames[1].shape[1]}; crop both alike"
        )
    return frames[0], frames[1]
