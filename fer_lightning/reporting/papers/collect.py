"""From a run folder to the few files of it that are committed: everything its scores need, and nothing else.

::

    predictions/<name>.csv.gz              the tested samples of all folds: sample_id, fold, dataset, group, label,
                                           predicted, p_<class> ..., <value> ..., predicted_<value> ...; of oracle_test
                                           also last_predicted, last_p_<class> ..., at the last epoch of each fold
    predictions/<name>-validation.csv.gz   the same of the validation samples, where there are any
    predictions/<name>.json                what was run, how long, with what; one line a key
    predictions/<name>-curves.csv          epoch, folds and the mean over these folds of loss and scores while training
    predictions/<name>-grad_cam_classes.png    mean maps of each class, where the run has the picture; it shows nobody
    predictions/<row>-counts.json          parameters of the network of a row

``<name>`` is ``<row>-seed<k>-<budget>``, with ``-<data>`` where another data set than the row's own was asked for.
"""

import gzip
import hashlib
import json
import sys
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from fer_lightning.errors import PoolError
from fer_lightning.files import write_atomically
from fer_lightning.reporting.epochs import at_last_epoch, last_epoch
from fer_lightning.reporting.page.curves import read_folds, thinned
from fer_lightning.reporting.pool import Pool, read_pool
from fer_lightning.reporting.scores import distinct

#: Digits of probabilities and values behind the point: what is predicted stands beside them, in words.
FORMAT = "%.5f"
ROUNDED = 5e-6
#: A file larger than this does not belong into a repository.
LIMIT = 5_000_000
PICTURE, PICTURE_LIMIT = "grad_cam_classes", 500_000
#: Epochs that a learning curve keeps at most.
POINTS = 200
AGAIN = "Take it from the repository, or run the row again"


def file_name(about: Mapping[str, Any]) -> str:
    """Name of a cell's files, without ending."""
    name = f"{about['row']}-seed{about['seed']}-{about['budget']}"
    return f"{name}-{about['asked']}" if about["asked"] else name


def collect(folder: Path, predictions: Path, about: Mapping[str, Any], synthetic: bool = False) -> Path:
    """Write the committed files of a run, unless they are those of this run already.

    Curves and picture are added to those whenever the run folder has them.

    Args:
        folder: the run folder; an ensemble's will do.
        predictions: ``experiments/<table>/predictions``.
        about: row, seed, budget, asked (another data set that was asked for, or ""), run (name of its folder) and
            command; `read` is `last` where a run that looked at the test samples is committed as of its last epoch.
        synthetic: accept a run on generated data.

    Returns:
        The ``.json``.

    Raises:
        PoolError: the run is incomplete, on generated data, or its files would be too large.
    """
    file = predictions / f"{file_name(about)}.json"
    sha = hashlib.sha256((folder / "scores.json").read_bytes()).hexdigest()
    if file.is_file() and json.loads(file.read_bytes()).get("scores_sha256") == sha:
        _add_curves(folder, file)
        _add_picture(folder, file)
        return file
    pool = read_pool(folder)
    if pool.synthetic and not synthetic:
        raise PoolError(f"{folder} is a run on generated data; its numbers do not belong into {predictions.parent}")
    for stale in (curves_file(file), picture_file(file)):
        stale.unlink(missing_ok=True)
    if about.get("read") == "last":
        pool = at_last_epoch(pool)
    lasts = [last_epoch(pool).add_prefix("last_")] if pool.selection == "oracle_test" else []
    written = {"predictions_sha256": write_table(file.with_suffix(".csv.gz"), pd.concat([pool.table, *lasts], axis=1))}
    if pool.validation is not None:
        table = file.with_name(f"{file.stem}-validation.csv.gz")
        written["validation_sha256"] = write_table(table, pool.validation)
    write_facts(file, {**about, **_facts(pool), "folds": _folds(pool), "scores_sha256": sha, **written})
    _add_curves(folder, file)
    _add_picture(folder, file)
    return file


def curves_file(file: Path) -> Path:
    """The learning curves beside a cell's ``.json``."""
    return file.with_name(f"{file.stem}-curves.csv")


def picture_file(file: Path) -> Path:
    """The picture beside a cell's ``.json``."""
    return file.with_name(f"{file.stem}-{PICTURE}.png")


def _add_curves(folder: Path, file: Path) -> None:
    if curves_file(file).is_file():
        return
    table = read_folds(folder / "curves")
    if table is None:
        return
    by_epoch = table.drop(columns="lr", errors="ignore").groupby("epoch")
    means = by_epoch.mean().dropna(axis=1, how="all")
    means.insert(0, "folds", by_epoch.size())
    means.index = means.index.astype(int)
    kept = means.loc[thinned(means.index.to_numpy(), POINTS)]
    write_atomically(curves_file(file), kept.to_csv(float_format="%.6g", lineterminator="\n"))


def _add_picture(folder: Path, file: Path) -> None:
    picture = folder / "figures" / f"{PICTURE}.png"
    if not picture.is_file():
        return
    content, committed = picture.read_bytes(), picture_file(file)
    if len(content) > PICTURE_LIMIT:
        print(f"left out: {picture} ({len(content) / 1e3:.0f} kB, at most {PICTURE_LIMIT / 1e3:.0f})", file=sys.stderr)
    elif not committed.is_file() or committed.read_bytes() != content:
        write_atomically(committed, content)


def write_table(file: Path, table: pd.DataFrame) -> str:
    """A csv that the same table always gives the same bytes of.

    Returns:
        SHA-256 of the csv, before it is packed.

    Raises:
        PoolError: it is larger than `LIMIT`.
    """
    content = table.to_csv(index=False, float_format=FORMAT, lineterminator="\n").encode()
    packed = gzip.compress(content, mtime=0)
    if len(packed) > LIMIT:
        raise PoolError(f"{file}: {len(packed) / 1e6:.1f} MB, at most {LIMIT / 1e6:.0f} belong into a repository")
    write_atomically(file, packed)
    return hashlib.sha256(content).hexdigest()


def read_table(file: Path, numbers: list[str], digest: str = "") -> pd.DataFrame:
    """What `write_table` wrote; `numbers` are the columns that are no text.

    Raises:
        PoolError: the file is missing, broken, or has another SHA-256 than `digest`.
    """
    try:
        content = gzip.decompress(file.read_bytes())
        if digest and hashlib.sha256(content).hexdigest() != digest:
            raise PoolError(f"{file}: not the predictions that were collected (another SHA-256). {AGAIN}")
        table = pd.read_csv(BytesIO(content), dtype=str, keep_default_na=False)
        return table.assign(**{name: pd.to_numeric(table[name]) for name in numbers if name in table})
    except (OSError, ValueError, EOFError) as error:
        raise PoolError(f"{file}: cannot be read ({error}). {AGAIN}") from error


def write_facts(file: Path, facts: Mapping[str, Any]) -> None:
    """JSON with one line a key: lists of 68 folds stay readable in a diff."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items()]
    write_atomically(file, "{\n" + ",\n".join(lines) + "\n}\n")


def _facts(pool: Pool) -> dict[str, Any]:
    made = {key: distinct(fold.get(key) for fold in pool.folds) for key in ("device", "threads", "versions")}
    return {
        "model": pool.model, "data": pool.data, "protocol": pool.protocol, "selection": pool.selection,
        "classes": pool.classes, "targets": pool.targets, "samples": len(pool.table), "synthetic": pool.synthetic,
        **made,
    }  # fmt: skip


def _folds(pool: Pool) -> dict[str, list[Any]]:
    """Columns fold, epoch (scored), epochs, seconds, train (samples), train_accuracy (of the scored epoch)."""
    rows = []
    trained = _training_samples(pool)
    for fold in pool.folds:
        row = {"fold": fold["fold"], "epoch": fold.get("epoch"), "epochs": fold.get("epochs")}
        row |= {"seconds": fold["seconds"], "train": trained[fold["fold"]], "train_accuracy": None}
        curves = pool.folder / "curves" / f"{fold['fold']}.csv"
        if curves.is_file():
            lines = pd.read_csv(curves).set_index("epoch")
            if "train_accuracy" in lines and fold["epoch"] in lines.index:
                row["train_accuracy"] = round(float(lines.at[fold["epoch"], "train_accuracy"]), 6)
        rows.append(row)
    return {key: [row[key] for row in rows] for key in rows[0]}


def _training_samples(pool: Pool) -> dict[str, int]:
    manifest = pd.read_csv(pool.folder / "manifest.csv", dtype=str, keep_default_na=False)
    if pool.protocol == "holdout" and "split" in manifest:
        train = manifest["split"] == "train"
        if pool.validation is not None:  # some data sets have none of their own: it is carved out of train
            train &= ~manifest["sample_id"].isin(pool.validation["sample_id"])
        return {fold["fold"]: int(train.sum()) for fold in pool.folds}
    rest = pd.Series(len(manifest), index=[fold["fold"] for fold in pool.folds])
    for held_out in (pool.table, pool.validation):
        if held_out is not None:
            rest = rest.sub(held_out["fold"].value_counts(), fill_value=0)
    return {fold: int(count) for fold, count in rest.items()}
