"""Studies: what they choose by, that they go on, and what they refuse."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from fer_lightning.errors import ConfigError
from fer_lightning.reporting.validation import validation_score
from fer_lightning.tune import main
from fer_lightning.tuning.pruning import Watch, pruner
from fer_lightning.tuning.space import check_space, read_space, suggest
from fer_lightning.tuning.study import counted, storage
from tests.runs import HOUSE

CELL = [
    "model=ststnet", "data=megc2019_flow", "data.batch_size=16", "protocol=kfold", "protocol.folds.k=2",
    "protocol.selection=inner_val", "protocol.inner_val=0.3", "trainer.max_epochs=2",
]  # fmt: skip


@pytest.fixture
def space(tmp_path) -> Path:
    file = tmp_path / "space.yaml"
    file.write_text("optimizer.lr: {low: 1e-4, high: 1e-1, log: true}\n")
    return file


@pytest.fixture
def tune(environment, tiny_raw, tmp_path, monkeypatch, space):
    """`python -m fer_lightning.tune` in this process; keyword `runs` names the folder of results."""
    for key in ("FER_RAW", "FER_RUNS"):
        monkeypatch.setenv(key, environment[key])
    monkeypatch.setenv("FER_CACHE", str(tiny_raw / "cache"))

    def go(*more: str, runs: str = "runs", cell: list[str] = CELL) -> int:
        monkeypatch.setenv("FER_RUNS", str(tmp_path / runs))
        return main([*cell, f"tune={space}", "--study", "s", "--pruner", "none", *more])

    return go


def study(tmp_path: Path, runs: str = "runs") -> optuna.Study:
    return optuna.load_study(
        study_name="s", storage=storage(f"sqlite:///{tmp_path / runs / 'tune' / 's' / 'study.db'}")
    )


def made(tmp_path: Path) -> dict[Path, int]:
    """Prediction files of all runs and when they were written."""
    return {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").glob("*/*/*/*/predictions/*.csv")}


@pytest.mark.slow
def test_a_study_chooses_by_validation_and_scores_one_trial(tune, tmp_path, capsys):
    assert tune("--trials", "3") == 0
    trials = study(tmp_path).trials
    assert len(trials) == 3
    for trial in trials:
        files = sorted(Path(trial.user_attrs["folder"]).glob("validation/*.csv"))
        rows = pd.concat([pd.read_csv(file) for file in files])
        assert len(files) == 2
        assert trial.value == pytest.approx(f1_score(rows["label"], rows["predicted"], average="macro"))
    best = max(trials, key=lambda trial: trial.value)
    assert [file.parent for file in (tmp_path / "runs").rglob("scores.json")] == [Path(best.user_attrs["folder"])]
    told = capsys.readouterr()
    test = json.loads((Path(best.user_attrs["folder"]) / "scores.json").read_text())
    assert f"{test['uf1']:.3f}" in told.out
    assert f"Chosen on validation (val_uf1 {best.value:.4f}) among 3 trials" in told.out
    assert told.out.index("Best trial") < told.out.index("accuracy"), (
        "test scores are shown after the study, not before"
    )
    assert "3 of 3 done" in told.err
    table = pd.read_csv(tmp_path / "runs" / "tune" / "s" / "study.csv")
    assert table["value"].tolist() == sorted((trial.value for trial in trials), reverse=True)


@pytest.mark.slow
def test_a_study_goes_on_as_if_it_had_not_been_stopped(tune, tmp_path, capsys):
    assert tune("--trials", "1") == 0
    before = made(tmp_path)
    assert tune("--trials", "3") == 0
    after = made(tmp_path)
    assert (len(before), len(after)) == (2, 6)
    assert {file: after[file] for file in before} == before, "a finished trial was run again"
    trials = study(tmp_path).trials
    assert len(trials) == 3
    assert "test scores were already seen after 1 trials" in capsys.readouterr().out
    assert tune("--trials", "3", runs="other") == 0
    assert [t.params for t in study(tmp_path, "other").trials] == [t.params for t in trials]
    assert tune("trainer.max_epochs=1", "--trials", "4") == 2
    assert "trainer.max_epochs: 2 there, 1 now" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_trial_is_asked_again(tune, environment, space, tmp_path):
    command = [sys.executable, "-m", "fer_lightning.tune", *CELL, "trainer.max_epochs=8", f"tune={space}"]
    options = ["--study", "s", "--pruner", "none", "--trials", "2"]
    process = subprocess.Popen([*command, *options], cwd=HOUSE, env=environment, start_new_session=True)
    while len(made(tmp_path)) < 3 and process.poll() is None:  # one fold of the second trial is done
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before, cut = made(tmp_path), study(tmp_path)
    assert [trial.state.name for trial in cut.trials] == ["COMPLETE", "RUNNING"]
    assert tune("trainer.max_epochs=8", "--trials", "2") == 0
    after = made(tmp_path)
    assert {file: after[file] for file in before} == before
    found = study(tmp_path)
    assert found.user_attrs["killed"] == [1]
    assert [trial.state.name for trial in found.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert found.trials[2].params == cut.trials[1].params
    assert len(after) == 4, "two trials of two folds: the killed one went on in its own folder"


@pytest.mark.slow
def test_two_workers_share_a_study(tune, tmp_path):
    assert tune("--trials", "3", "--workers", "2") == 0
    trials = study(tmp_path).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    first, second = sorted(trials, key=lambda trial: trial.datetime_start)[:2]
    assert second.datetime_start < first.datetime_complete, "they worked one after the other"


@pytest.mark.slow
def test_equal_trials_share_a_folder_and_diverged_ones_are_kept_as_failed(tune, space, tmp_path, capsys):
    space.write_text("optimizer.lr: {choices: [0.001, 1e30]}\n")
    assert tune("--trials", "4", "--seed", "1") == 0
    trials = study(tmp_path).trials
    states = {trial.params["optimizer.lr"]: trial.state.name for trial in trials}
    assert states == {0.001: "COMPLETE", 1e30: "FAIL"}
    assert len({trial.user_attrs["folder"] for trial in trials}) == 2
    assert "training has diverged" in capsys.readouterr().out
    space.write_text("optimizer.lr: {low: 1e29, high: 1e30}\n")
    assert tune("--trials", "6", runs="other") == 2
    assert "all trials failed" in capsys.readouterr().err
    assert len(study(tmp_path, "other").trials) == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["protocol.selection=oracle_test"], "a study on it would fit them"),
        (["protocol.selection=last"], "Add protocol.selection=inner_val"),
        (["protocol.metric=val_loss"], "cannot be a study's objective"),
        (["protocol.index=0"], "a trial runs all folds"),
        (["optimizer.lr=1"], "on the command line"),
        (["tune=nothing"], "name one search space"),
        (["data=fer2013"], "reads flow images"),
        (["--pruner", "median"], "choose wilcoxon or none"),
    ],
)
def test_a_study_is_refused_before_its_first_trial(tune, tmp_path, capsys, more, message):
    assert tune(*more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer.lrr: {low: 1, high: 2}", "optimizer.lrr is no key of this config; there are .*'optimizer.lr'"),
        ("optimiser: {choices: [sgd]}", "optimiser is no key"),
        ("optimizer: {choices: [sgd, rmsprop]}", r"no option \['rmsprop'\]; choose from .*'radam'"),
        ("optimizer: {low: 1, high: 2}", "no option"),
        ("optimizer.lr: {lo: 1, high: 2}", "expected {low"),
        ("optimizer.lr: {low: 2, high: 1}", "low must be a number below high"),
        ("optimizer.lr: {low: 0, high: 1.0, log: true}", "log needs low > 0"),
        ("optimizer.lr: {choices: []}", "choices must be"),
        ("data.channels: {choices: [[u, v]]}", "choices must be"),
        ("seed: {choices: [1, 2]}", "not comparable on validation"),
        ("protocol.inner_val: {low: 0.1, high: 0.5}", "not comparable on validation"),
        ("optimizer: {choices: {sgd: {optimizer.beta: {low: 0, high: 1}}}}", "optimizer.beta is no key"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(tmp_path, text, message):
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        check_space(read_space(str(file)), ["model=ststnet", "data=megc2019_flow"])


@pytest.mark.parametrize("file", sorted((HOUSE / "conf" / "tune").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_space_of_ours_fits(file):
    check_space(read_space(file.stem), ["model=resnet18", "data=fer2013"])


def test_an_entry_of_a_choice_is_asked_with_it_alone():
    space = read_space("optimizers")
    asked = optuna.trial.FixedTrial({"optimizer": "adam", "optimizer.lr (optimizer=adam)": 0.01, "scheduler": "none"})
    assert suggest(asked, space) == {"optimizer": "adam", "optimizer.lr": 0.01, "scheduler": "none"}
    more = {"optimizer": "sgd", "optimizer.lr (optimizer=sgd)": 0.5, "optimizer.momentum (optimizer=sgd)": 0.9}
    found = suggest(optuna.trial.FixedTrial(more | {"scheduler": "cosine"}), space)
    assert found == {"optimizer": "sgd", "optimizer.lr": 0.5, "optimizer.momentum": 0.9, "scheduler": "cosine"}
    whole = suggest(optuna.trial.FixedTrial({"model.branches": 3}), {"model.branches": {"low": 2, "high": 5}})
    assert whole == {"model.branches": 3}
    assert isinstance(whole["model.branches"], int)


def test_the_validation_figure_is_that_of_all_folds_together(tmp_path):
    rows = [("a", "a"), ("a", "b"), ("b", "b"), ("c", "a"), ("a", "a")]
    (tmp_path / "validation").mkdir()
    for fold, part in (("1", rows[:2]), ("2", rows[2:])):
        table = pd.DataFrame(part, columns=["label", "predicted"]).assign(p_a=0.0, p_b=0.0, p_c=0.0)
        table.to_csv(tmp_path / "validation" / f"{fold}.csv", index=False)
    (tmp_path / "validation" / ".3.csv").write_text("being written")
    true, predicted = zip(*rows, strict=True)
    assert validation_score(tmp_path, "val_accuracy") == accuracy_score(true, predicted) == 0.6
    # a: 2 of 3, once wrongly: 4 / 6; b: 2 / 3; c: 0
    assert validation_score(tmp_path, "val_uf1") == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert validation_score(tmp_path, "val_uf1") == pytest.approx(f1_score(true, predicted, average="macro"))
    assert validation_score(tmp_path / "nowhere", "val_uf1") is None
    table.assign(p_a=np.nan).to_csv(tmp_path / "validation" / "2.csv", index=False)
    assert np.isnan(validation_score(tmp_path, "val_uf1")), "a network without a prediction is no constant guesser"
    value = pd.DataFrame({"valence": [-1.0, 0.0, 1.0, None], "predicted_valence": [0.0, 0.0, 1.0, 0.5]})
    (tmp_path / "values" / "validation").mkdir(parents=True)
    value.to_csv(tmp_path / "values" / "validation" / "1.csv", index=False)
    assert validation_score(tmp_path / "values", "val_ccc") == pytest.approx(2 / 3)  # example of functional.continuous


def test_the_median_pruner_hears_every_epoch_and_ends_a_bad_trial(tmp_path):
    made_of = optuna.create_study(direction="maximize", pruner=pruner("median", epochs=5))
    for _ in range(5):
        trial = made_of.ask()
        watch = Watch(trial, tmp_path, single=True, metric="val_accuracy", echo=sys.stderr)
        for epoch in range(5):  # the first line has no figures yet
            found = {"val_accuracy": 0.5 + epoch / 10} if epoch else {}
            watch({"fold": "all", "epoch": epoch, "epochs": 5} | found)
        made_of.tell(trial, 0.9)
    assert made_of.trials[0].intermediate_values == pytest.approx({1: 0.6, 2: 0.7, 3: 0.8, 4: 0.9})
    bad = Watch(made_of.ask(), tmp_path, single=True, metric="val_accuracy", echo=sys.stderr)
    bad({"fold": "all", "epoch": 1, "epochs": 5, "val_accuracy": 0.55})  # within the first fifth: nobody is ended
    with pytest.raises(optuna.TrialPruned):
        bad({"fold": "all", "epoch": 2, "epochs": 5, "val_accuracy": 0.56})


def test_the_wilcoxon_pruner_hears_every_fold_under_its_number(tmp_path):
    (tmp_path / "validation").mkdir()
    pd.DataFrame({"fold": ["s10", "s2", "s2", ""]}).to_csv(tmp_path / "manifest.csv", index=False)
    trial = optuna.create_study(direction="maximize", pruner=pruner("wilcoxon", 5)).ask()
    watch = Watch(trial, tmp_path, single=False, metric="val_uf1", echo=sys.stderr)
    line = {"fold": "s2", "epoch": 1, "epochs": 5, "val_uf1": 0.1}
    watch(line)
    pd.DataFrame({"label": ["a"], "predicted": ["a"], "p_a": [1.0]}).to_csv(tmp_path / "validation/s10.csv")
    watch(line)
    watch(line)
    stored = trial.study.trials[0].intermediate_values
    assert stored == {1: 1.0}, "s10 stands behind s2"
    assert np.isfinite(list(stored.values())).all()


def test_killed_trials_do_not_count():
    made_of = optuna.create_study()
    made_of.tell(made_of.ask(), state=optuna.trial.TrialState.FAIL)
    made_of.tell(made_of.ask(), 1.0)
    made_of.enqueue_trial({"x": 1})
    made_of.set_user_attr("killed", [0])
    assert [trial.number for trial in counted(made_of)] == [1]
