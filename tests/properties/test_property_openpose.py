"""OpenPose's JSON: the points that stand there, or a refusal."""

import json
import math

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.functional import openpose
from tests.properties_of import answer, damaged, examples, nasty

KEYS = {"body": "pose", "face": "face", "hand_left": "hand_left", "hand_right": "hand_right"}
SIZES = {"body": (25, 18), "face": (70,), "hand_left": (21,), "hand_right": (21,)}
JUNK = (None, "1", "x", [], [1.0], {}, -1, 10**30, 1e300)


@st.composite
def people(draw: st.DrawFn) -> list[dict[str, list[float]]]:
    """People whose points are drawn from a seed: hypothesis would spend itself on single numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    body = draw(st.sampled_from(SIZES["body"]))
    found = []
    for _ in range(draw(st.integers(0, 3))):
        parts = draw(st.sets(st.sampled_from([*KEYS][1:]))) | {"body"}
        sizes = {part: body if part == "body" else SIZES[part][0] for part in KEYS if part in parts}
        points = {part: rng.uniform([0, 0, -0.3], [640, 480, 1], (size, 3)).round(3) for part, size in sizes.items()}
        found.append({part: np.maximum(values, 0).ravel().tolist() for part, values in points.items()})
    return found


def document(wanted: list[dict], suffix: str = "_keypoints_2d") -> dict:
    return {"version": 1.3, "people": [{KEYS[part] + suffix: values for part, values in one.items()} for one in wanted]}


def parse(data: bytes) -> openpose.Frame | None:
    return answer(lambda: openpose.parse(data, "000_keypoints.json"), "000_keypoints.json")


def fits(frame: openpose.Frame | None, wanted: list[dict]) -> bool:
    if frame is None or len(frame) != len(wanted):
        return False
    for number, one in enumerate(wanted):
        for part, place in openpose.PARTS.items():
            values = np.array(one.get(part, [])).reshape(-1, 3)
            target = np.zeros((place.stop - place.start, 3))
            target[[*range(8), *range(9, 19)] if len(values) == 18 else slice(len(values))] = values
            target[target[:, 2] <= 0] = 0
            if not np.array_equal(frame.points[number, place], target[:, :2]):
                return False
            if not np.array_equal(frame.confidence[number, place], target[:, 2]):
                return False
            if not np.array_equal(frame.mask[number, place], target[:, 2] > 0):
                return False
    return True


@examples(40)
@given(people(), st.booleans(), st.sampled_from(["_keypoints_2d", "_keypoints"]), st.sampled_from([None, 1]))
def test_every_version_says_the_same(wanted, mark, suffix, indent):
    data = ("\ufeff" if mark else "") + json.dumps(document(wanted, suffix), indent=indent)
    assert fits(parse(data.encode()), wanted)


@examples(120)
@given(people().filter(bool), st.data(), st.sampled_from(JUNK))
@example([{"body": [1.0, 2.0, 0.5] * 25}], None, 10**400)
def test_a_value_that_is_no_number_is_refused(wanted, data, junk):
    if data is None:
        wanted[0]["body"][0] = junk
    else:
        part = data.draw(st.sampled_from(list(wanted[0])))
        place = data.draw(st.integers(0, len(wanted[0][part]) - 1))
        if data.draw(st.booleans()):
            wanted[0][part][place] = junk
        else:
            wanted[0][part] = junk if not isinstance(junk, list) else wanted[0][part][:place]
    found = parse(json.dumps(document(wanted)).encode())
    if found is not None:
        numbers = [value for one in wanted for values in one.values() for value in values or []]
        assert all(type(value) in (int, float) for value in numbers)
        assert fits(found, wanted)


@examples(120)
@given(people().flatmap(lambda wanted: damaged(json.dumps(document(wanted)).encode())))
@example(b"[" * 100_000)
@example(b'{"people": [{"pose_keypoints_2d": [' + b"NaN, 1, 1, " * 24 + b"NaN, 1, 1]}]}")
def test_a_damaged_file_is_refused_or_read_as_it_stands(data):
    found = parse(data)
    if found is not None:
        said = json.loads(data.decode("utf-8-sig"))["people"]
        wanted = [
            {part: one[KEYS[part] + "_keypoints_2d"] for part in KEYS if KEYS[part] + "_keypoints_2d" in one}
            for one in said
        ]
        assert fits(found, wanted)
        assert math.isfinite(found.points.sum())


@examples(80)
@given(nasty("Kick 14", "a_1", "cam.2"), st.integers(0, 10**12 - 1), st.sampled_from(["_keypoints.json", ".json"]))
@example("a\u0663", 7, ".json")
def test_the_number_in_a_file_name(video, number, end):
    video = video.replace("/", "")
    assert openpose.split_name(f"{video}_{number:012d}{end}") == (video, number)
    assert openpose.split_name(f"{video}x\u0663{end}")[1] is None
