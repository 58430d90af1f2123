"""SMIC from its clip folders, and the unofficial apex list."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_lightning.datasets import contract, smic
from fer_lightning.datasets.megc2019_flow import CLASSES, LIST, read_list
from fer_lightning.errors import DatasetError, DatasetNotFoundError

HS = "SMIC_all_cropped/HS"
FIRST = f"{HS}/s1/micro/negative/s1_ne_01"


def write_list(file: Path, *rows: tuple, columns: tuple = ("clip", "label", "apex_frame")) -> Path:
    pd.DataFrame(list(rows), columns=list(columns)).to_excel(file, index=False)
    return file


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("smic")
    smic.write_tiny(root)
    return root


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    shutil.copytree(tiny, tmp_path / "smic")
    return tmp_path / "smic"


def test_the_tiny_layout_reads_back(tiny):
    expects = {"samples": 24, "groups": 4, "labels": {"negative": 8, "positive": 8, "surprise": 8}}
    manifest = contract.check(smic.build_manifest(tiny), expects, where="smic")
    assert list(manifest["subject"].unique()) == ["s01", "s02", "s09", "s11"]
    first = manifest.iloc[0]
    assert (first["sample_id"], first["path"]) == ("smic/s01/s01_ne_01", FIRST)
    assert (first["group"], first["label"]) == ("smic/s01", "negative")
    assert (first["onset"], first["apex"], first["offset"]) == (99996, 99999, 100002)
    assert set(manifest["apex_source"]) == {"middle"}


@pytest.mark.parametrize("subset", ["vis", "nir"])
def test_the_other_cameras_show_the_same_people(tiny, subset):
    manifest = contract.check(smic.build_manifest(tiny, subset), {"samples": 6, "groups": 1}, where="smic")
    first = manifest.iloc[0]
    assert (first["sample_id"], first["dataset"]) == (f"smic_{subset}/s11/s11_ne_01", f"smic_{subset}")
    assert (first["group"], first["path"].split("/")[1]) == ("smic/s11", subset.upper())
    both = pd.concat([smic.build_manifest(tiny), manifest])
    assert len(contract.check(both, {"groups": 4}, where="smic")) == 30


def test_padded_names_raw_frames_and_junk_are_accepted(copy):
    before = smic.build_manifest(copy)
    for folder in sorted((copy / HS).glob("*/micro/*/*")):
        folder.rename(folder.with_name("s" + folder.name[1:].zfill(len(folder.name) + (folder.name[2] == "_") - 1)))
    (copy / HS / "s1").rename(copy / HS / "s01")
    for file in (copy / HS).rglob("reg_image*.bmp"):
        file.rename(file.with_name(file.name.removeprefix("reg_")))
    (copy / HS / ".DS_Store").touch()
    (copy / HS / "s01" / "micro" / "negative" / "s01_ne_01" / "Thumbs.db").touch()
    (copy / "SMIC_all_cropped").rename(copy / "SMIC_all_raw")
    after = smic.build_manifest(copy)
    assert after["path"][0] == "SMIC_all_raw/HS/s01/micro/negative/s01_ne_01"
    same = [column for column in contract.COLUMNS if column != "path"]
    assert after[same].equals(before[same])
    assert smic.build_manifest(copy, frames="raw").equals(after)
    with pytest.raises(DatasetNotFoundError, match=r"no folder SMIC_all_cropped/HS in .*licence"):
        smic.build_manifest(copy, frames="cropped")
    with pytest.raises(DatasetError, match="frames='crop' is none of"):
        smic.build_manifest(copy, frames="crop")


def test_the_middle_is_a_frame_that_is_there(copy):
    (copy / FIRST / "reg_image99999.bmp").unlink()
    clip = smic.build_manifest(copy).iloc[0]
    assert (clip["onset"], clip["apex"], clip["offset"]) == (99996, 99998, 100002)
    for number in (99998, 100000, 100001):
        (copy / FIRST / f"reg_image{number}.bmp").unlink()
    assert smic.build_manifest(copy)["apex"][0] == 99997, "never the onset itself"


def test_a_folder_that_contradicts_the_name_is_refused(copy):
    (copy / FIRST).rename(copy / HS / "s1" / "micro" / "positive" / "s1_ne_07")
    with pytest.raises(DatasetError, match=r"positive/s1_ne_07: the name says ne \(negative\), .* says 'positive'"):
        smic.build_manifest(copy)
    shutil.move(copy / HS / "s1" / "micro" / "positive" / "s1_ne_07", copy / HS / "s2" / "micro" / "negative")
    with pytest.raises(DatasetError, match="s1_ne_07: a clip of s01 in the folder of 's2'"):
        smic.build_manifest(copy)
    (copy / HS / "s2" / "micro" / "negative" / "s1_ne_07").rename(copy / HS / "s2" / "micro" / "negative" / "s2_n7")
    with pytest.raises(DatasetError, match=r"negative/s2_n7: expected a clip such as s1_ne_01 \(code ne, po, sur\)"):
        smic.build_manifest(copy)


def test_a_clip_that_stands_there_twice_or_without_frames_is_refused(copy):
    shutil.copytree(copy / HS / "s1", copy / HS / "s01")
    with pytest.raises(DatasetError, match=r"6 sample ids stand in more than one row \(first: 'smic/s01/s01_ne_01'"):
        contract.check(smic.build_manifest(copy), where="smic")
    shutil.rmtree(copy / HS / "s01")
    shutil.copy(copy / FIRST / "reg_image99998.bmp", copy / FIRST / "reg_image099998.bmp")
    with pytest.raises(DatasetError, match=r"s1_ne_01: .* are both frame 99998; remove one of the two"):
        smic.build_manifest(copy)
    for file in sorted((copy / FIRST).iterdir())[2:]:  # reg_image099998 and reg_image100000 stay
        file.unlink()
    with pytest.raises(DatasetError, match=r"s1_ne_01: expected at least 3 frames .* found 2; complete the frames"):
        smic.build_manifest(copy)


def test_missing_folders_and_wrong_options_are_said(tmp_path, copy):
    with pytest.raises(DatasetNotFoundError, match=r"SMIC: the raw folder .*licence.*debug=tiny"):
        smic.build_manifest(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"subset='HS' is none of \['hs', 'vis', 'nir'\]"):
        smic.build_manifest(copy, subset="HS")
    with pytest.raises(
        DatasetError, match=r"nobody annotated its apexes.*'annotated' is none of \['file', 'middle', 'spot'\]"
    ):
        smic.build_manifest(copy, apex="annotated")
    with pytest.raises(DatasetError, match="the unofficial apex list has frames of hs only, not of vis; give a csv"):
        smic.build_manifest(copy, subset="vis", apex="file")
    for folder in (copy / HS).glob("*/micro"):
        shutil.rmtree(folder)
    with pytest.raises(DatasetError, match="no clip folder like HS/s1/micro/negative/s1_ne_01"):
        smic.build_manifest(copy)


def test_apexes_of_the_list_are_taken_and_recorded(copy):
    listed = smic.read_apex_list(copy / "smic_apex.xlsx")
    write_list(
        copy / "mine.xlsx",
        *[(clip, CLASSES.index(label), apex - 1) for clip, label, apex in listed.itertuples(index=False)][::-1],
    )
    middle = smic.build_manifest(copy)
    same = smic.build_manifest(copy, apex="file")
    assert set(same["apex_source"]) == {"file"}
    assert same["apex"].tolist() == middle["apex"].tolist()
    mine = smic.build_manifest(copy, apex="file", apex_list="mine.xlsx")
    assert mine["apex"].tolist() == (middle["apex"] - 1).tolist()


def test_apexes_are_spotted_or_come_from_a_csv_of_ones_own(copy):
    spot = contract.check(smic.build_manifest(copy, "nir", apex="spot"), {"samples": 6}, where="smic")
    assert spot["apex"].isna().all()
    assert set(spot["apex_source"]) == {"spotted"}
    middle = smic.build_manifest(copy, "vis")
    middle.assign(apex=middle["apex"] + 1)[["sample_id", "apex"]].to_csv(copy / "vis.csv", index=False)
    mine = smic.build_manifest(copy, "vis", apex="file", apex_list="vis.csv")
    assert mine["apex"].tolist() == (middle["apex"] + 1).tolist()
    assert set(mine["apex_source"]) == {"file"}
    (copy / mine["path"][2] / f"reg_image{mine['apex'][2]}.bmp").unlink()
    with pytest.raises(DatasetError, match=r"s11_\w+: no file reg_image[0-9]+.bmp \(apex\)"):
        smic.build_manifest(copy, "vis", apex="file", apex_list="vis.csv")


def test_a_list_that_lacks_clips_or_names_no_file_is_refused(copy):
    write_list(copy / "smic_apex.xlsx", ("s1_ne_01", 0, 5), ("s1_ne_02", 0, 99942))
    with pytest.raises(DatasetError) as caught:
        smic.build_manifest(copy, apex="file")
    for part in (
        f"s01_ne_01: no frame 5 in {FIRST}, nearest there: [99996, 99997, 99998]",
        "s01_po_01 is not in the list",
        "23 of 24 clips have no apex in it",
    ):
        assert part in str(caught.value)
    (copy / "smic_apex.xlsx").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"needs smic_apex.xlsx or .*It is no part of SMIC"):
        smic.build_manifest(copy, apex="file")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("s1_ne_01", 0, 5), ("s01_ne_01", 0, 6)], "a.xlsx, row 3: s01_ne_01 stands in row 2 too"),
        ([("s1_ne_01", 1, 5)], r"row 2: s1_ne_01 must have label 0 \(negative\), found '1'"),
        ([("s1_ne_01", 0, None)], "row 2, s1_ne_01: the apex frame must be a whole number, found ''"),
        ([("s1_ne_01", 0, 5.5)], "must be a whole number, found '5.5'"),
        ([("s1_n1", 0, 5)], "row 2: expected a clip such as s1_ne_01"),
    ],
)
def test_a_bad_row_of_the_list_is_named(tmp_path, rows, message):
    with pytest.raises(DatasetError, match=message):
        smic.read_apex_list(write_list(tmp_path / "a.xlsx", *rows))


def test_a_list_without_a_column_and_a_broken_file_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"row 1 has no column \['apex_frame'\]; found \['clip', 'label', 'apex'\]"):
        smic.read_apex_list(write_list(tmp_path / "a.xlsx", columns=("clip", "label", "apex")))
    (tmp_path / "b.xlsx").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DatasetError, match=r"b.xlsx .* is no readable xlsx: .*Git-LFS pointer"):
        smic.read_apex_list(tmp_path / "b.xlsx")


def test_the_real_list_and_a_release_of_its_clips(fer_raw, tmp_path):
    """The frame numbers of 164 real clips, as empty files: 157 know their offset, 7 only their apex."""
    file = fer_raw / "smic" / "smic_apex_thirdparty.xlsx"
    if not file.is_file():
        pytest.skip("FER_RAW has no smic/smic_apex_thirdparty.xlsx")
    apexes = smic.read_apex_list(file).set_index("clip")
    assert apexes["label"].value_counts().to_dict() == {"negative": 70, "positive": 51, "surprise": 43}
    listed = read_list(fer_raw / "megc2019" / LIST)
    listed = listed[listed["dataset"] == "smic"].set_index("clip")["code"].map(lambda code: CLASSES[int(code)])
    assert apexes["label"].sort_index().to_dict() == listed.sort_index().to_dict()

    table = pd.read_excel(file)
    assert table["offset_frame"].isna().sum() == 7
    codes = table["clip"].str.split("_").str[1].map(smic.EMOTIONS)
    for row, label in zip(table.itertuples(), codes, strict=True):
        folder = tmp_path / "smic" / HS / f"s{row.subject}" / "micro" / label / row.clip
        folder.mkdir(parents=True)
        offset = row.apex_frame + 10 if np.isnan(row.offset_frame) else int(row.offset_frame)
        for number in (row.onset_frame, row.apex_frame, offset):
            (folder / f"reg_image{number:06d}.bmp").touch()
    shutil.copy(file, tmp_path / "smic")
    expects = {"samples": 164, "groups": 16, "labels": {"negative": 70, "positive": 51, "surprise": 43}}
    manifest = contract.check(smic.build_manifest(tmp_path / "smic", apex="file"), expects, where="smic")
    place = ((manifest["apex"] - manifest["onset"]) / (manifest["offset"] - manifest["onset"])).astype(float)
    place = place[table.set_index(apexes.index).loc[manifest["sample_id"].str[9:], "offset_frame"].notna().to_numpy()]
    assert (len(place), place.mean(), place.min(), place.max()) == pytest.approx((157, 0.509, 0.075, 0.974), abs=5e-4)
