"""Frame numbers, strain and normalisation by hand and by analytic fields."""

import numpy as np
import pytest

from fer_lightning.functional import flow, frames

Y, X = np.mgrid[0:12.0, 0:9.0]


def test_frames_sort_by_number_not_by_text():
    names = ["reg_img100.jpg", "reg_img99.jpg", "reg_img9.jpg", "Desktop - Shortcut.lnk", "._reg_img9.jpg", "Thumbs.db"]
    assert frames.index_frames(names) == {9: "reg_img9.jpg", 99: "reg_img99.jpg", 100: "reg_img100.jpg"}
    assert list(frames.index_frames(names)) == [9, 99, 100]


def test_two_files_of_one_frame_are_refused():
    with pytest.raises(
        ValueError, match=r"'img046.jpg' and 'img46.jpg' are both frame 46|'img46.jpg' and 'img046.jpg'"
    ):
        frames.index_frames(["img46.jpg", "img046.jpg"])


def test_middle_frame_rounds_down_and_refuses_reversed_clips():
    assert [frames.middle_frame(*pair) for pair in ((10, 20), (10, 21), (7, 7))] == [15, 15, 7]
    with pytest.raises(ValueError, match="offset 9 lies before onset 10"):
        frames.middle_frame(10, 9)


def test_nearest_frames():
    assert frames.nearest_frames([1, 5, 9, 40], 7) == [1, 5, 9]
    assert frames.nearest_frames([], 7) == []


@pytest.mark.parametrize(
    ("u", "v", "expected"),
    [
        (0 * X + 3, 0 * X - 2, 0.0),  # translation
        (0.1 * X, 0 * X, 0.1),  # stretched to the right
        (0 * X, -0.2 * Y, 0.2),  # pressed downwards
        (0.1 * X, 0.1 * Y, 0.1 * np.sqrt(2)),  # grown
        (0.1 * Y, 0 * X, 0.1 / np.sqrt(2)),  # sheared
        (-0.1 * Y, 0.1 * X, 0.0),  # turned: no strain
    ],
)
def test_strain_of_linear_fields_is_exact_up_to_the_border(u, v, expected):
    assert flow.strain(u, v) == pytest.approx(np.full(X.shape, expected))


def test_strain_is_the_frobenius_norm_of_the_symmetric_gradient():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 7, 8))
    got = flow.strain(u, v)
    for i, j in ((3, 4), (1, 6)):
        gradient = 0.5 * np.array(
            [
                [u[i, j + 1] - u[i, j - 1], u[i + 1, j] - u[i - 1, j]],
                [v[i, j + 1] - v[i, j - 1], v[i + 1, j] - v[i - 1, j]],
            ]
        )
        assert got[i, j] == pytest.approx(np.linalg.norm((gradient + gradient.T) / 2))


def test_strain_refuses_what_is_no_field():
    with pytest.raises(ValueError, match=r"found \(12, 9\) and \(9, 12\)"):
        flow.strain(X, X.T)


def test_magnitude_and_end_point_error_by_hand():
    three, four, zero = np.full((2, 2), 3.0), np.full((2, 2), 4.0), np.zeros((2, 2))
    assert flow.magnitude(three, four).tolist() == [[5, 5], [5, 5]]
    assert flow.end_point_error(three, four, zero, zero) == 5


def test_minmax_spans_the_range_and_survives_a_still_clip():
    scaled = flow.minmax(X - 5)
    assert (scaled.dtype, scaled.min(), scaled.max()) == (np.uint8, 0, 255)
    assert np.unique(flow.minmax(np.zeros((3, 3)))).tolist() == [128]
    assert np.unique(flow.minmax(np.zeros((3, 3)), signed=False)).tolist() == [0]


def test_symmetric_keeps_signs_and_fixed_range_keeps_strength():
    field = np.array([-1.0, 0.0, 4.0])
    assert flow.symmetric(field).tolist() == [96, 128, 255]
    assert flow.symmetric(field * 10).tolist() == flow.symmetric(field).tolist()
    assert flow.fixed_range(field, 2.0).tolist() == [64, 128, 255]
    assert flow.fixed_range(np.array([0.0, 1.0, 4.0]), 2.0, signed=False).tolist() == [0, 128, 255]
    assert flow.symmetric(np.zeros(2)).tolist() == [128, 128]
    with pytest.raises(ValueError, match=r"limit=0\.0 must be above 0"):
        flow.fixed_range(field, 0.0)
