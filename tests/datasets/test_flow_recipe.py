"""Onset-apex flow: direction, accuracy on known displacements, and what a recipe refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import flow as benchmark
from fer_lightning.datasets import casme2, smic, synthetic
from fer_lightning.errors import DatasetError
from fer_lightning.functional import flow as maths
from fer_lightning.preprocess import flow
from fer_lightning.preprocess.flow import OnsetApexFlow

EIGHT_BIT = [name for name in flow.NORMALISATIONS if name != "none"]


def face(seed: int = 0) -> np.ndarray:
    return synthetic.textured_face(np.random.default_rng(seed), 90, 80)


def clip(root: Path, frames: dict[str, np.ndarray], onset: object = 9, apex: object = 10) -> pd.DataFrame:
    for name, image in frames.items():
        synthetic.write_image(root / "sub01" / "EP01" / name, image)
    return pd.DataFrame({"sample_id": ["casme2/sub01/EP01"], "path": "sub01/EP01", "onset": [onset], "apex": [apex]})


@pytest.mark.parametrize("method", flow.METHODS)
@pytest.mark.parametrize("right_down", [(2, 0), (0, 3), (-1, 2)])
def test_a_shifted_image_has_that_flow(method, right_down):
    first = face()
    right, down = right_down
    u, v = flow.optical_flow(first, np.roll(first, (down, right), axis=(0, 1)), method)
    inner = np.s_[12:-12, 12:-12]
    assert maths.end_point_error(u[inner], v[inner], right, down) < 0.3


@pytest.mark.parametrize("method", flow.METHODS)
def test_a_smooth_field_is_found_again(method):
    first = face()
    u, v = synthetic.movement(np.random.default_rng(1), 90, 80, "mouth_up", pixels=2.0)
    found = flow.optical_flow(first, synthetic.warp(first, u, v), method)
    still = maths.end_point_error(0 * u, 0 * v, u, v)
    assert maths.end_point_error(*found, u, v) < 0.6 * still
    assert np.corrcoef(found[1].ravel(), v.ravel())[0, 1] > 0.8


def test_frames_of_two_sizes_and_unknown_methods_are_refused():
    with pytest.raises(ValueError, match=r"one size are needed, found \(90, 80\) and \(80, 90\)"):
        flow.optical_flow(face(), face().T)
    with pytest.raises(ValueError, match="method='pwc' is not one of"):
        flow.optical_flow(face(), face(), "pwc")


def test_the_right_frames_are_read_and_the_channels_are_in_order(tmp_path):
    first = face()
    moved = np.roll(first, 2, axis=1)
    rows = clip(tmp_path, {"img9.png": first, "img10.png": moved, "img1.png": 255 - first, "x.txt.png": first})
    recipe = OnsetApexFlow(size=40, channels=flow.CHANNELS, method="dis")
    (made,) = recipe.make(tmp_path, rows)
    assert (made.shape, made.dtype) == (recipe.shape, recipe.dtype) == ((4, 40, 40), np.uint8)
    assert (made == recipe.image(first, moved)).all()
    assert (made.reshape(4, -1).min(axis=1) == 0).all()
    assert (made.reshape(4, -1).max(axis=1) == 255).all()
    (swapped,) = OnsetApexFlow(size=40, channels=["magnitude", "u"], method="dis").make(tmp_path, rows)
    assert (swapped == made[[3, 0]]).all()


def test_fixed_range_shows_pixels_and_symmetric_shows_signs():
    first = face()
    moved = np.roll(first, 2, axis=1)
    options = {"size": 30, "channels": ["u", "v"], "method": "tvl1"}
    fixed = OnsetApexFlow(**options, normalise="fixed_range", fixed_range=4.0).image(first, moved)[:, 5:-5, 5:-5]
    assert np.median(fixed[0]) == pytest.approx(128 + 127 * 2 / 4, abs=3)
    assert np.median(fixed[1]) == pytest.approx(128, abs=3)
    back = OnsetApexFlow(**options, normalise="symmetric").image(moved, first)[:, 5:-5, 5:-5]
    assert np.median(back[0]) < 100


@pytest.mark.parametrize("method", flow.METHODS)
@pytest.mark.parametrize("normalise", EIGHT_BIT)
def test_equal_frames_are_all_no_motion(method, normalise):
    flat = np.full((40, 40), 90, dtype=np.uint8)
    made = OnsetApexFlow(size=20, channels=flow.CHANNELS, method=method, normalise=normalise).image(flat, flat)
    assert [np.unique(channel).tolist() for channel in made] == [[128], [128], [0], [0]]


def test_without_normalisation_pixels_are_kept_as_floats():
    first = face()
    moved = synthetic.warp(first, *synthetic.movement(np.random.default_rng(1), 90, 80, "mouth_up", pixels=2.0))
    recipe = OnsetApexFlow(size=90, channels=flow.CHANNELS, method="dis", normalise="none")
    made = recipe.image(first, moved)
    assert (made.dtype, recipe.dtype) == (np.float16, np.float16)
    u, v = flow.optical_flow(first, moved, "dis")
    assert made[2].max() == pytest.approx(maths.strain(u, v).max(), rel=0.2)  # 80 columns became 90
    square = OnsetApexFlow(size=80, channels=flow.CHANNELS, method="dis", normalise="none").image(
        first[:80], moved[:80]
    )
    u, v = flow.optical_flow(first[:80], moved[:80], "dis")
    for channel, field in zip(square, (u, v, maths.strain(u, v), maths.magnitude(u, v)), strict=True):
        assert channel == pytest.approx(field, rel=1e-3, abs=1e-3)
    flat = np.full((40, 40), 90, dtype=np.uint8)
    assert (OnsetApexFlow(size=20, method="dis", normalise="none").image(flat, flat) == 0).all()


@pytest.mark.parametrize("method", flow.METHODS)
@pytest.mark.parametrize("normalise", flow.NORMALISATIONS)
def test_flip_is_the_flow_of_the_mirrored_frames(method, normalise):
    first = face()
    moved = synthetic.warp(first, *synthetic.movement(np.random.default_rng(1), 90, 80, "nose_left", pixels=3.0))
    recipe = OnsetApexFlow(size=30, channels=["v", "u", "strain"], method=method, normalise=normalise)
    made = recipe.image(first, moved)
    mirrored = recipe.image(first[:, ::-1].copy(), moved[:, ::-1].copy())
    flipped = recipe.flip(made)
    assert (flipped.dtype, flipped.shape) == (made.dtype, made.shape)
    for place, name in enumerate(recipe.channels):
        right, wrong = (np.abs(mirrored[place] - image[place].astype(float)) for image in (flipped, made[..., ::-1]))
        spread = np.ptp(mirrored[place].astype(float))
        assert right.mean() < 0.05 * spread
        if name == "u":
            assert right.mean() < wrong.mean() / 3, "u must change its sign"
    assert (recipe.flip(flipped) == made).all()


@pytest.mark.parametrize("normalise", EIGHT_BIT)
def test_negating_what_is_stored_stores_the_negative(normalise):
    recipe = OnsetApexFlow(normalise=normalise)
    field = np.random.default_rng(0).normal(0.4, 1.5, (50, 50))
    opposite = flow.negate(recipe._stored("u", field), normalise)
    assert np.abs(opposite.astype(int) - recipe._stored("u", -field)).max() <= 1
    still = recipe._stored("u", np.zeros((3, 3)))
    assert flow.negate(still, normalise).tolist() == still.tolist() == [[128] * 3] * 3
    assert flow.negate(np.array([0, 1, 128, 255], np.uint8), "fixed_range").tolist() == [255, 255, 128, 1]


def test_resizing_first_is_another_recipe():
    first = face()
    moved = synthetic.warp(first, *synthetic.movement(np.random.default_rng(1), 90, 80, "brows_up", pixels=3.0))
    after = OnsetApexFlow(size=28, method="farneback").image(first, moved)
    before = OnsetApexFlow(size=28, method="farneback", resize_first=True).image(first, moved)
    assert before.shape == after.shape
    assert np.abs(before.astype(int) - after).mean() > 5


def test_missing_frames_numbers_and_folders_are_named(tmp_path):
    recipe = OnsetApexFlow(method="dis")
    rows = clip(tmp_path, {"img9.png": face(), "img12.png": face()})
    with pytest.raises(
        DatasetError, match=r"casme2/sub01/EP01: no apex frame 10 in sub01/EP01; nearest there are \[9, 12\]"
    ):
        list(recipe.make(tmp_path, rows))
    with pytest.raises(DatasetError, match="needs both frame numbers, found onset 9, apex <NA>"):
        list(recipe.make(tmp_path, rows.assign(apex=pd.array([pd.NA], dtype="Int64"))))
    with pytest.raises(DatasetError, match="no folder sub02/EP01"):
        list(recipe.make(tmp_path, rows.assign(path="sub02/EP01")))


def test_frames_that_differ_in_size_or_are_torn_are_named(tmp_path):
    recipe = OnsetApexFlow(method="dis")
    rows = clip(tmp_path, {"img9.jpg": face(), "img10.jpg": face()[:-1]})
    with pytest.raises(DatasetError, match=r"the onset frame has 90x80 pixels, the apex frame 89x80"):
        list(recipe.make(tmp_path, rows))
    file = tmp_path / "sub01" / "EP01" / "img10.jpg"
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(DatasetError, match=r"sub01/EP01/img10.jpg: this image of 900 bytes is cut off"):
        list(recipe.make(tmp_path, rows))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": ["u", "w"]}, r"channels=\['u', 'w'\] must be some of"),
        ({"channels": []}, r"channels=\[\] must be some of"),
        ({"method": "lk"}, "method='lk' is not one of"),
        ({"normalise": "minmax"}, "normalise='minmax' is not one of"),
        ({"fixed_range": 0}, "fixed_range=0 and strain_range=0.3 above 0"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OnsetApexFlow(**options)


@pytest.mark.parametrize(
    ("data", "method", "share"), [(casme2, "tvl1", 0.7), (smic, "dis", 0.7), (casme2, "farneback", 0.8)]
)
def test_the_displacement_of_tiny_clips_is_found_from_their_files(tmp_path, data, method, share):
    """Bounds well above what `python benchmarks/flow.py` prints for all clips."""
    mean = benchmark.accuracy(data, tmp_path / "tiny", method, clips=6)
    assert mean["error"] < share * mean["motion"]
    assert mean["strain r"] > 0.3
    assert mean["clips"] == 6


def test_strain_of_a_drawn_bump_is_that_of_the_formula():
    greatest, error = benchmark.strain_of_a_bump()
    assert 0.1 < greatest < 0.4
    assert error < 0.02 * greatest


def test_nearly_all_time_goes_into_the_flow_itself(tmp_path):
    measured = benchmark.speed(tmp_path, "tvl1", clips=2, height=170, width=140)
    assert measured["optical flow"] > 0.85, measured
    assert 0.9 < sum(measured[part] for part in ("reading", "optical flow", "strain and resize")) <= 1
