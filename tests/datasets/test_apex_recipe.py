"""Spotted apexes: right on clips whose apex is known, from frames as they lie on disk."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate

from benchmarks import flow as benchmark
from fer_lightning.datasets import casme2, samm, synthetic
from fer_lightning.errors import DatasetError
from fer_lightning.preprocess import apex
from fer_lightning.preprocess.apex import SpotApex
from fer_lightning.preprocess.remark import Remarked
from tests.runs import configure

TRUE = synthetic.COURSE.index(1.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("casme2")
    casme2.write_tiny(root)
    return root


@pytest.fixture
def one(tiny, tmp_path) -> tuple[Path, pd.DataFrame]:
    """A raw folder with one clip, and its row; the frames are 48 to 54."""
    rows = casme2.build_manifest(tiny, apex="spot").head(1)
    shutil.copytree(tiny / rows["path"][0], tmp_path / rows["path"][0])
    return tmp_path, rows


def spot(root: Path, rows: pd.DataFrame, **options: object) -> int:
    (made,) = SpotApex(**options).make(root, rows)
    return int(made[0])


@pytest.mark.parametrize("data", [casme2, samm])
def test_the_apex_of_tiny_clips_is_found(tmp_path, data):
    """`python benchmarks/flow.py --apex` prints all; SAMM's tiny clips have gaps between their frames."""
    errors = benchmark.tiny_spotting(data, tmp_path / "tiny")
    assert {method: len(found) for method, found in errors.items()} == dict.fromkeys(apex.METHODS, len(errors["flow"]))
    assert np.mean(errors["frame_difference"]) < 0.3
    assert np.mean(errors["divide_and_conquer"]) < 0.8
    assert np.mean(errors["flow"]) < 0.3


def test_every_method_beats_the_middle_frame_on_long_clips():
    errors = benchmark.long_spotting(seeds=1)
    middle = np.mean(errors.pop("middle"))
    assert middle == pytest.approx(14 / 3)
    assert all(np.mean(found) < middle / 2 for found in errors.values()), errors
    assert np.mean(errors["flow"]) < 1


def test_the_recipe_says_the_number_in_the_file_name(one):
    root, rows = one
    recipe = SpotApex("flow")
    (made,) = recipe.make(root, rows)
    assert (made.dtype, made.shape) == (recipe.dtype, recipe.shape) == (np.int32, (1,))
    assert made.tolist() == [48 + TRUE]
    assert recipe.flip(made) is made
    assert set(recipe._seconds) == {"reading", "spotting"}


@pytest.mark.parametrize("method", apex.METHODS)
def test_only_frames_from_onset_to_offset_that_are_there_are_read(one, method):
    root, rows = one
    folder = root / rows["path"][0]
    (folder / "reg_img50.jpg").unlink()
    assert spot(root, rows, method=method) in (51, 52)
    for number in (53, 54):
        (folder / f"reg_img{number}.jpg").write_bytes(b"torn")
    assert spot(root, rows.assign(offset=52), method=method) in (51, 52)
    assert spot(root, rows.assign(onset=49, offset=52), method=method) in (51, 52), "the onset is never the apex"
    with pytest.raises(DatasetError, match=r"reg_img53.jpg: this image of 4 bytes cannot be decoded"):
        spot(root, rows, method=method)


def test_a_clip_of_two_frames_has_its_middle_and_a_remark(one):
    root, rows = one
    for number in (49, 50, 52, 53, 54):
        (root / rows["path"][0] / f"reg_img{number}.jpg").unlink()
    (made,) = SpotApex().make(root, rows)
    assert isinstance(made, Remarked)
    assert (made.array.tolist(), made.array.dtype) == ([51], np.int32)
    assert made.remark == "too few frames to spot an apex: the middle frame was taken"


def test_large_frames_are_reduced(one):
    root, rows = one
    with pytest.raises(DatasetError, match=r"sub01/EP01_01f: region 'left eye and brow' has 8x8 pixels of a frame"):
        spot(root, rows, longest=20)
    assert spot(root, rows, longest=60) == 51


def test_what_cannot_be_spotted_is_named(one):
    root, rows = one
    folder = root / rows["path"][0]
    with pytest.raises(DatasetError, match="EP01_01f: spotting needs onset and offset, found 48 and <NA>"):
        spot(root, rows.assign(offset=pd.array([pd.NA], dtype="Int64")))
    with pytest.raises(DatasetError, match="no folder Cropped/sub09"):
        spot(root, rows.assign(path="Cropped/sub09"))
    synthetic.write_image(folder / "reg_img50.jpg", np.zeros((80, 80), np.uint8))
    with pytest.raises(DatasetError, match=r"several sizes in .*EP01_01f: \[\(80, 80\), \(90, 80\)\]; crop"):
        spot(root, rows)
    (folder / "reg_img48.jpg").unlink()
    with pytest.raises(DatasetError, match=r"no onset frame 48 in .*; nearest there are \[49, 50, 51\]"):
        spot(root, rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lbp"}, "method='lbp' is not one of"),
        ({"flow": "lk"}, "flow='lk' is not one of"),
        ({"window": 4}, "window=4 must be odd"),
        ({"longest": 0}, "longest=0 at least 1"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SpotApex(**options)


def test_a_data_set_whose_apexes_are_spotted_goes_all_the_way(tiny, tmp_path):
    options = ["data=casme2", f"data.root={tiny}", "data.builder.apex=spot", "data.recipe.method=dis"]
    data = instantiate(configure(*options).data)
    assert data.build()["apex"].isna().all()
    data.prepare(tmp_path / "cache")
    found = (data.manifest["apex"] - data.manifest["onset"]).astype(int)
    assert set(data.manifest["apex_source"]) == {"spotted"}
    assert np.abs(found - TRUE).mean() < 0.3
    assert len(data.cache.array) == 24, "two clips have no usable annotated apex"
