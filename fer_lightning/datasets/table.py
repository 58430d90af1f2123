"""What several data sets come in: a csv with a header, a list with one entry a line, files whose names say all.

Texts are UTF-8 with or without a byte-order mark, with line ends of any system. Anything else is refused, since a wrong
guess of the encoding or of a quotation mark changes names or swallows rows without a word.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from fer_lightning.errors import DatasetError

LFS_START = b"version https://git-lfs"


def read_rows(
    file: Path, required: Sequence[str], header: Sequence[str] | None = None
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a csv, as (line number, column -> text without outer spaces); blank lines are passed over.

    Args:
        file: the csv; its header may be padded or reordered.
        required: columns that the header must have; others are kept too.
        header: names of the columns of a file that has no header line.

    Raises:
        DatasetError: no text in UTF-8, no header, a missing column, a field with a line break in it (a quotation mark
            that is not closed), or a line with another number of fields than the header.
    """
    text = _text(file, "csv")
    lines = [(number, fields) for number, fields in _records(file, text) if any(fields)]
    lines = lines if header is None else [(0, list(header)), *lines]
    if len(lines) < 2:
        found = f"{file.name} ({file.stat().st_size} bytes)"
        raise DatasetError(f"{found} has no rows; expected the columns {', '.join(required or header)}")
    header = lines[0][1]
    missing = [column for column in required if column not in header]
    if missing:
        other = next((sign for sign in (";", "\t") if len(header) == 1 and sign in header[0]), None)
        hint = f"; its columns are separated by {other!r}, save it with commas" if other else ""
        raise DatasetError(f"{file.name}: the header has no column {missing}, found {header}{hint}")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DatasetError(f"{file.name}: the header names {twice} more than once; rename or remove one")
    for number, fields in lines[1:]:
        if len(fields) != len(header):
            raise DatasetError(
                f"{file.name}, line {number}: expected {len(header)} fields ({', '.join(header)}), found "
                f"{len(fields)}; put quotation marks round a field that holds a comma"
            )
    return [(number, dict(zip(header, fields, strict=True))) for number, fields in lines[1:]]


def read_lines(file: Path) -> list[tuple[int, str]]:
    """The lines of a list, as (line number, text without outer spaces); blank lines are passed over.

    Raises:
        DatasetError: no text in UTF-8.
    """
    lines = io.StringIO(_text(file, "list"), newline=None)
    return [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


def check_path(path: str) -> None:
    """Refuse the path of a picture that a manifest cannot hold.

    Raises:
        DatasetError: it has a ``#``, which stands between an archive and its member, or bytes that are no UTF-8.
    """
    if "#" in path or path.encode(errors="replace").decode() != path:
        raise DatasetError(f"{path!r}: the name of a picture must be UTF-8 without '#'; rename the file or folder")


def _text(file: Path, kind: str) -> str:
    data = file.read_bytes()
    if data.startswith(LFS_START):
        raise DatasetError(
            f"{file.name} is a Git-LFS pointer, not the {kind}; run `git lfs pull` or copy the file itself"
        )
    try:
        text = data.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError(f"character {text.index(chr(0))} is NUL, as in UTF-16 or a damaged file")
    except ValueError as error:
        raise DatasetError(
            f"{file.name} ({len(data)} bytes) is no {kind} in UTF-8: {error}; save it as "
            f"{'CSV UTF-8' if kind == 'csv' else 'UTF-8'!r}"
        ) from error
    return text


def _records(file: Path, text: str) -> list[tuple[int, list[str]]]:
    """Fields of each line without outer spaces; a record must end on the line that it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    records = []
    try:
        for number, fields in enumerate(reader, start=1):
            if reader.line_num > number:
                raise csv.Error("a quotation mark is not closed")
            records.append((number, [field.strip() for field in fields]))
    except csv.Error as error:
        number = len(records) + 1
        raise DatasetError(f"{file.name}, line {number} is no line of a csv in UTF-8: {error}; correct it") from error
    return records
