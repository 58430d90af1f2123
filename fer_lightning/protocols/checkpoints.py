"""How the checkpoints of a fold are written."""

from pathlib import Path
from typing import Any

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
