"""The files that a fold leaves: predictions, curves, and what is predicted in every view or epoch."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.files import write_atomically
from fer_lightning.functional.folds import Fold


def write_predictions(
    folder: Path, data: FERDataModule, fold: Fold, ids: tuple[str, ...], found: torch.Tensor, classes: list[str],
    targets: list[str],
) -> None:  # fmt: skip
    """What is predicted of these samples, beside what is true, as ``<folder>/<fold>.csv``.

    Args:
        folder: where the file goes.
        data: has the rows of the samples.
        fold: names the file.
        ids: the samples, in the order of `found`.
        found: a probability for each class, then a value for each target, shape ``(n, C + T)``.
        classes: names of the classes; may be empty.
        targets: names of the values; may be empty.

    Raises:
        StorageError: the disk is full or the folder cannot be written; so do the other functions here.
    """
    found = found.double().numpy()
    rows = data.rows(ids)
    table = pd.DataFrame({"sample_id": list(ids), "fold": fold.name})
    if classes:
        table["label"] = rows["label"].tolist()
        table["predicted"] = np.array(classes)[found[:, : len(classes)].argmax(axis=1)]
    for place, name in enumerate(classes):
        table[f"p_{name}"] = found[:, place]
    for name in targets:
        table[name] = rows[name].astype(float).tolist()
    for place, name in enumerate(targets, start=len(classes)):
        table[f"predicted_{name}"] = found[:, place]
    write_atomically(folder / f"{fold.name}.csv", table.to_csv(index=False, float_format="%.8f", lineterminator="\n"))


def write_arrays(
    folder: Path, fold: Fold, found: np.ndarray, classes: list[str], targets: list[str], **more: np.ndarray
) -> None:
    """What is predicted of the test samples in every view or epoch, so that a reader can look at it in another way.

    Args:
        folder: where ``<fold>.npz`` goes.
        fold: the test samples.
        found: as in `write_predictions`, with the views or epochs on an axis of their own before the last one.
        classes: names of the classes; may be empty.
        targets: names of the values; may be empty.
        more: what the axis of views or epochs means.
    """
    arrays = {"sample_id": np.array(fold.test)} | more
    arrays |= {"probabilities": found[..., : len(classes)]} if classes else {}
    arrays |= {"values": found[..., len(classes) :]} if targets else {}
    write_atomically(folder / f"{fold.name}.npz", lambda file: np.savez(file, **arrays))


def write_curves(out: Path, fold: Fold, history: list[dict[str, float]]) -> None:
    """The figures of each epoch, as ``curves/<fold>.csv`` in the run folder."""
    write_atomically(
        out / "curves" / f"{fold.name}.csv", pd.DataFrame(history).to_csv(index=False, lineterminator="\n")
    )
