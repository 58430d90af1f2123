"""From rows of papers to committed files to tables: run on generated data, rebuilt without torch."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_score

from fer_lightning import plan_text, reproduce, reproduction
from fer_lightning.cells import Cell, distinct, share_trainings, with_members
from fer_lightning.compose import CONF, configure
from fer_lightning.datasets import fer2013
from fer_lightning.errors import ConfigError, PoolError
from fer_lightning.paper_rows import BUDGETS, EXPERIMENTS, read_budgets, read_rows, why_not
from fer_lightning.reporting import twins
from fer_lightning.reporting.papers import glance, missing
from fer_lightning.reporting.papers.collect import collect, read_table, write_table
from fer_lightning.reporting.papers.made import commands, commits
from fer_lightning.reporting.papers.overview import write_overview
from fer_lightning.reporting.papers.readme import (
    BEGIN,
    END,
    between_marks,
    difference,
    main_results,
    read_results,
    write_readme,
)
from fer_lightning.reporting.papers.results import figures, write_results
from fer_lightning.reporting.pool import Pool
from fer_lightning.reporting.twins import LIST
from fer_lightning.reproduction import Plan, read_speeds
from fer_lightning.verify import in_train
from tests.runs import HOUSE, NO_TORCH

#: An oracle, its honest twin and a row of which only parameters are printed: seconds together.
QUICK = ("micro-oracle-random-guess", "micro-oracle-random-guess-oracle", "waspp-t14-waspp")
ENSEMBLE = "camnet-t6-5-ensemble"
PROBABILITIES = ["p_negative", "p_positive", "p_surprise"]
REBUILD = f"""{NO_TORCH}
from pathlib import Path
from fer_lightning import reproduce
reproduce.EXPERIMENTS = Path(sys.argv[1])
sys.exit(reproduce.main(["--rebuild", *sys.argv[2:]]))
"""


def pool(table: pd.DataFrame, **more) -> Pool:
    made = {"fold": "holdout", "seconds": 1.0, "device": "cpu", "versions": {}}
    facts = {"targets": [], "model": "m", "data": "d", "protocol": "holdout", "selection": "last", "seed": 0}
    return Pool(Path(), table, None, [made], **facts | {"classes": ["a", "b", "c"], "synthetic": False} | more)


def guesses(n: int = 60) -> pd.DataFrame:
    names, rng = np.array(["a", "b", "c"]), np.random.default_rng(0)
    label, predicted = names[rng.integers(3, size=(2, n))]
    ids = [str(i) for i in range(n)]
    return pd.DataFrame({"sample_id": ids, "fold": "holdout", "label": label, "predicted": predicted,
                         "dataset": "d", "group": ""})  # fmt: skip


@pytest.fixture
def only(monkeypatch, tmp_path):
    """Let the command know some rows only; results go to a temporary folder, and real data are read where asked for."""
    monkeypatch.setenv("FER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("FER_RAW", str(tmp_path / "no-data"))
    monkeypatch.delenv("FER_CACHE", raising=False)

    def choose(*names: str, **changes: dict) -> Path:
        rows = read_rows()
        chosen = {name: replace(rows[name], **changes.get(name.replace("-", "_"), {})) for name in names}
        monkeypatch.setattr(reproduce, "read_rows", lambda: chosen)
        return tmp_path / "runs" / "smoke" / "experiments"

    return choose


# --- figures from predictions


def test_figures_agree_with_sklearn_and_the_one_vs_rest_interval_is_that_of_the_accuracy():
    table = guesses()
    found = {line["metric"]: line for line in figures(pool(table))}
    label, predicted = table["label"], table["predicted"]
    assert found["uf1"]["value"] == pytest.approx(f1_score(label, predicted, average="macro"), abs=1e-6)
    assert found["macro_precision"]["value"] == pytest.approx(
        precision_score(label, predicted, average="macro"), abs=1e-6
    )
    for end in ("value", "low", "high"):  # the rule behind the pairs that WASPP prints, with three classes
        hits = found["accuracy"][end]
        assert found["accuracy_one_vs_rest"][end] == pytest.approx(1 - (1 - hits) * 2 / 3, abs=2e-6)


def test_accuracy_without_duplicates_is_that_of_the_rest(monkeypatch):
    monkeypatch.setattr(twins, "read_twins", lambda: frozenset("12"))
    table = guesses(4).assign(label=list("aabb"), predicted=list("aaab"))
    found = {line["metric"]: line for line in figures(pool(table, data="fer2013"))}
    assert found["accuracy"]["value"] == 0.75
    line = found["accuracy_deduplicated"]
    assert (line["value"], line["n"]) == (1.0, 2)  # 0 and 3 are left
    assert "accuracy_deduplicated" not in {line["metric"] for line in figures(pool(table))}


def test_a_class_without_a_true_sample_counts_in_no_mean():
    table = guesses().query("label != 'c'").assign(predicted=lambda rows: rows["label"])
    found = {line["metric"]: line["value"] for line in figures(pool(table))}
    assert [found[name] for name in ("uf1", "uar", "macro_precision")] == [1.0, 1.0, 1.0]


def test_predictions_come_back_and_the_same_table_gives_the_same_bytes(tmp_path):
    table = guesses(5).assign(p_a=0.123456, label=["a", "", "b", "NA", "c"])
    write_table(tmp_path / "x.csv.gz", table)
    first = (tmp_path / "x.csv.gz").read_bytes()
    write_table(tmp_path / "x.csv.gz", table)
    assert (tmp_path / "x.csv.gz").read_bytes() == first
    pd.testing.assert_frame_equal(read_table(tmp_path / "x.csv.gz", ["p_a"]), table.assign(p_a=0.12346))
    (tmp_path / "x.csv.gz").write_bytes(first[:50])
    with pytest.raises(PoolError, match="cannot be read"):
        read_table(tmp_path / "x.csv.gz", ["p_a"])


# --- rows


def test_budgets_read_as_yaml_are_those_that_hydra_composes():
    files = {tuple(sorted(row.budgets)): row for row in read_rows().values()}
    for row in files.values():
        composed = configure([f"experiment={row.name}"]).budget or {}
        assert read_budgets(CONF / "experiment" / f"{row.name}.yaml", CONF) == composed


def test_a_row_that_its_table_does_not_print_is_refused(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "waspp-t10-xspp.yaml").write_text("table: waspp-t10\nrow: xspp\n")
    with pytest.raises(ConfigError, match=r"waspp-t10/paper.csv has no row 'xspp'"):
        read_rows(tmp_path, EXPERIMENTS)


def test_a_row_without_a_setting_for_the_budget_needs_a_gpu_and_so_does_what_is_made_of_it():
    rows = read_rows()
    made = next(row for row in rows.values() if row.members)
    assert "needs a GPU" in why_not(rows[made.members[0]], "cpu", rows)
    assert "needs a GPU" in why_not(made, "cpu", rows)
    assert why_not(made, "full", rows) == ""


def test_every_network_of_a_row_with_a_cpu_budget_has_a_speed():
    assert read_speeds()["ststnet"][0] > 1000  # samples a second, docs/models.md


def test_pictures_of_another_size_take_time_by_their_area():
    plan = Plan(read_rows(), "night", "", Path("runs"), 24)
    config = configure(["experiment=camnet-t6-4-resnet34"])
    speed, side = read_speeds()["resnet34"]
    assert (plan.speed(config), side) == (speed, 224)
    config.paper.size = 56
    assert plan.speed(config) == pytest.approx(16 * speed)
    assert read_speeds()["keypoint_ann"][1] is None
    assert plan.speed(configure(["model=keypoint_ann", "data=dfew"])) == read_speeds()["keypoint_ann"][0]


def test_a_stage_that_another_row_makes_too_takes_its_time_once(fer_raw, tmp_path):
    rows = read_rows()
    names = ("vggspinal-t14-vggnet", "vggspinal-t14-vggspinalnet")

    plan, other = (Plan(rows, "full", "", tmp_path, 1e6) for _ in range(2))
    first, second = (plan.cell(name, 0) for name in names)
    assert first.seconds == pytest.approx(plan._guess(first.config))
    assert second.seconds == pytest.approx(plan._guess(second.config))  # its features are those of the first
    other.found, other.configs = plan.found, plan.configs  # the release is read once
    assert other.cell(names[1], 0).seconds == pytest.approx(first.seconds + second.seconds)


def test_a_row_that_needs_a_gpu_and_lacks_its_data_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("FER_RAW", str(tmp_path))
    cell = Plan(read_rows(), "cpu", "", tmp_path, 24).cell("separable-imed-arch1", 0)
    assert cell.state == "lacks data"
    assert reproduce._public(cell) == "lacks data: imed"


def test_a_table_without_a_result_says_why(tmp_path):
    (tmp_path / "paper.csv").write_text("row,part,metric,printed,source,note\nnet,all,uf1,0.75,Table 1,\n"
                                        "big,all,uf1,0.8,Table 1,\nlate,all,uf1,0.8,Table 1,\n")  # fmt: skip
    (tmp_path / "results.csv").write_text(
        "row,seed,budget,data,selection,part,metric,value,low,high,n,epochs,seconds,device,commit,run\n"
    )
    missing.note(tmp_path, "cpu", {"net": "lacks data: ckplus"})
    reasons = {("net", "full"): "", ("net", "cpu"): "", ("big", "cpu"): "needs a GPU (budget full only)",
               ("late", "cpu"): "only at budget night", ("late", "night"): ""}  # fmt: skip
    text = write_readme(tmp_path, reasons).read_text()
    assert "| net |  | 0.75 | lacks data: ckplus |  |" in text
    assert "| big |  | 0.8 | needs a GPU (budget full only) |  |" in text
    assert "| late |  | 0.8 | not run |  |" in text
    assert "BUDGET=full    # or cpu, night; SEEDS=0,1,2" in text
    assert "BUDGET=full    # SEEDS=0,1,2" in write_readme(tmp_path, {("big", "cpu"): "needs a GPU"}).read_text()


def test_a_table_of_no_paper_has_no_column_for_one(tmp_path):
    (tmp_path / "paper.csv").write_text("row,part,metric,printed,source,note\nnet,all,uf1,,,\n")
    (tmp_path / "results.csv").write_text(
        "row,seed,budget,data,selection,part,metric,value,low,high,n,epochs,seconds,device,commit,run\n"
        "net,0,full,d,last,all,uf1,0.5,0.4,0.6,9,1,1,cpu,c,r\n"
    )
    text = write_readme(tmp_path, {}).read_text()
    assert "### Budget full: the settings as configured" in text
    assert "| row | n | UF1 (ours) |" in text
    assert "| net | 9 | 0.5000 (0.400 to 0.600) |" in text


def test_a_difference_of_nothing_has_no_sign(tmp_path):
    own = pd.DataFrame([{"metric": "uf1", "value": 0.49999, "mean_low": 0.4, "mean_high": 0.6}])
    assert difference(own, "uf1", "0.5") == "0.0000, **in**"


def test_accuracy_on_two_scales_is_one_fact(tmp_path):
    lines = [f"net,all,{metric},{printed},Table 1,\n" for metric, printed in
             (("accuracy_one_vs_rest", 0.8), ("accuracy", 0.7), ("uf1", 0.9))]  # fmt: skip
    (tmp_path / "paper.csv").write_text("row,part,metric,printed,source,note\n" + "".join(lines))
    made = [f"net,0,cpu,d,last,all,{metric},{value},{value - 0.1:.1f},{value + 0.1:.1f},9,1,1,cpu,c,r\n"
            for metric, value in (("accuracy_one_vs_rest", 0.8), ("accuracy", 0.7), ("uf1", 0.5))]  # fmt: skip
    heads = "row,seed,budget,data,selection,part,metric,value,low,high,n,epochs,seconds,device,commit,run\n"
    (tmp_path / "results.csv").write_text(heads + "".join(made))
    assert glance.summary(tmp_path)[3] == "1 of 2 (cpu)"  # one of two facts: both accuracies are the same one


def test_an_ensemble_over_seeds_has_seeds_of_its_own(monkeypatch):
    rows = read_rows()
    monkeypatch.setitem(rows, ENSEMBLE, replace(rows[ENSEMBLE], members=("micro-oracle-random-guess",), seeds=3))
    plan = Plan(rows, "smoke", "", Path("runs"), 24.0)
    assert [member.seed for member in plan.cell(ENSEMBLE, 0).members] == [0, 1, 2]
    assert [member.seed for member in plan.cell(ENSEMBLE, 1).members] == [3, 4, 5]


def test_a_shared_run_is_made_once_and_before_the_ensemble_that_needs_it():
    row = read_rows()[QUICK[0]]
    member, other = Cell(row, 0, "cpu", folder=Path("a")), Cell(row, 0, "cpu", folder=Path("a"))
    ensemble = Cell(row, 0, "cpu", members=[member])
    assert [id(cell) for cell in distinct(with_members([ensemble, other]))] == [id(member), id(ensemble)]


# --- the command


@pytest.mark.slow
def test_smoke_runs_collects_and_rebuilds_and_goes_on(only, capfd, tmp_path, monkeypatch):
    members = ("micro-oracle-random-guess", "micro-oracle-ststnet")
    out = only(*QUICK, "micro-oracle-ststnet", ENSEMBLE, camnet_t6_5_ensemble={"members": members})
    before = {file: file.stat().st_mtime_ns for file in EXPERIMENTS.rglob("*")}
    run_cell, started = reproduce.run_cell, []

    def stop_second(cell, runs):
        started.append(cell.row.name)
        if len(started) == 2:
            raise KeyboardInterrupt
        run_cell(cell, runs)

    monkeypatch.setattr(reproduce, "run_cell", stop_second)
    assert reproduce.main(["--budget", "smoke"]) == 130
    assert "3 runs to make" in capfd.readouterr().out, "the guesser's two rows are one training"
    assert reproduce.main(["--budget", "smoke"]) == 0
    assert started == [QUICK[0], members[1], members[1], ENSEMBLE], "the first row is there"
    assert {file: file.stat().st_mtime_ns for file in EXPERIMENTS.rglob("*")} == before

    facts = json.loads((out / "micro-oracle/predictions/random-guess-oracle-seed0-smoke.json").read_text())
    scores = json.loads((tmp_path / "runs/smoke" / facts["run"] / "scores.json").read_text())
    results = read_results(out / "micro-oracle").set_index(["row", "selection", "part", "metric"])["value"]
    for metric in ("uf1", "uar", "accuracy"):  # what the run folder says, from the committed file
        assert results["random-guess-oracle", "oracle_test", "all", metric] == pytest.approx(scores[metric], abs=1e-6)
        honest = results["random-guess-oracle", "last", "all", metric]
        assert honest == pytest.approx(scores["honest"][metric], abs=1e-6)
    one, other, mixed = (
        read_table(out / f"{name}-seed0-smoke.csv.gz", PROBABILITIES).set_index("sample_id")[PROBABILITIES].sort_index()
        for name in ("micro-oracle/predictions/random-guess", "micro-oracle/predictions/ststnet",
                     "camnet-t6-5/predictions/ensemble")
    )  # fmt: skip
    pd.testing.assert_frame_equal((one + other) / 2, mixed, atol=2e-5)  # of the guesser at its last epoch
    facts_of = json.loads((out / "camnet-t6-5/predictions/ensemble-seed0-smoke.json").read_text())
    assert facts_of["selection"] == "last"
    text = (out / "micro-oracle" / "README.md").read_text()
    assert "one training, read twice" in text
    assert "| waspp |  | 8,117,794 | 8,117,794 | 0 |" in (out / "waspp-t14" / "README.md").read_text()

    readme = out / "waspp-t14" / "README.md"
    readme.write_text(readme.read_text().replace("# waspp-t14", "# Parameters") + "Written by people.\n")
    assert reproduce.main(["--budget", "smoke"]) == 0
    assert "1 runs to make" in capfd.readouterr().out, "the ensemble, which costs nothing"
    assert readme.read_text().startswith("# Parameters\n")
    assert readme.read_text().endswith("Written by people.\n")
    assert "[waspp-t14](waspp-t14) | Parameters |" in (out / "README.md").read_text()

    files = {file: file.read_bytes() for file in out.rglob("*") if file.suffix in (".md", ".csv")}
    for table in ("micro-oracle", "waspp-t14"):
        (out / table / "results.csv").unlink()
    done = subprocess.run([sys.executable, "-c", REBUILD, str(out), "micro-oracle", "waspp-t14"], cwd=HOUSE,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {file: file.read_bytes() for file in out.rglob("*") if file.suffix in (".md", ".csv")} == files

    run = tmp_path / "runs/smoke" / facts["run"]
    about = {key: facts[key] for key in ("row", "seed", "budget", "asked", "run", "command")}
    with pytest.raises(PoolError, match="generated data; its numbers do not belong"):
        collect(run, tmp_path / "elsewhere", about)


@pytest.mark.slow
def test_one_training_serves_the_last_epoch_and_its_twin_that_looks(only, capfd, tmp_path, monkeypatch):
    out = only("micro-oracle-ststnet")
    assert reproduce.main(["--budget", "smoke"]) == 0
    file = out / "micro-oracle" / "predictions" / "ststnet-seed0-smoke.json"
    alone, table = json.loads(file.read_text()), file.with_suffix(".csv.gz").read_bytes()
    assert "read" not in alone

    monkeypatch.setenv("FER_RUNS", str(tmp_path / "other" / "runs"))
    only("micro-oracle-ststnet", "micro-oracle-ststnet-oracle")
    capfd.readouterr()
    assert reproduce.main(["--budget", "smoke"]) == 0
    said = capfd.readouterr().out
    assert "1 runs to make" in said
    assert "2 done" in said
    file = tmp_path / "other" / "runs" / file.relative_to(tmp_path / "runs")
    shared = json.loads(file.read_text())
    assert file.with_suffix(".csv.gz").read_bytes() == table, "it is what the row alone gives"
    assert (shared["read"], shared["selection"], alone["selection"]) == ("last", "last", "last")
    assert "experiment=micro-oracle-ststnet-oracle" in shared["command"], "what was really run"
    for key in ("fold", "epoch", "epochs", "train", "train_accuracy"):
        assert shared["folds"][key] == alone["folds"][key], key
    assert reproduce.main(["--budget", "smoke", "--dry-run"]) == 0
    assert "2 there" in capfd.readouterr().out

    shutil.rmtree(file.parent)
    only("micro-oracle-ststnet", "micro-oracle-ststnet-oracle", QUICK[0])
    assert reproduce.main(["--budget", "smoke", "--collect"]) == 0
    assert capfd.readouterr().out.endswith("2 there, 1 to run\n")
    assert json.loads(file.read_text()) == shared
    assert not list(file.parent.glob("random-guess-*"))


def test_a_row_whose_time_is_printed_is_trained_alone():
    rows = read_rows()
    looking = configure(["model=ststnet", "data=megc2019_flow", "protocol.selection=oracle_test"])

    def share(row, *others, state="open", **changes) -> str:
        honest = configure(["model=ststnet", "data=megc2019_flow", *changes.pop("overrides", [])])
        cell = Cell(rows[row], 0, "cpu", config=honest, folder=Path("honest"), state=state)
        twin = Cell(rows["micro-oracle-ststnet-oracle"], 0, "cpu", config=looking, folder=Path("looking"), **changes)
        share_trainings([cell, twin, *(other(cell) for other in others)])
        return cell.folder.name

    assert share("micro-oracle-ststnet") == "looking"
    assert share("micro-oracle-ststnet", overrides=["optimizer.lr=0.5"]) == "honest", "another training"
    assert share("micro-oracle-ststnet", overrides=["seed=1"]) == "honest", "another seed"
    assert share("micro-oracle-ststnet", state="there") == "honest", "it is trained already"
    assert share("waspp-t12-waspp") == "honest", "seconds are printed"
    with_time = lambda cell: Cell(rows["waspp-t12-waspp"], 0, "cpu", config=cell.config, folder=cell.folder)  # noqa: E731
    assert share("micro-oracle-ststnet", with_time) == "honest", "shared with a row whose seconds are printed"


@pytest.mark.slow
def test_a_row_that_fails_is_named_and_the_others_go_on(only, capfd):
    broken = {"smoke": {"debug": "tiny", "++optimizer.eps": -1.0, "protocol": "kfold", "protocol.folds.k": 2}}
    out = only(*QUICK[:2], micro_oracle_random_guess={"budgets": broken})
    assert reproduce.main(["--budget", "smoke"]) == 1
    said = capfd.readouterr().out
    assert "1 done, 1 failed" in said
    assert "failed: ValueError: Invalid epsilon value: -1.0: micro-oracle-random-guess\n" in said
    assert missing.read(out / "micro-oracle") == {("random-guess", "smoke"): "failed: ValueError"}
    results = read_results(out / "micro-oracle")
    assert set(results["row"]) == {"random-guess-oracle"}
    assert "failed: ValueError" in (out / "micro-oracle" / "README.md").read_text()


@pytest.mark.slow
def test_another_data_set_is_asked_for_and_one_that_does_not_fit_is_refused(only, capfd):
    out = only(QUICK[0])
    where = ["protocol.workers=2", "trainer.checkpoint_every=1"]
    assert reproduce.main(["--budget", "smoke", "--data", "megc2019", "--where", *where]) == 0
    facts = json.loads((out / "micro-oracle/predictions/random-guess-seed0-smoke-megc2019.json").read_text())
    assert (facts["data"], facts["asked"]) == ("megc2019", "megc2019")
    assert "protocol.workers" not in facts["command"], "where it was run is no part of what was run"
    assert "says nothing about faces (data=megc2019)" in (out / "micro-oracle" / "README.md").read_text()
    assert reproduce.main(["--budget", "smoke", "--data", "fer2013"]) == 1
    assert "the row is about megc2019_flow; data=fer2013 holds other classes" in capfd.readouterr().out


def test_where_a_row_is_run_may_not_change_what_is_run(only, capfd):
    only(QUICK[0])
    assert reproduce.main(["--budget", "smoke", "--dry-run", "--where", "trainer.max_epochs=4"]) == 0
    assert "--where trainer.max_epochs=4: changes ['trainer.max_epochs']" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nosuch", "--dry-run"], "data=nosuch"),
        (["--data", "nosuch"], "data=nosuch"),
        (["--where", "foo=1"], "'foo'"),
        (["--seeds", "-1"], "--seeds -1: expected whole numbers from 0 on"),
        (["--seeds", "0,a"], "--seeds 0,a: expected whole numbers"),
    ],
)
def test_what_does_not_compose_is_refused_before_a_row_is_looked_at(only, capfd, arguments, message):
    out = only(QUICK[0])
    assert reproduce.main(["--budget", "smoke", *arguments]) == 2
    assert message in capfd.readouterr().err
    assert not out.exists()


def test_what_another_place_to_run_refuses_is_not_noted_of_the_row(tmp_path):
    row = read_rows()[QUICK[0]]
    refused = Cell(row, 0, "cpu", state="refused", reason="ConfigError: --where x")
    file = tmp_path / row.table / "not-run.csv"
    reproduce._note_missing([refused], tmp_path, own=False)
    reproduce._note_missing([replace(refused, asked="megc2019")], tmp_path, own=True)
    assert not file.exists()
    reproduce._note_missing([replace(refused, state="lacks data")], tmp_path, own=False)
    assert file.read_text().endswith(",cpu,lacks data\n")
    reproduce._note_missing([refused], tmp_path, own=True)
    assert file.read_text().endswith(",cpu,refused: ConfigError\n")


def test_a_folder_that_cannot_be_written_is_named(only, capfd, tmp_path, monkeypatch):
    only(QUICK[0])
    (tmp_path / "file").touch()
    monkeypatch.setenv("FER_RUNS", str(tmp_path / "file"))
    assert reproduce.main(["--budget", "smoke", "--dry-run"]) == 2
    assert f"StorageError: {tmp_path / 'file'}" in capfd.readouterr().err


def test_the_plan_names_what_lacks_data_and_what_needs_a_gpu(only, capfd, monkeypatch, tmp_path):
    only("separable-ckplus-arch1", "camnet-t6-3-adam", "waspp-t14-waspp")
    monkeypatch.setenv("FER_RAW", str(tmp_path / "empty"))
    assert reproduce.main(["--budget", "cpu", "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "lacks data: " in said
    assert str(tmp_path / "empty" / "ckplus") in said
    assert "lacks data" in next(line for line in said.splitlines() if "camnet-t6-3-adam" in line)
    monkeypatch.setattr(Plan, "_manifest", lambda *_: None)  # as if the data were there
    assert reproduce.main(["--budget", "cpu", "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "needs a GPU (budget full only): camnet-t6-3-adam" in said
    assert "1 counted, not trained" in said
    assert "0 runs to make, no time" in said


def test_a_plan_on_a_gpu_says_that_its_hours_are_those_of_a_cpu(only, capfd, monkeypatch, fer_raw):
    only("camnet-t6-3-adam")
    monkeypatch.setenv("FER_RAW", str(fer_raw))
    monkeypatch.setattr(plan_text, "on_gpu", lambda: True)
    monkeypatch.setattr(reproduction, "on_gpu", lambda: True)
    assert reproduce.main(["--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "1 runs to make, about" in said
    assert "on two CPU cores (docs/models.md): the GPU needs a small part of it" in said


def test_tables_of_no_paper_are_run_by_name(only, capfd):
    only("micro-best-off-apexnet", "camnet-t6-3-adam")
    assert reproduce.main(["--budget", "cpu", "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "by name only, for they are no paper's: micro-best\n" in said
    assert "micro-best  " not in said
    for asked in (["micro-best", "--budget", "cpu"], ["--budget", "smoke"]):
        assert reproduce.main([*asked, "--dry-run"]) == 0
        assert "micro-best  " in capfd.readouterr().out


def test_a_wrong_name_is_refused_with_the_right_ones(only, capfd):
    only(*QUICK)
    assert reproduce.main(["waspp-t99"]) == 2
    assert "no table ['waspp-t99']; there are ['micro-oracle', 'waspp-t14']" in capfd.readouterr().err


# --- committed tables


TABLES = sorted(file.parent.name for file in EXPERIMENTS.glob("*/results.csv"))


@pytest.mark.parametrize("table", TABLES)
def test_committed_tables_are_what_their_predictions_say(table, tmp_path):
    shutil.copytree(EXPERIMENTS / table, tmp_path / table)
    for file in EXPERIMENTS.glob("*.csv"):
        shutil.copyfile(file, tmp_path / file.name)
    (tmp_path / table / "results.csv").unlink()
    write_results(tmp_path / table)
    rows = read_rows()
    reasons = {(row.row, budget): why_not(row, budget, rows) for row in rows.values() if row.table == table
               for budget in BUDGETS}  # fmt: skip
    write_readme(tmp_path / table, reasons)
    for name in ("results.csv", "README.md"):
        assert (tmp_path / table / name).read_bytes() == (EXPERIMENTS / table / name).read_bytes(), name


def test_the_readme_shows_what_the_tables_say(tmp_path):
    copy = tmp_path / "README.md"
    shutil.copyfile(EXPERIMENTS.parent / "README.md", copy)
    write_overview(copy, EXPERIMENTS)
    assert copy.read_bytes() == (EXPERIMENTS.parent / "README.md").read_bytes()


def test_a_line_of_the_readme_is_paper_ours_difference_and_the_honest_twin(tmp_path):
    table = tmp_path / "experiments" / "t1"
    table.mkdir(parents=True)
    (table / "paper.csv").write_text("row,part,metric,printed,source,note\nnet,all,uf1,0.75,,\nnet,a,uf1,0.5,,\n"
                                     "net,all,hours,3,,\ngone,all,uf1,0.6,,\n")  # fmt: skip
    heads = "row,seed,budget,data,selection,part,metric,value,low,high,n,epochs,seconds,device,commit,run\n"
    made = [
        f"net,{seed},{budget},d,{rule},{part},uf1,{value},{value - 0.1:.1f},{value + 0.1:.1f},9,1,1,cpu,c,r\n"
        for seed, budget, rule, part, value in [
            (0, "cpu", "oracle_test", "all", 0.8), (1, "cpu", "oracle_test", "all", 0.9),
            (0, "cpu", "last", "all", 0.5), (1, "cpu", "last", "all", 0.7),
            (0, "cpu", "oracle_test", "a", 0.1), (0, "full", "oracle_test", "all", 0.2),
        ]
    ]  # fmt: skip
    for rule, value in (("oracle_test", 0.85), ("last", 0.6)):  # as wide as the seeds together really are
        made.append(f"net,0 1,cpu,d,{rule},all,uf1,{value},{value - 0.08:.2f},{value + 0.08:.2f},9,,,,,\n")
    (table / "results.csv").write_text(heads + "".join(made))
    readme = tmp_path / "README.md"
    readme.write_text(f"# Mine\n{BEGIN}\nold\n{END}\nthe rest\n")
    write_overview(readme, tmp_path / "experiments")
    text = readme.read_text()
    ours = "0.8500 † (0.770 to 0.930; 2 seeds 0.8000 to 0.9000)"
    assert f"| [t1](experiments/t1) | net | UF1 | 0.75 | {ours} | +0.1000, out | 0.6000 |" in text
    assert "1 rows at budget cpu" in text
    assert text.startswith("# Mine\n")
    assert text.endswith("the rest\n")
    assert "old" not in text


def test_seeds_that_were_made_by_another_command_say_by_which():
    def made(seed: int, command: str, commit: str) -> dict:
        return {"seed": seed, "command": command, "versions": {"commit": commit}}

    cells = [made(0, "train.py x=10 seed=0", "a" * 40), made(1, "train.py look seed=1", "b" * 40),
             made(2, "train.py look seed=2", "a" * 40), made(10, "train.py x=10 seed=10", "b" * 40)]  # fmt: skip
    assert commands(cells) == "`train.py x=10 seed=0`; seed 1, 2: `train.py look seed=1`"
    assert commits(cells) == f"{'a' * 7}, {'b' * 7}"
    assert commands([cells[0], cells[3]]) == "`train.py x=10 seed=0`"


def test_the_figure_of_a_row_is_the_first_that_its_table_prints(tmp_path):
    table = tmp_path / "experiments" / "t1"
    table.mkdir(parents=True)
    (table / "paper.csv").write_text("row,part,metric,printed,source,note\nnet,all,accuracy,0.7,,\nnet,all,uf1,0.6,,\n")
    heads = "row,seed,budget,data,selection,part,metric,value,low,high,n,epochs,seconds,device,commit,run\n"
    made = "".join(f"net,0,night,d,inner_val,all,{name},0.5,0.4,0.6,9,1,1,cpu,c,r\n" for name in ("uf1", "accuracy"))
    (table / "results.csv").write_text(heads + made)
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    write_overview(readme, tmp_path / "experiments")
    text = readme.read_text()
    assert "1 rows at budget night" in text
    assert "budget cpu" not in text
    assert "| net | accuracy | 0.7 | 0.5000 (0.400 to 0.600) | -0.2000, out |" in text


def test_a_readme_without_marks_is_left_alone(tmp_path):
    with pytest.raises(PoolError, match="expected the lines"):
        between_marks(tmp_path / "README.md", "# Mine\n", "text")
    assert between_marks(tmp_path, f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\nnew\n{END}\nb\n"


def test_a_row_is_compared_by_its_own_rule():
    columns = ["row", "part", "selection"]
    rows = pd.DataFrame([("x", "all", "last"), ("x", "all", "oracle_test"), ("y", "all", "last")], columns=columns)
    assert list(main_results(rows, "x")["selection"]) == ["oracle_test"]
    assert list(main_results(rows, "y")["selection"]) == ["last"]


# --- FER2013's pictures in two parts


def test_pictures_that_are_in_train_too_are_found(tmp_path, monkeypatch):
    fer2013.write_tiny(tmp_path / "fer2013")
    file = tmp_path / "fer2013" / "fer2013.csv"
    lines = [line.split(",") for line in file.read_text().splitlines()]
    lines[1 + 90][1] = lines[1 + 5][1] = lines[1 + 3][1]  # rows 90 (PublicTest) and 5 are row 3; 139 is row 7
    lines[1 + 139][1] = lines[1 + 7][1]
    lines[1 + 138][1] = lines[1 + 100][1]  # both are tested
    file.write_text("\n".join(",".join(line) for line in lines) + "\n")
    monkeypatch.setenv("FER_RAW", str(tmp_path))
    monkeypatch.setenv("FER_RUNS", str(tmp_path / "runs"))
    found = in_train(configure(["data=fer2013"])).to_dict("list")
    assert found == {"sample_id": ["fer2013/00090", "fer2013/00139"], "split": ["val", "test"],
                     "twin": ["fer2013/00003", "fer2013/00007"]}  # fmt: skip


def test_the_committed_list_of_duplicates_is_what_the_release_says(fer_raw):
    release = pd.read_csv(fer_raw / "fer2013" / "fer2013.csv.xz")
    tested = release[release["Usage"] != "Training"]
    first = release[release["Usage"] == "Training"].reset_index().drop_duplicates("pixels").set_index("pixels")["index"]
    twins = tested["pixels"].map(first).dropna().astype(int)
    committed = pd.read_csv(LIST)
    assert committed["split"].value_counts().to_dict() == {"test": 288, "val": 280}
    assert committed["sample_id"].tolist() == [f"fer2013/{row:05d}" for row in twins.index]
    assert committed["twin"].tolist() == [f"fer2013/{row:05d}" for row in twins]
