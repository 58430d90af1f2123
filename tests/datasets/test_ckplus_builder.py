"""CK+ in three layouts, and why none of them is split by images."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_lightning.datasets import ckplus, contract, synthetic
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional.folds import kfold_by_group
from fer_lightning.preprocess.face import Face

LIST = "CK+_10-fold_sample_IDascendorder_step10.txt"
FIRST = "cohn-kanade-images/S005/001"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ckplus")
    ckplus.write_tiny(root)
    return root


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    shutil.copytree(tiny, tmp_path / "ckplus")
    return tmp_path / "ckplus"


@pytest.fixture
def small(tiny, tmp_path) -> Path:
    """The same peak frames as CK+48."""
    for row in ckplus.build_manifest(tiny).itertuples():
        target = tmp_path / "CK+48" / row.label / Path(row.path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny / row.path, target)
    return tmp_path


def test_the_last_frames_of_labelled_sequences_are_the_samples(tiny):
    manifest = contract.check(ckplus.build_manifest(tiny), {"samples": 12 * 7 * 3, "groups": 12}, where="ckplus")
    first = manifest.iloc[0]
    assert first["path"] == f"{FIRST}/S005_001_00000003.png"
    assert (first["sample_id"], first["group"]) == ("ckplus/S005_001_00000003", "ckplus/S005")
    assert (first["sequence"], first["label"], first["split"]) == ("S005/001", "disgust", "")
    assert set(manifest["label"].value_counts()) == {36}
    assert not manifest["sequence"].str.endswith("/008").any(), "no emotion file means no label"
    last = ckplus.build_manifest(tiny, peak_frames=1)
    assert last["path"][0] == f"{FIRST}/S005_001_00000005.png"
    assert len(last) == 84
    assert last["group"].nunique() == len(kfold_by_group(last, k=12)) == 12


def test_the_first_frame_may_be_a_neutral_face(tiny):
    manifest = ckplus.build_manifest(tiny, neutral=True)
    assert manifest["label"].value_counts()["neutral"] == 84
    assert manifest["path"][0] == f"{FIRST}/S005_001_00000001.png"
    assert manifest["label"].tolist()[:4] == ["neutral", "disgust", "disgust", "disgust"]


def test_tiny_faces_can_be_told_apart(tiny):
    manifest = ckplus.build_manifest(tiny)
    pixels = np.stack(list(Face(interpolation="area").make(tiny, manifest))).reshape(len(manifest), -1).astype(float)
    train, labels = (manifest["subject"] < "S013").to_numpy(), manifest["label"].to_numpy()
    means = np.stack([pixels[train & (labels == name)].mean(axis=0) for name in ckplus.EMOTIONS])
    nearest = ((pixels[~train][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (np.array(ckplus.EMOTIONS)[nearest] == labels[~train]).mean() > 0.6


def test_ck48_is_the_same_data(tiny, small):
    plain = ckplus.build_manifest(tiny)
    faces = ckplus.build_manifest(small)
    assert faces.drop(columns="path").equals(plain.drop(columns="path"))
    assert faces["path"][0] == "CK+48/disgust/S005_001_00000003.png"
    assert ckplus.build_manifest(small, peak_frames=1)["sample_id"][0] == "ckplus/S005_001_00000005"
    with pytest.raises(ConfigError, match="neutral=true needs the first frames, which CK\\+48 does not hold"):
        ckplus.build_manifest(small, neutral=True)
    with pytest.raises(DatasetError, match=r"S005/001 has 3 frame\(s\), peak_frames=4 asks for more"):
        ckplus.build_manifest(small, peak_frames=4)


def test_other_names_of_folders_and_junk_are_accepted(tiny, copy):
    (copy / "Emotion").rename(copy / "Emotion_labels")
    (copy / FIRST / ".DS_Store").touch()
    (copy / FIRST / "._S005_001_00000001.png").touch()
    (copy / "Emotion_labels/S005/001/._S005_001_00000005_emotion.txt").touch()
    assert ckplus.build_manifest(copy).equals(ckplus.build_manifest(tiny))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("   3.0000000e+00\n", "disgust"),
        ("1", "anger"),
        ("7.0\r\n", "surprise"),
        ("\ufeff 2.0000000e+000 ", "contempt"),
    ],
)
def test_emotion_files_hold_one_number(tmp_path, text, label):
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert ckplus.read_emotion(tmp_path / "a.txt") == label


@pytest.mark.parametrize("text", ["", "0.0000000e+00", "8", "3.5", "3.0e+01", "happy", "version https://git-lfs"])
def test_other_emotion_files_are_refused(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"a.txt: expected one number from 1 \(anger\) to 7 \(surprise\), found"):
        ckplus.read_emotion(tmp_path / "a.txt")


def test_a_changed_tree_is_refused(copy):
    frame = copy / FIRST / "S005_001_00000005.png"
    shutil.copy(frame, frame.with_name("S006_001_00000006.png"))
    with pytest.raises(DatasetError, match=r"S006_001_00000006.png does not belong to S005/001"):
        ckplus.build_manifest(copy)
    label = copy / "Emotion/S005/001/S005_001_00000005_emotion.txt"
    shutil.copy(label, label.with_name("S005_001_00000006_emotion.txt"))
    shutil.rmtree(copy / FIRST)
    with pytest.raises(DatasetNotFoundError, match=r"emotion.txt has no frames in cohn-kanade-images/S005/001"):
        ckplus.build_manifest(copy)
    (copy / FIRST).mkdir()
    synthetic.write_image(frame, np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(DatasetError, match="S005/001 has two emotion files"):
        ckplus.build_manifest(copy)
    shutil.rmtree(copy / "Emotion")
    with pytest.raises(DatasetNotFoundError, match=r"the frames are there, but no Emotion/S005/001/.*on request"):
        ckplus.build_manifest(copy)


def test_a_changed_ck48_is_refused(small):
    file = small / "CK+48/disgust/S005_001_00000003.png"
    (small / "CK+48/fear").mkdir(exist_ok=True)
    shutil.copy(file, small / "CK+48/fear" / file.name)
    with pytest.raises(DatasetError, match="S005/001 lies in disgust and in fear"):
        ckplus.build_manifest(small)
    (small / "CK+48/fear" / file.name).rename(file.with_name("1.png"))
    with pytest.raises(
        DatasetError, match=r"disgust/1.png: expected a folder of .*S010_004_00000017.png, which tells who"
    ):
        ckplus.build_manifest(small)


def test_what_is_missing_and_bad_options_are_said(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"CK\+: none of \['cohn-kanade-images', .*on request.*debug=tiny"):
        ckplus.build_manifest(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"none of \['ckextended.csv'\] is in"):
        ckplus.build_manifest(tmp_path, form="csv")
    with pytest.raises(ConfigError, match="form='CK48' is none of"):
        ckplus.build_manifest(tmp_path, form="CK48")
    with pytest.raises(ConfigError, match="peak_frames=0 must be at least 1"):
        ckplus.build_manifest(tmp_path, peak_frames=0)


def test_the_csv_is_split_by_images_only_on_demand_and_with_a_warning(tmp_path):
    pixels = " ".join(["7"] * 2304)
    usages = ["Training", "PublicTest", "PrivateTest"]
    lines = [f"{code},{pixels},{usages[code % 3]}" for code in range(8)]
    (tmp_path / "ckextended.csv").write_text("\r\n".join(["emotion,pixels,Usage", *lines]))
    with pytest.raises(
        DatasetError, match=r"ckextended.csv names no people.*CK\+48.*image_level_split=true protocol=hold"
    ):
        ckplus.build_manifest(tmp_path)
    with pytest.warns(UserWarning, match="the same people are in training and test, and scores are too high"):
        manifest = ckplus.build_manifest(tmp_path, image_level_split=True)
    manifest = contract.check(manifest, where="ckplus")
    assert manifest["label"].tolist()[5:] == ["surprise", "neutral", "contempt"]
    assert manifest["split"].tolist()[:3] == ["train", "val", "test"]
    assert manifest["path"][7] == "ckextended.csv#7"
    assert all(image.max() == image.min() == 7 for image in Face().make(tmp_path, manifest))
    (tmp_path / "ckextended.csv").write_text("emotion,pixels,Usage\n8,1 2,Training\n")
    with (
        pytest.warns(UserWarning, match="split by images"),
        pytest.raises(
            DatasetError, match=r"ckextended.csv, line 2: expected an emotion 0..7 .* found '8' and 'Training'"
        ),
    ):
        ckplus.build_manifest(tmp_path, image_level_split=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1-fold 1 Angry 1\nS005/001 Angry\n2-fold 2 Sad 2\nS010/001 Sad\n", r"should have \{'1': 1, '2': 2\} .*found"),
        ("1-fold 2 Angry 2\nS005/001 Angry\nS005/001 Angry\n", "sequence S005/001 stands twice"),
        (
            "1-fold 1 Angry 1\nS005/001 Angry\n2-fold 1 Sad 1\nS005/002 Sad\n",
            "S005 stands in two folds; folds must keep",
        ),
        ("S005/001 Angry\n", "line 1: expected '1-fold 33 ...' or 'S130/007 Angry', found 'S005/001 Angry'"),
        ("1-fold 1 Angry 1\nS005/001 Joy\n", "line 2: expected '1-fold"),
        ("", r"should have \{\} sequences, found \{\}"),
    ],
)
def test_a_bad_list_of_folds_is_refused(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        ckplus.read_folds(tmp_path / "a.txt")


def test_a_published_list_of_folds_is_joined_by_sequence(copy):
    sequences = ckplus.build_manifest(copy, peak_frames=1)
    names = {ours: theirs for theirs, ours in ckplus.LIST_EMOTIONS.items()}
    lines = []
    for fold in (1, 2):
        rows = sequences[sequences["subject"].str[1:].astype(int) % 2 == fold % 2]
        entries = [f"{row.sequence} {names[row.label]}" for row in rows.itertuples()]
        lines += [f"{fold}-fold {len(rows)} ...", *entries]
    (copy / "folds.txt").write_text("\r\n".join(lines))
    manifest = ckplus.build_manifest(copy, folds="folds.txt")
    assert manifest.groupby("group")["published_fold"].nunique().max() == 1
    assert manifest.loc[manifest["subject"] == "S006", "published_fold"].unique().tolist() == ["2"]
    shutil.rmtree(copy / "Emotion/S006/002")
    with pytest.raises(
        DatasetError, match=r"differ in 1 sequences \(first: S006/002, \w+ in the list, not there in the f"
    ):
        ckplus.build_manifest(copy, folds="folds.txt")
    with pytest.raises(DatasetNotFoundError, match=r"no list of folds other.txt"):
        ckplus.build_manifest(copy, folds="other.txt")


def test_the_real_list_of_folds(fer_raw):
    file = fer_raw / "ckplus" / LIST
    if not file.is_file():
        pytest.skip(f"FER_RAW has no ckplus/{LIST}")
    folds = ckplus.read_folds(file)
    assert folds["fold"].value_counts(sort=False).tolist() == [33, 39, 40, 35, 30, 37, 29, 29, 33, 22]
    assert (len(folds), folds["subject"].nunique(), folds["sequence"].nunique()) == (327, 118, 327)
    counts = {"anger": 45, "contempt": 18, "disgust": 59, "fear": 25, "happy": 69, "sadness": 28, "surprise": 83}
    assert folds["label"].value_counts().to_dict() == counts
    assert folds.groupby("subject")["fold"].nunique().max() == 1
    people = sorted(folds["subject"].unique())
    of = folds.drop_duplicates("subject").set_index("subject")["fold"]
    assert all(of[person] == of[tenth] for person, tenth in zip(people, people[10:], strict=False))
