"""Learning curves of a run, thinned so that a page of many runs stays small."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_lightning.functional.frames import natural_key
from fer_lightning.reporting.page.cell import load

#: Up to this many folds have a line each; of more, the page has the mean and a band.
MOST_FOLDS = 12
BAND = (0.1, 0.9)


def read_curves(folder: Path, points: int) -> dict[str, Any] | None:
    """Read ``curves/<fold>.csv``.

    Args:
        folder: the folder of the curves.
        points: epochs to keep at most; the first and the last are always among them, and no values are averaged.

    Returns:
        epochs (the kept ones), of (the number there were), folds (their number) and lines,
        ``{figure: {"mean": [...]}}`` with `folds` (one list a fold) for 2 to 12 folds and `low`, `high` (the 10 % and
        90 % quantiles) for more. None where the run kept no curves.

    Raises:
        PoolError: a file cannot be read or has no epochs.
    """
    table = read_folds(folder)
    if table is None:
        return None
    epochs = table.index.unique("epoch").sort_values().to_numpy()
    kept = thinned(epochs, points)
    table = table[table.index.isin(kept, level="epoch")]
    names = table.index.unique("fold")
    return {
        "epochs": kept.astype(int).tolist(),
        "of": len(epochs),
        "folds": len(names),
        "lines": {name: _line(table[name].unstack("fold")[names]) for name in table if table[name].notna().any()},
    }


def read_folds(folder: Path) -> pd.DataFrame | None:
    """All of ``curves/<fold>.csv``: one line for each fold (in natural order) and epoch; None where there are none.

    Raises:
        PoolError: a file cannot be read or has no epochs.
    """
    files = sorted(folder.glob("[!.]*.csv"), key=lambda file: natural_key(file.stem))
    if not files:
        return None
    tables = [load(file, _read).set_index("epoch") for file in files]
    return pd.concat(tables, keys=[file.stem for file in files], names=["fold", "epoch"])


def thinned(epochs: np.ndarray, points: int) -> np.ndarray:
    """`points` of the epochs at most, evenly, with the first and the last."""
    return epochs[np.unique(np.linspace(0, len(epochs) - 1, min(points, len(epochs))).round().astype(int))]


def _read(content: bytes) -> pd.DataFrame:
    rows = pd.read_csv(BytesIO(content))
    if "epoch" not in rows or not rows["epoch"].is_unique or rows["epoch"].isna().any():
        raise ValueError("expected each epoch once in a column 'epoch'")
    return rows.astype(float)


def _line(values: pd.DataFrame) -> dict[str, Any]:
    """`values`: one row an epoch, one column a fold."""
    line, folds = {"mean": short(values.mean(axis=1))}, values.shape[1]
    if folds > MOST_FOLDS:
        line |= {name: short(values.quantile(share, axis=1)) for name, share in zip(("low", "high"), BAND, strict=True)}
    elif folds > 1:
        line["folds"] = [short(values[fold]) for fold in values]
    return line


def short(values: pd.Series) -> list[float | None]:
    """Four digits; None: no number."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values]
