"""OpenPose output as arrays: one JSON file per frame. What is done with the people of a frame is in `pose`.

A frame holds ``P`` people of 137 points each: the body as BODY_25, 70 points of the face, 21 of each hand, at the
places that `PARTS` names. A point that was not found has mask False and coordinates 0; it is never *at* (0, 0).

Source: github.com/CMU-Perceptual-Computing-Lab/openpose, format versions 0.1 to 1.3 (``--write_json``).
"""

import re
from array import array
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import orjson

from fer_lightning.errors import DatasetError, DatasetNotFoundError

PARTS = {"body": slice(0, 25), "face": slice(25, 95), "hand_left": slice(95, 116), "hand_right": slice(116, 137)}
POINTS = 137
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
#: No image has as many pixels on a side: a larger number is damage.
LARGEST = 1e6


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
    try:
        with open(file, "rb", buffering=0) as opened:  # a buffer would only copy what is read at once anyway
            data = opened.read()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DatasetNotFoundError(
            f"{file}: no such file; OpenPose writes one for every frame, also without people"
        ) from error
    return parse(data, Path(file).name)


def parse(data: bytes, name: str) -> Frame:
    """One JSON document of any format version, body model BODY_25 or COCO_18.

    Args:
        data: the file's content.
        name: what to call it in messages.

    Raises:
        DatasetError: no JSON, no list ``people``, a list of points of another length, or a number beyond `LARGEST`.
    """
    if data.startswith(b"version https://git-lfs"):
        raise DatasetError(f"{name} is a Git-LFS pointer, not the JSON it stands for; run `git lfs pull`")
    try:
        document = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
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
            if found is None:
                continue
            if part == "body":
                models.add(BODY_MODELS[len(found)])
            triples[number, COCO_18 if len(found) == len(COCO_18) else place] = found
    if len(models) > 1:
        raise DatasetError(f"{name}: people of different body models {sorted(models)} in one file")
    mask = triples[..., 2] > 0
    triples[~mask] = 0  # with --keypoint_scale 4 a point that was not found is written as -1,-1,0
    if np.abs(triples).max(initial=0) > LARGEST:
        raise DatasetError(f"{name}: holds a number beyond {LARGEST:.0e}; run OpenPose again on this frame")
    return Frame(triples[..., :2], triples[..., 2], mask, next(iter(models), ""), str(document.get("version", "")))


def _triples(where: str, part: str, person: dict) -> np.ndarray | None:
    """x, y, confidence of one part, shape ``(points, 3)``; None when it was not computed."""
    key = next((key for key in KEYS[part] if key in person), None)
    values = [] if key is None else person[key]
    if values == []:
        return None
    try:
        if not isinstance(values, list):
            raise TypeError(f"found {values!r:.40}")
        numbers = np.frombuffer(array("d", values))  # takes numbers only, where numpy would take "1" and null too
    except TypeError as error:
        raise DatasetError(f"{where}: {key} must be a flat list of numbers: {error}") from error
    allowed = list(BODY_MODELS) if part == "body" else [PARTS[part].stop - PARTS[part].start]
    if len(numbers) not in [3 * points for points in allowed]:
        hint = " (15 joints are the MPI model: use --model_pose BODY_25 or COCO)" if len(numbers) == 45 else ""
        raise DatasetError(
            f"{where}: {key} must hold 3 numbers for each of {' or '.join(map(str, sorted(allowed)))} points, or none, "
            f"found {len(numbers)} numbers{hint}"
        )
    return numbers.reshape(-1, 3)


def split_name(name: str) -> tuple[str, int | None]:
    """Video and frame number of a file name; the number (0-based, as OpenPose counts) is None where there is none.

    Example:
        >>> split_name("Kick 14_000000000035_keypoints.json"), split_name("cam01.0031.json"), split_name("img7.json")
        (('Kick 14', 35), ('cam01', 31), ('img', 7))
    """
    stem = re.sub(r"(_keypoints)?\.json$", "", Path(name).name)
    match = re.fullmatch(r"(?P<base>.*?)[_.]?(?P<frame>[0-9]+)", stem)
    return (match["base"], int(match["frame"])) if match else (stem, None)


def video(path: str) -> str:
    """What a file is a frame of: its folder and the video of `split_name`.

    Example:
        >>> video("kicks/Kick 14_000000000035_keypoints.json")
        'kicks/Kick 14'
    """
    return str(PurePosixPath(path).parent / split_name(path)[0])
