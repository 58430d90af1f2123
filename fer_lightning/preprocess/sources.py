"""Images from wherever a manifest's `path` points: a file, a member of a zip archive, a row of a csv.

=====================================  ======================================================
``Cropped/sub01/EP02_01f/img46.jpg``   a file below the raw folder
``archive.zip#train/angry/x.jpg``      a member of a zip archive, which stays packed
``fer2013.csv.xz#17``                  row 17 (the first below the header is 0) of a csv of FER2013
=====================================  ======================================================

What is cut off or cannot be decoded is refused. A jpg, bmp or tif with other bytes in its middle decodes to another
picture, and no decoder here can tell it from a whole one; a png has check sums.
"""

import contextlib
import io
import itertools
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from PIL import Image, ImageOps

from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.functional.face_csv import BROKEN_FILE, faces

CSV_SUFFIXES = (".csv", ".csv.xz", ".csv.gz", ".csv.zip")
#: Faces in a csv row are square, 48 by 48.
CSV_SIDE = 48
#: First bytes of a tif, in the two orders of bytes.
TIF_STARTS = (b"II", b"MM")
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
        DatasetError: an image is a folder or cannot be decoded, or a csv row is no image; the message names it.
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
    if os.path.isdir(file):
        raise DatasetError(
            f"{path}: expected a picture, found a folder in {root}; name the pictures in it, or, if it is a clip, "
            "choose data that reads clips (data.kind)"
        )
    if not os.path.isfile(file):  # also where no file can have such a name
        raise DatasetNotFoundError(f"{path}: no such image in {root}; is the raw folder complete?")
    return decode(file.read_bytes(), path)


def decode(data: bytes, name: str) -> np.ndarray:
    """Decode jpg, png, bmp or tif; upright and, where a png or tif is transparent, on white, as a viewer shows it.

    Raises:
        DatasetError: the bytes are no image, only the beginning of one, one with more than 8 bits a channel, or a tif
            of several pages.
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
    if data.startswith(TIF_STARTS) or _may_be_transparent(data):
        white = _on_white(data, name)
        if white is not None:
            return white[..., 0] if image.ndim == 2 else white
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _may_be_transparent(data: bytes) -> bool:
    """Whether this is a png with an alpha channel, or one that calls a colour transparent."""
    return data.startswith(b"\x89P") and (data[25] in (4, 6) or b"tRNS" in data[: data.find(b"IDAT")])


def _on_white(data: bytes, name: str) -> np.ndarray | None:
    """A transparent png or tif on white, ``(H, W, 3)``, by Pillow; None where all of it is opaque.

    OpenCV leaves alpha away, and what stands below it is arbitrary: mostly black, a border that no viewer shows. (Of a
    tif with alpha it gives colours that are multiplied by it.)
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            pages = getattr(picture, "n_frames", 1) if data.startswith(TIF_STARTS) else 1
            if pages == 1 and picture.has_transparency_data:
                shown = ImageOps.exif_transpose(picture).convert("RGBA")
                if shown.getextrema()[3][0] < 255:
                    return np.array(Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB"))
    except Exception as error:  # what OpenCV could read and Pillow cannot: its readers raise a dozen types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{name}: transparency or pages cannot be read ({reason}); save it as png anew") from error
    if pages > 1:
        raise DatasetError(
            f"{name}: expected one picture, found a tif of {pages} pages; save the page that counts as a picture of "
            "its own"
        )
    return None


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
