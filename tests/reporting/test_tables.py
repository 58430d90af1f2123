"""The terminal table says what a reader must know: the leak, the honest row, synthetic data."""

import re
from io import StringIO
from pathlib import Path

from rich.console import Console

from fer_lightning.reporting.pool import read_pool
from fer_lightning.reporting.scores import score
from fer_lightning.reporting.tables import print_scores
from tests.reporting.conftest import images


def printed(folder: Path) -> tuple[dict, str]:
    scores, stream = score(read_pool(folder)), StringIO()
    print_scores(scores, folder, Console(file=stream, width=80))
    return scores, stream.getvalue()


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))


def test_all_and_each_part_have_a_row_with_interval(make_run):
    scores, text = printed(make_run())
    low, high = scores["uf1_ci95"]
    rows = text.splitlines()
    below = rows[rows.index(row(text, "all")) + 1]
    assert f"{scores['uf1']:.3f}" in row(text, "all")
    assert f"(.{1000 * low:.0f}-.{1000 * high:.0f})" in below
    assert f"{scores['parts']['smic']['uar']:.3f}" in row(text, "smic")
    assert "12" in row(text, "casme2").split()
    assert "Scored at the last epoch of each fold." in text
    assert "†" not in text
    assert "SYNTHETIC" not in text


def test_the_oracle_row_has_a_dagger_and_the_honest_row_beside_it(make_run):
    scores, text = printed(make_run(selection="oracle_test"))
    rows = [line.strip() for line in text.splitlines()]
    oracle = rows.index(row(text, "all †").strip())
    assert rows[oracle + 2].startswith("last epoch")
    assert f"{scores['uf1']:.3f}" in rows[oracle]
    assert f"{scores['honest']['uf1']:.3f}" in rows[oracle + 2]
    assert "smic †" in text
    assert "best on the test samples of each fold (oracle_test). That is a leak" in text
    assert f"Gained by the leak: UF1 {scores['honest']['oracle_gap_uf1']:+.3f}" in text


def test_the_table_fits_into_80_columns_unbroken(make_run):
    _, text = printed(make_run(selection="oracle_test"))
    intervals = [line.split() for line in text.splitlines() if line.strip().startswith("(")]
    assert len(intervals) == 4
    assert all(re.fullmatch(r"\((\.\d{3}|1\.00)-(\.\d{3}|1\.00)\)", cell) for line in intervals for cell in line)
    assert any("1.00" in cell for line in intervals for cell in line)


def test_the_validation_row_of_a_holdout(make_run):
    scores, text = printed(make_run(images(), protocol="holdout", selection="inner_val"))
    assert f"{scores['validation']['accuracy']:.3f}" in row(text, "validation")
    assert "best on validation samples" in text


def test_synthetic_data_is_called_so(make_run):
    _, text = printed(make_run(synthetic=True))
    assert "SYNTHETIC DATA" in text


def test_brackets_in_a_folder_name_are_printed_as_they_are(make_run):
    _, text = printed(make_run(name="run[0]"))
    assert "run[0]  (8 folds, seed 0)" in text
