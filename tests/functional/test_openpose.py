"""OpenPose JSON: every format version, nobody, many people, points that were not found, what is no such file."""

import json
from pathlib import Path

import numpy as np
import pytest

from fer_lightning.errors import DatasetError, DatasetNotFoundError
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


def test_nobody():
    frame = openpose.parse(NOBODY, "frame")
    assert (len(frame), frame.points.shape, frame.body_model) == (0, (0, 137, 2), "")


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
        (
            document({"pose_keypoints_2d": person(24)}),
            r"person 0: pose_keypoints_2d must .* 18 or 25 .*found 72 numbers",
        ),
        (document({"pose_keypoints_2d": person(15)}), "15 joints are the MPI model: use --model_pose BODY_25"),
        (document({"face_keypoints_2d": person(68)}), r"must hold 3 numbers for each of 70 points, or none"),
        (document({"pose_keypoints_2d": [person()]}), "must be a flat list of numbers: must be real number, not list"),
        (document({"pose_keypoints_2d": ["x"] * 75}), "must be a flat list of numbers"),
        (document({"pose_keypoints_2d": ["1"] * 75}), "must be a flat list of numbers: .*not str"),
        (document({"pose_keypoints_2d": [None] * 75}), "must be a flat list of numbers: .*not NoneType"),
        (document({"pose_keypoints_2d": None}), "must be a flat list of numbers: found None"),
        (document({"pose_keypoints_2d": {}}), "must be a flat list of numbers: found {}"),
        (document({"pose_keypoints_2d": [float("nan")] * 75}), "no complete JSON"),
        (document({"pose_keypoints_2d": person()}).replace(b"100.0", b"1e999"), "no complete JSON"),
        (document({"pose_keypoints_2d": person(at=(2e6, 0))}), r"frame.json: holds a number beyond 1e\+06"),
        (document({"pose_keypoints_2d": person(at=(0, -2e6))}), "holds a number beyond"),
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
        "reg_img46_keypoints.json",
    ]
    expected = [("a_b", 7), ("", 12), ("cam01", 31), ("portrait", None), ("reg_img", 46)]
    assert [openpose.split_name(name) for name in names] == expected
    assert openpose.video("set/a/a_b_000000000007_keypoints.json") == "set/a/a_b"
    assert openpose.video("000000000012_keypoints.json") == "."


def real_files(fer_raw: Path) -> list[Path]:
    files = sorted((fer_raw / "openpose").rglob("*.json"))
    if not files:
        pytest.skip("FER_RAW has no openpose/*.json")
    return files


def test_every_real_file_is_read_as_the_standard_library_reads_it(fer_raw):
    """A second reader: json, one triple after the other."""
    seen: dict[str, int] = {}
    for file in real_files(fer_raw):
        frame = openpose.read(file)
        document = json.loads(file.read_bytes())
        assert len(frame) == len(document["people"]), file
        for number, raw in enumerate(document["people"]):
            expected = np.zeros((137, 3))
            for part, place in PARTS.items():
                values = next((raw[key] for key in openpose.KEYS[part] if key in raw), [])
                joints = openpose.COCO_18 if len(values) == 54 else range(len(values) // 3)
                for joint, (x, y, sure) in zip(joints, zip(*[iter(values)] * 3, strict=True), strict=True):
                    expected[place.start + joint] = (x, y, sure) if sure > 0 else 0
            assert np.array_equal(frame.points[number], expected[:, :2]), file
            assert np.array_equal(frame.confidence[number], expected[:, 2]), file
            assert np.array_equal(frame.mask[number], expected[:, 2] > 0), file
        assert frame.version == str(document["version"]), file
        key = f"{frame.version} {frame.body_model}"
        seen[key] = seen.get(key, 0) + 1
    assert {"1.0 COCO_18", "1.2 BODY_25", "1.3 BODY_25", "1.3 COCO_18", "1.3 "} <= set(seen), seen
