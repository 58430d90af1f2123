"""Rows of a table against its first, from committed predictions."""

import json
import shutil
from pathlib import Path

import pytest

from fer_lightning.paper_rows import EXPERIMENTS
from fer_lightning.reporting.papers.against import HEADS, against_first
from fer_lightning.reporting.papers.readme import read_cells, read_results

TABLE = EXPERIMENTS / "micro-optimizers"


def lines(table: Path, cells: list[dict]) -> dict[str, dict[str, str]]:
    heads, found = against_first(table, cells)
    assert heads == HEADS
    return {
        line[0]: dict(zip(("row", "against", "seeds", "accuracy", "", "p", "uf1"), line, strict=False))
        for line in found
    }


@pytest.fixture
def one(tmp_path) -> tuple[Path, list[dict]]:
    """Two rows with seed 0, and the same predictions once more under the name of seed 1."""
    out = tmp_path / "predictions"
    out.mkdir()
    wanted = [(row, 0, "full") for row in ("sgd-none", "radam-cosine")]
    cells = [facts for facts in read_cells(TABLE) if (facts["row"], facts["seed"], facts["budget"]) in wanted]
    for facts in cells:
        for seed in (0, 1):
            name = f"{facts['row']}-seed{seed}-{facts['budget']}"
            old = TABLE / "predictions" / f"{facts['row']}-seed0-{facts['budget']}"
            shutil.copyfile(old.with_suffix(".csv.gz"), out / f"{name}.csv.gz")
            (out / f"{name}.json").write_text(json.dumps(facts | {"seed": seed}))
    return tmp_path, cells


def test_differences_are_those_of_the_scores():
    cells = [facts for facts in read_cells(TABLE) if facts["budget"] == "full"]
    found = lines(TABLE, cells)
    assert "sgd-none" not in found
    results = read_results(TABLE)
    full = results[(results["budget"] == "full") & (results["part"] == "all")]
    means = full.groupby(["row", "metric"])["value"].mean()
    for row, line in found.items():
        assert (line["against"], line["seeds"]) == ("sgd-none", "0, 1, 2")
        expected = means[row, "accuracy"] - means["sgd-none", "accuracy"]
        assert float(line["accuracy"]) == pytest.approx(expected, abs=6e-5)
    alone = lines(TABLE, [facts for facts in cells if facts["seed"] == 0])["radam-cosine"]
    uf1 = full[(full["metric"] == "uf1") & (full["seed"] == "0")].set_index("row")["value"]
    assert float(alone["uf1"]) == pytest.approx(uf1["radam-cosine"] - uf1["sgd-none"], abs=6e-5)


def test_a_seed_that_repeats_another_adds_no_evidence(one):
    table, cells = one
    both = [facts | {"seed": seed} for facts in cells for seed in (0, 1)]
    single, double = lines(table, cells)["radam-cosine"], lines(table, both)["radam-cosine"]
    assert double.pop("seeds") == "0, 1"
    single.pop("seeds")
    assert single == double  # as many people, each with twice its samples


def test_rows_of_other_samples_folds_or_rules_are_not_compared(one):
    table, cells = one
    first, second = cells
    assert lines(table, [first, second]).keys() == {"radam-cosine"}
    for change in ({"data": "other"}, {"samples": 441}, {"protocol": "kfold"}, {"selection": "oracle_test"},
                   {"seed": 1}, {"folds": {"fold": ["a"]}}, {"classes": []}):  # fmt: skip
        assert lines(table, [first, second | change]) == {}, change
