"""Skeletons as OpenPose draws them, pixel by pixel where the rule is exact, and the recipe that makes such pictures."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional import openpose, skeleton
from fer_lightning.functional.openpose import PARTS, Frame
from fer_lightning.preprocess.pose_image import PoseImage
from fer_lightning.preprocess.remark import Remarked

#: The documented tables, typed a second time from the description of the format.
PAIRS = (
    "1-8 1-2 1-5 2-3 3-4 5-6 6-7 8-9 9-10 10-11 8-12 12-13 13-14 1-0 0-15 15-17 0-16 16-18 "
    "14-19 19-20 14-21 11-22 22-23 11-24"
)
COLOURS = (
    "ff0055 ff0000 ff5500 ffaa00 ffff00 aaff00 55ff00 00ff00 ff0000 00ff55 00ffaa 00ffff 00aaff 0055ff 0000ff "
    "ff00aa aa00ff ff00ff 5500ff 0000ff 0000ff 0000ff 00ffff 00ffff 00ffff"
)


def frame(points: dict[int, tuple[float, float]], sure: float | dict = 0.9, model: str = "BODY_25") -> Frame:
    """One person with these of the 137 points."""
    triples = np.zeros((1, 137, 3))
    for point, place in points.items():
        triples[0, point] = (*place, sure[point] if isinstance(sure, dict) else sure)
    return Frame(triples[..., :2], triples[..., 2], triples[..., 2] > 0, model)


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    lit = picture[picture.any(axis=-1)].astype(np.int64) @ (1 << 16, 1 << 8, 1)
    return {(value >> 16, value >> 8 & 255, value & 255) for value in np.unique(lit).tolist()}


def test_pairs_and_colours_are_those_of_openpose():
    assert [f"{a}-{b}" for a, b in skeleton.BODY_PAIRS["BODY_25"]] == PAIRS.split()
    assert ["{:02x}{:02x}{:02x}".format(*colour) for colour in skeleton.BODY_COLOURS] == COLOURS.split()
    coco = "1-2 1-5 2-3 3-4 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 1-0 0-14 14-16 0-15 15-17"
    ours = {(a, b) for a, b in skeleton.BODY_PAIRS["COCO_18"]}
    assert ours == {tuple(openpose.COCO_18[int(joint)] for joint in pair.split("-")) for pair in coco.split()}
    assert len(skeleton.FACE_PAIRS) == 16 + 4 + 4 + 3 + 4 + 6 + 6 + 12 + 8
    assert {(41, 36), (47, 42), (59, 48), (67, 60)} < set(skeleton.FACE_PAIRS)
    assert {point for pair in skeleton.FACE_PAIRS for point in pair} == set(range(68)), "the pupils stand alone"
    assert skeleton.HAND_PAIRS[:5] == ((0, 1), (1, 2), (2, 3), (3, 4), (0, 5))
    assert skeleton.HAND_PAIRS[-4:] == ((0, 17), (17, 18), (18, 19), (19, 20))
    assert [len(style.colours) for style in skeleton.STYLES.values()] == [25, 70, 21, 21]


@pytest.mark.parametrize(
    ("part", "box", "expected"),
    [
        # 300x300: the root of the area is 300, so 4 pixels for a body or face that fills it, 6 for a hand
        ("body", (0, 0, 300, 150), (2, 4, 3)),
        ("face", (0, 0, 150, 300), (2, 4, 1)),
        ("hand_left", (0, 0, 300, 300), (3, 6, 5)),  # 6 * 0.75 = 4.5, rounded up
        ("body", (0, 0, 900, 10), (2, 4, 3)),  # never larger than the image
        ("body", (0, 0, 150, 10), (1, 2, 2)),  # 2 * 0.75 = 1.5, rounded up
        ("body", (0, 0, 16, 16), (1, 2, 2)),  # 0.2 pixels, but never less than 2
        ("body", (0, 0, 15, 15), (1, 1, 2)),  # a twentieth of the image or less: a thin rim
        ("body", (5, 5, 5, 200), None),
        ("body", None, None),
    ],
)
def test_thickness_by_hand(part, box, expected):
    assert skeleton.thickness(box, 300, 300, skeleton.STYLES[part]) == expected


def test_a_horizontal_line_pixel_by_pixel():
    # neck to right shoulder, and a left ankle that makes the box as high as the image: ratio 1, r = 4, line 3
    picture = skeleton.draw(frame({1: (100, 50), 2: (200, 50), 14: (150, 349)}, 0.9), 300, 300, parts=["body"])
    between = picture[:, 150]
    rows = np.flatnonzero(between.any(axis=1)).tolist()
    assert rows in ([49, 50, 51], [48, 49, 50, 51, 52]), "versions of OpenCV differ in how wide 3 is"
    assert colours(between) == {(255, 85, 0)}, "a line has the colour of its second point"
    assert picture[50, 100].tolist() == [255, 0, 0], "circles lie on lines"
    assert picture[50, 200].tolist() == [255, 85, 0]
    assert colours(picture) == {(255, 0, 0), (255, 85, 0)}


def test_a_thin_line_pixel_by_pixel():
    # two neighbours on the jaw, and the chin: of 4 pixels, lines of a face have 0.334, which is 1
    jaw = PARTS["face"].start
    picture = skeleton.draw(frame({jaw: (100, 50), jaw + 1: (200, 50), jaw + 8: (150, 299)}), 300, 300)
    assert np.flatnonzero(picture[:, 150].any(axis=1)).tolist()[:1] == [50]
    assert np.argwhere(picture[40:60, 105:196].any(axis=2))[:, 0].tolist() == [10] * 91
    assert picture[50, 105:196].tolist() == [[255, 255, 255]] * 91


def test_the_picture_is_the_one_that_the_rule_gives():
    """A second, plain way through the same rule, for a body with all joints."""
    rng = np.random.default_rng(0)
    places = {joint: tuple(rng.uniform(20, 180, 2)) for joint in range(25)}
    places |= {0: (0.5, 0.5), 24: (199.5, 199.5)}
    expected = np.zeros((200, 200, 3), np.uint8)
    whole = {joint: (int(np.floor(x + 0.5)), int(np.floor(y + 0.5))) for joint, (x, y) in places.items()}
    rgb = [tuple(bytes.fromhex(colour)) for colour in COLOURS.split()]
    r = round(200 / 75 * (199 / 200))
    for pair in PAIRS.split():
        a, b = map(int, pair.split("-"))
        cv2.line(expected, whole[a], whole[b], rgb[b], round(r * 0.75))
    for joint in range(25):
        cv2.circle(expected, whole[joint], r // 2, rgb[joint], r)
    assert np.array_equal(skeleton.draw(frame(places), 200, 200), expected)


@pytest.mark.parametrize(
    ("part", "threshold"), [("body", 0.05), ("face", 0.4), ("hand_left", 0.2), ("hand_right", 0.2)]
)
def test_points_at_the_threshold_are_not_drawn(part, threshold):
    first = PARTS[part].start
    places = {first + 2: (20, 20), first + 3: (180, 180), first + 4: (180, 20)}
    sure = {first + 2: 0.9, first + 3: 0.9, first + 4: threshold}
    without = skeleton.draw(frame(places, sure), 200, 200)
    sure[first + 4] = threshold + 0.001
    shown = skeleton.draw(frame(places, sure), 200, 200)
    assert not without[15:25, 175:185].any()
    assert shown[20, 180].any()
    assert shown[100, 180].any() and not without[100, 180].any(), "a line needs both its ends"  # noqa: PT018


def test_a_point_that_was_not_found_is_never_drawn_in_the_corner():
    picture = skeleton.draw(frame({1: (100, 100), 2: (150, 120)}), 200, 200)
    assert not picture[:50, :50].any()


def test_a_part_without_area_is_not_drawn():
    assert not skeleton.draw(frame({1: (100, 100)}), 200, 200).any()
    assert not skeleton.draw(frame({1: (100, 100), 2: (150, 100)}), 200, 200).any(), "OpenPose draws no flat box"


def test_faces_are_white_and_lie_over_bodies_hands_over_both():
    face, hand = PARTS["face"].start, PARTS["hand_left"].start
    cross = ((20, 100), (180, 104))
    places = dict(zip((1, 2), cross, strict=True)) | dict(zip((face, face + 1), cross, strict=True))
    picture = skeleton.draw(frame(places), 200, 200)
    assert colours(picture) == {(255, 85, 0), (255, 255, 255)}, "the neck lies under the end of the jaw"
    assert picture[102, 100].tolist() == [255, 255, 255]
    picture = skeleton.draw(frame(places | dict(zip((hand, hand + 1), cross, strict=True))), 200, 200)
    assert picture[102, 100].tolist() == [100, 0, 0]
    assert skeleton.draw(frame(places), 200, 200, parts=["body"])[102, 100].tolist() == [255, 85, 0]


def test_only_those_people_are_drawn_that_were_asked_for():
    both = Frame(
        *(
            np.concatenate(arrays)
            for arrays in zip(
                *[
                    (one.points, one.confidence, one.mask)
                    for one in (frame({1: (10, 10), 2: (60, 60)}), frame({1: (110, 110), 5: (160, 160)}))
                ],
                strict=True,
            )
        )
    )
    assert colours(skeleton.draw(both, 200, 200)) == {(255, 0, 0), (255, 85, 0), (170, 255, 0)}
    assert colours(skeleton.draw(both, 200, 200, people=[1])) == {(255, 0, 0), (170, 255, 0)}
    assert not skeleton.draw(both, 200, 200, people=[]).any()


def test_unknown_parts_are_refused():
    with pytest.raises(ConfigError, match=r"parts=\['foot'\] must be some of \['body', 'face'"):
        skeleton.draw(frame({}), 10, 10, parts=["foot"])


def test_every_real_file_is_drawn_in_documented_colours(fer_raw):
    files = sorted((fer_raw / "openpose").rglob("*.json"))
    if not files:
        pytest.skip("FER_RAW has no openpose/*.json")
    hands = {(r, g, b) for r, g, b in skeleton.HAND_COLOURS}
    body = {tuple(bytes.fromhex(colour)) for colour in COLOURS.split()}
    for file in files:
        people = openpose.read(file)
        picture = skeleton.draw(people, 1920, 1080)
        found = colours(picture)
        assert bool(found) == bool(len(people)), file
        allowed = body | ({(255, 255, 255)} | hands if "slp" in str(file) or "spin" in str(file) else set())
        assert found <= (allowed | hands if "sharokos" in str(file) else allowed), file
        for person in range(len(people)):  # the body's own joint is covered by nothing but later joints, faces, hands
            alone = skeleton.draw(people, 1920, 1080, [person], ["body"])
            for joint in np.flatnonzero(people.confidence[person, :25] > 0.05):
                x, y = np.floor(people.points[person, joint] + 0.5).astype(int)
                if y < 1080 and x < 1920:
                    assert tuple(map(int, alone[y, x])) in body, (file, person, joint)
        for crop in ("person", "face"):
            made = make(PoseImage(64, crop), fer_raw, file.relative_to(fer_raw).as_posix())[0]
            assert (made.shape, made.dtype) == ((3, 64, 64), np.uint8)
            assert crop == "face" or made.any() == bool(len(people)), file
            assert crop == "person" or made.any() == bool((people.confidence[:, PARTS["face"]] > 0.1).any()), file


# ---- the recipe


def write(file: Path, *bodies: np.ndarray) -> None:
    people = [{"pose_keypoints_2d": body.ravel().tolist()} for body in bodies]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"version": 1.3, "people": people}))


def body(left: float, top: float, side: float) -> np.ndarray:
    """Neck, both shoulders and right hand on the corners of a square."""
    triples = np.zeros((25, 3))
    for joint, (x, y) in {1: (0, 0), 2: (1, 0), 4: (1, 1), 5: (0, 1)}.items():
        triples[joint] = left + x * side, top + y * side, 0.9
    return triples


def make(recipe: PoseImage, root: Path, *names: str) -> np.ndarray:
    made = recipe.make(root, pd.DataFrame({"path": names}))
    return np.stack([sample.array if isinstance(sample, Remarked) else sample for sample in made])


def test_the_recipe_says_what_it_makes(tmp_path):
    recipe = PoseImage(size=32)
    write(tmp_path / "a.json", body(100, 100, 50))
    assert (recipe.shape, recipe.dtype, recipe.channels) == ((3, 32, 32), np.uint8, ["red", "green", "blue"])
    assert make(recipe, tmp_path, "a.json").shape == (1, 3, 32, 32)


def test_a_person_is_cut_out_wherever_it_stands_however_large_it_is(tmp_path):
    write(tmp_path / "a.json", body(100, 100, 50))
    write(tmp_path / "b.json", body(900, 0, 400))
    a, b = make(PoseImage(size=101, margin=0.25), tmp_path, "a.json", "b.json")
    assert np.array_equal(a, b)
    rows, columns = np.nonzero(a.any(axis=0))
    # the square of 50 pixels within 25..75, and circles of radius 1 with a rim of 2 around its corners
    assert [rows.min(), rows.max(), columns.min(), columns.max()] == [23, 77, 23, 77]


def test_the_whole_image_is_drawn_as_recorded_padded_and_reduced(tmp_path):
    write(tmp_path / "a.json", body(50, 20, 60))
    recipe = PoseImage(size=200, crop="image", width=200, height=100)
    drawn = skeleton.draw(openpose.read(tmp_path / "a.json"), 200, 100)
    made = make(recipe, tmp_path, "a.json")[0].transpose(1, 2, 0)
    assert np.array_equal(made[50:150], drawn)
    assert not made[:50].any()
    assert not made[150:].any()
    small = make(PoseImage(size=50, crop="image", width=200, height=100), tmp_path, "a.json")[0].transpose(1, 2, 0)
    means = made.reshape(50, 4, 50, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 0.5


def test_nobody_is_black_and_everybody_is_everybody(tmp_path):
    write(tmp_path / "none.json")
    write(tmp_path / "two.json", body(0, 0, 50), body(100, 100, 20))
    assert not make(PoseImage(size=32), tmp_path, "none.json").any()
    one, both = (make(PoseImage(size=64, person=who), tmp_path, "two.json")[0] for who in ("area", "all"))
    assert (one.any(axis=0)[40:, 40:]).any()
    assert not np.array_equal(one, both)
    assert not make(PoseImage(size=64, crop="face"), tmp_path, "two.json").any(), "no face was computed"


def test_a_tracked_person_does_not_depend_on_how_the_rows_are_cut(tmp_path):
    names = [f"clip/v_{number:012d}_keypoints.json" for number in range(3)]
    write(tmp_path / names[0], body(0, 0, 50), body(300, 0, 40))
    write(tmp_path / names[1], body(300, 0, 60), body(0, 0, 50))  # the other one is now first and larger
    write(tmp_path / names[2])
    write(tmp_path / "clip/w_000000000000_keypoints.json", body(300, 0, 60), body(0, 0, 50))
    recipe = PoseImage(size=64, crop="image", person="track", width=400, height=400)
    made = make(recipe, tmp_path, *names, "clip/w_000000000000_keypoints.json")
    left, right = made[:, :, :, :32].any(axis=(1, 2, 3)), made[:, :, :, 40:].any(axis=(1, 2, 3))
    assert left.tolist() == [True, True, False, False]
    assert right.tolist() == [False, False, False, True], "the next video begins anew"
    assert {recipe.chunk_key(name) for name in names} == {"clip/v"}
    assert PoseImage().chunk_key(names[0]) == ""


def test_shares_of_an_image_need_its_size(tmp_path):
    shares = body(0.25, 0.25, 0.5)
    write(tmp_path / "unit.json", shares)
    with pytest.raises(
        DatasetError, match=r"unit.json: the coordinates are shares of the image \(unit\).*width and height"
    ):
        make(PoseImage(), tmp_path, "unit.json")
    pixels = shares.copy()
    pixels[:, 0] *= 400
    pixels[:, 1] *= 200
    write(tmp_path / "pixels.json", pixels)
    made = [make(PoseImage(width=401, height=201), tmp_path, name) for name in ("unit.json", "pixels.json")]
    assert np.array_equal(*made)


def test_a_missing_or_torn_file_is_named(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"a.json: no such file"):
        make(PoseImage(), tmp_path, "a.json")
    write(tmp_path / "a.json", body(0, 0, 9))
    shutil.copy(tmp_path / "a.json", tmp_path / "b.json")
    (tmp_path / "b.json").write_bytes((tmp_path / "a.json").read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"b.json \(\d+ bytes\) is no complete JSON"):
        make(PoseImage(), tmp_path, "a.json", "b.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop": "head"}, r"crop='head' is not one of \['image', 'person', 'face'\]"),
        ({"person": "first"}, "person='first' is not one of"),
        ({"scale": "percent"}, "scale='percent' is not one of"),
        ({"crop": "image"}, "width=None and height=None of the image must both be given"),
        ({"width": 640}, "width=640 and height=None"),
        ({"parts": ["foot"]}, r"parts=\['foot'\] must be some of"),
        ({"margin": 0.5}, r"margin=0.5 in \[0, 0.5\)"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PoseImage(**arguments)
