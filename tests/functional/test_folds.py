"""What the protocols promise: everybody is tested once, and nobody is tested who was trained on."""

from pathlib import Path

import pandas as pd
import pytest

from fer_lightning.datasets.ckplus import read_folds
from fer_lightning.errors import ConfigError, LeakError
from fer_lightning.functional.folds import (
    Fold,
    by_column,
    check_disjoint,
    holdout,
    kfold_by_group,
    leave_one_subject_out,
)


def manifest_of(groups: list[str], labels: list[str] | None = None, split: str = "") -> pd.DataFrame:
    count = len(groups)
    return pd.DataFrame(
        {
            "sample_id": [f"{group or 'fer2013'}/{i:05d}" for i, group in enumerate(groups)],
            "group": groups,
            "label": labels or [["happy", "sad", "angry"][i % 3] for i in range(count)],
            "split": split,
        }
    )


@pytest.fixture
def people() -> pd.DataFrame:
    """12 people of two data sets with the same numbers, 1 to 7 samples each."""
    groups = [f"{name}/sub{n}" for name in ("smic", "casme2") for n in (1, 2, 3, 10, 11, 12)]
    return manifest_of([group for i, group in enumerate(groups) for _ in range(1 + (5 * i) % 7)])


@pytest.fixture
def megc2019(fer_raw: Path) -> pd.DataFrame:
    table = fer_raw / "megc2019" / "combined_3class_gt.csv"
    if not table.is_file():
        pytest.skip(f"no {table}")
    rows = pd.read_csv(table, header=None, names=["dataset", "subject", "clip", "label"], dtype=str)
    rows["group"] = rows["dataset"] + "/" + rows["subject"]
    rows["sample_id"] = rows["group"] + "/" + rows["clip"]
    return rows.assign(split="")


def assert_a_partition_of_people(folds: list[Fold], manifest: pd.DataFrame) -> None:
    assert sorted(s for fold in folds for s in fold.test) == sorted(manifest["sample_id"])
    group_of = dict(zip(manifest["sample_id"], manifest["group"], strict=True))
    for fold in folds:
        parts = [fold.train, fold.val, fold.test]
        assert len(set().union(*parts)) == sum(map(len, parts)) == len(manifest)
        groups = [{group_of[s] for s in part} for part in parts]
        assert len(set().union(*groups)) == sum(map(len, groups))


@pytest.mark.parametrize("inner_val", [0.0, 0.1, 0.25])
def test_loso_tests_every_sample_once_and_trains_on_no_tested_person(people, inner_val):
    folds = leave_one_subject_out(people, inner_val)
    assert len(folds) == 12
    assert_a_partition_of_people(folds, people)
    assert all(bool(fold.val) == bool(inner_val) for fold in folds)


def test_loso_names_and_natural_order(people):
    names = [fold.name for fold in leave_one_subject_out(people)]
    assert names[:6] == [f"casme2-sub{n}" for n in (1, 2, 3, 10, 11, 12)]
    assert names[6:] == [f"smic-sub{n}" for n in (1, 2, 3, 10, 11, 12)]


def test_same_subject_number_in_two_datasets_is_two_people():
    folds = leave_one_subject_out(manifest_of(["smic/01", "casme2/01"]))
    assert [fold.name for fold in folds] == ["casme2-01", "smic-01"]


def test_inner_validation_is_seeded_and_about_as_large_as_asked(people):
    first, second = leave_one_subject_out(people, 0.2, seed=1), leave_one_subject_out(people, 0.2, seed=1)
    assert first == second != leave_one_subject_out(people, 0.2, seed=2)
    shares = [len(fold.val) / (len(fold.val) + len(fold.train)) for fold in first]
    assert min(shares) >= 0.1
    assert max(shares) <= 0.4


def test_inner_validation_of_a_fold_does_not_depend_on_the_other_folds(people):
    whole = {fold.name: fold for fold in leave_one_subject_out(people, 0.2)}
    shuffled = people.sample(frac=1, random_state=0)
    for fold in leave_one_subject_out(shuffled, 0.2):
        assert set(fold.val) == set(whole[fold.name].val)


def test_inner_validation_has_every_class_and_leaves_every_class():
    # "angry" has two people only: one must validate, one must train
    groups = [f"d/{i}" for i in range(10) for _ in range(2)]
    labels = [label for i in range(10) for label in (("angry", "sad") if i in (3, 7) else ("happy", "sad"))]
    manifest = manifest_of(groups, labels)
    label_of = dict(zip(manifest["sample_id"], manifest["label"], strict=True))
    for fold in leave_one_subject_out(manifest, 0.15, seed=5):
        expected = {"happy", "sad"} if fold.name in ("d-3", "d-7") else {"angry", "happy", "sad"}
        assert expected <= {label_of[s] for s in fold.train}
        assert {label_of[s] for s in fold.val} == expected


def test_a_single_person_with_a_class_stays_in_training():
    groups = [f"d/{i}" for i in range(8)]
    manifest = manifest_of(groups, ["fear"] + ["happy"] * 7)
    for seed in range(10):
        for fold in leave_one_subject_out(manifest, 0.3, seed)[1:]:
            assert "d/0/00000" in fold.train


def test_where_each_person_is_the_only_one_of_a_class_one_still_validates():
    fold = leave_one_subject_out(manifest_of(["d/0", "d/1", "d/2"]), 0.5)[0]
    assert len(fold.val) == len(fold.train) == 1


def test_kfold_tests_every_sample_once_and_balances(people):
    folds = kfold_by_group(people, k=4, seed=0, inner_val=0.2)
    assert [fold.name for fold in folds] == ["fold0", "fold1", "fold2", "fold3"]
    assert_a_partition_of_people(folds, people)
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 3
    assert folds == kfold_by_group(people, k=4, seed=0, inner_val=0.2) != kfold_by_group(people, k=4, seed=1)


def test_kfold_with_as_many_folds_as_people_is_loso(people):
    singles = {fold.test for fold in kfold_by_group(people, k=12)}
    assert singles == {fold.test for fold in leave_one_subject_out(people)}


@pytest.mark.parametrize("k", [1, 13])
def test_kfold_refuses_a_k_that_does_not_fit(people, k):
    with pytest.raises(ValueError, match=rf"k={k} is not in 2\.\.12, the number of groups"):
        kfold_by_group(people, k=k)


def test_published_folds_are_taken_from_a_column(people):
    number = people["group"].map({group: 1 + i % 3 for i, group in enumerate(people["group"].unique())})
    manifest = people.assign(published_fold=number.map({1: "1", 2: "2", 3: "10"}))
    folds = by_column(manifest, inner_val=0.2, seed=1)
    assert [fold.name for fold in folds] == ["fold1", "fold2", "fold10"]
    assert [fold.test for fold in folds] == [tuple(people["sample_id"][number == n]) for n in (1, 2, 3)]
    assert_a_partition_of_people(folds, people)
    assert all(fold.val for fold in folds)
    assert folds == by_column(manifest, inner_val=0.2, seed=1) != by_column(manifest, inner_val=0.2, seed=2)
    numbered = by_column(manifest.assign(mine=number.astype("Int64")), column="mine")
    assert [fold.test for fold in numbered] == [fold.test for fold in folds]


def test_published_folds_that_are_missing_or_tear_a_person_are_refused(people):
    with pytest.raises(ValueError, match=r"needs a column 'published_fold', the manifest has \['sample_id'"):
        by_column(people)
    some = people.assign(published_fold=["", "1", *["2"] * (len(people) - 2)])
    with pytest.raises(ValueError, match=rf"but 1 of {len(people)} rows have none \(first: 'smic/sub1/00000'\)"):
        by_column(some)
    with pytest.raises(ValueError, match=rf"but 2 of {len(people)} rows have none"):
        by_column(people.assign(mine=pd.array([None, None, *[2] * (len(people) - 2)], dtype="Int64")), column="mine")
    with pytest.raises(ValueError, match=r"at least 2 folds, found \['1'\] in column 'published_fold'"):
        by_column(people.assign(published_fold="1"))
    torn = manifest_of(["d/1", "d/2", "d/1"]).assign(published_fold=["1", "2", "2"])
    with pytest.raises(LeakError, match="fold fold1: group 'd/1' stands in train and test; 1 such groups"):
        by_column(torn)


def test_the_published_folds_of_ckplus(fer_raw):
    file = fer_raw / "ckplus" / "CK+_10-fold_sample_IDascendorder_step10.txt"
    if not file.is_file():
        pytest.skip(f"no {file}")
    rows = read_folds(file)
    manifest = rows.assign(sample_id=rows["sequence"], group=rows["subject"], published_fold=rows["fold"])
    folds = by_column(manifest)
    assert_a_partition_of_people(folds, manifest)
    assert [fold.name for fold in folds] == [f"fold{number}" for number in range(1, 11)]


def test_holdout_follows_the_split_column():
    manifest = manifest_of([""] * 6).assign(split=["train", "test", "train", "val", "train", "val"])
    ids = manifest["sample_id"].tolist()
    assert holdout(manifest) == [Fold("holdout", tuple(ids[:5:2]), (ids[3], ids[5]), (ids[1],))]


def test_holdout_keeps_the_validation_rows_of_the_dataset():
    manifest = manifest_of([""] * 6).assign(split=["train", "test", "train", "val", "train", "val"])
    assert holdout(manifest, inner_val=0.5) == holdout(manifest)


def test_holdout_without_validation_rows_carves_some_from_training():
    manifest = manifest_of([""] * 72).assign(split=["train"] * 60 + ["test"] * 12)
    assert holdout(manifest)[0].val == ()
    fold = holdout(manifest, inner_val=0.2, seed=3)[0]
    assert manifest.set_index("sample_id").loc[list(fold.val), "label"].value_counts().tolist() == [4, 4, 4]
    assert len(fold.train) == 48
    assert set(fold.test) == set(manifest["sample_id"][60:])


def test_holdout_without_a_split_names_the_protocol_to_use(people):
    with pytest.raises(ValueError, match=rf"but {len(people)} rows have none .*'smic/sub1/00000'.*use protocol=loso"):
        holdout(people)


def test_holdout_without_test_rows_is_refused():
    with pytest.raises(ValueError, match=r"needs train and test rows, found \{'train': 3, 'val': 0, 'test': 0\}"):
        holdout(manifest_of([""] * 3, split="train"))


def test_holdout_refuses_a_person_on_both_sides():
    manifest = manifest_of(["d/1", "d/2", "d/1"]).assign(split=["train", "train", "test"])
    with pytest.raises(LeakError, match="fold holdout: group 'd/1' stands in train and test; 1 such groups"):
        holdout(manifest)


def test_subjectless_rows_are_refused():
    manifest = manifest_of([""] * 35887, split="train")
    expected = "leave_one_subject_out needs a subject for every sample, but 35887 rows have none (first: "
    with pytest.raises(ValueError) as caught:
        leave_one_subject_out(manifest)
    assert str(caught.value) == expected + "'fer2013/00000'); use protocol=holdout for this dataset"


@pytest.mark.parametrize("split", [[""] * 3, ["train", "test", ""]])
@pytest.mark.parametrize("protocol", [leave_one_subject_out, kfold_by_group])
def test_holdout_is_not_advised_where_it_would_refuse_too(protocol, split):
    manifest = manifest_of(["d/1", "d/2", ""]).assign(split=split)
    with pytest.raises(ConfigError) as caught:
        protocol(manifest)
    assert "needs a subject for every sample, but 1 rows have none (first: 'fer2013/00002')" in str(caught.value)
    assert str(caught.value).endswith("say in the data who is seen; protocol=holdout would need a split for every row")


def test_holdout_advises_folds_of_people_only_where_people_are_known(people):
    with pytest.raises(ConfigError, match=r"12 rows have none .*; give every row a split$"):
        holdout(manifest_of([""] * 12))
    with pytest.raises(ConfigError, match=r"use protocol=loso \(leave one subject out\) or protocol=kfold"):
        holdout(people)


def test_one_person_cannot_be_left_out():
    with pytest.raises(ValueError, match=r"needs at least 2 groups, found \['d/1'\]"):
        leave_one_subject_out(manifest_of(["d/1", "d/1"]))


def test_inner_validation_needs_two_training_people():
    with pytest.raises(ValueError, match=r"fold d-1: inner_val=0\.2 needs at least 2 training groups, found 1"):
        leave_one_subject_out(manifest_of(["d/1", "d/2"]), 0.2)


@pytest.mark.parametrize("share", [1.0, -0.1, 20])
def test_inner_validation_is_a_share(people, share):
    with pytest.raises(ValueError, match="must be a share between 0 and 1"):
        leave_one_subject_out(people, share)


def test_two_people_with_the_same_file_name_are_refused():
    with pytest.raises(ValueError, match="'a-b/c' and 'a/b-c' would both be fold 'a-b-c'"):
        leave_one_subject_out(manifest_of(["a/b-c", "a-b/c"]))


def test_check_disjoint_names_the_shared_sample():
    manifest = manifest_of([""] * 3)
    first, second, third = manifest["sample_id"]
    with pytest.raises(LeakError, match="fold f: sample 'fer2013/00001' stands in val and test; 1 such samples"):
        check_disjoint(Fold("f", (first,), (second,), (second, third)), manifest)
    with pytest.raises(LeakError, match="'fer2013/00000' stands in train and train"):
        check_disjoint(Fold("f", (first, first), (), (second,)), manifest)


def test_check_disjoint_names_the_shared_person():
    manifest = manifest_of(["d/1", "d/1", "d/2"])
    first, second, third = manifest["sample_id"]
    with pytest.raises(LeakError, match="group 'd/1' stands in train and val; 1 such groups"):
        check_disjoint(Fold("f", (first,), (second,), (third,)), manifest)
    check_disjoint(Fold("f", (first, second), (), (third,)), manifest)


def test_check_disjoint_refuses_the_fold_of_another_manifest():
    with pytest.raises(ValueError, match=r"fold f: 1 samples are not in the manifest \(first: 'elsewhere'\)"):
        check_disjoint(Fold("f", (), (), ("elsewhere",)), manifest_of([""]))


def test_megc2019_has_68_folds(megc2019):
    folds = leave_one_subject_out(megc2019, inner_val=0.1)
    assert len(folds) == 68
    assert_a_partition_of_people(folds, megc2019)
    label_of = dict(zip(megc2019["sample_id"], megc2019["label"], strict=True))
    sizes = [len(fold.test) for fold in folds]
    assert (sum(sizes), min(sizes), max(sizes)) == (442, 1, 39)
    assert sum(len({label_of[s] for s in fold.test}) == 3 for fold in folds) == 16
    assert all({label_of[s] for s in part} == {"0", "1", "2"} for fold in folds for part in (fold.train, fold.val))
    assert all(0.07 < len(fold.val) / len(fold.train + fold.val) < 0.14 for fold in folds)
    balanced = kfold_by_group(megc2019, k=5)
    assert_a_partition_of_people(balanced, megc2019)
    assert all(80 <= len(fold.test) <= 96 for fold in balanced)
