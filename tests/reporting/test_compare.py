"""Two runs compared: counts by hand, refusals, and the two committed trainings."""

import pandas as pd
import pytest

from fer_lightning import compare as command
from fer_lightning.errors import PoolError
from fer_lightning.functional.metrics import uar
from fer_lightning.functional.paired import mcnemar
from fer_lightning.reporting.compare import compare, confusion
from fer_lightning.reporting.pool import read_pool
from tests.reporting.conftest import composite, images
from tests.reporting.test_ensemble import refold
from tests.runs import HOUSE

MEGC2019 = HOUSE / "experiments" / "ststnet-megc2019"


def test_differences_and_hits_by_a_second_count(make_run):
    first, second = (read_pool(make_run(name=name, skill=skill)) for name, skill in (("a", 0.6), ("b", 0.2)))
    found = compare(first, second, ("a", "b"))
    both = first.table.merge(second.table, on="sample_id")
    table = pd.crosstab(both["predicted_x"] == both["label_x"], both["predicted_y"] == both["label_y"])
    assert found["only_first_right"] == table.loc[True, False] > 0
    assert found["only_second_right"] == table.loc[False, True]
    assert found["mcnemar_p"] == mcnemar(int(table.loc[True, False]), int(table.loc[False, True]))
    expected = uar(confusion(first.table, first.classes)) - uar(confusion(second.table, second.classes))
    assert found["uar"]["difference"] == pytest.approx(expected)
    assert found["units"] == "8 groups"


def test_the_other_way_round_the_sign_changes_and_p_stays(make_run):
    pools = [read_pool(make_run(name=name, skill=skill)) for name, skill in (("a", 0.6), ("b", 0.2))]
    there, back = compare(*pools, ("a", "b")), compare(*pools[::-1], ("b", "a"))
    for name in ("accuracy", "uf1", "uar"):
        assert there[name]["difference"] == -back[name]["difference"]
        assert there[name]["permutation_p"] == pytest.approx(back[name]["permutation_p"], abs=0.02)
    assert there["mcnemar_p"] == back["mcnemar_p"]


def test_samples_without_people_are_drawn_one_by_one(make_run):
    folders = [make_run(images(), "holdout", name=name, skill=skill) for name, skill in (("a", 0.6), ("b", 0.2))]
    found = compare(*map(read_pool, folders), ("a", "b"))
    assert found["units"] == "20 samples"
    assert "as independent" not in found["method"]


def test_one_group_leaves_no_interval(make_run):
    folders = [make_run(images(), "holdout", name=name, skill=skill) for name, skill in (("a", 0.6), ("b", 0.2))]
    for folder in folders:
        table = pd.read_csv(folder / "manifest.csv", keep_default_na=False)
        table.assign(group="one").to_csv(folder / "manifest.csv", index=False)
    found = compare(*map(read_pool, folders), ("a", "b"))
    assert found["uf1"]["ci95"] is found["uf1"]["bootstrap_p"] is None
    assert found["uf1"]["permutation_p"] == 1.0, "one group can only be swapped or not: both are as extreme"
    assert command.main([str(folder) for folder in folders]) == 0


def test_other_samples_are_refused(make_run):
    pools = [read_pool(make_run(images(n), "holdout", name=str(n))) for n in (60, 66)]
    with pytest.raises(
        PoolError, match=r"66 and 60 have different tested samples: 0 are not in 66 .* 2 are only in 66"
    ):
        compare(*pools, ("60", "66"))


def test_the_leak_of_the_oracle_is_no_chance():
    """The committed trainings of STSTNet: what looking at the test is worth, on 68 people."""
    last, oracle = (read_pool(MEGC2019 / name) for name in ("last-seed0", "oracle_test-seed0"))
    found = compare(oracle, last, ("oracle", "last"))
    assert found["samples"] == 442
    assert found["units"] == "68 groups"
    assert found["uf1"]["difference"] == pytest.approx(0.7645 - 0.7021, abs=1e-4)
    assert found["uf1"]["ci95"][0] > 0
    assert found["uf1"]["permutation_p"] < 0.01


def test_the_command_marks_what_leaks(make_run, capsys):
    folders = [make_run(composite()[:12], name="a"), make_run(composite()[:12], name="b", selection="oracle_test")]
    assert command.main([str(folder) for folder in folders]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "b † ststnet" in printed
    assert "† Scored at the epoch that was best on the test samples" in printed


def notes_of(capsys, *folders) -> str:
    assert command.main([str(folder) for folder in folders]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_the_command_says_that_runs_have_other_folds(make_run, capsys):
    folders = [make_run(composite()[:12], name=name, skill=skill) for name, skill in (("a", 0.6), ("b", 0.2))]
    said = "b tested the samples in other folds than a (1 fold, a: 4 folds), so both were trained on different samples"
    assert "folds than" not in notes_of(capsys, *folders)
    refold(folders[1], "all")
    assert said in notes_of(capsys, *folders)
    assert "a tested the samples in other folds than b (4 folds, b: 1 fold)" in notes_of(capsys, *folders[::-1])


def test_folds_of_other_names_are_no_other_folds(make_run, capsys):
    folders = [make_run(composite()[:12], name=name, skill=skill) for name, skill in (("a", 0.6), ("b", 0.2))]
    for folder, fold in zip(folders, ("all", "every"), strict=True):
        refold(folder, fold)
    assert "folds than" not in notes_of(capsys, *folders)


def test_the_command_says_that_a_run_is_compared_with_itself(make_run, capsys):
    a, b, copy = (make_run(composite()[:12], name=n, skill=skill) for n, skill in (("a", 0.6), ("b", 0.2), ("c", 0.6)))
    assert "compared with itself" not in notes_of(capsys, a, b)
    assert "a is compared with itself: there can be no difference" in notes_of(capsys, a, b, a)
    found = notes_of(capsys, a, copy)
    assert "c has the same predictions as a: there can be no difference" in found
    assert "itself" not in found


def test_the_command_refuses_with_2(make_run, capsys):
    folder = make_run()
    assert command.main([str(folder)]) == 2
    assert "a comparison needs at least 2 runs, found 1" in capsys.readouterr().err
    (folder / "run.json").unlink()
    assert command.main([str(folder), str(folder)]) == 2
    assert "run.json: not found" in capsys.readouterr().err
