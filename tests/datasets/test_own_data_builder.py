"""Data of one's own: a csv, or class folders; every way in which a newcomer's folder can be wrong."""

import re
from pathlib import Path

import numpy as np
import pytest

from fer_lightning.datasets import contract, own_csv, own_images, synthetic
from fer_lightning.datasets.release import count
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional.folds import holdout, kfold_by_group
from fer_lightning.preprocess.face import Face
from tests.runs import configure

pytestmark = pytest.mark.filterwarnings("ignore:.*nobody is known")  # test_own_people asks for it
PIXELS = np.zeros((4, 4), dtype=np.uint8)
TABLE = "path,label,subject,split\na.png,happy,s1,train\nb/c.png,sad,s2,test\n"


def images(root: Path, *paths: str) -> Path:
    for path in paths:
        synthetic.write_image(root / path, PIXELS)
    return root


@pytest.fixture
def lab(tmp_path) -> Path:
    (tmp_path / "manifest.csv").write_text(TABLE)
    return images(tmp_path, "a.png", "b/c.png")


def test_a_csv_becomes_a_manifest(lab):
    manifest = contract.check(own_csv.build_manifest(lab, name="lab", classes=["happy", "sad"]), where="lab")
    assert manifest["sample_id"].tolist() == ["lab/a", "lab/b/c"]
    assert manifest["path"].tolist() == ["a.png", "b/c.png"]
    assert manifest["group"].tolist() == ["lab/s1", "lab/s2"]
    assert manifest[["subject", "label", "split"]].values.tolist() == [["s1", "happy", "train"], ["s2", "sad", "test"]]
    assert set(manifest["dataset"]) == {"lab"}


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", "\n\n").replace("path,label", " path , label").encode(),
        b"split,label,subject,path\ntrain,happy,s1,a.png\ntest,sad,s2,b/c.png",
        b'path,label,subject,split\n"a.png","happy","s1",Training\n.\\b\\c.png,sad,s2,TEST\n',
    ],
    ids=["BOM", "CRLF", "padded header and blank lines", "reordered", "quoted, backslash, other split names"],
)
def test_the_same_csv_as_other_programs_write_it(lab, data):
    plain = own_csv.build_manifest(lab)
    (lab / "manifest.csv").write_bytes(data)
    assert own_csv.build_manifest(lab).equals(plain)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"manifest.csv \(0 bytes\) has no rows; expected the columns path, label"),
        ("path,label,subject\n", "has no rows"),
        (
            "path;label;subject\na.png;happy;s1\n",
            r"has no column \['path', 'label'\].*separated by ';', save it with comm",
        ),
        ("file,label\na.png,happy\n", r"manifest.csv: the header has no column \['path'\], found \['file', 'label'\]"),
        ("path,label,label\na.png,x,y\n", r"the header names \['label'\] more than once"),
        ("path,label,subject\na.png,very, happy,s1\n", r"line 2: expected 3 fields .*found 4; put quotation marks"),
        ("path,label,subject\n\na.png,happy\n", "line 3: expected 3 fields"),
        ("path,label,subject\na.png,,s1\n", r"line 2: the label is empty; .* \(1 such rows\)"),
        ("path,label,subject\na.png,x,s1\nb/c.png,y,\n", r"line 3: the subject is empty, but other rows have one"),
        (
            "path,label,split\na.png,x,train\nb/c.png,y,fold1\n",
            "line 3: the split must be one of train, .*found 'fold1'",
        ),
        ("path,label\na.png,happy\n", "nothing says who is seen or how to split.*add a column subject"),
        ("path,label,subject\na.png,x,s1\n./a.png,x,s2\n", "line 3: the path 'a.png' stands in an earlier line too"),
        ("path,label,subject\nC:\\a.png,x,s1\n", "line 2: the path must be relative to .*, found 'C:/a.png'"),
        (
            "path,label,subject,onset\na.png,x,s1,1.5\n",
            "line 2: onset must be a whole frame number or empty, found '1.5'",
        ),
        ("version https://git-lfs.github.com/spec/v1\n", "manifest.csv is a Git-LFS pointer"),
    ],
)
def test_a_bad_csv_is_named_by_line(lab, text, message):
    (lab / "manifest.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        own_csv.build_manifest(lab)


def test_a_csv_in_another_encoding_is_refused(lab):
    for data in (TABLE.replace("happy", "fröhlich").encode("latin-1"), TABLE.encode("utf-16")):
        (lab / "manifest.csv").write_bytes(data)
        with pytest.raises(
            DatasetError, match=r"manifest.csv \(\d+ bytes\) is no csv in UTF-8: .*save it as 'CSV UTF-8'"
        ):
            own_csv.build_manifest(lab)


def test_missing_files_are_counted_and_the_first_is_named(lab):
    (lab / "b" / "c.png").unlink()
    with pytest.raises(
        DatasetNotFoundError, match=r"manifest.csv, line 3: no file b/c.png in .*; 1 of 2 paths are miss"
    ):
        own_csv.build_manifest(lab)
    with pytest.raises(
        DatasetNotFoundError, match=r"no rows.csv in .*holds \['a.png', 'b', 'manifest.csv'\].*debug=tiny"
    ):
        own_csv.build_manifest(lab, file="rows.csv")
    with pytest.raises(DatasetNotFoundError, match=r"own data: the raw folder .*nowhere does not exist"):
        own_csv.build_manifest(lab / "nowhere")


def test_clips_groups_and_further_columns(lab):
    header = "path,label,subject,group,onset,apex,offset,camera,sample_id"
    (lab / "manifest.csv").write_text(f"{header}\nb,happy,s1,twins,3,,9,front,x\na.png,sad,s2,twins,1,2,3,side,\n")
    manifest = contract.check(own_csv.build_manifest(lab), where="own")
    assert manifest["sample_id"].tolist() == ["own/x", "own/a"]
    assert manifest["group"].tolist() == ["own/twins", "own/twins"]
    assert manifest["onset"].tolist() == [3, 1]
    assert manifest["apex"].isna().tolist() == [True, False]
    assert manifest["apex_source"].tolist() == ["", "annotated"]
    assert manifest["camera"].tolist() == ["front", "side"]
    (lab / "manifest.csv").write_text(f"{header}\nb,happy,s1,twins,30,,9,front,x\n")
    with pytest.raises(DatasetError, match="own/x: frames must be onset <= apex <= offset, found 30, <NA>, 9"):
        contract.check(own_csv.build_manifest(lab), where="own")


def test_every_label_must_be_a_class_or_be_left_out(lab):
    with pytest.raises(ConfigError) as caught:
        own_csv.build_manifest(lab, name="lab", classes=["joy", "sad"])
    assert "data=lab: the labels ['happy'] are not in data.classes=['joy', 'sad']" in str(caught.value)
    assert "data.classes=[happy,sad]" in str(caught.value)
    assert len(own_csv.build_manifest(lab, classes=["joy", "sad"], relabel={"happy": "joy"})) == 2
    assert len(own_csv.build_manifest(lab, classes=["sad"], leave_out=["happy"])) == 2
    with pytest.raises(ConfigError, match=r"\['sad'\] stand in data.classes and in data.builder.leave_out"):
        own_csv.build_manifest(lab, classes=["happy", "sad"], leave_out=["sad"])


@pytest.mark.parametrize(
    ("levels", "paths", "subjects", "splits"),
    [
        (["split", "label"], ["train/x/1.png", "Validation/x/2.jpg"], ["", ""], ["train", "val"]),
        (["subject", "label"], ["p10/x/1.png", "p9/x/clip1/1.png"], ["p10", "p9"], ["", ""]),
        (["label", "subject"], ["x/p1/1.png", "x/p2/1.bmp"], ["p1", "p2"], ["", ""]),
        (["split", "subject", "label"], ["train/p1/x/1.png", "test/p2/x/1.png"], ["p1", "p2"], ["train", "test"]),
    ],
)
def test_folders_mean_what_levels_says(tmp_path, levels, paths, subjects, splits):
    images(tmp_path, *paths)
    for junk in ("notes.txt", ".hidden.png", "train/Thumbs.db", "__MACOSX/x/1.png", ".git/x/1.png"):
        (tmp_path / junk).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / junk).touch()
    manifest = contract.check(own_images.build_manifest(tmp_path, levels, classes=["x"]), where="own")
    rows = manifest.set_index("path").loc[paths]
    assert len(manifest) == 2
    assert rows["subject"].tolist() == subjects
    assert rows["group"].tolist() == [f"own/{subject}" if subject else "" for subject in subjects]
    assert rows["split"].tolist() == splits
    assert rows["sample_id"].tolist() == [f"own/{path.rpartition('.')[0]}" for path in paths]


def test_pictures_come_in_natural_order(tmp_path):
    images(tmp_path, "train/x/10.png", "train/x/9.png", "test/x/1.png")
    paths = own_images.build_manifest(tmp_path)["path"].tolist()
    assert paths == ["test/x/1.png", "train/x/9.png", "train/x/10.png"]


def test_the_subject_may_stand_in_the_file_name(tmp_path):
    images(tmp_path, "x/KA.AN1.png", "y/KL.HA2.png")
    manifest = own_images.build_manifest(tmp_path, ["label"], subject_pattern=r"^([A-Z]{2})\.")
    assert manifest["group"].tolist() == ["own/KA", "own/KL"]
    alone = own_images.build_manifest(tmp_path, ["label"], subject_pattern="(.+)")
    assert alone["subject"].tolist() == ["KA.AN1", "KL.HA2"]
    with pytest.raises(
        DatasetError, match=r"x/KA.AN1.png: .*subject_pattern='\^s\(\[0-9\]\)' finds no subject in 'KA.AN1"
    ):
        own_images.build_manifest(tmp_path, ["label"], subject_pattern="^s([0-9])")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"levels": ["label"]}, DatasetError, r"nothing says who is seen .*levels=\[subject,label\] protocol=kfold"),
        ({"levels": ["split", "subject"]}, ConfigError, "must name label"),
        ({"levels": ["label", "emotion"]}, ConfigError, "must name label, and may name split and subject, each once"),
        (
            {"levels": ["subject", "label"], "subject_pattern": "(.)"},
            ConfigError,
            "both say who is seen; leave one out",
        ),
        ({"subject_pattern": "s["}, ConfigError, r"subject_pattern='s\[' is no regular expression"),
        ({"subject_pattern": "s1"}, ConfigError, "needs a group in brackets: the subject"),
        (
            {"levels": ["split", "subject", "label"]},
            DatasetError,
            r"train/x/1.png lies in 2 folder\(s\), .* at least 3",
        ),
        (
            {"levels": ["label", "subject"], "classes": ["x"]},
            ConfigError,
            r"labels \['train'\] are not in data.classes",
        ),
        ({"levels": ["subject", "label"], "classes": ["y"]}, ConfigError, r"data.classes=\[x\] \(on the command line"),
    ],
)
def test_bad_options_and_trees_are_explained(tmp_path, options, error, message):
    images(tmp_path, "train/x/1.png")
    with pytest.raises(error, match=message):
        own_images.build_manifest(tmp_path, **options)


def test_folders_that_are_no_split_or_hold_no_pictures_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"holds no pictures. The folder must hold pictures in class folders"):
        own_images.build_manifest(tmp_path)
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(DatasetError, match="holds no pictures, but 1 videos; write their frames as pictures first"):
        own_images.build_manifest(tmp_path)
    images(tmp_path, "s01/x/1.png")
    with pytest.raises(DatasetError, match=r"s01/x/1.png: the split must be one of train, .*found 's01'"):
        own_images.build_manifest(tmp_path)


def test_pictures_of_kinds_that_are_not_read_are_counted(tmp_path):
    images(tmp_path, "train/x/1.png", "test/x/1.png")
    for name in ("train/x/10.webp", "train/x/9.WEBP", "test/x/a.heic", "test/x/.b.gif"):
        (tmp_path / name).touch()
    dropped = own_images.build_manifest(tmp_path, name="lab").attrs["dropped"]
    assert {reason.partition(" ")[0]: ids for reason, ids in dropped.items()} == {
        ".heic": ["lab/test/x/a.heic"], ".webp": ["lab/train/x/9.WEBP", "lab/train/x/10.webp"],
    }  # fmt: skip
    for file in tmp_path.rglob("*.png"):
        file.unlink()
    with pytest.raises(DatasetError, match=r"no pictures that can be read, but 3 such as test/x/a.heic; save them"):
        own_images.build_manifest(tmp_path)


def test_a_csv_reads_the_kinds_of_pictures_that_folders_do(lab):
    """A csv once passed .gif and .webp on to OpenCV, which reads them or not by its version."""
    for path in ("b/d.webp", "B/E.GIF", "x.zip#b/f.heic"):
        place = lab / path.partition("#")[0]
        place.parent.mkdir(exist_ok=True)
        place.touch()
        (lab / "manifest.csv").write_text(f"path,label,subject\na.png,x,s1\n{path},x,s2\n")
        expected = f"line 3: the path {path!r} is a picture of a kind that is not read; save it as png or jpg (1 such"
        with pytest.raises(DatasetError, match=re.escape(expected)):
            own_csv.build_manifest(lab)
    images(lab, "clip.gif/1.png")
    (lab / "manifest.csv").write_text("path,label,subject\nclip.gif,x,s1\n")
    assert len(own_csv.build_manifest(lab)) == 1, "a folder of frames may be called so"


def test_the_advice_for_strange_labels_is_one_that_hydra_takes(lab):
    """An earlier message advised data.relabel={happy: joy}, which Hydra refuses."""
    with pytest.raises(ConfigError) as caught:
        own_csv.build_manifest(lab, classes=["joy", "sad"])
    advised = re.search(r"such as (\+data\.relabel\S+),", str(caught.value)).group(1)
    relabel = configure("model=random_guess", "data=own_csv", advised).data.relabel
    assert len(own_csv.build_manifest(lab, classes=["joy", "sad"], relabel=relabel)) == 2
    where = configure("model=random_guess", "data=own_csv", "+data.where.camera=[front]").data.where
    assert where == {"camera": ["front"]}


def test_two_pictures_of_one_name_are_refused(tmp_path):
    images(tmp_path, "train/x/1.png", "train/x/1.jpg")
    with pytest.raises(DatasetError, match=r"first: 'own/train/x/1', at \['train/x/1.jpg', 'train/x/1.png'\]"):
        contract.check(own_images.build_manifest(tmp_path), where="own")


def test_the_tiny_csv_fits_every_protocol_and_any_classes(tmp_path):
    classes = [f"class {number}" for number in range(9)]
    own_csv.write_tiny(tmp_path / "tiny", classes=classes)
    manifest = contract.check(own_csv.build_manifest(tmp_path / "tiny", classes=classes), where="own")
    assert count(manifest)["splits"] == {"train": 144, "val": 36, "test": 36}
    assert len(kfold_by_group(manifest, k=10)) == 10
    assert len(holdout(manifest)[0].val) == 36
    faces = np.stack(list(Face().make(tmp_path / "tiny", manifest))).astype(float)
    means = [faces[(manifest["label"] == name).to_numpy()].mean(axis=0) for name in classes]
    apart = [np.abs(a - b).mean() for i, a in enumerate(means) for b in means[:i]]
    assert min(apart) > 2


@pytest.mark.parametrize("levels", [["split", "label"], ["subject", "label"], ["split", "subject", "label"]])
def test_the_tiny_folders_follow_levels_and_classes(tmp_path, levels):
    own_images.write_tiny(tmp_path / "tiny", classes=["a", "b"], levels=levels)
    manifest = own_images.build_manifest(tmp_path / "tiny", levels, classes=["a", "b"])
    assert len(manifest) == 12 * 2 * 2
    assert (manifest["split"] != "").all() == ("split" in levels)
    assert manifest["group"].nunique() == (12 if "subject" in levels else 1)
