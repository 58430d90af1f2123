"""DFEW: official lists in both places, frames and OpenPose's files under all their names, and how they can be bad."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate

from fer_lightning.datasets import contract, dfew
from fer_lightning.datasets.dfew_lists import read_list
from fer_lightning.datasets.video import NEAR_DUPLICATE
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError, LeakError
from fer_lightning.functional import openpose
from fer_lightning.functional.folds import by_column, holdout
from fer_lightning.preprocess.face import Face
from fer_lightning.preprocess.pose_array import PoseArray
from fer_lightning.preprocess.pose_clip import PoseClip
from tests.runs import HOUSE, configure

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


@pytest.mark.parametrize(
    ("input", "recipe"),
    [("frames", Face(24, interpolation="area")), ("openpose_json", PoseArray(["body"], ["x", "y"]))],
)
def test_what_is_drawn_can_be_told_apart(tiny, input, recipe):
    manifest = dfew.build_manifest(tiny, input=input, every=3)
    made = (getattr(item, "array", item) for item in recipe.make(tiny, manifest))
    arrays = np.stack(list(made)).reshape(len(manifest), -1).astype(float)
    train, labels = (manifest["split"] == "train").to_numpy(), manifest["label"].to_numpy()
    means = np.stack([arrays[train & (labels == name)].mean(axis=0) for name in dfew.EMOTIONS])
    nearest = ((arrays[~train][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
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
        ([], r"set_1.csv \(0 bytes\) has no rows; expected the columns video_name, label"),
        (["clip,label", "1,1"], r"set_1.csv: the header has no column \['video_name'\], found \['clip', 'label'\]"),
        (["version https://git-lfs.github.com/spec/v1", "oid sha256:0"], "Git-LFS pointer"),
        (["video_name,label"], "has no rows"),
        (["video_name,label", "1,8"], r"line 2: expected a clip number and a label 0\.\.7, found '1' and '8'"),
        (["video_name,label", "1,happy"], "found '1' and 'happy'"),
        (["video_name,label", "1,1", "2"], r"line 3: expected 2 fields \(video_name, label\), found 1"),
        (["label,video_name", "1"], r"line 2: expected 2 fields \(label, video_name\), found 1"),
        (["video_name,label", "1,1,9"], "line 2: expected 2 fields .* found 3"),
        (["video_name,label", "1,-1"], "found '1' and '-1'"),
        (["video_name,label", "9" * 5000 + ",1"], "line 2: expected a clip number"),
        (["video_name,label", "٣,1"], "found '٣' and '1'"),
        (["video_name,label", "1,1", "5,2", "000001,3"], "line 4: clip 00001 stands in line 2 too"),
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
    with pytest.raises(DatasetNotFoundError, match=r"no folder Clip/original with one folder for each clip"):
        dfew.build_manifest(small, frames="Clip/original")
    shutil.rmtree(small / "Clip")
    with pytest.raises(DatasetNotFoundError, match=r"no folder Clip/clip_224x224 or .* with one folder .*debug=tiny"):
        dfew.build_manifest(small)
    with pytest.raises(DatasetNotFoundError, match=r"no folder openpose with one folder for each clip"):
        dfew.build_manifest(small, input="openpose_json")
    (small / "Clip/clip_224x224/00001").mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError, match=r"none of the 3 clips has a frame in .*first: 00001"):
        dfew.build_manifest(small)


def test_two_files_with_one_number_are_refused(small):
    (small / "Clip/clip_224x224/00023/2.jpg").touch()
    with pytest.raises(DatasetError, match=r"Clip/clip_224x224/00023: .*are both frame 2; remove one"):
        dfew.build_manifest(small)


def test_two_folders_of_one_clip_are_refused(small):
    (small / "Clip/clip_224x224/23").mkdir()
    with pytest.raises(DatasetError, match=r"Clip/clip_224x224 holds (00023 and 23|23 and 00023), both clip 00023"):
        dfew.build_manifest(small)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 6}, "DFEW: fold=6"),
        ({"fold": 0}, "DFEW: fold=0"),
        ({"every": 0}, "every=0"),
        ({"first_label": 2}, "DFEW: first_label="),
        ({"label_zero": "keep"}, "DFEW: label_zero="),
        ({"input": "images"}, "DFEW: input='images' is not one of"),
        ({"unit": "video"}, "DFEW: unit='video'"),
        ({"every": 2, "seconds": 1.0}, r"only one of .* may be given, found {'every': 2, 'seconds': 1.0}"),
        ({"pose_distance": 0.1}, "input='frames' has none"),
        ({"unit": "clip", "every": 8}, "unit='clip' does not go with every"),
        ({"unit": "clip", "input": "openpose_rendered"}, "unit='clip' does not go with openpose_rendered"),
    ],
)
def test_options_that_make_no_sense_are_refused(small, options, message):
    with pytest.raises(ConfigError, match=message):
        dfew.build_manifest(small, **options)


# ---- OpenPose's files


def test_json_and_picture_of_one_frame_have_one_sample_id(small):
    pictures = dfew.build_manifest(small)["sample_id"].tolist()
    for clip in ("00001", "00023", "00456"):  # of the video, counted from 0 in twelve digits
        names = (f"{clip}_{number:012d}_keypoints.json" for number in (0, 1, 9))
        frames(small / "openpose" / clip, *names, "notes.json")
    manifest = dfew.build_manifest(small, input="openpose_json")
    assert manifest["sample_id"].tolist() == pictures
    assert manifest["path"][2] == "openpose/00001/00001_000000000009_keypoints.json"
    shutil.rmtree(small / "openpose")
    for clip in ("00001", "00023", "00456"):  # of the pictures: their own names
        frames(small / "openpose" / clip, *(f"{clip}_{number:05d}_keypoints.json" for number in (1, 2, 10)))
    assert dfew.build_manifest(small, input="openpose_json")["sample_id"].tolist() == pictures
    (small / "openpose/00023/2_keypoints.json").touch()
    with pytest.raises(DatasetError, match=r"openpose/00023: .*are both frame 2; remove one of the two"):
        dfew.build_manifest(small, input="openpose_json")


def test_rendered_pictures_are_listed_and_clips_without_any_reported(small):
    frames(
        small / "openpose_rendered/1", "1_000000000011_rendered.png", "1_000000000000_rendered.PNG", "x_rendered.txt"
    )
    frames(small / "openpose_rendered/456")
    manifest = dfew.build_manifest(small, input="openpose_rendered")
    assert manifest["sample_id"].tolist() == ["dfew/00001/00001", "dfew/00001/00012"]
    assert manifest["path"][1] == "openpose_rendered/1/1_000000000011_rendered.png"
    assert manifest.attrs["dropped"] == {dfew.NO_FRAMES: ["dfew/00023", "dfew/00456"]}


def test_seconds_count_recorded_frames(small):
    folder = small / "Clip/clip_224x224/00023"
    shutil.rmtree(folder)
    frames(folder, *(f"{number}.jpg" for number in (3, 4, 5, 6, 13, 14, 15, 23)))
    numbers = {}
    for options in ({"every": 2}, {"seconds": 0.1}, {"seconds": 0.1, "fps": 20}):
        manifest = dfew.build_manifest(small, **options)
        numbers[str(options)] = (
            manifest.loc[manifest["group"] == "dfew/00023", "sample_id"].str[-5:].astype(int).tolist()
        )
    assert list(numbers.values()) == [[3, 5, 13, 15], [3, 6, 13, 15, 23], [3, 5, 13, 15, 23]]


def test_near_duplicates_go_and_are_named(tiny):
    whole = dfew.build_manifest(tiny, input="openpose_json")
    with pytest.warns(UserWarning, match=r"pose_distance=0.05: \d+ of 315 frames show nobody whose neck and hips"):
        manifest = dfew.build_manifest(tiny, input="openpose_json", pose_distance=0.05)
    gone = manifest.attrs["dropped"][NEAR_DUPLICATE]
    assert sorted([*manifest["sample_id"], *gone]) == sorted(whole["sample_id"])
    assert 35 * 9 * 0.3 < len(gone) < 35 * 9 * 0.9
    empty = [
        i for i, path in zip(whole["sample_id"], whole["path"], strict=True) if not len(openpose.read(tiny / path))
    ]
    assert len(empty) > 3
    assert not set(empty) & set(gone)
    assert len(manifest) > 35 + len(empty) + 35
    assert not set(whole.drop_duplicates("group")["sample_id"]) & set(gone)  # the first of a clip stays


# ---- clips


@pytest.mark.parametrize(
    ("input", "place", "span"),
    [("frames", "Clip/clip_224x224/00001", (1, 9)), ("openpose_json", "openpose/00001", (0, 8))],
)
def test_a_clip_is_a_sample_from_its_first_file_to_its_last(tiny, input, place, span):
    manifest = contract.check(dfew.build_manifest(tiny, input=input, unit="clip"), where="dfew")
    assert len(manifest) == 35
    first = manifest.set_index("sample_id").loc["dfew/00001"]
    assert (first["path"], first["onset"], first["offset"], first["group"]) == (place, *span, "dfew/00001")
    assert manifest.attrs["dropped"] == {dfew.NO_FRAMES: ["dfew/16372"]}


def test_a_clip_of_json_is_the_same_frames_one_by_one(tiny):
    options = {"parts": ["body"], "person": "area", "normalise": "box"}
    clips = dfew.build_manifest(tiny, input="openpose_json", unit="clip")
    rows = dfew.build_manifest(tiny, input="openpose_json")
    (clip,) = PoseClip(9, **options).make(tiny, clips[:1])
    single = [getattr(item, "array", item) for item in PoseArray(**options).make(tiny, rows[:9])]
    np.testing.assert_array_equal(getattr(clip, "array", clip), np.stack(single, axis=1))


# ---- the five folds in one table


def test_five_published_folds_test_each_clip_once(tiny):
    manifest = contract.check(dfew.build_manifest(tiny, fold=None, every=4), where="dfew")
    assert set(manifest["split"]) == {""}
    assert manifest.attrs["release_counts"]["splits"] == {}
    assert manifest.attrs["release_counts"]["samples"] == 36
    folds = by_column(manifest, inner_val=0.2)
    assert [fold.name for fold in folds] == ["fold1", "fold2", "fold3", "fold4", "fold5"]
    assert sorted(i for fold in folds for i in fold.test) == sorted(manifest["sample_id"])
    for number, fold in zip(dfew.FOLDS, folds, strict=True):
        alone = dfew.build_manifest(tiny, fold=number, every=4)
        assert set(fold.test) == set(alone.loc[alone["split"] == "test", "sample_id"])
        assert {*fold.train, *fold.val} == set(alone.loc[alone["split"] == "train", "sample_id"])
        assert fold.val


@pytest.mark.parametrize(
    ("part", "fold", "old", "new", "message"),
    [
        ("test", 3, "99,1", "99999,1", r"found clip 00099 tested by 0, trained on by 4, labels \['happy'\] \(2 such"),
        (
            "train",
            3,
            "1,1",
            "1,2",
            r"found clip 00001 tested by 1, trained on by 4, labels \['happy', 'sad'\] \(1 such",
        ),
        ("train", 5, "1,1", "", r"found clip 00001 tested by 1, trained on by 3"),
    ],
)
def test_folds_that_do_not_test_each_clip_once_are_refused(tiny, tmp_path, part, fold, old, new, message):
    shutil.copytree(tiny / "EmoLabel_DataSplit", tmp_path / "EmoLabel_DataSplit")
    file = tmp_path / dfew.LISTS[0].format(part=part, fold=fold)
    lines = file.read_text().splitlines()
    assert old in lines
    file.write_text("\n".join(new if line == old else line for line in lines))
    with pytest.raises(DatasetError, match=message):
        dfew.build_manifest(tmp_path, fold=None)


# ---- input=...


@pytest.mark.parametrize("name", sorted(file.stem for file in (HOUSE / "conf/input").glob("*.yaml")))
def test_every_input_goes_from_the_tiny_set_to_a_batch(tiny, tmp_path, name):
    if name == "openpose_rendered":  # the tiny set has none: the drawn faces stand in
        tiny = shutil.copytree(tiny, tmp_path / "dfew")
        (tiny / "Clip/clip_224x224").rename(tiny / "openpose_rendered")
        for file in list((tiny / "openpose_rendered").rglob("*.jpg")):
            file.rename(file.with_name(f"{file.stem}_rendered.jpg"))
    cfg = configure("data=dfew", f"input={name}", f"data.root={tiny}")
    data = instantiate(cfg.data)  # refuses keys that the recipe does not know, of another input
    kinds = {"frame_clips": "face_clip", "openpose_clips": "pose_clip", "openpose_json": "pose"}
    assert data.kind == kinds.get(name, "face")
    manifest = data.build()
    assert len(manifest) == (35 if name.endswith("_clips") else 35 * 2)
    data.prepare(tmp_path / "cache")
    (fold,) = holdout(manifest)
    data.use_fold(fold, seed=0)
    batch = next(iter(data.loader("test")))
    assert tuple(batch["input"].shape[1:]) == data.recipe.shape
    assert len(batch["input"].unique()) > 5


def test_inputs_are_refused_where_there_is_one_only():
    with pytest.raises(Exception, match="Could not override 'input'"):
        configure("data=fer2013", "input=openpose_json")
    with pytest.raises(Exception, match="Could not find 'input/openpose'"):
        configure("data=dfew", "input=openpose")


def test_a_real_list_of_fold_1(fer_raw, tmp_path):
    """The lists of the release are not public; a public copy holds path, frames, label - 1 instead."""
    file = fer_raw / "dfew" / "FormerDFER_DFEW_set_1_test.txt"
    if not file.is_file():
        pytest.skip("FER_RAW has no dfew/FormerDFER_DFEW_set_1_test.txt")
    copy = pd.read_csv(file, sep=" ", names=["path", "frames", "label"])
    clips = copy["path"].str.rpartition("/")[2].astype(int)
    write(tmp_path / "a.csv", "video_name,label", *(f"{c},{x + 1}" for c, x in zip(clips, copy["label"], strict=True)))
    read = read_list(tmp_path / "a.csv")
    assert len(read) == 2341
    assert read["label"].map(dfew.EMOTIONS.index).tolist() == copy["label"].tolist()
    assert read["clip"].str.len().unique().tolist() == [5]
