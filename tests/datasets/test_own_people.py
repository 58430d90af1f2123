"""Data of one's own that leaves open who is seen: two spellings of a person, a column that is overlooked, nobody."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from fer_lightning.datasets import contract, own_csv, own_images, synthetic
from fer_lightning.errors import DatasetError, LeakError
from fer_lightning.functional.folds import holdout

PIXELS = np.zeros((4, 4), dtype=np.uint8)
COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"


def table(root: Path, header: str, *lines: str) -> Path:
    """A folder whose csv has these lines, each behind the path of a picture of its own."""
    for number in range(len(lines)):
        synthetic.write_image(root / f"{number}.png", PIXELS)
    text = "\n".join([f"path,{header}", *(f"{number}.png,{line}" for number, line in enumerate(lines))])
    (root / "manifest.csv").write_text(text + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize("column", ["Subject", "SUBJECT", "sub ject", "Group", "Sample_ID", "sample id", "On set"])
def test_a_column_that_is_a_known_one_but_for_its_spelling_is_refused(tmp_path, column):
    """`Subject` was taken for a further column, and the same people stood in train and test."""
    root = table(tmp_path, f"label,split,{column}", "x,train,s1", "x,test,s1")
    with pytest.raises(DatasetError) as caught:
        own_csv.build_manifest(root)
    known = re.sub("[ _]", "", column.lower()).replace("sampleid", "sample_id")
    assert str(caught.value).startswith(f"manifest.csv: the header has the column {column!r}, expected {known!r}; ")
    assert f"rename it to {known}, or, if it holds something else, to another name" in str(caught.value)


def test_the_spelling_is_refused_beside_the_right_one_too(tmp_path):
    root = table(tmp_path, "label,subject,Subject", "x,s1,s2")
    with pytest.raises(DatasetError, match="the header has the column 'Subject', expected 'subject'"):
        own_csv.build_manifest(root)


PEOPLE = ["person", "subject_id", "Participant", "participant id", "actor", "actor-ID", "identity", "person_id"]


@pytest.mark.parametrize("column", PEOPLE)
def test_a_column_that_means_people_is_refused_where_no_subject_is_given(tmp_path, column):
    for header, line in (("label,split", "x,train"), ("label,split,subject", "x,train,"), ("label,group", "x,g1")):
        root = table(tmp_path, f"{header},{column}", f"{line},s1")
        with pytest.raises(DatasetError) as caught:
            own_csv.build_manifest(root)
        found = str(caught.value)
        assert found.startswith(f"manifest.csv: the header has the column {column!r}, which seems to say who is seen")
        assert "expected it as 'subject'" in found
        assert "rename it to subject, or, if it is not the person, to something else" in found


def test_once_the_subject_is_known_such_a_column_is_a_further_one(tmp_path):
    root = table(tmp_path, "label,subject,person,camera", "x,s1,Ann,left")
    manifest = own_csv.build_manifest(root)
    assert manifest[["group", "person", "camera"]].values.tolist() == [["own/s1", "Ann", "left"]]


def test_renamed_as_the_message_says_the_leak_is_found(tmp_path):
    root = table(tmp_path, "label,split,subject", "x,train,s1", "y,test,s1")
    with pytest.raises(LeakError, match="group 'own/s1' stands in train and test"):
        holdout(contract.check(own_csv.build_manifest(root), where="own"))


@pytest.mark.parametrize("column", ["subject", "group"])
@pytest.mark.parametrize(
    ("first", "second"),
    [("s00", "S00"), ("Straße", "STRASSE"), ("00", "0"), ("s1", "s01"), ("\u212bsa", "\u00c5SA"), ("a 1", "a\u00a01")],
)
def test_two_spellings_of_a_person_are_refused(tmp_path, column, first, second):
    root = table(tmp_path, f"label,{column}", f"x,{first}", "x,other", f"x,{second}", f"y,{second}")
    with pytest.raises(DatasetError) as caught:
        own_csv.build_manifest(root)
    assert str(caught.value) == (
        f"manifest.csv, line 4: the {column} {second!r} is {first!r} in manifest.csv, line 2: they would be two; spell "
        f"one {column} in one way, or, if they are two, tell them apart by more than case, accents as they are coded, "
        "spaces or leading zeros (2 such rows)"
    )


def test_two_codings_of_one_accent_are_shown_by_their_codes(tmp_path):
    root = table(tmp_path, "label,subject", f"x,{COMPOSED}", f"x,{DECOMPOSED}")
    with pytest.raises(DatasetError) as caught:
        own_csv.build_manifest(root)
    assert "line 3: the subject 'Jose\\u0301' is 'Jos\\xe9' in manifest.csv, line 2" in str(caught.value)


@pytest.mark.parametrize("subjects", [("s0", "s00x"), ("10", "1"), ("Ann", "Anne"), ("e", "é"), ("0", "o"), ("1", "l")])
def test_people_whose_names_are_only_alike_are_two(tmp_path, subjects):
    manifest = own_csv.build_manifest(table(tmp_path, "label,subject", *(f"x,{name}" for name in subjects)))
    assert manifest["subject"].tolist() == list(subjects)


def test_folders_of_people_are_held_to_the_same_rule(tmp_path):
    for place in ("s01/x", "S01/x", "s02/x"):
        synthetic.write_image(tmp_path / place / "1.png", PIXELS)
    with pytest.raises(
        DatasetError, match=r"^s01/x/1.png: the subject 's01' is 'S01' in S01/x/1.png: they would be two"
    ):
        own_images.build_manifest(tmp_path, ["subject", "label"])
    manifest = own_images.build_manifest(tmp_path, ["label"], subject_pattern="([0-9]+)", name="own")
    assert set(manifest["subject"]) == {"1"}, "the folders are no people here"


def test_where_nobody_is_known_it_is_said(tmp_path):
    root = table(tmp_path / "a", "label,split", "x,train", "x,test")
    with pytest.warns(UserWarning, match="^data=lab: nobody is known: people are not kept apart") as caught:
        own_csv.build_manifest(root, name="lab")
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(own_csv.__file__), "not a file of the library that called it"
    for place in ("train/x", "test/x"):
        synthetic.write_image(tmp_path / "b" / place / "1.png", PIXELS)
    with pytest.warns(UserWarning, match="^data=own: nobody is known"):
        own_images.build_manifest(tmp_path / "b")


def test_where_people_are_known_nothing_is_said(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for header in ("label,split,subject", "label,split,group"):
            manifest = own_csv.build_manifest(table(tmp_path, header, "x,train,s1", "x,test,s2"))
            assert manifest["group"].nunique() == 2
