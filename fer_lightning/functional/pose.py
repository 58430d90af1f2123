"""The people of a frame: which one to take, scales, normalisation, left and right exchanged."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from fer_lightning.errors import ConfigError, DatasetError
from fer_lightning.functional.openpose import PARTS, POINTS, Frame

NECK, MID_HIP, RIGHT_HIP, LEFT_HIP = 1, 8, 9, 12
#: The joints of BODY_25; R and L are the person's own right and left.
BODY_NAMES = (
    *("Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip"),
    *("RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar"),
    *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
)
#: First and last point of a stretch of the face, and the sum of a point and its mirror image in it: jaw, brows,
#: nostrils, eyes above and below, outer lip above and below, inner lip above and below, pupils.
FACE_STRETCHES = (
    *((0, 16, 16), (17, 26, 43), (31, 35, 66), (36, 39, 81), (42, 45, 81), (40, 41, 87), (46, 47, 87)),
    *((48, 54, 102), (55, 59, 114), (60, 64, 124), (65, 67, 132), (68, 69, 137)),
)
#: `--keypoint_scale` 0 to 2, 3 and 4.
SCALES = ("pixels", "unit", "signed")
CHOICES = ("area", "confidence", "first")
#: OpenPose writes six digits; [0, 1] may be left by the last of them.
ROUNDING = 1e-3
Box = tuple[float, float, float, float]


def _mirror() -> tuple[int, ...]:
    places = list(range(POINTS))
    for joint, name in enumerate(BODY_NAMES):
        if name[0] in "RL":
            places[joint] = BODY_NAMES.index({"R": "L", "L": "R"}[name[0]] + name[1:])
    face, left, right = (PARTS[part].start for part in ("face", "hand_left", "hand_right"))
    for first, last, total in FACE_STRETCHES:
        for point in range(first, last + 1):
            places[face + point] = face + total - point
    for point in range(21):
        places[left + point], places[right + point] = right + point, left + point
    return tuple(places)


#: Of each of the 137 points the one that takes its place in a mirror: left joints become right ones.
MIRROR = _mirror()


def point_numbers(parts: Sequence[str]) -> np.ndarray:
    """Places of these parts among the 137 points, ascending, whatever the order of their names.

    Raises:
        ConfigError: no part, or an unknown one.
    """
    if not parts or set(parts) - set(PARTS):
        raise ConfigError(f"parts={list(parts)} must be some of {list(PARTS)}")
    return np.concatenate([np.arange(POINTS)[place] for part, place in PARTS.items() if part in parts])


def mirrored(parts: Sequence[str]) -> np.ndarray:
    """Where, among the points of these parts, each one's mirror image stands.

    Raises:
        ConfigError: one hand without the other, which it becomes in a mirror.

    Example:
        >>> mirrored(["body"])[:8].tolist()  # nose, neck, right arm, left arm
        [0, 1, 5, 6, 7, 2, 3, 4]
    """
    if ("hand_left" in parts) != ("hand_right" in parts):
        raise ConfigError(f"parts={list(parts)}: one hand becomes the other in a mirror; take both, or set flip=0")
    numbers = point_numbers(parts)
    return np.searchsorted(numbers, np.array(MIRROR)[numbers])


def box(points: np.ndarray, mask: np.ndarray) -> Box | None:
    """Left, top, right, bottom of the points that were found, or None.

    Args:
        points: shape ``(K, 2)``.
        mask: shape ``(K,)``.
    """
    if not mask.any():
        return None
    low, high = points[mask].min(axis=0), points[mask].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def person_box(frame: Frame, person: int) -> Box | None:
    """The box of one person's body, or of all points found where the body was not computed."""
    body = PARTS["body"]
    if frame.mask[person, body].any():
        return box(frame.points[person, body], frame.mask[person, body])
    return box(frame.points[person], frame.mask[person])


def area(found: Box | None) -> float:
    """Area of a box; 0 for None."""
    return 0.0 if found is None else (found[2] - found[0]) * (found[3] - found[1])


def iou(first: Box | None, second: Box | None) -> float:
    """Intersection over union of two boxes, ``[0, 1]``; 0 where one is None or both are without area.

    Example:
        >>> iou((0, 0, 2, 2), (1, 0, 3, 2))
        0.3333333333333333
    """
    if first is None or second is None:
        return 0.0
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = area(first) + area(second) - shared
    return shared / union if union > 0 else 0.0


def choose(frame: Frame, by: str = "area", previous: Box | None = None) -> int | None:
    """Which person of a frame to take; None when there is nobody.

    Args:
        frame: a frame.
        by: ``area`` takes the largest box (as OpenPose's own ``getBiggestPerson``), ``confidence`` the highest sum of
            confidences over body, face and hands, ``first`` the first in the file, as are taken of equals.
        previous: box of the person in the frame before. Whoever overlaps it most (intersection over union) is taken;
            `by` decides only when nobody does.

    Raises:
        ConfigError: an unknown `by`.
    """
    if by not in CHOICES:
        raise ConfigError(f"person={by!r} is not one of {CHOICES}")
    found = np.flatnonzero(frame.mask.any(axis=1)).tolist()
    if len(found) < 2:
        return found[0] if found else None
    boxes = {person: person_box(frame, person) for person in found}
    overlap = {person: iou(boxes[person], previous) for person in found}
    if max(overlap.values()) > 0:
        return max(found, key=overlap.__getitem__)
    if by == "area":
        return max(found, key=lambda person: area(boxes[person]))
    return found[0] if by == "first" else max(found, key=lambda person: frame.confidence[person].sum())


def track(frames: Iterable[Frame], by: str = "area") -> list[int | None]:
    """The same person through the frames of one video: `choose` with the last box seen, also across empty frames."""
    chosen, last = [], None
    for frame in frames:
        person = choose(frame, by, last)
        chosen.append(person)
        last = last if person is None else person_box(frame, person)
    return chosen


def detect_scale(frames: Sequence[Frame]) -> str | None:
    """The coordinates' scale, which no file records: ``pixels``, ``unit`` ([0, 1]) or ``signed`` ([-1, 1]).

    Give it all frames of a video: of a person in the lower right quarter of one frame, ``signed`` cannot be told from
    ``unit``. Only body points are looked at where there are any, since those of face and hands may leave the image.

    Returns:
        A member of `SCALES`, or None when no frame holds a point.
    """
    body = PARTS["body"]
    part = body if any(frame.mask[:, body].any() for frame in frames) else slice(None)
    found = [frame.points[:, part][frame.mask[:, part]] for frame in frames]
    values = np.concatenate([points.ravel() for points in found]) if found else np.zeros(0)
    if not values.size:
        return None
    if np.abs(values).max() > 1 + ROUNDING:
        return "pixels"
    return "signed" if values.min() < -ROUNDING else "unit"


def scale_of(frames: Sequence[Frame], said: str | None, name: str, certain: bool = False) -> str | None:
    """The scale that was said, if the frames do not contradict it, or else the one that `detect_scale` sees.

    Args:
        frames: of one video, or one frame.
        said: a member of `SCALES`, or None.
        name: what to call the frames in messages.
        certain: refuse to guess ``unit``, for somebody who wants to know where in the image a person is. (Shape and
            size relative to the person come out the same from ``signed``.)

    Raises:
        DatasetError: the frames are of another scale, or nobody said it and it may be ``unit`` or ``signed``.
    """
    seen = detect_scale(frames)
    if said is not None and seen not in (None, said) and (said, seen) != ("signed", "unit"):
        raise DatasetError(
            f"{name}: scale={said} was set, but the coordinates are {seen}; set the recipe's scale={seen}"
        )
    if certain and said is None and seen == "unit":
        raise DatasetError(
            f"{name}: the coordinates are shares of the image, and these frames do not tell [0, 1] from [-1, 1]; set "
            "the recipe's scale=unit (--keypoint_scale 3) or scale=signed (--keypoint_scale 4)"
        )
    return said or seen


def to_shares(frame: Frame, scale: str | None, width: int | None, height: int | None, name: str) -> Frame:
    """Shares of the image, as ``--keypoint_scale 3`` writes them: 0 and 1 are the first and the last pixel.

    Args:
        frame: a frame.
        scale: of its coordinates; None, of a frame without any point, leaves it as it is.
        width: of the image in pixels; needed for ``pixels``.
        height: the same.
        name: what to call the frame in messages.

    Raises:
        DatasetError: the size of the image is needed and not given.
    """
    if scale in (None, "unit"):
        return frame
    if scale == "signed":
        return replace(frame, points=np.where(frame.mask[..., None], (frame.points + 1) / 2, 0))
    if width is None:
        raise DatasetError(
            f"{name}: the coordinates are pixels, and the file does not say of how large an image; give the recipe its "
            "width and height, or run OpenPose with --keypoint_scale 3"
        )
    return replace(frame, points=frame.points / (width - 1, height - 1))


def to_pixels(frame: Frame, scale: str | None, width: int | None, height: int | None, name: str) -> Frame:
    """Undo ``--keypoint_scale``: 0 and 1 of ``unit`` (-1 and 1 of ``signed``) are the first and the last pixel.

    Args:
        frame: a frame.
        scale: of its coordinates; None, of a frame without any point, leaves it as it is.
        width: of the image in pixels; needed for ``unit`` and ``signed``.
        height: the same.
        name: what to call the frame in messages.

    Raises:
        DatasetError: the size of the image is needed and not given.
    """
    if scale in (None, "pixels"):
        return frame
    if width is None:
        raise DatasetError(
            f"{name}: the coordinates are shares of the image ({scale}), and the file does not say how large it was; "
            "give the recipe its width and height, or run OpenPose with --keypoint_scale 0"
        )
    return replace(frame, points=to_shares(frame, scale, None, None, name).points * (width - 1, height - 1))


def by_box(points: np.ndarray, mask: np.ndarray, around: Box) -> tuple[np.ndarray, np.ndarray]:
    """Points relative to the centre of a box, in units of its longer side: inside, that side is -0.5 to 0.5.

    Args:
        points: any one scale with square pixels, shape ``(137, 2)``.
        mask: shape ``(137,)``.
        around: the box.

    Returns:
        Points of the same shape, and the mask: False for all points where the box is a single point. Points with mask
        False are 0.
    """
    low, high = np.array(around[:2]), np.array(around[2:])
    side = (high - low).max()
    if side <= 0:
        return np.zeros_like(points), np.zeros_like(mask)
    return np.where(mask[:, None], (points - (low + high) / 2) / side, 0), mask


def by_torso(points: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points relative to the neck, in units of the torso (neck to mid-hip): where and how large a person is, is lost.

    The mid-hip is the joint of that name or, where it was not found (COCO_18), the middle of both hips.

    Args:
        points: any one scale with square pixels, shape ``(..., 137, 2)``.
        mask: shape ``(..., 137)``.

    Returns:
        Points of the same shape, and the mask: False for all points of a person whose torso was not found (a close-up)
        or has no length. Points with mask False are 0.
    """
    hips = mask[..., RIGHT_HIP] & mask[..., LEFT_HIP]
    middle = (points[..., RIGHT_HIP, :] + points[..., LEFT_HIP, :]) / 2
    hip = np.where(mask[..., MID_HIP, None], points[..., MID_HIP, :], middle)
    neck = points[..., NECK, :]
    length = np.linalg.norm(hip - neck, axis=-1)
    known = mask[..., NECK] & (mask[..., MID_HIP] | hips) & (length > 0)
    mask = mask & known[..., None]
    unit = np.where(known, length, 1)[..., None, None]
    return np.where(mask[..., None], (points - neck[..., None, :]) / unit, 0), mask
