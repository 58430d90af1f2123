"""Published optical-flow pictures, as the three channels that they hold."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import DatasetError
from fer_lightning.preprocess import sources
from fer_lightning.preprocess.resize import INTERPOLATIONS, resize

#: Red, green and blue of the pictures that STSTNet published. (Other people's pictures of the same size mean others.)
CHANNELS = ("u", "v", "strain")


class FlowImage:
    """Read a picture whose red, green and blue are u, v and optical strain of the onset-apex flow.

    Source of the meaning: Liong et al. 2019, arXiv:1902.03634; measured on the published pictures: each channel of each
    picture spans 0..255 by itself, so neither sign nor strength can be compared between pictures.

    Args:
        size: height and width of the result in pixels. A picture that has it already (28) is not resampled.
        channels: which channels, in which order, of u, v, strain.
        interpolation: one of `resize.INTERPOLATIONS`.
    """

    VERSION = 2

    def __init__(self, size: int = 28, channels: Sequence[str] = CHANNELS, interpolation: str = "bilinear") -> None:
        unknown = [name for name in channels if name not in CHANNELS]
        if unknown or not channels:
            raise ValueError(f"channels={list(channels)} must be some of {list(CHANNELS)}: the pictures hold no others")
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation={interpolation!r} is not one of {list(INTERPOLATIONS)}")
        if size < 1:
            raise ValueError(f"size={size} must be at least 1 pixel")
        self.size, self.interpolation = int(size), interpolation
        self.channel_names = [str(name) for name in channels]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return (len(self.channel_names), self.size, self.size)

    @property
    def dtype(self) -> np.dtype:
        """uint8; 0 and 255 are the least and the greatest value of that channel in that picture."""
        return np.dtype(np.uint8)

    @property
    def channels(self) -> list[str]:
        """What the channels mean."""
        return list(self.channel_names)

    def chunk_key(self, path: str) -> str:
        """Rows with equal keys are best made in one process."""
        return sources.chunk_key(path)

    def make(self, root: Path, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """One uint8 array ``(channels, size, size)`` per row.

        Raises:
            DatasetError: a picture is missing, damaged or grey; the message names it.
        """
        order = [CHANNELS.index(name) for name in self.channel_names]
        images = sources.read_images(Path(root), rows["path"])
        for sample, path, image in zip(rows["sample_id"], rows["path"], images, strict=True):
            if image.ndim != 3:
                raise DatasetError(f"{sample}: {path} is grey, expected red, green, blue = {', '.join(CHANNELS)}")
            image = resize(image, self.size, self.interpolation)
            yield np.ascontiguousarray(image[..., order].transpose(2, 0, 1))

    def flip(self, array: np.ndarray) -> np.ndarray:
        """The array of the mirrored face. u changes its sign: 0 and 255 are its least and greatest value."""
        mirrored = array[..., ::-1].copy()
        for place in [place for place, name in enumerate(self.channel_names) if name == "u"]:
            mirrored[place] = 255 - mirrored[place]
        return mirrored
