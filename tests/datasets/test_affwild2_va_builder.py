"""Aff-Wild2, valence and arousal: -5 is no number, and both tracks together."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate

from fer_lightning.datasets import affwild2, affwild2_va, contract
from fer_lightning.datasets import affwild2_tracks as tracks
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional.folds import holdout
from tests.runs import configure

TRAIN, VAL = "annotations/VA_Set/Train_Set", "annotations/VA_Set/Validation_Set"
EXPR = "annotations/EXPR_Set/Validation_Set"
EIGHT = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("affwild2")
    affwild2.write_tiny(root)
    return root


@pytest.fixture
def small(tmp_path) -> Path:
    """Two videos with empty files called images; as nobody opens one, that is a complete data set."""
    annotation(tmp_path / TRAIN / "a.txt", "valence,arousal", "0.5,-0.25", "-5,-5", "-1,1", "0,-5", "0.1,0.2")
    annotation(tmp_path / VAL / "b.txt", "valence,arousal", "0,0", "0.7,0.1")
    for name, last in (("a", 4), ("b", 2)):
        (tmp_path / "cropped_aligned" / name).mkdir(parents=True)
        for number in range(1, last + 1):
            (tmp_path / "cropped_aligned" / name / f"{number:05d}.jpg").touch()
    return tmp_path


def annotation(file: Path, *lines: str, end: str = "\n", start: bytes = b"") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(start + end.join([*lines, ""]).encode())
    return file


def test_annotated_frames_have_two_numbers_and_no_label(small):
    manifest = contract.check(affwild2_va.build_manifest(small), where="affwild2_va")
    rows = manifest.set_index("sample_id")[["valence", "arousal"]]
    assert rows.index.tolist() == [f"affwild2/{name}" for name in ("a/00001", "a/00003", "b/00001", "b/00002")]
    np.testing.assert_array_equal(rows, [[0.5, -0.25], [-1, 1], [0, 0], [0.7, 0.1]])
    assert set(manifest["label"]) == {""}
    assert manifest["split"].tolist() == ["train", "train", "val", "val"]
    assert manifest.attrs["dropped"] == {
        tracks.NOT_ANNOTATED: ["affwild2/a/00002", "affwild2/a/00004"],
        tracks.BEYOND_IMAGES: ["affwild2/a/00005"],
    }


def test_joined_expressions_are_those_of_the_same_frame_in_whichever_set(small):
    annotation(small / EXPR / "a.txt", EIGHT, "4", "0", "-1", "1")  # validation there, training here
    annotation(small / EXPR.replace("Validation", "Train") / "c.txt", EIGHT, "1", "1")
    manifest = contract.check(affwild2_va.build_manifest(small, expressions="join"), where="affwild2_va")
    assert manifest["label"].tolist() == ["happiness", "", "", ""]
    assert manifest["split"].tolist() == ["train", "train", "val", "val"]
    plain = affwild2_va.build_manifest(small)
    assert manifest.drop(columns="label").equals(contract.check(plain, where="").drop(columns="label"))
    kept, dropped = contract.view(manifest, classes=["happiness"])
    assert (len(kept), dropped) == (1, {"label ''": 3})


def test_the_tracks_of_the_tiny_set_overlap(tiny):
    va = contract.check(affwild2_va.build_manifest(tiny, expressions="join"), where="affwild2_va")
    expr = affwild2.build_manifest(tiny).set_index("sample_id")["label"]
    assert {"affwild2/11-30-1280x720", "affwild2/2-30-1280x720"} <= set(va["group"])
    assert set(va.loc[va["group"] == "affwild2/11-30-1280x720", "label"]) == {""}
    assert "affwild2/3-30-1280x720" in {i.rpartition("/")[0] for i in expr.index} - set(va["group"])
    both = va[va["label"] != ""]
    assert 100 < len(both) < min(len(va), len(expr))
    assert both["label"].tolist() == expr[both["sample_id"]].tolist()
    means = both.groupby("label")[["valence", "arousal"]].mean().loc[list(tracks.EXPRESSIONS)]
    np.testing.assert_allclose(means, affwild2.TINY_VALENCE_AROUSAL, atol=0.05)
    split = va.drop_duplicates("group")["split"].value_counts()
    assert (split["train"], split["val"]) == (6, 5)  # two people of one video are one group


@pytest.mark.parametrize("input", ["frames", "openpose_json"])
def test_both_inputs_give_the_same_numbers_of_a_frame(tiny, input):
    manifest = affwild2_va.build_manifest(tiny, input=input, every=2)
    for _, row in manifest.sample(10, random_state=0).iterrows():
        _, name, frame = row["sample_id"].split("/")
        (file,) = (tiny / "annotations/VA_Set").rglob(f"{name}.txt")
        assert file.read_text().splitlines()[int(frame)] == f"{row['valence']:.3f},{row['arousal']:.3f}"
        number = int(row["path"].rpartition("/")[2].removeprefix(name).strip("_").partition("_")[0].partition(".")[0])
        assert number == int(frame) - (input == "openpose_json")


def test_the_config_gives_targets(tiny, tmp_path):
    data = instantiate(configure("data=affwild2_va", f"data.root={tiny}").data)
    manifest = data.build()
    assert (data.targets, data.classes) == (["valence", "arousal"], [])
    data.prepare(tmp_path / "cache")
    (fold,) = holdout(manifest, inner_val=0.15)
    assert fold.val
    data.use_fold(fold, seed=0)
    batch = next(iter(data.loader("test")))
    expected = manifest.set_index("sample_id").loc[batch["sample_id"], ["valence", "arousal"]]
    np.testing.assert_allclose(batch["target"], expected, rtol=1e-6)
    assert batch["target"].std() > 0.2


def test_the_config_gives_classes_and_targets(tiny):
    classes = f"data.classes=[{','.join(tracks.EXPRESSIONS)}]"
    data = instantiate(
        configure("data=affwild2_va", f"data.root={tiny}", "data.builder.expressions=join", classes).data
    )
    manifest = data.build()
    assert set(manifest["label"]) == set(tracks.EXPRESSIONS)
    assert manifest[["valence", "arousal"]].notna().all(axis=None)
    assert data.dropped["label ''"] == 14  # the video without expressions


@pytest.mark.parametrize("options", [{"expressions": "yes"}, {"unit": "clip"}, {"validation_as": "train"}])
def test_options_that_make_no_sense_are_refused(small, options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))}="):
        affwild2_va.build_manifest(small, **options)


def test_a_missing_track_is_said(small):
    with pytest.raises(DatasetNotFoundError, match=r"one folder annotations/EXPR_\.\.\. in .* found none"):
        affwild2_va.build_manifest(small, expressions="join")
    shutil.rmtree(small / "annotations")
    with pytest.raises(DatasetNotFoundError, match=r"one folder annotations/VA_\.\.\. in .* found none"):
        affwild2_va.build_manifest(small)


def test_valence_and_arousal_are_unknown_together(tmp_path):
    lines = ["valence,arousal", "0.602,0.389", "-5,-5", "-5,0.1", " -1 , 1. ", "0,-5.0"]
    table = tracks.read_va(annotation(tmp_path / "v.txt", *lines, ""))
    assert table["frame"].tolist() == [1, 2, 3, 4, 5]
    expected = [[0.602, 0.389], [np.nan] * 2, [np.nan] * 2, [-1, 1], [np.nan] * 2]
    np.testing.assert_array_equal(table[["valence", "arousal"]], expected)
    again = annotation(tmp_path / "w.txt", *lines, "", end="\r\n", start=b"\xef\xbb\xbf")
    assert tracks.read_va(again).equals(table)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        *(("0.5", "'0.5'"), ("1.01,0", "'1.01,0'"), ("-4,0", "'-4,0'"), ("a,b", "'a,b'"), ("nan,0", "'nan,0'")),
        *(("0_1,0", "'0_1,0'"), ("٠,0", "'٠,0'"), ("0,1e999", "'0,1e999'"), ("", "''"), ("0,1\x0c0,1", r"'0,1\\x0c")),
    ],
)
def test_a_bad_valence_or_arousal_is_named(tmp_path, line, found):
    file = annotation(tmp_path / "v.txt", "valence,arousal", "0,0", line, "1,1")
    with pytest.raises(
        DatasetError, match=rf"v.txt, line 3: expected valence,arousal in \[-1, 1\], or -5 .* found {found}"
    ):
        tracks.read_va(file)
    with pytest.raises(DatasetError, match=r"line 1 must be the header valence,arousal .* found 'Neutral"):
        tracks.read_va(annotation(tmp_path / "e.txt", EIGHT, "0"))
