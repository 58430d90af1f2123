"""Key points as numbers, from the JSON that OpenPose writes for one frame."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import ConfigError
from fer_lightning.functional import openpose, pose, skeleton
from fer_lightning.preprocess.remark import Remarked

CHANNELS = ("x", "y", "confidence", "mask")
PEOPLE = (*pose.CHOICES, "track")
NORMALISATIONS = ("torso", "box", "image", None)
NOBODY = "nobody in the frame"
#: What a normalisation cannot do without.
NO_UNIT = {
    "torso": "the torso (neck and hips) was not found: every joint counts as missing",
    "box": "one point alone has no box: every joint counts as missing",
}
NO_POINT = "no point of these parts was found"


class PoseArray:
    """Read key points, choose a person, normalise.

    A joint that was not found is 0 in all channels: tell it by `mask` or `confidence`, since 0 is a place too. The body
    has the joints of BODY_25; one of COCO_18 stands at the same places, mid-hip and feet missing.

    ==============  ==================================================================================================
    normalise       x to the right, y down
    ==============  ==================================================================================================
    ``box``         the centre of the box round the person's body is the origin, the box's longer side the unit
    ``torso``       the neck is the origin, neck to mid-hip the unit: who shows more joints is no smaller for it
                    (`pose.by_torso`). A close-up that ends above the hips is lost
    ``image``       0 and 1 are the first and the last pixel of the image
    ``null``        as in the file
    ==============  ==================================================================================================

    The network for key points of *Emotion Detection through Body Gesture and Face* reads 285 numbers:
    ``parts=[body, face]``, ``channels=[x, y, confidence]``, ``person=first``, ``normalise=null``.

    Args:
        parts: some of body (25), face (70), hand_left (21), hand_right (21); always in this order.
        channels: some of x, y, confidence, mask, in any order.
        person: ``area`` (the largest), ``confidence`` (the surest), ``first`` (of the file; another one in the next) or
            ``track`` (the largest of the first frame, then whoever overlaps the last box most, through the rows of one
            video in their order).
        normalise: see above.
        scale: of the file: ``pixels``, ``unit`` ([0, 1]) or ``signed`` ([-1, 1]); null looks at each file.
        width: of the recorded image in pixels, which the JSON does not tell. ``image`` needs it unless the file holds
            shares of the image, ``torso`` and ``box`` where it does.
        height: the same.
    """

    VERSION = 1

    def __init__(
        self,
        parts: Sequence[str] = tuple(openpose.PARTS),
        channels: Sequence[str] = ("x", "y", "mask"),
        person: str = "area",
        normalise: str | None = "box",
        scale: str | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> None:
        for name, value, allowed in (
            ("person", person, PEOPLE),
            ("normalise", normalise, NORMALISATIONS),
            ("scale", scale, (None, *pose.SCALES)),
        ):
            if value not in allowed:
                raise ValueError(f"{name}={value!r} is not one of {list(allowed)}")
        if not channels or set(channels) - set(CHANNELS) or len(set(channels)) < len(channels):
            raise ValueError(f"channels={list(channels)} must be some of {list(CHANNELS)}, each once")
        if (width is None) != (height is None) or (width is not None and min(width, height) < 2):
            raise ValueError(f"width={width} and height={height} must both be given, at least 2 pixels, or neither")
        self._points = pose.point_numbers(parts)
        self.parts, self.channel_names = [str(part) for part in openpose.PARTS if part in parts], list(channels)
        self.person, self.normalise, self.scale = person, normalise, scale
        self.width, self.height = width, height

    @property
    def shape(self) -> tuple[int, int]:
        """(channels, joints)."""
        return (len(self.channel_names), len(self._points))

    @property
    def dtype(self) -> np.dtype:
        """float32."""
        return np.dtype(np.float32)

    @property
    def channels(self) -> list[str]:
        """What the channels mean."""
        return list(self.channel_names)

    def chunk_key(self, path: str) -> str:
        """Rows with equal keys are made in one process: those of one video where a person is tracked."""
        return openpose.video(path) if self.person == "track" else ""

    def make(self, root: Path, rows: pd.DataFrame) -> Iterator[np.ndarray | Remarked]:
        """One float32 array ``(channels, joints)`` per row; remarked where it is all missing.

        Raises:
            DatasetNotFoundError: a file is missing.
            DatasetError: a file is no JSON of OpenPose, is of another scale than was said, or needs the image's size.
        """
        by = "area" if self.person == "track" else self.person
        video, last = None, None
        for path in rows["path"]:
            frame = openpose.read(f"{root}/{path}")
            if (key := self.chunk_key(path)) != video:
                video, last = key, None
            person = pose.choose(frame, by, last)
            if key and person is not None:
                last = pose.person_box(frame, person)
            array, remark = self.array(frame, person, self.scale_of([frame], path), path)
            yield Remarked(array, remark) if remark else array

    def scale_of(self, frames: Sequence[openpose.Frame], name: str) -> str | None:
        """The scale of these frames of one video; see `pose.scale_of`."""
        return pose.scale_of(frames, self.scale, name, certain=self.normalise == "image") if self.normalise else None

    def array(
        self, frame: openpose.Frame, person: int | None, scale: str | None, name: str
    ) -> tuple[np.ndarray, str | None]:
        """One person of a frame as float32 ``(channels, joints)``, and what there is to remark.

        Args:
            frame: a frame.
            person: its number in the frame; None gives zeros.
            scale: of the coordinates, see `scale_of`.
            name: what to call the frame in messages.

        Raises:
            DatasetError: the normalisation needs the image's size.
        """
        if person is None:
            return np.zeros(self.shape, np.float32), NOBODY
        size = (self.width, self.height, name)
        if self.normalise == "image":
            frame = pose.to_shares(frame, scale, *size)
        elif self.normalise:
            frame = pose.to_pixels(frame, scale, *size)
        points, mask = frame.points[person], frame.mask[person]
        if self.normalise == "torso":
            points, mask = pose.by_torso(points, mask)
        elif self.normalise == "box":
            points, mask = pose.by_box(points, mask, pose.person_box(frame, person))
        values = {"x": points[:, 0], "y": points[:, 1], "confidence": frame.confidence[person] * mask, "mask": mask}
        array = np.array([values[name][self._points] for name in self.channel_names], dtype=np.float32)
        if mask[self._points].any():
            return array, None
        return array, NO_POINT if mask.any() else NO_UNIT[self.normalise]

    def flip(self, array: np.ndarray) -> np.ndarray:
        """The key points ``(channels, ..., joints)`` of the mirrored scene: left joints become right ones.

        Raises:
            ConfigError: only one hand is there, or coordinates as in the file are of unknown scale or image width.
        """
        flipped = array[..., pose.mirrored(self.parts)]
        if "x" in self.channel_names:
            x = self.channel_names.index("x")
            flipped[x] = np.where(self._found(flipped), self._edge() - flipped[x], 0)
        return flipped

    def picture(self, array: np.ndarray, size: int = 160) -> np.ndarray:
        """What an array ``(channels, joints)`` shows, drawn and fitted: RGB, uint8, ``(size, size, 3)``."""
        named = dict(zip(self.channel_names, array, strict=True))
        found = self._found(array)
        points, mask = np.zeros((1, openpose.POINTS, 2)), np.zeros((1, openpose.POINTS), dtype=bool)
        if found.any() and {"x", "y"} <= named.keys():
            xy = np.stack([named["x"], named["y"]], axis=1).astype(float)
            low, high = xy[found].min(axis=0), xy[found].max(axis=0)
            scale = 0.9 * size / max((high - low).max(), 1e-9)
            points[0, self._points] = np.where(found[:, None], (xy - (low + high) / 2) * scale + size / 2, 0)
            mask[0, self._points] = found
        return skeleton.draw(openpose.Frame(points, mask.astype(float), mask), size, size, [0], self.parts)

    def _found(self, array: np.ndarray) -> np.ndarray:
        """Which joints were found; without mask and confidence, those that are not at x = y = 0."""
        telling = [name for name in ("mask", "confidence") if name in self.channel_names][:1] or ["x", "y"]
        return np.any([array[self.channel_names.index(n)] != 0 for n in telling if n in self.channel_names], axis=0)

    def _edge(self) -> int:
        """What x and its mirror image sum to."""
        if self.normalise in ("torso", "box") or (self.normalise is None and self.scale == "signed"):
            return 0
        if self.normalise == "image" or self.scale == "unit":
            return 1
        if self.scale is None or self.width is None:
            raise ConfigError(
                f"normalise=null: a mirror needs to know scale and, of pixels, width and height, found {self.scale}, "
                f"{self.width}, {self.height}; give the recipe these, or set flip=0"
            )
        return self.width - 1
