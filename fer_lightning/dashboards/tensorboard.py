"""TensorBoard: event files in ``<run folder>/tensorboard``; all runs: ``tensorboard --logdir <paths.runs>``."""

import shutil
from pathlib import Path

from matplotlib.image import imread
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from fer_lightning.dashboards.board import Board, read_heading
from fer_lightning.dashboards.samples import bars_figure, samples_figure
from fer_lightning.identity import identity


class TensorBoard:
    """A run as TensorBoard shows it.

    Args:
        samples: see `board.read_board`.
        pictures: whether their pictures are shown.
    """

    def __init__(self, samples: int, pictures: bool) -> None:
        self.samples, self.pictures, self.options = samples, pictures, "--logger tensorboard"

    def open(self, folder: Path, fresh: bool) -> None:
        """Begin, or go on; `fresh` drops what is there."""
        if fresh:
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self.writer = SummaryWriter(folder / "tensorboard")

    def epoch(self, epoch: int, line: dict[str, float]) -> None:
        """One line of curves."""
        for name, value in line.items():
            self.writer.add_scalar(f"curves/{name}", value, epoch)
        self.writer.flush()

    def publish(self, board: Board) -> None:
        """Scores, figures, pictures, hyper-parameters."""
        numbers = {f"scores/{k}": v for k, v in board.scores.items() if isinstance(v, float)}
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, 0)
        for file in board.figures:
            self.writer.add_image(f"figures/{file.stem}", imread(file), dataformats="HWC")
        column = "accuracy" if board.pool.classes else f"rmse_{board.pool.targets[0]}"
        self.writer.add_figure(f"figures/{column}_of_folds", bars_figure(board.folds, column))
        if board.pictures:
            self.writer.add_figure("figures/samples", samples_figure(board.samples, board.pictures))
        heading = read_heading(board.pool.folder)
        lines = [f"**{name}** {value}" for name, value in board.scores.items() if isinstance(value, str)]
        self.writer.add_text("run", "\n\n".join([f"# {heading.name}", ", ".join(heading.tags), *lines]))
        settings = {
            k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in identity(heading.config).items()
        }
        headline = {name: value for name, value in numbers.items() if name.count("/") == 1}
        for part in hparams(settings, headline):
            self.writer.file_writer.add_summary(part)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()
