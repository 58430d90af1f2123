"""When and how the checkpoints of a fold are written, and what becomes of one that is damaged."""

import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from fer_lightning.errors import StorageError
from fer_lightning.files import write_atomically
from fer_lightning.ranks import rank

#: What to do about a checkpoint that is in the way.
ANEW = "Remove it and run the same command again: this fold begins anew, finished folds are kept"


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

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            StorageError: it cannot be read, or is not one of Lightning's.
        """
        try:
            found = super().load_checkpoint(path, *arguments, **options)
        except Exception as error:  # torch and pickle raise a dozen types over bytes that are not theirs
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise StorageError(f"{path} cannot be read as a checkpoint ({reason}). {ANEW}") from error
        if not isinstance(found, dict) or "pytorch-lightning_version" not in found:
            raise StorageError(f"{path} holds no checkpoint of a training, but {type(found).__name__}. {ANEW}")
        return found


def remove_damaged(file: Path) -> bool:
    """Remove a checkpoint of which bytes are missing or wrong, and say so on stderr; whether it was one.

    A fold then begins anew: half of a training cannot be gone on with. What torch writes is a zip archive, whose check
    sums tell; what these find whole stays, also where it cannot be loaded.

    Raises:
        StorageError: the file may not be read or removed, which says nothing of what is in it.
    """
    try:
        if not file.is_file() or _is_whole(file):
            return False
        file.unlink()
    except OSError as error:
        raise StorageError(f"{file} cannot be read or removed ({error.strerror or error}). {ANEW}") from error
    print(f"{file} is damaged: fold {file.parent.name} begins anew, finished folds are kept", file=sys.stderr)
    return True


def _is_whole(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as parts:
            return parts.testzip() is None
    except OSError:
        raise
    except Exception:  # zipfile raises a dozen types over bytes that are not its own; all mean the same
        return False


class Checkpoints(pl.callbacks.ModelCheckpoint):
    """``last.ckpt`` in a fold's folder, at the end of an epoch. One that lies there and is damaged is removed at once.

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
        if rank() == 0:  # the one that says whether the fold goes on with what is there
            remove_damaged(Path(folder) / "last.ckpt")
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
