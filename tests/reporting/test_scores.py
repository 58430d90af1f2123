"""The numbers of a run: against scikit-learn, in the promised order, the same on each rebuild."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from fer_lightning.errors import PoolError
from fer_lightning.functional.stats import wilson
from fer_lightning.reporting.pool import read_pool
from fer_lightning.reporting.scores import score, write_scores
from fer_lightning.score import main
from tests.reporting.conftest import CLASSES, composite, images

FIGURES = ["accuracy", "uf1", "uar", "weighted_f1", "mcc", "accuracy_one_vs_rest"]
INTERVALS = ["uf1_ci95", "uar_ci95", "accuracy_ci95"]
KEYS = [
    *("samples", "folds", "classes", "selection", "seed", *FIGURES, *INTERVALS, "interval", "per_class"),
    *("confusion", "parts", "validation", "honest", "synthetic", "versions", "device", "seconds"),
]
PART_KEYS = ["samples", "folds", *FIGURES, *INTERVALS, "per_class", "confusion"]


def like_megc2019() -> pd.DataFrame:
    """442 samples of 68 people: 24 + 28 + 16, sizes 1 to 39, most people without all classes."""
    rng = np.random.default_rng(0)
    rows = []
    for name, people in (("casme2", 24), ("samm", 28), ("smic", 16)):
        for person in range(people):
            size = int(np.minimum(1 + rng.geometric(1 / 5.5), 39))
            labels = rng.choice(CLASSES, size=size, p=[0.57, 0.25, 0.18])
            group = f"{name}/sub{person:02d}"
            rows += [(f"{group}/ep{i}", name, group, label, "") for i, label in enumerate(labels)]
    return pd.DataFrame(rows, columns=["sample_id", "dataset", "group", "label", "split"])


def assert_agrees_with_sklearn(figures: dict, table: pd.DataFrame) -> None:
    target, predicted = table["label"], table["predicted"]
    named = {"labels": CLASSES, "average": "macro"}
    assert figures["samples"] == len(table)
    assert figures["accuracy"] == pytest.approx(reference.accuracy_score(target, predicted))
    assert figures["uf1"] == pytest.approx(reference.f1_score(target, predicted, **named))
    assert figures["uar"] == pytest.approx(reference.recall_score(target, predicted, **named))
    assert figures["mcc"] == pytest.approx(reference.matthews_corrcoef(target, predicted))
    assert figures["confusion"] == reference.confusion_matrix(target, predicted, labels=CLASSES).tolist()
    for name in ("uf1", "uar", "accuracy"):
        low, high = figures[f"{name}_ci95"]
        assert low < figures[name] < high


def test_figures_of_all_and_of_the_parts_agree_with_sklearn(make_run):
    pool = read_pool(make_run(like_megc2019()))
    figures = score(pool)
    assert list(figures) == KEYS
    assert list(figures["parts"]) == ["casme2", "samm", "smic"]
    assert_agrees_with_sklearn(figures, pool.table)
    for name, part in figures["parts"].items():
        assert list(part) == PART_KEYS
        assert_agrees_with_sklearn(part, pool.table[pool.table["dataset"] == name])
    assert [part["folds"] for part in figures["parts"].values()] == [24, 28, 16]
    assert figures["folds"] == 68
    assert np.sum([part["confusion"] for part in figures["parts"].values()], axis=0).tolist() == figures["confusion"]
    assert "over 68 groups" in figures["interval"]
    assert figures["validation"] is None
    assert figures["honest"] is None


def test_per_class_has_names_and_agrees_with_sklearn(make_run):
    pool = read_pool(make_run())
    expected = reference.classification_report(
        pool.table["label"], pool.table["predicted"], labels=CLASSES, output_dict=True, zero_division=0
    )
    for name, values in score(pool)["per_class"].items():
        report = expected[name]
        assert list(values) == ["precision", "recall", "f1", "support"]
        assert values["f1"] == pytest.approx(report["f1-score"])
        assert (values["precision"], values["recall"]) == pytest.approx((report["precision"], report["recall"]))
        assert values["support"] == report["support"]


def test_perfect_predictions_score_one_pooled(make_run):
    figures = score(read_pool(make_run(like_megc2019(), skill=2.0)))
    assert figures["uf1"] == figures["uar"] == figures["accuracy"] == figures["mcc"] == 1.0
    assert figures["uf1_ci95"] == [1.0, 1.0]


def test_holdout_has_wilson_intervals_and_validation(make_run):
    pool = read_pool(make_run(images(), protocol="holdout"))
    figures = score(pool)
    hits = round(figures["accuracy"] * 20)
    assert figures["accuracy_ci95"] == pytest.approx(list(wilson(hits, 20)))
    assert "bootstrap, 2000 resamples, seed 0, over 20 samples; accuracy: 95 % Wilson" in figures["interval"]
    assert figures["parts"] == {}
    valid = pool.validation
    assert figures["validation"]["accuracy"] == pytest.approx((valid["label"] == valid["predicted"]).mean())
    assert list(figures["validation"]) == ["samples", "accuracy", "uf1", "uar", "accuracy_ci95"]


def test_one_rule_of_intervals_for_all_parts_where_only_some_samples_have_groups(make_run):
    manifest = composite()
    manifest.loc[manifest["dataset"] == "smic", "group"] = ""
    folder = make_run(composite())
    written = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    written["group"] = written["sample_id"].map(manifest.set_index("sample_id")["group"])
    written.to_csv(folder / "manifest.csv", index=False)
    figures = score(read_pool(folder))
    assert "over 4 groups and 12 single samples, each drawn with all its samples" in figures["interval"]
    part = figures["parts"]["smic"]
    hits = round(part["accuracy"] * part["samples"])
    assert part["accuracy_ci95"] != list(wilson(hits, part["samples"]))  # the sentence speaks of a bootstrap


def test_a_run_whose_tested_samples_have_no_label_has_no_score(make_run):
    pool = read_pool(make_run())
    with pytest.raises(PoolError, match="none of the 24 tested samples has a label"):
        score(replace(pool, table=pool.table.assign(label="")))


def test_a_composite_with_one_tested_person_has_no_interval(make_run):
    folder = make_run(composite())
    manifest = pd.read_csv(folder / "manifest.csv", keep_default_na=False)
    manifest["fold"] = manifest["fold"].where(manifest["fold"].isin(["smic-sub1", "casme2-sub1", "casme2-sub2"]), "")
    manifest.to_csv(folder / "manifest.csv", index=False)
    for file in (folder / "predictions").iterdir():
        if file.stem not in set(manifest["fold"]):
            file.unlink()
    parts = score(read_pool(folder))["parts"]
    assert parts["smic"]["uf1_ci95"] is parts["smic"]["accuracy_ci95"] is None
    assert parts["casme2"]["uf1_ci95"] is not None
    assert "null" in (write_scores(folder), (folder / "scores.json").read_text())[1]


def test_the_oracle_is_measured_against_the_last_epoch_of_the_same_training(make_run):
    manifest = like_megc2019()
    honest = make_run(manifest, selection="last", skill=0.0, epochs=100, name="honest")
    oracle = make_run(manifest, selection="oracle_test", skill=0.0, epochs=100, name="oracle")
    last, leaky = score(read_pool(honest)), score(read_pool(oracle))
    assert 0.25 < last["uf1"] < 0.42
    assert leaky["uf1"] > 0.65
    assert list(leaky["honest"])[: len(PART_KEYS)] == PART_KEYS
    assert {key: leaky["honest"][key] for key in PART_KEYS} == {key: last[key] for key in PART_KEYS}
    for name in ("uf1", "uar", "accuracy"):
        assert leaky["honest"][f"oracle_gap_{name}"] == pytest.approx(leaky[name] - last[name])


def test_scores_are_byte_identical_and_need_only_the_predictions(make_run):
    folder = make_run(like_megc2019(), selection="oracle_test", epochs=20)
    write_scores(folder)
    first = (folder / "scores.json").read_bytes()
    (folder / "scores.json").unlink()
    for file in (folder / "curves").iterdir():
        file.unlink()
    write_scores(folder)
    assert (folder / "scores.json").read_bytes() == first
    assert first.endswith(b"}\n")
    assert sorted(file.name for file in folder.iterdir() if file.name.startswith(".")) == []
    assert list(json.loads(first)) == KEYS


def test_half_a_run_is_not_scored_and_keeps_its_old_scores(make_run):
    folder = make_run()
    write_scores(folder)
    before = (folder / "scores.json").read_bytes()
    (folder / "predictions" / "smic-sub1.csv").unlink()
    with pytest.raises(PoolError, match="3 samples without a prediction"):
        write_scores(folder)
    assert (folder / "scores.json").read_bytes() == before


def test_seconds_are_summed_and_different_devices_listed(make_run):
    folder = make_run()
    file = folder / "predictions" / "smic-sub1.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"device": "NVIDIA H100", "seconds": 10.0}))
    figures = score(read_pool(folder))
    assert figures["device"] == ["cpu", "NVIDIA H100"]
    assert figures["versions"] == {"commit": "abc", "packages": {"torch": "2.0"}}
    assert figures["seconds"] == pytest.approx(7 * 1.5 + 10)


def test_scoring_is_quick(make_run):
    folder = make_run(like_megc2019())
    start = time.perf_counter()
    write_scores(folder)
    assert time.perf_counter() - start < 3


def test_the_command_prints_the_table_and_rebuilds(make_run, capsys):
    folder = make_run()
    assert main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert str(folder) in printed
    assert "smic" in printed
    assert (folder / "scores.json").is_file()


def test_the_command_goes_on_after_a_broken_run_and_returns_2(make_run, tmp_path, capsys):
    good = make_run()
    assert main([str(tmp_path / "absent"), str(good)]) == 2
    captured = capsys.readouterr()
    assert "absent/config.yaml: not found. Is" in captured.err.replace(os.sep, "/")
    assert "Traceback" not in captured.err
    assert (good / "scores.json").is_file()


def test_the_command_works_where_torch_cannot_be_imported(make_run):
    folder = make_run(selection="oracle_test")
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'pytorch_lightning', 'hydra', 'timm']));"
    code = f"{blocked} from fer_lightning.score import main; sys.exit(main(['--figures', {str(folder)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "last epoch" in done.stdout
    assert (folder / "figures" / "confusion_matrix.png").is_file()


def test_the_command_explains_itself():
    done = subprocess.run(
        [sys.executable, "-m", "fer_lightning.score", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "RUN [RUN ...]" in done.stdout
