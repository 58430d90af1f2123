"""What a manifest must be, and how a view narrows it."""

import pandas as pd
import pytest

from fer_lightning.datasets import contract, synthetic
from fer_lightning.datasets.release import count
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError


def manifest(**columns: list) -> pd.DataFrame:
    """Three clips of two people; keyword arguments replace columns."""
    rows = {
        "sample_id": ["d/a/1", "d/a/2", "d/b/1"],
        "dataset": "d",
        "path": ["a/1", "a/2", "b/1"],
        "subject": ["a", "a", "b"],
        "group": ["d/a", "d/a", "d/b"],
        "label": ["happy", "sad", "others"],
        "onset": [1, 5, 9],
        "apex": [2, pd.NA, 9],
        "offset": [3, 7, 9],
    }
    return contract.fill(pd.DataFrame(rows | columns))


def test_a_good_manifest_gets_its_types_and_keeps_its_notes():
    rows = manifest().iloc[::-1]
    rows.attrs = {"dropped": {"no apex": ["d/c/1"]}}
    checked = contract.check(rows, where="d")
    assert list(checked.columns) == contract.COLUMNS
    assert checked.index.tolist() == [0, 1, 2]
    assert checked["apex"].dtype == "Int64"
    assert checked["apex"].isna().tolist() == [False, True, False]
    assert checked.attrs == {"dropped": {"no apex": ["d/c/1"]}}


def test_further_columns_stay_behind_the_agreed_ones():
    checked = contract.check(manifest(valence=[0.1, 0.2, 0.3]), where="d")
    assert list(checked.columns) == [*contract.COLUMNS, "valence"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"sample_id": ["x", "x", "y"]},
            r"1 sample ids stand in more than one row \(first: 'x', at \['a/1', 'a/2'\]\)",
        ),
        ({"sample_id": ["x", "", "y"]}, r"column 'sample_id' is empty \(1 rows, first: '', row 1\)"),
        ({"label": ["happy", None, "sad"]}, "column 'label' must hold text, row 1 holds"),
        ({"path": ["a", "/abs", "b"]}, r"path must be relative .* first: 'd/a/2', row 1"),
        ({"path": ["a", "b\\c", "b"]}, "with / between its parts"),
        ({"split": ["train", "train", "valid"]}, r"split must be one of .*, found 'valid' \(1 rows, first: 'd/b/1'"),
        ({"apex_source": ["file", "guessed", ""]}, "apex_source must be one of .*, found 'guessed'"),
        ({"onset": [4, 5, 9]}, "d/a/1: frames must be onset <= apex <= offset, found 4, 2, 3"),
        ({"apex": [2, 6, 10]}, "d/b/1: frames must be onset <= apex <= offset, found 9, 10, 9"),
        ({"offset": [3, 4, 9]}, "d/a/2: frames must be onset <= apex <= offset, found 5, <NA>, 4"),
        ({"onset": [1.5, 5, 9]}, "column 'onset' must hold whole frame numbers"),
    ],
)
def test_a_broken_row_is_named(columns, message):
    with pytest.raises(DatasetError, match=message):
        contract.check(manifest(**columns), where="data=d")


def test_a_missing_column_and_an_empty_table_are_refused():
    with pytest.raises(DatasetError, match=r"data=d: the manifest has no column \['group'\]"):
        contract.check(manifest().drop(columns="group"), where="data=d")
    with pytest.raises(DatasetError, match="data=d: the manifest has no rows"):
        contract.check(manifest().iloc[:0], where="data=d")


def test_counts_are_compared_with_what_the_release_has():
    right = {"samples": 3, "groups": 2, "splits": {}, "labels": {"happy": 1, "sad": 1, "others": 1}}
    assert count(manifest()) == right
    contract.check(manifest(), right, where="d")
    contract.check(manifest(), {"samples": 3, "groups": None}, where="d")
    wrong = {"samples": 4, "groups": 1, "labels": {"happy": 1, "fear": 1, "others": 1}}
    with pytest.raises(DatasetError) as caught:
        contract.check(manifest(), wrong, where="data=d")
    for part in (
        "data=d: expected 4 samples, found 3",
        "expected 1 groups, found 2",
        "expected 1 label 'fear', found 0",
        "expected 0 label 'sad', found 1",
        "data.expects=null",
    ):
        assert part in str(caught.value)


def test_one_of_several_releases_must_fit():
    def expects(*sad: int) -> dict:
        return {"samples": 3, "releases": {f"r{n}": {"labels": {"happy": 1, "others": 1, "sad": n}} for n in sad}}

    contract.check(manifest(), expects(2, 1), where="d")
    with pytest.raises(DatasetError, match="release r2: expected 2 label 'sad', found 1; release r3: expected 3"):
        contract.check(manifest(), expects(2, 3), where="d")


def test_rows_left_out_by_a_builder_still_count_for_the_release():
    kept = manifest().iloc[:2]
    kept.attrs["release_counts"] = count(manifest())
    assert len(contract.check(kept, {"samples": 3}, where="d")) == 2


def test_a_misspelt_count_is_refused():
    with pytest.raises(ConfigError, match=r"data.expects names \['sample'\]"):
        contract.check(manifest(), {"sample": 3}, where="d")


def test_a_view_keeps_renames_and_accounts_for_every_row():
    rows = contract.check(manifest(dataset=["d", "d", "e"], label=["joy", "grief", "joy"]), where="d")
    rows.attrs["release_counts"] = {"samples": 99}
    seen, dropped = contract.view(rows, classes=["positive"], relabel={"joy": "positive"}, where={"dataset": "d"})
    assert seen["sample_id"].tolist() == ["d/a/1"]
    assert seen["label"].tolist() == ["positive"]
    assert dropped == {"dataset 'e'": 1, "label 'grief'": 1}
    assert len(seen) + sum(dropped.values()) == len(rows)
    assert seen.attrs == {}
    assert rows["label"].tolist() == ["joy", "grief", "joy"]


def test_a_view_onto_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"data.classes names \['fear'\].*labels found: \['happy', 'others', 'sad'\]"):
        contract.view(manifest(), classes=["happy", "fear"])
    with pytest.raises(ConfigError, match="names the column 'sensor'"):
        contract.view(manifest(), classes=["happy"], where={"sensor": ["HS"]})


def test_classes_that_are_no_list_or_stand_twice_are_refused():
    with pytest.raises(ConfigError, match=r"data.classes=happy is a text; expected a list"):
        contract.view(manifest(), classes="happy")
    with pytest.raises(ConfigError, match=r"names \['happy'\] more than once"):
        contract.view(manifest(), classes=["happy", "happy", "sad"])


def test_a_selection_that_leaves_no_row_says_so():
    with pytest.raises(
        ConfigError, match=r"data.where.subject=\['zzz'\] leaves no row of 3; the column holds \['a', 'b'\]"
    ):
        contract.view(manifest(), classes=["happy"], where={"subject": ["zzz"]})
    with pytest.raises(ConfigError, match=r"data.where.subject=\[1\] leaves no row"):
        contract.view(manifest(), classes=["happy"], where={"subject": 1})


def test_a_missing_folder_says_where_how_and_what_else(tmp_path):
    with pytest.raises(DatasetNotFoundError) as caught:
        contract.require_root(tmp_path / "casme2", "CASME II", "It needs a licence.")
    for part in (str(tmp_path / "casme2"), "does not exist", "FER_RAW", "data.root", "licence", "debug=tiny"):
        assert part in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(DatasetNotFoundError, match="is a file, not a folder"):
        contract.require_root(tmp_path / "file", "CASME II", "")
    assert contract.require_root(str(tmp_path), "CASME II", "") == tmp_path


def test_synthetic_data_replaces_itself_and_nothing_else(tmp_path):
    root = tmp_path / "raw"
    with synthetic.raw_folder(root) as folder:
        (folder / "old").touch()
    assert contract.is_synthetic(root)
    with synthetic.raw_folder(root) as folder:
        (folder / "new").touch()
    assert sorted(item.name for item in root.iterdir()) == [contract.SYNTHETIC_MARKER, "new"]

    real = tmp_path / "real"
    real.mkdir()
    (real / "licensed.jpg").write_text("x")
    with pytest.raises(ConfigError, match="holds other files"), synthetic.raw_folder(real):
        pass
    assert [item.name for item in real.iterdir()] == ["licensed.jpg"]


def test_half_written_synthetic_data_is_not_left_behind(tmp_path):
    def write() -> None:
        with synthetic.raw_folder(tmp_path / "raw") as folder:
            (folder / "half").touch()
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_row_with_valence_and_arousal_needs_no_label():
    rows = manifest(label=["", "sad", ""], valence=[0.5, float("nan"), -1.0], arousal=[0.0, float("nan"), 1.0])
    assert contract.check(rows, where="d")["label"].tolist() == ["", "sad", ""]
    rows.loc[2, "arousal"] = float("nan")
    with pytest.raises(DatasetError, match=r"column 'label' is empty \(1 rows, first: 'd/b/1'"):
        contract.check(rows, where="d")
    rows.loc[2, "arousal"] = -5.0
    with pytest.raises(DatasetError, match=r"arousal must be in -1\.\.1, found -5\.0"):
        contract.check(rows, where="d")


def test_a_view_without_classes_keeps_every_row():
    rows, dropped = contract.view(manifest(), classes=[], where={"group": "d/a"})
    assert rows["label"].tolist() == ["happy", "sad"]
    assert dropped == {"group 'd/b'": 1}
