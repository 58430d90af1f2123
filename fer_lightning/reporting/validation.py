"""The figure by which a run chose its epochs, from its validation predictions alone: no test file is opened."""

from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import PoolError
from fer_lightning.functional import continuous, metrics

#: Values of `protocol.metric` that can be computed again from predictions.
MEASURES = ("val_accuracy", "val_uf1", "val_ccc")


def validation_score(folder: Path, metric: str) -> float | None:
    """The metric of all validation predictions of a run at once; of a single fold, that of one file.

    Several folds are pooled into one confusion matrix (one set of sums), as test scores are. A sample that is in the
    validation part of several folds counts once for each: it was predicted by another network each time.

    Args:
        folder: a run folder.
        metric: one of `MEASURES`.

    Returns:
        The figure, nan where a probability is none; or None where the run has no validation predictions.

    Raises:
        PoolError: a file has other columns than the metric needs.
    """
    files = sorted((Path(folder) / "validation").glob("[!.]*.csv"))  # a dot: being written
    return score_files(files, metric) if files else None


def score_files(files: list[Path], metric: str) -> float:
    """The metric of these prediction files together, see `validation_score`."""
    table = pd.concat([pd.read_csv(file, dtype=str, keep_default_na=False) for file in files])
    try:
        return _ccc(table) if metric == "val_ccc" else _of_classes(table, metric)
    except KeyError as error:
        raise PoolError(f"{files[0]}: {metric} needs the column {error}, found {list(table.columns)}") from error


def _of_classes(table: pd.DataFrame, metric: str) -> float:
    table = table[table["label"] != ""]
    probabilities = [name for name in table.columns if name.startswith("p_")]
    if (table[probabilities] == "").any(axis=None):  # how a predictions file says nan: training has diverged
        return float("nan")
    classes = pd.Index([name.removeprefix("p_") for name in probabilities])
    indices = classes.get_indexer(table["label"]), classes.get_indexer(table["predicted"])
    score = {"val_accuracy": metrics.accuracy, "val_uf1": metrics.uf1}[metric]
    return float(score(metrics.confusion(*indices, len(classes))))


def _ccc(table: pd.DataFrame) -> float:
    predicted = [name for name in table.columns if name.startswith("predicted_")]
    if not predicted:
        raise KeyError("predicted_<value>")
    true = [name.removeprefix("predicted_") for name in predicted]
    x, y = (table[names].apply(pd.to_numeric).to_numpy(dtype=np.float64) for names in (true, predicted))
    return float(continuous.ccc(continuous.terms(x, y).sum(axis=0)).mean())
