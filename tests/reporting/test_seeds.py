"""The mean over seeds and its interval: by hand, against naive resampling, and where people are missing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from fer_lightning.functional.metrics import accuracy, uf1
from fer_lightning.functional.paired import permutation_difference
from fer_lightning.functional.stats import bootstrap
from fer_lightning.reporting import twins, units
from fer_lightning.reporting.compare import differences
from fer_lightning.reporting.papers.results import figures
from fer_lightning.reporting.papers.seeds import mean_figures
from fer_lightning.reporting.pool import Pool

CLASSES = ["a", "b", "c"]


def guesses(seed: int, people: int = 12, skill: float = 0.5, grouped: bool = True) -> pd.DataFrame:
    """Guesses about the same samples of the same people (1 to 6 each, two data sets) for every seed."""
    rng, own = np.random.default_rng(1), np.random.default_rng(seed)
    person = np.repeat(np.arange(people), rng.integers(1, 7, size=people))
    label = rng.integers(3, size=len(person))
    predicted = np.where(own.random(len(person)) < skill, label, own.integers(3, size=len(person)))
    names = np.array(CLASSES)
    return pd.DataFrame({
        "sample_id": [str(i) for i in range(len(person))], "fold": "f", "label": names[label],
        "predicted": names[predicted], "dataset": np.where(person % 2, "x", "y"),
        "group": [f"p{i}" if grouped else "" for i in person],
    })  # fmt: skip


def pool(table: pd.DataFrame, seed: int = 0, data: str = "d") -> Pool:
    made = [{"fold": "f", "seconds": 1.0, "device": "cpu", "versions": {}}]
    return Pool(Path(), table, None, made, CLASSES, [], "m", data, "loso", "last", seed, False)


def mean_of(tables: list[pd.DataFrame], **more) -> dict[tuple[str, str], dict]:
    pools = [pool(table, seed, **more) for seed, table in enumerate(tables)]
    lines = [line for each in pools for line in figures(each)]
    return {(line["part"], line["metric"]): line for line in mean_figures(pools, lines)}


def by_hand(label: np.ndarray, predicted: np.ndarray) -> float:
    """Macro F1 over the classes that occur; what takes scikit-learn milliseconds is asked 1,200 times."""
    there = sorted({*label, *predicted})
    hits = [2 * np.sum((label == name) & (predicted == name)) for name in there]
    return float(np.mean([hit / (np.sum(label == name) + np.sum(predicted == name))
                          for hit, name in zip(hits, there, strict=True)]))  # fmt: skip


def test_units_are_people_where_they_are_known_and_samples_else():
    table = guesses(0, people=4).assign(sample_id=lambda table: "s" + table["sample_id"])
    table.loc[table["group"] == "p3", "group"] = ""
    single = int((table["group"] == "").sum())
    assert units.said(table) == f"3 groups and {single} single samples"
    assert units.said(table[table["group"] != ""]) == "3 groups"
    assert units.said(table.assign(group="")) == f"{len(table)} samples"
    assert len(units.counts([table], CLASSES)) == 3 + single
    assert units.has_groups(table)
    assert not units.has_groups(table.assign(group=""))


def test_counts_by_hand_and_a_person_that_one_seed_did_not_test():
    first = pd.DataFrame({"sample_id": list("123"), "group": ["p", "q", "p"], "label": list("aab"),
                          "predicted": list("abb")})  # fmt: skip
    counts = units.counts([first, first[first["group"] == "q"]], ["a", "b"])
    assert counts.tolist() == [[[[1, 0], [0, 1]], [[0, 0], [0, 0]]], [[[0, 1], [0, 0]], [[0, 1], [0, 0]]]]


def test_the_mean_is_that_of_the_seeds_and_its_interval_that_of_naive_resampling():
    tables = [guesses(seed) for seed in range(3)]
    found = mean_of(tables)
    scores = [f1_score(table["label"], table["predicted"], average="macro") for table in tables]
    line = found["all", "uf1"]
    assert line["value"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert line["n"] == str(len(tables[0]))
    group, pairs = tables[0]["group"].to_numpy(), [table[["label", "predicted"]].to_numpy() for table in tables]
    assert [by_hand(*table.T) for table in pairs] == pytest.approx(scores)
    people, rng, drawn = sorted(set(group)), np.random.default_rng(5), []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(group == name) for name in rng.choice(people, len(people))])
        drawn.append(np.mean([by_hand(*table[rows].T) for table in pairs]))
    width = line["high"] - line["low"]
    assert [line["low"], line["high"]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.12 * width)
    assert {("x", "uf1"), ("y", "accuracy_one_vs_rest")} <= set(found)


def test_seeds_that_err_on_other_samples_narrow_the_interval_and_one_that_repeats_does_not():
    one = figures(pool(guesses(0)))
    alone = next(line for line in one if line["metric"] == "uf1")
    twice, other = (mean_of([guesses(0), guesses(seed)])["all", "uf1"] for seed in (0, 7))
    assert (twice["value"], twice["low"], twice["high"]) == (alone["value"], alone["low"], alone["high"])
    assert other["high"] - other["low"] < alone["high"] - alone["low"]


def test_duplicates_are_left_out_of_the_mean_too(monkeypatch):
    tables = [guesses(seed, grouped=False) for seed in (0, 1)]
    gone = frozenset(tables[0]["sample_id"][:5])
    monkeypatch.setattr(twins, "read_twins", lambda: gone)
    line = mean_of(tables, data="fer2013")["all", "accuracy_deduplicated"]
    hits = [(table["label"] == table["predicted"])[5:].mean() for table in tables]
    assert line["value"] == pytest.approx(np.mean(hits), abs=1e-6)
    assert line["low"] < line["value"] < line["high"]


def test_the_difference_of_two_rows_is_the_difference_of_their_means():
    first, second = ([guesses(seed, skill=skill) for seed in seeds] for seeds, skill in (((0, 1), 0.6), ((2, 3), 0.4)))
    found = differences(*(units.counts(tables, CLASSES) for tables in (first, second)))
    gap = mean_of(first)["all", "uf1"]["value"] - mean_of(second)["all", "uf1"]["value"]
    assert found["uf1"]["difference"] == pytest.approx(gap, abs=2e-6)
    low, high = found["uf1"]["ci95"]
    assert low < gap < high


def test_one_seed_alone_gives_what_it_gave_before():
    counts = [units.counts([guesses(seed)], CLASSES) for seed in (0, 1)]
    plain, measures = [each[:, 0] for each in counts], {"accuracy": accuracy, "uf1": uf1}
    assert bootstrap(plain[0], measures) == bootstrap(counts[0], units.means(measures))
    assert permutation_difference(*plain, measures) == permutation_difference(*counts, units.means(measures))
