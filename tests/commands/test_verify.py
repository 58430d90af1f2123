"""`verify` finds what was planted, and on the real files what is known about them."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_lightning import prepare, verify
from fer_lightning.datasets import fer2013, own_images
from fer_lightning.functional import duplicates


@pytest.fixture
def faces(tmp_path) -> tuple[Path, pd.DataFrame]:
    """A synthetic FER2013 as a table, to be changed and written again with `save`."""
    fer2013.write_tiny(tmp_path / "raw" / "fer2013")
    file = tmp_path / "raw" / "fer2013" / "fer2013.csv"
    return file, pd.read_csv(file)


def checks(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, dict]]:
    """Exit code, and check -> finding."""
    places = [f"paths.raw={tmp_path / 'raw'}", f"paths.runs={tmp_path / 'runs'}"]
    code = verify.main(["data=fer2013", *places, *arguments])
    report = json.loads((tmp_path / "runs" / "verify" / "fer2013.json").read_text())
    return code, {finding["check"]: finding for finding in report["findings"]}


def test_planted_faults_are_found_and_named(faces, tmp_path):
    file, table = faces
    training = table.index[table["Usage"] == "Training"]
    private = table.index[table["Usage"] == "PrivateTest"]
    table.loc[training[0], "pixels"] = " ".join(["0"] * 2304)
    table.loc[private[0], "pixels"] = table.loc[training[1], "pixels"]
    table.loc[private[0], "emotion"] = (table.loc[training[1], "emotion"] + 1) % 7
    face = np.array(table.loc[training[2], "pixels"].split(), dtype=int).reshape(48, 48)
    dimmed = (face[:, ::-1] * 0.8 + 20).astype(int)
    table.loc[private[1], "pixels"] = " ".join(map(str, dimmed.ravel()))
    table.to_csv(file, index=False)
    code, found = checks(tmp_path, "--strict", "--near", "0.9999")
    assert code == 1
    assert found["constant"]["number"] == 1
    assert found["constant"]["examples"] == [f"fer2013/{training[0]:05d}"]
    assert found["exact duplicates"]["number"] == 1
    assert found["conflicting labels"]["number"] == 1
    assert found["test in train"]["examples"] == [f"fer2013/{private[0]:05d}"]
    assert set(found["test near train"]["examples"]) == {f"fer2013/{row:05d}" for row in private[:2]}
    assert "altered" not in found


def test_a_blurred_training_split_is_called_altered(faces, tmp_path):
    file, table = faces
    rng = np.random.default_rng(0)
    for row in table.index:
        picture = rng.integers(0, 256, (48, 48), dtype=np.uint8)
        if table.loc[row, "Usage"] == "Training":
            picture = cv2.GaussianBlur(picture, (0, 0), 3.3)
        table.loc[row, "pixels"] = " ".join(map(str, picture.ravel()))
    table.to_csv(file, index=False)
    code, found = checks(tmp_path)
    assert code == 0, "without --strict a finding is no failure"
    assert "pictures of train are far less sharp" in found["altered"]["text"]


def test_nothing_there_is_an_error_not_a_finding(tmp_path, capsys):
    assert verify.main(["data=fer2013", f"paths.raw={tmp_path}"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_an_unknown_data_set_lists_the_known_ones(capsys):
    assert verify.main(["data=fer2012"]) == 2
    assert "fer2013" in capsys.readouterr().err


def test_prepare_makes_the_cache_that_training_opens(faces, tmp_path, capsys):
    arguments = ["data=fer2013", f"paths.raw={tmp_path / 'raw'}", f"paths.runs={tmp_path / 'runs'}"]
    assert prepare.main(arguments) == 0
    first = capsys.readouterr().out
    assert "(140, 1, 48, 48) uint8" in first
    folder = Path(first.strip().splitlines()[-1])
    made = (folder / "array.npy").stat().st_mtime_ns
    assert prepare.main(arguments) == 0
    assert (folder / "array.npy").stat().st_mtime_ns == made


def test_like_pictures_by_hand():
    ramp = np.tile(np.arange(8.0), (8, 1))
    noise = np.random.default_rng(1).normal(size=(8, 8))
    pictures = np.stack([ramp, noise, 3 * ramp + 7, ramp[:, ::-1], np.full((8, 8), 5.0)])
    pairs, values = duplicates.near_pairs(pictures, 0.99, block=2)
    assert sorted(map(tuple, pairs.tolist())) == [(0, 2), (0, 3), (2, 3)]
    assert values == pytest.approx([1, 1, 1])


def test_like_pictures_agree_with_numpy_corrcoef():
    pictures = np.random.default_rng(0).normal(size=(40, 3, 3))
    expected = np.corrcoef(pictures.reshape(40, -1))
    mirrored = np.corrcoef(pictures.reshape(40, -1), pictures[..., ::-1].reshape(40, -1))[:40, 40:]
    rows, columns = np.nonzero(np.triu(np.maximum(expected, mirrored) >= 0.6, k=1))
    pairs, _ = duplicates.near_pairs(pictures, 0.6, block=7)
    assert set(map(tuple, pairs.tolist())) == set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(pairs) > 5


def test_sharpness_is_the_variance_of_opencvs_laplacian():
    picture = np.random.default_rng(0).integers(0, 256, (12, 9)).astype(np.float32)
    expected = cv2.Laplacian(picture, cv2.CV_32F)[1:-1, 1:-1].var()
    assert duplicates.sharpness(picture[None]) == pytest.approx([expected], rel=1e-5)


@pytest.mark.slow
def test_the_real_fer2013(fer_raw, tmp_path):
    report = tmp_path / "report.json"
    arguments = [f"paths.raw={fer_raw}", f"paths.runs={tmp_path}", "--near", "0", "--json", str(report)]
    assert verify.main(["data=fer2013", *arguments]) == 0
    found = json.loads(report.read_text())
    totals = {split: sum(labels.values()) for split, labels in found["labels"].items()}
    assert totals == {"train": 28709, "val": 3589, "test": 3589}
    by_check = {finding["check"]: finding for finding in found["findings"]}
    assert by_check["constant"]["text"] == "13 pictures show nothing (12 are black, 1 near-constant)"
    assert by_check["exact duplicates"]["text"].startswith("1518 groups of identical pictures, 3373 pictures, 1855")
    numbers = {check: finding["number"] for check, finding in by_check.items()}
    assert numbers["conflicting labels"] == 60
    assert (numbers["val in train"], numbers["test in train"]) == (280, 288)
    assert "altered" not in numbers


@pytest.mark.slow
def test_the_real_altered_copy_is_called_altered(fer_raw, tmp_path):
    report = tmp_path / "report.json"
    root = fer_raw / "fer2013" / "altered_copy"
    arguments = [f"data.root={root}", f"paths.runs={tmp_path}", "--near", "0", "--json", str(report), "--strict"]
    assert verify.main(["data=fer2013", *arguments]) == 1
    found = {finding["check"]: finding for finding in json.loads(report.read_text())["findings"]}
    assert "pictures of train are far less sharp" in found["altered"]["text"]


def test_every_file_that_cannot_be_read_is_found_and_the_rest_is_checked(tmp_path, capsys):
    own_images.write_tiny(tmp_path / "raw" / "lab", classes=["angry", "happy", "neutral"], levels=["split", "label"])
    files = sorted((tmp_path / "raw" / "lab").rglob("*.png")) or sorted((tmp_path / "raw" / "lab").rglob("*.jpg"))
    for file in (files[1], files[-1]):
        file.write_bytes(b"torn")
    shutil.copy(files[2], files[3])
    places = [f"paths.raw={tmp_path / 'raw'}", f"paths.runs={tmp_path / 'runs'}"]
    assert verify.main(["data=own_images", "data.name=lab", *places, "--strict", "--near", "0"]) == 1
    report = json.loads((tmp_path / "runs" / "verify" / "lab.json").read_text())
    found = {finding["check"]: finding for finding in report["findings"]}
    assert found["unreadable"]["number"] == 2
    assert files[1].name in found["unreadable"]["examples"][0]
    assert files[-1].name in found["unreadable"]["examples"][1]
    assert found["exact duplicates"]["number"] == 1
    assert report["samples"] == len(files) - 2
    assert "2 samples cannot be read" in capsys.readouterr().out


def test_the_report_names_the_release_and_the_sizes_of_groups(fer_raw, tmp_path, capsys):
    assert verify.main(["data=megc2019_flow", f"paths.raw={fer_raw}", f"paths.runs={tmp_path}"]) == 0
    report = json.loads((tmp_path / "verify" / "megc2019_flow.json").read_text())
    assert (report["samples"], report["groups"], sum(report["group_sizes"].values())) == (442, 68, 442)
    assert report["group_sizes"]["casme2/sub17"] == 31, "34 clips of sub17 in the sheet, three of them of other classes"
    assert "median" in capsys.readouterr().out


@pytest.fixture
def lab(tmp_path) -> Path:
    """Four people with five pictures of noise each, one of them a copy of another person's; no split."""
    rng, lines = np.random.default_rng(0), ["path,label,subject"]
    root = tmp_path / "raw" / "lab"
    root.mkdir(parents=True)
    for person in range(4):
        for number in range(5):
            cv2.imwrite(str(root / f"s{person}_{number}.png"), rng.integers(0, 256, (48, 48), dtype=np.uint8))
            lines.append(f"s{person}_{number}.png,{('angry', 'happy', 'neutral')[number % 3]},s{person}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    shutil.copy(root / "s0_0.png", root / "s3_3.png")
    return root


def of_lab(tmp_path: Path, *arguments: str) -> int:
    places = [f"paths.raw={tmp_path / 'raw'}", f"paths.runs={tmp_path / 'runs'}"]
    return verify.main(["data=own_csv", "data.name=lab", *places, *arguments])


def test_one_picture_under_two_people_is_a_finding(lab, tmp_path, capsys):
    assert of_lab(tmp_path, "--strict") == 1
    report = json.loads((tmp_path / "runs" / "verify" / "lab.json").read_text())
    found = {finding["check"]: finding for finding in report["findings"]}
    assert set(found) == {"exact duplicates", "people", "near duplicates", "people near"}
    assert found["people"]["examples"] == ["lab/s0_0 of lab/s0 = lab/s3_3 of lab/s3"]
    said = capsys.readouterr().out
    assert "\n4 findings\n" in said
    assert "\nsamples of a group: all have 5\n" in said


def test_one_finding_is_one_finding(lab, tmp_path, capsys):
    shutil.copy(lab / "s0_0.png", lab / "s0_3.png")
    (lab / "s3_3.png").write_bytes((lab / "s0_1.png").read_bytes())
    rows = (lab / "manifest.csv").read_text().splitlines()
    (lab / "manifest.csv").write_text("\n".join(row for row in rows if not row.startswith("s3")) + "\n")
    assert of_lab(tmp_path, "--near", "0") == 0
    assert "\n1 finding\n- exact duplicates: " in capsys.readouterr().out


def test_groups_of_different_sizes_are_named(lab, tmp_path, capsys):
    rows = (lab / "manifest.csv").read_text().splitlines()
    (lab / "manifest.csv").write_text("\n".join(rows[:-2]) + "\n")
    assert of_lab(tmp_path, "--near", "0") == 0
    assert "samples of a group: median 5, lab/s3 has 3, lab/s0 has 5" in capsys.readouterr().out


@pytest.mark.parametrize("splits", ["", "train", "test"])
def test_duplicates_across_splits_need_splits(lab, tmp_path, capsys, splits):
    """An empty list was written, and the exit code was 0."""
    rows = (lab / "manifest.csv").read_text().splitlines()
    if splits:
        (lab / "manifest.csv").write_text("\n".join([rows[0] + ",split", *(f"{row},{splits}" for row in rows[1:])]))
    assert of_lab(tmp_path, "--duplicates", str(tmp_path / "twins.csv")) == 2
    said = capsys.readouterr().err
    found = {splits: 20} if splits else {"(none)": 20}
    assert f"--duplicates compares val and test with train, but the splits of data=lab are {found}" in said
    assert not (tmp_path / "twins.csv").exists()


def test_duplicates_are_counted_in_words(lab, tmp_path, capsys):
    rows, file = (lab / "manifest.csv").read_text().splitlines(), tmp_path / "twins.csv"
    part = {"s0": "train", "s1": "train", "s2": "val", "s3": "test"}
    table = "\n".join([rows[0] + ",split", *(f"{row},{part[row[:2]]}" for row in rows[1:])])
    (lab / "manifest.csv").write_text(table + "\n")
    assert of_lab(tmp_path, "--duplicates", str(file)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{file}: 0 pictures of val and 1 of test are in train too"
    assert file.read_text() == "sample_id,split,twin\nlab/s3_3,test,lab/s0_0\n"
    cv2.imwrite(str(lab / "s3_3.png"), np.random.default_rng(1).integers(0, 256, (48, 48), dtype=np.uint8))
    assert of_lab(tmp_path, "--duplicates", str(file)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{file}: 0 pictures of val and 0 of test are in train too"
    assert file.read_text() == "sample_id,split,twin\n"


def test_the_help_says_what_cannot_be_found(capsys):
    with pytest.raises(SystemExit):
        verify.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "A JPEG that is damaged in its middle decodes like a whole one" in said
