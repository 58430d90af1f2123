"""The raw layout of CASME II with synthetic content; see `casme2` for what the layout is."""

from pathlib import Path

import cv2
import numpy as np
import openpyxl

from fer_lightning.datasets import contract, synthetic
from fer_lightning.errors import DatasetError

SHEET = "CASME2-coding-20190701.xlsx"
HEADER = [
    "Subject",
    "Filename",
    None,
    "OnsetFrame",
    "ApexFrame",
    "OffsetFrame",
    None,
    "Action Units",
    "Estimated Emotion",
    "Objective Classes",
]
MOVEMENT = {
    "happiness": "mouth_up",
    "disgust": "brows_down",
    "repression": "mouth_down",
    "surprise": "brows_up",
    "others": "nose_left",
    "sadness": "chin_up",
    "fear": "chin_up",
}
SUBJECTS = 6
HEIGHT, WIDTH = 90, 80
FRAMES = 7
#: Displacement as a share of that at the apex, frame by frame: onset 0, apex (the fourth) 1.
COURSE = (0.0, 0.3, 0.7, 1.0, 0.7, 0.5, 0.3)


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write the sheet of 2019 and ``Cropped/`` for 6 people with 6 clips each, 7 frames a clip, 90x80 pixels.

    The skin of a face moves by a field that depends on the emotion word, so the flow between onset and apex tells the
    class. As in the release, one clip has '/' as apex and one has its onset as apex.
    """
    rng = np.random.default_rng(seed)
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(HEADER)
    with contract.synthetic_folder(root) as folder:
        for person in range(1, SUBJECTS + 1):
            neutral = synthetic.textured_face(rng, HEIGHT, WIDTH)
            words = [
                "happiness",
                "disgust",
                "repression",
                "surprise",
                "others",
                "sadness" if person % 2 else "fear",
            ]
            for number, word in enumerate(words, start=1):
                clip = f"EP{number:02d}_01f"
                onset = 8 * number + 40 * (person % 3)  # the numbers pass 9 -> 10 and 99 -> 100
                apex: int | str = onset + COURSE.index(1.0)
                if (person, word) == (4, "disgust"):
                    apex = "/"
                if (person, word) == (5, "disgust"):
                    apex = onset
                sheet.append(
                    [f"{person:02d}", clip, None, onset, apex, onset + FRAMES - 1, None, "?", word, 7]
                )
                _write_clip(folder / "Cropped" / f"sub{person:02d}" / clip, rng, neutral, word, onset)
        book.save(folder / SHEET)


def _write_clip(folder: Path, rng: np.random.Generator, neutral: np.ndarray, word: str, onset: int) -> None:
    folder.mkdir(parents=True)
    u, v = synthetic.movement(rng, HEIGHT, WIDTH, MOVEMENT[word], pixels=2.5)
    for step, share in enumerate(COURSE):
        gray = synthetic.warp(neutral, share * u, share * v).astype(np.float64) + rng.normal(
            0, 1, neutral.shape
        )
        colour = np.clip(gray[..., None] * (0.75, 0.9, 1.0), 0, 255).astype(np.uint8)  # blue, green, red
        ok, data = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, 95])
        if not ok:
            raise DatasetError(f"{folder}: OpenCV could not encode a frame")
        (folder / f"reg_img{onset + step}.jpg").write_bytes(data.tobytes())
