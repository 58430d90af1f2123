"""The xlsx of CASME II, SAMM and SMIC and lists of apexes, as spreadsheet programs and people leave them."""

import datetime
import io
import re
import zipfile
from typing import Any

import openpyxl
import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from fer_lightning.datasets import casme2, contract, samm, sheet, smic
from tests.properties_of import answer, examples, folder, moved, whole_number

Row = dict[str, Any]
TITLES = {
    "subject": ("Subject", "subject ", "SUBJECT"),
    "clip": ("Filename", "File name", " filename"),
    "onset": ("OnsetFrame", "Onset Frame", "onset\nframe"),
    "apex": ("ApexFrame", "Apex Frame", "APEXFRAME"),
    "offset": ("OffsetFrame", "Offset Frame", "Offset  frame"),
    "emotion": ("Estimated Emotion", "EstimatedEmotion", "estimated emotion "),
}
READERS = {"casme2": casme2.read_sheet, "samm": samm.read_sheet}
FRAMES = ("onset", "apex", "offset")
#: What a cell may hold that is no frame number, and some that are.
CELLS = (
    *(
        None,
        "",
        " ",
        "/",
        0,
        -1,
        3.0,
        3.5,
        1e22,
        10**20,
        True,
        "3",
        "3.0",
        "3.5",
        "+3",
        "-3",
        "nan",
        "9" * 30,
        "9" * 5000,
    ),
    *(
        "\u0663",
        "\u00b2",
        "1_0",
        "3 ",
        "\u00a03",
        datetime.datetime(2014, 5, 8),
        "happiness",
        "Happiness ",
        "joy",
        "006",
    ),
)


def clip(reader: str, person: int, number: int, start: int, word: str) -> Row:
    name = f"EP{number:02d}_01f" if reader == "casme2" else f"{person:03d}_{number}"
    subject = f"{person:02d}" if reader == "casme2" else f"{person:03d}"
    return dict(zip(TITLES, (subject, name, start, start + 3, start + 9, word), strict=True))


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[Row]]:
    reader = draw(st.sampled_from(list(READERS)))
    words = st.sampled_from(["Happiness", "disgust ", "SURPRISE"])
    people = st.tuples(st.integers(1, 26), st.integers(1, 3))
    rows = draw(st.lists(people, min_size=1, max_size=4, unique=True))
    return reader, [clip(reader, *row, draw(st.integers(0, 10_000)), draw(words)) for row in rows]


def book(rows: list[list[Any]]) -> bytes:
    """An xlsx, without the time at which it was made: the same bytes each time."""
    made, dated, plain = openpyxl.Workbook(), io.BytesIO(), io.BytesIO()
    for row in rows:
        made.active.append(row)
    made.save(dated)
    with zipfile.ZipFile(dated) as old, zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(
                zipfile.ZipInfo(name), re.sub(rb"[0-9-]{10}T[0-9:]{8}", b"2014-05-08T00:00:00", old.read(name))
            )
    return plain.getvalue()


def cells(wanted: list[Row]) -> list[list[Any]]:
    return [[titles[0] for titles in TITLES.values()], *([row[name] for name in TITLES] for row in wanted)]


def read(reader: str, data: bytes, *names: str) -> list[tuple] | None:
    with folder({"a.xlsx": data}) as root:
        table = answer(lambda: READERS[reader](root / "a.xlsx"), "a.xlsx", *names)
    if table is None:
        return None
    table = table[list(TITLES)].astype(object).where(table[list(TITLES)].notna(), None)
    return list(table.itertuples(index=False, name=None))


def right(reader: str, wanted: list[Row]) -> list[tuple] | None:
    """What the rows say; None where they name a clip twice or none."""
    keys = {(row["subject"], row["clip"]) for row in wanted}
    if not wanted or len(keys) < len(wanted):
        return None
    prefix = "sub" if reader == "casme2" else ""
    return [
        (prefix + row["subject"], row["clip"], *(row[name] for name in FRAMES), row["emotion"].strip().lower())
        for row in wanted
    ]


@examples(25)
@given(tables(), st.data())
def test_every_program_writes_the_same_sheet(table, data):
    reader, wanted = table
    order = data.draw(st.permutations([*TITLES, "", "Notes"]))
    titles = [data.draw(st.sampled_from(TITLES.get(name, (name or None,)))) for name in order]
    kinds = data.draw(st.lists(st.sampled_from([int, float, str]), min_size=3, max_size=3))
    lines = [["prose"]] * data.draw(st.integers(0, 20)) + [titles]
    for row in wanted:
        shown = row | {name: kind(row[name]) for name, kind in zip(FRAMES, kinds, strict=True)}
        shown["subject"] = data.draw(st.sampled_from([row["subject"], int(row["subject"]), float(row["subject"])]))
        lines += [[shown.get(name, "x" if name else None) for name in order]] + [[]] * data.draw(st.integers(0, 1))
    assert read(reader, book([line or [None] for line in lines])) == right(reader, wanted)


@examples(20)
@given(tables().flatmap(lambda table: st.tuples(st.just(table[0]), moved(table[1]))))
def test_rows_left_out_moved_or_doubled(table):
    reader, wanted = table
    assert read(reader, book(cells(wanted))) == right(reader, wanted)


@examples(80)
@given(tables(), st.data(), st.sampled_from([*FRAMES, "emotion", "subject"]), st.sampled_from(CELLS))
@example(("casme2", [clip("casme2", 1, 1, 5, "fear")]), None, "offset", 10**20)
@example(("samm", [clip("samm", 1, 1, 5, "fear")]), None, "apex", "9" * 5000)
def test_a_bad_cell_is_refused_by_its_row(table, data, column, cell):
    reader, wanted = table
    place = 0 if data is None else data.draw(st.integers(0, len(wanted) - 1))
    raw = cells(wanted)
    raw[place + 1][list(TITLES).index(column)] = cell
    found = read(reader, book(raw), f"row {place + 2}")
    if found is None:
        return
    text = "" if cell is None else str(cell).strip()
    if column in FRAMES:
        wanted[place][column] = whole_number(text)
        assert wanted[place][column] is not None or (column == "apex" and text in ("", "/"))
        assert not isinstance(cell, bool)
    elif column == "emotion":
        assert text.lower() == "happiness"
        wanted[place][column] = text
    else:
        wanted[place]["subject"] = f"{whole_number(text):0{2 if reader == 'casme2' else 3}d}"
    assert found == right(reader, wanted)


@examples(30)
@given(tables(), st.data(), st.sampled_from(list(TITLES)), st.sampled_from(["gone", "doubled"]))
def test_a_column_that_is_missing_or_stands_twice_is_refused(table, data, column, what):
    reader, wanted = table
    place = list(TITLES).index(column)
    lines = cells(wanted)
    for number, line in enumerate(lines):
        other = line[place] if number == 0 else "7"
        line[place : place + 1] = [] if what == "gone" else data.draw(st.permutations([line[place], other]))
    assert read(reader, book(lines)) is None


@examples(60)
@given(tables(), st.data())
def test_a_damaged_xlsx_is_refused_or_changes_nothing(table, data):
    reader, wanted = table
    raw = book(cells(wanted))
    place = data.draw(st.integers(0, len(raw) - 1))
    change = bytes([raw[place] ^ data.draw(st.integers(1, 255))]) + raw[place + 1 :]
    found = read(reader, raw[:place] + (b"" if data.draw(st.booleans()) else change))
    assert found in (None, right(reader, wanted))


@examples(80)
@given(
    st.lists(st.sampled_from(["s1_ne_01", "s01_po_02", "S11_sur_03", "s1_xx_01", "s1_ne_1"]), min_size=1, max_size=3),
    st.data(),
)
@example(["s1_ne_01"], None)
def test_the_apex_list_of_smic(clips, data):
    codes, lines, wanted = ["ne", "po", "sur"], [["clip", "label", "apex_frame"]], []
    for name in clips:
        label = (
            0
            if data is None
            else data.draw(st.sampled_from([codes.index(name.split("_")[1]) if "xx" not in name else 0] * 5 + [2, "1"]))
        )
        apex = "9" * 400 if data is None else data.draw(st.sampled_from([701843, 5.0, "17"]) | st.sampled_from(CELLS))
        lines.append([name, label, apex])
        subject, code, number = name.lower().split("_")
        good = code in codes and str(label) == str(codes.index(code)) and not isinstance(apex, bool)
        number = f"s{int(subject[1:]):02d}_{code}_{int(number):02d}", whole_number(str(apex)) if good else None
        wanted.append(number)
    with folder({"smic_apex.xlsx": book(lines)}) as root:
        table = answer(lambda: smic.read_apex_list(root / "smic_apex.xlsx"), "smic_apex.xlsx")
    if table is not None:
        assert list(table[["clip", "apex"]].itertuples(index=False, name=None)) == wanted
        assert len(set(wanted)) == len(wanted)


@examples(60)
@given(
    st.sampled_from(["smic", "own"]),
    st.sampled_from(["cut", "changed", "doubled"]),
    st.integers(0),
    st.integers(1, 255),
)
@example("smic", "doubled", 1, 1)
@example("own", "doubled", 1, 1)
def test_a_damaged_list_of_apexes_is_refused_or_changes_nothing(kind, what, place, change):
    header, *lines = [["clip", "label", "apex_frame"], ["s1_ne_01", 0, 17], ["s1_po_02", 1, 23]]
    if kind == "own":
        header, *lines = [["sample_id", "apex"], ["sub01/EP01", 17], ["sub02/EP01", 23]]
    if what == "doubled":
        column = place % len(header)
        header, lines = [*header, header[column]], [[*line, line[column - 1]] for line in lines]
    raw = book([header, *lines])
    place %= len(raw)
    if what != "doubled":
        raw = raw[:place] + (b"" if what == "cut" else bytes([raw[place] ^ change]) + raw[place + 1 :])
    with folder({"a.xlsx": raw}) as root:
        if kind == "smic":
            table = answer(lambda: smic.read_apex_list(root / "a.xlsx"), "a.xlsx")
        else:
            table = answer(lambda: sheet.take_apexes(contract.fill(CLIPS), root, "a.xlsx"), "a.xlsx")
    assert table is None or (what != "doubled" and table["apex"].tolist() == [17, 23])


CLIPS = pd.DataFrame(
    {"sample_id": ["casme2/sub01/EP01", "casme2/sub02/EP01"], "onset": [10, 20], "offset": [19, 29], "apex": [12, 22]}
).astype(dict.fromkeys(FRAMES, "Int64"))


@examples(60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["casme2/sub01/EP01", "sub02/EP01", "sub03/EP01", "EP01"]),
            st.sampled_from([*CELLS, 15, 25, "16.0"]),
        ),
        max_size=3,
    ),
    st.booleans(),
)
@example([("sub01/EP01", 15), ("sub02/EP01", "9" * 5000)], True)
def test_a_list_of_apexes_of_ones_own(listed, as_csv):
    lines = [["sample_id", "apex"], *([sample, apex] for sample, apex in listed)]
    raw = book(lines)
    if as_csv:
        raw = "\n".join(",".join("" if field is None else str(field) for field in line) for line in lines).encode()
    name = "apex.csv" if as_csv else "apex.xlsx"
    with folder({name: raw}) as root:
        found = answer(lambda: sheet.take_apexes(contract.fill(CLIPS), root, name), name)
    if found is not None:
        said = {sample.removeprefix("casme2/"): whole_number(str(apex)) for sample, apex in listed}
        assert found["apex"].tolist() == [said["sub01/EP01"], said["sub02/EP01"]]
        assert len(said) == len(listed) == 2
