"""``experiments/<table>/not-run.csv``: row, budget, reason. What a table says of rows without a result."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fer_lightning.files import write_atomically

COLUMNS = ["row", "budget", "reason"]


def note(table: Path, budget: str, reasons: Mapping[str, str]) -> None:
    """Put down why these rows have no result at this budget; a reason "" takes an older one away."""
    old = read(table)
    kept = {key: reason for key, reason in old.items() if key[1] != budget or key[0] not in reasons}
    new = kept | {(row, budget): reason for row, reason in reasons.items() if reason}
    file = table / "not-run.csv"
    if new != old:
        lines = pd.DataFrame([(*key, new[key]) for key in sorted(new)], columns=COLUMNS)
        write_atomically(file, lines.to_csv(index=False, lineterminator="\n"))


def read(table: Path) -> dict[tuple[str, str], str]:
    """(row, budget) -> reason."""
    file = table / "not-run.csv"
    if not file.is_file():
        return {}
    lines = pd.read_csv(file, dtype=str, keep_default_na=False)
    return {(line.row, line.budget): line.reason for line in lines.itertuples()}
