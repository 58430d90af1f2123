"""FER2013 as csv, packed or not, as folders and as archive; and the pictures that its manifest points to."""

import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import contract, fer2013
from fer_lightning.preprocess import sources
from tests.properties_of import answer, damaged, dialects, examples, folder, lines_of, moved, nasty

CODES = dict(zip("0123456", ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"), strict=True))
SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
HEADER = ("emotion", "pixels", "Usage")
PACKED = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress}

Face = tuple[str, str, str]  # emotion, pixels, Usage
Found = tuple[list[tuple[str, str, int]], list[list[int]] | None]  # (label, split, row), pixels
pixels = st.lists(st.integers(0, 255).map(str), min_size=9, max_size=9).map(" ".join)
faces = st.lists(st.tuples(st.sampled_from(list(CODES)), pixels, st.sampled_from(list(SPLITS))), min_size=1, max_size=5)
SOME = ("0", "1 2 3 4 5 6 7 8 9", "Training")


@pytest.fixture(autouse=True, scope="module")
def small_faces() -> Iterator[None]:
    """Faces of 3 by 3 pixels, so that an accident is not lost among 2,304 numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CSV_SIDE", 3)
        yield


def text(wanted: list[Face]) -> bytes:
    return "\n".join([",".join(HEADER), *map(",".join, wanted), ""]).encode()


def pack(data: bytes, end: str) -> bytes:
    if end != ".zip":
        return PACKED[end](data)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fer2013.csv", data)
    return packed.getvalue()


def read(data: bytes, file: str = "fer2013.csv") -> Found | None:
    """What the manifest says, and the pictures that it points to."""
    with folder({file: data}) as root:
        table = answer(lambda: contract.check(fer2013.build_manifest(root), where="x"), file)
        if table is None:
            return None
        images = answer(lambda: list(sources.read_images(root, table["path"])), file)
    rows = [int(path.removeprefix(f"{file}#")) for path in table["path"]]
    assert table["sample_id"].tolist() == [f"fer2013/{row:05d}" for row in rows]
    pictures = None if images is None else [image.ravel().tolist() for image in images]
    return list(zip(table["label"], table["split"], rows, strict=True)), pictures


def right(wanted: list[Face]) -> Found | None:
    rows = [(CODES[code], SPLITS[usage], row) for row, (code, _, usage) in enumerate(wanted)]
    return (rows, [[int(pixel) for pixel in face.split()] for _, face, _ in wanted]) if wanted else None


def bare(field: str) -> str:
    """A field without a pair of quotation marks round it."""
    return re.sub(r'\A"(.*)"\Z', r"\1", field.strip(), flags=re.DOTALL).strip()


def parse(data: bytes) -> Found | None:
    """A second reader: every line in full, or nothing."""
    header, *lines = [[bare(field) for field in line.split(",")] for line in lines_of(data) or [""]]
    wanted = []
    for fields in lines:
        row = dict(zip(header, fields, strict=False))
        face = row.get("pixels", "").split()
        if sorted(header) != sorted(HEADER) or len(fields) != 3 or row["Usage"] not in SPLITS:
            return None
        if row["emotion"] not in CODES or not all(p.isdecimal() and int(p) < 256 for p in face):
            return None
        wanted.append((row["emotion"], " ".join(face), row["Usage"]))
    return right(wanted)


@examples(25)
@given(faces, dialects(), st.permutations(HEADER), st.sampled_from(["", ".xz", ".gz", ".zip"]))
def test_every_program_writes_the_same_csv(wanted, dialect, header, end):
    order = [HEADER.index(column) for column in header]
    lines = [dialect.fields([face[place] for place in order]) for face in wanted]
    data = dialect.encode([dialect.fields(header), *lines])
    assert read(pack(data, end), f"fer2013.csv{end}") == right(wanted)


@examples(20)
@given(faces.flatmap(moved))
def test_rows_left_out_moved_or_doubled(wanted):
    assert read(text(wanted)) == right(wanted)


@examples(50)
@given(faces, st.data(), nasty("7", "Test", "training"), st.sampled_from(["emotion", "Usage", "more", "fewer"]))
@example([SOME, SOME], None, "zzz", "more")
def test_a_bad_field_is_refused_by_its_line(wanted, data, field, what):
    place = len(wanted) - 1 if data is None else data.draw(st.integers(0, len(wanted) - 1))
    rows = [dict(zip(HEADER, face, strict=True)) for face in wanted]
    if what == "fewer":
        del rows[place]["Usage"]
    else:
        rows[place][what] = field
    raw = "\n".join([",".join(HEADER), *(",".join(row.values()) for row in rows)]).encode()
    with folder({"fer2013.csv": raw}) as root:
        found = answer(lambda: fer2013.build_manifest(root), "fer2013.csv", f"line {place + 2}")
    clean = bare(field)
    assert (found is None) == (clean not in {"emotion": CODES, "Usage": SPLITS}.get(what, ()))
    if found is not None:
        wanted[place] = (clean, *wanted[place][1:]) if what == "emotion" else (*wanted[place][:2], clean)
        assert list(zip(found["label"], found["split"], strict=True)) == [row[:2] for row in right(wanted)[0]]


@examples(60)
@given(faces.flatmap(lambda wanted: damaged(text(wanted))), st.sampled_from(["", ".xz", ".gz", ".zip"]))
@example(text([SOME]) + b'0,"1,Training\n1,2,Training\n2,"3,Training\n', "")
@example(text([SOME]) + b"1,\xe9,Training\n", "")
def test_a_damaged_csv_is_refused_or_read_as_it_stands(data, end):
    found, wanted = read(pack(data, end), f"fer2013.csv{end}"), parse(data)
    if found is not None and found[1] is None:  # the manifest opens no image; a bad one is refused when it is read
        assert wanted is None or found[0] == wanted[0]
    else:
        assert found in (None, wanted)


@examples(60)
@given(
    st.sampled_from([".xz", ".gz", ".zip"]).flatmap(
        lambda end: st.tuples(st.just(end), faces.flatmap(lambda wanted: damaged_pack(pack(text(wanted), end), wanted)))
    )
)
def test_a_damaged_pack_is_refused_or_changes_nothing(case):
    end, (data, wanted) = case
    assert read(data, f"fer2013.csv{end}") in (None, right(wanted))


@st.composite
def damaged_pack(draw: st.DrawFn, data: bytes, wanted: list[Face]) -> tuple[bytes, list[Face]]:
    place = draw(st.integers(0, len(data) - 1))
    if draw(st.booleans()):
        return data[:place], wanted
    return data[:place] + bytes([data[place] ^ draw(st.integers(1, 255))]) + data[place + 1 :], wanted


names = st.builds(
    "{}/{}/{}{}".format,
    st.sampled_from(["train", "test"]),
    st.sampled_from(["angry", "happy", "Happy"]),
    st.sampled_from(
        ["Training_1", "Training_2#3", "PublicTest_4", "PrivateTest_5", "6", "._Training_1", "Training_1 "]
    ),
    st.sampled_from([".jpg", ".png", ".txt"]),
)


def of_name(path: str) -> tuple[str, str] | None:
    """Label and split of a picture; None where it must be refused."""
    folder_, emotion, name = Path(path).parts[-3:]
    usage = name.partition("_")[0]
    if emotion not in CODES.values() or (usage not in SPLITS and folder_ == "test"):
        return None
    split = SPLITS.get(usage, "train")
    return (emotion, split) if (split == "train") == (folder_ == "train") else None


@examples(60)
@given(st.lists(names, min_size=1, max_size=5, unique=True), st.booleans())
@example(["train/angry/Training_2#3.jpg", "train/angry/Training_1.jpg"], False)
def test_folders_and_archives_say_the_same_or_refuse(paths, packed):
    files = dict.fromkeys(paths, b"")
    if packed:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as writer:
            for path in paths:
                writer.writestr(path, b"")
        files = {"archive.zip": archive.getvalue()}
    with folder(files) as root:
        name = "archive.zip" if packed else "/"
        found = answer(lambda: contract.check(fer2013.build_manifest(root), where="x"), name)
    pictures = [path for path in paths if path[-4:] != ".txt" and "._" not in path]
    if found is None:
        return
    prefix = "archive.zip#" if packed else ""
    assert sorted(found["path"]) == sorted(prefix + path for path in pictures)
    for row in found.itertuples():
        assert (row.label, row.split) == of_name(row.path.removeprefix(prefix))


@examples(60)
@given(st.lists(nasty("256", "0.5"), max_size=3), st.integers(5, 10))
def test_pixels_are_whole_numbers_from_0_to_255(fields, number):
    tokens = " ".join([*fields, *["7"] * (number - len(fields))]).split()
    with folder({"fer2013.csv": text([("0", " ".join(tokens), "Training")])}) as root:
        images = answer(lambda: list(sources.read_images(root, ["fer2013.csv#0"])), "fer2013.csv")
    plain = all(token.isascii() and token.removeprefix("+").isdigit() and int(token[-9:]) < 256 for token in tokens)
    assert images is None or (plain and images[0].ravel().tolist() == [int(token) for token in tokens])
