"""SAMM, raw release to manifest.

Layout::

    samm/
    ├── SAMM_Micro_FACS_Codes_v2.xlsx                       one sheet; 13 rows of prose, header in row 14, 159 clips
    └── SAMM/006/006_1_2/006_05562.jpg ...                  grey, 200 frames a second (or 006/ beside the sheet), and/or
        SAMM_Cropped/006/006_1_2/006_05562.jpg ...          faces that somebody cropped (or SAMM_CROP)

The last number in a file name is the number in the sheet. 159 clips of 29 people.

Known defects: two apexes lie outside their clips, see `CORRECTIONS`. The apex of 032_3_2 (5127) stands one frame behind
its onset: suspicious, but possible, so it is kept.

Source: Davison et al. 2018, IEEE Trans. Affective Computing 9(1), doi:10.1109/TAFFC.2016.2573832; emotions and classes:
Davison et al. 2018, J. Imaging 4(10), doi:10.3390/jimaging4100119
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openpyxl
import pandas as pd

from fer_lightning.datasets import contract, sheet, synthetic
from fer_lightning.datasets.release import count
from fer_lightning.errors import DatasetError, DatasetNotFoundError


class Correction(NamedTuple):
    """What the sheet says as apex, what is taken instead, how that was found (`apex_source`), and why."""

    found: int
    apex: int
    source: str
    reason: str


#: Clip -> known annotation error. Applied only where the sheet still says `found`.
CORRECTIONS = {
    "032_3_1": Correction(1930, 4930, "annotated", "mistyped: the clip runs from 4896 to 4970"),
    "028_4_1": Correction(1143, 1105, "spotted", "behind the offset 1134; github.com/tvaranka/meb spots it at 1105"),
}
EMOTIONS = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise", "other")
SHEET = "SAMM_Micro_FACS_Codes_v2.xlsx"
#: "": the folders of the people stand beside the sheet.
FRAME_FOLDERS = {"cropped": ("SAMM_Cropped", "SAMM_CROP"), "raw": ("SAMM", "")}
#: Header in lower case without spaces -> our name. Further columns are ignored; Duration is a formula.
COLUMNS = {
    "subject": "subject",
    "filename": "clip",
    "onsetframe": "onset",
    "apexframe": "apex",
    "offsetframe": "offset",
    "estimatedemotion": "emotion",
}
NO_APEX = "no usable annotated apex (missing, equal to the onset, or outside onset to offset)"
NO_FOLDER = "no folder with its frames"
HINT = (
    "SAMM needs a signed licence agreement: https://helward.mmu.ac.uk/STAFF/M.Yap/dataset.php. The folder must hold "
    f"{SHEET} and the frames (SAMM/006/006_1_2/*.jpg, or SAMM_Cropped/ with the faces alone)."
)
TINY_HEADER = (
    "Subject",
    "Filename",
    "Inducement Code",
    "Onset Frame",
    "Apex Frame",
    "Offset Frame",
    "Duration",
    "Micro",
    "Action Units",
    "Estimated Emotion",
    "Objective Classes",
    "Notes",
)
TINY_MOVEMENTS = {
    "Anger": "brows_down",
    "Contempt": "mouth_down",
    "Happiness": "mouth_up",
    "Surprise": "brows_up",
    "Other": "nose_left",
    "Disgust": "chin_up",
    "Fear": "brows_down",
    "Sadness": "mouth_down",
}
#: Frame numbers, in step with `synthetic.COURSE`, of the clips of `CORRECTIONS`: onset, middle, apex, offset are there.
TINY_FAULTY = {
    "028_4_1": (1071, 1085, 1102, 1105, 1115, 1125, 1134),
    "032_3_1": (4896, 4908, 4919, 4930, 4933, 4957, 4970),
}


def build_manifest(
    root: Path | str,
    frames: str | None = None,
    apex: str = "annotated",
    apex_list: str | None = None,
    corrections: bool = True,
    partial: bool = False,
) -> pd.DataFrame:
    """One row per clip of the sheet, in its order. Lists the clip folders, opens no image.

    Args:
        root: raw folder.
        frames: ``cropped`` or ``raw``; None takes cropped where it is there.
        apex: ``annotated``, ``middle``, ``file`` or ``spot``, see `sheet`; what ``annotated`` leaves out stands in
            ``attrs["dropped"]``.
        apex_list: csv or xlsx below `root`, see `sheet.take_apexes`.
        corrections: apply `CORRECTIONS`; ``file`` and ``spot`` read no apex that could be corrected.
        partial: leave clips without a folder out (and say so) instead of refusing an incomplete download.

    Returns:
        A manifest, see `contract`: `label` is the emotion word in lower case, `path` the clip's folder. In ``attrs``,
        ``release_counts`` counts all rows of the sheet; ``dropped`` and ``corrected`` are reason -> sample ids.

    Raises:
        DatasetNotFoundError: the folder, the sheet, the list or all frames are missing.
        DatasetError: the sheet or the list contradicts itself, or a clip's onset or apex frame is no file.
    """
    sheet.check_policy("SAMM", apex, apex_list)
    root = contract.require_root(root, "SAMM", HINT)
    if not (root / SHEET).is_file():
        others = sorted(item.name for item in root.glob("*.xls*"))
        raise DatasetNotFoundError(f"SAMM: no {SHEET} in {root} (sheets there: {others}). {contract.how_to_get(HINT)}")
    clips = read_sheet(root / SHEET)
    folder = _find_frames(root, frames, clips["subject"].unique())
    ids = "samm/" + clips["subject"] + "/" + clips["clip"]
    sources, corrected = ["annotated"] * len(clips), {}
    if corrections and apex in ("annotated", "middle"):
        sources, corrected = _correct(clips, ids)
    manifest = contract.fill(
        pd.DataFrame(
            {
                "sample_id": ids,
                "dataset": "samm",
                "path": folder + clips["subject"] + "/" + clips["clip"],
                "subject": clips["subject"],
                "group": "samm/" + clips["subject"],
                "label": clips["emotion"],
                "onset": clips["onset"],
                "apex": clips["apex"],
                "offset": clips["offset"],
                "apex_source": sources,
            }
        )
    )
    release_counts = count(manifest)
    manifest, left_out = sheet.settle_apexes(manifest, apex, root, apex_list)
    dropped = {NO_APEX: left_out} if left_out else {}
    there = manifest["path"].map(lambda path: (root / path).is_dir())
    if partial and not there.all():
        dropped[NO_FOLDER] = manifest.loc[~there, "sample_id"].tolist()
        manifest = manifest[there].reset_index(drop=True)
    cure = "complete the frames, correct the sheet, or leave clips without a folder out with data.builder.partial=true"
    sheet.check_frames(root, manifest, _file_name, cure)
    manifest.attrs = {"release_counts": release_counts, "dropped": dropped, "corrected": corrected}
    return manifest


def read_sheet(file: Path | str) -> pd.DataFrame:
    """The sheet as it is: columns subject (``006``), clip, onset, apex, offset (Int64), emotion (lower case).

    The header may stand in any of the first 30 rows; case and spaces in it do not matter. An empty apex becomes
    ``pd.NA``; an apex outside its clip is kept, see `build_manifest`.

    Raises:
        DatasetError: no header, a missing column, an unknown emotion word, a frame that is no whole number, an offset
            before the onset, a clip of another subject, or one that stands there twice; the row is named as Excel
            numbers it.
    """
    file = Path(file)
    lines = list(enumerate(sheet.read_cells(file), start=1))
    header, columns = sheet.find_header(file.name, lines, COLUMNS, SHEET, "SAMM")
    clips, seen = [], {}
    for number, cells in lines[header:]:
        values = {name: cells[place] for name, place in columns.items()}
        if all(value is None or str(value).strip() == "" for value in values.values()):
            continue
        clip = _clip(f"{file.name}, row {number}", values)
        if clip["clip"] in seen:
            raise DatasetError(
                f"{file.name}, row {number}: {clip['clip']} stands in row {seen[clip['clip']]} too; a clip must stand "
                "once"
            )
        seen[clip["clip"]] = number
        clips.append(clip)
    if not clips:
        raise DatasetError(f"{file.name}: no rows below the header in row {header}")
    return pd.DataFrame(clips).astype(dict.fromkeys(contract.FRAME_COLUMNS, "Int64"))


def _clip(where: str, values: dict) -> dict:
    match = re.fullmatch(r"([0-9]{1,9})(?:\.0)?", str(values["subject"]).strip())  # 6: Excel saw a number
    subject, clip = f"{int(match.group(1)):03d}" if match else "", str(values["clip"]).strip()
    if match is None or not clip.startswith(f"{subject}_"):
        found = f"{values['subject']!r} and {values['clip']!r}"
        raise DatasetError(f"{where}: expected a subject such as 006 and a file name such as 006_1_2, found {found}")
    where = f"{where} ({clip})"
    emotion = str(values["emotion"]).strip().lower()
    if emotion not in EMOTIONS:
        raise DatasetError(f"{where}: unknown emotion {values['emotion']!r}; expected one of {EMOTIONS}")
    no_apex = values["apex"] is None or str(values["apex"]).strip() in ("", "/")
    onset, offset = (sheet.frame_number(where, name, values[name]) for name in ("onset", "offset"))
    if offset < onset:
        raise DatasetError(f"{where}: the offset {offset} lies before the onset {onset}; correct the sheet")
    return {
        "subject": subject,
        "clip": clip,
        "onset": onset,
        "apex": pd.NA if no_apex else sheet.frame_number(where, "apex", values["apex"]),
        "offset": offset,
        "emotion": emotion,
    }


def _file_name(subject: str, frame: int) -> str:
    return f"{subject}_{frame:05d}.jpg"


def _correct(clips: pd.DataFrame, ids: pd.Series) -> tuple[list[str], dict[str, list[str]]]:
    """Apply `CORRECTIONS` in place; the apex source of every clip, and reason -> sample ids."""
    sources, corrected = ["annotated"] * len(clips), {}
    for row, (clip, apex) in enumerate(zip(clips["clip"], clips["apex"], strict=True)):
        correction = CORRECTIONS.get(clip)
        if correction is None or pd.isna(apex) or apex != correction.found:
            continue
        clips.loc[row, "apex"] = correction.apex
        sources[row] = correction.source
        corrected[f"apex {correction.found} -> {correction.apex}: {correction.reason}"] = [ids[row]]
    return sources, corrected


def _find_frames(root: Path, frames: str | None, subjects: np.ndarray) -> str:
    """The folder that holds the folders of the people, as a prefix of paths: ``SAMM/`` or ""."""
    if frames is not None and frames not in FRAME_FOLDERS:
        raise DatasetError(f"SAMM: frames={frames!r} is none of {list(FRAME_FOLDERS)}, or null for the first there is")
    names = [name for kind in ([frames] if frames else FRAME_FOLDERS) for name in FRAME_FOLDERS[kind]]
    for name in names:
        if any((root / name / subject).is_dir() for subject in subjects):
            return f"{name}/" if name else ""
    listed = " or ".join(f"{name}/{subjects[0]}".lstrip("/") for name in names)
    raise DatasetNotFoundError(
        f"SAMM: the sheet is there, but no folder {listed} with the frames in {root}. {contract.how_to_get(HINT)}"
    )


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write the sheet and ``SAMM/`` for 5 people with 6 clips each, 7 grey frames a clip, 90x80 pixels.

    As in the release, the header stands in row 14, Duration is a formula, and the apexes of 028_4_1 and 032_3_1 lie
    outside their clips.
    """
    rng = np.random.default_rng(seed)
    book = openpyxl.Workbook()
    book.active.title = "MICRO_ONLY"
    for line in (["SAMM Dataset - Master FACS Codes"], *[[]] * 12, TINY_HEADER):
        book.active.append(line or [None])
    common = list(TINY_MOVEMENTS)[:5]
    with synthetic.raw_folder(root) as folder:
        for person, subject in enumerate(("006", "007", "009", "028", "032")):
            neutral = synthetic.textured_face(rng, 90, 80)
            words = [*common, ("Disgust", "Fear", "Sadness")[person % 3]]
            for number, word in enumerate(words, start=1):
                clip = {("028", 2): "028_4_1", ("032", 1): "032_3_1"}.get((subject, number), f"{subject}_1_{number}")
                start = 10000 - 3 * number  # the first clips pass 9999 -> 10000
                frames = TINY_FAULTY.get(clip, tuple(range(start, start + len(synthetic.COURSE))))
                shown = CORRECTIONS[clip].found if clip in CORRECTIONS else frames[synthetic.COURSE.index(1.0)]
                row = book.active.max_row + 1
                line = [subject, clip, 1, frames[0], shown, frames[-1], f"=SUM(F{row}-D{row})+1", "Micro - 1/2", "4"]
                book.active.append([*line, word, 7, None])
                pictures = synthetic.clip(rng, neutral, TINY_MOVEMENTS[word], pixels=2.5)
                for frame, picture in zip(frames, pictures, strict=True):
                    file = folder / "SAMM" / subject / clip / f"{subject}_{frame:05d}.jpg"
                    synthetic.write_image(file, picture[..., 0])
        book.save(folder / SHEET)
