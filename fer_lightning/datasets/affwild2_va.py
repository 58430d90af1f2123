"""Aff-Wild2 (ABAW), valence-arousal track, to manifest; layout, numbering of frames and source see `affwild2`.

The tracks annotate overlapping videos, each with its own division into training and validation: a video of one track's
Train_Set may stand in the other's Validation_Set. Here the division is that of the valence-arousal track.
"""

from pathlib import Path

import pandas as pd

from fer_lightning.datasets.affwild2_tracks import find_files, read_expr, read_track, read_va
from fer_lightning.errors import ConfigError
from fer_lightning.functional.subsample import Subsampling


def build_manifest(
    root: Path | str,
    input: str = "frames",
    unit: str = "frame",
    every: int | None = None,
    seconds: float | None = None,
    fps: float = 30.0,
    pose_distance: float | None = None,
    validation_as: str = "val",
    two_people: str = "together",
    expressions: str = "ignore",
) -> pd.DataFrame:
    """One row per frame that has valence, arousal and a file of this input. Lists folders, opens no picture.

    Args:
        root: this and all but the last argument as in `affwild2.build_manifest`.
        expressions: ``join`` fills `label` with the class of the frame in the expression track, "" where it has none;
            ``ignore`` leaves all labels "".

    Returns:
        A manifest, see `contract`, with two more columns, ``valence`` and ``arousal``, both in ``[-1, 1]``.

    Raises:
        As `affwild2.build_manifest`.
    """
    if expressions not in ("join", "ignore"):
        raise ConfigError(f"Aff-Wild2: expressions={expressions!r} must be 'join' or 'ignore'")
    sub = Subsampling(every, seconds, fps, pose_distance)
    manifest = read_track(root, "VA", read_va, input, unit, sub, validation_as, two_people)
    if expressions == "join":
        manifest["label"] = manifest["sample_id"].map(_expressions(Path(root).expanduser())).fillna("")
    return manifest


def _expressions(root: Path) -> pd.Series:
    """Sample id -> class name of all frames of the expression track."""
    tables = {file.stem: read_expr(file) for file, _ in find_files(root, "EXPR")}
    ids = [f"affwild2/{stem}/{frame:05d}" for stem, table in tables.items() for frame in table["frame"]]
    return pd.Series(pd.concat(table["label"] for table in tables.values()).to_numpy(), index=ids)
