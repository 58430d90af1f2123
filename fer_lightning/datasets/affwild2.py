"""Aff-Wild2 (ABAW), expression track: annotation files and faces, or OpenPose's files, to manifest.

One sample is one annotated video frame. Layout::

    affwild2/
    ├── annotations/
    │   ├── EXPR_.../{Train_Set,Training_Set}/<video>.txt      Validation_Set/<video>.txt
    │   └── VA_.../...                                         the same, see `affwild2_va`
    ├── cropped_aligned/<video>/00001.jpg ...                  112x112 pixels, five digits, from 1
    ├── openpose/<video>/<video>_000000000000_keypoints.json   of OpenPose (--write_json), twelve digits, from 0
    └── openpose_rendered/<video>/<video>_000000000000_rendered.png      (--write_images --disable_blending)

The folder of a track is called ``EXPR_Set``, ``EXPR_Recognition_Challenge`` and so on, from release to release. The
first line of a file names its classes (eight; seven without Other until 2021), then **line i, counted from 0 below the
header, is image i + 1**, and file i of OpenPose. -1 (expression) and -5 (valence, arousal) mean "not annotated". Frames
in which no face was detected have no image.

``<video>_left`` and ``<video>_right`` are two people in one video file: they are two sequences and one `group`. What
OpenPose made of such a video holds both people; run it on the pictures of each (``cropped_aligned/<video>_left``), or
their frames are left out. The labels of the test set are not public.

Source: Kollias & Zafeiriou 2019, BMVC, arXiv:1910.04855; https://ibug.doc.ic.ac.uk/resources/aff-wild2/
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.datasets import synthetic, synthetic_pose
from fer_lightning.datasets.affwild2_tracks import EXPRESSIONS, FACES, VA_HEADER, read_expr, read_track
from fer_lightning.functional.subsample import Subsampling

#: Rows of `synthetic.EXPRESSIONS` that `write_tiny` draws, in the order of EXPRESSIONS; other is the last, upside down.
TINY_FACES = (6, 0, 1, 2, 3, 4, 5, 6)
#: Valence and arousal that `write_tiny` gives them.
TINY_VALENCE_AROUSAL = (
    *((0.0, 0.0), (-0.5, 0.7), (-0.7, 0.3), (-0.6, 0.8)),
    *((0.8, 0.4), (-0.8, -0.4), (0.3, 0.8), (0.2, -0.3)),
)


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
) -> pd.DataFrame:
    """One row per frame that has an expression and a file of this input. Lists folders, opens no picture.

    Args:
        root: raw folder.
        input: ``frames`` (faces), ``openpose_json`` or ``openpose_rendered``.
        unit: ``frame``, the only one.
        every: take frames 1, 1 + every, 1 + 2 every, ...
        seconds: take the first frame in each stretch of this time.
        fps: frames a second, for `seconds`. The annotations do not tell it, and videos differ: 30 is a guess.
        pose_distance: of the annotated frames, take those whose pose has moved this far, in lengths of the torso
            (`subsample.distinct`); reads every JSON file.
        validation_as: what the official Validation_Set is called: ``val``, or ``test``, since no other labels are
            public and papers report on it.
        two_people: ``together`` keeps ``_left`` and ``_right`` of one video in one `group`; ``apart`` gives each its
            own, for releases that put the two into different sets.

    Returns:
        A manifest, see `contract`: ``sample_id`` is ``affwild2/1-30-1280x720/00017``, ``group`` is
        ``affwild2/1-30-1280x720``. ``attrs["dropped"]`` names the frames left out, by reason; what `every` and
        `seconds` pass over is not named.

    Raises:
        ConfigError: an option that makes no sense.
        DatasetNotFoundError: the folder, the annotations or all files of the input are missing.
        DatasetError: a file with an unknown header or a bad line, a video in both sets, or two files of one frame.
    """
    sub = Subsampling(every, seconds, fps, pose_distance)
    return read_track(root, "EXPR", read_expr, input, unit, sub, validation_as, two_people)


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write 13 videos of 16 drawn frames, 48x48 pixels, and the JSON of as many drawn people: each class two frames a
    video.

    Expressions are annotated in 12 of them, 8 to train on; valence and arousal in 12, 7 to train on. As in the release,
    some frames are not annotated or have no image, and one video holds two people. One annotation of expressions is
    longer than its video, one is shorter.
    """
    rng = np.random.default_rng(seed)
    names = [f"{number}-30-1280x720" for number in range(1, 12)]
    names[3:4] = ["4-30-1280x720_left", "4-30-1280x720_right"]
    names.insert(5, "video5")
    frames = [code for code in range(len(EXPRESSIONS)) for _ in range(2)]
    with synthetic.raw_folder(root) as folder:
        for index, name in enumerate(names):
            for number, code in enumerate(frames, start=1):
                if (number + index) % 11:
                    face = synthetic.face(rng, 48, 48, TINY_FACES[code])
                    face = face[::-1] if EXPRESSIONS[code] == "other" else face
                    image = np.stack([face, face, face], axis=-1)
                    synthetic.write_image(folder / FACES / name / f"{number:05d}.jpg", image)
            codes = [-1, *frames[1:]] if index % 3 == 0 else frames
            codes = {1: [*codes, 0, 0], 2: codes[:-1]}.get(index, codes)
            header = ",".join(word.capitalize() for word in EXPRESSIONS)
            if index < 12:
                _annotate(folder / "annotations/EXPR_Set", index < 8, name, header, map(str, codes))
        for index, name in enumerate(names):
            looks = [(code, TINY_FACES[code]) if (n + index) % 13 else None for n, code in enumerate(frames, start=1)]
            synthetic_pose.write_video(folder / f"openpose/{name}", name, rng, looks)
            values = [np.clip(rng.normal(TINY_VALENCE_AROUSAL[code], 0.05), -1, 1) for code in frames]
            lines = ["-5,-5", *(f"{valence:.3f},{arousal:.3f}" for valence, arousal in values[1:])]
            if index != 2:
                _annotate(folder / "annotations/VA_Set", index < 8, name, VA_HEADER, lines)


def _annotate(track: Path, train: bool, name: str, header: str, lines: Iterable[str]) -> None:
    file = track / ("Train_Set" if train else "Validation_Set") / f"{name}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([header, *lines, ""]))
