"""Weights & Biases: one W&B run for a run folder, written there and nowhere else."""

import os
import shutil
import sys
import uuid
from pathlib import Path

import pandas as pd
import wandb

from fer_lightning.dashboards.board import Board, read_heading, thinned
from fer_lightning.errors import ConfigError, StorageError

#: Files of the run folder from which everything can be scored again.
KEPT = ("config.yaml", "run.json", "manifest.csv", "scores.json", "predictions/*", "validation/*", "curves/*")
#: Seconds to wait for the server: when the run begins, and for the upload when it is finished.
INIT, FINISH = 30, 600


class WeightsAndBiases:
    """A run of W&B. It keeps its id in ``<run folder>/wandb/id``: a run that goes on later is the same W&B run.

    Under `wandb agent` the run is the sweep's instead. Offline, one `open` is one segment, a folder of its own;
    `wandb sync` merges segments of one id in the order of their time.

    Args:
        project: of W&B; made where it is missing.
        entity: user or team; None: the default of the account.
        offline: write files only, which need no account and no network.
        samples: see `board.read_board`.
        pictures: whether their pictures are shown; None: offline only.
    """

    def __init__(self, project: str, entity: str | None, offline: bool, samples: int, pictures: bool | None) -> None:
        self.project, self.entity, self.offline = project, entity, offline
        self.samples, self.pictures = samples, offline if pictures is None else pictures
        self.options = "--logger wandb" if offline else "--logger wandb --online"

    def open(self, folder: Path, fresh: bool) -> None:
        """Begin, or go on.

        Args:
            folder: the run folder.
            fresh: whether all is shown anew; segments that were not uploaded are then dropped.

        Raises:
            ConfigError: online without an API key (nobody is asked for it: the night would wait for the answer).
            StorageError: online without the server.
        """
        wandb.teardown(exit_code=1)  # what this process left open has failed
        place = folder.absolute() / "wandb"
        os.environ |= {  # by themselves these are in the home folder
            "WANDB_CACHE_DIR": str(place / "cache"),
            "WANDB_DATA_DIR": str(place / "data"),
            "WANDB_ERROR_REPORTING": "false",
        }
        # What was uploaded is shown already; the server would append its epochs a second time.
        self.epochs_wanted = not list(place.glob("offline-run-*/*.synced"))
        if fresh and self.offline and self.epochs_wanted:
            for old in [*place.glob("offline-run-*"), place / "data"]:
                shutil.rmtree(old, ignore_errors=True)
        try:
            self.run = self._begin(folder.absolute(), _id(place))
        except wandb.Error as error:
            wandb.teardown(exit_code=1)
            raise StorageError(f"W&B cannot be reached: {error}") from error
        self.run.define_metric("epoch", hidden=True, summary="none")
        self.run.define_metric("curves/*", step_metric="epoch", summary="none")

    def _begin(self, folder: Path, name: str | None) -> wandb.Run:
        if not self.offline and not wandb.login(prompt=False, verify=False):
            raise ConfigError("W&B has no API key: run `wandb login`, or leave logger.offline=true")
        heading = read_heading(folder)
        return wandb.init(
            dir=folder, project=self.project, entity=self.entity, id=name, resume="allow",
            mode="offline" if self.offline else "online", name=heading.name, group=heading.group, tags=heading.tags,
            config=heading.config, reinit="create_new", save_code=False,
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, init_timeout=INIT, finish_timeout=FINISH,
                finish_timeout_raises=True,
            ),
        )  # fmt: skip

    def epoch(self, epoch: int, line: dict[str, float]) -> None:
        """One line of curves; the step is the epoch, so what was shown once is not shown twice."""
        if self.epochs_wanted:
            self.run.log({"epoch": epoch} | {f"curves/{name}": value for name, value in line.items()}, step=epoch)

    def publish(self, board: Board) -> None:
        """Scores, tables, charts, pictures and files."""
        self.run.summary.update(board.scores)
        shown = {f"figures/{file.stem}": wandb.Image(str(file)) for file in board.figures}
        shown["tables/folds"] = folds = _table(board.folds)
        if board.pool.classes:
            pool = board.pool.labelled()
            shown["charts/confusion"] = wandb.plot.confusion_matrix(
                y_true=pool.indices("label").tolist(), preds=pool.indices("predicted").tolist(),
                class_names=pool.classes, title="Confusion matrix",
            )  # fmt: skip
        column = "accuracy" if board.pool.classes else f"rmse_{board.pool.targets[0]}"
        shown[f"charts/{column}_of_folds"] = wandb.plot.bar(folds, "fold", column, title=f"{column} of each fold")
        if board.curves is not None:
            curves = thinned(board.curves)
            shown["tables/curves"] = _table(curves)
            if len(board.folds) > 1:
                shown["charts/train_loss_of_folds"] = _lines(curves, "train_loss")
        samples = _table(board.samples)
        self.pictures = board.pictures is not None
        if self.pictures:
            samples.add_column("picture", [wandb.Image(picture) for picture in board.pictures])
        shown["tables/samples"] = samples
        self.run.log(shown)
        self._keep_files(board.pool.folder)

    def close(self) -> None:
        """Wait for the upload, and say where the run is.

        Raises:
            StorageError: the upload takes too long; what is left of it stays in the run folder.
        """
        place = Path(self.run.dir).parent
        try:
            self.run.finish()
        except TimeoutError as error:
            raise StorageError(f"W&B took no more data within {FINISH} s; the rest: wandb sync {place}") from error
        finally:
            wandb.teardown()  # the next cell of a sweep has other folders
        if not self.offline:
            print(f"W&B: {self.run.url}", file=sys.stderr)
            return
        note = " (it holds pictures of samples: does their licence allow that?)" if self.pictures else ""
        print(f"W&B: offline; to upload{note}: wandb sync {place}", file=sys.stderr)

    def _keep_files(self, folder: Path) -> None:
        artifact = wandb.Artifact(f"predictions-{self.run.id}", type="predictions")
        for file in sorted(file for pattern in KEPT for file in folder.glob(pattern)):
            if not file.name.startswith("."):
                # Not copied: uploaded from where it is.
                artifact.add_file(str(file), str(file.relative_to(folder)), skip_cache=True, policy="immutable")
        self.run.log_artifact(artifact)


def _id(place: Path) -> str | None:
    """The id of this run folder's W&B run; None under `wandb agent`, which gives its own."""
    if os.environ.get("WANDB_SWEEP_ID"):
        return None
    place.mkdir(parents=True, exist_ok=True)
    file = place / "id"
    if not file.is_file():
        file.write_text(f"{uuid.uuid4().hex[:8]}\n")
    return file.read_text().strip()


def _table(frame: pd.DataFrame) -> wandb.Table:
    return wandb.Table(columns=list(frame.columns), data=frame.astype(object).to_numpy().tolist())


def _lines(curves: pd.DataFrame, column: str) -> wandb.plot.CustomChart:
    """One line a fold."""
    folds = dict(list(curves.groupby("fold", sort=False)))
    xs, ys = ([fold[name].tolist() for fold in folds.values()] for name in ("epoch", column))
    return wandb.plot.line_series(xs, ys, keys=list(folds), title=f"{column} of each fold", xname="epoch")
