"""The MEGC 2019 composite: three raw releases, selected by the organisers' list."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from hydra.utils import instantiate

from fer_lightning.datasets import casme2, contract, megc2019, samm, smic
from fer_lightning.datasets.megc2019_flow import LIST
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from tests.runs import configure

FILE = f"megc2019/{LIST}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    megc2019.write_tiny(root)
    return root


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    shutil.copytree(tiny, tmp_path / "raw")
    return tmp_path / "raw"


def lines(root: Path) -> list[str]:
    return (root / FILE).read_text().split()


def as_lines(manifest: pd.DataFrame) -> list[str]:
    """The list that would select this manifest."""
    codes = manifest["label"].map(["negative", "positive", "surprise"].index).astype(str)
    clips = manifest["sample_id"].str.rpartition("/")[2]
    return (manifest["dataset"] + "," + manifest["subject"].str.lstrip("0") + "," + clips + "," + codes).tolist()


def test_the_tiny_layout_reads_back_in_the_order_of_the_list(tiny):
    # CASME II 22 (12 words less the two without a usable apex), SAMM 20 of 4 people, SMIC 24
    labels = {"negative": 10 + 12 + 8, "positive": 6 + 4 + 8, "surprise": 6 + 4 + 8}
    expects = {"samples": 66, "groups": 6 + 4 + 4, "labels": labels}
    manifest = contract.check(megc2019.build_manifest(tiny), expects, where="megc2019")
    assert as_lines(manifest) == lines(tiny)
    first = manifest[manifest["dataset"] == "samm"].iloc[0]
    assert (first["sample_id"], first["path"]) == ("samm/006/006_1_1", "samm/SAMM/006/006_1_1")
    assert (first["group"], first["label"], first["apex_source"]) == ("samm/006", "negative", "annotated")
    assert all((tiny / path).is_dir() for path in manifest["path"])
    assert manifest.groupby("dataset")["apex_source"].unique().map(sorted).to_dict() == {
        "casme2": ["annotated"],
        "samm": ["annotated", "spotted"],
        "smic": ["middle"],
    }


def test_what_is_left_out_and_corrected_is_said(tiny):
    manifest = megc2019.build_manifest(tiny)
    left = manifest.attrs["dropped"][megc2019.NOT_LISTED]
    assert len(left) == 36 + 30 + 24 - 66
    assert {"casme2/sub04/EP02_01f", "samm/006/006_1_5"} <= set(left)
    assert list(manifest.attrs["corrected"].values()) == [["samm/028/028_4_1"], ["samm/032/032_3_1"]]
    as_annotated = megc2019.build_manifest(tiny, corrections=False).set_index("sample_id")
    assert as_annotated["apex_source"][["samm/028/028_4_1", "samm/032/032_3_1"]].tolist() == ["middle", "middle"]
    assert set(megc2019.build_manifest(tiny, smic_apex="file")["apex_source"]) == {"annotated", "spotted", "file"}


def test_apexes_are_spotted_or_come_from_one_list_for_all_three(copy):
    spot = contract.check(megc2019.build_manifest(copy, apex="spot"), {"samples": 66}, where="megc2019")
    assert spot["apex"].isna().all()
    assert set(spot["apex_source"]) == {"spotted"}
    middle = megc2019.build_manifest(copy, corrections=False)
    more = pd.DataFrame({"sample_id": ["casme2/sub01/EP05_01f"], "apex": [81]})  # in the release, not selected
    pd.concat([more, middle[["sample_id", "apex"]]]).to_csv(copy / "a.csv", index=False)
    listed = megc2019.build_manifest(copy, apex="file", apex_list="a.csv")
    assert listed["apex"].tolist() == middle["apex"].tolist()
    assert set(listed["apex_source"]) == {"file"}
    assert listed.attrs["corrected"] == {}
    for options, message in (
        ({"apex": "annotated"}, r"MEGC 2019 .*apex='annotated' is none of \['file', 'middle', 'spot'\]"),
        ({"apex": "spot", "smic_apex": "file"}, "smic_apex='file' is read by apex='middle' only, found apex='spot'"),
        ({"apex_list": "a.csv"}, "apex_list='a.csv' is read by apex='file' only"),
    ):
        with pytest.raises(DatasetError, match=message):
            megc2019.build_manifest(copy, **options)


def test_the_list_selects_not_the_emotion_word(copy):
    kept = lines(copy)[::-3]
    (copy / FILE).write_text("\ufeff" + "\n".join(kept), encoding="utf-8")
    manifest = contract.check(megc2019.build_manifest(copy), {"samples": len(kept)}, where="megc2019")
    assert as_lines(manifest) == kept


def test_lists_and_releases_that_contradict_each_other_are_refused(copy):
    right = lines(copy)
    assert right[0] == "casme2,sub01,EP01_01f,1"
    (copy / FILE).write_text("\n".join(["casme2,sub01,EP01_01f,0", *right[1:]]))
    with pytest.raises(DatasetError, match=r"casme2/sub01/EP01_01f: .* says negative, the release says happiness"):
        megc2019.build_manifest(copy)
    (copy / FILE).write_text("\n".join([*right, "casme2,sub01,EP05_01f,0"]))
    with pytest.raises(DatasetError, match=r"casme2/sub01/EP05_01f: .* says negative, the release says others"):
        megc2019.build_manifest(copy)
    (copy / FILE).write_text("\n".join([*right, "samm,6,006_9_9,0", "smic,s07,s07_ne_01,0"]))
    with pytest.raises(DatasetError, match=r"2 of 68 clips .* are in no release \(first: samm/006/006_9_9\)"):
        megc2019.build_manifest(copy)
    (copy / FILE).write_text("\n".join([*right, right[3]]))
    with pytest.raises(DatasetError, match=r"line 67: .* stands in line 4 too; it must stand once"):
        megc2019.build_manifest(copy)


@pytest.mark.parametrize(
    ("folder", "message"),
    [("casme2", "CASME II: the raw folder"), ("samm", "SAMM: the raw folder"), ("smic", "SMIC: the raw folder")],
)
def test_a_missing_release_is_named(copy, folder, message):
    shutil.rmtree(copy / folder)
    with pytest.raises(DatasetNotFoundError, match=message):
        megc2019.build_manifest(copy)


def test_a_missing_list_is_named(tmp_path, copy):
    shutil.rmtree(copy / "megc2019")
    with pytest.raises(
        DatasetNotFoundError, match=r"no megc2019/combined_3class_gt.csv in .*casme2/, samm/, smic/ \(signed"
    ):
        megc2019.build_manifest(copy)
    with pytest.raises(DatasetNotFoundError, match=r"MEGC 2019: the raw folder .*casme2/, samm/, smic/"):
        megc2019.build_manifest(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def releases(fer_raw, tmp_path_factory) -> Path:
    """The real sheets and the real list, with an empty file for every onset, apex and offset frame that they name."""
    needed = [f"casme2/{casme2.SHEETS['2014']}", f"casme2/{casme2.SHEETS['2019']}", f"samm/{samm.SHEET}", FILE]
    needed.append("smic/smic_apex_thirdparty.xlsx")
    missing = [name for name in needed if not (fer_raw / name).is_file()]
    if missing:
        pytest.skip(f"FER_RAW has no {', '.join(missing)}")
    root = tmp_path_factory.mktemp("real")
    for name in needed:
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(fer_raw / name, root / name)
    for clip in casme2.read_sheet(root / needed[0]).itertuples():
        middle = clip.onset + (clip.offset - clip.onset) // 2
        touch(root / f"casme2/Cropped/{clip.subject}/{clip.clip}/reg_img", clip.onset, clip.apex, middle, clip.offset)
    for clip in samm.read_sheet(root / needed[2]).itertuples():
        right = samm.CORRECTIONS[clip.clip].apex if clip.clip in samm.CORRECTIONS else clip.apex
        middle = clip.onset + (clip.offset - clip.onset) // 2
        touch(root / f"samm/SAMM/{clip.subject}/{clip.clip}/{clip.subject}_", clip.onset, right, middle, clip.offset)
    for clip in pd.read_excel(root / needed[4]).itertuples():
        label = smic.EMOTIONS[clip.clip.split("_")[1]]
        offset = clip.apex_frame + 10 if pd.isna(clip.offset_frame) else int(clip.offset_frame)
        folder = f"smic/SMIC_all_cropped/HS/s{clip.subject}/micro/{label}/{clip.clip}"
        touch(root / folder / "reg_image", clip.onset_frame, clip.apex_frame, offset)
    return root


def touch(start: Path, *numbers: object) -> None:
    start.parent.mkdir(parents=True)
    for number in numbers:
        if not pd.isna(number):
            start.with_name(f"{start.name}{number}.jpg").touch()


@pytest.mark.parametrize("sheet", [2014, 2019])
@pytest.mark.parametrize("smic_apex", ["middle", "file"])
def test_the_real_annotations_give_442_clips_of_68_people(releases, sheet, smic_apex):
    expects = {"samples": 442, "groups": 68, "labels": {"negative": 250, "positive": 109, "surprise": 83}}
    built = megc2019.build_manifest(releases, smic_apex=smic_apex, casme2_release=sheet)
    manifest = contract.check(built, expects, where="megc2019")
    parts = manifest.groupby("dataset")["group"].agg(["size", "nunique"])
    assert parts.T.to_dict("list") == {"casme2": [145, 24], "samm": [133, 28], "smic": [164, 16]}
    sources = {"annotated": 145 + 132, "spotted": 1, smic_apex: 164}
    assert manifest["apex_source"].value_counts().to_dict() == sources
    left = manifest.attrs["dropped"][megc2019.NOT_LISTED]
    assert len(left) == 255 + 159 - 145 - 133
    assert {"casme2/sub04/EP12_01f", "casme2/sub05/EP09_05f"} <= set(left)
    assert (manifest["apex"] > manifest["onset"]).all()


def test_without_corrections_two_real_apexes_are_middle_frames(releases):
    manifest = megc2019.build_manifest(releases, corrections=False)
    middle = manifest[(manifest["dataset"] == "samm") & (manifest["apex_source"] == "middle")]
    assert middle.set_index("sample_id")["apex"].to_dict() == {"samm/028/028_4_1": 1102, "samm/032/032_3_1": 4933}
    assert manifest.attrs["corrected"] == {}


def test_the_three_parts_alone_have_the_counts_of_their_configs(releases):
    for name, samples in (("samm", 133), ("samm_5class", 136), ("smic", 164), ("megc2019", 442)):
        root = releases if name == "megc2019" else releases / name.partition("_")[0]
        data = instantiate(configure(f"data={name}", f"data.root={root}").data)
        assert len(data.build()) == samples
    for name, samples in (("samm", 131), ("samm_5class", 134)):
        options = [f"data.root={releases / 'samm'}", "data.builder.corrections=false"]
        data = instantiate(configure(f"data={name}", *options).data)
        assert len(data.build()) == samples
        assert data.dropped[samm.NO_APEX] == 2
