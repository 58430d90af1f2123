"""Where the face is in an image, and how it is cut out.

A *place* is a box (left, top, right, bottom; shape ``(4,)``) or five landmarks (shape ``(5, 2)``), in pixels, see
`functional.landmarks`. It comes from a csv of boxes or landmarks, from the annotation of RAF-DB, or from a detector.
"""

import csv
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.functional import landmarks
from fer_lightning.preprocess import sources
from fer_lightning.preprocess.resize import resize

#: Numbers of a place, and the columns of a csv that hold them, beside ``path``.
COLUMNS = {
    "boxes": ("left", "top", "right", "bottom"),
    "landmarks": tuple(f"{axis}{number}" for number in range(1, 6) for axis in "xy"),
}
#: Annotation of RAF-DB, one file per original image. By its readme the first five lines are landmarks (centres of the
#: eyes, tip of the nose, corners of the mouth), three more are gender, race and age. It does not explain the numbers of
#: a box; public readers take them for left, top, right and bottom, and so do we.
RAFDB_FILES = {"boxes": "{}_boundingbox.txt", "landmarks": "{}_manu_attri.txt"}
RAFDB_NUMBERS = {"boxes": (4, 4), "landmarks": (10, 13)}  # of the place, and in all
#: Of OpenCV's four cascades for faces seen from the front this one found the most of 500 faces of FER2013 (41 %), and
#: none in eight photographs without people. With 3 neighbours it finds 53 %.
CASCADE = "haarcascade_frontalface_alt2.xml"
NEIGHBOURS = 5
#: Faces smaller than this share of the shorter side are not looked for.
SMALLEST = 0.1
#: Longer images are reduced to this before the search. YuNet finds faces of about 10 to 300 pixels.
LONGEST = {"cascade": 640, "yunet": 320}
#: A place that has less than this share of its area in the image belongs to another image, or to another size of it.
INSIDE = 0.25

Place = np.ndarray
Finder = Callable[[str, np.ndarray], Place | None]


def finder(crop: str, file: str | None, root: Path) -> Finder:
    """(path of the manifest, image) -> place, or None where a detector finds no face.

    Args:
        crop: ``boxes``, ``landmarks`` or ``detect``.
        file: below the raw folder. For ``boxes`` and ``landmarks`` a csv, or RAF-DB's folder with one file per image;
            for ``detect`` YuNet's network in ONNX form, or None for the cascade that OpenCV brings along.
        root: raw folder.

    Raises:
        DatasetNotFoundError: the file is missing.
        DatasetError: it cannot be used; line, found and expected are named.
    """
    if crop == "detect" and file is None:
        return lambda path, image: detect_by_cascade(image)
    source = root / file
    if crop != "detect" and source.is_dir():
        return lambda path, image: _inside(*read_rafdb(source, path, crop), image)
    if not source.is_file():
        raise DatasetNotFoundError(f"{file}: no such file in {root}, but data.recipe.crop_file={file} for crop={crop}")
    if crop == "detect":
        return lambda path, image: detect_by_yunet(source, image)
    table = read_csv(source, crop, source.stat().st_mtime_ns)
    return lambda path, image: _inside(*_row(table, path, file), image)


@lru_cache(maxsize=1)  # a recipe is called for a few dozen rows at a time
def read_csv(file: Path, kind: str, state: int = 0) -> dict[str, tuple[Place, str]]:
    """Places by the path of their image, each with what to call its line in messages.

    Args:
        file: has a header with ``path`` and the columns of `COLUMNS`; others are passed over.
        kind: ``boxes`` or ``landmarks``.
        state: anything that changes when the file does: a file is read once as long as this is the same.

    Raises:
        DatasetError: a column is missing, or a line is no place or stands twice; the line is named.
    """
    places = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            lines = csv.reader(opened)
            header = [name.strip().lower() for name in next(lines, [])]
            wanted = ("path", *COLUMNS[kind])
            if [header.count(name) for name in wanted] != [1] * len(wanted):
                raise DatasetError(
                    f"{file.name}, line 1: expected the columns {','.join(wanted)}, found {','.join(header)[:200]!r}"
                )
            for fields in lines:
                where = f"{file.name}, line {lines.line_num}"
                if not "".join(fields).strip():
                    continue
                if len(fields) != len(header):
                    raise DatasetError(f"{where}: expected {len(header)} fields as in the header, found {len(fields)}")
                row = dict(zip(header, fields, strict=True))
                path = row["path"]
                if path in places:
                    raise DatasetError(f"{where}: {path} stands in {places[path][1]} too; keep one of the two")
                places[path] = _place([row[name] for name in COLUMNS[kind]], kind, f"{where} ({path})"), where
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{file.name}: this is no csv in UTF-8: {error}; save it as one") from error
    return places


def read_rafdb(folder: Path, path: str, kind: str) -> tuple[Place, str]:
    """The place of one original image of RAF-DB, and the file it stands in; see `RAFDB_FILES`.

    Raises:
        DatasetNotFoundError: the image has no such file.
        DatasetError: the file does not hold what it should.
    """
    name = RAFDB_FILES[kind].format(PurePosixPath(path).stem)
    file = folder / name
    if not file.is_file():
        raise DatasetNotFoundError(
            f"{path}: no {name} in {folder}; the annotation of RAF-DB belongs to its original images "
            "(data.builder.images=original)"
        )
    texts = file.read_text(encoding="utf-8-sig", errors="replace").split()
    number, total = RAFDB_NUMBERS[kind]
    if len(texts) != total:
        raise DatasetError(f"{name}: expected {total} numbers, found {len(texts)}; unpack the annotation again")
    return _place(texts[:number], kind, name), name


def detect_by_cascade(image: np.ndarray) -> Place | None:
    """The box of the largest face, by Viola and Jones 2001, doi:10.1109/CVPR.2001.990517; None if there is none."""
    gray, factor = _shorten(sources.to_gray(image), LONGEST["cascade"])
    least = max(1, round(SMALLEST * min(gray.shape)))
    faces = _cascade().detectMultiScale(gray, minNeighbors=NEIGHBOURS, minSize=(least, least))
    if not len(faces):
        return None
    left, top, width, height = max(faces.tolist(), key=lambda face: (face[2] * face[3], face))
    return np.array([left, top, left + width, top + height]) * np.tile(factor, 2)


def detect_by_yunet(file: Path, image: np.ndarray) -> Place | None:
    """The landmarks of the largest face, by YuNet (Wu et al. 2023) in OpenCV; None if there is none.

    The network, ``face_detection_yunet_2023mar.onnx``, is in github.com/opencv/opencv_zoo (MIT licence).

    Raises:
        DatasetError: the file is no such network.
    """
    colour = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    small, factor = _shorten(colour, LONGEST["yunet"])
    try:
        network = _yunet(str(file))
        network.setInputSize((small.shape[1], small.shape[0]))
        faces = network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
    except cv2.error as error:
        raise DatasetError(f"{file}: OpenCV cannot use this as YuNet's network: {error}".rstrip()) from error
    if faces is None:
        return None
    face = max(faces.astype(np.float64), key=lambda face: face[2] * face[3])
    return (face[4:14].reshape(5, 2) + 0.5) * factor - 0.5


def cut(image: np.ndarray, place: Place, margin: float) -> np.ndarray:
    """The square round a box, as `functional.landmarks.square`; what lies outside the image repeats its border."""
    left, top, side = landmarks.square(place, margin)
    height, width = image.shape[:2]
    inside = image[max(top, 0) : min(top + side, height), max(left, 0) : min(left + side, width)]
    border = (max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0))
    return cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE) if any(border) else inside


def middle(image: np.ndarray) -> np.ndarray:
    """The largest square in the middle of an image."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def align(image: np.ndarray, points: Place, size: int, margin: float, fit: str, interpolation: str) -> np.ndarray:
    """A face turned, scaled and shifted so that its landmarks come to `functional.landmarks.places`.

    It is turned at the scale of the image (bicubic) and then resized, so that a face that gets smaller is smoothed.

    Args:
        image: uint8, ``(H, W)`` or ``(H, W, 3)``.
        points: five landmarks.
        size, margin: see `functional.landmarks.places`.
        fit: ``eyes`` (both come exactly to their places) or ``five_points`` (least squares).
        interpolation: see `resize`.
    """
    number = {"eyes": 2, "five_points": 5}[fit]
    first = landmarks.similarity(points[:number], landmarks.places(size, margin)[:number])
    side = max(1, round(size / math.hypot(*first[:, 0])))
    matrix = landmarks.similarity(points[:number], landmarks.places(side, margin)[:number])
    turned = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return resize(turned, size, interpolation)


def _row(table: dict[str, tuple[Place, str]], path: str, file: str) -> tuple[Place, str]:
    if path not in table:
        first = next(iter(table), "no path at all")
        raise DatasetError(f"{file}: no line has the path {path!r} of the manifest (the first line has {first!r})")
    return table[path]


def _place(texts: Sequence[str], kind: str, where: str) -> Place:
    try:
        numbers = np.array(texts, dtype=np.float64)
    except ValueError:
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise DatasetError(f"{where}: expected {','.join(COLUMNS[kind])} as numbers, found {list(texts)}")
    if kind == "boxes":
        if numbers[2] <= numbers[0] or numbers[3] <= numbers[1]:
            raise DatasetError(f"{where}: the box is empty; expected left < right and top < bottom, found {texts}")
        return numbers
    points = numbers.reshape(5, 2)
    if not landmarks.in_order(points):
        raise DatasetError(
            f"{where}: the mouth is not below the eyes; expected eye, eye, nose, mouth, mouth, of each pair first the "
            f"one further left in the picture of an upright face, found {texts}"
        )
    return points


def _inside(place: Place, where: str, image: np.ndarray) -> Place:
    box = place if place.ndim == 1 else np.concatenate([place.min(axis=0), place.max(axis=0)])
    height, width = image.shape[:2]
    if landmarks.share_inside(box, height, width) < INSIDE:
        raise DatasetError(
            f"{where}: most of the face, {box.round(1).tolist()}, lies outside its image of {width}x{height} pixels; "
            "are these the coordinates of another size of the image?"
        )
    return place


def _shorten(image: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The image, no longer than `longest`, and the factors of x and y that lead back."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image, np.ones(2)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.array([width, height]) / size


@lru_cache(maxsize=1)
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / CASCADE))


@lru_cache(maxsize=1)
def _yunet(file: str) -> cv2.FaceDetectorYN:
    return cv2.FaceDetectorYN.create(file, "", (320, 320))
