"""Drawn people as the JSON that OpenPose writes, for raw folders with synthetic content.

Deterministic and *learnable*, as the pictures of `synthetic`: the class shows in the arms and in the face.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_lightning.datasets.synthetic import EXPRESSIONS
from fer_lightning.functional.openpose import PARTS, POINTS

#: Degrees from hanging (0) over outwards (90) to raised (180): right upper arm, right forearm, left upper arm, forearm.
POSTURES = (
    (10, 10, 10, 10),
    (30, 150, 30, 150),
    (150, 170, 150, 170),
    (80, 90, 80, 90),
    (60, 130, 10, 10),
    (10, 10, 60, 130),
    (50, -60, 50, -60),
    (20, 80, 140, 160),
)
#: Joints that every posture has: BODY_25 number -> place, in lengths of the torso from the neck. Legs are not seen.
_TRUNK = {0: (0, -0.4), 1: (0, 0), 2: (-0.35, 0), 5: (0.35, 0), 8: (0, 1), 9: (-0.2, 1), 12: (0.2, 1)}
_HEAD = {15: (-0.07, -0.47), 16: (0.07, -0.47), 17: (-0.17, -0.42), 18: (0.17, -0.42)}
_UPPER_ARM, _FOREARM, _FINGER = 0.5, 0.45, 0.05
_TORSO = 90
#: Size of the recorded picture in pixels.
WIDTH, HEIGHT = 320, 240


def person(
    rng: np.random.Generator, posture: int, expression: int, swing: float = 0.0, size: float = 1.0
) -> np.ndarray:
    """One person seen to the hips: x, y in pixels and confidence, float64, shape ``(137, 3)``; legs are 0, 0, 0.

    Args:
        rng: of where the person stands, of the noise and of the confidences.
        posture: row of `POSTURES`.
        expression: row of `synthetic.EXPRESSIONS`.
        swing: added to all angles of the arms, in degrees.
        size: 1 for a torso of 90 pixels.
    """
    points = np.full((POINTS, 2), np.nan)
    for joint, place in (_TRUNK | _HEAD).items():
        points[joint] = place
    points[PARTS["face"]] = _face(expression) * (0.34, 0.5) + (-0.17, -0.65)
    for side, shoulder, hand, angles in ((-1, 2, "hand_right", (0, 1)), (1, 5, "hand_left", (2, 3))):
        upper, lower = (np.radians(POSTURES[posture][place] + swing) for place in angles)
        points[shoulder + 1] = points[shoulder] + _UPPER_ARM * _direction(side, upper)
        points[shoulder + 2] = points[shoulder + 1] + _FOREARM * _direction(side, lower)
        fingers = [_direction(side, lower + 0.25 * (finger - 2)) for finger in range(5)]
        reach = _FINGER * np.arange(1, 5)[:, None]
        points[PARTS[hand]] = points[shoulder + 2] + np.vstack([np.zeros((1, 2)), *(reach * f for f in fingers)])
    found = ~np.isnan(points[:, 0])
    points += rng.normal(0, 0.008, points.shape)
    points = points * _TORSO * size + (WIDTH / 2, HEIGHT * 0.42) + rng.normal(0, 6, 2)
    return np.where(found[:, None], np.column_stack([points, rng.uniform(0.6, 0.95, POINTS)]), 0)


def write_video(folder: Path, name: str, rng: np.random.Generator, looks: Sequence[tuple[int, int] | None]) -> None:
    """Write ``<name>_000000000000_keypoints.json`` and so on, one file per frame, as OpenPose 1.3 does.

    Some frames show nobody, and some a small second person who stands first in the file.

    Args:
        folder: of the JSON files; it is made.
        name: of the video.
        rng: of everything that varies.
        looks: posture and expression of each frame; None writes no file. From frame to frame the arms rise a little.
    """
    folder.mkdir(parents=True)
    for frame, look in enumerate(looks):
        if look is None:
            continue
        people = [] if rng.random() < 0.04 else [person(rng, *look, swing=3.0 * (frame % 4))]
        if people and rng.random() < 0.15:
            people.insert(0, person(rng, 0, 6, size=0.4))
        (folder / f"{name}_{frame:012d}_keypoints.json").write_text(document(people))


def document(people: Sequence[np.ndarray]) -> str:
    """The JSON of one frame: one line, six digits a number."""
    texts = []
    for triples in people:
        lists = {
            f"{part.replace('body', 'pose')}_keypoints_2d": triples[place].ravel() for part, place in PARTS.items()
        }
        fields = ",".join(f'"{key}":[{",".join(f"{v:.6g}" for v in values)}]' for key, values in lists.items())
        texts.append(f'{{"person_id":[-1],{fields}}}')
    return f'{{"version":1.3,"people":[{",".join(texts)}]}}'


def _direction(side: int, angle: float) -> np.ndarray:
    return np.array([side * np.sin(angle), np.cos(angle)])


def _face(expression: int) -> np.ndarray:
    """The 70 points of a face, ``(column, row)`` in 0..1 as `synthetic.face` draws it, shape ``(70, 2)``."""
    curve, opening, brow, slope = EXPRESSIONS[expression]
    turn, five = np.linspace(0, np.pi, 17), np.linspace(0, 1, 5)
    jaw = np.column_stack([0.5 - 0.4 * np.cos(turn), 0.5 + 0.47 * np.sin(turn)])
    right_brow = np.column_stack([0.23 + 0.19 * five, 0.3 - 0.05 * brow + 0.05 * slope * five])
    nose = np.column_stack([np.full(4, 0.5), np.linspace(0.42, 0.56, 4)])
    nostrils = np.column_stack([np.linspace(0.42, 0.58, 5), np.full(5, 0.6)])
    round_ = np.radians([180, 120, 60, 0, -60, -120])
    eyes = [np.column_stack([x + 0.06 * np.cos(round_), 0.42 - 0.03 * np.sin(round_)]) for x in (0.33, 0.67)]
    pupils = [[0.33, 0.42], [0.67, 0.42]]
    lips = [_lips(curve, opening + 0.3, np.linspace(-1, 1, 7)), _lips(curve, opening, np.linspace(-0.8, 0.8, 5))]
    return np.vstack([jaw, right_brow, _mirrored(right_brow), nose, nostrils, *eyes, *lips, pupils])


def _mirrored(points: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - points[::-1, 0], points[::-1, 1]])


def _lips(curve: float, opening: float, across: np.ndarray) -> np.ndarray:
    """A closed lip: above from the left corner to the right one, back below without the corners."""
    above = np.column_stack([0.5 + 0.18 * across, 0.74 - 0.08 * curve * across**2])
    below = above + np.column_stack([np.zeros_like(across), 0.14 * opening * (1 - across**2)])
    return np.vstack([above, below[-2:0:-1]])
