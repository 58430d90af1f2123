"""Run folders as training writes them, made from numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fer_lightning.functional.folds import Fold, holdout, leave_one_subject_out
from fer_lightning.functional.selection import oracle_epoch

CLASSES = ["negative", "positive", "surprise"]
META = {"epochs": 5, "seconds": 1.5, "device": "cpu", "threads": 1}
VERSIONS = {"commit": "abc", "packages": {"torch": "2.0"}}


def composite() -> pd.DataFrame:
    """24 samples of 8 people in two data sets."""
    rows = [
        (name, f"sub{person}", clip) for name in ("smic", "casme2") for person in (1, 2, 10, 11) for clip in range(3)
    ]
    frame = pd.DataFrame(rows, columns=["dataset", "subject", "clip"])
    frame["group"] = frame["dataset"] + "/" + frame["subject"]
    frame["sample_id"] = frame["group"] + "/ep" + frame["clip"].astype(str)
    frame["label"] = [CLASSES[(i // 3 + i * i) % 3] for i in range(len(frame))]
    return frame[["sample_id", "dataset", "group", "label"]].assign(split="")


def images(count: int = 60) -> pd.DataFrame:
    """Samples without people, with a published split."""
    return pd.DataFrame(
        {
            "sample_id": [f"fer2013/{i:05d}" for i in range(count)],
            "dataset": "fer2013",
            "group": "",
            "label": [CLASSES[i % 3] for i in range(count)],
            "split": [("train", "val", "test")[i // 2 % 3] for i in range(count)],
        }
    )


def guesses(labels: np.ndarray, rng: np.random.Generator, skill: float) -> np.ndarray:
    """Probabilities (n, C), float32, rows summing to 1, right more often with more skill."""
    values = rng.random((len(labels), len(CLASSES)))
    values[np.arange(len(labels)), [CLASSES.index(name) for name in labels]] += skill
    return (values / values.sum(axis=1, keepdims=True)).astype(np.float32)


def predictions(ids: tuple[str, ...], fold: str, labels: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame({"sample_id": list(ids), "fold": fold, "label": labels})
    table["predicted"] = np.array(CLASSES)[values.argmax(axis=1)]
    for place, name in enumerate(CLASSES):
        table[f"p_{name}"] = values[:, place].astype(float)
    return table


def write(table: pd.DataFrame, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False, float_format="%.8f", lineterminator="\n")


def write_fold(folder: Path, manifest: pd.DataFrame, fold: Fold, selection: str, skill: float, epochs: int) -> None:
    label_of = manifest.set_index("sample_id")["label"]
    rng = np.random.default_rng([len(fold.test), *fold.name.encode()])
    labels = label_of.loc[list(fold.test)].to_numpy()
    trials = np.stack([guesses(labels, rng, skill) for _ in range(epochs)])
    chosen = epochs - 1
    if selection == "oracle_test":
        chosen = oracle_epoch(trials, np.array([CLASSES.index(name) for name in labels]))
        (folder / "epochs").mkdir(exist_ok=True)
        arrays = {
            "sample_id": np.array(fold.test),
            "epoch": np.arange(1, epochs + 1),
            "probabilities": trials,
        }
        np.savez(folder / "epochs" / f"{fold.name}.npz", **arrays)
    write(predictions(fold.test, fold.name, labels, trials[chosen]), folder / "predictions" / f"{fold.name}.csv")
    if fold.val:
        known = label_of.loc[list(fold.val)].to_numpy()
        table = predictions(fold.val, fold.name, known, guesses(known, rng, skill))
        write(table, folder / "validation" / f"{fold.name}.csv")
    facts = {
        "fold": fold.name,
        "seed": 0,
        "selection": selection,
        "epoch": chosen + 1,
        "versions": VERSIONS,
    } | META
    (folder / "predictions" / f"{fold.name}.json").write_text(json.dumps(facts))
    steps = np.arange(1, epochs + 1)
    curve = pd.DataFrame({"epoch": steps, "lr": 0.1, "train_loss": np.exp(-steps / epochs) + rng.random(epochs) / 9})
    curve["train_accuracy"] = 1 - curve["train_loss"] / 2
    if fold.val:
        curve["val_loss"], curve["val_uf1"] = curve["train_loss"] + 0.2, curve["train_accuracy"] - 0.2
    write(curve, folder / "curves" / f"{fold.name}.csv")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """make_run(manifest, protocol="loso", selection="last", ...) -> run folder."""

    def make(
        manifest: pd.DataFrame | None = None,
        protocol: str = "loso",
        selection: str = "last",
        skill: float = 0.5,
        epochs: int = 5,
        synthetic: bool = False,
        name: str = "run",
    ) -> Path:
        manifest = composite() if manifest is None else manifest
        folds = holdout(manifest) if protocol == "holdout" else leave_one_subject_out(manifest)
        folder = tmp_path / name
        folder.mkdir()
        config = {
            "seed": 0,
            "model_name": "ststnet",
            "data": {"name": "megc2019", "classes": CLASSES},
            "protocol": {"name": protocol, "selection": selection},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "run.json").write_text(json.dumps({"synthetic": synthetic}))
        tested = {sample: fold.name for fold in folds for sample in fold.test}
        write(manifest.assign(fold=manifest["sample_id"].map(tested).fillna("")), folder / "manifest.csv")
        for fold in folds:
            write_fold(folder, manifest, fold, selection, skill, epochs)
        return folder

    return make
