"""DFEW: official lists in both places, frames under three kinds of names, and each way in which they can be bad."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_lightning.datasets import contract, dfew
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError, LeakError
from fer_lightning.functional.folds import holdout
from fer_lightning.preprocess.face_gray import FaceGray

TRAIN, TEST = (dfew.LISTS[0].format(part=part, fold=1) for part in dfew.PARTS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("dfew")
    dfew.write_tiny(root)
    return root


@pytest.fixture
def small(tmp_path) -> Path:
    """Two clips, three empty files called frames each; as nobody opens an image, that is a complete data set."""
    write(tmp_path / TRAIN, "video_name,label", "1,1", "23,7")
    write(tmp_path / TEST, "video_name,label", "456,3")
    for clip in ("00001", "00023", "00456"):
        frames(tmp_path / "Clip/clip_224x224" / clip, *(f"{clip}_{number:05d}.jpg" for number in (1, 2, 10)))
    return tmp_path


def write(file: Path, *lines: str, end: str = "\n", start: bytes = b"") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(start + end.join([*lines, ""]).encode())


def frames(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def test_the_tiny_set_is_deterministic_and_every_fold_tests_other_clips(tiny, tmp_path):
    dfew.write_tiny(tmp_path / "again")
    one = "Clip/clip_224x224/00001/00001_00001.jpg"
    assert (tmp_path / "again" / one).read_bytes() == (tiny / one).read_bytes()
    tested = []
    for fold in dfew.FOLDS:
        manifest = contract.check(dfew.build_manifest(tiny, fold=fold), {"samples": 36}, where="dfew")
        assert len(manifest) == 35 * 9
        assert set(manifest.loc[manifest["split"] == "test", "label"]) == set(dfew.EMOTIONS)
        tested += manifest.loc[manifest["split"] == "test", "group"].unique().tolist()
    assert len(tested) == len(set(tested)) == 35


def test_clips_are_counted_frames_are_listed_and_absent_clips_reported(tiny):
    manifest = dfew.build_manifest(tiny, fold=1, every=4)
    assert manifest.attrs["dropped"] == {dfew.NO_FRAMES: ["dfew/16372"]}
    counts = manifest.attrs["release_counts"]
    assert (counts["samples"], counts["groups"]) == (36, 36)
    assert counts["splits"] == {"train": 29, "test": 7}
    assert counts["labels"] == dict.fromkeys(dfew.EMOTIONS, 5) | {"neutral": 6}
    first = manifest[manifest["group"] == "dfew/00001"]
    assert first["sample_id"].tolist() == [f"dfew/00001/{frame:05d}" for frame in (1, 5, 9)]
    assert first["path"].tolist()[1] == "Clip/clip_224x224/00001/00001_00005.jpg"
    assert len(manifest) == 35 * 3


def test_a_validation_share_takes_whole_clips(tiny):
    manifest = contract.check(dfew.build_manifest(tiny), where="dfew")
    (fold,) = holdout(manifest, inner_val=0.25, seed=0)
    groups = [
        set(manifest.set_index("sample_id").loc[list(part), "group"]) for part in (fold.train, fold.val, fold.test)
    ]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 35
    assert len(groups[1]) >= 7


def test_tiny_faces_can_be_told_apart(tiny):
    manifest = dfew.build_manifest(tiny, every=3)
    pixels = np.stack(list(FaceGray(24, "area").make(tiny, manifest))).reshape(len(manifest), -1).astype(float)
    train, labels = (manifest["split"] == "train").to_numpy(), manifest["label"].to_numpy()
    means = np.stack([pixels[train & (labels == name)].mean(axis=0) for name in dfew.EMOTIONS])
    nearest = ((pixels[~train][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (np.array(dfew.EMOTIONS)[nearest] == labels[~train]).mean() > 0.6


@pytest.mark.parametrize(
    "name", ["{clip}_{frame:05d}.jpg", "{frame}.jpg", "frame_{frame}.PNG"], ids=["release", "16 frames", "other"]
)
def test_frames_are_put_in_order_by_number_under_any_name(small, name):
    folder = small / "Clip/clip_224x224/00023"
    shutil.rmtree(folder)
    numbers = (1, 2, 9, 10, 100)
    frames(folder, *(name.format(clip="00023", frame=frame) for frame in numbers), "Thumbs.db", "._1.jpg")
    manifest = dfew.build_manifest(small)
    rows = manifest[manifest["group"] == "dfew/00023"]
    assert rows["sample_id"].str[-5:].astype(int).tolist() == list(numbers)
    assert rows["path"].str.rpartition("/")[2].tolist() == [name.format(clip="00023", frame=f) for f in numbers]
    assert set(rows["label"]) == {"fear"}


def test_lists_in_the_other_place_with_a_byte_order_mark_and_windows_lines(small):
    plain = dfew.build_manifest(small)
    shutil.rmtree(small / "EmoLabel_DataSplit")
    write(
        small / "label/single_trainset_1.csv",
        "label,video_name",
        "1,00001",
        "7,23",
        "",
        end="\r\n",
        start=b"\xef\xbb\xbf",
    )
    write(small / "label/single_testset_1.csv", '"video_name","label"', '"456","3"')
    assert dfew.build_manifest(small).equals(plain)


@pytest.mark.parametrize("where", ["DFEW", "DFEW-part2"])
def test_the_release_may_lie_one_folder_down(small, tmp_path_factory, where):
    root = tmp_path_factory.mktemp("raw")
    shutil.copytree(small, root / where)
    manifest = contract.check(dfew.build_manifest(root), where="dfew")
    assert manifest["path"][0] == f"{where}/Clip/clip_224x224/00001/00001_00001.jpg"


def test_a_frame_folder_is_taken_by_name(small):
    frames(small / "Clip/clip_224x224_16f/1", "1.jpg", "16.jpg")
    assert len(dfew.build_manifest(small)) == 9
    some = dfew.build_manifest(small, frames="Clip/clip_224x224_16f")
    assert some["path"].tolist() == ["Clip/clip_224x224_16f/1/1.jpg", "Clip/clip_224x224_16f/1/16.jpg"]
    assert some.attrs["dropped"] == {dfew.NO_FRAMES: ["dfew/00023", "dfew/00456"]}


def test_label_zero_is_refused_dropped_or_another_way_to_count(small):
    write(small / TRAIN, "video_name,label", "1,0", "23,6")
    with pytest.raises(DatasetError, match=r"1 clips have label 0.*\(first: 00001\).*first_label=0.*label_zero=drop"):
        dfew.build_manifest(small)
    manifest = dfew.build_manifest(small, label_zero="drop")
    assert manifest.attrs["dropped"] == {dfew.NOT_SINGLE: ["dfew/00001"]}
    assert manifest.attrs["release_counts"]["samples"] == 2
    shifted = dfew.build_manifest(small, first_label=0)
    assert shifted["label"].unique().tolist() == ["happy", "fear", "angry"]


def test_a_clip_in_both_lists_is_a_leak(small):
    write(small / TEST, "video_name,label", "456,3", "23,7")
    with pytest.raises(LeakError, match=r"fold 1: 1 clips stand in the train and in the test list \(first: 00023\)"):
        dfew.build_manifest(small)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"set_1.csv: line 1 must name the columns video_name,label, found \[\]"),
        (["clip,label", "1,1"], r"found \['clip', 'label'\]"),
        (["version https://git-lfs.github.com/spec/v1", "oid sha256:0"], "Git-LFS pointer"),
        (["video_name,label"], "no rows below the header"),
        (["video_name,label", "1,8"], r"line 2: expected a clip number and a label 0\.\.7, found '1,8'"),
        (["video_name,label", "1,happy"], "found '1,happy'"),
        (["video_name,label", "1,1", "2"], "line 3: expected a clip number .* found '2'"),
        (["video_name,label", "1,1,9"], "found '1,1,9'"),
        (["video_name,label", "1,-1"], "found '1,-1'"),
        (["video_name,label", "1,1", "5,2", "00001,3"], "line 4: clip 00001 stands in line 2 too"),
    ],
)
def test_a_bad_list_is_named(small, lines, message):
    write(small / TRAIN, *lines)
    with pytest.raises(DatasetError, match=message):
        dfew.build_manifest(small)


def test_what_is_missing_is_said(small, tmp_path_factory):
    with pytest.raises(DatasetNotFoundError, match=r"DFEW: the raw folder .*nowhere does not exist.*licence"):
        dfew.build_manifest(small / "nowhere")
    with pytest.raises(
        DatasetNotFoundError, match=r"no EmoLabel_DataSplit/train\(single-labeled\)/set_2.csv or label/"
    ):
        dfew.build_manifest(small, fold=2)
    with pytest.raises(DatasetNotFoundError, match=r"no folder Clip/original with the frames"):
        dfew.build_manifest(small, frames="Clip/original")
    shutil.rmtree(small / "Clip")
    with pytest.raises(DatasetNotFoundError, match=r"no folder Clip/clip_224x224 or .* with the frames.*debug=tiny"):
        dfew.build_manifest(small)
    (small / "Clip/clip_224x224/00001").mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError, match=r"none of the 3 clips has a frame in .*first: 00001"):
        dfew.build_manifest(small)


def test_two_files_with_one_number_are_refused(small):
    (small / "Clip/clip_224x224/00023/2.jpg").touch()
    with pytest.raises(DatasetError, match=r"Clip/clip_224x224/00023: .*are both frame 2; remove one"):
        dfew.build_manifest(small)


@pytest.mark.parametrize("options", [{"fold": 6}, {"every": 0}, {"first_label": 2}, {"label_zero": "keep"}])
def test_options_that_make_no_sense_are_refused(small, options):
    (name,) = options
    with pytest.raises(ConfigError, match=f"DFEW: {name}="):
        dfew.build_manifest(small, **options)


def test_a_real_list_of_fold_1(fer_raw, tmp_path):
    """The lists of the release are not public; a public copy holds path, frames, label - 1 instead."""
    file = fer_raw / "dfew" / "FormerDFER_DFEW_set_1_test.txt"
    if not file.is_file():
        pytest.skip("FER_RAW has no dfew/FormerDFER_DFEW_set_1_test.txt")
    copy = pd.read_csv(file, sep=" ", names=["path", "frames", "label"])
    clips = copy["path"].str.rpartition("/")[2].astype(int)
    write(tmp_path / "a.csv", "video_name,label", *(f"{c},{x + 1}" for c, x in zip(clips, copy["label"], strict=True)))
    read = dfew.read_list(tmp_path / "a.csv")
    assert len(read) == 2341
    assert read["label"].map(dfew.EMOTIONS.index).tolist() == copy["label"].tolist()
    assert read["clip"].str.len().unique().tolist() == [5]
