"""A pool is complete and agrees with the manifest, or it is refused with the reason."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from fer_lightning.errors import PoolError
from fer_lightning.reporting.epochs import read_epochs
from fer_lightning.reporting.pool import read_pool
from tests.reporting.conftest import CLASSES, composite, images


def edit(file, change) -> None:
    table = pd.read_csv(file, dtype={"sample_id": str}, keep_default_na=False)
    change(table).to_csv(file, index=False)


def test_a_complete_run_has_each_sample_once_in_manifest_order(make_run):
    pool = read_pool(make_run())
    assert pool.table["sample_id"].tolist() == composite()["sample_id"].tolist()
    assert pool.table["group"].tolist() == composite()["group"].tolist()
    assert [fold["fold"] for fold in pool.folds][:4] == [f"casme2-sub{n}" for n in (1, 2, 10, 11)]
    assert (pool.model, pool.data, pool.protocol, pool.selection, pool.seed) == (
        ("ststnet", "megc2019", "loso", "last", 0)
    )
    assert pool.validation is None
    assert not pool.synthetic


def test_rows_are_joined_by_id_not_by_position(make_run):
    folder = make_run()
    before = read_pool(folder).table
    for file in (folder / "predictions").glob("*.csv"):
        edit(file, lambda table: table.iloc[::-1])
    edit(folder / "manifest.csv", lambda table: table.sample(frac=1, random_state=3))
    after = read_pool(folder).table.set_index("sample_id").loc[before["sample_id"]].reset_index()
    pd.testing.assert_frame_equal(before, after)


def test_training_rows_of_a_holdout_are_not_demanded(make_run):
    pool = read_pool(make_run(images(), protocol="holdout"))
    assert len(pool.table) == len(pool.validation) == 20
    assert not set(pool.table["sample_id"]) & set(pool.validation["sample_id"])


def test_ids_that_look_like_numbers_or_missing_values_stay_text(make_run):
    manifest = images().assign(sample_id=[f"{i:05d}" if i else "NA" for i in range(60)])
    manifest["split"] = ["test"] * 30 + ["train"] * 30
    assert read_pool(make_run(manifest, protocol="holdout")).table["sample_id"].tolist()[:2] == [
        "NA",
        "00001",
    ]


def test_half_a_pool_is_refused_with_what_to_do(make_run):
    folder = make_run()
    for name in ("casme2-sub2", "smic-sub1"):
        (folder / "predictions" / f"{name}.csv").unlink()
    expected = (
        f"{folder}: 6 samples without a prediction "
        "(first: ['smic/sub1/ep0', 'smic/sub1/ep1', 'smic/sub1/ep2']), "
        "0 predicted twice (first: []). Run the same command again: finished folds are skipped."
    )
    with pytest.raises(PoolError) as caught:
        read_pool(folder)
    assert str(caught.value) == expected


def test_no_predictions_at_all(make_run):
    folder = make_run()
    for file in (folder / "predictions").iterdir():
        file.unlink()
    with pytest.raises(PoolError, match="24 samples without a prediction"):
        read_pool(folder)


def test_a_sample_predicted_twice_is_refused(make_run):
    folder = make_run()
    edit(folder / "predictions" / "smic-sub1.csv", lambda table: pd.concat([table, table[:1]]))
    with pytest.raises(PoolError, match=r"0 samples without .* 1 predicted twice \(first: \['smic/sub1/ep0'\]\)"):
        read_pool(folder)


def test_a_half_written_file_is_not_read(make_run):
    folder = make_run()
    (folder / "predictions" / ".smic-sub1.csv").write_text("sample_id,fo")
    (folder / "predictions" / ".smic-sub1.csv.1a2b").write_text("sample_id,fo")
    assert len(read_pool(folder).table) == 24


def test_predictions_of_strange_samples_are_refused(make_run):
    folder = make_run()
    edit(
        folder / "predictions" / "smic-sub1.csv",
        lambda t: pd.concat([t, t[:1].assign(sample_id="elsewhere")]),
    )
    with pytest.raises(PoolError, match=r"1 predictions of samples that manifest.csv does not test \(first: \['else"):
        read_pool(folder)


def set_in_first_row(**values):
    def change(table):
        for column, value in values.items():
            table.loc[0, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fold": "smic-sub2"}, r"smic-sub1\.csv: 1 rows name another fold than 'smic-sub1' .*'smic-sub2'"),
        ({"label": "others"}, r"have a label outside \['negative', .*first: 'smic/sub1/ep0' with 'others'"),
        ({"predicted": "others"}, r"have a predicted outside"),
        ({"p_negative": 0.9, "p_positive": 0.9}, r"1 rows have probabilities that do not sum to 1 .*0\.9"),
        ({"p_negative": np.nan}, r"1 rows have a probability that is no number from 0 to 1"),
        ({"p_negative": 1.5, "p_positive": -0.5, "p_surprise": 0.0}, r"1 rows have a probability that is no number"),
        (
            {"predicted": "negative", "p_negative": 0.2, "p_positive": 0.5, "p_surprise": 0.3},
            r"1 rows are not predicted as their most probable class",
        ),
    ],
)
def test_rows_that_contradict_themselves_are_refused(make_run, values, message):
    folder = make_run()
    edit(folder / "predictions" / "smic-sub1.csv", set_in_first_row(**values))
    with pytest.raises(PoolError, match=message):
        read_pool(folder)


def test_a_manifest_with_a_sample_twice_is_refused(make_run):
    folder = make_run()
    lines = (folder / "manifest.csv").read_text().splitlines(keepends=True)
    (folder / "manifest.csv").write_text("".join([*lines, lines[1]]))
    with pytest.raises(PoolError, match=r"manifest\.csv: 1 samples stand in it twice .*Remove it"):
        read_pool(folder)


def test_a_tie_may_be_either_class(make_run):
    folder = make_run()
    tie = {"predicted": "positive", "p_negative": 0.4, "p_positive": 0.4, "p_surprise": 0.2}
    edit(folder / "predictions" / "smic-sub1.csv", set_in_first_row(**tie))
    assert read_pool(folder).table["predicted"][0] == "positive"


def test_another_label_than_the_manifest_is_refused(make_run):
    folder = make_run()
    label = read_pool(folder).table["label"][0]
    other = next(name for name in CLASSES if name != label)
    edit(folder / "predictions" / "smic-sub1.csv", set_in_first_row(label=other))
    with pytest.raises(PoolError, match=rf"smic-sub1\.csv: 1 rows have another label .*'{other}' instead of '{label}'"):
        read_pool(folder)


def test_another_fold_than_the_manifest_is_refused(make_run):
    folder = make_run()
    edit(folder / "manifest.csv", lambda table: table.assign(fold="all"))
    with pytest.raises(PoolError, match=r"24 rows have another fold than manifest.csv .* instead of 'all'"):
        read_pool(folder)


def test_other_classes_than_the_config_are_refused(make_run):
    folder = make_run()
    edit(
        folder / "predictions" / "smic-sub1.csv",
        lambda table: table.rename(columns={"p_positive": "p_happy"}),
    )
    with pytest.raises(PoolError, match=r"expected the columns .*'p_positive'.* found .*'p_happy'"):
        read_pool(folder)


def test_a_fold_of_another_selection_rule_is_refused(make_run):
    folder = make_run()
    file = folder / "predictions" / "smic-sub1.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"selection": "oracle_test"}))
    with pytest.raises(PoolError, match="selection is 'oracle_test', expected 'last'; the file is of another run"):
        read_pool(folder)


@pytest.mark.parametrize("name", ["config.yaml", "manifest.csv", "run.json", "predictions/smic-sub1.json"])
def test_a_missing_file_is_named(make_run, name):
    folder = make_run()
    (folder / name).unlink()
    with pytest.raises(PoolError, match=re.escape(f"{folder / name}: not found")):
        read_pool(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{}", r"run\.json: expected whether the data is synthetic, found {}; .*Remove it"),
        ("run.json", "[]", r"run\.json: expected whether the data is synthetic, found \[\]"),
        (
            "predictions/smic-sub1.json",
            "[1]",
            r"found \[1\]; the file is damaged\. Remove predictions/smic-sub1\.\* and",
        ),
        ("predictions/smic-sub1.json", '{"fo', r"cannot be read .*Remove predictions/smic-sub1\.\* and"),
        ("predictions/smic-sub1.json", None, r"not found\. Remove predictions/smic-sub1\.\* and run the same command"),
        ("config.yaml", "[1]", r"config\.yaml: expected model_name"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_remove(make_run, name, content, message):
    file = make_run() / name
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(PoolError, match=message):
        read_pool(file.parents[name.count("/")])


def test_a_seed_that_is_no_number_is_named(make_run):
    file = make_run() / "config.yaml"
    file.write_text(file.read_text().replace("seed: 0", "seed: abc"))
    with pytest.raises(PoolError, match=r"config\.yaml: seed is 'abc', expected a whole number"):
        read_pool(file.parent)


def test_folders_in_the_place_of_files_and_files_in_that_of_folders(make_run):
    folder = make_run()
    with pytest.raises(PoolError, match=r"run\.json is a file; give the folder of a run"):
        read_pool(folder / "run.json")
    (folder / "predictions" / "smic-sub1.csv").unlink()
    (folder / "predictions" / "smic-sub1.csv").mkdir()
    with pytest.raises(PoolError, match=r"smic-sub1\.csv: cannot be read \(Is a directory\)\. Remove it"):
        read_pool(folder)


def test_a_config_without_classes_says_what_is_missing(make_run):
    folder = make_run()
    (folder / "config.yaml").write_text("seed: 0\ndata: {name: x}\n")
    with pytest.raises(PoolError, match=r"missing: 'classes'\. Is this the config of a run"):
        read_pool(folder)


def test_a_manifest_that_tests_nothing_is_refused(make_run):
    folder = make_run()
    edit(folder / "manifest.csv", lambda table: table.assign(fold=""))
    for file in (folder / "predictions").iterdir():
        file.unlink()
    with pytest.raises(PoolError, match="no row has a fold, so there is nothing to score"):
        read_pool(folder)


def test_validation_rows_may_not_be_test_rows(make_run):
    folder = make_run(images(), protocol="holdout")
    (folder / "validation" / "holdout.csv").write_bytes((folder / "predictions" / "holdout.csv").read_bytes())
    with pytest.raises(PoolError, match=r"validation.holdout\.csv: 20 rows are test samples of this fold"):
        read_pool(folder)


class TestOracleEpochs:
    def change(self, folder, **arrays):
        file = folder / "epochs" / "smic-sub1.npz"
        with np.load(file) as stored:
            np.savez(file, **(dict(stored) | arrays))

    def test_all_epochs_are_read(self, make_run):
        epochs = read_epochs(read_pool(make_run(selection="oracle_test")))
        assert len(epochs) == 8
        assert epochs["smic-sub1"].probabilities.shape == (5, 3, 3)

    def test_predictions_of_another_epoch_are_refused(self, make_run):
        folder = make_run(selection="oracle_test")
        file = folder / "predictions" / "smic-sub1.json"
        chosen = json.loads(file.read_text())["epoch"]
        file.write_text(json.dumps(json.loads(file.read_text()) | {"epoch": chosen % 5 + 1}))
        with pytest.raises(PoolError, match=rf"most hits is {chosen}, but .* names epoch {chosen % 5 + 1}"):
            read_epochs(read_pool(folder))

    def test_predictions_of_another_training_are_refused(self, make_run):
        folder = make_run(selection="oracle_test")
        labels = composite().set_index("sample_id")["label"]
        target = [CLASSES.index(labels[s]) for s in ("smic/sub1/ep0", "smic/sub1/ep1", "smic/sub1/ep2")]
        chosen = json.loads((folder / "predictions" / "smic-sub1.json").read_text())["epoch"]
        other = np.full((5, 3, 3), 1 / 3, dtype=np.float32)
        other[chosen - 1] = np.eye(3)[target]
        self.change(folder, probabilities=other)
        with pytest.raises(PoolError, match=r"differ from predictions/smic-sub1\.csv by up to 0\.\d+"):
            read_epochs(read_pool(folder))

    def test_other_samples_are_refused(self, make_run):
        folder = make_run(selection="oracle_test")
        self.change(folder, sample_id=np.array(["a", "b", "c"]))
        with pytest.raises(PoolError, match=r"expected probabilities \(5, 3, 3\) of the 3 samples"):
            read_epochs(read_pool(folder))

    def test_a_missing_or_broken_file_says_what_to_do(self, make_run):
        folder = make_run(selection="oracle_test")
        file = folder / "epochs" / "smic-sub1.npz"
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(PoolError, match=r"smic-sub1\.npz: expected the arrays .* Remove predictions/smic-sub1"):
            read_epochs(read_pool(folder))
        file.unlink()
        with pytest.raises(PoolError, match=r"smic-sub1\.npz: not found, but selection=oracle_test records all"):
            read_epochs(read_pool(folder))
