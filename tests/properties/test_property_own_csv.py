"""One's own csv: however it was written, edited or damaged."""

import csv
import io
import re
import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import contract, own_csv
from tests.properties_of import answer, damaged, dialects, examples, folder, lines_of, moved, nasty, whole_number

pytestmark = pytest.mark.filterwarnings("ignore:.*nobody is known")
COLUMNS = ("path", "label", "subject", "split", "onset", "apex", "offset", "camera")
FILES = {f"{place}/{number}.png": b"" for place in ("a", "ä b") for number in range(4)}
SPLITS = {"train": "train", "Validation": "val", "TEST": "test"}
FRAMES = ("onset", "apex", "offset")

Row = dict[str, str]


def spelled_once(wanted: list[Row]) -> bool:
    """Whether the subjects of all rows differ by more than case, coding and leading zeros: the others are refused."""
    names = {row["subject"] for row in wanted}
    folded = {unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()) for name in names}
    return len({re.sub("(?<![0-9])0+", "", name) for name in folded}) == len(names)


words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=6)
rows = st.lists(
    st.builds(
        lambda *fields: dict(zip(COLUMNS, map(str, fields), strict=True)),
        st.sampled_from(list(FILES)),
        words,
        words,
        st.sampled_from(list(SPLITS)),
        st.integers(0, 9),
        st.one_of(st.just(""), st.integers(10, 19)),
        st.integers(20, 2**31),
        words,
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row["path"],
).filter(spelled_once)
FIRST = dict(zip(COLUMNS, ("a/0.png", "x", "s1", "train", "1", "2", "3", "c"), strict=True))


def text(wanted: list[Row], header: tuple[str, ...] = COLUMNS) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([header, *([row[name] for name in header] for row in wanted)])
    return file.getvalue().encode()


def read(data: bytes, *names: str) -> list[dict] | None:
    with folder({**FILES, "manifest.csv": data}) as root:
        found = answer(lambda: contract.check(own_csv.build_manifest(root), where="manifest"), "manifest", *names)
    return None if found is None else found.astype(object).where(found.notna(), None).to_dict("records")


def fits(found: list[dict] | None, wanted: list[Row]) -> bool:
    """Whether a manifest says what the rows say, in full."""
    if found is None or len(found) != len(wanted):
        return False
    for row, want in zip(found, wanted, strict=True):
        texts = (row["path"], row["label"], row["subject"], row["split"], row["group"], row["camera"])
        split = SPLITS.get(want["split"], want["split"])
        group = f"own/{want['subject']}" if want["subject"] else ""
        if texts != (want["path"], want["label"], want["subject"], split, group, want["camera"]):
            return False
        if [row[name] for name in FRAMES] != [whole_number(want[name]) for name in FRAMES]:
            return False
        if row["sample_id"] != "own/" + want["path"].removesuffix(".png"):
            return False
    return True


@examples(40)
@given(rows, dialects(), st.permutations(COLUMNS))
def test_every_program_writes_the_same_csv(wanted, dialect, header):
    lines = [dialect.fields([row[name] for name in header]) for row in wanted]
    assert fits(read(dialect.encode([dialect.fields(header), *lines])), wanted)


@examples(40)
@given(rows.flatmap(moved))
@example([FIRST, FIRST])
@example([])
def test_rows_left_out_moved_or_doubled(wanted):
    found = read(text(wanted))
    once = len({row["path"] for row in wanted}) == len(wanted)
    assert fits(found, wanted) if wanted and once else found is None


@examples(150)
@given(rows, st.data(), st.sampled_from(COLUMNS), nasty("9.5", "a", "a/../a/1.png", "../x", "C:x", "a/1.PNG", "Train"))
@example([FIRST], None, "path", "a/../a/1.png")
@example([FIRST], None, "path", "9" * 5000)
@example([FIRST], None, "path", ".")
@example([FIRST], None, "offset", "9" * 20)
@example([FIRST], None, "offset", "9" * 5000)
def test_a_bad_field_is_refused_by_its_line(wanted, data, column, field):
    place = 0 if data is None else data.draw(st.integers(0, len(wanted) - 1))
    wanted = [dict(row) for row in wanted]
    wanted[place][column] = field
    found = read(text(wanted), *([] if "\0" in field or column in FRAMES else [f"line {place + 2}"]))
    if found is None:
        return
    clean = wanted[place] | {column: field.strip()}
    if column == "path":
        clean["path"] = PurePosixPath(field.strip()).as_posix()
        assert clean["path"] in [*FILES, "a", "ä b"]
    if column == "split":
        assert field.strip().lower() in (*SPLITS.values(), *([""] if len(wanted) == 1 else []))
        clean["split"] = field.strip().lower()
    if column == "subject":
        assert clean["subject"] or len(wanted) == 1
    wanted[place] = clean
    assert fits(found, wanted)


@examples(150)
@given(rows.flatmap(lambda wanted: damaged(text(wanted))))
@example(text([FIRST]).replace(b",c\n", b',"c\n') + b'a/1.png,x,s2,test,1,2,3,"c"\n')
@example(text([FIRST]) + b'a/1.png,x,s2,test,1,2,3,"c\n')
def test_a_damaged_csv_is_refused_or_read_as_it_stands(data):
    found = read(data)
    if found is None:
        return
    header, *lines = [next(csv.reader([line])) for line in lines_of(data)]
    lines = [line for line in lines if any(field.strip() for field in line)]
    assert all(len(line) == len(header) for line in lines)
    assert len(found) == len(lines)
    for row, line in zip(found, lines, strict=True):
        want = dict(zip([name.strip() for name in header], [field.strip() for field in line], strict=True))
        assert row["path"] == PurePosixPath(want["path"].replace("\\", "/")).as_posix()
        assert (row["label"], row["subject"]) == (want["label"], want.get("subject", ""))


@examples(40)
@given(rows, st.lists(nasty("path", "LABEL"), max_size=2), st.sets(st.sampled_from(COLUMNS), max_size=3))
def test_columns_are_missing_renamed_or_doubled(wanted, more, gone):
    header = tuple(name for name in COLUMNS if name not in gone)
    wanted = [row | dict.fromkeys(more, "z") for row in wanted]
    with folder({**FILES, "manifest.csv": text(wanted, (*header, *more))}) as root:
        found = answer(lambda: contract.check(own_csv.build_manifest(root), where="manifest").to_dict("records"))
    needed = {"path", "label"} <= set(header) and {"subject", "split"} & set(header)
    titles = [name.strip() for name in (*header, *more)]
    if not needed or len(set(titles)) < len(titles):
        assert found is None
    elif found is not None:
        assert [row["path"] for row in found] == [row["path"] for row in wanted]
        assert [row["label"] for row in found] == [row["label"] for row in wanted]


@examples(60)
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=6),
    st.lists(st.sampled_from("abcdx"), min_size=1, max_size=3, unique=True),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("abcdx"), max_size=2),
    st.sets(st.sampled_from("abcd"), max_size=2),
)
def test_labels_are_renamed_left_out_or_refused(labels, classes, relabel, leave_out):
    lines = ["path,label,subject", *(f"a{place}.png,{label},s" for place, label in enumerate(labels))]
    files = {f"a{place}.png": b"" for place in range(len(labels))}
    options = {"classes": classes, "relabel": relabel}
    with folder({**files, "manifest.csv": "\n".join(lines).encode()}) as root:
        manifest = answer(lambda: own_csv.build_manifest(root, leave_out=sorted(leave_out), **options))
    if manifest is None:
        return
    found = answer(lambda: contract.view(contract.check(manifest, where="own"), **options))
    renamed = [relabel.get(label, label) for label in labels]
    assert all(new in classes or old in leave_out for old, new in zip(labels, renamed, strict=True))
    if found is not None:
        kept, dropped = found
        assert kept["label"].tolist() == [label for label in renamed if label in classes]
        assert sum(dropped.values()) + len(kept) == len(labels)
        assert set(kept["label"]) == set(classes)
