"""Runs that predict valence and arousal, alone or beside classes: read, refused, scored, printed, drawn."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console
from sklearn.metrics import root_mean_squared_error

from fer_lightning.errors import PoolError
from fer_lightning.functional.continuous import best_epoch
from fer_lightning.reporting.figures import agreement_figure, write_figures
from fer_lightning.reporting.pool import read_pool
from fer_lightning.reporting.scores import objective, score, write_scores
from fer_lightning.reporting.tables import print_scores

CLASSES, TARGETS = ["happy", "sad", "angry"], ["valence", "arousal"]
MEASURES = [f"{m}{t}" for m in ("ccc", "rmse", "mae", "sagr") for t in ("", "_valence", "_arousal")]
HEAD, TAIL = ["samples", "folds", "targets"], ["interval", "parts", "validation", "honest"]
INTERVALS = [f"{name}_ci95" for name in MEASURES]
MADE = ["synthetic", "versions", "device", "seconds"]


def two_pass(x: pd.Series, y: pd.Series) -> float:
    x, y = x.to_numpy(), y.to_numpy()
    return 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def write(table: pd.DataFrame, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False, float_format="%.8f", lineterminator="\n")


@pytest.fixture
def make(tmp_path) -> Callable[..., Path]:
    """A run folder: 120 samples of 8 people in two data sets, one fold a data set; 4 recorded epochs."""

    def made(joint: bool = False, selection: str = "last", validation: bool = False) -> Path:
        folder, rng, epochs = tmp_path / "run", np.random.default_rng(3), 4
        number = np.arange(120)
        manifest = pd.DataFrame({"sample_id": [f"{i:05d}" for i in number], "dataset": np.where(number < 70, "a", "b")})
        manifest["group"] = manifest["dataset"] + "/" + pd.Series(number % 4).astype(str)
        manifest["label"] = np.array(CLASSES)[rng.integers(3, size=120)] if joint else ""
        manifest[TARGETS] = rng.uniform(-1, 1, (120, 2)).round(3)
        if joint:  # some samples lack the one, some the other
            manifest.loc[:9, "label"] = ""
            manifest.loc[100:, TARGETS] = np.nan
        manifest["fold"] = "" if validation else manifest["dataset"]
        if validation:
            manifest.loc[number % 2 == 0, "fold"] = "holdout"
        write(manifest, folder / "manifest.csv")
        config = {
            "seed": 0, "model_name": "resnet18", "data": {"name": "faces", "classes": CLASSES, "targets": TARGETS},
            "protocol": {"name": "holdout" if validation else "loso", "selection": selection},
            "task": {"num_targets": 2} | ({"num_classes": 3} if joint else {}),
        }  # fmt: skip
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "run.json").write_text('{"synthetic": false}')
        for name, rows in manifest.groupby("fold"):
            if name:
                write_fold(folder, rows, name, selection, joint, epochs, rng)
        if validation:
            watched = manifest[manifest["fold"] == ""]
            write(predictions(watched, "holdout", guess(watched, joint, rng), joint), folder / "validation/holdout.csv")
        return folder

    return made


def guess(rows: pd.DataFrame, joint: bool, rng: np.random.Generator) -> dict[str, np.ndarray]:
    values = 0.5 * rows[TARGETS].fillna(0).to_numpy() + rng.normal(0, 0.3, (len(rows), 2))
    shares = rng.dirichlet(np.ones(3), len(rows))
    return {"values": values} | ({"probabilities": shares} if joint else {})


def predictions(rows: pd.DataFrame, fold: str, found: dict[str, np.ndarray], joint: bool) -> pd.DataFrame:
    table = pd.DataFrame({"sample_id": rows["sample_id"], "fold": fold})
    if joint:
        table["label"], table["predicted"] = rows["label"], np.array(CLASSES)[found["probabilities"].argmax(axis=1)]
        table[[f"p_{name}" for name in CLASSES]] = found["probabilities"]
    table[TARGETS] = rows[TARGETS]
    table[[f"predicted_{name}" for name in TARGETS]] = found["values"]
    return table


def write_fold(folder, rows, name, selection, joint, epochs, rng) -> None:
    trials = [guess(rows, joint, rng) for _ in range(epochs)]
    records = {key: np.stack([trial[key] for trial in trials]) for key in trials[0]}
    best = epochs - 1
    if selection == "oracle_test":
        (folder / "epochs").mkdir(exist_ok=True)
        known = rows["label"].map({label: i for i, label in enumerate(CLASSES)}).fillna(-1).to_numpy()
        hits = [(trial["probabilities"].argmax(axis=1) == known).sum() for trial in trials] if joint else None
        best = int(np.argmax(hits)) if joint else best_epoch(records["values"], rows[TARGETS].to_numpy())
        ids = {"sample_id": rows["sample_id"].to_numpy(str), "epoch": np.arange(1, epochs + 1)}
        np.savez(folder / "epochs" / f"{name}.npz", **ids, **records)
    write(predictions(rows, name, trials[best], joint), folder / "predictions" / f"{name}.csv")
    meta = {"fold": name, "selection": selection, "epoch": best + 1, "seconds": 1.0, "device": "cpu", "versions": {}}
    (folder / "predictions" / f"{name}.json").write_text(json.dumps(meta))
    curve = {"epoch": [1, 2], "train_loss": [1.0, 0.8], "train_ccc": [0.1, -0.2]}
    write(pd.DataFrame(curve), folder / "curves" / f"{name}.csv")


def assert_agrees(figures: dict, table: pd.DataFrame) -> None:
    table = table.dropna(subset=TARGETS)
    assert figures["samples"] == len(table)
    for name in TARGETS:
        x, y = table[name], table[f"predicted_{name}"]
        assert figures[f"ccc_{name}"] == pytest.approx(two_pass(x, y))
        assert figures[f"rmse_{name}"] == pytest.approx(root_mean_squared_error(x, y))
        assert figures[f"mae_{name}"] == pytest.approx((x - y).abs().mean())
        assert figures[f"sagr_{name}"] == pytest.approx((np.sign(x) == np.sign(y)).mean())
    for measure in ("ccc", "rmse", "mae", "sagr"):
        assert figures[measure] == pytest.approx(np.mean([figures[f"{measure}_{name}"] for name in TARGETS]))
        low, high = figures[f"{measure}_ci95"]
        assert low < figures[measure] < high


def test_values_are_scored_over_all_folds_at_once(make):
    pool = read_pool(make())
    figures = score(pool)
    assert list(figures) == [*HEAD, "selection", "seed", *MEASURES, *INTERVALS, *TAIL, *MADE]
    assert_agrees(figures, pool.table)
    assert list(figures["parts"]) == ["a", "b"]
    for name, part in figures["parts"].items():
        assert_agrees(part, pool.table[pool.table["dataset"] == name])
    assert "over 8 groups, each drawn with all its samples" in figures["interval"]
    assert objective(figures) == figures["ccc"]
    assert pool.classes == []


def test_a_data_set_without_a_value_is_no_part_and_a_value_that_nobody_has_is_refused(make):
    pool = read_pool(make())
    partly = pool.table.copy()
    partly.loc[partly["dataset"] == "b", TARGETS[1]] = np.nan
    figures = score(replace(pool, table=partly))
    assert list(figures["parts"]) == ["a"]
    json.dumps(figures, allow_nan=False)
    with pytest.raises(PoolError, match=f"none of the 120 tested samples has a value of {TARGETS[1]}"):
        score(replace(pool, table=partly.assign(**{TARGETS[1]: np.nan})))


def test_the_title_of_the_picture_counts_samples_with_a_value(make):
    pool = read_pool(make(joint=True))
    assert "n = 100" in agreement_figure(pool).get_suptitle()


def test_classes_and_values_are_scored_on_the_samples_that_have_them(make):
    pool = read_pool(make(joint=True))
    figures = score(pool)
    labelled = pool.table[pool.table["label"] != ""]
    assert figures["samples"] == len(labelled) == 110
    assert figures["accuracy"] == pytest.approx((labelled["label"] == labelled["predicted"]).mean())
    assert figures["continuous"]["samples"] == 100
    assert list(figures["continuous"]) == [*HEAD, *MEASURES, *INTERVALS, *TAIL]
    assert_agrees(figures["continuous"], pool.table)
    assert objective(figures) == pytest.approx((figures["uf1"] + figures["continuous"]["ccc"]) / 2)


@pytest.mark.parametrize("joint", [False, True])
def test_the_oracle_is_measured_against_the_last_epoch(make, joint):
    folder = make(joint=joint, selection="oracle_test")
    pool, figures = read_pool(folder), score(read_pool(folder))
    block = figures["continuous"] if joint else figures
    last = {}
    for file in (folder / "epochs").iterdir():
        with np.load(file) as arrays:
            last |= dict(zip(arrays["sample_id"], arrays["values"][-1], strict=True))
    predicted = np.stack([last[sample] for sample in pool.table["sample_id"]])
    table = pool.table.assign(predicted_valence=predicted[:, 0], predicted_arousal=predicted[:, 1])
    assert_agrees(block["honest"], table)
    assert block["honest"]["oracle_gap_ccc"] == pytest.approx(block["ccc"] - block["honest"]["ccc"])
    if not joint:
        assert block["honest"]["oracle_gap_ccc"] > 0


def test_the_validation_samples_of_a_holdout_are_scored_apart(make):
    figures = score(read_pool(make(validation=True, selection="inner_val")))
    assert figures["validation"]["samples"] == figures["samples"] == 60
    assert figures["validation"]["ccc"] != figures["ccc"]


@pytest.mark.parametrize("joint", [False, True])
def test_scores_are_rebuilt_byte_for_byte(make, joint):
    folder = make(joint=joint, selection="oracle_test")
    write_scores(folder)
    first = (folder / "scores.json").read_bytes()
    (folder / "scores.json").unlink()
    write_scores(folder)
    assert (folder / "scores.json").read_bytes() == first


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("predicted_valence", "nan", r"1 rows have no number as predicted_valence \(first: '00000' with 'nan'"),
        ("predicted_arousal", "", r"1 rows have no number as predicted_arousal"),
        ("valence", "high", r"1 rows have no number as valence"),
        ("arousal", "0.5", r"1 rows have another arousal than manifest.csv \(first: '00000', '0\.5' instead of"),
        ("valence", "", r"1 rows have another valence than manifest.csv"),
    ],
)
def test_values_that_are_no_numbers_or_not_those_of_the_manifest_are_refused(make, column, value, message):
    folder = make()
    file = folder / "predictions" / "a.csv"
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    table.loc[0, column] = value
    table.to_csv(file, index=False)
    with pytest.raises(PoolError, match=message):
        read_pool(folder)


def test_half_a_pool_and_other_columns_are_refused(make):
    folder = make()
    (folder / "predictions" / "a.csv").unlink()
    with pytest.raises(PoolError, match="70 samples without a prediction"):
        read_pool(folder)
    file = folder / "predictions" / "b.csv"
    pd.read_csv(file, dtype=str).drop(columns="arousal").to_csv(file, index=False)
    with pytest.raises(PoolError, match=r"expected the columns \['sample_id', 'fold', 'valence', 'arousal', 'predic"):
        read_pool(folder)


@pytest.mark.parametrize("joint", [False, True])
def test_the_table_and_the_pictures(make, joint):
    folder = make(joint=joint, selection="oracle_test")
    scores, stream = score(read_pool(folder)), StringIO()
    print_scores(scores, folder, Console(file=stream, width=80))
    text, block = stream.getvalue(), scores["continuous"] if joint else scores
    for figure in ("ccc", "ccc_valence", "ccc_arousal", "rmse", "mae", "sagr"):
        assert f"{block[figure]:.3f}" in text
    assert f"Gained by the leak: CCC {block['honest']['oracle_gap_ccc']:+.3f}." in text
    assert ("UF1" in text) == joint
    assert "all †" in text
    drawn = ["agreement.png", "learning_curves.png"]
    assert [file.name for file in write_figures(folder)] == (["confusion_matrix.png", *drawn] if joint else drawn)
