"""An order of training samples in which all classes, or all groups, are equally likely."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from torch.utils.data import Sampler

#: `data.sampling` -> column of the manifest whose values are equally likely.
COLUMNS = {"balanced": "label", "balanced_groups": "group"}
#: More than anybody trains: another draw of the same sample in an epoch counts as one of an epoch beyond.
EPOCHS = 2**20


class BalancedSampler(Sampler[int]):
    """As many draws with replacement as there are samples; they depend on ``seed`` and ``epoch`` only.

    It gives ``epoch * size + place``, as `EpochSampler`; for the r-th repetition of a sample in an epoch that of epoch
    ``epoch + r * EPOCHS``, so that its augmentation is another one.

    Args:
        values: the class or group of each sample.
        seed: of the draws.
    """

    def __init__(self, values: Sequence[str], seed: int) -> None:
        codes, names = pd.factorize(np.asarray(values, dtype=object))
        self.chances = 1 / (len(names) * np.bincount(codes)[codes])
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.chances)

    def __iter__(self) -> Iterator[int]:
        size = len(self)
        drawn = pd.Series(np.random.default_rng([self.seed, self.epoch]).choice(size, size, p=self.chances))
        repetition = drawn.groupby(drawn).cumcount()
        return iter(((self.epoch + repetition * EPOCHS) * size + drawn).tolist())
