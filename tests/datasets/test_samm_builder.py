"""SAMM from sheet and frame folders, and its two impossible apexes."""

import shutil
from pathlib import Path

import openpyxl
import pytest

from fer_lightning.datasets import contract, samm, sheet
from fer_lightning.errors import DatasetError, DatasetNotFoundError

FAULTY = ["samm/028/028_4_1", "samm/032/032_3_1"]
#: Five clips per frequent word, five of the three rare ones.
TINY = {"anger": 5, "contempt": 5, "happiness": 5, "surprise": 5, "other": 5, "disgust": 2, "fear": 2, "sadness": 1}


def write_sheet(file: Path, *rows: list, header: tuple = samm.TINY_HEADER, above: int = 13) -> Path:
    book = openpyxl.Workbook()
    for line in [["SAMM"]] * above + [header, *rows]:
        book.active.append(line)
    book.save(file)
    return file


def row(subject="006", clip="006_1_2", onset=5562, apex=5588, offset=5632, emotion="Anger") -> list:
    return [subject, clip, 1, onset, apex, offset, "=1+1", "Micro - 1/2", "4+7", emotion, 3, None]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("samm")
    samm.write_tiny(root)
    return root


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    shutil.copytree(tiny, tmp_path / "samm")
    return tmp_path / "samm"


def frames(manifest, sample: str) -> tuple:
    clip = manifest.set_index("sample_id").loc[sample]
    return clip["onset"], clip["apex"], clip["offset"], clip["apex_source"]


def test_the_tiny_layout_reads_back_corrected_and_counted(tiny):
    expects = {"samples": 30, "groups": 5, "labels": TINY}
    manifest = contract.check(samm.build_manifest(tiny), expects, where="samm")
    assert len(manifest) == 30
    first = manifest.iloc[0]
    assert (first["sample_id"], first["path"]) == ("samm/006/006_1_1", "SAMM/006/006_1_1")
    assert (first["subject"], first["group"], first["label"]) == ("006", "samm/006", "anger")
    assert frames(manifest, "samm/006/006_1_1") == (9997, 10000, 10003, "annotated")
    assert frames(manifest, FAULTY[0]) == (1071, 1105, 1134, "spotted")
    assert frames(manifest, FAULTY[1]) == (4896, 4930, 4970, "annotated")
    assert manifest.attrs["dropped"] == {}
    corrected = manifest.attrs["corrected"]
    assert sorted(sample for samples in corrected.values() for sample in samples) == FAULTY
    assert any(reason.startswith("apex 1930 -> 4930: mistyped") for reason in corrected)


def test_without_corrections_the_two_clips_follow_the_apex_policy(tiny):
    manifest = contract.check(samm.build_manifest(tiny, corrections=False), {"samples": 30}, where="samm")
    assert len(manifest) == 28
    assert manifest.attrs["dropped"] == {samm.NO_APEX: FAULTY}
    assert manifest.attrs["corrected"] == {}
    middle = contract.check(samm.build_manifest(tiny, apex="middle", corrections=False), where="samm")
    assert frames(middle, FAULTY[0]) == (1071, 1102, 1134, "middle")
    assert frames(middle, FAULTY[1]) == (4896, 4933, 4970, "middle")
    assert (middle["apex_source"] == "annotated").sum() == 28
    with pytest.raises(DatasetError, match=r"apex='first' is none of \['annotated', 'file', 'middle', 'spot'\]"):
        samm.build_manifest(tiny, apex="first")


def test_spotted_and_listed_apexes_are_for_all_clips_and_need_no_correction(copy):
    spot = contract.check(samm.build_manifest(copy, apex="spot"), {"samples": 30}, where="samm")
    assert len(spot) == 30
    assert spot["apex"].isna().all()
    assert set(spot["apex_source"]) == {"spotted"}
    assert spot.attrs["dropped"] == spot.attrs["corrected"] == {}
    middle = samm.build_manifest(copy, apex="middle", corrections=False)
    middle[["sample_id", "apex"]].to_csv(copy / "a.csv", index=False)
    shutil.rmtree(copy / middle["path"][3])
    listed = samm.build_manifest(copy, apex="file", apex_list="a.csv", partial=True)
    assert listed["apex"].tolist() == middle["apex"].drop(3).tolist()
    assert listed.attrs["dropped"] == {samm.NO_FOLDER: [middle["sample_id"][3]]}
    assert listed.attrs["corrected"] == {}


def test_a_sheet_that_is_right_is_not_corrected(copy):
    book = openpyxl.load_workbook(copy / samm.SHEET)
    for cells in book.active.iter_rows():
        if cells[1].value == "032_3_1":
            cells[4].value = 4933
    book.save(copy / samm.SHEET)
    manifest = samm.build_manifest(copy)
    assert frames(manifest, FAULTY[1]) == (4896, 4933, 4970, "annotated")
    assert list(manifest.attrs["corrected"].values()) == [FAULTY[:1]]


def test_cropped_frames_go_first_and_people_may_lie_beside_the_sheet(copy):
    before = samm.build_manifest(copy)
    shutil.copytree(copy / "SAMM", copy / "SAMM_CROP")
    assert samm.build_manifest(copy)["path"].tolist() == before["path"].str.replace("SAMM/", "SAMM_CROP/").tolist()
    assert samm.build_manifest(copy, frames="raw")["path"].tolist() == before["path"].tolist()
    shutil.rmtree(copy / "SAMM_CROP")
    for folder in (copy / "SAMM").iterdir():
        folder.rename(copy / folder.name)
    (copy / "006" / "006_1_1" / "Thumbs.db").touch()
    assert samm.build_manifest(copy)["path"].tolist() == before["path"].str.removeprefix("SAMM/").tolist()
    with pytest.raises(DatasetNotFoundError, match=r"no folder SAMM_Cropped/006 or SAMM_CROP/006 with the frames"):
        samm.build_manifest(copy, frames="cropped")
    with pytest.raises(DatasetError, match="frames='crop' is none of"):
        samm.build_manifest(copy, frames="crop")


def test_missing_frames_are_named_and_a_partial_download_must_be_wanted(copy):
    clip = copy / "SAMM" / "006" / "006_1_1"
    (clip / "006_10000.jpg").unlink()
    shutil.rmtree(copy / "SAMM" / "007" / "007_1_3")
    with pytest.raises(DatasetError) as caught:
        samm.build_manifest(copy)
    for part in (
        "samm/006/006_1_1: no file 006_10000.jpg (apex) in SAMM/006/006_1_1, nearest there: [9998, 9999, 10001]",
        "samm/007/007_1_3: no folder SAMM/007/007_1_3",
        "2 frames or folders of 2 clips are missing",
        "data.builder.partial=true",
    ):
        assert part in str(caught.value)
    shutil.rmtree(clip)
    manifest = contract.check(samm.build_manifest(copy, partial=True), {"samples": 30}, where="samm")
    assert len(manifest) == 28
    assert manifest.attrs["dropped"] == {samm.NO_FOLDER: ["samm/006/006_1_1", "samm/007/007_1_3"]}


def test_what_is_missing_is_said(tmp_path, copy):
    with pytest.raises(DatasetNotFoundError, match=r"SAMM: the raw folder .*licence.*debug=tiny"):
        samm.build_manifest(tmp_path / "nowhere")
    shutil.rmtree(copy / "SAMM")
    with pytest.raises(DatasetNotFoundError, match=r"no folder SAMM_Cropped/006 or SAMM_CROP/006 or SAMM/006 or 006 "):
        samm.build_manifest(copy)
    (copy / samm.SHEET).rename(copy / "SAMM.xlsx")
    with pytest.raises(DatasetNotFoundError, match=r"no SAMM_Micro_FACS_Codes_v2.xlsx .*sheets there: \['SAMM.xlsx'\]"):
        samm.build_manifest(copy)


@pytest.mark.parametrize("above", [0, 13, 29])
def test_header_and_subjects_are_read_in_every_spelling(tmp_path, above):
    header = ["Notes", "subject ", "FILENAME", "OnsetFrame", " apex frame", "Offset Frame", "estimated emotion"]
    lines = [["x", 6, "006_1_2 ", 5.0, "/", "9", "anger "], [None, "010", "010_2_1", 5, 7, 9, "OTHER"], [None] * 7]
    table = samm.read_sheet(write_sheet(tmp_path / "a.xlsx", *lines, header=header, above=above))
    assert table["subject"].tolist() == ["006", "010"]
    assert table["clip"].tolist() == ["006_1_2", "010_2_1"]
    assert table["emotion"].tolist() == ["anger", "other"]
    assert table["apex"].isna().tolist() == [True, False]
    assert table[["onset", "offset"]].values.tolist() == [[5, 9], [5, 9]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([row(), row(subject=6)], "a.xlsx, row 16: 006_1_2 stands in row 15 too"),
        ([row(offset=5500)], r"row 15 \(006_1_2\): the offset 5500 lies before the onset 5562"),
        ([row(), row(clip="006_1_3", emotion="joy")], r"row 16 \(006_1_3\): unknown emotion 'joy'; expected one of"),
        ([row(onset="x")], "the onset frame must be a whole number, found 'x'"),
        ([row(apex=5588.5)], "the apex frame must be a whole number, found 5588.5"),
        ([row(offset=None)], "the offset frame must be a whole number, found None"),
        ([row(subject="007")], "expected a subject such as 006 .*, found '007' and '006_1_2'"),
        ([row(subject=None)], "found None and '006_1_2'"),
        ([], "no rows below the header in row 14"),
    ],
)
def test_a_bad_row_is_named_as_excel_numbers_it(tmp_path, lines, message):
    with pytest.raises(DatasetError, match=message):
        samm.read_sheet(write_sheet(tmp_path / "a.xlsx", *lines))


def test_a_sheet_without_a_column_or_header_and_a_broken_file_are_refused(tmp_path):
    header = [title for title in samm.TINY_HEADER if title != "Apex Frame"]
    with pytest.raises(DatasetError, match=r"the header in row 14 has no column \['apexframe'\]; found \['subject'"):
        samm.read_sheet(write_sheet(tmp_path / "a.xlsx", header=header))
    with pytest.raises(DatasetError, match="no row with Subject and Filename among the first 30"):
        samm.read_sheet(write_sheet(tmp_path / "b.xlsx", row(), above=30))
    (tmp_path / "c.xlsx").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DatasetError, match=r"c.xlsx \(43 bytes\) is no readable xlsx: .*Git-LFS pointer"):
        samm.read_sheet(tmp_path / "c.xlsx")


def test_the_real_sheet(fer_raw):
    file = fer_raw / "samm" / samm.SHEET
    if not file.is_file():
        pytest.skip(f"FER_RAW has no samm/{samm.SHEET}")
    lines = list(enumerate(sheet.read_cells(file), start=1))
    header, _ = sheet.find_header(file.name, lines, samm.COLUMNS, samm.SHEET, "SAMM")
    assert header == 14
    table = samm.read_sheet(file)
    counts = {"anger": 57, "other": 26, "happiness": 26, "surprise": 15}
    counts |= {"contempt": 12, "disgust": 9, "fear": 8, "sadness": 6}
    assert (len(table), table["subject"].nunique()) == (159, 29)
    assert table["emotion"].value_counts().to_dict() == counts
    impossible = table[(table["apex"] <= table["onset"]) | (table["apex"] > table["offset"])].set_index("clip")
    assert impossible["apex"].to_dict() == {clip: entry.found for clip, entry in samm.CORRECTIONS.items()}
    for clip, entry in samm.CORRECTIONS.items():
        assert impossible["onset"][clip] < entry.apex < impossible["offset"][clip]
    length = table["offset"] - table["onset"] + 1
    assert (length.min(), length.median(), length.max()) == (30, 78, 101)
