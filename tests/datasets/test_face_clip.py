"""Frames of a clip: which are taken, at what size, in which order."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_lightning.datasets import synthetic
from fer_lightning.errors import DatasetError
from fer_lightning.preprocess.face_clip import FaceClip
from fer_lightning.preprocess.remark import Remarked


def clip(root: Path, numbers: range, onset: object = None, offset: object = None) -> pd.DataFrame:
    """A folder of grey 4x4 frames whose grey level is their number, and its row."""
    for number in numbers:
        synthetic.write_image(root / "s1" / f"img{number}.png", np.full((4, 4), number, np.uint8))
    frames = pd.DataFrame({"onset": [onset], "offset": [offset]}, dtype="Int64")
    return pd.DataFrame({"sample_id": ["d/s1"], "path": ["s1"]}).join(frames)


def taken(root: Path, rows: pd.DataFrame, frames: int) -> list[int]:
    (made,) = FaceClip(size=4, frames=frames, channels=["gray"]).make(root, rows)
    return getattr(made, "array", made)[0, :, 0, 0].tolist()


@pytest.mark.parametrize(
    ("there", "frames", "expected"),
    [
        (range(8, 13), 3, [8, 10, 12]),
        (range(8, 13), 4, [8, 9, 11, 12]),  # 0, 1.33, 2.67, 4
        (range(95, 126), 16, list(range(95, 126, 2))),  # the numbers pass 99 -> 100
        (range(3), 5, [0, 0, 1, 2, 2]),  # 0, .5, 1, 1.5, 2: halves go to the even number
        (range(7, 8), 2, [7, 7]),
    ],
)
def test_frames_are_chosen_uniformly_and_repeated_where_they_are_too_few(tmp_path, there, frames, expected):
    assert taken(tmp_path, clip(tmp_path, there), frames) == expected


def test_onset_and_offset_are_included_and_missing_frames_are_skipped(tmp_path):
    rows = clip(tmp_path, range(1, 30), onset=9, offset=13)
    assert taken(tmp_path, rows, 3) == [9, 11, 13]
    (tmp_path / "s1" / "img11.png").unlink()
    assert taken(tmp_path, rows, 4) == [9, 10, 12, 13]


def test_a_short_clip_is_remarked(tmp_path):
    rows = clip(tmp_path, range(3))
    (made,) = FaceClip(size=4, frames=4).make(tmp_path, rows)
    assert isinstance(made, Remarked)
    assert made.remark == "the clip has fewer frames than are taken: some stand there twice"
    (made,) = FaceClip(size=4, frames=3).make(tmp_path, rows)
    assert isinstance(made, np.ndarray)


def test_colours_stay_in_order_and_sizes_are_made(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (24, 24, 3), dtype=np.uint8) for _ in range(3)]
    for number, image in enumerate(images):
        synthetic.write_image(tmp_path / "s1" / f"img{number}.png", image)
    rows = clip(tmp_path, range(0))
    recipe = FaceClip(size=12, frames=3, interpolation="area")
    (made,) = recipe.make(tmp_path, rows)
    assert (made.shape, made.dtype) == (recipe.shape, recipe.dtype) == ((3, 3, 12, 12), np.uint8)
    assert recipe.channels == ["red", "green", "blue"]
    for number, image in enumerate(images):
        expected = cv2.resize(image, (12, 12), interpolation=cv2.INTER_AREA)
        assert np.abs(made[:, number].transpose(1, 2, 0).astype(int) - expected).max() <= 1
    assert (recipe.flip(made)[:, :, :, 0] == made[:, :, :, -1]).all()
    gray = FaceClip(size=24, frames=3, channels=["gray"])
    (made,) = gray.make(tmp_path, rows)
    assert made.shape == gray.shape == (1, 3, 24, 24)
    assert (made[0, 1] == cv2.cvtColor(images[1], cv2.COLOR_RGB2GRAY)).all()


def test_a_grey_frame_has_three_equal_colours(tmp_path):
    (made,) = FaceClip(size=2, frames=2).make(tmp_path, clip(tmp_path, range(40, 42)))
    assert made.shape == (3, 2, 2, 2)
    assert made[:, :, 0, 0].tolist() == [[40, 41]] * 3


def test_what_is_no_clip_is_named(tmp_path):
    rows = clip(tmp_path, range(3))
    recipe = FaceClip(size=4, frames=3)
    for changes, message in (
        ({"path": "s2"}, "d/s1: no folder s2"),
        ({"onset": 1}, "d/s1: expected onset and offset, or neither, found 1 and <NA>"),
        ({"onset": 7, "offset": 9}, "d/s1: no frames from 7 to 9 in s1"),
    ):
        with pytest.raises(DatasetError, match=message):
            list(recipe.make(tmp_path, rows.assign(**changes)))
    for file in (tmp_path / "s1").iterdir():
        file.rename(file.with_name("face.png"))
    with pytest.raises(DatasetError, match="no frames with a number in their names in s1"):
        list(recipe.make(tmp_path, rows))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": ["red"]}, r"channels=\['red'\] must be \['gray'\] or"),
        ({"interpolation": "cubic"}, "interpolation='cubic' is not one of"),
        ({"frames": 1}, "frames=1 at least 2"),
        ({"size": 0}, "size=0 must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FaceClip(**options)
