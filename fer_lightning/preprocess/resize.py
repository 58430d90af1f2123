"""Changing the size of images, by names that all recipes share."""

import numpy as np
from PIL import Image

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
INTERPOLATIONS = tuple(_FILTERS)


def resize(image: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """An image as a square of `size` pixels; one that has this size already is not resampled.

    The filters are Pillow's: all but ``nearest`` smooth before reducing, so any of them may be used in both directions.
    (OpenCV's of the same names skip pixels when an image gets smaller; its Lanczos reads 8x8 pixels instead of 6x6.)
    ``area`` is the mean over the pixels that become one; an image that gets larger has none, and is made bilinear.

    Args:
        image: uint8, ``(H, W)`` or ``(H, W, 3)``.
        size: height and width of the result in pixels.
        interpolation: one of `INTERPOLATIONS`.
    """
    if image.shape[:2] == (size, size):
        return image
    if interpolation == "area" and size > min(image.shape[:2]):
        interpolation = "bilinear"
    return np.asarray(Image.fromarray(image).resize((size, size), _FILTERS[interpolation]))
