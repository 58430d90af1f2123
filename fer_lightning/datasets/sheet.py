"""What the builders of micro-expression clips have in common: coding sheets, apex policies, frames with files.

=============  ====================================================================================================
``apex=``      which apex the clips get
=============  ====================================================================================================
``annotated``  that of the release; clips without a usable one are left out, and said
``middle``     that of the release; the middle frame where there is no usable one
``file``       that of a list of one's own, for all clips, see `take_apexes`
``spot``       none yet, for all clips: the data module's `spotter` finds it in the frames
=============  ====================================================================================================
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import ParseError

import openpyxl
import pandas as pd

from fer_lightning.datasets.table import read_rows
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.functional.face_csv import BROKEN_FILE
from fer_lightning.functional.frames import clip_frames, middle_frame, nearest_frames

#: The header is looked for in so many rows.
HEADER_ROWS = 30
POLICIES = ("annotated", "file", "middle", "spot")
LIST_COLUMNS = "sample_id,apex or subject,clip,apex"


def read_cells(file: Path) -> list[tuple]:
    """Rows of the first sheet, as tuples of values.

    Raises:
        DatasetError: the file is no readable xlsx.
    """
    try:
        return list(openpyxl.load_workbook(file, data_only=True).worksheets[0].iter_rows(values_only=True))
    except (*BROKEN_FILE, ParseError, LookupError) as error:
        raise DatasetError(
            f"{file.name} ({file.stat().st_size} bytes) is no readable xlsx: {error}; it is cut off, or a Git-LFS "
            "pointer. Copy it again from the release"
        ) from error


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
        twice = [title for title in columns if titles.count(title) > 1]
        if missing or twice:
            fault = f"has no column {missing}" if missing else f"names {twice} more than once"
            raise DatasetError(
                f"{name}: the header in row {number} {fault}; found {[t for t in titles if t]}. "
                f"Take {sheet} from the release"
            )
        return number, {ours: titles.index(title) for title, ours in columns.items()}
    raise DatasetError(
        f"{name}: no row with Subject and Filename among the first {HEADER_ROWS}; is this the coding sheet of {data}?"
    )


def frame_number(where: str, name: str, value: object) -> int:
    """A cell that must hold a whole number, of nine digits at most."""
    match = re.fullmatch(r"([0-9]{1,9})(?:\.0)?", str(value).strip())
    if match is None:
        raise DatasetError(f"{where}: the {name} frame must be a whole number, found {repr(value)[:40]}")
    return int(match.group(1))


def check_policy(data: str, apex: str, apex_list: str | None, policies: Sequence[str] = POLICIES) -> None:
    """Refuse an apex policy that there is not, or that does not go with the list that is given or missing.

    Raises:
        DatasetError: which policies there are, or what the list needs.
    """
    if apex not in policies:
        raise DatasetError(f"{data}: apex={apex!r} is none of {list(policies)}")
    if apex != "file" and apex_list is not None:
        raise DatasetError(f"{data}: apex_list={apex_list!r} is read by apex='file' only, found apex={apex!r}")


def settle_apexes(
    manifest: pd.DataFrame, apex: str, root: Path, apex_list: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Apply an apex policy to the clips of a sheet.

    An apex is usable if it lies after the onset and not after the offset.

    Args:
        manifest: one row a clip, with the apexes of the sheet.
        apex: one of `POLICIES`.
        root: raw folder.
        apex_list: see `take_apexes`.

    Returns:
        The manifest, and the sample ids that were left out of it.
    """
    if apex == "spot":
        return open_apexes(manifest), []
    if apex == "file":
        return take_apexes(manifest, root, apex_list), []
    usable = (manifest["onset"] < manifest["apex"]) & (manifest["apex"] <= manifest["offset"])
    usable = usable.fillna(False).astype(bool)
    if apex == "annotated":
        return manifest[usable].reset_index(drop=True), manifest.loc[~usable, "sample_id"].tolist()
    for row in manifest.index[~usable]:
        manifest.loc[row, "apex"] = middle_frame(manifest["onset"][row], manifest["offset"][row])
    manifest.loc[~usable, "apex_source"] = "middle"
    return manifest, []


def open_apexes(manifest: pd.DataFrame) -> pd.DataFrame:
    """Leave every apex to the spotter, also where somebody annotated one."""
    return manifest.assign(apex=pd.array([pd.NA] * len(manifest), dtype="Int64"), apex_source="spotted")


def take_apexes(
    manifest: pd.DataFrame, root: Path, apex_list: str | None, clips: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Take every apex from a list of one's own: a csv, see `table`, or an xlsx with its header in row 1.

    Its columns are ``sample_id,apex`` or ``subject,clip,apex``, subject and clip as in the sample id; others are
    ignored.

    Args:
        manifest: one row a clip.
        root: raw folder.
        apex_list: the file below it.
        clips: clips that the list may name; those of the manifest where this is None.

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: a column is missing, a line names no clip, one that stands there twice or an apex outside onset to
            offset (the line is named), or a clip of the manifest is not listed.
    """
    if apex_list is None or not (root / apex_list).is_file():
        raise DatasetNotFoundError(
            f"apex='file' needs a csv or xlsx in {root} with the columns {LIST_COLUMNS}; found data.builder.apex_list="
            f"{apex_list}"
        )
    apexes = _listed(root / apex_list, manifest if clips is None else clips)
    missing = [sample for sample in manifest["sample_id"] if sample not in apexes]
    if missing:
        raise DatasetError(
            f"{apex_list}: {len(missing)} of {len(manifest)} clips have no apex in it (first: {missing[0]!r}); add them"
        )
    return manifest.assign(apex=manifest["sample_id"].map(apexes).astype("Int64"), apex_source="file")


def _listed(file: Path, clips: pd.DataFrame) -> dict[str, int]:
    """Sample id -> apex of every line of a list."""
    rows = read_rows(file, required=["apex"]) if file.suffix.lower() == ".csv" else xlsx_rows(file)
    titles = list(rows[0][1]) if rows else []
    keys = ["sample_id"] if "sample_id" in titles else ["subject", "clip"]
    if not {*keys, "apex"} <= set(titles):
        raise DatasetError(f"{file.name}: line 1 must name the columns {LIST_COLUMNS}, found {titles}")
    spans = {row.sample_id: (row.onset, row.offset) for row in clips.itertuples()}
    named = {sample.partition("/")[2]: sample for sample in spans} | {sample: sample for sample in spans}
    apexes, seen = {}, {}
    for number, row in rows:
        where, clip = f"{file.name}, line {number}", "/".join(row[key] for key in keys)
        if clip not in named:
            raise DatasetError(f"{where}: {clip!r} is no clip here; expected one such as {next(iter(named))!r}")
        sample = named[clip]
        if sample in seen:
            raise DatasetError(f"{where}: {sample} stands in line {seen[sample]} too; a clip must stand once")
        apex, (onset, offset) = frame_number(where, "apex", row["apex"]), spans[sample]
        if not onset <= apex <= offset:
            raise DatasetError(f"{where}: the apex {apex} of {sample} lies outside its clip, {onset} to {offset}")
        seen[sample], apexes[sample] = number, apex
    return apexes


def xlsx_rows(file: Path, required: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Rows of an xlsx with its header in row 1, as `table.read_rows` gives those of a csv.

    Raises:
        DatasetError: no readable xlsx, or a required column that is missing or stands there twice.
    """
    lines = [["" if cell is None else str(cell).strip() for cell in cells] for cells in read_cells(file)]
    header = lines[0] if lines else []
    missing = [title for title in required if title not in header]
    twice = sorted({title for title in header if title and header.count(title) > 1})
    if missing or twice:
        fault = f"has no column {missing}" if missing else f"names {twice} more than once"
        raise DatasetError(f"{file.name}: row 1 {fault}; found {header}")
    return [(number, dict(zip(header, row, strict=True))) for number, row in enumerate(lines[1:], 2) if any(row)]


def check_frames(root: Path, manifest: pd.DataFrame, file_name: Callable[[str, int], str], cure: str) -> None:
    """Every onset and apex must be a file; all clips are looked at before the first is reported.

    An apex that is not known yet (``apex=spot``) is not looked for.

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
        if not (root / row.path).is_dir():
            faults.append(f"{row.sample_id}: no folder {row.path}")
            continue
        numbers = clip_frames(root, row.path, row.sample_id)
        for what, frame in (("onset", row.onset), ("apex", row.apex)):
            if pd.notna(frame) and frame not in numbers:
                near = nearest_frames(numbers, frame) or "none at all"
                file = f"{file_name(row.subject, frame)} ({what})"
                faults.append(f"{row.sample_id}: no file {file} in {row.path}, nearest there: {near}")
    if faults:
        clips = {fault.partition(":")[0] for fault in faults}
        raise DatasetError(
            f"{'; '.join(faults[:3])}. {len(faults)} frames or folders of {len(clips)} clips are missing; {cure}"
        )
