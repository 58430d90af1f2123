"""DFEW: its lists, and the folders of its clips."""

from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import contract, dfew, dfew_lists
from tests.properties_of import answer, damaged, dialects, examples, folder, lines_of, moved, nasty, whole_number

WORDS = dict(zip("1234567", ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"), strict=True))
HEADER = ("video_name", "label")
TRAIN, TEST = "label/single_trainset_1.csv", "label/single_testset_1.csv"

Clip = tuple[str, str]  # "17", "5"
clips = st.lists(
    st.tuples(st.integers(1, 16_372).map(str), st.sampled_from([*WORDS, "0"])),
    min_size=1,
    max_size=6,
    unique_by=lambda clip: clip[0],
)


def text(wanted: list[Clip]) -> bytes:
    return "\r\n".join(map(",".join, [HEADER, *wanted, ()])).encode()


def right(wanted: list[Clip]) -> list[tuple] | None:
    names = [f"{int(clip):05d}" for clip, _ in wanted]
    if not wanted or len(set(names)) < len(names):
        return None
    return [(name, WORDS.get(code, "")) for name, (_, code) in zip(names, wanted, strict=True)]


def read(data: bytes, *names: str) -> list[tuple] | None:
    with folder({"set_1.csv": data}) as root:
        table = answer(lambda: dfew_lists.read_list(root / "set_1.csv"), "set_1.csv", *names)
    return None if table is None else list(table.itertuples(index=False, name=None))


@examples(30)
@given(clips, dialects(), st.permutations(HEADER), st.sampled_from(["", "000"]))
def test_every_program_writes_the_same_list(wanted, dialect, header, zeros):
    lines = [dialect.fields([(zeros + clip[0], clip[1])[HEADER.index(name)] for name in header]) for clip in wanted]
    assert read(dialect.encode([dialect.fields(header), *lines])) == right(wanted)


@examples(30)
@given(clips.flatmap(moved))
@example([("1", "1"), ("00001", "2")])
def test_lines_left_out_moved_or_doubled(wanted):
    assert read(text(wanted)) == right(wanted)


@examples(80)
@given(clips, st.data(), st.integers(0, 1), nasty("8", "5.0"))
@example([("1", "1")], None, 0, "\u0663")
@example([("1", "1")], None, 0, "9" * 5000)
@example([("1", "1")], None, 1, "9" * 5000)
def test_a_bad_field_is_refused_by_its_line(wanted, data, column, field):
    place = 0 if data is None else data.draw(st.integers(0, len(wanted) - 1))
    line = [*wanted[place]]
    line[column] = field
    names = [] if {"\0", '"'} & {*field} else [f"line {place + 2}"]
    found = read(text([*wanted[:place], tuple(line), *wanted[place + 1 :]]), *names)
    if found is not None:
        line[column] = str(whole_number(field))
        assert found == right([*wanted[:place], tuple(line), *wanted[place + 1 :]])


@examples(100)
@given(clips.flatmap(lambda wanted: damaged(text(wanted))))
def test_a_damaged_list_is_refused_or_read_as_it_stands(data):
    found = read(data)
    if found is None:
        return
    header, *lines = [[field.strip().strip('"').strip() for field in line.split(",")] for line in lines_of(data)]
    lines = [dict(zip(header, line, strict=True)) for line in lines if any(line)]
    assert found == right([tuple(line[name] for name in HEADER) for line in lines])


names = st.sampled_from(
    ["1.jpg", "01.jpg", "2.png", "10.jpg", "00001_00003.jpg", "Thumbs.db", "._4.jpg", "x.jpg", "\u0665.jpg", "5 .jpg"]
)


@examples(80)
@given(
    st.lists(st.tuples(st.sampled_from(["1", "00001", "2", "00003", "\u0664", "x"]), names), min_size=1, max_size=8),
    st.sampled_from([1, 2]),
)
@example([("1", "1.jpg"), ("00001", "2.png")], 1)
def test_frames_belong_to_their_clip_and_come_in_order(files, every):
    lists = {TRAIN: text([("1", "1"), ("2", "2")]), TEST: text([("3", "3")])}
    with folder({**lists, **{f"Clip/clip_224x224/{place}/{name}": b"" for place, name in files}}) as root:
        found = answer(lambda: contract.check(dfew.build_manifest(root, every=every), where="DFEW"))
    if found is None:
        return
    expected = []
    for clip, label, split in (("00001", "happy", "train"), ("00002", "sad", "train"), ("00003", "neutral", "test")):
        there = {(place, name) for place, name in files if place.isascii() and place.zfill(5) == clip}
        numbers = {
            int(name.split(".")[0].split("_")[-1]): (place, name)
            for place, name in there
            if name[0] in "0125" and " " not in name
        }
        assert len({place for place, _ in numbers.values()}) <= 1
        expected += [
            (f"Clip/clip_224x224/{place}/{name}", label, split, f"dfew/{clip}", f"dfew/{clip}/{number:05d}")
            for number, (place, name) in sorted(numbers.items())[::every]
        ]
    columns = ["path", "label", "split", "group", "sample_id"]
    assert list(found[columns].itertuples(index=False, name=None)) == expected
