"""The csv that FER2013 came in: one face a line, its pixels written out as numbers. Plain, or packed as xz, gz or zip.

Manifests and pictures are both read through `faces`, so row 17 is the same face for both.
"""

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from fer_lightning.errors import DatasetError

COLUMNS = ("emotion", "pixels", "Usage")
#: What damaged or foreign files make the standard library raise, besides what is a ValueError.
BROKEN_FILE = (OSError, EOFError, ValueError, RuntimeError, lzma.LZMAError, zipfile.BadZipFile, zlib.error)


class Face(NamedTuple):
    """One row as text; `line` is its place in the file, where the header is line 1."""

    line: int
    emotion: str
    pixels: str
    usage: str


def faces(file: Path, name: str) -> Iterator[Face]:
    """The rows below the header, the first is row 0; blank lines are passed over.

    The columns stand in any order; spaces and quotation marks round a field, a byte-order mark and Windows line ends
    are all right. No field holds a comma or a line break, so a line is a row whatever quotation marks stand in it.

    Args:
        file: ``.csv``, also followed by ``.xz``, ``.gz`` or ``.zip``.
        name: what to call it in messages.

    Raises:
        DatasetError: another header, no rows, a line with another number of fields, or a file that cannot be read to
            its end.
    """
    try:
        with _open(file) as stream:
            lines = ((line, _fields(text)) for line, text in enumerate(stream, start=1) if text.strip())
            _, header = next(lines, (0, []))
            places = _places(header, name)
            rows = 0
            for line, fields in lines:
                if len(fields) != len(header):
                    raise DatasetError(
                        f"{name}, line {line}: expected {len(header)} fields ({', '.join(header)}), found "
                        f"{len(fields)}; the file is cut off or damaged, download it again"
                    )
                yield Face(line, *(fields[place] for place in places))
                rows += 1
            if rows == 0:
                raise DatasetError(f"{name}: no rows below the header; the file is cut off, download it again")
    except DatasetError:
        raise
    except BROKEN_FILE as error:
        raise DatasetError(
            f"{name} ({file.stat().st_size} bytes) cannot be read to its end: {error}. The file is cut off or damaged; "
            "download it again and compare its size with the source"
        ) from error


@contextmanager
def _open(file: Path) -> Iterator[TextIO]:
    if file.suffix.lower() != ".zip":
        opener = {".xz": lzma.open, ".gz": gzip.open}.get(file.suffix.lower(), open)
        with opener(file, "rt", encoding="utf-8-sig") as stream:
            yield stream
        return
    with zipfile.ZipFile(file) as archive:
        members = [name for name in archive.namelist() if not name.startswith("__MACOSX/") and not name.endswith("/")]
        if len(members) != 1:
            raise ValueError(f"expected one csv in the archive, found {members[:4]}")
        with archive.open(members[0]) as data:
            yield io.TextIOWrapper(data, encoding="utf-8-sig")


def _fields(line: str) -> list[str]:
    fields = [field.strip() for field in line.split(",")]
    return [field[1:-1].strip() if len(field) > 1 and field[0] == field[-1] == '"' else field for field in fields]


def _places(header: list[str], name: str) -> list[int]:
    if not header:
        raise ValueError("it is empty")
    if header[0].startswith("version https://git-lfs"):
        raise DatasetError(
            f"{name} is a Git-LFS pointer, not the csv it stands for: fetch the file itself with `git lfs pull`, or "
            "download it from Kaggle"
        )
    if sorted(header) != sorted(COLUMNS):
        raise DatasetError(f"{name}: expected the columns emotion, pixels, Usage in any order, found {header[:6]}")
    return [header.index(column) for column in COLUMNS]
