"""Skeletons on black, drawn from key points as OpenPose's CPU renderer does (``--disable_blending``).

Source: github.com/CMU-Perceptual-Computing-Lab/openpose, ``src/openpose/utilities/keypoint.cpp`` (the rule),
``poseParametersRender.hpp``, ``faceParameters.hpp``, ``handParameters.hpp`` (pairs and colours). OpenPose's GPU
renderer, the default where there is a GPU, has a rule of its own: such pictures differ in the widths and at the rims.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from fer_lightning.errors import ConfigError
from fer_lightning.functional.openpose import PARTS, Frame
from fer_lightning.functional.pose import MIRROR, box

Pairs = tuple[tuple[int, int], ...]
Colour = tuple[int, int, int]


def _chain(*points: int) -> Pairs:
    return tuple(pairwise(points))


def _loop(first: int, last: int) -> Pairs:
    return _chain(*range(first, last + 1), first)


#: In drawing order: later lines cover earlier ones.
_ARMS = (*_chain(1, 2), *_chain(1, 5), *_chain(2, 3, 4), *_chain(5, 6, 7))
_HEAD = (*_chain(1, 0, 15, 17), *_chain(0, 16, 18))
_FEET = (*_chain(14, 19, 20), *_chain(14, 21), *_chain(11, 22, 23), *_chain(11, 24))
BODY_PAIRS = {
    "BODY_25": (*_chain(1, 8), *_ARMS, *_chain(8, 9, 10, 11), *_chain(8, 12, 13, 14), *_HEAD, *_FEET),
    "COCO_18": (*_ARMS, *_chain(1, 9, 10, 11), *_chain(1, 12, 13, 14), *_HEAD),  # in joints of BODY_25
}
FACE_PAIRS = (
    *_chain(*range(0, 17)),
    *_chain(*range(17, 22)),
    *_chain(*range(22, 27)),
    *_chain(*range(27, 31)),
    *_chain(*range(31, 36)),
    *_loop(36, 41),
    *_loop(42, 47),
    *_loop(48, 59),
    *_loop(60, 67),
)
HAND_PAIRS = tuple(pair for finger in range(5) for pair in _chain(0, *range(4 * finger + 1, 4 * finger + 5)))

#: Red, green, blue of each joint of BODY_25; those of COCO_18 are the same joint by joint.
BODY_COLOURS: tuple[Colour, ...] = (
    *((255, 0, 85), (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0)),  # nose, neck, right arm
    *((170, 255, 0), (85, 255, 0), (0, 255, 0), (255, 0, 0)),  # left arm, mid-hip
    *((0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255)),  # legs
    *((255, 0, 170), (170, 0, 255), (255, 0, 255), (85, 0, 255)),  # eyes, ears
    *((0, 0, 255), (0, 0, 255), (0, 0, 255), (0, 255, 255), (0, 255, 255), (0, 255, 255)),  # left, right foot
)
FACE_COLOURS: tuple[Colour, ...] = ((255, 255, 255),) * 70
#: Wrist, then the fingers from the thumb: each from dark at the palm to bright at the tip.
HAND_COLOURS: tuple[Colour, ...] = (
    (100, 100, 100),
    *((100, 0, 0), (150, 0, 0), (200, 0, 0), (255, 0, 0)),
    *((100, 100, 0), (150, 150, 0), (200, 200, 0), (255, 255, 0)),
    *((0, 100, 50), (0, 150, 75), (0, 200, 100), (0, 255, 125)),
    *((0, 50, 100), (0, 75, 150), (0, 100, 200), (0, 125, 255)),
    *((100, 0, 100), (150, 0, 150), (200, 0, 200), (255, 0, 255)),
)
#: Points above this confidence measure how large a person is drawn, see `thickness`.
MEASURED = 0.1


@dataclass(frozen=True)
class Style:
    """How one part is drawn.

    Attributes:
        colours: one per point; a line takes the colour of its second point.
        circle: diameter of a circle as a share of the image's side (root of its area), for a person who fills it.
        line: thickness of a line as a share of that diameter.
        threshold: points of this confidence or less are not drawn (``--render_threshold`` and its kin).
    """

    colours: tuple[Colour, ...]
    circle: float
    line: float
    threshold: float


STYLES = {
    "body": Style(BODY_COLOURS, 1 / 75, 0.75, 0.05),
    "face": Style(FACE_COLOURS, 1 / 75, 0.334, 0.4),
    "hand_left": Style(HAND_COLOURS, 1 / 50, 0.75, 0.2),
    "hand_right": Style(HAND_COLOURS, 1 / 50, 0.75, 0.2),
}


def draw(
    frame: Frame, width: int, height: int, people: Sequence[int] | None = None, parts: Sequence[str] = tuple(STYLES)
) -> np.ndarray:
    """Draw people as OpenPose does: all bodies, then all faces, then all left and all right hands.

    Args:
        frame: key points in pixels of the picture; what lies outside is cut off.
        width: of the picture in pixels.
        height: of the picture in pixels.
        people: which, in which order; None draws all.
        parts: which of body, face, hand_left, hand_right; always in this order.

    Returns:
        RGB, uint8, shape ``(height, width, 3)``; black when there is nobody.

    Raises:
        ConfigError: an unknown part, or no pixel.
    """
    unknown = [part for part in parts if part not in STYLES]
    if unknown or min(width, height) < 1:
        raise ConfigError(
            f"parts={list(parts)} must be some of {list(STYLES)}, and {width}x{height} at least 1x1 pixel"
        )
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    for part in (part for part in STYLES if part in parts):
        for person in range(len(frame)) if people is None else people:
            _draw_part(canvas, frame, person, part)
    return canvas


def mirror(picture: np.ndarray, parts: Sequence[str] = tuple(STYLES)) -> np.ndarray:
    """The picture of the mirrored scene: columns reversed, and the colours of right and left joints exchanged.

    A colour between those that are drawn, as reducing makes them, is changed by as much as the nearest of these, of the
    same brightness. Two colours of the body recur in both hands: tips of the index finger (right wrist) and of the
    little finger (right ear) are changed along with them.

    Args:
        picture: RGB, uint8, shape ``(H, W, 3)``.
        parts: which were drawn.
    """
    mirrored = picture[:, ::-1].copy()
    partners = {colour: colour for part in parts for colour in STYLES[part].colours}
    if "body" in parts:
        partners |= {colour: BODY_COLOURS[MIRROR[joint]] for joint, colour in enumerate(BODY_COLOURS)}
    drawn, wanted = np.array(list(partners), dtype=float), np.array(list(partners.values()), dtype=float)
    lit = mirrored.any(axis=2)
    codes, places = np.unique(mirrored[lit] @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True)
    found = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    exact = (found[:, None] == drawn).all(axis=2).any(axis=1)
    brightness = np.where(exact, 1, found.max(axis=1) / 255)[:, None]
    nearest = (((found / brightness)[:, None] - drawn) ** 2).sum(axis=2).argmin(axis=1)
    changed = found + brightness * (wanted - drawn)[nearest]
    mirrored[lit] = np.clip(np.rint(changed), 0, 255).astype(np.uint8)[places]
    return mirrored


def thickness(found: tuple[float, float, float, float] | None, width: int, height: int, style: Style) -> tuple | None:
    """(circle radius, thickness of the circle's rim, thickness of lines) for a person or part of this size.

    Args:
        found: box of the points with a confidence above `MEASURED`.
        width: of the picture.
        height: of the picture.
        style: of the part.

    Returns:
        Whole pixels, or None when the box has no area: OpenPose then draws nothing.

    Example:
        >>> thickness((0, 0, 320, 200), 640, 480, STYLES["body"])  # half as wide as the image: 554 / 75 / 2 = 3.7
        (2, 4, 3)
    """
    if found is None or (found[2] - found[0]) * (found[3] - found[1]) <= 0:
        return None
    ratio = min(1.0, max((found[2] - found[0]) / width, (found[3] - found[1]) / height))
    diameter = max(_whole(np.sqrt(width * height) * style.circle * ratio), 2)
    rim = diameter if ratio > 0.05 else 1
    return diameter // 2, rim, max(1, _whole(diameter * style.line))


def _draw_part(canvas: np.ndarray, frame: Frame, person: int, part: str) -> None:
    style, place = STYLES[part], PARTS[part]
    points, confidence = frame.points[person, place], frame.confidence[person, place]
    height, width = canvas.shape[:2]
    sizes = thickness(box(points, confidence > MEASURED), width, height, style)
    if sizes is None:
        return
    radius, rim, line = sizes
    shown = confidence > style.threshold
    pixels = [(_whole(x), _whole(y)) for x, y in points]
    for first, second in _pairs(part, frame.body_model):
        if shown[first] and shown[second]:
            cv2.line(canvas, pixels[first], pixels[second], style.colours[second], line)
    for point in np.flatnonzero(shown):
        cv2.circle(canvas, pixels[point], radius, style.colours[point], rim)


def _pairs(part: str, body_model: str) -> Pairs:
    if part == "body":
        return BODY_PAIRS[body_model] if body_model else ()
    return FACE_PAIRS if part == "face" else HAND_PAIRS


def _whole(value: float) -> int:
    """Round half up, as OpenPose does (Python rounds half to even)."""
    return int(value + 0.5)
