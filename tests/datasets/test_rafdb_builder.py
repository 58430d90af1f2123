"""RAF-DB from its own lists and from the copy on Kaggle."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_lightning.datasets import contract, rafdb
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional.folds import holdout
from fer_lightning.preprocess.face import Face

COUNTS = {"samples": 112, "groups": 0, "splits": {"train": 84, "test": 28}}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rafdb")
    rafdb.write_tiny(root)
    return root


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    shutil.copytree(tiny, tmp_path / "rafdb")
    return tmp_path / "rafdb"


@pytest.fixture
def kaggle(tiny, tmp_path) -> Path:
    for line in (tiny / "basic/EmoLabel" / rafdb.LISTS[0]).read_text().splitlines():
        name, code = line.split()
        target = tmp_path / "DATASET" / name.partition("_")[0] / code / name.replace(".jpg", "_aligned.jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny / "basic/Image/aligned" / target.name, target)
    return tmp_path


def test_the_tiny_layout_reads_back(tiny):
    manifest = contract.check(rafdb.build_manifest(tiny), COUNTS, where="rafdb")
    first, last = manifest.iloc[0], manifest.iloc[-1]
    assert (first["sample_id"], first["label"], first["split"]) == ("rafdb/train_00001", "surprise", "train")
    assert first["path"] == "basic/Image/aligned/train_00001_aligned.jpg"
    assert (last["sample_id"], last["label"], last["split"]) == ("rafdb/test_0028", "neutral", "test")
    fold = holdout(manifest, inner_val=0.1)[0]
    assert (len(fold.test), len(fold.train) + len(fold.val)) == (28, 84)
    assert len(fold.val) >= 7


def test_tiny_faces_can_be_told_apart(tiny):
    manifest = rafdb.build_manifest(tiny)
    pixels = np.stack(list(Face(size=48, interpolation="area").make(tiny, manifest))).reshape(112, -1).astype(float)
    train, labels = (manifest["split"] == "train").to_numpy(), manifest["label"].to_numpy()
    means = np.stack([pixels[train & (labels == name)].mean(axis=0) for name in rafdb.EMOTIONS])
    nearest = ((pixels[~train][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (np.array(rafdb.EMOTIONS)[nearest] == labels[~train]).mean() > 0.6


def test_labels_are_counted_from_one(tmp_path):
    lines = [f"train_0000{code}.jpg {code}" for code in range(1, 8)] + ["test_0001.jpg 7"]
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + ("\r\n".join(lines) + "\r\n\r\n").encode())
    table = rafdb.read_list(tmp_path / "a.txt")
    words = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral", "neutral"]
    assert table["label"].tolist() == words
    assert table["split"].tolist() == ["train"] * 7 + ["test"]


def test_the_copy_on_kaggle_is_the_same_data(tiny, kaggle):
    plain, folders = rafdb.build_manifest(tiny), rafdb.build_manifest(kaggle)
    assert folders.drop(columns="path").equals(plain.drop(columns="path"))
    assert folders["path"][0] == "DATASET/train/1/train_00001_aligned.jpg"
    for part in ("train", "test"):
        (kaggle / "DATASET" / part).rename(kaggle / part)
    (kaggle / "train_labels.csv").write_text("image,label\n")
    assert rafdb.build_manifest(kaggle)["path"][0] == "train/1/train_00001_aligned.jpg"
    with pytest.raises(ConfigError, match="the copy on Kaggle, which has images=aligned only"):
        rafdb.build_manifest(kaggle, images="original")


def test_other_spellings_and_original_images(tiny, copy):
    (copy / "basic/EmoLabel" / rafdb.LISTS[0]).rename(copy / "basic/EmoLabel" / rafdb.LISTS[1])
    for folder in ("EmoLabel", "Image"):
        (copy / "basic" / folder).rename(copy / folder)
    assert rafdb.build_manifest(copy)["sample_id"].equals(rafdb.build_manifest(tiny)["sample_id"])
    aligned = copy / "Image/aligned"
    for file in aligned.iterdir():
        file.rename(file.with_name(file.name.replace("_aligned", "")))
    aligned.rename(copy / "Image/original")
    assert rafdb.build_manifest(copy, images="original")["path"][0] == "Image/original/train_00001.jpg"
    with pytest.raises(DatasetNotFoundError, match=r"no folder Image/aligned; set data.builder.images=original"):
        rafdb.build_manifest(copy)
    with pytest.raises(ConfigError, match=r"images='raw' is none of \['aligned', 'original'\]"):
        rafdb.build_manifest(copy, images="raw")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "train_00001.jpg 5\ntrain_00002.jpg 0\n",
            r"a.txt, line 2: expected a line such as .*label 1 to 7, found 'train_00",
        ),
        ("train_00001_aligned.jpg 5\n", "line 1: expected a line such as 'train_00001.jpg 5'"),
        ("val_00001.jpg 5\n", "line 1: expected a line"),
        ("train_00001.jpg 5\ntest_0001.jpg 3\ntrain_00001.jpg 4\n", "line 3: train_00001 stands in line 1 too"),
        ("version https://git-lfs.github.com/spec/v1\n", "Git-LFS pointer"),
        ("\n", "a.txt: the list is empty"),
    ],
)
def test_a_bad_list_is_named_by_line(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        rafdb.read_list(tmp_path / "a.txt")


def test_missing_images_and_folders_are_said(copy, tmp_path):
    (copy / "basic/Image/aligned/train_00003_aligned.jpg").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"1 of 112 images of list_pati.*\(first: train_00003_aligned.jpg\)"):
        rafdb.build_manifest(copy)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DatasetNotFoundError, match=r"neither basic/EmoLabel/list_patition_label.txt .*on request.*debug=t"
    ):
        rafdb.build_manifest(tmp_path / "empty")
    with pytest.raises(DatasetNotFoundError, match=r"RAF-DB: the raw folder .*nowhere does not exist"):
        rafdb.build_manifest(tmp_path / "nowhere")


def test_a_changed_copy_is_refused(kaggle):
    file = kaggle / "DATASET/train/1/train_00001_aligned.jpg"
    twin = file.parent.parent / "2" / file.name
    shutil.copy(file, twin)
    with pytest.raises(DatasetError, match=r"rafdb/train_00001'.*DATASET/train/1/.*DATASET/train/2/"):
        contract.check(rafdb.build_manifest(kaggle), where="rafdb")
    twin.rename(twin.with_name("test_0001_aligned.jpg"))
    with pytest.raises(
        DatasetError, match=r"train/2/test_0001_aligned.jpg: in 'train' expected names such as train_00001"
    ):
        rafdb.build_manifest(kaggle)
    (file.parent.parent / "2").rename(file.parent.parent / "fear")
    with pytest.raises(DatasetError, match="the folder 'fear' is no label of RAF-DB; expected 1 to 7"):
        rafdb.build_manifest(kaggle)
