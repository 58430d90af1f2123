"""Images from wherever a manifest's `path` points: a file, a member of a zip archive, a row of a csv.

=====================================  ======================================================
``Cropped/sub01/EP02_01f/img46.jpg``   a file below the raw folder
``archive.zip#train/angry/x.jpg``      a member of a zip archive, which stays packed
``fer2013.csv.xz#17``                  row 17 (the first below the header is 0) of a csv of FER2013
=====================================  ======================================================
"""

import contextlib
import itertools
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.functional.face_csv import BROKEN_FILE, faces

CSV_SUFFIXES = (".csv", ".csv.xz", ".csv.gz", ".csv.zip")
#: Faces in a csv row are square, 48 by 48.
CSV_SIDE = 48
#: First bytes of a jpg and a png -> where its pixels begin, and what must stand behind them: OpenCV decodes the torn
#: rest of a file to grey without complaint. (A thumbnail in the head of a jpg has an end of its own.)
MARKS = {b"\xff\xd8": (b"\xff\xda", b"\xff\xd9"), b"\x89P": (b"IDAT", b"IEND")}


def container(path: str) -> str:
    """What a `path` lies in: ``fer2013.csv.xz``, ``archive.zip``, or "" for a plain file."""
    return path.partition("#")[0] if "#" in path else ""


def chunk_key(path: str) -> str:
    """Paths with equal keys are read together best: a csv is read once, from its start; an archive by folders.

    Opening an archive costs a look at its whole table of contents, so it is not opened for every few images.
    """
    if not container(path) or is_csv(container(path)):
        return container(path)
    return str(PurePosixPath(path).parent)


def is_csv(name: str) -> bool:
    """Whether a container is a csv, packed or not."""
    return name.lower().endswith(CSV_SUFFIXES)


def read_images(root: Path, paths: Iterable[str]) -> Iterator[np.ndarray]:
    """Read images one after the other.

    Args:
        root: raw folder.
        paths: as in the manifest; rows of a csv in ascending order, since it is read once from start to end.

    Yields:
        uint8 arrays, grey ``(H, W)`` or colour ``(H, W, 3)`` in the order red, green, blue.

    Raises:
        DatasetNotFoundError: a file is missing.
        DatasetError: an image cannot be decoded, or a csv row is no image; the message names it.
    """
    for name, group in itertools.groupby(paths, key=container):
        if not name:
            for path in group:
                yield read_file(root, path)
        elif is_csv(name):
            yield from _csv_rows(root, name, [_row_number(path) for path in group])
        else:
            yield from _zip_members(root, name, list(group))


def read_file(root: Path, path: str) -> np.ndarray:
    """One image file below the raw folder; see `read_images`."""
    file = Path(root) / path
    if not os.path.isfile(file):  # also where no file can have such a name
        raise DatasetNotFoundError(f"{path}: no such image in {root}; is the raw folder complete?")
    return decode(file.read_bytes(), path)


def decode(data: bytes, name: str) -> np.ndarray:
    """Decode jpg, png, bmp or tif; upright, as a viewer shows it.

    Raises:
        DatasetError: the bytes are no image, only the beginning of one, or one with more than 8 bits a channel.
    """
    start, end = MARKS.get(data[:2], (b"", b""))
    whole = data.rfind(end) >= data.rfind(start)
    image = None
    if data and whole:
        # IMREAD_UNCHANGED would do the same, but leave a picture lying on its side as the phone was held (EXIF).
        flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
        with contextlib.suppress(cv2.error):  # a size beyond OpenCV's limits: the head is damaged
            image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if image is None:
        what = "cannot be decoded" if whole else "is cut off"
        hint = " (it is a Git-LFS pointer; run `git lfs pull`)" if data.startswith(b"version https://git-lfs") else ""
        raise DatasetError(f"{name}: this image of {len(data)} bytes {what}{hint}; copy or download it again")
    if image.dtype != np.uint8:
        raise DatasetError(f"{name}: expected 8 bits a channel, found {image.dtype}; convert the image")
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def to_gray(image: np.ndarray) -> np.ndarray:
    """Grey ``(H, W)`` of an image as `read_images` gives it; weights 0.299, 0.587, 0.114 (ITU-R BT.601)."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _zip_members(root: Path, name: str, paths: list[str]) -> Iterator[np.ndarray]:
    file = Path(root) / name
    if not file.is_file():
        raise DatasetNotFoundError(f"{name}: no such archive in {root}; is the raw folder complete?")
    try:
        archive = zipfile.ZipFile(file)
    except BROKEN_FILE as error:
        raise DatasetError(f"{name} is no complete zip file: {error}; download it again") from error
    with archive:
        for path in paths:
            yield decode(_member(archive, path), path)


def _member(archive: zipfile.ZipFile, path: str) -> bytes:
    try:
        return archive.read(path.partition("#")[2])
    except KeyError as error:
        raise DatasetError(f"{path}: the archive has no such member; build the manifest from the same file") from error
    except BROKEN_FILE as error:
        raise DatasetError(
            f"{path}: this member of the archive is damaged: {error}; download the archive again"
        ) from error


def _row_number(path: str) -> int:
    member = path.partition("#")[2]
    if not re.fullmatch("[0-9]{1,9}", member):
        raise DatasetError(f"{path}: expected a row number after '#', such as fer2013.csv#17")
    return int(member)


def _csv_rows(root: Path, name: str, numbers: list[int]) -> Iterator[np.ndarray]:
    file = Path(root) / name
    if not file.is_file():
        raise DatasetNotFoundError(f"{name}: no such csv in {root}; is the raw folder complete?")
    if any(b <= a for a, b in itertools.pairwise(numbers)):
        raise DatasetError(f"{name}: rows must be asked for in ascending order; sort the manifest by its paths")
    wanted = iter(numbers)
    number = next(wanted)
    for row, face in enumerate(faces(file, name)):
        if row == number:
            yield _pixels(face.pixels, f"{name}: row {row} (line {face.line} of the file)")
            number = next(wanted, None)
            if number is None:
                return
    raise DatasetError(
        f"{name}: row {number} was asked for, but the file ends before; it has changed since the "
        "manifest was built, run again"
    )


def _pixels(text: str, where: str) -> np.ndarray:
    try:
        values = np.fromstring(text, dtype=np.int64, sep=" ")
    except ValueError as error:
        wrong = next((field for field in text.split() if not re.fullmatch("-?[0-9]+", field)), text[:20])
        raise DatasetError(f"{where}: {wrong!r} is no pixel; the file is damaged, download it again") from error
    if values.size != CSV_SIDE**2:
        raise DatasetError(
            f"{where}: expected {CSV_SIDE**2:,} pixels, found {values.size:,} numbers; the file is damaged, "
            "download it again"
        )
    if values.min() < 0 or values.max() > 255:
        raise DatasetError(
            f"{where}: pixels must be in 0..255, found {values.min()}..{values.max()}; the file is damaged, "
            "download it again"
        )
    return values.astype(np.uint8).reshape(CSV_SIDE, CSV_SIDE)
