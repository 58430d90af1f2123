"""A grey face at one size: what the networks for FER2013 read."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fer_lightning.preprocess import sources

INTERPOLATIONS = {"lanczos": cv2.INTER_LANCZOS4, "bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


class FaceGray:
    """Read, turn grey, resize.

    Args:
        size: height and width of the result in pixels. An image that has it already is not resampled.
        interpolation: ``lanczos`` (8x8 neighbours), ``bilinear`` or ``area``; the first two do not smooth before
            reducing, so take ``area`` to make images much smaller.
    """

    VERSION = 1

    def __init__(self, size: int = 48, interpolation: str = "lanczos") -> None:
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation={interpolation!r} is not one of {list(INTERPOLATIONS)}")
        if size < 1:
            raise ValueError(f"size={size} must be at least 1 pixel")
        self.size, self.interpolation = int(size), interpolation

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, size, size)."""
        return (1, self.size, self.size)

    @property
    def dtype(self) -> np.dtype:
        """uint8, black 0 to white 255."""
        return np.dtype(np.uint8)

    @property
    def channels(self) -> list[str]:
        """What the channels mean."""
        return ["gray"]

    def chunk_key(self, path: str) -> str:
        """Rows with equal keys are best made in one process."""
        return sources.chunk_key(path)

    def make(self, root: Path, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """One uint8 array ``(1, size, size)`` per row.

        Raises:
            DatasetError: an image is missing or damaged; the message names it.
        """
        for image in sources.read_images(Path(root), rows["path"]):
            gray = sources.to_gray(image)
            if gray.shape != (self.size, self.size):
                gray = cv2.resize(gray, (self.size, self.size), interpolation=INTERPOLATIONS[self.interpolation])
            yield gray[None]
