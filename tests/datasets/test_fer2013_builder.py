"""FER2013 in all its forms, and each way in which a copy can be bad."""

import gzip
import lzma
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_lightning.datasets import contract, fer2013, synthetic
from fer_lightning.datasets.release import count
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.preprocess.face import Face

COUNTS = {"samples": 140, "groups": 0, "splits": {"train": 84, "val": 28, "test": 28}}
USAGES = ("Training", "PublicTest", "PrivateTest")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("fer2013")
    fer2013.write_tiny(root)
    return root


@pytest.fixture(scope="module")
def tree(tiny, tmp_path_factory) -> Path:
    """The same faces as Kaggle folders; png, so that pixels can be compared."""
    root = tmp_path_factory.mktemp("kaggle")
    faces = pd.read_csv(tiny / "fer2013.csv")
    for row in faces.itertuples():
        folder = root / ("train" if row.Usage == "Training" else "test") / fer2013.EMOTIONS[row.emotion]
        pixels = np.array(row.pixels.split(), dtype=np.uint8).reshape(48, 48)
        synthetic.write_image(folder / f"{row.Usage}_{1000 + row.Index}.png", pixels)
    return root


def images(root: Path, manifest: pd.DataFrame) -> np.ndarray:
    return np.stack(list(Face().make(root, manifest)))


def pack(tiny: Path, root: Path, end: str, stem: str = "fer2013") -> Path:
    data = (tiny / "fer2013.csv").read_bytes()
    file = root / f"{stem}.csv{end}"
    if end == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(f"{stem}.csv", data)
    else:
        file.write_bytes({".xz": lzma.compress, ".gz": gzip.compress, "": bytes}[end](data))
    return file


def test_the_tiny_csv_is_deterministic_and_balanced(tiny, tmp_path):
    fer2013.write_tiny(tmp_path / "again")
    assert (tmp_path / "again" / "fer2013.csv").read_bytes() == (tiny / "fer2013.csv").read_bytes()
    manifest = contract.check(fer2013.build_manifest(tiny), COUNTS, where="fer2013")
    assert set(manifest["label"].value_counts()) == {20}
    assert manifest["sample_id"].tolist()[17] == "fer2013/00017"
    assert manifest["path"].tolist()[17] == "fer2013.csv#17"
    assert contract.is_synthetic(tiny)


def test_tiny_faces_can_be_told_apart(tiny):
    manifest = fer2013.build_manifest(tiny)
    pixels = images(tiny, manifest).reshape(len(manifest), -1).astype(float)
    train, labels = (manifest["split"] == "train").to_numpy(), manifest["label"].to_numpy()
    means = np.stack([pixels[train & (labels == name)].mean(axis=0) for name in fer2013.EMOTIONS])
    nearest = ((pixels[~train][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (np.array(fer2013.EMOTIONS)[nearest] == labels[~train]).mean() > 0.6


@pytest.mark.parametrize("end", ["", ".xz", ".gz", ".zip"])
@pytest.mark.parametrize("folder", ["", "fer2013"])
def test_the_csv_is_read_packed_or_not_also_one_folder_down(tiny, tmp_path, end, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    pack(tiny, tmp_path / folder, end)
    manifest = contract.check(fer2013.build_manifest(tmp_path), COUNTS, where="fer2013")
    assert manifest["path"][139] == (Path(folder) / f"fer2013.csv{end}").as_posix() + "#139"
    some = manifest.iloc[[0, 17, 139]]
    assert (images(tmp_path, some) == images(tiny, fer2013.build_manifest(tiny).iloc[[0, 17, 139]])).all()


def test_padded_headers_in_another_order_are_the_same_data(tiny, tmp_path):
    faces = pd.read_csv(tiny / "fer2013.csv")
    rows = [f"{row.emotion},{row.Usage},{row.pixels}" for row in faces.itertuples()]
    (tmp_path / "icml_face_data.csv").write_text("\r\n".join(["emotion, Usage, pixels", *rows, ""]))
    padded, plain = fer2013.build_manifest(tmp_path), fer2013.build_manifest(tiny)
    assert padded.drop(columns="path").equals(plain.drop(columns="path"))
    assert (images(tmp_path, padded) == images(tiny, plain)).all()


def test_folders_hold_the_same_faces_under_their_names(tiny, tree):
    manifest = contract.check(fer2013.build_manifest(tree), COUNTS, where="fer2013")
    numbers = manifest["path"].str.extract(r"_(\d+)\.png")[0].astype(int) - 1000
    plain = fer2013.build_manifest(tiny).iloc[numbers]
    assert manifest["label"].tolist() == plain["label"].tolist()
    assert manifest["split"].tolist() == plain["split"].tolist()
    assert manifest["sample_id"].str.startswith(("fer2013/train/", "fer2013/test/")).all()
    order = np.argsort(numbers)
    assert (images(tree, manifest)[order] == images(tiny, fer2013.build_manifest(tiny))).all()


def test_an_archive_is_read_in_place(tree, tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for file in sorted(tree.rglob("*.png")):
            archive.write(file, file.relative_to(tree).as_posix())
        archive.writestr("__MACOSX/train/angry/._Training_1.png", b"")
    packed, plain = fer2013.build_manifest(tmp_path), fer2013.build_manifest(tree)
    assert packed["sample_id"].tolist() == plain["sample_id"].tolist()
    assert packed["path"].tolist() == ("archive.zip#" + plain["path"]).tolist()
    assert (images(tmp_path, packed) == images(tree, plain)).all()
    assert [item.name for item in tmp_path.iterdir()] == ["archive.zip"]
    keys = packed["path"].map(Face().chunk_key)
    assert keys.nunique() == 14
    assert keys[0] == "archive.zip#" + str(Path(plain["path"][0]).parent)


def test_a_source_is_taken_by_name_and_the_altered_copy_never_by_itself(tiny, tree, tmp_path):
    shutil.copytree(tree, tmp_path / "altered_copy")
    with pytest.raises(DatasetNotFoundError, match=r"none of its forms is in .*altered_copy.*Kaggle.*debug=tiny"):
        fer2013.build_manifest(tmp_path)
    shutil.copy(tiny / "fer2013.csv", tmp_path)
    assert fer2013.build_manifest(tmp_path)["path"][0] == "fer2013.csv#0"
    assert fer2013.build_manifest(tmp_path, source="altered_copy")["path"][0].startswith("altered_copy/test/")
    with pytest.raises(DatasetNotFoundError, match=r"source='nothing.csv' is not in .*fer2013.csv"):
        fer2013.build_manifest(tmp_path, source="nothing.csv")


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"raw folder .*nowhere does not exist.*FER_RAW"):
        fer2013.build_manifest(tmp_path / "nowhere")


@pytest.mark.parametrize("end", [".xz", ".gz", ".zip"])
def test_a_packed_csv_cut_in_half_is_refused(tiny, tmp_path, end):
    file = pack(tiny, tmp_path, end)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(
        DatasetError, match=rf"fer2013.csv{end} \(\d+ bytes\) cannot be read to its end.*download it again"
    ):
        fer2013.build_manifest(tmp_path)


def test_a_csv_cut_in_half_is_refused(tiny, tmp_path):
    lines = (tiny / "fer2013.csv").read_text().splitlines()
    (tmp_path / "fer2013.csv").write_text("\n".join(lines[:70]) + "\n" + lines[70][:3000])
    message = (
        r"fer2013.csv, line 71: expected 3 fields \(emotion, pixels, Usage\), found 2; the file is cut off or damaged"
    )
    with pytest.raises(DatasetError, match=message):
        fer2013.build_manifest(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("7,1 2,Training", r"row 1 \(line 3 of the file\): emotion must be 0\.\.6, found '7'"),
        ("x,1 2,Training", "emotion must be 0..6, found 'x'"),
        ("3,1 2,Testing", r"Usage must be one of \['Training', 'PublicTest', 'PrivateTest'\], found 'Testing'"),
        ("3", "fer2013.csv, line 3: expected 3 fields .*, found 1"),
        ("3,1 2,Training,x", "fer2013.csv, line 3: expected 3 fields .*, found 4"),
        ("\n7,1 2,Training", r"row 1 \(line 4 of the file\): emotion must be"),
        ('3,"1 2,Training\n4,1 2,Training\n5,"1 2,Traning', r"row 3 \(line 5 of the file\): Usage must be one of"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, message):
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n0,1 2,Training\n{row}\n1,1 2,Training\n")
    with pytest.raises(DatasetError, match=message):
        fer2013.build_manifest(tmp_path)


def test_other_headers_empty_files_and_lfs_pointers_are_refused(tmp_path):
    file = tmp_path / "fer2013.csv"
    file.write_text("emotion,pixels\n0,1 2\n")
    with pytest.raises(
        DatasetError, match=r"expected the columns emotion, pixels, Usage .*found \['emotion', 'pixels'\]"
    ):
        fer2013.build_manifest(tmp_path)
    file.write_text("emotion,pixels,Usage\n")
    with pytest.raises(DatasetError, match="no rows below the header"):
        fer2013.build_manifest(tmp_path)
    file.write_text("")
    with pytest.raises(DatasetError, match=r"fer2013.csv \(0 bytes\) cannot be read"):
        fer2013.build_manifest(tmp_path)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 301072766\n"
    file.write_text(pointer)
    with pytest.raises(DatasetError, match=r"fer2013.csv is a Git-LFS pointer.*git lfs pull"):
        fer2013.build_manifest(tmp_path)
    file.unlink()
    (tmp_path / "archive.zip").write_text(pointer)
    with pytest.raises(DatasetError, match=r"archive.zip \(\d+ bytes\) is no complete zip file.*Git-LFS"):
        fer2013.build_manifest(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (
            " ".join(["7"] * 2303),
            r"fer2013.csv: row 1 \(line 3 of the file\): expected 2,304 pixels, found 2,303 numbers",
        ),
        (" ".join(["7"] * 2303 + ["256"]), r"row 1 .*pixels must be in 0\.\.255, found 7\.\.256"),
        (" ".join(["7"] * 2303 + ["-1"]), r"pixels must be in 0\.\.255, found -1\.\.7"),
        (" ".join(["7"] * 1000 + ["x"] + ["7"] * 1303), "row 1 .*: 'x' is no pixel; the file is damaged"),
        (" ".join(["7"] * 2303 + ["0.5"]), "'0.5' is no pixel"),
        ("", "found 0 numbers"),
    ],
)
def test_a_row_that_is_no_face_is_named_when_it_is_read(tmp_path, pixels, message):
    good = " ".join(["9"] * 2304)
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n0,{good},Training\n0,{pixels},Training\n")
    manifest = fer2013.build_manifest(tmp_path)
    assert images(tmp_path, manifest.iloc[:1]).tolist() == np.full((1, 1, 48, 48), 9).tolist()
    with pytest.raises(DatasetError, match=message):
        images(tmp_path, manifest)


def test_a_merged_test_folder_is_refused_unless_named(tree, tmp_path):
    for file in tree.rglob("*.png"):
        target = tmp_path / file.relative_to(tree).parent / file.name.partition("_")[2]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    with pytest.raises(DatasetError, match=r"test/angry/.*mixes PublicTest .*data.builder.merged_test=test"):
        fer2013.build_manifest(tmp_path)
    manifest = contract.check(fer2013.build_manifest(tmp_path, merged_test="test"), where="fer2013")
    assert count(manifest)["splits"] == {"train": 84, "test": 56}


def test_re_split_copies_and_strange_folders_are_refused(tree, tmp_path):
    file = next((tree / "train" / "happy").iterdir())
    (tmp_path / "train" / "happy").mkdir(parents=True)
    (tmp_path / "test" / "happy").mkdir(parents=True)
    shutil.copy(file, tmp_path / "test" / "happy")
    with pytest.raises(DatasetError, match=r"the name says Training, but the file lies in 'test'"):
        fer2013.build_manifest(tmp_path)
    (tmp_path / "test" / "happy").rename(tmp_path / "test" / "joy")
    with pytest.raises(DatasetError, match=r"test/joy/.*: the folder 'joy' is no class of FER2013"):
        fer2013.build_manifest(tmp_path)


def test_the_complete_csv(fer_raw):
    if not (fer_raw / "fer2013" / "fer2013.csv.xz").is_file():
        pytest.skip("FER_RAW has no fer2013/fer2013.csv.xz")
    manifest = contract.check(fer2013.build_manifest(fer_raw / "fer2013"), where="fer2013")
    table = pd.crosstab(manifest["split"], manifest["label"])[list(fer2013.EMOTIONS)]
    assert table.loc["train"].tolist() == [3995, 436, 4097, 7215, 4830, 3171, 4965]
    assert table.loc["val"].tolist() == [467, 56, 496, 895, 653, 415, 607]
    assert table.loc["test"].tolist() == [491, 55, 528, 879, 594, 416, 626]
    first = images(fer_raw / "fer2013", manifest.iloc[:2])
    assert first[0, 0, 0, :8].tolist() == [70, 80, 82, 72, 58, 58, 60, 63]


def test_the_archive_of_the_altered_copy(fer_raw):
    if not (fer_raw / "fer2013" / "altered_copy" / "archive.zip").is_file():
        pytest.skip("FER_RAW has no fer2013/altered_copy/archive.zip")
    root = fer_raw / "fer2013" / "altered_copy"
    manifest = contract.check(fer2013.build_manifest(root), where="fer2013")
    assert count(manifest)["splits"] == {"train": 28709, "val": 3589, "test": 3589}
    assert count(manifest)["labels"]["disgust"] == 547
    assert images(root, manifest.iloc[::3000]).shape == (12, 1, 48, 48)
