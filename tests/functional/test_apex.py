"""Apex spotting on hand-made curves and on synthetic clips whose apex is known."""

import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from fer_lightning.datasets import synthetic
from fer_lightning.functional import apex
from fer_lightning.functional.frames import middle_frame

LENGTH = 31
METHODS = [apex.spot_frame_difference, apex.spot_divide_and_conquer]


def clip(kind: str, at: int, seed: int = 0, noise: float = 0.5) -> np.ndarray:
    """31 frames of one movement that grows until frame `at` and then goes back, smoothly; uint8 (31, 90, 80)."""
    rng = np.random.default_rng(seed)
    face = synthetic.textured_face(rng, 90, 80)
    u, v = synthetic.movement(rng, 90, 80, kind, pixels=2.0)
    time = np.arange(LENGTH)
    course = np.sin(np.pi / 2 * np.minimum(time / at, (LENGTH - 1 - time) / (LENGTH - 1 - at))) ** 2
    moved = np.stack([synthetic.warp(face, share * u, share * v) for share in course])
    return np.clip(moved + rng.normal(0, noise, moved.shape), 0, 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def clips() -> list[tuple[int, np.ndarray]]:
    return [(at, clip(kind, at)) for kind in ("mouth_up", "brows_down", "brows_up", "chin_up") for at in (8, 15, 22)]


@pytest.mark.parametrize(("method", "worst", "mean"), [(METHODS[0], 1, 0.7), (METHODS[1], 3, 1.2)])
def test_the_apex_of_a_clip_is_found(clips, method, worst, mean):
    errors = [abs(method(frames) - at) for at, frames in clips]
    middle = [abs(middle_frame(0, LENGTH - 1) - at) for at, _ in clips]
    assert max(errors) <= worst, errors
    assert np.mean(errors) <= mean < np.mean(middle) / 2, errors


@pytest.mark.parametrize("method", METHODS)
def test_brightness_of_a_still_face_makes_no_apex(method):
    """A lamp that grows brighter by 2 grey levels is less than 2 pixels of movement."""
    frames = clip("brows_up", 8).astype(int) + np.linspace(0, 2, LENGTH).round().astype(int)[:, None, None]
    assert abs(method(np.clip(frames, 0, 255).astype(np.uint8)) - 8) <= 3


def test_a_movement_outside_the_regions_is_not_seen():
    frames = clip("brows_up", 15, noise=0.0)
    mouth = {"mouth": apex.REGIONS["mouth"]}
    assert apex.lbp_difference(frames, mouth).max() < 0.1 * apex.lbp_difference(frames).max()
    eyes = apex.frame_difference(frames, {"left": apex.REGIONS["left eye and brow"]}) - 1
    assert (apex.frame_difference(frames, mouth) - 1).max() < 0.1 * eyes.max()


def test_frame_difference_by_hand():
    frames = np.full((4, 20, 20), 10, dtype=np.uint8)
    frames[1], frames[2], frames[3] = 14, 16, 15  # to the onset 4, 6, 5; to the frame before 4, 2, 1
    curve = apex.frame_difference(frames, {"frame": (0, 1, 0, 1)})
    assert curve.tolist() == pytest.approx([1, 5 / 5, 7 / 3, 6 / 2])
    assert apex.spot_frame_difference(frames, {"frame": (0, 1, 0, 1)}) == 3
    halves = {"upper": (0, 0.9, 0, 1), "lower": (0.1, 1, 0, 1)}
    frames[2, :2] = 10  # rows 0 and 1 of 18 in the upper part: back to the onset, 4 from the frame before
    expected = (16 / 18 * 7 / 3 + 2 / 18 * 1 / 5 + 7 / 3) / 2
    assert apex.frame_difference(frames, halves)[2] == pytest.approx(expected)


def test_lbp_difference_is_one_minus_the_correlation_of_histograms():
    frames = clip("mouth_up", 8)[:12:4]
    curves = apex.lbp_difference(frames, {"frame": (0, 1, 0, 1), "top": (0, 0.5, 0, 1)}, cells=1)
    assert curves.shape == (2, 3)
    assert curves[:, 0] == pytest.approx([0, 0])
    for curve, rows in zip(curves, (90, 45), strict=True):
        patterns = [local_binary_pattern(frame[:rows], 8, 3, "nri_uniform").ravel() for frame in frames]
        counts = [np.histogram(p, bins=np.arange(60))[0] for p in patterns]
        assert curve.tolist() == pytest.approx([1 - np.corrcoef(counts[0], c)[0, 1] for c in counts])


@pytest.mark.parametrize(
    ("curve", "index"),
    [
        ([0, 1, 0], 1),
        ([0, 0, 5, 0, 0, 0, 3, 1, 4, 1, 3, 0], 8),  # many peaks beat the highest one
        ([0, 0, 9, 0, 0, 0, 3, 1, 2, 0, 3, 0], 2),
        ([0, 4, 0, 0, 4, 0], 1),  # equal sums: the earlier half
        ([0, 1, 0, 3, 0], 3),  # 5 frames: 0 and 1 against 2, 3 and 4
        ([0, 2, 2, 2, 0], 2),  # the middle of a plateau
        ([0, 1, 2, 3], 3),  # still rising: no peak inside
        ([2, 1, 0, 0], 0),
        ([0, 0, 0, 0], 0),
    ],
)
def test_divide_and_conquer_by_hand(curve, index):
    assert apex.divide_and_conquer(np.array(curve)) == index


def test_region_motion_by_hand_and_without_that_of_the_head():
    u, v = np.zeros((60, 60)), np.zeros((60, 60))
    u[40:], v[40:] = 3, 4  # a third of the frame moves by 5 pixels
    regions = {"upper": (0, 0.5, 0, 1), "lower": (0.5, 1, 0, 1)}
    assert apex.region_motion(u, v, regions) == pytest.approx([0, 5 * 20 / 30])
    assert apex.region_motion(u + 7, v - 2, regions) == pytest.approx([0, 5 * 20 / 30]), "the head went right and up"


def test_flow_takes_the_frame_whose_regions_moved_farthest_on_average():
    motion = np.array([[0, 0], [3, 0], [2, 2], [1, 2.5]])  # means 0, 1.5, 2, 1.75
    assert apex.spot_flow(motion) == 2
    assert apex.spot_flow(np.zeros((4, 3))) == 1, "never the onset"
    for wrong in (motion[:2], motion[0], np.full((4, 2), np.nan), np.zeros((4, 0))):
        with pytest.raises(ValueError, match=r"motion of at least 3 frames, \(T, regions\), is needed, found shape"):
            apex.spot_flow(wrong)
    with pytest.raises(ValueError, match=r"one shape \(H, W\); found \(60, 60\) and \(60, 59\)"):
        apex.region_motion(np.zeros((60, 60)), np.zeros((60, 59)))


def test_a_clip_without_any_change_gives_some_frame_of_it():
    still = np.full((9, 60, 60), 90, dtype=np.uint8)
    assert apex.spot_frame_difference(still) == 1
    assert apex.spot_divide_and_conquer(still) == 1, "never the onset: its flow to itself says nothing"
    assert (apex.lbp_difference(still) == 0).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("frames", "regions", "message"),
    [
        (np.zeros((2, 60, 60), np.uint8), apex.REGIONS, r"at least 3 grey frames .* found shape \(2, 60, 60\)"),
        (np.zeros((60, 60), np.uint8), apex.REGIONS, r"found shape \(60, 60\)"),
        (np.zeros((5, 60, 60, 3), np.uint8), apex.REGIONS, "at least 3 grey frames"),
        (np.zeros((5, 28, 28), np.uint8), apex.REGIONS, "region 'left eye and brow' has 11x13 pixels of a frame"),
        (np.zeros((5, 60, 60), np.uint8), {"a": (0.5, 0.5, 0, 1)}, r"region 'a' must be 0 <= top < bottom"),
        (np.zeros((5, 60, 60), np.uint8), {"a": (0, 1, 0, 60)}, r"found \(0, 1, 0, 60\)"),
        (np.zeros((5, 60, 60), np.uint8), {}, "at least one region"),
    ],
)
def test_what_is_no_clip_is_refused(method, frames, regions, message):
    with pytest.raises(ValueError, match=message):
        method(frames, regions)


def test_wrong_options_and_curves_are_refused():
    frames = np.zeros((5, 60, 60), np.uint8)
    with pytest.raises(ValueError, match="local binary patterns need uint8 frames, found float64"):
        apex.lbp_difference(frames / 255)
    with pytest.raises(ValueError, match="cells=5 must be 1 to 4"):
        apex.lbp_difference(frames, cells=5)
    for window in (0, 4, 7):
        with pytest.raises(ValueError, match=f"window={window} must be odd and at most the 5 frames"):
            apex.spot_divide_and_conquer(frames, window=window)
    for curve in ([0, 1], [[0, 1, 0]], [0, -1, 0], [0, np.nan, 0]):
        with pytest.raises(ValueError, match="a curve of at least 3 values that are 0 or more"):
            apex.divide_and_conquer(np.array(curve))
