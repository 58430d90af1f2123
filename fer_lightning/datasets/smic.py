"""SMIC, raw release to manifest: high-speed (HS), visible (VIS) and near-infrared (NIR) camera.

Layout::

    smic/
    ├── SMIC_all_cropped/HS/s1/micro/negative/s1_ne_01/reg_image559740.bmp ...   faces, registered, and/or
    ├── SMIC_all_raw/HS/s1/micro/positive/s1_po_01/image701843.jpg ...           640x480
    │               VIS/..., NIR/...                                             the same tree
    └── smic_apex.xlsx                                                           only for apex=file: an unofficial list
                                                                                 (or a csv of your own)

Beside ``micro`` stands ``non_micro``, which is no class and is not read. Subjects and clips may be padded or not (s1,
s01); here they are s01 and s01_ne_01, as in the list of MEGC 2019. Frame numbers start anywhere: the first file of a
clip is its onset, the last its offset. (So the long clips of SMIC-E, which begin before the onset, are not read.)

**Nobody annotated an apex.** The manifest takes the middle frame, other people's list, or leaves it to the spotter.

HS: 164 clips of 16 people at 100 frames a second; VIS and NIR: 71 clips each at 25, of the last of these people.

Source: Li et al. 2013, "A spontaneous micro-expression database: inducement, collection and baseline",
doi:10.1109/FG.2013.6553717
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, sheet, synthetic
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.functional.frames import clip_frames, middle_frame, natural_key, nearest_frames

SUBSETS = ("hs", "vis", "nir")
#: Code in a clip's name -> name of the folder, in the order of the codes 0, 1, 2 of lists.
EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}
FRAME_FOLDERS = {"cropped": "SMIC_all_cropped", "raw": "SMIC_all_raw"}
#: Unofficial apex list of HS (github.com/QqXuyujie/Micro-Expression-Datasets), under the names it goes by.
APEX_LISTS = ("smic_apex.xlsx", "smic_apex_thirdparty.xlsx")
LIST_COLUMNS = ("clip", "label", "apex_frame")
POLICIES = ("file", "middle", "spot")
MIN_FRAMES = 3
HINT = (
    "SMIC needs a signed licence agreement: https://www.oulu.fi/cmvs/node/41319. The folder must hold "
    f"{FRAME_FOLDERS['cropped']}/HS/s1/micro/negative/s1_ne_01/*.bmp (or {FRAME_FOLDERS['raw']}/...)."
)
TINY_MOVEMENTS = {"ne": "brows_down", "po": "mouth_up", "sur": "brows_up"}


def build_manifest(
    root: Path | str,
    subset: str = "hs",
    frames: str | None = None,
    apex: str = "middle",
    apex_list: str | None = None,
) -> pd.DataFrame:
    """One row per clip folder below ``micro``, in natural order. Lists the clip folders, opens no image.

    Args:
        root: raw folder.
        subset: ``hs``, ``vis`` or ``nir``.
        frames: ``cropped`` or ``raw``; None takes cropped where it is there.
        apex: ``middle`` takes the frame between onset and offset that is nearest to their middle; ``file`` takes the
            apex of `apex_list`; ``spot`` leaves it to the spotter, see `sheet`.
        apex_list: below `root`: a csv of one's own, see `sheet.take_apexes`, or an xlsx in the form of the unofficial
            list, see `read_apex_list`; None takes the first of `APEX_LISTS`, which have HS only.

    Returns:
        A manifest, see `contract`: `dataset` is smic, smic_vis or smic_nir; `group` is ``smic/s11`` in all three, since
        they show the same people at the same time. `label` is negative, positive or surprise.

    Raises:
        DatasetNotFoundError: the folder, the frames or the list are missing.
        DatasetError: a folder contradicts a clip's name, a clip has too few frames, or the list has no usable apex for
            it.
    """
    if subset not in SUBSETS:
        raise DatasetError(f"SMIC: subset={subset!r} is none of {list(SUBSETS)}")
    sheet.check_policy("SMIC (nobody annotated its apexes)", apex, apex_list, POLICIES)
    own = apex_list is not None and apex_list.lower().endswith(".csv")
    if apex == "file" and subset != "hs" and not own:
        raise DatasetError(
            f"SMIC: the unofficial apex list has frames of hs only, not of {subset}; give a csv of your own as "
            "data.builder.apex_list, or take apex='middle' or 'spot'"
        )
    root = contract.require_root(root, "SMIC", HINT)
    clips = [_clip(root, folder) for folder in _clip_folders(root, subset, frames)]
    if not clips:
        raise DatasetError(f"SMIC: no clip folder like {subset.upper()}/s1/micro/negative/s1_ne_01 in {root}. {HINT}")
    if apex == "file" and not own:
        _take_apexes(clips, _find_list(root, apex_list))
    name = "smic" if subset == "hs" else f"smic_{subset}"
    rows = pd.DataFrame(clips)
    manifest = contract.fill(
        pd.DataFrame(
            {
                "sample_id": name + "/" + rows["subject"] + "/" + rows["clip"],
                "dataset": name,
                "path": rows["path"],
                "subject": rows["subject"],
                "group": "smic/" + rows["subject"],
                "label": rows["label"],
                "onset": [numbers[0] for numbers in rows["numbers"]],
                "apex": rows["apex"],
                "offset": [numbers[-1] for numbers in rows["numbers"]],
                "apex_source": apex,
            }
        ).astype(dict.fromkeys(contract.FRAME_COLUMNS, "Int64"))
    )
    if apex == "spot":
        return sheet.open_apexes(manifest)
    if own:
        manifest = sheet.take_apexes(manifest, root, apex_list)
        sheet.check_frames(root, manifest, lambda _, frame: f"reg_image{frame}.bmp", "correct the list")
    return manifest


def read_apex_list(file: Path | str) -> pd.DataFrame:
    """The unofficial apex list: columns clip (``s01_ne_01``), label (class name), apex (int), one row a clip.

    Of its columns ``data, subject, clip, label, onset_frame, apex_frame, offset_frame, ..._path`` three are used; label
    is 0 negative, 1 positive, 2 surprise. Seven clips have no offset there, but an apex.

    Raises:
        DatasetError: no readable xlsx, a missing column, a clip with a strange name, another label than its name says,
            without a whole apex frame, or that stands there twice; the row is named as Excel numbers it.
    """
    file = Path(file)
    rows, seen = [], {}
    codes = list(EMOTIONS)
    for number, cells in sheet.xlsx_rows(file, LIST_COLUMNS):
        clip, label, apex = (cells[column] for column in LIST_COLUMNS)
        where = f"{file.name}, row {number}"
        _, code, name = _parse(clip, where)
        wanted = codes.index(code)
        if label != str(wanted):
            raise DatasetError(f"{where}: {clip} must have label {wanted} ({EMOTIONS[code]}), found {label!r}")
        if name in seen:
            raise DatasetError(f"{where}: {name} stands in row {seen[name]} too; a clip must stand once")
        seen[name] = number
        rows.append((name, EMOTIONS[code], sheet.frame_number(f"{where}, {clip}", "apex", apex)))
    return pd.DataFrame(rows, columns=["clip", "label", "apex"])


def _parse(name: str, where: str) -> tuple[str, str, str]:
    """``s1_ne_01`` -> subject ``s01``, code ``ne``, clip ``s01_ne_01``."""
    match = re.fullmatch(r"s([0-9]{1,9})_(ne|po|sur)_([0-9]{1,9})", name.lower())
    if match is None:
        raise DatasetError(
            f"{where}: expected a clip such as s1_ne_01 (code {', '.join(EMOTIONS)}), found {name!r}; remove it from "
            "the folder if it is none"
        )
    subject = f"s{int(match.group(1)):02d}"
    return subject, match.group(2), f"{subject}_{match.group(2)}_{int(match.group(3)):02d}"


def _clip_folders(root: Path, subset: str, frames: str | None) -> list[Path]:
    if frames is not None and frames not in FRAME_FOLDERS:
        raise DatasetError(f"SMIC: frames={frames!r} is none of {list(FRAME_FOLDERS)}, or null for the first there is")
    places = [f"{FRAME_FOLDERS[kind]}/{subset.upper()}" for kind in ([frames] if frames else FRAME_FOLDERS)]
    for place in places:
        if (root / place).is_dir():
            folders = [folder for folder in (root / place).glob("*/micro/*/*") if folder.is_dir()]
            return sorted(folders, key=lambda folder: natural_key(folder.relative_to(root).as_posix()))
    raise DatasetNotFoundError(f"SMIC: no folder {' or '.join(places)} in {root}. {contract.how_to_get(HINT)}")


def _clip(root: Path, folder: Path) -> dict:
    """What a clip's folder says, and the frame nearest to its middle (never onset or offset) as apex."""
    path = folder.relative_to(root).as_posix()
    person, emotion = folder.parts[-4].lower(), folder.parts[-2].lower()
    subject, code, clip = _parse(folder.name, path)
    if emotion != EMOTIONS[code]:
        raise DatasetError(
            f"{path}: the name says {code} ({EMOTIONS[code]}), the folder above says {emotion!r}; take the clip from "
            "the release"
        )
    if not re.fullmatch(f"s0*{int(subject[1:])}", person):
        raise DatasetError(f"{path}: a clip of {subject} in the folder of {person!r}; take the clip from the release")
    numbers = list(clip_frames(root, path, clip))
    if len(numbers) < MIN_FRAMES:
        raise DatasetError(
            f"{path}: expected at least {MIN_FRAMES} frames such as reg_image559740.bmp, found {len(numbers)}; "
            "complete the frames"
        )
    middle = nearest_frames(numbers[1:-1], middle_frame(numbers[0], numbers[-1]), n=1)[0]
    label = EMOTIONS[code]
    return {"subject": subject, "clip": clip, "path": path, "label": label, "numbers": numbers, "apex": middle}


def _find_list(root: Path, apex_list: str | None) -> Path:
    names = (apex_list,) if apex_list else APEX_LISTS
    for name in names:
        if (root / name).is_file():
            return root / name
    raise DatasetNotFoundError(
        f"SMIC: apex='file' needs {' or '.join(names)} in {root}. It is no part of SMIC: other people spotted these "
        "frames (github.com/QqXuyujie/Micro-Expression-Datasets). Copy it there, or take apex='middle'"
    )


def _take_apexes(clips: list[dict], file: Path) -> None:
    """Replace the middle frames by the list's; every clip must have one that is a file."""
    apexes = read_apex_list(file).set_index("clip")["apex"]
    faults = []
    for clip in clips:
        apex = apexes.get(clip["clip"])
        if apex is None:
            faults.append(f"{clip['clip']} is not in the list")
        elif apex not in clip["numbers"]:
            near = nearest_frames(clip["numbers"], apex)
            faults.append(f"{clip['clip']}: no frame {apex} in {clip['path']}, nearest there: {near}")
        else:
            clip["apex"] = int(apex)
    if faults:
        raise DatasetError(
            f"{file.name}: {'; '.join(faults[:3])}. {len(faults)} of {len(clips)} clips have no apex in it; is the "
            "list for this release? Take apex='middle' otherwise"
        )


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write ``SMIC_all_cropped`` and an apex list: HS with 4 people and 6 clips each, VIS and NIR with one person.

    7 frames a clip, 90x80 pixels, numbers that pass 99999 -> 100000; folders are not padded, as in the release.
    """
    rng = np.random.default_rng(seed)
    listed = []
    with synthetic.raw_folder(root) as folder:
        place = folder / FRAME_FOLDERS["cropped"]
        for subset, people in (("HS", (1, 2, 9, 11)), ("VIS", (11,)), ("NIR", (11,))):
            for person in people:
                neutral = synthetic.textured_face(rng, 90, 80)
                for number in range(6):
                    code = list(EMOTIONS)[number % 3]
                    clip = f"s{person}_{code}_{number // 3 + 1:02d}"
                    onset = 99995 - 20 * number + person % 4  # the first clips pass 99999 -> 100000
                    where = place / subset / f"s{person}" / "micro" / EMOTIONS[code] / clip
                    for step, frame in enumerate(synthetic.clip(rng, neutral, TINY_MOVEMENTS[code], pixels=2.5)):
                        synthetic.write_image(where / f"reg_image{onset + step}.bmp", frame)
                    if subset == "HS":
                        offset = onset + len(synthetic.COURSE) - 1 if listed else None  # seven lack it in the real list
                        listed.append(("smic", person, clip, number % 3, onset, onset + 3, offset))
                still = place / subset / f"s{person}" / "non_micro" / f"s{person}_n1"
                synthetic.write_image(still / "reg_image1.bmp", neutral)
        columns = ["data", "subject", "clip", "label", "onset_frame", "apex_frame", "offset_frame"]
        pd.DataFrame(listed, columns=columns).to_excel(folder / APEX_LISTS[0], index=False)
