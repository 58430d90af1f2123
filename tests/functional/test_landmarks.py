"""Landmarks and boxes, by hand and against scikit-image and OpenCV."""

import cv2
import numpy as np
import pytest
from skimage.transform import SimilarityTransform

from fer_lightning.functional.landmarks import ARCFACE, in_order, places, share_inside, similarity, square


def turn(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ matrix.T + shift


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def test_a_quarter_turn_by_hand():
    # (x, y) -> (-y, x), twice as large, moved by (3, 4): (1, 0) -> (3, 6), (0, 1) -> (1, 4)
    matrix = similarity(np.array([[1, 0], [0, 1]]), np.array([[3, 6], [1, 4]]))
    np.testing.assert_allclose(matrix, [[0, -2, 3], [2, 0, 4]], atol=1e-12)


@pytest.mark.parametrize("degrees", [-170, -40, 0, 15, 90, 180])
def test_a_turned_face_comes_back_exactly(degrees):
    seen = turn(ARCFACE, degrees, 0.37, (310.0, -25.5))
    matrix = similarity(seen, ARCFACE)
    np.testing.assert_allclose(apply(matrix, seen), ARCFACE, atol=1e-9)
    opencv = cv2.estimateAffinePartial2D(seen, ARCFACE)[0]  # float32 inside
    np.testing.assert_allclose(apply(opencv, seen), apply(matrix, seen), atol=1e-2)
    np.testing.assert_allclose(apply(similarity(seen[:2], ARCFACE[:2]), seen[:2]), ARCFACE[:2], atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_least_squares_agree_with_umeyama(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(50, 20, (2, int(rng.integers(2, 9)), 2))  # as far from similar as can be
    expected = SimilarityTransform.from_estimate(source, target).params[:2]
    np.testing.assert_allclose(similarity(source, target), expected, atol=1e-8)


def test_points_without_a_direction_are_refused():
    with pytest.raises(ValueError, match=r"2 landmarks at one place, \[3\.0, 4\.0\], have no direction"):
        similarity(np.array([[3.0, 4.0], [3.0, 4.0]]), ARCFACE[:2])


def test_places_are_those_of_insightface_at_112_pixels_and_the_same_shares_at_others():
    np.testing.assert_allclose(places(112), ARCFACE, atol=1e-12)
    for size in (7, 48, 224):
        np.testing.assert_allclose((places(size) + 0.5) / size, (ARCFACE + 0.5) / 112)
    # half a face of margin on each side: all distances from the centre, 111.5 in 224 pixels, are halved
    np.testing.assert_allclose(places(224, margin=0.5) - 111.5, (places(224) - 111.5) / 2)


def test_landmarks_are_in_order_at_every_rotation_and_not_when_exchanged_or_mirrored():
    for degrees in range(0, 360, 30):
        seen = turn(ARCFACE, degrees, 2, (5, 6))
        assert in_order(seen)
        assert not in_order(seen[[1, 0, 2, 4, 3]])
        mirrored = seen * (-1, 1)
        assert not in_order(mirrored)
        assert in_order(mirrored[[1, 0, 2, 4, 3]])


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((10, 20, 30, 40), 0, (10, 20, 20)),  # is one already
        ((10, 20, 30, 60), 0, (0, 20, 40)),  # 40 high: 10 more on both sides
        ((10, 20, 70, 30), 0, (10, -5, 60)),  # 60 wide: 25 more above and below
        ((10, 20, 30, 40), 0.25, (5, 15, 30)),  # 20 * 1.5 = 30
        ((10, 20, 30, 40), -0.25, (15, 25, 10)),
        ((10.4, 20.4, 30.4, 40.4), 0, (10, 20, 20)),
        ((0, 0, 0.2, 0.1), 0, (0, 0, 1)),
    ],
)
def test_squares_by_hand(box, margin, expected):
    assert square(np.array(box, dtype=float), margin) == expected


@pytest.mark.parametrize("seed", range(10))
def test_share_inside_counts_pixels(seed):
    rng = np.random.default_rng(seed)
    left, top = rng.integers(-30, 40, 2)
    width, height = rng.integers(1, 60, 2)
    columns, rows = np.arange(left, left + width), np.arange(top, top + height)
    inside = ((columns >= 0) & (columns < 37)).mean() * ((rows >= 0) & (rows < 23)).mean()
    assert share_inside(np.array([left, top, left + width, top + height]), 23, 37) == pytest.approx(inside)
