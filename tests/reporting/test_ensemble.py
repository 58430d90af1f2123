"""Ensembles of run folders: what is written can be scored like a run, and what does not fit is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import f1_score

from fer_lightning import ensemble, score
from fer_lightning.errors import ConfigError, PoolError
from fer_lightning.functional.mixing import RULES
from fer_lightning.reporting.ensemble import fold_weights, write_ensemble
from fer_lightning.reporting.members import VIEWS, find, member_names, read_members
from fer_lightning.reporting.pool import read_pool
from fer_lightning.reporting.scores import write_scores
from tests.reporting.conftest import CLASSES, composite, guesses, images, predictions, write
from tests.runs import HOUSE

FER2013 = HOUSE / "experiments" / "arch1-fer2013" / "inner_val-seed0"
MEGC2019 = HOUSE / "experiments" / "ststnet-megc2019"
P = [f"p_{name}" for name in CLASSES]


def edit(file: Path, change: Callable) -> None:
    write(change(pd.read_csv(file, dtype={"sample_id": str}, keep_default_na=False)), file)


def content(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def mixed_table(out: Path) -> pd.DataFrame:
    return read_pool(out).table.set_index("sample_id")


def certain(table: pd.DataFrame, right: bool = True) -> pd.DataFrame:
    """The same rows with probability 1 for the true class, or for the next one."""
    following = dict(zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True))
    names = table["label"] if right else table["label"].map(following)
    return table.assign(predicted=names, **{f"p_{name}": (names == name).astype(float) for name in CLASSES})


def add_validation(folder: Path, seed: int) -> None:
    """Validation predictions in each fold of a run over people: those of the person before the tested one."""
    manifest = pd.read_csv(folder / "manifest.csv", keep_default_na=False)
    folds = list(manifest["fold"].unique())
    for place, fold in enumerate(folds):
        rows = manifest[manifest["fold"] == folds[place - 1]]
        values = guesses(rows["label"].to_numpy(), np.random.default_rng([seed, place]), 0.4)
        write(
            predictions(tuple(rows["sample_id"]), fold, rows["label"].to_numpy(), values),
            folder / f"validation/{fold}.csv",
        )


@pytest.fixture
def three(make_run) -> list[Path]:
    """Three runs over 4 people."""
    return [make_run(composite()[:12], skill=skill, name=name) for name, skill in (("a", 0.3), ("b", 0.5), ("c", 0.7))]


@pytest.fixture
def split(make_run) -> list[Path]:
    """Two runs with validation samples, on a published split; the second is much better."""
    return [make_run(images(), "holdout", "inner_val", skill, name=name) for name, skill in (("a", 0.1), ("b", 1.5))]


def test_the_mean_of_three_runs_is_the_mean_of_their_files(three, tmp_path):
    out, report = write_ensemble(three, "mean", tmp_path)
    tables = [read_pool(folder).table.set_index("sample_id")[P] for folder in three]
    expected = sum(tables) / 3
    found = mixed_table(out)
    assert found[P].to_numpy() == pytest.approx(expected.loc[found.index].to_numpy(), abs=1e-8)
    assert (found["predicted"] == np.array(CLASSES)[found[P].to_numpy().argmax(axis=1)]).all()
    assert report["ensemble"]["uf1"] == pytest.approx(f1_score(found["label"], found["predicted"], average="macro"))
    assert report["minus_best"]["uf1"]["difference"] == pytest.approx(
        report["ensemble"]["uf1"] - max(member["uf1"] for member in report["members"])
    )
    assert "over 4 groups" in report["minus_best"]["method"]
    assert "go by the permutation test over groups" in report["minus_best"]["method"]


@pytest.mark.parametrize("rule", ["mean", "logmean", "vote", "weights"])
def test_scores_are_rebuilt_byte_for_byte_and_a_second_go_changes_nothing(rule, split, tmp_path):
    out, _ = write_ensemble(split, rule, tmp_path)
    before = content(out)
    (out / "scores.json").unlink()
    assert score.main([str(out)]) == 0
    assert content(out) == before
    assert write_ensemble(split[::-1], rule, tmp_path)[0] == out, "the order of the members is no part of it"
    assert content(out) == before


def test_the_folder_depends_on_members_and_rule_alone(split, tmp_path):
    folders = [write_ensemble(split, rule, tmp_path)[0] for rule in ("mean", "vote")]
    folders.append(write_ensemble([*split, split[0]], "mean", tmp_path)[0])
    assert len(set(folders)) == 3
    assert {folder.parent for folder in folders} == {tmp_path / "ensembles"}
    edit(split[0] / "predictions/holdout.csv", certain)
    assert write_ensemble(split, "mean", tmp_path)[0] != folders[0]


def test_real_predictions_mixed_with_themselves_are_themselves(tmp_path):
    out, report = write_ensemble([FER2013, FER2013], "weights", tmp_path)
    assert report["weights"] == {"holdout": [0.5, 0.5]}
    assert (mixed_table(out)["predicted"] == mixed_table(FER2013)["predicted"]).all()
    minus = report["minus_best"]
    assert (minus["samples"], minus["only_first_right"], minus["only_second_right"], minus["mcnemar_p"]) == (
        3589,
        0,
        0,
        1,
    )
    for name in ("accuracy", "uf1", "uar"):
        assert minus[name] == {"difference": 0.0, "ci95": [0.0, 0.0], "bootstrap_p": 1.0, "permutation_p": 1.0}
    ours, theirs = (json.loads((folder / "scores.json").read_text()) for folder in (out, FER2013))
    assert [ours[key] for key in ("confusion", "uf1", "uf1_ci95")] == [
        theirs[key] for key in ("confusion", "uf1", "uf1_ci95")
    ]
    assert any("has the same predictions as" in note for note in report["notes"])
    assert report["best_chosen_by"].startswith("validation UF1 (0.4667")


def test_weights_are_those_of_the_validation_and_never_see_the_test(split, tmp_path):
    # On the validation samples `a` is perfect and `b` always wrong; on the test `b` is the better one.
    for folder, right in zip(split, (True, False), strict=True):
        edit(folder / "validation/holdout.csv", lambda table, right=right: certain(table, right))
    out, report = write_ensemble(split, "weights", tmp_path)
    assert report["weights"] == {"holdout": [1.0, 0.0]}
    assert (mixed_table(out)[P] == mixed_table(split[0])[P]).all(axis=None)
    assert report["members"][1]["uf1"] > report["members"][0]["uf1"]
    assert report["best"] == "a", "chosen on validation, though b is better on the test"
    facts = json.loads((out / "predictions/holdout.json").read_text())
    assert facts["weights"] == [1.0, 0.0]


def test_weights_do_not_move_when_test_predictions_do(split, tmp_path):
    before = write_ensemble(split, "weights", tmp_path)[1]["weights"]
    edit(split[0] / "predictions/holdout.csv", certain)
    assert write_ensemble(split, "weights", tmp_path)[1]["weights"] == before


def test_each_fold_has_weights_of_its_own_validation_files(three, tmp_path):
    for seed, folder in enumerate(three):
        add_validation(folder, seed)
    before = fold_weights(read_members(three))
    assert len(before) == 4
    edit(three[before["smic-sub1"].argmin()] / "validation/smic-sub1.csv", certain)
    report = write_ensemble(three, "weights", tmp_path)[1]
    assert [fold for fold in before if report["weights"][fold] != before[fold].tolist()] == ["smic-sub1"]
    assert any("12 of the 12 validation samples of all members are tested samples too" in n for n in report["notes"])


def test_weights_need_the_same_validation_samples(split, tmp_path):
    edit(split[1] / "validation/holdout.csv", lambda table: table[2:])
    with pytest.raises(PoolError, match=r"b and a have different validation .* 2 are not in b .* depend on the seed"):
        write_ensemble(split, "weights", tmp_path)
    report = write_ensemble(split, "mean", tmp_path)[1]
    assert report["best_chosen_by"].startswith(
        "test UF1 (this flatters that member, so the tests against it are conserv"
    )
    assert "2 are not in b" in report["best_chosen_by"]


def test_weights_need_validation_files(three, tmp_path):
    with pytest.raises(ConfigError, match="a has no validation predictions"):
        write_ensemble(three, "weights", tmp_path)
    for seed, folder in enumerate(three):
        add_validation(folder, seed)
    (three[1] / "validation/smic-sub2.csv").unlink()
    with pytest.raises(ConfigError, match=r"b has no validation predictions of 1 folds \(first: smic-sub2\)"):
        write_ensemble(three, "weights", tmp_path)


def test_a_validation_sample_that_is_tested_in_its_fold_is_refused(split, tmp_path):
    tested = pd.read_csv(split[0] / "predictions/holdout.csv")[:1]
    edit(split[0] / "validation/holdout.csv", lambda table: pd.concat([table, tested]))
    with pytest.raises(PoolError, match="1 rows are test samples of this fold"):
        write_ensemble(split, "weights", tmp_path)


def refold(folder: Path, name: str) -> None:
    """The same predictions as those of one fold."""
    edit(folder / "manifest.csv", lambda table: table.assign(fold=name))
    files = sorted((folder / "predictions").glob("*.csv"))
    table = pd.concat([pd.read_csv(file, keep_default_na=False) for file in files]).assign(fold=name)
    facts = json.loads(files[0].with_suffix(".json").read_text()) | {"fold": name}
    shutil.rmtree(folder / "predictions")
    write(table, folder / f"predictions/{name}.csv")
    (folder / f"predictions/{name}.json").write_text(json.dumps(facts))


def test_members_may_have_tested_the_samples_in_other_folds_unless_weights_are_wanted(three, tmp_path):
    tables = [mixed_table(folder) for folder in three[:2]]
    add_validation(three[0], 0)
    refold(three[1], "fold0")
    shutil.copytree(three[0] / "validation", three[1] / "validation")
    out, report = write_ensemble(three[:2], "mean", tmp_path)
    found = mixed_table(out)
    expected = (tables[0][P] + tables[1][P]) / 2
    assert found[P].to_numpy() == pytest.approx(expected.loc[found.index].to_numpy(), abs=1e-8)
    assert any("in different folds; the files are named after those of a" in note for note in report["notes"])
    message = r"b tests 12 samples in other folds than a \(first: 'smic/sub1/ep0', in fold0 and smic-sub1\)"
    with pytest.raises(ConfigError, match=message):
        write_ensemble(three[:2], "weights", tmp_path)


def test_other_samples_are_refused(three, tmp_path):
    edit(three[1] / "manifest.csv", lambda table: table[table["fold"] != "smic-sub1"])
    for suffix in ("csv", "json"):
        (three[1] / f"predictions/smic-sub1.{suffix}").unlink()
    message = r"b and a have different tested samples: 3 are not in b \(first: \['smic/sub1/ep0'"
    with pytest.raises(PoolError, match=message):
        write_ensemble(three, "mean", tmp_path)


def test_an_incomplete_member_is_refused(three, tmp_path):
    (three[1] / "predictions/smic-sub1.csv").unlink()
    with pytest.raises(PoolError, match="3 samples without a prediction"):
        write_ensemble(three, "mean", tmp_path)
    assert not (tmp_path / "ensembles").exists()


@pytest.mark.parametrize("column", ["label", "group"])
def test_other_labels_or_groups_are_refused(column, three, tmp_path):
    first = {"label": "surprise", "group": "smic/sub99"}[column]
    edit(
        three[2] / "manifest.csv",
        lambda t: t.assign(**{column: t[column].where(t["sample_id"] != "smic/sub1/ep0", first)}),
    )
    if column == "label":
        edit(
            three[2] / "predictions/smic-sub1.csv",
            lambda t: t.assign(label=t["label"].where(t["sample_id"] != "smic/sub1/ep0", first)),
        )
    with pytest.raises(
        PoolError, match=rf"c and a disagree on the {column} of 1 tested samples \(first: 'smic/sub1/ep0'"
    ):
        write_ensemble(three, "mean", tmp_path)


def test_other_classes_are_refused(tmp_path):
    with pytest.raises(PoolError, match=r"last-seed0 predicts the classes \['negative'.* with the same classes"):
        write_ensemble([FER2013, MEGC2019 / "last-seed0"], "mean", tmp_path)


def test_a_run_of_values_is_refused(make_run, tmp_path):
    folders = [make_run(name="a"), make_run(name="b")]
    for folder in folders:
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["data"]["targets"], config["task"] = ["valence"], {"num_targets": 1, "num_classes": 3}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        edit(folder / "manifest.csv", lambda table: table.assign(valence=0.5))
        for file in (folder / "predictions").glob("*.csv"):
            edit(file, lambda table: table.assign(valence=0.5, predicted_valence=0.25))
    with pytest.raises(PoolError, match=r"a predicts \['valence'\] beside classes"):
        write_ensemble(folders, "mean", tmp_path)


def test_one_member_is_none(make_run, tmp_path):
    with pytest.raises(ConfigError, match="needs at least 2 members, found 1"):
        write_ensemble([make_run()], "mean", tmp_path)


def test_a_run_folder_is_never_overwritten(split, tmp_path):
    before = content(split[0])
    with pytest.raises(ConfigError, match="holds something that is no ensemble"):
        write_ensemble(split, "mean", tmp_path, out=split[0])
    assert content(split[0]) == before
    out, _ = write_ensemble(split, "mean", tmp_path, out=tmp_path / "mine")
    with pytest.raises(ConfigError, match=r"holds ensemble [0-9a-f]{8} \(rule mean\), expected nothing or ensemble"):
        write_ensemble(split, "vote", tmp_path, out=out)


def test_an_oracle_among_the_members_leaves_its_mark(make_run, tmp_path, capsys):
    folders = [make_run(name="a"), make_run(name="b", selection="oracle_test")]
    assert ensemble.main([*map(str, folders), "--out", str(tmp_path / "out")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "ensemble †" in printed
    assert "† b: scored at the epoch that was best on the test samples (oracle_test). That is a leak" in printed
    report = json.loads((tmp_path / "out/ensemble.json").read_text())
    assert report["selection"] == "oracle_test of some members †"
    assert "a last, b oracle_test" in " ".join(report["notes"])
    assert json.loads((tmp_path / "out/scores.json").read_text())["selection"] == report["selection"]
    assert "†" in (tmp_path / "out/README.md").read_text()


def test_the_honest_side_of_an_oracle_is_the_ensemble_of_last_epochs(make_run, tmp_path):
    last, oracle = make_run(name="a"), make_run(name="b", selection="oracle_test", skill=0.1)
    _, report = write_ensemble([last, oracle], "mean", tmp_path)
    files = [np.load(file) for file in (oracle / "epochs").glob("*.npz")]
    tables = [pd.DataFrame(arrays["probabilities"][-1], index=arrays["sample_id"]) for arrays in files]
    table = mixed_table(last)
    both = table[P].to_numpy() + pd.concat(tables).loc[table.index].to_numpy()
    predicted = np.array(CLASSES)[both.argmax(axis=1)]
    assert report["honest"]["uf1"] == pytest.approx(f1_score(table["label"], predicted, average="macro"))
    assert report["honest"]["uf1"] < report["ensemble"]["uf1"]
    assert any("without the leak: accuracy" in note for note in report["notes"])


def test_an_oracle_can_be_taken_at_its_last_epoch(make_run, tmp_path):
    folders = [make_run(name="a"), make_run(name="b", selection="oracle_test", skill=0.1)]
    leaked, report = write_ensemble(folders, "mean", tmp_path / "runs")
    assert ensemble.main([*map(str, folders), "--last-epoch", "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "ensemble.json").read_text())
    assert (found["selection"], found["honest"]) == ("last", None)
    assert [member["selection"] for member in found["members"]] == ["last", "last"]
    for name, value in report["honest"].items():
        assert found["ensemble"][name] == pytest.approx(value), name
    again, _ = write_ensemble(folders, "mean", tmp_path / "runs", last=True)
    assert again != leaked, "the same members, taken otherwise, are another ensemble"


def test_different_selections_are_named(make_run, tmp_path):
    folders = [make_run(images(), "holdout", rule, name=rule) for rule in ("last", "inner_val")]
    report = write_ensemble(folders, "mean", tmp_path)[1]
    assert report["selection"] == "mixed (inner_val, last)"
    assert any("inner_val inner_val, last last" in note for note in report["notes"])


def test_ties_of_votes_are_counted(make_run, tmp_path):
    folders = [make_run(images(), "holdout", skill=skill, name=name) for name, skill in (("a", 0.0), ("b", 1.0))]
    _, report = write_ensemble(folders, "vote", tmp_path)
    first, second = read_members(folders).chosen
    ties = int((first != second).sum())
    assert 0 < ties < 20
    assert any(note.startswith(f"{ties} of 20 votes were ties") for note in report["notes"])


def test_synthetic_members_make_a_synthetic_ensemble(make_run, tmp_path):
    folders = [make_run(name="a", synthetic=True), make_run(name="b")]
    out, report = write_ensemble(folders, "mean", tmp_path)
    assert report["synthetic"]
    assert write_scores(out)["synthetic"]


def test_an_ensemble_can_be_a_member(split, tmp_path):
    both, _ = write_ensemble(split, "mean", tmp_path)
    out, report = write_ensemble([both, split[1]], "mean", tmp_path)
    found, parts = mixed_table(out)[P], [mixed_table(folder)[P] for folder in (both, split[1])]
    assert found.to_numpy() == pytest.approx((sum(parts) / 2).to_numpy(), abs=1e-8)
    assert {member["model"] for member in report["members"]} == {"ensemble_mean", "ststnet"}


def test_what_it_took_is_what_the_members_took(three, tmp_path):
    out, _ = write_ensemble(three, "mean", tmp_path)
    assert write_scores(out)["seconds"] == pytest.approx(3 * 4 * 1.5)


def add_views(folder: Path) -> np.ndarray:
    """Three views of each sample whose mean is what the run predicts; returns those of the first fold."""
    for file in sorted((folder / "predictions").glob("*.csv")):
        table = pd.read_csv(file, keep_default_na=False)
        mean = table[P].to_numpy()
        shift = (
            np.linspace(0.1, 0.9, len(mean))[:, None] * mean.min(axis=1, keepdims=True) * np.array([[1.0, -1.0, 0.0]])
        )
        views = np.stack([mean + shift, mean - 0.5 * shift, mean - 0.5 * shift], axis=1)
        (folder / "views").mkdir(exist_ok=True)
        names = np.array(["top left", "centre", "mirrored centre"])
        np.savez(
            folder / "views" / f"{file.stem}.npz",
            sample_id=table["sample_id"].to_numpy(str),
            view=names,
            probabilities=views,
        )
    return views


def test_saved_views_can_be_put_together_in_another_way(make_run, tmp_path):
    folder = make_run(images(), "holdout", skill=0.2)
    views = add_views(folder)
    centre = mixed_table(write_ensemble([folder], "mean", tmp_path, views="centre")[0])
    assert centre[P].to_numpy() == pytest.approx(views[:, 1], abs=1e-8)
    out, report = write_ensemble([folder], "mean", tmp_path, views="vote")
    votes = np.stack([(views.argmax(axis=2) == place).mean(axis=1) for place in range(3)], axis=1)
    assert mixed_table(out)[P].to_numpy() == pytest.approx(votes, abs=1e-8)
    assert (votes.max(axis=1) < 1).any(), "views that all agree"
    assert report["best"] == "run"
    mean = mixed_table(write_ensemble([folder], "mean", tmp_path, views="mean")[0])
    assert (mean["predicted"] == mixed_table(folder)["predicted"]).all()


def test_views_that_are_not_there_or_of_another_run_are_refused(make_run, tmp_path):
    folder = make_run(images(), "holdout")
    with pytest.raises(ConfigError, match=r"holdout.npz: not found; only runs with views="):
        write_ensemble([folder], "mean", tmp_path, views="vote")
    add_views(folder)
    other = make_run(images(), "holdout", skill=0.9, name="other")
    shutil.copytree(folder / "views", other / "views")
    with pytest.raises(PoolError, match="the mean of views/ differs from predictions/"):
        write_ensemble([other], "mean", tmp_path, views="vote")
    with pytest.raises(ConfigError, match="does not go with --rule weights"):
        write_ensemble([folder], "weights", tmp_path, views="vote")


def test_patterns_and_names(three, tmp_path, monkeypatch):
    assert find([str(tmp_path / "[ab]"), str(three[2])]) == three
    assert member_names(three) == ["a", "b", "c"]
    assert member_names([three[0], three[0]]) == ["a", "a"]
    monkeypatch.chdir(tmp_path)
    assert member_names([Path("a"), Path("b")]) == ["a", "b"]
    with pytest.raises(ConfigError, match="nowhere: expected a run folder"):
        find(["nowhere"])


def test_the_command_writes_below_the_folder_of_runs_and_refuses_with_2(split, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FER_RUNS", str(tmp_path / "runs"))
    assert ensemble.main([*map(str, split), "--rule", "vote"]) == 0
    printed = capsys.readouterr().out
    (out,) = (tmp_path / "runs/ensembles").iterdir()
    assert str(out) in printed
    assert "McNemar p" in printed
    assert ensemble.main([*map(str, split), "--weights"]) == 0
    assert "weight of" in capsys.readouterr().out
    assert ensemble.main([str(split[0])]) == 2
    assert "error: an ensemble needs at least 2 members" in capsys.readouterr().err


def test_the_command_offers_what_there_is(three, tmp_path, capsys):
    with pytest.raises(SystemExit):
        ensemble.main(["--help"])
    printed = capsys.readouterr().out
    assert f"--rule {{{','.join(RULES)}}}" in printed
    assert f"--views {{{','.join(VIEWS)}}}" in printed
    with pytest.raises(ValueError, match="views='first' is not one of"):
        write_ensemble(three, "mean", tmp_path, views="first")
    with pytest.raises(ValueError, match="rule='median' is not one of"):
        write_ensemble(three, "median", tmp_path)
    assert not (tmp_path / "ensembles").exists()
