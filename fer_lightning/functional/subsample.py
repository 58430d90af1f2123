"""Which frames of a video become samples: neighbours are nearly equal, and most of them teach nothing new."""

from dataclasses import dataclass

import numpy as np

from fer_lightning.errors import ConfigError


@dataclass(frozen=True)
class Subsampling:
    """The options of a builder; at most one of the three rules may be given, none takes every frame.

    Attributes:
        every: each so-manieth frame; the body-gesture report kept every tenth.
        seconds: one frame in this time.
        fps: frames a second of the video, read with `seconds` only.
        pose_distance: how much a pose must differ from the last one taken, see `distinct`.

    Raises:
        ConfigError: two rules, or a number out of range.
    """

    every: int | None = None
    seconds: float | None = None
    fps: float = 30.0
    pose_distance: float | None = None

    def __post_init__(self) -> None:
        rules = {"every": self.every, "seconds": self.seconds, "pose_distance": self.pose_distance}
        given = {name: value for name, value in rules.items() if value is not None}
        if len(given) > 1:
            raise ConfigError(f"only one of {list(rules)} may be given, found {given}; set the others to null")
        if self.every is not None and (self.every < 1 or self.every != int(self.every)):
            raise ConfigError(f"every={self.every} must be a whole number, at least 1 (each frame)")
        if self.seconds is not None and not (self.fps > 0 and self.seconds * self.fps >= 1):
            raise ConfigError(f"seconds={self.seconds} at fps={self.fps} is less than from one frame to the next")
        if self.pose_distance is not None and not self.pose_distance > 0:
            raise ConfigError(f"pose_distance={self.pose_distance} must be above 0 (null takes every frame)")

    @property
    def rule(self) -> str:
        """Name of the rule that is given, or ""."""
        rules = {"every": self.every, "seconds": self.seconds, "pose_distance": self.pose_distance}
        return next((name for name, value in rules.items() if value is not None), "")

    @property
    def step(self) -> float:
        """Frames from one taken to the next, by `every` or `seconds`; 1 or more, not always whole."""
        return self.every or (1.0 if self.seconds is None else self.seconds * self.fps)


def first_of_each(numbers: np.ndarray, step: float) -> np.ndarray:
    """Mark the first frame there is of each stretch of `step` frames.

    Args:
        numbers: frames counted from 0 at the video's beginning, ascending, gaps allowed, shape ``(N,)``.
        step: length of a stretch in frames; the k-th begins with the first frame not before ``k * step``.

    Returns:
        bool, shape ``(N,)``.

    Example:
        >>> first_of_each(np.array([0, 1, 2, 3, 5, 6]), 2.0).tolist()
        [True, False, True, False, True, True]
    """
    stretch = np.floor(np.round(np.asarray(numbers) / step, 9))  # rounded: 3 frames are 1 stretch of .1 s at 30 fps
    return np.diff(stretch, prepend=-1) > 0


def distinct(points: np.ndarray, mask: np.ndarray, distance: float) -> np.ndarray:
    """Mark poses that differ from the last one marked: near-duplicates go, slow movements are kept in steps.

    The distance of two poses is the mean, over the joints found in both, of the way from the one place to the other.

    Args:
        points: of one person through a video, in one unit (`by_torso`), shape ``(N, V, 2)``.
        mask: whether a joint was found, shape ``(N, V)``. A pose that has no joint in common with the last one marked
            cannot be compared and is marked; one without any joint is marked, and not compared with.
        distance: poses this far apart or nearer are the same, in the unit of `points`.

    Returns:
        bool, shape ``(N,)``; the first is always marked.
    """
    kept, last = np.ones(len(points), dtype=bool), None
    for number, found in enumerate(mask):
        if not found.any():
            continue
        if last is not None and (common := found & mask[last]).any():
            way = np.linalg.norm(points[number, common] - points[last, common], axis=-1)
            kept[number] = way.mean() > distance
        if kept[number]:
            last = number
    return kept
