"""OpenPose output as arrays: one JSON file per frame, the choice of a person, scales and normalisation.

A frame holds ``P`` people of 137 points each: the body as BODY_25, 70 points of the face, 21 of each hand, at the
places that `PARTS` names. A point that was not found has mask False and coordinates 0; it is never *at* (0, 0).

Source: github.com/CMU-Perceptual-Computing-Lab/openpose, format versions 0.1 to 1.3 (``--write_json``).
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError

PARTS = {"body": slice(0, 25), "face": slice(25, 95), "hand_left": slice(95, 116), "hand_right": slice(116, 137)}
POINTS = 137
NECK, MID_HIP, RIGHT_HIP, LEFT_HIP = 1, 8, 9, 12
#: Place in BODY_25 of each joint of COCO_18, which has no mid-hip, toes and heels: those stay "not found".
COCO_18 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
#: Names of a part in format 1.2 and later, in 1.0 and 1.1, and in 0.1.
KEYS = {
    "body": ("pose_keypoints_2d", "pose_keypoints", "body_parts"),
    "face": ("face_keypoints_2d", "face_keypoints"),
    "hand_left": ("hand_left_keypoints_2d", "hand_left_keypoints"),
    "hand_right": ("hand_right_keypoints_2d", "hand_right_keypoints"),
}
BODY_MODELS = {25: "BODY_25", 18: "COCO_18"}
#: `--keypoint_scale` 0 to 2, 3 and 4.
SCALES = ("pixels", "unit", "signed")
CHOICES = ("area", "confidence")
#: OpenPose writes six digits; [0, 1] may be left by the last of them.
ROUNDING = 1e-3
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Frame:
    """The people of one frame, in the order of the file (which OpenPose changes from frame to frame).

    Attributes:
        points: x to the right, y down, float64, shape ``(P, 137, 2)``; 0 where `mask` is False.
        confidence: float64, shape ``(P, 137)``, 0 or more; a little above 1 occurs in real files.
        mask: whether a point was found, bool, shape ``(P, 137)``.
        body_model: ``BODY_25`` or ``COCO_18``; "" when nobody has a body.
        version: of the format, as written in the file; "" when it is not.
    """

    points: np.ndarray
    confidence: np.ndarray
    mask: np.ndarray
    body_model: str = "BODY_25"
    version: str = ""

    def __len__(self) -> int:
        return len(self.points)


def read(file: Path | str) -> Frame:
    """Read one JSON file; see `parse`.

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: it is no JSON of OpenPose.
    """
    file = Path(file)
    if not file.is_file():
        raise DatasetNotFoundError(f"{file}: no such file; OpenPose writes one for every frame, also without people")
    return parse(file.read_bytes(), file.name)


def parse(data: bytes, name: str) -> Frame:
    """One JSON document of any format version, body model BODY_25 or COCO_18.

    Args:
        data: the file's content.
        name: what to call it in messages.

    Raises:
        DatasetError: no JSON, no list ``people``, or a list of points of another length.
    """
    if data.startswith(b"version https://git-lfs"):
        raise DatasetError(f"{name} is a Git-LFS pointer, not the JSON it stands for; run `git lfs pull`")
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise DatasetError(
            f"{name} ({len(data)} bytes) is no complete JSON: {error}; run OpenPose again on this frame"
        ) from error
    people = document.get("people") if isinstance(document, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise DatasetError(f"{name}: expected {{'version': ..., 'people': [...]}} as OpenPose's --write_json makes it")
    triples, models = np.zeros((len(people), POINTS, 3)), set()
    for number, person in enumerate(people):
        where = f"{name}, person {number}"
        if not any(key in person for keys in KEYS.values() for key in keys):
            raise DatasetError(f"{where}: no key such as {KEYS['body'][0]} or {KEYS['body'][1]}, found {list(person)}")
        for part, place in PARTS.items():
            found = _triples(where, part, person)
            if len(found) == 0:
                continue
            if part == "body":
                models.add(BODY_MODELS[len(found)])
                joints = COCO_18 if len(found) == len(COCO_18) else range(25)
                triples[number, list(joints)] = found
            else:
                triples[number, place] = found
    if len(models) > 1:
        raise DatasetError(f"{name}: people of different body models {sorted(models)} in one file")
    mask = triples[..., 2] > 0
    triples[~mask] = 0  # with --keypoint_scale 4 a point that was not found is written as -1,-1,0
    return Frame(triples[..., :2], triples[..., 2], mask, next(iter(models), ""), str(document.get("version", "")))


def _triples(where: str, part: str, person: dict) -> np.ndarray:
    """x, y, confidence of one part, shape ``(points, 3)``; no rows when it was not computed."""
    key = next((key for key in KEYS[part] if key in person), None)
    try:
        values = np.array([] if key is None else person[key], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: {key} must be a flat list of numbers: {error}") from error
    allowed = [18, 25] if part == "body" else [PARTS[part].stop - PARTS[part].start]
    if values.ndim != 1 or (values.size and values.size not in [3 * number for number in allowed]):
        hint = " (15 joints are the MPI model: use --model_pose BODY_25 or COCO)" if values.size == 45 else ""
        raise DatasetError(
            f"{where}: {key} must hold 3 numbers for each of {' or '.join(map(str, allowed))} points, or none, found "
            f"an array of shape {values.shape}{hint}"
        )
    if not np.isfinite(values).all():
        raise DatasetError(f"{where}: {key} holds a number that is not finite; run OpenPose again on this frame")
    return values.reshape(-1, 3)


def split_name(name: str) -> tuple[str, int | None]:
    """Video and frame number of a file name; the number (0-based, as OpenPose counts) is None where there is none.

    Example:
        >>> split_name("Kick 14_000000000035_keypoints.json"), split_name("cam01.0031.json"), split_name("me.json")
        (('Kick 14', 35), ('cam01', 31), ('me', None))
    """
    stem = re.sub(r"(_keypoints)?\.json$", "", Path(name).name)
    match = re.fullmatch(r"(?:(?P<base>.*?)[_.])?(?P<frame>\d+)", stem)
    return (match["base"] or "", int(match["frame"])) if match else (stem, None)


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
            confidences over body, face and hands. Of equals the first in the file.
        previous: box of the person in the frame before. Whoever overlaps it most (intersection over union) is taken;
            `by` decides only when nobody does.

    Raises:
        ConfigError: an unknown `by`.
    """
    if by not in CHOICES:
        raise ConfigError(f"person={by!r} is not one of {CHOICES}")
    found = [person for person in range(len(frame)) if frame.mask[person].any()]
    if not found:
        return None
    boxes = {person: person_box(frame, person) for person in found}
    overlap = {person: iou(boxes[person], previous) for person in found}
    if max(overlap.values()) > 0:
        return max(found, key=overlap.__getitem__)
    if by == "area":
        return max(found, key=lambda person: area(boxes[person]))
    return max(found, key=lambda person: frame.confidence[person].sum())


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


def to_pixels(frame: Frame, scale: str, width: int, height: int) -> Frame:
    """Undo ``--keypoint_scale``: 0 and 1 of ``unit`` (-1 and 1 of ``signed``) are the first and the last pixel.

    Raises:
        ConfigError: an unknown scale, or an image of less than 2 by 2 pixels.
    """
    if scale not in SCALES or min(width, height) < 2:
        raise ConfigError(f"scale={scale!r} must be one of {SCALES}, and {width}x{height} at least 2x2 pixels")
    if scale == "pixels":
        return frame
    points = (frame.points + 1) / 2 if scale == "signed" else frame.points
    return replace(frame, points=np.where(frame.mask[..., None], points * (width - 1, height - 1), 0))


def by_image_size(points: np.ndarray, mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixels to shares of the image: x / width, y / height; points that were not found stay 0.

    Args:
        points: pixels, shape ``(..., K, 2)``.
        mask: shape ``(..., K)``.
    """
    return np.where(mask[..., None], points / (width, height), 0)


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
