"""MEGC 2019: the organisers' list and the pictures, whatever has become of either."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import contract, megc2019_flow
from tests.properties_of import Dialect, answer, damaged, dialects, examples, folder, lines_of, moved, nasty

LIST = "combined_3class_gt.csv"
CLASSES = {"0": "negative", "1": "positive", "2": "surprise"}
FORMS = {"casme2": "sub[0-9][0-9]", "samm": "[0-9][0-9]?[0-9]?", "smic": "s[0-9][0-9]"}

Clip = tuple[str, str, str, str]  # a line of the list
clips = st.lists(
    st.one_of(
        st.tuples(st.just("casme2"), st.sampled_from(["sub01", "sub26"]), st.sampled_from(["EP02_01f", "EP19_05f"])),
        st.tuples(st.just("samm"), st.sampled_from(["6", "37"]), st.sampled_from(["006_1_2", "037_3_1"])),
        st.tuples(st.just("smic"), st.sampled_from(["s01", "s20"]), st.sampled_from(["s01_ne_01", "s20_sur_02"])),
    ).flatmap(lambda clip: st.sampled_from(list(CLASSES)).map(lambda code: (*clip, code))),
    min_size=1,
    max_size=6,
    unique_by=lambda clip: clip[:3],
)
FIRST = ("casme2", "sub01", "EP02_01f", "1")


def text(wanted: list[Clip]) -> bytes:
    return "".join(",".join(clip) + "\r\n" for clip in wanted).encode()


def padded(clip: Clip) -> Clip:
    return (clip[0], clip[1].zfill(3) if clip[0] == "samm" else clip[1], *clip[2:])


def picture(clip: Clip) -> str:
    _, subject, name, code = padded(clip)
    return f"norm_u_v_os/{subject}/u_test/{code}/{subject}_{name} .png"


def read(data: bytes, *names: str) -> list[Clip] | None:
    with folder({LIST: data}) as root:
        table = answer(lambda: megc2019_flow.read_list(root / LIST), LIST, *names)
    return None if table is None else list(table.itertuples(index=False, name=None))


def parse(data: bytes) -> list[Clip] | None:
    """A second reader."""
    lines = lines_of(data)
    wanted = [tuple(field.strip() for field in line.split(",")) for line in lines or []]
    for clip in wanted:
        if (
            len(clip) != 4
            or not re.fullmatch(FORMS.get(clip[0], "-"), clip[1])
            or not clip[2]
            or clip[3] not in CLASSES
        ):
            return None
    wanted = [padded(clip) for clip in wanted]
    return wanted if wanted and len({clip[:3] for clip in wanted}) == len(wanted) else None


@examples(40)
@given(clips, dialects().filter(lambda dialect: not dialect.quoted))
@example([FIRST], Dialect(False, "\n", True, "", "", False))
def test_every_program_writes_the_same_list(wanted, dialect):
    assert read(dialect.encode([dialect.fields(clip) for clip in wanted])) == [padded(clip) for clip in wanted]


@examples(100)
@given(clips, st.data(), st.integers(0, 3), nasty("3", "CASME2", "s01", "casme2", "smic", "sub1", "0006"))
@example([FIRST], None, 0, "smic")
@example([FIRST], None, 2, "")
def test_a_bad_field_is_refused_by_its_line(wanted, data, column, field):
    place = 0 if data is None else data.draw(st.integers(0, len(wanted) - 1))
    wanted[place] = (*wanted[place][:column], field, *wanted[place][column + 1 :])
    raw = text(wanted)
    expected = parse(raw)
    found = read(raw, *([] if "\0" in field or expected else [f"line {place + 1}"]))
    assert found == expected


@examples(120)
@given(clips.flatmap(lambda wanted: damaged(text(wanted))))
def test_a_damaged_list_is_refused_or_read_as_it_stands(data):
    assert read(data) in (None, parse(data))


@examples(60)
@given(clips, st.data())
@example([FIRST], None)
def test_list_and_pictures_must_be_the_same_clips(wanted, data):
    listed = [FIRST, FIRST] if data is None else data.draw(moved(wanted))
    files = [picture(clip) for clip in wanted]
    files += [file.replace("u_test", "u_train") for file in files]
    kept = files if data is None else data.draw(st.lists(st.sampled_from(files), unique=True))
    extra = [] if data is None else data.draw(st.lists(st.sampled_from(EXTRA), unique=True, max_size=2))
    with folder({LIST: text(listed), "norm_u_v_os/readme.txt": b"", **dict.fromkeys([*kept, *extra], b"")}) as root:
        found = answer(lambda: contract.check(megc2019_flow.build_manifest(root), where=LIST))
    tested = {file for file in kept if "u_test" in file}
    same = {picture(clip) for clip in listed} == tested and len(set(listed)) == len(listed) > 0
    assert (found is not None) == (same and not {*EXTRA[2:]} & {*extra})
    if found is not None:
        assert found["path"].tolist() == [picture(clip) for clip in listed]
        assert found["label"].tolist() == [CLASSES[clip[3]] for clip in listed]
        assert found["sample_id"].tolist() == ["/".join(padded(clip)[:3]) for clip in listed]


#: The first two are no pictures of a tested clip and are passed over; the others contradict the list.
EXTRA = (
    "norm_u_v_os/sub01/u_test/0/Thumbs.db",
    "norm_u_v_os/sub01/u_test/0/._sub01_EP02_01f .png",
    "norm_u_v_os/sub01/u_test/0/sub26_EP02_01f .png",
    "norm_u_v_os/sub01/u_test/1/sub01_EP99_01f .png",
    "norm_u_v_os/sub01/u_test/9/sub01_EP02_01f.png",
    "norm_u_v_os/sub1/u_test/0/sub1_EP02_01f .png",
)
