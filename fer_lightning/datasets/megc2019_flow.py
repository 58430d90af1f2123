"""The published onset-apex flow pictures of MEGC 2019, joined to the organisers' list, to manifest.

Layout::

    megc2019/
    ├── combined_3class_gt.csv                                  casme2,sub01,EP02_01f,1   (no header, CRLF)
    └── norm_u_v_os/sub01/u_test/1/sub01_EP02_01f .png          (the space before .png is theirs)

The picture folder may also be called ``three_norm_u_v_os``. Each of the 68 subject folders of the complete download
also has ``u_train`` with the clips of the other 67 subjects: **it is never read**, else every clip would stand in the
manifest 68 times, and pictures that are equal by pixels but not by bytes on both sides of a fold.

442 clips of 68 people: CASME II 145 (24), SAMM 133 (28), SMIC-HS 164 (16). 0 negative 250, 1 positive 109,
2 surprise 83.

Source: See et al. 2019, MEGC 2019, doi:10.1109/FG.2019.8756611 (list and protocol); Liong et al. 2019, arXiv:1902.03634
(pictures, released with STSTNet).
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, synthetic
from fer_lightning.datasets.table import read_lines
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.functional.flow import minmax, strain
from fer_lightning.functional.frames import is_image

CLASSES = ("negative", "positive", "surprise")
#: Database -> how its people are called in the list.
SUBJECTS = {"casme2": "sub[0-9]{2}", "samm": "[0-9]{1,3}", "smic": "s[0-9]{2}"}
LIST = "combined_3class_gt.csv"
IMAGE_FOLDERS = ("norm_u_v_os", "three_norm_u_v_os")
HINT = (
    f"The folder must hold {LIST} (github.com/Facial-Micro-ExpressionGC/MEGC2019) and {IMAGE_FOLDERS[0]}/ (the flow "
    "pictures released with github.com/christy1206/STSTNet)."
)


def build_manifest(root: Path | str) -> pd.DataFrame:
    """One row per clip of the organisers' list, in its order. Opens no picture.

    Returns:
        A manifest, see `contract`: ``dataset`` is casme2, samm or smic, ``group`` is ``samm/006``.

    Raises:
        DatasetNotFoundError: the folder, the list or the pictures are missing.
        DatasetError: the list and the picture folders disagree about a clip or its class; the clip is named.
    """
    root = contract.require_root(root, "MEGC 2019", HINT)
    clips = read_list(root / LIST)
    pictures = _pictures(root)
    keys = list(zip(clips["subject"], clips["clip"], strict=True))
    missing = [key for key in keys if key not in pictures]
    if missing:
        raise DatasetError(
            f"MEGC 2019: {len(missing)} of {len(clips)} clips of {LIST} have no picture (first: subject "
            f"{missing[0][0]}, clip {missing[0][1]}); expected <subject>/u_test/<class>/<subject>_<clip> .png"
        )
    surplus = sorted(set(pictures) - set(keys))
    if surplus:
        raise DatasetError(
            f"MEGC 2019: {len(surplus)} pictures are not in {LIST} (first: {pictures[surplus[0]][0]}); is this the "
            "complete list of 442 clips?"
        )
    found = [pictures[key] for key in keys]
    for (path, code), wanted in zip(found, clips["code"], strict=True):
        if code != wanted:
            raise DatasetError(
                f"{path}: the folder says class {code}, {LIST} says {wanted}; take both from their sources"
            )
    return contract.fill(
        pd.DataFrame(
            {
                "sample_id": clips["dataset"] + "/" + clips["subject"] + "/" + clips["clip"],
                "dataset": clips["dataset"],
                "path": [path for path, _ in found],
                "subject": clips["subject"],
                "group": clips["dataset"] + "/" + clips["subject"],
                "label": clips["code"].map(lambda code: CLASSES[int(code)]),
            }
        )
    )


def read_list(file: Path) -> pd.DataFrame:
    """The organisers' list: columns dataset, subject (padded as the folders are: ``006``), clip, code ("0", "1", "2").

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: a row that is not ``database,subject,clip,class``; the line is named.
    """
    if not file.is_file():
        raise DatasetNotFoundError(f"MEGC 2019: no {file.name} in {file.parent}. {contract.how_to_get(HINT)}")
    rows, seen = [], {}
    for number, line in read_lines(file):
        dataset, subject, clip, code = ([field.strip() for field in line.split(",")] + [""] * 4)[:4]
        form = SUBJECTS.get(dataset, "no such database")
        if line.count(",") != 3 or not re.fullmatch(form, subject) or not clip or code not in ("0", "1", "2"):
            raise DatasetError(
                f"{file.name}: line {number} must be database,subject,clip,class with a database of "
                f"{list(SUBJECTS)}, a subject such as sub01, 6 or s01 and class 0, 1 or 2, and no header, found "
                f"{line[:80]!r}; take {LIST} from the organisers"
            )
        subject = subject.zfill(3) if dataset == "samm" else subject  # 6 in the list, 006 on disk
        key = f"{dataset}/{subject}/{clip}"
        if key in seen:
            raise DatasetError(f"{file.name}: line {number}: {key} stands in line {seen[key]} too; it must stand once")
        seen[key] = number
        rows.append((dataset, subject, clip, code))
    if not rows:
        raise DatasetError(f"{file.name}: the list is empty; download it again")
    return pd.DataFrame(rows, columns=["dataset", "subject", "clip", "code"])


def _pictures(root: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """(subject, clip) -> (path, class folder), from the ``u_test`` folders only."""
    folder = next((root / name for name in IMAGE_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise DatasetNotFoundError(f"MEGC 2019: no folder {IMAGE_FOLDERS[0]} in {root}. {contract.how_to_get(HINT)}")
    pictures: dict[tuple[str, str], tuple[str, str]] = {}
    for file in sorted(folder.glob("*/u_test/*/*")):
        subject, code = file.parts[-4], file.parts[-2]
        path = file.relative_to(root).as_posix()
        if not is_image(file.name):
            continue
        if not file.stem.startswith(f"{subject}_"):
            raise DatasetError(f"{path}: the name must start with {subject}_; take the pictures from their source")
        key = subject, file.stem.removeprefix(f"{subject}_").rstrip()
        if key in pictures:
            raise DatasetError(
                f"{path}: the same clip as {pictures[key][0]}; each clip must stand in one u_test folder"
            )
        pictures[key] = path, code
    return pictures


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write this layout for 9 people, three of each part, with 6 clips each: one drawn movement per class."""
    rng = np.random.default_rng(seed)
    subjects = [("casme2", f"sub0{i}", f"sub0{i}") for i in (1, 2, 3)]
    subjects += [("samm", f"00{i}", f"{i}") for i in (6, 7, 9)] + [("smic", f"s0{i}", f"s0{i}") for i in (1, 2, 3)]
    lines = []
    with synthetic.raw_folder(root) as folder:
        for dataset, subject, listed in subjects:
            for number in range(6):
                code = number % len(CLASSES)
                clip = f"{subject}_{number + 1}" if dataset != "casme2" else f"EP0{number + 1}_01f"
                lines.append(f"{dataset},{listed},{clip},{code}")
                file = folder / IMAGE_FOLDERS[0] / subject / "u_test" / str(code) / f"{subject}_{clip} .png"
                synthetic.write_image(file, _tiny_flow(rng, code))
        (folder / LIST).write_bytes(("\r\n".join(lines) + "\r\n").encode())


def _tiny_flow(rng: np.random.Generator, code: int) -> np.ndarray:
    kind = ("brows_down", "mouth_up", "brows_up")[code]
    u, v = synthetic.movement(rng, 28, 28, kind, pixels=2.0)
    noise = rng.normal(0, 0.1, (2, 28, 28))
    u, v = u + noise[0], v + noise[1]
    return np.stack([minmax(u), minmax(v), minmax(strain(u, v), signed=False)], axis=-1)
