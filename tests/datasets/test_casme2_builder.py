"""CASME II from coding sheet and frame folders."""

import shutil
from pathlib import Path

import openpyxl
import pytest

from fer_lightning.datasets import casme2, contract
from fer_lightning.errors import DatasetError, DatasetNotFoundError

HEADER = [
    "Subject",
    "Filename",
    None,
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    None,
    "Action Units",
    "Estimated Emotion",
]
FAULTY = {"casme2/sub04/EP02_01f": "/", "casme2/sub05/EP02_01f": "equal"}


def write_sheet(file: Path, *rows: list, header: list = HEADER, above: int = 0) -> Path:
    book = openpyxl.Workbook()
    for line in [["CASME II"]] * above + [header, *rows]:
        book.active.append(line)
    book.save(file)
    return file


def row(subject="01", clip="EP01", onset=10, apex=20, offset=30, emotion="happiness") -> list:
    return [subject, clip, None, onset, apex, offset, None, "12", emotion]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("casme2")
    casme2.write_tiny(root)
    return root


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    shutil.copytree(tiny, tmp_path / "casme2")
    return tmp_path / "casme2"


def test_clips_without_a_usable_apex_are_left_out_and_said(tiny):
    manifest = contract.check(casme2.build_manifest(tiny), {"samples": 36, "groups": 6}, where="casme2")
    assert len(manifest) == 34
    assert manifest.attrs["dropped"] == {casme2.NO_APEX: list(FAULTY)}
    assert set(manifest["apex_source"]) == {"annotated"}
    first = manifest.iloc[0]
    assert (first["sample_id"], first["path"]) == ("casme2/sub01/EP01_01f", "Cropped/sub01/EP01_01f")
    assert (first["group"], first["label"]) == ("casme2/sub01", "happiness")
    assert (first["onset"], first["apex"], first["offset"]) == (48, 51, 54)


def test_or_their_middle_frame_is_taken(tiny):
    manifest = contract.check(casme2.build_manifest(tiny, apex="middle"), {"samples": 36}, where="casme2")
    assert len(manifest) == 36
    middle = manifest[manifest["apex_source"] == "middle"]
    assert middle["sample_id"].tolist() == list(FAULTY)
    assert (middle["apex"] - middle["onset"]).tolist() == [3, 3]
    with pytest.raises(DatasetError, match=r"apex='first' is none of \['annotated', 'file', 'middle', 'spot'\]"):
        casme2.build_manifest(tiny, apex="first")


def test_or_every_apex_is_left_to_the_spotter(tiny):
    manifest = contract.check(casme2.build_manifest(tiny, apex="spot"), {"samples": 36}, where="casme2")
    assert len(manifest) == 36
    assert manifest["apex"].isna().all()
    assert set(manifest["apex_source"]) == {"spotted"}
    assert manifest.attrs["dropped"] == {}


def test_or_all_come_from_a_list_of_ones_own(copy):
    middle = casme2.build_manifest(copy, apex="middle")
    mine = middle.assign(apex=middle["apex"] + 1, clip=middle["sample_id"].str.split("/").str[2])[::-1]
    mine[["apex", "sample_id"]].to_csv(copy / "ids.csv", index=False)
    mine[["clip", "subject", "apex", "label"]].to_csv(copy / "clips.csv", index=False, encoding="utf-8-sig")
    mine[["subject", "clip", "apex"]].to_excel(copy / "clips.xlsx", index=False)
    for name in ("ids.csv", "clips.csv", "clips.xlsx"):
        manifest = casme2.build_manifest(copy, apex="file", apex_list=name)
        contract.check(manifest, {"samples": 36}, where="casme2")
        assert manifest["apex"].tolist() == (middle["apex"] + 1).tolist()
        assert set(manifest["apex_source"]) == {"file"}
    mine[["clip", "apex"]].to_excel(copy / "a.xlsx", index=False)
    with pytest.raises(DatasetError, match=r"a.xlsx: line 1 must name .*, found \['clip', 'apex'\]"):
        casme2.build_manifest(copy, apex="file", apex_list="a.xlsx")
    mine[1:][["sample_id", "apex"]].to_csv(copy / "ids.csv", index=False)
    with pytest.raises(DatasetError, match=r"1 of 36 clips have no apex in it \(first: 'casme2/sub06/EP06_01f'\)"):
        casme2.build_manifest(copy, apex="file", apex_list="ids.csv")
    (copy / "Cropped" / "sub01" / "EP01_01f" / "reg_img52.jpg").unlink()
    with pytest.raises(DatasetError, match=r"sub01/EP01_01f: no file img52.jpg or reg_img52.jpg \(apex\)"):
        casme2.build_manifest(copy, apex="file", apex_list="clips.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sample_id,apex\n\ncasme2/sub01/EP01_01f,47\n",
            r"a.csv, line 3: the apex 47 of casme2/sub01/EP01_01f lies",
        ),
        ("sample_id,apex\ncasme2/sub01/EP01_01f,55\n", "line 2: .* lies outside its clip, 48 to 54"),
        ("subject,clip,apex\nsub01,EP01_01f,50\nsub01,EP01_01f,51\n", "line 3: casme2/sub01/EP01_01f stands in line 2"),
        (
            "subject,clip,apex\n1,EP01_01f,50\n",
            "line 2: '1/EP01_01f' is no clip here; expected one such as 'sub01/",
        ),
        ("subject, clip, apex\nsub01,EP01_01f,/\n", "line 2: the apex frame must be a whole number, found '/'"),
        ("subject,clip,apex\nsub01,EP01_01f\n", "line 2: expected 3 fields"),
        ("subject;clip;apex\nsub01;EP01_01f;51\n", r"no column \['apex'\], .*separated by ';', save it with commas"),
        ("clip,apex\nEP01_01f,51\n", r"line 1 must name the columns sample_id,apex or .*, found \['clip', 'apex'\]"),
        ("", "has no rows"),
        ("sample_id,apex\ncasme2/sub01/EP01_01f,50\n", "35 of 36 clips have no apex in it"),
        (b"sample_id,apex\n\xff\xfe,3\n", "no csv in UTF-8"),
    ],
)
def test_a_bad_line_of_the_list_is_named(copy, text, message):
    (copy / "a.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DatasetError, match=message):
        casme2.build_manifest(copy, apex="file", apex_list="a.csv")


def test_a_list_that_is_missing_or_would_not_be_read_is_said(tiny):
    with pytest.raises(DatasetNotFoundError, match=r"apex='file' needs a csv or xlsx in .*apex_list=None"):
        casme2.build_manifest(tiny, apex="file")
    with pytest.raises(DatasetNotFoundError, match=r"with the columns sample_id,apex or subject,clip,apex; .*=b.csv"):
        casme2.build_manifest(tiny, apex="file", apex_list="b.csv")
    with pytest.raises(DatasetError, match=r"apex_list='a.csv' is read by apex='file' only, found apex='middle'"):
        casme2.build_manifest(tiny, apex="middle", apex_list="a.csv")


def test_views_of_three_and_five_classes_account_for_every_clip(tiny):
    manifest = contract.check(casme2.build_manifest(tiny), where="casme2")
    relabel = {"disgust": "negative", "repression": "negative", "happiness": "positive"}
    three, dropped = contract.view(manifest, classes=["negative", "positive", "surprise"], relabel=relabel)
    assert three["label"].value_counts().to_dict() == {"negative": 10, "positive": 6, "surprise": 6}
    assert dropped == {"label 'fear'": 3, "label 'others'": 6, "label 'sadness'": 3}
    five, _ = contract.view(manifest, classes=["happiness", "disgust", "repression", "surprise", "others"])
    assert len(five) == 28


def test_raw_frames_and_junk_files_are_accepted(copy):
    manifest = casme2.build_manifest(copy)
    for file in (copy / "Cropped").rglob("reg_img*.jpg"):
        file.rename(file.with_name(file.name.removeprefix("reg_")))
    (copy / "Cropped" / "sub01" / "Desktop - Shortcut.lnk").touch()
    (copy / "Cropped" / "sub01" / "EP01_01f" / "Thumbs.db").touch()
    (copy / "Cropped").rename(copy / "CASME2-RAW")
    raw = casme2.build_manifest(copy)
    assert raw["path"].tolist() == manifest["path"].str.replace("Cropped", "CASME2-RAW").tolist()
    assert casme2.build_manifest(copy, frames="raw").equals(raw)
    with pytest.raises(DatasetNotFoundError, match="no folder Cropped with the frames"):
        casme2.build_manifest(copy, frames="cropped")
    with pytest.raises(DatasetError, match="frames='crop' is none of"):
        casme2.build_manifest(copy, frames="crop")


def test_the_newest_sheet_is_taken_unless_one_is_named(copy):
    old = copy / casme2.SHEETS["2014"]
    write_sheet(old, row(subject=1, clip="EP01_01f", onset=48, apex=51, offset=54))
    assert len(casme2.build_manifest(copy)) == 34
    assert len(casme2.build_manifest(copy, release=2014)) == 1
    assert len(casme2.build_manifest(copy, release="2014")) == 1
    with pytest.raises(DatasetError, match="release=2018 is none of"):
        casme2.build_manifest(copy, release=2018)
    old.rename(copy / "CASME2-coding-updated.xlsx")
    (copy / casme2.SHEETS["2019"]).unlink()
    with pytest.raises(
        DatasetNotFoundError, match=r"no CASME2-coding-20190701.xlsx or .*sheets there: \['CASME2-coding-upd"
    ):
        casme2.build_manifest(copy)


def test_missing_folders_are_said(tmp_path, copy):
    with pytest.raises(DatasetNotFoundError, match=r"CASME II: the raw folder .*licence.*debug=tiny"):
        casme2.build_manifest(tmp_path / "nowhere")
    shutil.rmtree(copy / "Cropped")
    with pytest.raises(DatasetNotFoundError, match="the sheet is there, but no folder Cropped or CASME2_RAW_selected"):
        casme2.build_manifest(copy)


def test_frames_that_do_not_exist_are_named_with_their_neighbours(copy):
    clip = copy / "Cropped" / "sub01" / "EP01_01f"
    (clip / "reg_img51.jpg").unlink()
    shutil.rmtree(copy / "Cropped" / "sub02" / "EP03_01f")
    with pytest.raises(DatasetError) as caught:
        casme2.build_manifest(copy)
    for part in (
        "casme2/sub01/EP01_01f: no file img51.jpg or reg_img51.jpg (apex) in Cropped/sub01/EP01_01f",
        "nearest there: [49, 50, 52]",
        "casme2/sub02/EP03_01f: no folder Cropped/sub02/EP03_01f",
        "2 frames or folders of 2 clips are missing",
    ):
        assert part in str(caught.value)
    shutil.copy(clip / "reg_img50.jpg", clip / "img050.jpg")
    with pytest.raises(DatasetError, match=r"casme2/sub01/EP01_01f: .*are both frame 50"):
        casme2.build_manifest(copy)


def test_headers_and_subjects_are_read_in_every_spelling(tmp_path):
    header = ["subject ", "File Name", "Onset Frame", " apexframe", "OFFSETFRAME", "Estimated Emotion"]
    lines = [[1, "EP01 ", 5, "/", 9, "Happiness"], ["sub02", "EP01", 5.0, None, "9", "others "], [None] * 6]
    table = casme2.read_sheet(write_sheet(tmp_path / "a.xlsx", *lines, header=header, above=13))
    assert table["subject"].tolist() == ["sub01", "sub02"]
    assert table["clip"].tolist() == ["EP01", "EP01"]
    assert table["emotion"].tolist() == ["happiness", "others"]
    assert table[["onset", "offset"]].values.tolist() == [[5, 9], [5, 9]]
    assert table["apex"].isna().all()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([row(), row()], r"a.xlsx, row 3: sub01/EP01 stands in row 2 too"),
        ([row(onset=25)], r"a.xlsx, row 2 \(sub01/EP01\): frames must be onset <= apex <= offset, found 25, 20, 30"),
        ([row(apex=31)], "found 10, 31, 30"),
        ([row(onset=31, apex="/")], "found 31, /, 30"),
        ([row(), row(clip="EP02", emotion="joy")], r"row 3 \(sub01/EP02\): unknown emotion 'joy'; expected one of"),
        ([row(onset="x")], r"row 2 \(sub01/EP01\): the onset frame must be a whole number, found 'x'"),
        ([row(apex=20.5)], "the apex frame must be a whole number, found 20.5"),
        ([row(offset=None)], "the offset frame must be a whole number, found None"),
        ([row(subject="first")], "expected a subject such as 01 and a file name, found 'first' and 'EP01'"),
        ([], "no rows below the header in row 1"),
    ],
)
def test_a_bad_row_is_named_as_excel_numbers_it(tmp_path, lines, message):
    with pytest.raises(DatasetError, match=message):
        casme2.read_sheet(write_sheet(tmp_path / "a.xlsx", *lines))


def test_a_sheet_without_apex_column_or_header_and_a_broken_file_are_refused(tmp_path):
    no_apex = [title for title in HEADER if title != "ApexFrame"]
    with pytest.raises(
        DatasetError, match=r"the header in row 1 has no column \['apexframe'\]; found \['subject', 'fil"
    ):
        casme2.read_sheet(write_sheet(tmp_path / "a.xlsx", header=no_apex))
    with pytest.raises(DatasetError, match="no row with Subject and Filename among the first 30"):
        casme2.read_sheet(write_sheet(tmp_path / "b.xlsx", header=["something", "else"]))
    (tmp_path / "c.xlsx").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DatasetError, match=r"c.xlsx \(43 bytes\) is no readable xlsx: .*Git-LFS pointer"):
        casme2.read_sheet(tmp_path / "c.xlsx")
    data = (tmp_path / "a.xlsx").read_bytes()
    (tmp_path / "d.xlsx").write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=r"d\.xlsx .* is no readable xlsx"):
        casme2.read_sheet(tmp_path / "d.xlsx")


@pytest.mark.parametrize(("release", "surprise", "sadness"), [("2014", 25, 7), ("2019", 28, 4)])
def test_the_real_sheets(fer_raw, release, surprise, sadness):
    file = fer_raw / "casme2" / casme2.SHEETS[release]
    if not file.is_file():
        pytest.skip(f"FER_RAW has no casme2/{file.name}")
    table = casme2.read_sheet(file)
    assert (len(table), table["subject"].nunique()) == (255, 26)
    counts = {"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "fear": 2}
    assert table["emotion"].value_counts().to_dict() == counts | {"surprise": surprise, "sadness": sadness}
    keys = table["subject"] + "/" + table["clip"]
    assert keys[table["apex"].isna()].tolist() == ["sub04/EP12_01f"]
    assert keys[(table["apex"] == table["onset"]).fillna(False)].tolist() == ["sub05/EP09_05f"]
    length = table["offset"] - table["onset"] + 1
    assert (length.min(), length.median(), length.max()) == (24, 61, 141)
