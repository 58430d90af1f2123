"""A skeleton picture from the JSON that OpenPose writes for one frame."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fer_lightning.functional import openpose, pose, skeleton
from fer_lightning.preprocess.pose_array import NOBODY
from fer_lightning.preprocess.remark import Remarked

CROPS = ("image", "person", "face")
PEOPLE = ("area", "confidence", "track", "all")
NOT_DRAWN = {"image": "no part to draw", "person": "no part to draw", "face": "no face to draw"}


class PoseImage:
    """Read key points, choose people, draw them on black (`skeleton.draw`).

    With ``crop="image"`` the whole image is drawn at its recorded size, padded with black to a square and reduced, as
    if OpenPose's own picture (``--disable_blending``) were reduced. With ``person`` or ``face`` the square around all
    points, or those of the face, is moved and scaled first and drawn at the final size, so that lines stay whole.
    A frame without people, or without a face for ``crop="face"``, is black, and remarked.

    Args:
        size: height and width of the result in pixels.
        crop: ``image``, ``person`` or ``face``.
        person: ``area`` (the largest), ``confidence`` (the surest), ``track`` (the largest of the first frame, then
            whoever overlaps the last box most, through the rows of one video in their order) or ``all``.
        width: of the recorded image in pixels, which the JSON does not tell. Needed for ``crop="image"`` and for
            coordinates that are shares of the image.
        height: the same.
        scale: ``pixels``, ``unit`` ([0, 1]) or ``signed`` ([-1, 1]); None looks at each file, see `detect_scale`.
        margin: black around ``person`` or ``face``, as a share of the square on each side.
        parts: what is drawn, of body, face, hand_left, hand_right.
    """

    VERSION = 2

    def __init__(
        self,
        size: int = 112,
        crop: str = "person",
        person: str = "area",
        width: int | None = None,
        height: int | None = None,
        scale: str | None = None,
        margin: float = 0.1,
        parts: Sequence[str] = ("body", "face", "hand_left", "hand_right"),
    ) -> None:
        for name, value, allowed in (
            ("crop", crop, CROPS),
            ("person", person, PEOPLE),
            ("scale", scale, (None, *pose.SCALES)),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r} is not one of {list(allowed)}")
        if not parts or set(parts) - set(skeleton.STYLES):
            raise ValueError(f"parts={list(parts)} must be some of {list(skeleton.STYLES)}")
        if size < 2 or not 0 <= margin < 0.5:
            raise ValueError(f"size={size} must be at least 2 pixels, margin={margin} in [0, 0.5)")
        if (width is None) != (height is None) or (crop == "image" and width is None):
            raise ValueError(f"crop={crop!r}: width={width} and height={height} of the image must both be given")
        if width is not None and min(width, height) < 2:
            raise ValueError(f"width={width} and height={height} must be at least 2 pixels")
        self.size, self.crop, self.person, self.scale = int(size), crop, person, scale
        self.width, self.height, self.margin = width, height, float(margin)
        self.parts = [str(part) for part in parts]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, size, size)."""
        return (3, self.size, self.size)

    @property
    def dtype(self) -> np.dtype:
        """uint8, 0 to 255."""
        return np.dtype(np.uint8)

    @property
    def channels(self) -> list[str]:
        """What the channels mean."""
        return ["red", "green", "blue"]

    def chunk_key(self, path: str) -> str:
        """Rows with equal keys are best made in one process: those of one video where a person is tracked."""
        return openpose.video(path) if self.person == "track" else ""

    def make(self, root: Path, rows: pd.DataFrame) -> Iterator[np.ndarray | Remarked]:
        """One uint8 array ``(3, size, size)``, red, green, blue, per row; remarked where it is black.

        Raises:
            DatasetNotFoundError: a file is missing.
            DatasetError: a file is no JSON of OpenPose, is of another scale than was said, or holds shares of an image
                whose size was not given.
        """
        video, last = None, None
        for path in rows["path"]:
            frame = openpose.read(f"{root}/{path}")
            if self.chunk_key(path) != video:
                video, last = self.chunk_key(path), None
            people = self._people(frame, last)
            if self.person == "track" and people:
                last = pose.person_box(frame, people[0])
            scale = pose.scale_of([frame], self.scale, path, certain=self.crop == "image")
            frame = pose.to_pixels(frame, scale, self.width, self.height, path)
            picture = self.image(frame, people).transpose(2, 0, 1)
            remark = NOT_DRAWN[self.crop] if people else NOBODY
            yield picture if picture.any() else Remarked(picture, remark)

    def flip(self, array: np.ndarray) -> np.ndarray:
        """The picture of the mirrored scene, where the colours of right and left joints are exchanged.

        Exact but for lines that cross; of ``crop="image"``, which is reduced, nearly so. See `skeleton.mirror`.

        Raises:
            ConfigError: only one hand was drawn.
        """
        pose.mirrored(self.parts)
        return np.ascontiguousarray(skeleton.mirror(array.transpose(1, 2, 0), self.parts).transpose(2, 0, 1))

    def image(self, frame: openpose.Frame, people: Sequence[int]) -> np.ndarray:
        """The picture of these people, key points in pixels; uint8, ``(size, size, 3)``, red, green, blue."""
        if self.crop == "image":
            return self._reduce(skeleton.draw(frame, self.width, self.height, people, self.parts))
        place = openpose.PARTS["face"] if self.crop == "face" else slice(None)
        chosen = list(people)
        sure = frame.confidence[chosen, place] > skeleton.MEASURED
        square = pose.box(frame.points[chosen, place][sure], np.ones(int(sure.sum()), dtype=bool))
        if square is None or max(square[2] - square[0], square[3] - square[1]) <= 0:
            return np.zeros((self.size, self.size, 3), dtype=np.uint8)
        low, high = np.array(square[:2]), np.array(square[2:])
        factor = (self.size - 1) * (1 - 2 * self.margin) / (high - low).max()
        points = (frame.points - (low + high) / 2) * factor + (self.size - 1) / 2
        moved = replace(frame, points=np.where(frame.mask[..., None], points, 0))
        return skeleton.draw(moved, self.size, self.size, people, self.parts)

    def _people(self, frame: openpose.Frame, last: pose.Box | None) -> list[int]:
        if self.person == "all":
            return np.flatnonzero(frame.mask.any(axis=1)).tolist()
        by = "area" if self.person == "track" else self.person
        chosen = pose.choose(frame, by, last)
        return [] if chosen is None else [chosen]

    def _reduce(self, picture: np.ndarray) -> np.ndarray:
        side = max(picture.shape[:2])
        down, right = side - picture.shape[0], side - picture.shape[1]
        border = (down // 2, down - down // 2, right // 2, right - right // 2)
        square = cv2.copyMakeBorder(picture, *border, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        smaller = side >= self.size
        return cv2.resize(square, (self.size, self.size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
