"""A run and its dashboard: epochs while the only fold trains, the whole board when the run is scored."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from fer_lightning.dashboards.board import Pictures, read_board


def publish(dashboard: Any, folder: Path, pictures: Pictures | None, shown: int = 0) -> None:
    """Show a finished run, and close the dashboard.

    Args:
        dashboard: a `WeightsAndBiases` or `TensorBoard`.
        folder: the run folder.
        pictures: makes pictures of samples; None: no pictures.
        shown: epochs of it that the dashboard, which is open then, has shown already. 0: all begins anew.
    """
    board = read_board(folder, dashboard.samples, pictures if dashboard.pictures else None)
    if not shown:
        dashboard.open(folder, fresh=True)
    for epoch, line in board.epochs():
        if epoch > shown:
            dashboard.epoch(epoch, line)
    dashboard.publish(board)
    dashboard.close()


class Watch:
    """The dashboard of one run, or none. Scores are the product: what goes wrong here is printed, never raised.

    Args:
        cfg: the whole config; `logger` names the dashboard.
        folder: the run folder.
        live: whether to show every epoch as it comes; for runs of one fold.
    """

    def __init__(self, cfg: DictConfig, folder: Path, live: bool) -> None:
        self.dashboard = instantiate(cfg.logger) if cfg.logger else None
        self.folder, self.live = folder, live and self.dashboard is not None
        self.first = self.last = 0

    def epoch(self, line: dict[str, Any]) -> None:
        """Show one finished epoch; takes the lines that `run_fold` tells."""
        if self.live and "train_loss" in line:
            self.live = self._try(self._epoch, dict(line))

    def publish(self, pictures: Pictures) -> None:
        """Show the finished run; takes what makes pictures of samples."""
        if self.dashboard is not None:
            self._try(self._publish, pictures)

    def _epoch(self, line: dict[str, Any]) -> None:
        del line["fold"], line["epochs"]
        epoch = line.pop("epoch")
        if not self.last:
            self.first = epoch
            self.dashboard.open(self.folder, fresh=epoch == 1)
        self.dashboard.epoch(epoch, line)
        self.last = epoch

    def _publish(self, pictures: Pictures) -> None:
        whole = self.live and self.first == 1
        if self.last and not whole:  # a run that went on from a checkpoint, or was lost on the way
            self.dashboard.close()
        publish(self.dashboard, self.folder, pictures, self.last if whole else 0)

    def _try(self, what: Callable, argument: Any) -> bool:
        try:
            what(argument)
        except Exception as error:  # other people's code, networks, accounts: nothing of it may cost a result
            print(
                f"the dashboard failed ({type(error).__name__}: {error}). Training and scores are not touched; when "
                f"the run is finished: python -m fer_lightning.dashboards {self.folder} {self.dashboard.options}",
                file=sys.stderr,
            )
            return False
        return True
