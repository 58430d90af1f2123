"""Recipes of key points: arrays of a frame, clips, and what their mirror images are."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional import openpose, pose
from fer_lightning.functional.openpose import PARTS
from fer_lightning.preprocess.pose_array import NO_POINT, NO_UNIT, NOBODY, PoseArray
from fer_lightning.preprocess.pose_clip import NO_FILE, REPEATED, PoseClip
from fer_lightning.preprocess.pose_image import PoseImage
from fer_lightning.preprocess.remark import Remarked

NECK, MID_HIP, NOSE = 1, 8, 0


def write(file: Path, *people: dict[int, tuple[float, float]], sure: float = 0.5) -> None:
    """Each person as {one of 137 points: (x, y)}; a part without any point is not computed."""
    documents = []
    for points in people:
        triples = np.zeros((137, 3))
        for point, place in points.items():
            triples[point] = (*place, sure)
        lists = {part: triples[place].ravel().tolist() for part, place in PARTS.items()}
        documents.append({openpose.KEYS[part][0]: values if any(values) else [] for part, values in lists.items()})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"version": 1.3, "people": documents}))


def make(recipe: object, root: Path, *paths: str, onset: int | None = None, offset: int | None = None) -> tuple:
    """Array and remark ("" without) of each row."""
    rows = pd.DataFrame({"path": paths, "sample_id": paths})
    rows["onset"], rows["offset"] = (pd.array([number] * len(paths), dtype="Int64") for number in (onset, offset))
    made = list(recipe.make(root, rows))
    arrays = np.stack([sample.array if isinstance(sample, Remarked) else sample for sample in made])
    assert (arrays.shape[1:], arrays.dtype) == (recipe.shape, recipe.dtype)
    return arrays, [sample.remark if isinstance(sample, Remarked) else "" for sample in made]


#: Neck, mid-hip, right and left shoulder, right hand's and left hand's first point, right end of the jaw.
SOMEBODY = {1: (100, 50), 8: (100, 90), 2: (80, 50), 5: (120, 54), 116: (60, 70), 95: (140, 78), 25: (92, 30)}


# ---- one frame


def test_a_frame_in_every_normalisation_by_hand(tmp_path):
    write(tmp_path / "a.json", SOMEBODY)
    at = list(SOMEBODY)
    wanted = {
        "torso": ([0, 0, -0.5, 0.5, -1, 1, -0.2], [0, 1, 0, 0.1, 0.5, 0.7, -0.5]),
        "box": ([0, 0, -0.5, 0.5, -1, 1, -0.2], [-0.5, 0.5, -0.5, -0.4, 0, 0.2, -1]),  # body: 80..120, 50..90
        "image": ([0.5, 0.5, 0.4, 0.6, 0.3, 0.7, 0.46], [0.5, 0.9, 0.5, 0.54, 0.7, 0.78, 0.3]),
        None: ([100, 100, 80, 120, 60, 140, 92], [50, 90, 50, 54, 70, 78, 30]),
    }
    for normalise, (x, y) in wanted.items():
        recipe = PoseArray(normalise=normalise, width=201, height=101)
        (array,), (remark,) = make(recipe, tmp_path, "a.json")
        assert recipe.channels == ["x", "y", "mask"]
        assert remark == ""
        np.testing.assert_allclose(array[:, at], [x, y, [1] * 7], atol=1e-6)
        assert np.flatnonzero(array[2]).tolist() == sorted(at)
        assert not array[:, array[2] == 0].any(), "a joint that was not found is 0 in all channels"


def test_channels_and_parts_are_chosen(tmp_path):
    write(tmp_path / "a.json", SOMEBODY)
    recipe = PoseArray(["hand_right", "body"], ["confidence", "y"], normalise=None)
    (array,), _ = make(recipe, tmp_path, "a.json")
    assert recipe.shape == (2, 46)
    assert array[:, [1, 8, 25]].tolist() == [[0.5, 0.5, 0.5], [50, 90, 70]]
    assert recipe.parts == ["body", "hand_right"]
    assert PoseArray().shape == (3, 137)


def test_the_input_of_the_body_gesture_report_is_the_file_itself(tmp_path, fer_raw):
    """285 numbers: x, y, confidence of body and face of the first person, as in the file."""
    recipe = PoseArray(["body", "face"], ["x", "y", "confidence"], person="first", normalise=None)
    files = sorted((fer_raw / "openpose" / "slp_face_hand").glob("*.json"))
    if not files:
        pytest.skip("FER_RAW has no openpose/slp_face_hand")
    arrays, remarks = make(recipe, fer_raw, *[file.relative_to(fer_raw).as_posix() for file in files])
    assert set(remarks) == {""}
    for file, array in zip(files, arrays, strict=True):
        person = json.loads(file.read_bytes())["people"][0]
        numbers = person["pose_keypoints_2d"] + person["face_keypoints_2d"]
        assert array.T.ravel().tolist() == np.array(numbers, dtype=np.float32).tolist()
        assert array.size == 285


def test_what_is_missing_is_remarked(tmp_path):
    write(tmp_path / "none.json")
    write(tmp_path / "close.json", {0: (5, 5), 1: (5, 9), 16: (7, 5)})
    write(tmp_path / "point.json", {0: (50, 50)})
    for normalise in ("torso", "box"):
        arrays, remarks = make(PoseArray(normalise=normalise), tmp_path, "none.json", "close.json", "point.json")
        close = NO_UNIT["torso"] if normalise == "torso" else ""
        assert remarks == [NOBODY, close, NO_UNIT[normalise]]
        assert arrays.any(axis=(1, 2)).tolist() == [False, not close, False]
    _, remarks = make(PoseArray(["face"]), tmp_path, "close.json")
    assert remarks == [NO_POINT]


def test_the_person_is_chosen_or_followed(tmp_path):
    small, large = {0: (10, 10), 1: (10, 20), 2: (20, 20)}, {0: (200, 10), 1: (200, 60), 2: (250, 60)}
    names = [f"v/a_{number:012d}_keypoints.json" for number in range(3)]
    write(tmp_path / names[0], small)
    write(tmp_path / names[1], large, small)
    write(tmp_path / names[2], small, large)
    write(tmp_path / "v/b_000000000000_keypoints.json", small, large)
    names.append("v/b_000000000000_keypoints.json")
    nose = {}
    for who in ("area", "first", "track"):
        recipe = PoseArray(["body"], person=who, normalise=None)
        nose[who] = make(recipe, tmp_path, *names)[0][:, 0, NOSE].tolist()
        assert recipe.chunk_key(names[0]) == ("v/a" if who == "track" else "")
    assert nose == {"area": [10, 200, 200, 200], "first": [10, 200, 10, 10], "track": [10, 10, 10, 200]}


def test_pixels_and_shares_of_an_image_give_the_same(tmp_path):
    write(tmp_path / "pixels.json", SOMEBODY)
    write(tmp_path / "unit.json", {point: (x / 200, y / 100) for point, (x, y) in SOMEBODY.items()})
    write(tmp_path / "signed.json", {point: (x / 100 - 1, y / 50 - 1) for point, (x, y) in SOMEBODY.items()})
    for normalise in ("torso", "box", "image"):
        made = [
            make(PoseArray(normalise=normalise, scale=scale, width=201, height=101), tmp_path, f"{scale}.json")[0]
            for scale in pose.SCALES
        ]
        for array in made[1:]:
            np.testing.assert_allclose(array, made[0], atol=1e-6)
    make(PoseArray(normalise="image", scale="unit"), tmp_path, "unit.json")  # needs no size
    for recipe, name, message in (
        (PoseArray(), "unit.json", r"unit.json: the coordinates are shares of the image \(unit\)"),
        (PoseArray(normalise="image"), "pixels.json", "pixels.json: the coordinates are pixels.*width and height"),
        (PoseArray(normalise="image", width=9, height=9), "unit.json", "do not tell .* from .*scale=unit"),
        (PoseArray(scale="unit"), "pixels.json", "scale=unit was set, but the coordinates are pixels"),
        (PoseImage(crop="image", width=9, height=9), "unit.json", "do not tell .* from .*scale=unit"),
    ):
        with pytest.raises(DatasetError, match=message):
            make(recipe, tmp_path, name)
    with pytest.raises(DatasetNotFoundError, match=r"other.json: no such file"):
        make(PoseArray(), tmp_path, "other.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": ["foot"]}, r"parts=\['foot'\] must be some of"),
        ({"channels": ["z"]}, r"channels=\['z'\] must be some of \['x', 'y', 'confidence', 'mask'\]"),
        ({"channels": ["x", "x"]}, "each once"),
        ({"channels": []}, "must be some of"),
        ({"person": "all"}, "person='all' is not one of"),
        ({"normalise": "face"}, "normalise='face' is not one of"),
        ({"scale": "percent"}, "scale='percent' is not one of"),
        ({"width": 640}, "width=640 and height=None must both be given"),
        ({"width": 640, "height": 1}, "at least 2 pixels"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    for recipe in (PoseArray, PoseClip):
        with pytest.raises(ValueError, match=message):
            recipe(**arguments)


# ---- the mirror


def mirrored(person: dict[int, tuple[float, float]], edge: float) -> dict[int, tuple[float, float]]:
    return {pose.MIRROR[point]: (edge - x, y) for point, (x, y) in person.items()}


@pytest.mark.parametrize("channels", [["x", "y", "mask"], ["confidence", "y", "x"], ["y", "x"], ["mask"]])
@pytest.mark.parametrize("normalise", ["torso", "box", "image", None])
def test_the_flipped_array_is_that_of_the_mirrored_scene(tmp_path, normalise, channels):
    write(tmp_path / "v/a_0_keypoints.json", SOMEBODY)
    write(tmp_path / "w/a_0_keypoints.json", mirrored(SOMEBODY, 200))
    arguments = {"normalise": normalise, "channels": channels, "scale": "pixels", "width": 201, "height": 101}
    recipe = PoseArray(**arguments)
    one, other = make(recipe, tmp_path, "v/a_0_keypoints.json", "w/a_0_keypoints.json")[0]
    np.testing.assert_allclose(recipe.flip(one), other, atol=1e-6)
    np.testing.assert_allclose(recipe.flip(recipe.flip(one)), one, atol=1e-6)
    assert not np.array_equal(one, other)
    recipe = PoseClip(frames=2, **arguments)
    one, other = make(recipe, tmp_path, "v", "w")[0]
    np.testing.assert_allclose(recipe.flip(one), other, atol=1e-6)


def test_shares_are_mirrored_within_their_range(tmp_path):
    for scale, edge, x in (("unit", 1, 0.25), ("signed", 0, -0.5)):
        write(tmp_path / "a.json", {1: (x, 0.25), 2: (x, 0.25)})
        recipe = PoseArray(["body"], normalise=None, scale=scale)
        (array,), _ = make(recipe, tmp_path, "a.json")
        assert recipe.flip(array)[:, [1, 2, 5]].tolist() == [[edge - x, 0, edge - x], [0.25, 0, 0.25], [1, 0, 1]]


def test_a_mirror_that_cannot_be_known_is_refused():
    with pytest.raises(
        ConfigError, match="needs to know scale and, of pixels, width and height, found None, None, None"
    ):
        PoseArray(normalise=None).flip(np.zeros((3, 137), np.float32))
    for recipe in (PoseArray(["body", "hand_left"]), PoseImage(parts=["body", "hand_left"])):
        with pytest.raises(ConfigError, match="one hand becomes the other in a mirror"):
            recipe.flip(np.zeros(recipe.shape, recipe.dtype))


def test_the_flipped_picture_is_that_of_the_mirrored_scene(tmp_path):
    """Lines along rows and columns, whole pixels: all is exact, colours too."""
    corners = {
        1: (10, 10),
        2: (30, 10),
        4: (30, 50),
        3: (30, 30),
        5: (0, 10),
        8: (10, 60),
        15: (0, 0),
        26: (50, 60),
        25: (40, 60),
    }
    write(tmp_path / "a.json", corners, sure=0.9)
    write(tmp_path / "b.json", mirrored(corners, 60), sure=0.9)
    recipe = PoseImage(size=61, margin=0.0)
    one, other = make(recipe, tmp_path, "a.json", "b.json")[0]
    assert np.array_equal(recipe.flip(one), other)
    assert np.array_equal(recipe.flip(recipe.flip(one)), one)
    assert not np.array_equal(one[:, :, ::-1], other), "columns alone would make left arms of right ones"
    assert not recipe.flip(np.zeros_like(one)).any()


def mirrored_frame(frame: openpose.Frame, width: int) -> openpose.Frame:
    order = np.array(pose.MIRROR)
    points = np.where(frame.mask[..., None], (width - 1, 0) - frame.points * (1, -1), 0)[:, order]
    return replace(frame, points=points, confidence=frame.confidence[:, order], mask=frame.mask[:, order])


def test_real_pictures_are_mirrored_nearly_exactly(fer_raw):
    """Against the picture of the mirrored key points: how far off is it, and how far is the picture turned round?"""
    for crop, part in (("person", 0.1), ("image", 0.25)):
        recipe, off, naive = PoseImage(112, crop, "all", width=1920, height=1080), 0.0, 0.0
        for file in real_files(fer_raw):
            frame = openpose.read(file)
            people = range(len(frame))
            drawn = recipe.image(frame, people).transpose(2, 0, 1)
            wanted = recipe.image(mirrored_frame(frame, 1920), people).transpose(2, 0, 1).astype(float)
            off += np.abs(recipe.flip(drawn) - wanted).sum()
            naive += np.abs(drawn[..., ::-1] - wanted).sum()
        assert off < part * naive, (crop, off / naive)


# ---- clips


def clip(root: Path, numbers: list[int], name: str = "v_{:012d}_keypoints.json") -> None:
    """A person at x = frame number."""
    for number in numbers:
        write(root / "clip" / name.format(number), {0: (number, 10), 1: (number, 20), 2: (number + 10, 20)})


def noses(recipe: PoseClip, root: Path, **frames: int) -> tuple[list, str]:
    (array,), (remark,) = make(recipe, root, "clip", **frames)
    return array[0, :, NOSE].tolist(), remark


def test_frames_are_taken_from_the_whole_range_or_a_window(tmp_path):
    clip(tmp_path, list(range(1, 21)))
    of = {"parts": ["body"], "normalise": None}
    assert PoseClip(5, **of).shape == (3, 5, 25)
    assert noses(PoseClip(5, **of), tmp_path) == ([1, 6, 11, 15, 20], ""), "9.5 is rounded to 10"
    assert noses(PoseClip(5, **of), tmp_path, onset=3, offset=7) == ([3, 4, 5, 6, 7], "")
    assert noses(PoseClip(4, "start", **of), tmp_path, onset=3, offset=12) == ([3, 4, 5, 6], "")
    assert noses(PoseClip(4, "middle", **of), tmp_path, onset=3, offset=12) == ([6, 7, 8, 9], "")
    assert noses(PoseClip(4, "middle", **of), tmp_path, onset=3, offset=4) == ([3, 3, 4, 4], REPEATED)


def test_each_frame_of_a_clip_is_what_pose_array_makes_of_it(tmp_path):
    clip(tmp_path, [4, 9])
    paths = [f"clip/v_{number:012d}_keypoints.json" for number in (4, 9)]
    for arguments in ({}, {"normalise": None, "channels": ["confidence", "x"], "parts": ["face", "body"]}):
        (made,), _ = make(PoseClip(2, person="area", **arguments), tmp_path, "clip")
        frames, _ = make(PoseArray(**arguments), tmp_path, *paths)
        assert np.array_equal(made, frames.transpose(1, 0, 2))


def test_frames_without_a_file_or_without_people_are_remarked(tmp_path):
    clip(tmp_path, [2, 3, 5])
    write(tmp_path / "clip" / "v_000000000006_keypoints.json")
    found, remark = noses(PoseClip(5, normalise=None), tmp_path, onset=2, offset=6)
    assert found == [2, 3, 0, 5, 0]
    assert remark == f"some frames: {NOBODY}; some frames: {NO_FILE}"
    assert noses(PoseClip(4, normalise=None), tmp_path) == ([2, 3, 5, 0], f"some frames: {NOBODY}"), "all that is there"
    assert noses(PoseClip(3), tmp_path)[1] == f"some frames: {NOBODY}"
    assert noses(PoseClip(2, normalise="torso"), tmp_path, onset=2, offset=3)[1] == f"all frames: {NO_UNIT['torso']}"


def test_a_person_is_followed_through_the_frames_between(tmp_path):
    """Two people change places; from the first to the last frame only the frames between tell who is who."""
    for number in range(11):
        x, size = 20 * number, 30 if number else 90
        one = {0: (x, 0), 1: (x, size), 2: (x + size, 0)}
        other = {0: (200 - x, 300), 1: (200 - x, 360), 2: (260 - x, 300)}
        write(tmp_path / "clip" / f"{number:012d}_keypoints.json", *((one, other) if number % 2 else (other, one)))
    ends = {who: noses(PoseClip(2, person=who, normalise=None), tmp_path)[0] for who in ("track", "area", "first")}
    assert ends == {"track": [0, 200], "area": [0, 0], "first": [200, 0]}
    for number in range(1, 10):
        (tmp_path / "clip" / f"{number:012d}_keypoints.json").unlink()
    assert noses(PoseClip(2, normalise=None), tmp_path)[0] == [0, 0], "nobody overlaps the last box: the largest"


def test_the_scale_of_a_clip_is_seen_in_all_of_its_frames(tmp_path):
    write(tmp_path / "clip/v_0_keypoints.json", {0: (0.5, 0.5), 1: (0.5, 0.7), 2: (0.6, 0.7)})
    write(tmp_path / "clip/v_1_keypoints.json", {0: (-0.5, -0.5), 1: (-0.5, 0.5), 2: (0, 0)})
    found, _ = noses(PoseClip(2, normalise="image"), tmp_path)
    assert found == [0.75, 0.25]


def test_what_is_no_clip_is_said(tmp_path):
    with pytest.raises(DatasetError, match=r"clip: no folder .*complete the files"):
        make(PoseClip(), tmp_path, "clip")
    write(tmp_path / "clip" / "portrait_keypoints.json")
    with pytest.raises(DatasetError, match=r"no file <video>_<frame>_keypoints.json in clip; there are none"):
        make(PoseClip(), tmp_path, "clip")
    clip(tmp_path, [5, 6])
    with pytest.raises(
        DatasetError, match=r"json from 7 to 9 in clip; those there are 5 to 6. Frame numbers are those"
    ):
        make(PoseClip(), tmp_path, "clip", onset=7, offset=9)
    with pytest.raises(DatasetError, match="expected onset and offset, or neither, found 7 and <NA>"):
        make(PoseClip(), tmp_path, "clip", onset=7)
    clip(tmp_path, [5], "v_{}_keypoints.json")
    with pytest.raises(DatasetError, match=r"'v_0+5_keypoints.json' and 'v_5_keypoints.json' .* the same frame"):
        make(PoseClip(), tmp_path, "clip")
    (tmp_path / "clip" / "v_5_keypoints.json").unlink()
    clip(tmp_path, [9], "w_{}_keypoints.json")
    with pytest.raises(DatasetError, match=r"'v_0+5_keypoints.json' and 'w_9_keypoints.json' .* are of two videos"):
        make(PoseClip(), tmp_path, "clip")
    for arguments, message in (({"window": "end"}, "window='end' is not one of"), ({"frames": 1}, "at least 2")):
        with pytest.raises(ValueError, match=message):
            PoseClip(**arguments)


# ---- real files


def real_files(fer_raw: Path) -> list[Path]:
    files = sorted((fer_raw / "openpose").rglob("*.json"))
    if not files:
        pytest.skip("FER_RAW has no openpose/*.json")
    return files


@pytest.mark.parametrize("normalise", ["torso", "box", "image", None])
def test_every_real_file_becomes_an_array(fer_raw, normalise):
    files = real_files(fer_raw)
    paths = [file.relative_to(fer_raw).as_posix() for file in files]
    recipe = PoseArray(channels=["x", "y", "confidence", "mask"], normalise=normalise, width=1920, height=1080)
    arrays, remarks = make(recipe, fer_raw, *paths)
    assert np.isfinite(arrays).all()
    missing = arrays[:, 3] == 0
    assert not arrays.transpose(0, 2, 1)[missing].any()
    for file, array, remark in zip(files, arrays, remarks, strict=True):
        frame = openpose.read(file)
        assert (remark == NOBODY) == (len(frame) == 0), file
        if not remark:
            assert array[3].sum() == frame.mask[pose.choose(frame)].sum(), file
    told = Counter(remarks)
    assert told[NOBODY] == 6
    assert told[NO_UNIT["torso"]] == (9 if normalise == "torso" else 0), "the signer of slp_face_hand has no hips"


def test_every_real_file_becomes_a_picture_with_a_mirror_image(fer_raw):
    files = real_files(fer_raw)
    for crop in ("person", "face", "image"):
        recipe = PoseImage(64, crop, width=1920, height=1080)
        pictures, remarks = make(recipe, fer_raw, *[file.relative_to(fer_raw).as_posix() for file in files])
        assert [bool(remark) for remark in remarks] == (~pictures.any(axis=(1, 2, 3))).tolist()
        assert Counter(remarks)[NOBODY] == 6
        for picture in pictures:
            assert np.array_equal(recipe.flip(picture).any(axis=0), picture.any(axis=0)[:, ::-1])


@pytest.mark.parametrize("normalise", ["torso", "box"])
def test_real_sequences_become_clips(fer_raw, normalise):
    videos = sorted({file.parent for file in real_files(fer_raw) if file.name.startswith(("video_", "Kick_"))})
    for folder in videos:
        path = folder.relative_to(fer_raw).as_posix()
        (array,), (remark,) = make(PoseClip(8, normalise=normalise), fer_raw, path)
        assert np.isfinite(array).all(), folder
        alone = "the torso" in remark and "all frames" in remark
        assert array.any() != alone, folder
    if normalise == "box":
        (array,), (remark,) = make(PoseClip(), fer_raw, "openpose/cs229_empty_and_one", onset=50, offset=60)
        assert remark == f"some frames: {NOBODY}; {REPEATED}"
        assert array[2].any(axis=1).tolist() == [True] * 7 + [False] * 9
