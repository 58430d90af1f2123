"""Frames that are taken, by hand."""

import numpy as np
import pytest

from fer_lightning.errors import ConfigError
from fer_lightning.functional.subsample import Subsampling, distinct, first_of_each


@pytest.mark.parametrize(
    ("numbers", "step", "taken"),
    [
        ([], 3, []),
        ([0, 1, 2, 3], 1, [0, 1, 2, 3]),
        (range(8), 3, [0, 3, 6]),
        (range(10), 2.5, [0, 3, 5, 8]),  # stretches begin at 0, 2.5, 5, 7.5
        ([4, 5, 9, 20, 21], 5, [4, 5, 20]),  # 4 is in 0-4, 5 and 9 in 5-9, 20 and 21 in 20-24
    ],
)
def test_the_first_frame_of_each_stretch_is_taken(numbers, step, taken):
    numbers = np.array(numbers, dtype=int)
    assert numbers[first_of_each(numbers, step)].tolist() == taken


@pytest.mark.parametrize(("seconds", "fps"), [(0.1, 30.0), (0.7, 30.0), (1.1, 10.0), (0.04, 25.0), (1 / 3, 60.0)])
def test_times_that_are_whole_frames_are_as_every(seconds, fps):
    numbers, frames = np.arange(20_000), round(seconds * fps)
    by_time = first_of_each(numbers, Subsampling(seconds=seconds, fps=fps).step)
    assert numbers[by_time].tolist() == list(range(0, 20_000, frames))
    assert (by_time == first_of_each(numbers, Subsampling(every=frames).step)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every=0 must be a whole number, at least 1"),
        ({"every": 2.5}, "every=2.5 must be a whole number"),
        ({"seconds": 0.03}, "seconds=0.03 at fps=30.0 is less than from one frame to the next"),
        ({"seconds": 1, "fps": 0}, "seconds=1 at fps=0"),
        ({"seconds": float("nan")}, "seconds=nan"),
        ({"pose_distance": 0}, "pose_distance=0 must be above 0"),
        ({"every": 10, "pose_distance": 0.1}, "only one of .*found {'every': 10, 'pose_distance': 0.1}"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Subsampling(**options)


def test_the_rule_that_is_given_has_a_name():
    assert [Subsampling(**o).rule for o in ({}, {"every": 1}, {"seconds": 1}, {"pose_distance": 1}, {"fps": 9})] == [
        *("", "every", "seconds", "pose_distance", ""),
    ]


def poses(*frames: list[float | None]) -> tuple[np.ndarray, np.ndarray]:
    """x of two joints a frame (y is 0); None: not found."""
    mask = np.array([[x is not None for x in frame] for frame in frames])
    points = np.array([[(x or 0, 0) for x in frame] for frame in frames], dtype=float)
    return points, mask


def test_slow_movements_are_kept_in_steps():
    # joint 0 stands, joint 1 moves: the mean way is half of it; compared with the last one *taken*, not the one before
    points, mask = poses([0, 0], [0, 0.1], [0, 0.2], [0, 0.3], [0, 0.4], [0, 0.4], [0, 0])
    assert distinct(points, mask, 0.12).tolist() == [True, False, False, True, False, False, True]


def test_only_joints_found_in_both_are_compared():
    points, mask = poses([0, 1], [None, 1.05], [0.5, None], [0.5, 0], [None, 0.02])
    assert distinct(points, mask, 0.1).tolist() == [True, False, True, False, True]


def test_what_cannot_be_compared_is_taken_and_not_compared_with():
    points, mask = poses([None, None], [0, 0], [None, None], [0, 0.1], [0, None], [None, 5], [5, None])
    assert distinct(points, mask, 0.1).tolist() == [True, True, True, False, False, True, True]


def test_the_way_is_measured_in_the_plane():
    points = np.array([[[0, 0]], [[3, 4]], [[3, 4]]], dtype=float)
    mask = np.ones((3, 1), dtype=bool)
    assert distinct(points, mask, 4.99).tolist() == [True, True, False]
    assert distinct(points, mask, 5).tolist() == [True, False, False]
