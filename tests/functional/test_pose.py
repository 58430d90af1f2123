"""People of a frame: which one, boxes, scales, normalisation, left and right exchanged."""

import json
from itertools import combinations, pairwise

import numpy as np
import pytest

from fer_lightning.errors import ConfigError, DatasetError
from fer_lightning.functional import openpose, pose
from fer_lightning.functional.openpose import PARTS, Frame

NOBODY = b'{"version":1.3,"people":[]}'


def person(points: int = 25, at: tuple[float, float] = (100.0, 50.0), step: float = 10.0, sure: float = 0.9) -> list:
    """Flat x, y, confidence: point i stands at ``at + i * step`` on a diagonal."""
    return [value for i in range(points) for value in (at[0] + i * step, at[1] + i * step, sure)]


def document(*people: dict) -> bytes:
    return json.dumps({"version": 1.3, "people": list(people)}).encode()


def frame_of(*bodies: list) -> Frame:
    return openpose.parse(document(*({"pose_keypoints_2d": body} for body in bodies)), "frame")


def test_nobody():
    frame = openpose.parse(NOBODY, "frame")
    assert pose.choose(frame) is None
    assert pose.detect_scale([frame]) is None
    points, mask = pose.by_torso(frame.points, frame.mask)
    assert (points.shape, mask.shape) == ((0, 137, 2), (0, 137))


def test_a_box_is_of_the_points_that_were_found():
    body = person()
    body[3:9] = [0, 0, 0, 9999, 9999, 0]
    frame = frame_of(body)
    assert pose.box(frame.points[0, :4], frame.mask[0, :4]) == (100, 50, 130, 80)
    assert pose.box(frame.points[0, 1:3], frame.mask[0, 1:3]) is None


def test_the_overlap_of_boxes_by_hand():
    assert pose.iou((0, 0, 4, 4), (2, 2, 6, 6)) == pytest.approx(4 / 28)
    assert pose.iou((0, 0, 4, 4), (4, 0, 8, 4)) == 0
    assert pose.iou((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert pose.iou((1, 1, 1, 1), (1, 1, 1, 1)) == pose.iou(None, (0, 0, 1, 1)) == 0


def test_the_largest_or_the_surest_person_or_the_one_from_before():
    small_sure, large, empty = person(step=2, sure=0.95), person(at=(600, 0), step=20, sure=0.4), [0] * 75
    frame = frame_of(empty, small_sure, large)
    assert pose.choose(frame, "area") == 2
    assert pose.choose(frame, "confidence") == 1
    before = pose.person_box(frame, 1)
    assert before == (100, 50, 148, 98)
    assert pose.choose(frame, "area", before) == 1
    assert pose.choose(frame, "area", (5000, 5000, 5001, 5001)) == 2, "nobody overlaps: the largest again"
    assert pose.choose(frame, "first") == 1, "the first of whom anything was found"
    with pytest.raises(ConfigError, match=r"person='tallest' is not one of"):
        pose.choose(frame, "tallest")


def test_a_person_is_followed_when_the_order_changes_and_across_empty_frames():
    left, right = person(at=(0, 0), step=10), person(at=(500, 0), step=9)
    grown = person(at=(505, 0), step=30)
    nobody = openpose.parse(NOBODY, "frame")
    frames = [frame_of(left, right), frame_of(right, left), nobody, frame_of(grown, left)]
    assert pose.track(frames) == [0, 1, None, 1]
    assert [pose.choose(frame) for frame in frames] == [0, 1, None, 0], "without tracking another one is taken"


def test_a_face_without_a_body_has_a_box_too():
    frame = openpose.parse(document({"face_keypoints_2d": person(70, step=1)}), "frame")
    assert pose.person_box(frame, 0) == (100, 50, 169, 119)
    assert pose.choose(frame) == 0


def test_the_scale_is_seen_and_undone():
    pixels = frame_of(person(at=(0, 0), step=20))  # 0..480 in an image of 961x481
    unit = frame_of(
        [v / (960 if i % 3 == 0 else 480) if i % 3 < 2 else v for i, v in enumerate(person(at=(0, 0), step=20))]
    )
    signed = frame_of(
        [2 * v / (960 if i % 3 == 0 else 480) - 1 if i % 3 < 2 else v for i, v in enumerate(person(at=(0, 0), step=20))]
    )
    assert [pose.detect_scale([frame]) for frame in (pixels, unit, signed)] == ["pixels", "unit", "signed"]
    for frame, scale in ((pixels, "pixels"), (unit, "unit"), (signed, "signed")):
        assert pose.scale_of([frame], None, "clip") == scale
        back = pose.to_pixels(frame, scale, 961, 481, "a.json")
        shares = pose.to_shares(frame, scale, 961, 481, "a.json")
        np.testing.assert_allclose(back.points, pixels.points, atol=1e-9)
        np.testing.assert_allclose(shares.points, unit.points, atol=1e-9)
        for changed in (back, shares):
            assert not changed.points[~changed.mask].any()
    lower_right = frame_of([0.5] * 75)
    assert pose.detect_scale([lower_right]) == "unit"
    assert pose.detect_scale([lower_right, signed]) == "signed", "one frame is not enough to tell"
    with pytest.raises(
        DatasetError, match=r"a.json: the coordinates are shares of the image \(unit\).*keypoint_scale 0"
    ):
        pose.to_pixels(unit, "unit", None, None, "a.json")
    with pytest.raises(DatasetError, match=r"a.json: the coordinates are pixels.*keypoint_scale 3"):
        pose.to_shares(pixels, "pixels", None, None, "a.json")


def test_a_scale_that_was_said_is_checked_and_one_that_was_not_is_no_guess():
    nobody, unit = openpose.parse(NOBODY, "frame"), frame_of([0.5] * 75)
    pixels, signed = frame_of(person()), frame_of([-0.5, -0.5, 0.9] * 25)
    assert pose.scale_of([unit], "signed", "clip") == "signed", "a person in the lower right quarter"
    assert pose.scale_of([nobody], "unit", "clip") == "unit"
    assert pose.scale_of([nobody], None, "clip") is None
    for frame, said, seen in ((pixels, "unit", "pixels"), (unit, "pixels", "unit"), (signed, "unit", "signed")):
        with pytest.raises(DatasetError, match=f"clip: scale={said} was set, but the coordinates are {seen}"):
            pose.scale_of([frame], said, "clip")
    assert pose.scale_of([pixels], None, "clip", certain=True) == "pixels"
    with pytest.raises(
        DatasetError, match=r"clip: .* do not tell \[0, 1\] from \[-1, 1\]; set the recipe's scale=unit"
    ):
        pose.scale_of([unit], None, "clip", certain=True)


def test_a_face_that_leaves_the_image_does_not_hide_the_scale():
    unit = {
        "pose_keypoints_2d": person(at=(0.1, 0.1), step=0.01),
        "face_keypoints_2d": person(70, at=(-0.2, 0.5), step=0.01),
    }
    assert pose.detect_scale([openpose.parse(document(unit), "frame")]) == "unit"


def test_the_box_normalisation_by_hand():
    frame = frame_of(person(step=10))  # x 100..340, y 50..290
    points, mask = pose.by_box(frame.points[0], frame.mask[0], (100, 50, 340, 290))
    assert points[[0, 12, 24]].tolist() == [[-0.5, -0.5], [0, 0], [0.5, 0.5]]
    assert mask.tolist() == frame.mask[0].tolist()
    assert not points[25:].any()
    points, _ = pose.by_box(frame.points[0], frame.mask[0], (100, 50, 340, 530))
    assert points[24].tolist() == [0.25, 0], "the longer side is the unit of both"
    points, mask = pose.by_box(frame.points[0], frame.mask[0], (7, 7, 7, 7))
    assert not points.any()
    assert not mask.any()


def test_torso_normalisation_forgets_place_and_size():
    frame = frame_of(person(step=10))
    points, mask = pose.by_torso(frame.points, frame.mask)
    assert mask.tolist() == frame.mask.tolist()
    assert points[0, pose.NECK].tolist() == [0, 0]
    assert np.linalg.norm(points[0, pose.MID_HIP]) == pytest.approx(1)
    other, _ = pose.by_torso(frame_of(person(at=(-7, 900), step=3)).points, frame.mask)
    np.testing.assert_allclose(points, other, atol=1e-12)


def test_the_middle_of_the_hips_stands_in_for_the_mid_hip():
    frame = frame_of(person(18, step=10))  # COCO: right hip is joint 8, left hip 11; their middle is 9.5, the neck 1
    points, mask = pose.by_torso(frame.points, frame.mask)
    assert mask.sum() == 18
    assert np.linalg.norm(points[0, pose.LEFT_HIP]) == pytest.approx(10 / 8.5)


@pytest.mark.parametrize("missing", [pose.NECK, pose.MID_HIP])
def test_without_a_torso_nothing_is_known(missing):
    body = person()
    for joint in (missing, pose.LEFT_HIP):
        body[3 * joint : 3 * joint + 3] = [0, 0, 0]
    points, mask = pose.by_torso(*(lambda f: (f.points, f.mask))(frame_of(body, person())))
    assert mask.any(axis=1).tolist() == [False, True]
    assert not points[0].any()


def test_two_joints_at_one_place_are_no_torso():
    frame = frame_of(person(step=0))
    points, mask = pose.by_torso(frame.points, frame.mask)
    assert not mask.any()
    assert np.isfinite(points).all()


def test_one_person_of_a_real_crowd_is_followed(fer_raw):
    files = sorted((fer_raw / "openpose" / "posepy_multi").glob("*.json"))
    near = [openpose.read(file) for file in files if openpose.split_name(file.name)[1] in (752, 754, 756)]
    if len(near) != 3:
        pytest.skip("FER_RAW has no posepy_multi frames 752, 754, 756")
    chosen = pose.track(near)
    boxes = [pose.person_box(frame, person) for frame, person in zip(near, chosen, strict=True)]
    assert min(pose.iou(a, b) for a, b in pairwise(boxes)) > 0.5


# ---- left and right


def test_a_mirror_exchanges_sides_and_twice_changes_nothing():
    mirror = np.array(pose.MIRROR)
    assert sorted(pose.MIRROR) == list(range(137))
    assert mirror[mirror].tolist() == list(range(137))
    for joint, name in enumerate(pose.BODY_NAMES):
        other = pose.BODY_NAMES[pose.MIRROR[joint]]
        assert {name[0], other[0]} == {"R", "L"} if name[0] in "RL" else other == name
        assert other[1:] == name[1:]
    assert len(set(pose.BODY_NAMES)) == 25
    left, right = (list(range(137))[PARTS[hand]] for hand in ("hand_left", "hand_right"))
    assert mirror[left].tolist() == right


def test_the_mirror_of_the_body_and_face_typed_a_second_time():
    body = {2: 5, 3: 6, 4: 7, 9: 12, 10: 13, 11: 14, 15: 16, 17: 18, 19: 22, 20: 23, 21: 24}
    face = "0-16 1-15 2-14 3-13 4-12 5-11 6-10 7-9 17-26 18-25 19-24 20-23 21-22 31-35 32-34 36-45 37-44 38-43 39-42 "
    face += "40-47 41-46 48-54 49-53 50-52 55-59 56-58 60-64 61-63 65-67 68-69"
    pairs = body | {25 + int(a): 25 + int(b) for a, b in (pair.split("-") for pair in face.split())}
    moved = {point: to for point, to in enumerate(pose.MIRROR[:95]) if point < to}
    assert moved == pairs


def test_parts_stand_in_one_order_and_one_hand_alone_has_no_mirror():
    assert pose.point_numbers(["face", "body"]).tolist() == list(range(95))
    assert pose.mirrored(["hand_right", "hand_left"]).tolist() == [*range(21, 42), *range(21)]
    assert pose.mirrored(["face"])[:17].tolist() == list(range(16, -1, -1))
    with pytest.raises(ConfigError, match=r"parts=\['hand_left'\]: one hand becomes the other"):
        pose.mirrored(["hand_left"])
    with pytest.raises(ConfigError, match=r"parts=\['foot'\] must be some of \['body', 'face'"):
        pose.point_numbers(["foot"])


def test_no_exchange_of_two_pairs_fits_real_faces_better(fer_raw):
    """A face is nearly symmetric: an affine map brings its points near to their partners, and to nobody else's."""
    files = sorted((fer_raw / "openpose" / "slp_face_hand").glob("*.json"))
    if not files:
        pytest.skip("FER_RAW has no openpose/slp_face_hand")
    faces = [openpose.read(file).points[0, PARTS["face"]] for file in files]

    def misfit(partners: np.ndarray) -> float:
        return sum(np.linalg.lstsq(np.c_[face, np.ones(70)], face[partners])[1].sum() for face in faces)

    ours = np.array(pose.MIRROR)[PARTS["face"]] - PARTS["face"].start
    for one, other in combinations([point for point in range(70) if point < ours[point]], 2):
        exchanged = ours.copy()
        exchanged[[one, other]] = ours[[other, one]]
        exchanged[ours[[other, one]]] = one, other
        assert misfit(exchanged) > misfit(ours), (one, other)
