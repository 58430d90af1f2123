"""The data set: what a sample is, and that it depends on seed, epoch and sample alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from fer_lightning.data.cache import Cache
from fer_lightning.data.dataset import EpochSampler, FERDataset, whole_batch

IDS = ["toy/a", "toy/b", "toy/c", "toy/d", "toy/e"]
ROWS = pd.DataFrame({"sample_id": IDS, "label": ["x", "y", "", "x", "y"], "valence": [0.5, -1.0, 0.0, 0.25, 1.0]})


def cache(array: np.ndarray) -> Cache:
    """A cache of five samples, in reversed order, held in memory."""
    return Cache(Path("toy"), array[::-1], pd.Index(IDS[::-1]), pd.Series(dtype=object), {})


PIXELS = np.arange(5 * 1 * 2 * 2, dtype=np.uint8).reshape(5, 1, 2, 2)


def noisy(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return array + rng.integers(0, 200, dtype=np.uint8)


def test_pixels_are_scaled_and_other_arrays_are_not():
    assert FERDataset(cache(PIXELS), ROWS, ["x", "y"], (-1, 1))[1]["input"].flatten().tolist() == pytest.approx(
        [2 * value / 255 - 1 for value in (4, 5, 6, 7)]
    )
    points = np.linspace(-3, 3, 5 * 2 * 4, dtype=np.float32).reshape(5, 2, 4)
    assert torch.equal(FERDataset(cache(points), ROWS, ["x", "y"], (-1, 1))[3]["input"], torch.from_numpy(points[3]))


def test_labels_are_places_in_the_classes_and_targets_are_columns():
    batch = FERDataset(cache(PIXELS), ROWS, ["y", "x"], (0, 1), targets=["valence"]).__getitems__([4, 2, 0])
    assert batch["label"].tolist() == [0, -1, 1]
    assert batch["target"].tolist() == [[1.0], [0.0], [0.5]]
    assert batch["sample_id"] == ["toy/e", "toy/c", "toy/a"]
    assert "target" not in FERDataset(cache(PIXELS), ROWS, ["y", "x"], (0, 1))[0]


def test_views_become_an_axis_behind_the_batch():
    def mirrored(array):
        return np.stack([array, array[..., ::-1]])

    batch = FERDataset(cache(PIXELS), ROWS, ["x", "y"], (0, 255), views=mirrored).__getitems__([0, 1, 2])
    assert batch["input"].shape == (3, 2, 1, 2, 2)
    assert batch["input"][1, 1].flatten().tolist() == [5, 4, 7, 6]


def loaded(batch_size: int, workers: int, epoch: int, seed: int = 3) -> dict[str, float]:
    """Sample -> its first pixel after augmentation, as a loader gives it in one epoch."""
    dataset = FERDataset(cache(PIXELS), ROWS, ["x", "y"], (0, 255), seed=seed, transform=noisy)
    sampler = EpochSampler(len(dataset), seed)
    sampler.set_epoch(epoch)
    loader = DataLoader(
        dataset, batch_size, sampler=sampler, num_workers=workers, collate_fn=whole_batch,
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip
    found = {}
    for batch in loader:
        found |= dict(zip(batch["sample_id"], batch["input"][:, 0, 0, 0].tolist(), strict=True))
    return dict(sorted(found.items()))


def test_augmentation_depends_on_seed_epoch_and_sample_alone():
    first = loaded(batch_size=5, workers=0, epoch=7)
    assert first == loaded(batch_size=2, workers=0, epoch=7) == loaded(batch_size=1, workers=2, epoch=7)
    assert first != loaded(batch_size=5, workers=0, epoch=8), "the same augmentation in every epoch"
    assert first != loaded(batch_size=5, workers=0, epoch=7, seed=4)
    drawn = [value - 4 * place for place, value in enumerate(first.values())]
    assert len(set(drawn)) == 5, "all samples were augmented alike"
