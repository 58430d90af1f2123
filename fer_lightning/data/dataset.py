"""The one dataset class and the sampler whose order depends on seed and epoch alone."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from fer_lightning.data.cache import Cache

Batch = dict[str, Tensor | list[str]]
Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class FERDataset(Dataset):
    """Rows of a manifest, as samples or whole batches out of the cache.

    A sample is ``{"input": float32 (C, ...), "label": int, "sample_id": str}``, with ``"target": float32 (T,)`` where
    the data set has targets and ``"input": (K, C, ...)`` where it has K views. A batch has the same keys with a
    leading batch axis and a list of ids. `DataLoader` asks `__getitems__` for a whole batch at once, which reads and
    converts all its rows in one step instead of sample by sample.

    An index may carry the epoch, as ``epoch * len(self) + place`` (see `EpochSampler`): what a sample becomes is a
    function of seed, epoch and sample, whichever process loads it.

    Args:
        cache: opened cache; uint8 arrays hold pixels 0..255, others are handed on as they are.
        rows: manifest rows, in the order of this dataset's indices.
        classes: class names; a label is the place of its name in this list, -1 for a row without label.
        pixel_range: what 0 and 255 are mapped to, e.g. ``(0, 1)``.
        targets: numeric columns of the manifest.
        seed: of the transform.
        transform: optional, ``(array, numpy generator) -> array`` of the cache's type, before scaling.
        views: optional, array to ``(K, ...)`` arrays of the same type.
    """

    def __init__(
        self,
        cache: Cache,
        rows: pd.DataFrame,
        classes: Sequence[str],
        pixel_range: Sequence[float],
        targets: Sequence[str] = (),
        seed: int = 0,
        transform: Transform | None = None,
        views: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        place = {name: index for index, name in enumerate(classes)} | {"": -1}
        self.sample_ids = rows["sample_id"].array
        self.labels = torch.tensor(rows["label"].map(place).to_numpy(np.int64))
        self.targets = torch.tensor(rows[list(targets)].to_numpy(np.float32)) if targets else None
        self.array, self.numbers = cache.array, cache.numbers(self.sample_ids)
        low, high = map(float, pixel_range)
        pixels = cache.array.dtype == np.uint8
        self.low, self.scale = (low, (high - low) / 255.0) if pixels else (0.0, 1.0)
        self.seed, self.transform, self.views = seed, transform, views

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __getitem__(self, index: int) -> dict:
        batch = self.__getitems__([index])
        return {key: values[0] for key, values in batch.items()} | {"label": int(batch["label"][0])}

    def __getitems__(self, indices: list[int]) -> Batch:
        epochs, places = np.divmod(indices, len(self))
        arrays = self.array[self.numbers[places]]
        if self.transform is not None:
            keys = zip(epochs.tolist(), places.tolist(), strict=True)
            generators = (np.random.default_rng([self.seed, *key]) for key in keys)
            arrays = np.stack([self.transform(*pair) for pair in zip(arrays, generators, strict=True)])
        if self.views is not None:
            arrays = np.stack([self.views(array) for array in arrays])
        inputs = torch.from_numpy(arrays).to(torch.float32)
        if (self.low, self.scale) != (0.0, 1.0):
            inputs = inputs.mul_(self.scale).add_(self.low)
        batch = {
            "input": inputs,
            "label": self.labels[places],
            "sample_id": self.sample_ids[places].tolist(),
        }
        return batch if self.targets is None else batch | {"target": self.targets[places]}


def whole_batch(batch: Batch) -> Batch:
    """Collate function for `FERDataset`, whose `__getitems__` returns the finished batch."""
    return batch


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on a device; sample ids stay where they are."""
    return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


class EpochSampler(Sampler[int]):
    """A permutation per epoch that depends on ``seed`` and ``epoch`` only.

    So a fold trained alone, among others, or resumed in the middle sees its samples in the same order,
    whatever else has drawn random numbers before. It gives ``epoch * size + place``, see `FERDataset`.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        return iter((self.epoch * self.size + generator.permutation(self.size)).tolist())
