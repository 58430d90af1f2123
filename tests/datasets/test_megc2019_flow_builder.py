"""The published flow pictures and the organisers' list."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_lightning.datasets import contract, megc2019_flow
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.functional.flow import strain
from fer_lightning.preprocess.flow_image import FlowImage

FIRST = "norm_u_v_os/sub01/u_test/0/sub01_EP01_01f .png"


@pytest.fixture
def tiny(tmp_path) -> Path:
    megc2019_flow.write_tiny(tmp_path)
    return tmp_path


def test_the_tiny_layout_reads_back(tiny):
    expects = {"samples": 54, "groups": 9, "labels": {"negative": 18, "positive": 18, "surprise": 18}}
    manifest = contract.check(megc2019_flow.build_manifest(tiny), expects, where="megc2019")
    assert manifest["path"][0] == FIRST
    samm = manifest[manifest["dataset"] == "samm"].iloc[0]
    assert (samm["sample_id"], samm["group"], samm["subject"]) == ("samm/006/006_1", "samm/006", "006")


def test_training_copies_are_never_read(tiny):
    before = megc2019_flow.build_manifest(tiny)
    shutil.copytree(tiny / "norm_u_v_os" / "sub02" / "u_test", tiny / "norm_u_v_os" / "sub01" / "u_train")
    (tiny / "norm_u_v_os").rename(tiny / "three_norm_u_v_os")
    after = megc2019_flow.build_manifest(tiny)
    assert after["sample_id"].tolist() == before["sample_id"].tolist()
    assert after["path"].tolist() == ("three_" + before["path"]).tolist()


def test_red_is_u_green_is_v_blue_is_strain(tiny):
    rows = megc2019_flow.build_manifest(tiny).iloc[:4]
    stored = cv2.imread(str(tiny / FIRST))  # blue, green, red
    got = list(FlowImage().make(tiny, rows))
    assert (got[0] == stored[..., ::-1].transpose(2, 0, 1)).all()
    only = list(FlowImage(channels=["strain", "u"]).make(tiny, rows))
    assert (only[2] == got[2][[2, 0]]).all()
    larger = FlowImage(size=75)
    assert next(larger.make(tiny, rows)).shape == larger.shape == (3, 75, 75)
    with pytest.raises(ValueError, match=r"channels=\['u', 'magnitude'\] must be some of \['u', 'v', 'strain'\]"):
        FlowImage(channels=["u", "magnitude"])


def test_list_and_folder_must_agree_on_the_class(tiny):
    target = tiny / FIRST.replace("/0/", "/2/")
    (tiny / FIRST).rename(target)
    with pytest.raises(DatasetError, match=r"u_test/2/sub01_EP01_01f .png: the folder says class 2, .* says 0"):
        megc2019_flow.build_manifest(tiny)
    target.unlink()
    with pytest.raises(DatasetError, match=r"1 of 54 clips .* have no picture \(first: subject sub01, clip EP01_01f\)"):
        megc2019_flow.build_manifest(tiny)


def test_pictures_that_are_not_listed_or_stand_twice_are_refused(tiny):
    shutil.copy(tiny / FIRST, tiny / FIRST.replace("/0/", "/1/"))
    with pytest.raises(DatasetError, match=r"u_test/1/.*the same clip as norm_u_v_os/sub01/u_test/0/"):
        megc2019_flow.build_manifest(tiny)
    (tiny / FIRST.replace("/0/", "/1/")).rename(tiny / FIRST.replace("EP01", "EP99"))
    with pytest.raises(DatasetError, match=r"1 pictures are not in combined_3class_gt.csv \(first: .*EP99_01f .png\)"):
        megc2019_flow.build_manifest(tiny)
    (tiny / FIRST.replace("EP01", "EP99")).rename(tiny / FIRST.replace("sub01_EP01", "sub09_EP01"))
    with pytest.raises(DatasetError, match="the name must start with sub01_"):
        megc2019_flow.build_manifest(tiny)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset,sub,filename_o,label\n", "line 1 must be database,subject,clip,class .* found 'dataset,sub,"),
        ("casme2,sub01,EP01_01f,0\r\n,,,\r\n", "line 2 must be .* found ',,,'"),
        ("casme2,sub01,EP01_01f,3\n", "line 1 must be .*class 0, 1 or 2"),
        ("version https://git-lfs.github.com/spec/v1\n", "is a Git-LFS pointer"),
        ("", "the list is empty"),
    ],
)
def test_a_bad_list_is_named_by_line(tiny, text, message):
    (tiny / megc2019_flow.LIST).write_text(text)
    with pytest.raises(DatasetError, match=message):
        megc2019_flow.build_manifest(tiny)


def test_what_is_missing_is_said(tiny):
    shutil.rmtree(tiny / "norm_u_v_os")
    with pytest.raises(DatasetNotFoundError, match=r"no folder norm_u_v_os .*STSTNet"):
        megc2019_flow.build_manifest(tiny)
    (tiny / megc2019_flow.LIST).unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no combined_3class_gt.csv .*FER_RAW.*debug=tiny"):
        megc2019_flow.build_manifest(tiny)


def test_a_damaged_picture_is_named(tiny):
    rows = megc2019_flow.build_manifest(tiny)
    data = (tiny / FIRST).read_bytes()
    (tiny / FIRST).write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=r"sub01_EP01_01f .png: this image of \d+ bytes is cut off"):
        list(FlowImage().make(tiny, rows))


def test_the_published_pictures(fer_raw):
    root = fer_raw / "megc2019"
    if not (root / "norm_u_v_os").is_dir():
        pytest.skip("FER_RAW has no megc2019/norm_u_v_os")
    expects = {"samples": 442, "groups": 68, "labels": {"negative": 250, "positive": 109, "surprise": 83}}
    manifest = contract.check(megc2019_flow.build_manifest(root), expects, where="megc2019")
    parts = manifest.groupby("dataset")["group"].agg(["size", "nunique"])
    assert parts.T.to_dict("list") == {"casme2": [145, 24], "samm": [133, 28], "smic": [164, 16]}
    array = np.stack(list(FlowImage().make(root, manifest)))
    assert array.shape == (442, 3, 28, 28)
    flat = array.reshape(442, 3, -1)
    assert flat.min() == flat.min(axis=2).max() == 0
    assert flat.max() == flat.max(axis=2).min() == 255
    # The channels are in the right order: blue looks like the strain of red and green, red does not.
    similar = [
        [np.corrcoef(strain(u.astype(float), v.astype(float)).ravel(), w.ravel())[0, 1] for u, v, w in images]
        for images in (array, array[:, [2, 1, 0]])
    ]
    assert np.mean(similar[0]) > 0.75 > np.mean(similar[1]) + 0.2
