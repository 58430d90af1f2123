"""A face as grey or colour image at one size."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import DatasetError
from fer_lightning.preprocess import face_crop, sources
from fer_lightning.preprocess.remark import Remarked
from fer_lightning.preprocess.resize import INTERPOLATIONS, resize

CHANNELS = (["gray"], ["red", "green", "blue"])
CROPS = (None, "boxes", "landmarks", "detect")
FITS = ("eyes", "five_points")
NOT_FOUND = ("whole", "error")
NO_FACE = "no face was found: the whole image was taken"


class Face:
    """Read, cut the face out, turn grey or colour, resize.

    Images are as a viewer shows them: the orientation that a camera notes in the file (EXIF) is obeyed, and boxes and
    landmarks count from the corner of the upright image.

    =============  ===================================================================================================
    crop           what is cut out
    =============  ===================================================================================================
    ``null``       nothing; an image that is no square is stretched to one
    ``boxes``      the square round the box that `crop_file` names: a csv ``path,left,top,right,bottom``, in pixels, the
                   last two outside the box, ``path`` as in the manifest; or ``Annotation/boundingbox`` of RAF-DB
    ``landmarks``  the face, turned and scaled by its landmarks: a csv ``path,x1,y1,...,x5,y5`` (eyes, tip of the nose,
                   corners of the mouth, of each pair first the one further left); or ``Annotation/manual`` of RAF-DB
    ``detect``     the largest face, found by OpenCV's Haar cascade (a square, not turned), or, where `crop_file` names
                   the ONNX file of YuNet, by that, and aligned by its landmarks
    =============  ===================================================================================================

    What a crop shows of the world outside the image repeats the image's border. The network of YuNet comes from
    github.com/opencv/opencv_zoo, ``face_detection_yunet_2023mar.onnx``.

    Args:
        size: height and width of the result in pixels. An image that has it already is not resampled.
        channels: ``[gray]`` (weights of ITU-R BT.601) or ``[red, green, blue]``, all the same where an image is grey.
        interpolation: ``nearest``, ``area``, ``bilinear``, ``bicubic`` or ``lanczos``. The filters are Pillow's, which
            smooth before reducing, see `resize`. Whether the Lanczos of CAMNet's thesis was Pillow's is not known.
        crop: see above.
        crop_file: below the raw folder, or an absolute path; see above. The cache notices when the file changes; of a
            folder, only when files come or go.
        margin: added on each side, as a share of the box's longer side, or of the aligned face.
        align: ``eyes`` brings the eyes exactly to their places, ``five_points`` all five landmarks as near as
            they go (`functional.landmarks.places`).
        not_found: what ``detect`` does without a face: ``whole`` takes the square in the middle of the image, with a
            remark; ``error`` stops.
    """

    VERSION = 1

    def __init__(
        self,
        size: int = 48,
        channels: Sequence[str] = ("gray",),
        interpolation: str = "lanczos",
        crop: str | None = None,
        crop_file: str | None = None,
        margin: float = 0.0,
        align: str = "eyes",
        not_found: str = "whole",
    ) -> None:
        for name, value, allowed in (
            ("channels", list(channels), CHANNELS),
            ("interpolation", interpolation, INTERPOLATIONS),
            ("crop", crop, CROPS),
            ("align", align, FITS),
            ("not_found", not_found, NOT_FOUND),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r} is not one of {list(allowed)}")
        if size < 1 or not -0.5 < margin < 10:
            raise ValueError(f"size={size} must be at least 1 pixel, margin={margin} above -0.5 and below 10")
        if (crop in ("boxes", "landmarks") and not crop_file) or (crop is None and crop_file):
            raise ValueError(f"crop={crop!r} does not go with crop_file={crop_file!r}: boxes and landmarks need a file")
        self.size, self.channel_names = int(size), [str(name) for name in channels]
        self.interpolation, self.crop, self.crop_file = interpolation, crop, crop_file
        self.margin, self.align, self.not_found = float(margin), align, not_found

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return (len(self.channel_names), self.size, self.size)

    @property
    def dtype(self) -> np.dtype:
        """uint8, black 0 to white 255."""
        return np.dtype(np.uint8)

    @property
    def channels(self) -> list[str]:
        """What the channels mean."""
        return list(self.channel_names)

    @property
    def raw_files(self) -> list[str]:
        """Files below the raw folder that are read beside those of the manifest."""
        return [self.crop_file] if self.crop_file else []

    def chunk_key(self, path: str) -> str:
        """Rows with equal keys are best made in one process."""
        return sources.chunk_key(path)

    def make(self, root: Path, rows: pd.DataFrame) -> Iterator[np.ndarray | Remarked]:
        """One uint8 array ``(channels, size, size)`` per row; remarked where `detect` found no face.

        Raises:
            DatasetError: an image is missing or damaged, or there is no face in it that can be cut out; it is named.
        """
        find = face_crop.finder(self.crop, self.crop_file, Path(root)) if self.crop else None
        for path, image in zip(rows["path"], sources.read_images(Path(root), rows["path"]), strict=True):
            place = find(path, image) if find else None
            if place is not None:
                yield self._array(self._cut(image, place))
            elif not find:
                yield self._array(image)
            elif self.not_found == "whole":
                yield Remarked(self._array(face_crop.middle(image)), NO_FACE)
            else:
                raise DatasetError(f"{path}: no face was found; leave it out, or set data.recipe.not_found=whole")

    def flip(self, array: np.ndarray) -> np.ndarray:
        """The array of the mirrored face."""
        return np.ascontiguousarray(array[..., ::-1])

    def _cut(self, image: np.ndarray, place: np.ndarray) -> np.ndarray:
        if place.ndim == 1:
            return face_crop.cut(image, place, self.margin)
        return face_crop.align(image, place, self.size, self.margin, self.align, self.interpolation)

    def _array(self, image: np.ndarray) -> np.ndarray:
        if len(self.channel_names) == 1:
            return resize(sources.to_gray(image), self.size, self.interpolation)[None]
        resized = resize(image, self.size, self.interpolation)
        return np.repeat(resized[None], 3, axis=0) if resized.ndim == 2 else resized.transpose(2, 0, 1)
