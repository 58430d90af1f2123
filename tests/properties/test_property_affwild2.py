"""Aff-Wild2: line i is frame i, so a file is read as it stands or not at all."""

import math
import re

from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import affwild2_tracks
from tests.properties_of import SPLIT_LINES, Dialect, answer, damaged, dialects, examples, folder, nasty

WORDS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
EXPR = ",".join(WORDS)
codes = st.lists(st.integers(-1, 7).map(str), min_size=1, max_size=8)
numbers = st.integers(-1000, 1000).map(lambda number: f"{number / 1000:.3f}") | st.just("-5")
pairs = st.lists(st.tuples(numbers, numbers).map(",".join), min_size=1, max_size=6)
READERS = {"EXPR": affwild2_tracks.read_expr, "VA": affwild2_tracks.read_va}


def text(header: str, lines: list[str]) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def read(track: str, data: bytes, *names: str) -> list | None:
    with folder({"video.txt": data}) as root:
        table = answer(lambda: READERS[track](root / "video.txt"), "video.txt", *names)
    if table is None:
        return None
    assert table["frame"].tolist() == list(range(1, len(table) + 1))
    if track == "EXPR":
        return table["label"].tolist()
    return [None if math.isnan(v) else (v, a) for v, a in zip(table["valence"], table["arousal"], strict=True)]


def one(track: str, line: str) -> object:
    """What a line says; `ValueError` where it says nothing that may stand there."""
    line = line.strip()
    if track == "EXPR":
        if line not in {str(code) for code in range(-1, 8)}:
            raise ValueError(line)
        return "" if line == "-1" else WORDS[int(line)].lower()
    if not re.fullmatch(r"[-+.0-9eE\s]+,[-+.0-9eE\s]+", line):
        raise ValueError(line)
    pair = tuple(map(float, line.split(",")))
    if not all(-1 <= number <= 1 or number == -5 for number in pair):
        raise ValueError(line)
    return None if -5 in pair else pair


def parse(track: str, data: bytes) -> list | None:
    """A second reader: the first line is the header, a line is a frame."""
    try:
        header, *lines = SPLIT_LINES.split(data.decode("utf-8-sig").rstrip())
        wanted = EXPR.lower() if track == "EXPR" else "valence,arousal"
        seven = ",".join(WORDS[:7]).lower()
        title = re.sub(r"\s", "", header).lower()
        found = [one(track, line) for line in lines]
        known = title == wanted or (track == "EXPR" and title == seven and "other" not in found)
        return found if known and found else None
    except ValueError:
        return None


@examples(40)
@given(codes | pairs, dialects().filter(lambda dialect: dialect.blank is None))
def test_every_program_writes_the_same_file(lines, dialect):
    track = "VA" if "," in lines[0] else "EXPR"
    header = {"EXPR": EXPR, "VA": "valence,arousal"}[track]
    data = dialect.encode([dialect.pad + line + dialect.pad for line in (header, *lines)])
    assert read(track, data) == [one(track, line) for line in lines]


@examples(20)
@given(codes | pairs, st.data())
def test_a_blank_line_would_move_all_frames_and_is_refused(lines, data):
    track = "VA" if "," in lines[0] else "EXPR"
    place = data.draw(st.integers(0, len(lines) - 1))
    raw = text("valence,arousal" if track == "VA" else EXPR, [*lines[:place], "", *lines[place:]])
    assert read(track, raw, f"line {place + 2}") is None


@examples(120)
@given(codes | pairs, st.data(), nasty("8", "-2", "-5", "1.0001", "-5.0", "2e0", "1e-1", ".5"))
@example(["0.1,0.2"], None, "0_1")
@example(["1"], None, "9" * 5000)
@example(["1"], None, "1\x0c")
def test_a_bad_line_is_refused_by_its_number(lines, data, field):
    track = "VA" if "," in lines[0] else "EXPR"
    place = 0 if data is None else data.draw(st.integers(0, len(lines) - 1))
    lines = [*lines[:place], field if track == "EXPR" else f"{field},0.5", *lines[place + 1 :]]
    raw = text("valence,arousal" if track == "VA" else EXPR, lines)
    wanted = parse(track, raw)
    names = [] if wanted is not None or not field.strip() else [f"line {place + 2}"]
    assert read(track, raw, *names) in (None, wanted)


@examples(150)
@given(
    (codes | pairs).flatmap(
        lambda lines: st.tuples(
            st.just("VA" if "," in lines[0] else "EXPR"),
            damaged(text("valence,arousal" if "," in lines[0] else EXPR, lines)),
        )
    )
)
def test_a_damaged_file_is_refused_or_read_as_it_stands(case):
    track, data = case
    assert read(track, data) in (None, parse(track, data))


def test_the_header_of_seven_classes_has_no_eighth():
    seven = ",".join(WORDS[:7])
    assert read("EXPR", text(seven, ["6", "-1"])) == ["surprise", ""]
    assert read("EXPR", text(seven, ["7"]), "line 2") is None
    assert read("EXPR", Dialect(True, "\r\n", True, None, " ", False).encode([seven, "0"])) == ["neutral"]
