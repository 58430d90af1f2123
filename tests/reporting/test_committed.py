"""Predictions as they are committed: what was edited, damaged or contradicts itself makes no results.csv."""

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

from fer_lightning.errors import PoolError
from fer_lightning.reporting.papers.readme import without_repeats
from fer_lightning.reporting.papers.results import read_committed, read_facts
from tests.runs import HOUSE

EXPERIMENTS = HOUSE / "experiments"
CELL = EXPERIMENTS / "waspp-t10" / "predictions" / "wspp-seed0-cpu.json"
ORACLE = EXPERIMENTS / "micro-oracle" / "predictions" / "ststnet-oracle-seed0-cpu.json"
P = ["p_negative", "p_positive", "p_surprise"]


def test_every_committed_file_says_what_it_is_the_json_of():
    """Each table of predictions has its SHA-256 beside it, and it is that of the file."""
    tables = sorted(EXPERIMENTS.glob("*/predictions/*.csv.gz"))
    assert len(tables) > 150
    for table in tables:
        validation = table.name.endswith("-validation.csv.gz")
        facts = json.loads(
            (table.parent / f"{table.name.removesuffix('.csv.gz').removesuffix('-validation')}.json").read_bytes()
        )
        content = gzip.decompress(table.read_bytes())
        key = "validation_sha256" if validation else "predictions_sha256"
        assert facts[key] == hashlib.sha256(content).hexdigest(), table


def first_right(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(predicted=table["label"])


def three_times(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: table[name].astype(float) * 3 for name in P})


def one_blank(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[7, "label"] = ""
    return table


def one_foreign(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[7, "predicted"] = "anger"
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first_right, "are not predicted as their most probable class"),
        (three_times, "have a probability that is no number from 0 to 1"),
        (lambda table: table.assign(p_negative=""), "have a probability that is no number from 0 to 1"),
        (lambda table: table.drop(columns="p_positive"), r"has no columns \['p_positive'\]"),
        (lambda table: table.drop(columns="group"), r"has no columns \['group'\]"),
        (one_blank, "have a label outside"),
        (one_foreign, "have a predicted outside"),
        (lambda table: table.iloc[1:], "441 rows of 441 samples, expected 442"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(tmp_path, change, message):
    """Also where the SHA-256 was written anew with it."""
    with pytest.raises(PoolError, match=message) as raised:
        _read(_edited(CELL, tmp_path, change, signed=True))
    assert "wspp-seed0-cpu.csv.gz" in str(raised.value)


def test_the_last_epoch_beside_an_oracle_is_looked_at_too(tmp_path):
    assert [pool.selection for pool in _read(_edited(ORACLE, tmp_path, lambda table: table, signed=True))] == [
        "oracle_test", "last",
    ]  # fmt: skip
    with pytest.raises(PoolError, match="are not predicted as their most probable class"):
        _read(_edited(ORACLE, tmp_path, lambda table: table.assign(last_predicted=table["label"]), signed=True))


def test_a_table_that_is_not_the_collected_one_is_refused(tmp_path):
    """A person renamed contradicts nothing, and would change an interval."""
    other = _edited(CELL, tmp_path, lambda table: table.assign(group=table["group"].str.upper()), signed=False)
    with pytest.raises(PoolError, match="another SHA-256"):
        _read(other)
    facts = read_facts(other)
    del facts["predictions_sha256"]
    with pytest.raises(PoolError, match="does not stand in the"):
        read_committed(other, facts)


def _read(file: Path):
    return read_committed(file, read_facts(file))


def _edited(cell: Path, folder: Path, change: Callable, signed: bool) -> Path:
    """A copy of a committed cell with another table; `signed`: with its SHA-256."""
    file = Path(shutil.copy(cell, folder / cell.name))
    table = pd.read_csv(
        BytesIO(gzip.decompress(cell.with_suffix(".csv.gz").read_bytes())), dtype=str, keep_default_na=False
    )
    content = change(table).to_csv(index=False, lineterminator="\n").encode()
    file.with_suffix(".csv.gz").write_bytes(gzip.compress(content))
    if signed:
        file.write_text(json.dumps(read_facts(file) | {"predictions_sha256": hashlib.sha256(content).hexdigest()}))
    return file


def test_a_run_that_stands_at_two_budgets_is_said_once():
    lines = [("a", "cpu", "0", "x"), ("a", "cpu", "1", "y"), ("a", "night", "0", "x"), ("b", "cpu", "0", "u"),
             ("b", "night", "0", "v"), ("c", "cpu", "0", "w"), ("c", "night", "0", "w"), ("d", "", "", "")]  # fmt: skip
    table = pd.DataFrame(lines, columns=["row", "budget", "seed", "run"])
    left = without_repeats(table)
    dropped = table.drop(left.index)
    assert dropped.to_dict("records") == [{"row": "a", "budget": "night", "seed": "0", "run": "x"}]
