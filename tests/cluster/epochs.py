"""A callback for jobs of these tests."""

import os
import time
from pathlib import Path

import pytorch_lightning as pl


class WriteEpochs(pl.Callback):
    """Notes the process and every epoch it begins in ``$FER_EPOCHS``; makes epochs long enough to be interrupted."""

    def on_train_epoch_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        with Path(os.environ["FER_EPOCHS"]).open("a") as file:
            file.write(f"{os.getpid()} {trainer.current_epoch}\n")
        time.sleep(0.1)
