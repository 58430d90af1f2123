"""Aff-Wild2: line i is image i + 1 and file i of OpenPose, and everything that releases leave out or call otherwise."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate

from fer_lightning.datasets import affwild2, contract
from fer_lightning.datasets import affwild2_tracks as tracks
from fer_lightning.datasets.release import count
from fer_lightning.datasets.video import NEAR_DUPLICATE
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional.folds import holdout
from fer_lightning.preprocess.face import Face
from fer_lightning.preprocess.pose_array import PoseArray
from tests.runs import configure

EIGHT = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
SEVEN = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"
TRAIN, VAL = "annotations/EXPR_Set/Train_Set", "annotations/EXPR_Set/Validation_Set"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("affwild2")
    affwild2.write_tiny(root)
    return root


@pytest.fixture
def small(tmp_path) -> Path:
    """Two videos with empty files called images; as nobody opens one, that is a complete data set."""
    video(tmp_path, TRAIN, "a", [0, 1, 2, 3], [1, 2, 3, 4])
    video(tmp_path, VAL, "b", [7, 7], [1, 2])
    return tmp_path


def video(root: Path, folder: str, name: str, codes: list, images: list[int], header: str = EIGHT) -> None:
    annotation(root / folder / f"{name}.txt", header, *map(str, codes))
    faces = root / "cropped_aligned" / name
    faces.mkdir(parents=True, exist_ok=True)
    for number in images:
        (faces / f"{number:05d}.jpg").touch()


def annotation(file: Path, *lines: str, end: str = "\n", start: bytes = b"") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(start + end.join([*lines, ""]).encode())
    return file


def frames(manifest, name: str) -> dict[int, str]:
    rows = manifest[manifest["sample_id"].str.startswith(f"affwild2/{name}/")]
    return dict(zip(rows["sample_id"].str[-5:].astype(int), rows["label"], strict=True))


def test_line_i_is_image_i_plus_one(small):
    manifest = contract.check(affwild2.build_manifest(small), where="affwild2")
    assert frames(manifest, "a") == {1: "neutral", 2: "anger", 3: "disgust", 4: "fear"}
    assert manifest["path"].tolist()[:2] == ["cropped_aligned/a/00001.jpg", "cropped_aligned/a/00002.jpg"]
    assert manifest["split"].tolist() == ["train"] * 4 + ["val"] * 2
    assert manifest["group"].unique().tolist() == ["affwild2/a", "affwild2/b"]
    assert manifest.attrs["dropped"] == {}


def test_frames_without_annotation_image_or_line_are_left_out_and_named(small):
    video(small, TRAIN, "c", [4, -1, 5, 6, -1, 3, 3], [1, 2, 4])  # lines 1..7, images 1, 2, 4
    video(small, TRAIN, "d", [4, 5], [2, 3, 4])  # images after the last line
    manifest = affwild2.build_manifest(small)
    assert frames(manifest, "c") == {1: "happiness", 4: "surprise"}
    assert frames(manifest, "d") == {2: "sadness"}
    assert manifest.attrs["dropped"] == {
        tracks.NOT_ANNOTATED: ["affwild2/c/00002", "affwild2/c/00005"],
        tracks.NO_FACE: ["affwild2/c/00003", "affwild2/d/00001"],
        tracks.BEYOND_IMAGES: ["affwild2/c/00006", "affwild2/c/00007"],
        tracks.NO_LINE: ["affwild2/d/00003", "affwild2/d/00004"],
    }


def test_a_video_without_a_folder_of_faces_is_reported(small):
    annotation(small / TRAIN / "lost.txt", EIGHT, "1", "-1")
    manifest = affwild2.build_manifest(small)
    assert manifest.attrs["dropped"][tracks.BEYOND_IMAGES] == ["affwild2/lost/00001"]
    assert len(manifest) == 6


def test_every_counts_frames_from_the_first(small):
    video(small, TRAIN, "c", list(range(8)), [1, 2, 3, 5, 6, 7, 8, 9, 10])
    manifest = affwild2.build_manifest(small, every=3)
    assert frames(manifest, "c") == {1: "neutral", 7: "surprise"}
    assert manifest.attrs["dropped"] == {
        tracks.NO_FACE: ["affwild2/c/00004"],
        tracks.NO_LINE: ["affwild2/c/00010"],
    }


def test_two_people_in_one_video_are_one_group(small):
    video(small, TRAIN, "e-1-720x480_left", [1], [1])
    video(small, TRAIN, "e-1-720x480_right", [2], [1])
    manifest = affwild2.build_manifest(small)
    pair = manifest[manifest["sample_id"].str.contains("/e-1")]
    assert pair["sample_id"].tolist() == ["affwild2/e-1-720x480_left/00001", "affwild2/e-1-720x480_right/00001"]
    assert pair["group"].unique().tolist() == ["affwild2/e-1-720x480"]
    apart = affwild2.build_manifest(small, two_people="apart")
    assert apart.loc[pair.index, "group"].nunique() == 2


def test_both_namings_of_folders_and_both_headers_are_read(small, tmp_path_factory):
    old = tmp_path_factory.mktemp("old")
    video(old, "annotations/EXPR_Recognition_Challenge/Training_Set", "a", [0, 1, 2, 3], [1, 2, 3, 4], SEVEN)
    video(old, "annotations/EXPR_Recognition_Challenge/Validation_Set", "b", [6, 6], [1, 2], SEVEN)
    manifest = affwild2.build_manifest(old)
    assert manifest["sample_id"].tolist() == affwild2.build_manifest(small)["sample_id"].tolist()
    assert "other" not in set(manifest["label"])
    annotation(old / "annotations/EXPR_Recognition_Challenge/Validation_Set/b.txt", SEVEN, "7")
    with pytest.raises(DatasetError, match=r"b.txt, line 2: expected a class 0\.\.6 or -1 .* found '7'"):
        affwild2.build_manifest(old)


def test_the_validation_set_can_be_the_tested_one(tiny):
    manifest = contract.check(affwild2.build_manifest(tiny, validation_as="test"), where="affwild2")
    (fold,) = holdout(manifest, inner_val=0.25, seed=0)
    by_id = manifest.set_index("sample_id")["group"]
    groups = [set(by_id[list(part)]) for part in (fold.train, fold.val, fold.test)]
    assert [len(part) > 0 for part in groups] == [True, True, True]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 11


def test_the_tiny_set_is_deterministic_and_has_every_defect(tiny, tmp_path):
    affwild2.write_tiny(tmp_path / "again")
    one = "cropped_aligned/1-30-1280x720/00001.jpg"
    assert (tmp_path / "again" / one).read_bytes() == (tiny / one).read_bytes()
    manifest = contract.check(affwild2.build_manifest(tiny), where="affwild2")
    reasons = {tracks.NOT_ANNOTATED, tracks.NO_FACE, tracks.BEYOND_IMAGES, tracks.NO_LINE}
    assert set(manifest.attrs["dropped"]) == reasons
    assert set(manifest["label"]) == set(tracks.EXPRESSIONS)
    assert count(manifest)["groups"] == 11


@pytest.mark.parametrize(
    ("input", "recipe"),
    [("frames", Face(24, interpolation="area")), ("openpose_json", PoseArray(["body"], ["x", "y"]))],
)
def test_what_is_drawn_can_be_told_apart(tiny, input, recipe):
    manifest = affwild2.build_manifest(tiny, input=input)
    made = (getattr(item, "array", item) for item in recipe.make(tiny, manifest))
    arrays = np.stack(list(made)).reshape(len(manifest), -1).astype(float)
    train, labels = (manifest["split"] == "train").to_numpy(), manifest["label"].to_numpy()
    means = np.stack([arrays[train & (labels == name)].mean(axis=0) for name in tracks.EXPRESSIONS])
    nearest = ((arrays[~train][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (np.array(tracks.EXPRESSIONS)[nearest] == labels[~train]).mean() > 0.6


def test_expressions_are_read_with_blank_ends_byte_order_marks_and_windows_lines(tmp_path):
    plain = tracks.read_expr(annotation(tmp_path / "a.txt", EIGHT, "0", "-1", "7"))
    assert plain["frame"].tolist() == [1, 2, 3]
    assert plain["label"].tolist() == ["neutral", "", "other"]
    spaced = EIGHT.replace(",", ", ")
    windows = annotation(tmp_path / "b.txt", spaced, "0", " -1", "7 ", "", "", end="\r\n", start=b"\xef\xbb\xbf")
    assert tracks.read_expr(windows).equals(plain)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [],
            r"a.txt: line 1 must be the header Neutral,Anger,... of the expression track, found an empty line",
        ),
        (["0", "1"], "line 1 must be the header .* found '0'"),
        (["Anger,Neutral,Disgust,Fear,Happiness,Sadness,Surprise", "0"], "must be the header .* found 'Anger,Neutral"),
        (["valence,arousal", "0.1,0.2"], "must be the header .* found 'valence,arousal'"),
        (["version https://git-lfs.github.com/spec/v1", "oid"], "Git-LFS pointer"),
        ([EIGHT], "no lines below the header"),
        ([EIGHT, "0", "8"], r"a.txt, line 3: expected a class 0\.\.7 or -1 \(not annotated\), found '8'"),
        ([EIGHT, "-5"], "line 2: .* found '-5'"),
        ([EIGHT, "1.0"], "found '1.0'"),
        ([EIGHT, "0", "", "1"], "line 3: .* found ''"),
        ([EIGHT, "0", "1\x0c1", "1"], r"line 3: .* found '1\\x0c1'"),  # one line, although Python splits here
        ([EIGHT, "9" * 5000], "line 2: expected a class"),
        ([EIGHT, "٣"], "found '٣'"),
    ],
)
def test_a_bad_expression_file_is_named(tmp_path, lines, message):
    file = annotation(tmp_path / "a.txt", *lines)
    with pytest.raises(DatasetError, match=message):
        tracks.read_expr(file)


def test_what_is_missing_or_double_is_said(small):
    with pytest.raises(DatasetNotFoundError, match=r"Aff-Wild2: the raw folder .*nowhere does not exist.*licence"):
        affwild2.build_manifest(small / "nowhere")
    shutil.copytree(small / "annotations/EXPR_Set", small / "annotations/EXPR_Challenge")
    with pytest.raises(
        DatasetNotFoundError, match=r"one folder annotations/EXPR_.*found \['EXPR_Challenge', 'EXPR_Set'\]"
    ):
        affwild2.build_manifest(small)
    shutil.rmtree(small / "annotations/EXPR_Challenge")
    shutil.copy(small / TRAIN / "a.txt", small / VAL)
    with pytest.raises(DatasetError, match=r"a.txt stands in Train_Set and Validation_Set; a video must stand in one"):
        affwild2.build_manifest(small)
    (small / VAL / "a.txt").unlink()
    (small / VAL / "b.txt").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no Validation_Set/<video>.txt in .*EXPR_Set"):
        affwild2.build_manifest(small)
    shutil.copy(small / TRAIN / "a.txt", small / VAL / "b.txt")
    for image in (small / "cropped_aligned").rglob("*.jpg"):
        image.unlink()
    with pytest.raises(
        DatasetNotFoundError, match=r"none of the 2 annotated videos has an annotated frame with a file in .*cropped_al"
    ):
        affwild2.build_manifest(small)
    shutil.rmtree(small / "cropped_aligned")
    with pytest.raises(DatasetNotFoundError, match=r"no folder cropped_aligned in .*debug=tiny"):
        affwild2.build_manifest(small)
    shutil.rmtree(small / "annotations")
    with pytest.raises(DatasetNotFoundError, match=r"expected one folder annotations/EXPR_\.\.\. in .* found none"):
        affwild2.build_manifest(small)


def test_two_images_of_one_frame_are_refused(small):
    (small / "cropped_aligned/a/2.jpg").touch()
    with pytest.raises(DatasetError, match=r"cropped_aligned/a: .*are both frame 2; remove one of the two"):
        affwild2.build_manifest(small)


def test_an_image_of_frame_0_is_refused(small):
    (small / "cropped_aligned/a/00000.jpg").touch()
    with pytest.raises(DatasetError, match=r"cropped_aligned/a/00000.jpg is frame 0, but frames count from 1"):
        affwild2.build_manifest(small)


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0},
        {"validation_as": "train"},
        {"two_people": "one"},
        {"unit": "clip"},
        {"input": "openpose"},
        {"pose_distance": 0.1},
    ],
)
def test_options_that_make_no_sense_are_refused(small, options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))}="):
        affwild2.build_manifest(small, **options)


# ---- OpenPose's files


def poses(root: Path, name: str, *files: str) -> None:
    folder = root / "openpose" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).touch()


def test_line_i_is_file_i_of_openpose(small):
    poses(small, "a", *(f"a_{number:012d}_keypoints.json" for number in (0, 1, 3, 4, 9)))
    poses(small, "b", "00001_keypoints.json", "00002_keypoints.json")  # made from the pictures
    manifest = contract.check(affwild2.build_manifest(small, input="openpose_json"), where="affwild2")
    assert frames(manifest, "a") == {1: "neutral", 2: "anger", 4: "fear"}
    assert frames(manifest, "b") == {1: "other", 2: "other"}
    by_id = manifest.set_index("sample_id")["path"]
    assert by_id["affwild2/a/00004"] == "openpose/a/a_000000000003_keypoints.json"
    assert by_id["affwild2/b/00002"] == "openpose/b/00002_keypoints.json"
    assert manifest.attrs["dropped"] == {
        tracks.NO_OPENPOSE: ["affwild2/a/00003"],
        tracks.NO_LINE: ["affwild2/a/00005", "affwild2/a/00010"],
    }


def test_files_that_hold_both_people_of_a_video_are_not_taken_for_one(small):
    video(small, TRAIN, "e-1_left", [1, -1], [1])
    video(small, TRAIN, "e-1_right", [2], [1])
    poses(small, "a", "a_000000000000_keypoints.json")
    poses(small, "e-1", "e-1_000000000000_keypoints.json")
    poses(small, "e-1_right", "e-1_right_000000000000_keypoints.json")
    manifest = affwild2.build_manifest(small, input="openpose_json")
    assert manifest["sample_id"].tolist() == ["affwild2/a/00001", "affwild2/e-1_right/00001"]
    assert manifest.attrs["dropped"][tracks.BOTH_PEOPLE] == ["affwild2/e-1_left/00001"]
    assert manifest.attrs["dropped"][tracks.NOT_ANNOTATED] == ["affwild2/e-1_left/00002"]


def test_seconds_are_counted_from_the_first_frame(small):
    video(small, TRAIN, "c", list(range(8)), [1, 2, 3, 5, 6, 7, 8, 9, 10])
    by_time = affwild2.build_manifest(small, seconds=0.1)
    assert by_time.equals(affwild2.build_manifest(small, every=3))
    assert by_time.attrs == affwild2.build_manifest(small, every=3).attrs
    slower = affwild2.build_manifest(small, seconds=0.1, fps=25)  # from 1, 3.5, 6, 8.5: the first of them is 4
    assert list(frames(slower, "c")) == [1, 6]
    assert slower.attrs["dropped"] == {tracks.NO_FACE: ["affwild2/c/00004"], tracks.NO_LINE: ["affwild2/c/00009"]}


def test_near_duplicates_go_and_missing_files_are_named(tiny):
    whole = affwild2.build_manifest(tiny, input="openpose_json")
    with pytest.warns(UserWarning, match="frames show nobody whose neck and hips were found"):
        manifest = affwild2.build_manifest(tiny, input="openpose_json", pose_distance=0.1)
    gone = manifest.attrs["dropped"].pop(NEAR_DUPLICATE)
    assert manifest.attrs == whole.attrs
    assert len(whole.attrs["dropped"][tracks.NO_OPENPOSE]) > 5
    assert sorted([*manifest["sample_id"], *gone]) == sorted(whole["sample_id"])
    assert len(whole) * 0.1 < len(gone) < len(whole) * 0.5
    # each class holds two frames in a row: what goes is the second of them, where the arms have hardly moved
    assert {int(sample[-2:]) % 2 for sample in gone} == {0}


@pytest.mark.parametrize("name", ["frames", "openpose_json", "openpose_images"])
def test_every_input_goes_from_the_tiny_set_to_a_batch(tiny, tmp_path, name):
    data = instantiate(configure("data=affwild2_expr", f"input={name}", f"data.root={tiny}").data)
    manifest = data.build()
    data.prepare(tmp_path / "cache")
    (fold,) = holdout(manifest)
    data.use_fold(fold, seed=0)
    batch = next(iter(data.loader("test")))
    assert tuple(batch["input"].shape[1:]) == data.recipe.shape
    assert len(batch["input"].unique()) > 5
