"""OpenPose JSON: every format version, nobody, many people, points that were not found, scales."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional import openpose
from fer_lightning.functional.openpose import PARTS, Frame

NOBODY = b'{"version":1.3,"people":[]}'


def person(points: int = 25, at: tuple[float, float] = (100.0, 50.0), step: float = 10.0, sure: float = 0.9) -> list:
    """Flat x, y, confidence: point i stands at ``at + i * step`` on a diagonal."""
    return [value for i in range(points) for value in (at[0] + i * step, at[1] + i * step, sure)]


def document(*people: dict, version: float = 1.3) -> bytes:
    return json.dumps({"version": version, "people": list(people)}).encode()


def frame_of(*bodies: list) -> Frame:
    return openpose.parse(document(*({"pose_keypoints_2d": body} for body in bodies)), "frame")


def test_every_part_stands_at_its_place():
    full = {
        "person_id": [-1],
        "pose_keypoints_2d": person(25),
        "face_keypoints_2d": person(70, at=(1000, 0)),
        "hand_left_keypoints_2d": person(21, at=(2000, 0)),
        "hand_right_keypoints_2d": person(21, at=(3000, 0)),
        "pose_keypoints_3d": [],
    }
    frame = openpose.parse(document(full), "frame")
    assert (frame.points.shape, frame.confidence.shape, frame.mask.shape) == ((1, 137, 2), (1, 137), (1, 137))
    assert frame.mask.all()
    assert [frame.points[0, PARTS[part].start].tolist() for part in PARTS] == [
        [100, 50],
        [1000, 0],
        [2000, 0],
        [3000, 0],
    ]
    assert frame.points[0, 24].tolist() == [340, 290]
    assert (frame.body_model, frame.version, len(frame)) == ("BODY_25", "1.3", 1)


@pytest.mark.parametrize(
    ("version", "key"),
    [(0.1, "body_parts"), (1.0, "pose_keypoints"), (1.1, "pose_keypoints"), (1.2, "pose_keypoints_2d")],
)
def test_older_formats_call_the_body_otherwise(version, key):
    more = {"face_keypoints": person(70)} if version in (1.0, 1.1) else {}
    data = document({key: person()} | more, version=version)
    candidates = {"part_candidates": [{"0": [1, 2, 0.5]}]} if version == 1.1 else {}
    data = json.dumps(json.loads(data) | candidates, indent="\t").encode()
    frame = openpose.parse(data, "frame")
    assert frame.points[0, PARTS["body"]].tolist() == frame_of(person()).points[0, PARTS["body"]].tolist()
    assert frame.mask[0, PARTS["face"]].all() == bool(more)
    assert frame.version == str(version)


def test_coco_joints_are_moved_to_their_places_in_body_25():
    frame = frame_of(person(18, step=1.0))
    assert frame.body_model == "COCO_18"
    found = {joint: frame.points[0, joint, 0] - 100 for joint in range(25) if frame.mask[0, joint]}
    # nose..left wrist, right hip..left ankle, eyes and ears; no mid-hip (8), no feet (19..24)
    assert found == {i: i for i in range(8)} | {i + 1: i for i in range(8, 18)}


def test_a_point_that_was_not_found_is_a_mask_not_the_corner():
    body = person()
    body[3:6] = [0, 0, 0]  # neck
    body[6:9] = [-1, -1, 0]  # right shoulder, as --keypoint_scale 4 writes it
    body[9:12] = [0, 0, 0.3]  # a point that was found in the corner
    frame = frame_of(body)
    assert frame.mask[0, :4].tolist() == [True, False, False, True]
    assert frame.points[0, 1:4].tolist() == [[0, 0], [0, 0], [0, 0]]
    assert openpose.box(frame.points[0, :3], frame.mask[0, :3]) == (100, 50, 100, 50)


def test_nobody():
    frame = openpose.parse(NOBODY, "frame")
    assert (len(frame), frame.points.shape, frame.body_model) == (0, (0, 137, 2), "")
    assert openpose.choose(frame) is None
    assert openpose.detect_scale([frame]) is None
    points, mask = openpose.by_torso(frame.points, frame.mask)
    assert (points.shape, mask.shape) == ((0, 137, 2), (0, 137))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (NOBODY[:20], r"frame.json \(20 bytes\) is no complete JSON: .*run OpenPose again"),
        (b"", r"frame.json \(0 bytes\) is no complete JSON"),
        (b"\xff\xfe{}", "no complete JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "frame.json is a Git-LFS pointer"),
        (b"[]", r"frame.json: expected \{'version'.*--write_json"),
        (b'{"version": 1.3}', r"expected \{'version'"),
        (b'{"people": [[1, 2]]}', r"expected \{'version'"),
        (document({"skeleton": []}), r"frame.json, person 0: no key such as pose_keypoints_2d .*\['skeleton'\]"),
        (document({"pose_keypoints_2d": person(24)}), r"person 0: pose_keypoints_2d must .* 18 or 25 .*shape \(72,\)"),
        (document({"pose_keypoints_2d": person(15)}), "15 joints are the MPI model: use --model_pose BODY_25"),
        (document({"face_keypoints_2d": person(68)}), r"must hold 3 numbers for each of 70 points, or none"),
        (document({"pose_keypoints_2d": [person()]}), r"found an array of shape \(1, 75\)"),
        (document({"pose_keypoints_2d": ["x"] * 75}), "must be a flat list of numbers"),
        (document({"pose_keypoints_2d": None}), r"shape \(\)"),
        (document({"pose_keypoints_2d": [float("nan")] * 75}), "holds a number that is not finite"),
        (document({"pose_keypoints_2d": person(25)}, {"pose_keypoints_2d": person(18)}), "different body models"),
    ],
)
def test_what_is_no_openpose_file_is_said(data, message):
    with pytest.raises(DatasetError, match=message):
        openpose.parse(data, "frame.json")


def test_a_file_is_read_with_a_byte_order_mark_and_its_absence_is_said(tmp_path):
    file = tmp_path / "a_000000000000_keypoints.json"
    with pytest.raises(DatasetNotFoundError, match=r"a_000000000000_keypoints.json: no such file"):
        openpose.read(file)
    file.write_bytes(b"\xef\xbb\xbf" + document({"pose_keypoints_2d": person()}).replace(b", ", b",\r\n"))
    assert openpose.read(file).mask.sum() == 25


def test_names_hold_video_and_frame():
    names = [
        "a_b_000000000007_keypoints.json",
        "000000000012_keypoints.json",
        "cam01.0031.json",
        "portrait_keypoints.json",
    ]
    assert [openpose.split_name(name) for name in names] == [("a_b", 7), ("", 12), ("cam01", 31), ("portrait", None)]


def test_the_overlap_of_boxes_by_hand():
    assert openpose.iou((0, 0, 4, 4), (2, 2, 6, 6)) == pytest.approx(4 / 28)
    assert openpose.iou((0, 0, 4, 4), (4, 0, 8, 4)) == 0
    assert openpose.iou((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert openpose.iou((1, 1, 1, 1), (1, 1, 1, 1)) == openpose.iou(None, (0, 0, 1, 1)) == 0


def test_the_largest_or_the_surest_person_or_the_one_from_before():
    small_sure, large, empty = person(step=2, sure=0.95), person(at=(600, 0), step=20, sure=0.4), [0] * 75
    frame = frame_of(empty, small_sure, large)
    assert openpose.choose(frame, "area") == 2
    assert openpose.choose(frame, "confidence") == 1
    before = openpose.person_box(frame, 1)
    assert before == (100, 50, 148, 98)
    assert openpose.choose(frame, "area", before) == 1
    assert openpose.choose(frame, "area", (5000, 5000, 5001, 5001)) == 2, "nobody overlaps: the largest again"
    with pytest.raises(ConfigError, match=r"person='first' is not one of"):
        openpose.choose(frame, "first")


def test_a_person_is_followed_when_the_order_changes_and_across_empty_frames():
    left, right = person(at=(0, 0), step=10), person(at=(500, 0), step=9)
    grown = person(at=(505, 0), step=30)
    nobody = openpose.parse(NOBODY, "frame")
    frames = [frame_of(left, right), frame_of(right, left), nobody, frame_of(grown, left)]
    assert openpose.track(frames) == [0, 1, None, 1]
    assert [openpose.choose(frame) for frame in frames] == [0, 1, None, 0], "without tracking another one is taken"


def test_a_face_without_a_body_has_a_box_too():
    frame = openpose.parse(document({"face_keypoints_2d": person(70, step=1)}), "frame")
    assert openpose.person_box(frame, 0) == (100, 50, 169, 119)
    assert openpose.choose(frame) == 0


def test_the_scale_is_seen_and_undone():
    pixels = frame_of(person(at=(0, 0), step=20))  # 0..480 in an image of 961x481
    unit = frame_of(
        [v / (960 if i % 3 == 0 else 480) if i % 3 < 2 else v for i, v in enumerate(person(at=(0, 0), step=20))]
    )
    signed = frame_of(
        [2 * v / (960 if i % 3 == 0 else 480) - 1 if i % 3 < 2 else v for i, v in enumerate(person(at=(0, 0), step=20))]
    )
    assert [openpose.detect_scale([frame]) for frame in (pixels, unit, signed)] == ["pixels", "unit", "signed"]
    for frame, scale in ((pixels, "pixels"), (unit, "unit"), (signed, "signed")):
        back = openpose.to_pixels(frame, scale, 961, 481)
        np.testing.assert_allclose(back.points, pixels.points, atol=1e-9)
        assert not back.points[~back.mask].any()
    lower_right = frame_of([0.5] * 75)
    assert openpose.detect_scale([lower_right]) == "unit"
    assert openpose.detect_scale([lower_right, signed]) == "signed", "one frame is not enough to tell"
    with pytest.raises(ConfigError, match=r"scale='percent' must be one of"):
        openpose.to_pixels(unit, "percent", 10, 10)


def test_a_face_that_leaves_the_image_does_not_hide_the_scale():
    unit = {
        "pose_keypoints_2d": person(at=(0.1, 0.1), step=0.01),
        "face_keypoints_2d": person(70, at=(-0.2, 0.5), step=0.01),
    }
    assert openpose.detect_scale([openpose.parse(document(unit), "frame")]) == "unit"


def test_image_size_normalisation_by_hand():
    frame = frame_of(person(at=(0, 0), step=10))
    shares = openpose.by_image_size(frame.points, frame.mask, 200, 400)
    assert shares[0, 10].tolist() == [0.5, 0.25]
    assert not shares[0, 25:].any()


def test_torso_normalisation_forgets_place_and_size():
    frame = frame_of(person(step=10))
    points, mask = openpose.by_torso(frame.points, frame.mask)
    assert mask.tolist() == frame.mask.tolist()
    assert points[0, openpose.NECK].tolist() == [0, 0]
    assert np.linalg.norm(points[0, openpose.MID_HIP]) == pytest.approx(1)
    other, _ = openpose.by_torso(frame_of(person(at=(-7, 900), step=3)).points, frame.mask)
    np.testing.assert_allclose(points, other, atol=1e-12)


def test_the_middle_of_the_hips_stands_in_for_the_mid_hip():
    frame = frame_of(person(18, step=10))  # COCO: right hip is joint 8, left hip 11; their middle is 9.5, the neck 1
    points, mask = openpose.by_torso(frame.points, frame.mask)
    assert mask.sum() == 18
    assert np.linalg.norm(points[0, openpose.LEFT_HIP]) == pytest.approx(10 / 8.5)


@pytest.mark.parametrize("missing", [openpose.NECK, openpose.MID_HIP])
def test_without_a_torso_nothing_is_known(missing):
    body = person()
    for joint in (missing, openpose.LEFT_HIP):
        body[3 * joint : 3 * joint + 3] = [0, 0, 0]
    points, mask = openpose.by_torso(*(lambda f: (f.points, f.mask))(frame_of(body, person())))
    assert mask.any(axis=1).tolist() == [False, True]
    assert not points[0].any()


def test_two_joints_at_one_place_are_no_torso():
    frame = frame_of(person(step=0))
    points, mask = openpose.by_torso(frame.points, frame.mask)
    assert not mask.any()
    assert np.isfinite(points).all()


def real_files(fer_raw: Path) -> list[Path]:
    files = sorted((fer_raw / "openpose").rglob("*.json"))
    if not files:
        pytest.skip("FER_RAW has no openpose/*.json")
    return files


def test_every_real_file_is_read_and_normalised(fer_raw):
    seen: dict[str, int] = {}
    for file in real_files(fer_raw):
        frame = openpose.read(file)
        people = json.loads(file.read_bytes())["people"]
        assert len(frame) == len(people), file
        for number, raw in enumerate(people):  # counted a second way: triples with c > 0
            lists = [v for k, v in raw.items() if k.endswith(("_2d", "keypoints"))]
            assert frame.mask[number].sum() == sum(c > 0 for v in lists for c in v[2::3]), file
        points, mask = openpose.by_torso(frame.points, frame.mask)
        shares = openpose.by_image_size(frame.points, frame.mask, 1920, 1080)
        for array, found in ((frame.points, frame.mask), (points, mask), (shares, frame.mask)):
            assert np.isfinite(array).all(), file
            assert not array[~found].any(), file
        assert openpose.detect_scale([frame]) == ("pixels" if len(frame) else None), file
        key = f"{frame.version} {frame.body_model}"
        seen[key] = seen.get(key, 0) + 1
    assert {"1.0 COCO_18", "1.2 BODY_25", "1.3 BODY_25", "1.3 COCO_18", "1.3 "} <= set(seen), seen


def test_one_person_of_a_real_crowd_is_followed(fer_raw):
    files = [file for file in real_files(fer_raw) if file.parent.name == "posepy_multi"]
    near = [openpose.read(file) for file in files if openpose.split_name(file.name)[1] in (752, 754, 756)]
    if len(near) != 3:
        pytest.skip("FER_RAW has no posepy_multi frames 752, 754, 756")
    chosen = openpose.track(near)
    boxes = [openpose.person_box(frame, person) for frame, person in zip(near, chosen, strict=True)]
    assert min(openpose.iou(a, b) for a, b in pairwise(boxes)) > 0.5
