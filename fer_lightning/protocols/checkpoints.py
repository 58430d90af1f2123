"""When and how the checkpoints of a fold are written."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from fer_lightning.files import write_atomically


class WholeCheckpoints(TorchCheckpointIO):
    """Written beside their place and renamed: a process killed while it writes leaves the checkpoint before.

    Lightning writes into the system's temporary folder and moves the file, which between file systems is a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        write_atomically(Path(path), lambda stream: torch.save(checkpoint, stream))


class Checkpoints(pl.callbacks.ModelCheckpoint):
    """``last.ckpt`` in a fold's folder, at the end of an epoch.

    Args:
        folder: of the fold's checkpoints.
        every: epochs between two checkpoints; 0: `minutes` says when.
        minutes: time after which the next epoch that ends leaves one, so that short folds write none.
    """

    def __init__(self, folder: Path, every: int, minutes: float) -> None:
        super().__init__(
            folder, filename="last", every_n_epochs=every or 1, save_on_train_epoch_end=True,
            enable_version_counter=False,
        )  # fmt: skip
        self.wait = 0.0 if every else 60 * minutes
        self.since = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """The time counts from here."""
        super().on_train_start(trainer, task)
        self.since = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        """Write one if it is time; processes that share the fold do what the first of them says."""
        due = time.monotonic() - self.since >= self.wait
        if trainer.strategy.broadcast(due):
            super().on_train_epoch_end(trainer, task)
            self.since = time.monotonic()
