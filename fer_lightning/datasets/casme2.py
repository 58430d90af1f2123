"""CASME II, raw release to manifest.

Layout::

    casme2/
    ├── CASME2-coding-20140508.xlsx  and/or  CASME2-coding-20190701.xlsx
    ├── Cropped/sub01/EP02_01f/reg_img46.jpg ...            cropped and registered faces, about 280x340, and/or
    └── CASME2_RAW_selected/sub01/EP02_01f/img46.jpg ...    640x480  (or CASME2-RAW, CASME2_RAW)

Files are not zero-padded; the number in a file name is the number in the sheet. A clip name is unique only within its
subject. 255 clips of 26 people at 200 frames a second.

Known defects, in both releases: sub04/EP12_01f has '/' as apex; the apex of sub05/EP09_05f is its onset (no motion).

Source: Yan et al. 2014, PLoS ONE 9(1): e86041, doi:10.1371/journal.pone.0086041
"""

import re
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd

from fer_lightning.datasets import contract, sheet, synthetic
from fer_lightning.datasets.release import count
from fer_lightning.errors import DatasetError, DatasetNotFoundError

EMOTIONS = ("happiness", "disgust", "repression", "surprise", "others", "sadness", "fear")
SHEETS = {"2014": "CASME2-coding-20140508.xlsx", "2019": "CASME2-coding-20190701.xlsx"}
FRAME_FOLDERS = {"cropped": ("Cropped",), "raw": ("CASME2_RAW_selected", "CASME2-RAW", "CASME2_RAW")}
#: Header in lower case without spaces -> our name. Further columns, and blank ones, are ignored.
COLUMNS = {
    "subject": "subject",
    "filename": "clip",
    "onsetframe": "onset",
    "apexframe": "apex",
    "offsetframe": "offset",
    "estimatedemotion": "emotion",
}
#: Header of the sheet of 2019 as `write_tiny` writes it; two columns have no name.
TINY_HEADER = (
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
)
TINY_MOVEMENTS = {
    "happiness": "mouth_up",
    "disgust": "brows_down",
    "repression": "mouth_down",
    "surprise": "brows_up",
    "others": "nose_left",
    "sadness": "chin_up",
    "fear": "chin_up",
}
NO_APEX = "no usable annotated apex (missing, or equal to the onset)"
HINT = (
    "CASME II needs a signed licence agreement: http://casme.psych.ac.cn/casme/e2. The folder must hold the coding "
    f"sheet ({' or '.join(SHEETS.values())}) and the frames (Cropped/ or CASME2_RAW_selected/)."
)


def build_manifest(
    root: Path | str,
    release: int | str | None = None,
    frames: str | None = None,
    apex: str = "annotated",
    apex_list: str | None = None,
) -> pd.DataFrame:
    """One row per clip of the coding sheet, in its order. Lists the clip folders, opens no image.

    Args:
        root: raw folder.
        release: coding sheet of 2014 or 2019; None takes the newest that is there.
        frames: ``cropped`` or ``raw``; None takes cropped where it is there.
        apex: ``annotated``, ``middle``, ``file`` or ``spot``, see `sheet`; what ``annotated`` leaves out stands in
            ``attrs["dropped"]``.
        apex_list: csv or xlsx below `root`, see `sheet.take_apexes`.

    Returns:
        A manifest, see `contract`: `label` is the emotion word in lower case, `path` the clip's folder. Its
        ``attrs["release_counts"]`` counts all rows of the sheet.

    Raises:
        DatasetNotFoundError: the folder, the sheet, the list or all frames are missing.
        DatasetError: the sheet or the list contradicts itself, or a clip's onset or apex frame is no file.
    """
    sheet.check_policy("CASME II", apex, apex_list)
    root = contract.require_root(root, "CASME II", HINT)
    clips = read_sheet(_find_sheet(root, release))
    folder = _find_frames(root, frames)
    manifest = contract.fill(
        pd.DataFrame(
            {
                "sample_id": "casme2/" + clips["subject"] + "/" + clips["clip"],
                "dataset": "casme2",
                "path": folder + "/" + clips["subject"] + "/" + clips["clip"],
                "subject": clips["subject"],
                "group": "casme2/" + clips["subject"],
                "label": clips["emotion"],
                "onset": clips["onset"],
                "apex": clips["apex"],
                "offset": clips["offset"],
                "apex_source": "annotated",
            }
        )
    )
    release_counts = count(manifest)
    manifest, left_out = sheet.settle_apexes(manifest, apex, root, apex_list)
    sheet.check_frames(root, manifest, _file_name, "complete the frames, or correct the sheet")
    manifest.attrs = {"release_counts": release_counts, "dropped": {NO_APEX: left_out} if left_out else {}}
    return manifest


def read_sheet(file: Path | str) -> pd.DataFrame:
    """The coding sheet: columns subject (``sub01``), clip, onset, apex, offset (Int64), emotion (lower case).

    The header may stand in any of the first 30 rows; case and spaces in it do not matter. An apex that is empty or
    ``/`` becomes ``pd.NA``.

    Raises:
        DatasetError: no header, a missing column, an unknown emotion word, a frame that is no whole number, frames out
            of order, or a clip that stands there twice; the row is named as Excel numbers it.
    """
    file = Path(file)
    lines = list(enumerate(sheet.read_cells(file), start=1))
    header, columns = sheet.find_header(file.name, lines, COLUMNS, " or ".join(SHEETS.values()), "CASME II")
    clips, seen = [], {}
    for number, cells in lines[header:]:
        values = {name: cells[place] if place < len(cells) else None for name, place in columns.items()}
        if all(value is None or str(value).strip() == "" for value in values.values()):
            continue
        clip = _clip(f"{file.name}, row {number}", values)
        key = clip["subject"], clip["clip"]
        if key in seen:
            raise DatasetError(
                f"{file.name}, row {number}: {'/'.join(key)} stands in row {seen[key]} too; a clip must stand once"
            )
        seen[key] = number
        clips.append(clip)
    if not clips:
        raise DatasetError(f"{file.name}: no rows below the header in row {header}")
    table = pd.DataFrame(clips)
    return table.astype(dict.fromkeys(contract.FRAME_COLUMNS, "Int64"))


def _clip(where: str, values: dict) -> dict:
    match = re.fullmatch(r"(?:sub)?([0-9]{1,9})(?:\.0)?", str(values["subject"]).strip().lower())
    if match is None or values["clip"] is None:
        found = f"{values['subject']!r} and {values['clip']!r}"
        raise DatasetError(f"{where}: expected a subject such as 01 and a file name, found {found}")
    subject, clip = f"sub{int(match.group(1)):02d}", str(values["clip"]).strip()
    where = f"{where} ({subject}/{clip})"
    emotion = str(values["emotion"]).strip().lower()
    if emotion not in EMOTIONS:
        raise DatasetError(f"{where}: unknown emotion {values['emotion']!r}; expected one of {EMOTIONS}")
    onset, offset = (sheet.frame_number(where, name, values[name]) for name in ("onset", "offset"))
    no_apex = values["apex"] is None or str(values["apex"]).strip() in ("", "/")
    apex = pd.NA if no_apex else sheet.frame_number(where, "apex", values["apex"])
    order = [onset, offset] if no_apex else [onset, apex, offset]
    if order != sorted(order):
        found = f"{onset}, {'/' if no_apex else apex}, {offset}"
        raise DatasetError(f"{where}: frames must be onset <= apex <= offset, found {found}; correct the sheet")
    return {
        "subject": subject,
        "clip": clip,
        "onset": onset,
        "apex": apex,
        "offset": offset,
        "emotion": emotion,
    }


def _file_name(subject: str, frame: int) -> str:
    return f"img{frame}.jpg or reg_img{frame}.jpg"


def _find_sheet(root: Path, release: int | str | None) -> Path:
    if release is not None and str(release) not in SHEETS:
        raise DatasetError(f"CASME II: release={release!r} is none of {list(SHEETS)}, or null for the newest there is")
    wanted = sorted(SHEETS, reverse=True) if release is None else [str(release)]
    for name in wanted:
        if (root / SHEETS[name]).is_file():
            return root / SHEETS[name]
    others = sorted(item.name for item in root.glob("*.xls*"))
    raise DatasetNotFoundError(
        f"CASME II: no {' or '.join(SHEETS[name] for name in wanted)} in {root} (sheets there: {others}). "
        f"{contract.how_to_get(HINT)}"
    )


def _find_frames(root: Path, frames: str | None) -> str:
    if frames is not None and frames not in FRAME_FOLDERS:
        raise DatasetError(
            f"CASME II: frames={frames!r} is none of {list(FRAME_FOLDERS)}, or null for the first there is"
        )
    names = [name for kind in ([frames] if frames else FRAME_FOLDERS) for name in FRAME_FOLDERS[kind]]
    for name in names:
        if (root / name).is_dir():
            return name
    raise DatasetNotFoundError(
        f"CASME II: the sheet is there, but no folder {' or '.join(names)} with the frames in {root}. "
        f"{contract.how_to_get(HINT)}"
    )


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write the sheet of 2019 and ``Cropped/`` for 6 people with 6 clips each, 7 frames a clip, 90x80 pixels.

    The skin moves by a field that depends on the emotion word, so the onset-apex flow tells the class. As in the
    release, one clip has ``/`` as apex, and the apex of another is its onset.
    """
    rng = np.random.default_rng(seed)
    book = openpyxl.Workbook()
    book.active.append(TINY_HEADER)
    with synthetic.raw_folder(root) as folder:
        for person in range(1, 7):
            neutral = synthetic.textured_face(rng, 90, 80)
            words = ("happiness", "disgust", "repression", "surprise", "others", "sadness" if person % 2 else "fear")
            for number, word in enumerate(words, start=1):
                name = f"EP{number:02d}_01f"
                onset = 8 * number + 40 * (person % 3)  # the numbers pass 9 -> 10 and 99 -> 100
                apex = onset + synthetic.COURSE.index(1.0)
                shown = {(4, "disgust"): "/", (5, "disgust"): onset}.get((person, word), apex)
                offset = onset + len(synthetic.COURSE) - 1
                book.active.append((f"{person:02d}", name, None, onset, shown, offset, None, "?", word, 7))
                place = folder / "Cropped" / f"sub{person:02d}" / name
                for step, frame in enumerate(synthetic.clip(rng, neutral, TINY_MOVEMENTS[word], pixels=2.5)):
                    synthetic.write_image(place / f"reg_img{onset + step}.jpg", frame)
        book.save(folder / SHEETS["2019"])
