"""What the coding sheets of CASME II and SAMM have in common: an xlsx, a header somewhere, frames with files."""

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import openpyxl
import pandas as pd

from fer_lightning.errors import DatasetError
from fer_lightning.functional.frames import index_frames, nearest_frames

#: The header is looked for in so many rows.
HEADER_ROWS = 30


def read_cells(file: Path) -> Iterator[tuple]:
    """Rows of the first sheet, as tuples of values.

    Raises:
        DatasetError: the file is no readable xlsx.
    """
    try:
        book = openpyxl.load_workbook(file, data_only=True)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise DatasetError(
            f"{file.name} ({file.stat().st_size} bytes) is no readable xlsx: {error}; it is cut off, or a Git-LFS "
            "pointer. Copy it again from the release"
        ) from error
    try:
        yield from book.worksheets[0].iter_rows(values_only=True)
    finally:
        book.close()


def find_header(
    name: str, lines: list[tuple[int, tuple]], columns: Mapping[str, str], sheet: str, data: str
) -> tuple[int, dict[str, int]]:
    """Row number of the header (the first row is 1), and our column name -> place in the row.

    Args:
        name: of the file, for messages.
        lines: row number and cells; only the first `HEADER_ROWS` are looked at. Case and spaces do not matter.
        columns: title in lower case without spaces -> our name.
        sheet: name of the release's sheet, for messages.
        data: name of the data set, for messages.

    Raises:
        DatasetError: no row with Subject and Filename, or a column is missing.
    """
    for number, cells in lines[:HEADER_ROWS]:
        titles = [re.sub(r"\s+", "", str(cell)).lower() if cell is not None else "" for cell in cells]
        if "subject" not in titles or "filename" not in titles:
            continue
        missing = [title for title in columns if title not in titles]
        if missing:
            raise DatasetError(
                f"{name}: the header in row {number} has no column {missing}; found {[t for t in titles if t]}. "
                f"Take {sheet} from the release"
            )
        return number, {ours: titles.index(title) for title, ours in columns.items()}
    raise DatasetError(
        f"{name}: no row with Subject and Filename among the first {HEADER_ROWS}; is this the coding sheet of {data}?"
    )


def frame_number(where: str, name: str, value: object) -> int:
    """A cell that must hold a whole number."""
    match = re.fullmatch(r"([0-9]+)(?:\.0)?", str(value).strip())
    if match is None:
        raise DatasetError(f"{where}: the {name} frame must be a whole number, found {value!r}")
    return int(match.group(1))


def check_frames(root: Path, manifest: pd.DataFrame, file_name: Callable[[str, int], str], cure: str) -> None:
    """Every onset and apex must be a file; all clips are looked at before the first is reported.

    Args:
        root: raw folder.
        manifest: one row a clip.
        file_name: (subject, frame) -> what the file would be called.
        cure: what to do, for the message.

    Raises:
        DatasetError: files or folders are missing; names the first three, with the nearest frames that are there.
    """
    faults = []
    for row in manifest.itertuples():
        folder = root / row.path
        if not folder.is_dir():
            faults.append(f"{row.sample_id}: no folder {row.path}")
            continue
        try:
            numbers = index_frames(item.name for item in folder.iterdir())
        except ValueError as error:
            raise DatasetError(f"{row.sample_id}: {row.path}: {error}; remove one of the two") from error
        for what, frame in (("onset", row.onset), ("apex", row.apex)):
            if frame not in numbers:
                near = nearest_frames(numbers, frame) or "none at all"
                file = f"{file_name(row.subject, frame)} ({what})"
                faults.append(f"{row.sample_id}: no file {file} in {row.path}, nearest there: {near}")
    if faults:
        clips = {fault.partition(":")[0] for fault in faults}
        raise DatasetError(
            f"{'; '.join(faults[:3])}. {len(faults)} frames or folders of {len(clips)} clips are missing; {cure}"
        )
