"""The one dataset class and the sampler whose order depends on seed and epoch alone."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from fer_lightning.data.cache import Cache

Batch = dict[str, Tensor | list[str]]


class FERDataset(Dataset):
    """Rows of a manifest, as samples or whole batches out of the cache.

    A sample is ``{"input": float32 (C, H, W), "label": int, "sample_id": str}``; a batch has the same keys
    with a leading batch axis and a list of ids. `DataLoader` asks `__getitems__` for a whole batch at once,
    which reads and converts all its rows in one step instead of sample by sample.

    Args:
        cache: opened cache; uint8 arrays hold pixels 0..255.
        rows: manifest rows, in the order of this dataset's indices.
        classes: class names; a label is the place of its name in this list.
        pixel_range: what 0 and 255 are mapped to, e.g. ``(0, 1)``.
        transform: optional, uint8 array ``(C, H, W)`` to the same, applied before scaling.
    """

    def __init__(
        self,
        cache: Cache,
        rows: pd.DataFrame,
        classes: Sequence[str],
        pixel_range: Sequence[float],
        transform: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        place = {name: index for index, name in enumerate(classes)}
        self.sample_ids = rows["sample_id"].tolist()
        self.labels = torch.tensor([place[name] for name in rows["label"]], dtype=torch.long)
        self.array = cache.array
        self.numbers = np.array([cache.rows[sample] for sample in self.sample_ids], dtype=np.int64)
        low, high = map(float, pixel_range)
        self.low, self.scale = low, (high - low) / 255.0
        self.transform = transform

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __getitem__(self, index: int) -> dict:
        batch = self.__getitems__([index])
        return {
            "input": batch["input"][0],
            "label": int(batch["label"][0]),
            "sample_id": batch["sample_id"][0],
        }

    def __getitems__(self, indices: list[int]) -> Batch:
        pixels = self.array[self.numbers[indices]]
        if self.transform is not None:
            pixels = np.stack([self.transform(image) for image in pixels])
        inputs = torch.from_numpy(pixels).to(torch.float32)
        if (self.low, self.scale) != (0.0, 1.0):
            inputs = inputs.mul_(self.scale).add_(self.low)
        return {
            "input": inputs,
            "label": self.labels[indices],
            "sample_id": [self.sample_ids[index] for index in indices],
        }


def whole_batch(batch: Batch) -> Batch:
    """Collate function for `FERDataset`, whose `__getitems__` returns the finished batch."""
    return batch


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on a device; sample ids stay where they are."""
    return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


class EpochSampler(Sampler[int]):
    """A permutation per epoch that depends on ``seed`` and ``epoch`` only.

    So a fold trained alone, among others, or resumed in the middle sees its samples in the same order,
    whatever else has drawn random numbers before.
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
        return iter(generator.permutation(self.size).tolist())
