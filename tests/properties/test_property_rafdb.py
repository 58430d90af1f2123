"""RAF-DB: its list of labels and the copy on Kaggle give the right manifest or refuse."""

from pathlib import PurePosixPath

from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import contract, rafdb
from tests.properties_of import answer, damaged, dialects, examples, folder, lines_of, moved, nasty

LIST = "list_patition_label.txt"
WORDS = dict(zip("1234567", ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"), strict=True))

Face = tuple[str, str]  # ("train_00001", "5")
faces = st.lists(
    st.tuples(
        st.sampled_from(["train", "test"]).flatmap(lambda part: st.integers(0, 99999).map(f"{part}_{{:05d}}".format)),
        st.sampled_from(list(WORDS)),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda face: face[0],
)


def read(data: bytes) -> list[Face] | None:
    with folder({LIST: data}) as root:
        table = answer(lambda: rafdb.read_list(root / LIST), LIST)
    return None if table is None else list(table.itertuples(index=False, name=None))


def rows(wanted: list[Face]) -> list[tuple[str, str, str]] | None:
    """What the list says; None where it names a face twice, or none."""
    names = [name for name, _ in wanted]
    if not wanted or len(set(names)) < len(names):
        return None
    return [(name, name.partition("_")[0], WORDS[code]) for name, code in wanted]


def parse(data: bytes) -> list[tuple[str, str, str]] | None:
    """A second reader, without patterns."""
    wanted = []
    for line in lines_of(data) or []:
        name, code, *rest = [*line.split(), "", ""]
        part, _, number = name.removesuffix(".jpg").partition("_")
        good = name.endswith(".jpg") and part in ("train", "test") and number.isascii() and number.isdigit()
        if not good or code not in WORDS or any(rest):
            return None
        wanted.append((name.removesuffix(".jpg"), code))
    return rows(wanted)


@examples(40)
@given(faces, dialects())
def test_every_program_writes_the_same_list(wanted, dialect):
    lines = [f"{dialect.pad}{name}.jpg {code}{dialect.pad}" for name, code in wanted]
    assert read(dialect.encode(lines)) == rows(wanted)


@examples(40)
@given(faces.flatmap(moved))
def test_lines_left_out_moved_or_doubled(wanted):
    assert read("".join(f"{name}.jpg {code}\n" for name, code in wanted).encode()) == rows(wanted)


@examples(60)
@given(faces, st.data(), nasty("8", "train_00001_aligned.jpg", "TRAIN_00001.jpg", "val_00001.jpg"))
@example([("train_00001", "5")], None, "\u0665")
def test_a_bad_field_is_refused_by_its_line(wanted, data, text):
    place = 0 if data is None else data.draw(st.integers(0, len(wanted) - 1))
    lines = [f"{name}.jpg {code}" for name, code in wanted]
    lines[place] = " ".join(
        [wanted[place][0] + ".jpg", text] if data is None or data.draw(st.booleans()) else [text, "5"]
    )
    raw = "\n".join(lines).encode()
    expected = parse(raw)
    with folder({LIST: raw}) as root:
        names = (LIST,) if expected is not None or "\0" in text else (LIST, f"line {place + 1}")
        found = answer(lambda: rafdb.read_list(root / LIST), *names)
    assert (found is None) if expected is None else found.values.tolist() == [list(row) for row in expected]


@examples(120)
@given(faces.flatmap(lambda wanted: damaged("".join(f"{name}.jpg {code}\n" for name, code in wanted).encode())))
def test_a_damaged_list_is_refused_or_read_as_it_stands(data):
    assert read(data) in (None, parse(data))


@examples(60)
@given(
    st.lists(
        st.builds(
            "{}/{}/{}{}".format,
            st.sampled_from(["train", "test", "Train"]),
            st.sampled_from(["1", "2", "7", "8", "01", "x"]),
            st.sampled_from(["train_00001_aligned", "train_00002", "test_0001_aligned", "._train_3", "a", "train_1_x"]),
            st.sampled_from([".jpg", ".png", ".txt", ".JPG"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_the_copy_on_kaggle(paths):
    with folder({"DATASET/train/1/train_00009_aligned.jpg": b"", "DATASET/test/3/test_0009_aligned.jpg": b""}) as root:
        for path in paths:
            (root / "DATASET" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "DATASET" / path).touch()
        found = answer(lambda: contract.check(rafdb.build_manifest(root), where="rafdb"), "DATASET")
    if found is None:
        return
    expected = {"DATASET/train/1/train_00009_aligned.jpg", "DATASET/test/3/test_0009_aligned.jpg"}
    expected |= {
        f"DATASET/{path}" for path in paths if path[:5] != "Train" and path[-4:] != ".txt" and "._" not in path
    }
    assert set(found["path"]) == expected
    for row in found.itertuples():
        part, code, name = PurePosixPath(row.path).parts[-3:]
        assert (row.split, row.label) == (part, WORDS[code])
        assert row.sample_id == "rafdb/" + name.partition(".")[0].removesuffix("_aligned")
        assert name.startswith(part + "_")
