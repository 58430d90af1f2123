"""FER+: votes are read right or refused, and never joined to other faces than those they were given to."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import contract, ferplus
from tests.properties_of import answer, damaged, dialects, examples, folder, lines_of, moved, nasty, whole_number

HEADER = ("Usage", "Image name", *ferplus.VOTES)
SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}

Line = tuple[str, ...]


@st.composite
def ten_votes(draw: st.DrawFn) -> list[str]:
    answers = draw(st.lists(st.integers(0, 9), min_size=9, max_size=10))
    return [str(answers.count(place)) for place in range(10)]


@st.composite
def tables(draw: st.DrawFn) -> list[Line]:
    numbers = sorted(draw(st.sets(st.integers(0, 40_000), min_size=1, max_size=6)))
    names = [f"fer{number:07d}.png" for number in numbers]
    return [(draw(st.sampled_from(list(SPLITS))), name, *draw(ten_votes())) for name in names]


FIRST = ("Training", "fer0000000.png", *"9000000001")


def text(wanted: list[Line], header: Line = HEADER) -> bytes:
    return "\n".join(map(",".join, [header, *wanted])).encode() + b"\n"


def read(data: bytes, *names: str) -> list[tuple] | None:
    with folder({"fer2013new.csv": data}) as root:
        table = answer(lambda: ferplus.read_votes(root / "fer2013new.csv"), "fer2013new.csv", *names)
    return None if table is None else list(table[list(HEADER)].itertuples(index=False, name=None))


def soft(wanted: list[Line]) -> np.ndarray:
    return ferplus.soft_labels(np.array([line[2:] for line in right(wanted)]), "majority")


def right(wanted: list[Line]) -> list[tuple]:
    return [(*line[:2], *map(int, line[2:])) for line in wanted]


@examples(30)
@given(tables(), dialects(), st.permutations(HEADER))
def test_every_program_writes_the_same_votes(wanted, dialect, header):
    lines = [dialect.fields([line[HEADER.index(name)] for name in header]) for line in wanted]
    assert read(dialect.encode([dialect.fields(header), *lines])) == right(wanted)


@examples(80)
@given(tables(), st.data(), nasty("11", "10"))
@example([FIRST], None, "9" * 20)
@example([FIRST], None, "99")
def test_a_bad_number_of_votes_is_refused_by_its_line(wanted, data, field):
    place, column = (
        (0, 2) if data is None else (data.draw(st.integers(0, len(wanted) - 1)), data.draw(st.integers(2, 11)))
    )
    line = [*wanted[place]]
    line[column] = field
    where = [] if "\0" in field or '"' in field else [f"line {place + 2}"]
    found = read(text([*wanted[:place], line, *wanted[place + 1 :]]), *where)
    number = whole_number(field)
    if found is not None:
        assert number is not None
        line[column] = str(number)
        assert found == right([*wanted[:place], tuple(line), *wanted[place + 1 :]])
        assert 1 <= sum(found[place][2:]) <= 10


@examples(100)
@given(tables().flatmap(lambda wanted: damaged(text(wanted))))
@example(text([FIRST]) + b'Training,fer0000001.png,"9,0,0,0,0,0,0,0,0,1"\n')
def test_a_damaged_file_is_refused_or_read_as_it_stands(data):
    found = read(data)
    if found is None:
        return
    header, *lines = [[field.strip().strip('"').strip() for field in line.split(",")] for line in lines_of(data)]
    lines = [dict(zip(header, line, strict=True)) for line in lines if any(line)]
    assert found == right([tuple(line[name] for name in HEADER) for line in lines])


@examples(80)
@given(tables(), st.data())
@example([FIRST, ("Training", "fer0000001.png", *"0900000001")], None)
def test_votes_are_never_joined_to_other_faces(wanted, data):
    faces = ["emotion,pixels,Usage", *(f"6,1 2,{line[0]}" for line in wanted)]
    lines = wanted[::-1] if data is None else data.draw(moved(wanted))
    files = {"fer2013/fer2013.csv": "\n".join(faces).encode(), "ferplus/fer2013new.csv": text(lines)}
    with folder(files) as root:
        found = answer(lambda: contract.check(ferplus.build_manifest(root), where="fer2013new.csv"), "fer2013new.csv")
    if found is None:
        return
    assert lines == wanted
    shares = soft(wanted)
    kept = [row for row in range(len(wanted)) if shares[row].any()]
    assert found["path"].tolist() == [f"fer2013/fer2013.csv#{row}" for row in kept]
    assert found["label"].tolist() == [ferplus.EMOTIONS[shares[row].argmax()] for row in kept]
    assert found["split"].tolist() == [SPLITS[wanted[row][0]] for row in kept]


@examples(60)
@given(tables(), st.data(), nasty("../FER2013Test/fer0000000.png", "fer0000000.PNG", "a b.png"))
def test_the_pictures_of_ferplus_and_their_lists(wanted, data, name):
    lines = [[line[1], "(0, 0, 48, 48)", *line[2:]] for line in wanted]
    files = {f"ferplus/FER2013Train/{line[0]}": b"" for line in lines}
    if data.draw(st.booleans()):
        lines[data.draw(st.integers(0, len(lines) - 1))][0] = name
    dialect = data.draw(dialects())
    files["ferplus/FER2013Train/label.csv"] = dialect.encode([dialect.fields(line) for line in lines])
    with folder(files) as root:
        found = answer(lambda: contract.check(ferplus.build_manifest(root), where="label.csv"), "label.csv")
    shares = soft(wanted)
    kept = [row for row in range(len(wanted)) if shares[row].any()]
    if found is not None:
        assert found["path"].tolist() == [f"ferplus/FER2013Train/{lines[row][0]}" for row in kept]
        assert found["label"].tolist() == [ferplus.EMOTIONS[shares[row].argmax()] for row in kept]
    elif name not in [line[0] for line in lines]:
        assert not kept
