"""Which samples a training step sees: an order of samples per epoch, cut into batches, each shared by the processes.

The order (`data.dataset.EpochSampler`, or another sampler with `set_epoch`) is the same in every process; it knows
nothing of them. `SharedBatches` cuts it and takes this process's part of each batch.
"""

from collections.abc import Iterator

from torch.utils.data import BatchSampler, Sampler


class SharedBatches(Sampler[list[int]]):
    """Batches of `batch_size` samples, of which process `rank` of `world` gets every world-th sample.

    Together the processes see in each step what one process alone would see: `batch_size` is that of the step, and no
    sample is repeated to fill a batch up.

    A last batch of less than `least` samples waits for another epoch, unless it is the only one: batch norm cannot
    estimate anything from a single sample, and a process without samples would keep the others waiting.

    Args:
        sampler: the order of the epoch, with `set_epoch`; Lightning finds it as `batch_sampler.sampler`.
        batch_size: samples a step, in all processes.
        rank, world: which process this is, of how many.
        least: samples that the last batch must have, at least.
    """

    def __init__(self, sampler: Sampler[int], batch_size: int, rank: int = 0, world: int = 1, least: int = 2) -> None:
        self.sampler, self.batch_size, self.rank, self.world = sampler, batch_size, rank, world
        self.drop_last = len(sampler) > batch_size and 0 < len(sampler) % batch_size < least

    def __len__(self) -> int:
        return len(BatchSampler(self.sampler, self.batch_size, self.drop_last))

    def __iter__(self) -> Iterator[list[int]]:
        for batch in BatchSampler(self.sampler, self.batch_size, self.drop_last):
            yield batch[self.rank :: self.world]

    def weight(self, number: int) -> float:
        """What the mean loss of this process's part of a batch counts in the mean over processes; 1: an equal part."""
        size = min(self.batch_size, len(self.sampler) - number * self.batch_size)
        return len(range(self.rank, size, self.world)) * self.world / size
