"""RAF-DB (basic emotions), to manifest.

Layouts, the first one found is read::

    rafdb/
    ├── basic/EmoLabel/list_patition_label.txt                   train_00001.jpg 5   (the misspelt name is theirs)
    ├── basic/Image/aligned/train_00001_aligned.jpg ...          100x100 pixels, and/or
    ├── basic/Image/original/train_00001.jpg ...
    └── DATASET/train/5/train_00001_aligned.jpg, DATASET/test/5/...   the copy on Kaggle: folders named by the label

``EmoLabel`` and ``Image`` may also lie in the root itself, and so may ``train`` and ``test``.

The split is the beginning of the file name. There is no validation split: `protocol.inner_val` cuts one off the
training images. RAF-DB names no people: `group` is "". Labels are 1-based: 1 surprise, 2 fear, 3 disgust, 4 happiness,
5 sadness, 6 anger, 7 neutral. 15,339 faces: 12,271 train, 3,068 test.

Source: Li, Deng and Du 2017, CVPR, doi:10.1109/CVPR.2017.277
"""

import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, synthetic
from fer_lightning.datasets.table import read_lines
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional.frames import is_image, natural_key

#: Label 1 .. 7.
EMOTIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
EMOTION_OF_CODE = {str(code): emotion for code, emotion in enumerate(EMOTIONS, start=1)}
LISTS = ("list_patition_label.txt", "list_partition_label.txt")
IMAGES = {"aligned": "_aligned.jpg", "original": ".jpg"}
HINT = (
    "RAF-DB is given out by its authors on request: http://www.whdeng.cn/RAF/model1.html. The folder must hold basic/ "
    "with EmoLabel/ and Image/, or train/ and test/ with folders 1 to 7."
)
#: Label -> row of `synthetic.EXPRESSIONS`.
TINY_EXPRESSIONS = (5, 2, 1, 3, 4, 0, 6)


def build_manifest(root: Path | str, images: str = "aligned") -> pd.DataFrame:
    """One row per face, in the order of the list (of the file names, for the copy on Kaggle). Opens no image.

    Args:
        root: raw folder.
        images: ``aligned`` or ``original``; the copy on Kaggle holds the aligned ones.

    Returns:
        A manifest, see `contract`: ``sample_id`` is ``rafdb/train_00001`` in all layouts.

    Raises:
        DatasetNotFoundError: the folder, the list or images are missing.
        DatasetError: a line or folder with another label than 1..7, or a name without a split.
    """
    if images not in IMAGES:
        raise ConfigError(f"RAF-DB: images={images!r} is none of {list(IMAGES)}")
    root = contract.require_root(root, "RAF-DB", HINT)
    for folder in (root / "basic", root):
        for name in LISTS:
            if (folder / "EmoLabel" / name).is_file():
                return _from_list(root, folder, folder / "EmoLabel" / name, images)
    for folder in (root / "DATASET", root):
        if (folder / "train").is_dir() and (folder / "test").is_dir():
            if images != "aligned":
                raise ConfigError(f"RAF-DB: {folder} holds the copy on Kaggle, which has images=aligned only")
            return _from_folders(root, folder)
    listing = sorted(item.name for item in root.iterdir())[:10]
    raise DatasetNotFoundError(
        f"RAF-DB: neither basic/EmoLabel/{LISTS[0]} nor train/ and test/ in {root}, which holds {listing}. "
        f"{contract.how_to_get(HINT)}"
    )


def read_list(file: Path | str) -> pd.DataFrame:
    """The list of labels: columns name (``train_00001``), split, label (class name).

    Raises:
        DatasetError: a line that is not ``train_00001.jpg 5``, or a name that stands twice; the line is named.
    """
    file = Path(file)
    rows, seen = [], {}
    for number, line in read_lines(file):
        match = re.fullmatch(r"((train|test)_[0-9]+)\.jpg\s+([1-7])", line)
        if match is None:
            raise DatasetError(
                f"{file.name}, line {number}: expected a line such as 'train_00001.jpg 5' with a label 1 to 7, found "
                f"{line[:60]!r}; take the list from the release"
            )
        name, split, code = match.groups()
        if name in seen:
            raise DatasetError(f"{file.name}, line {number}: {name} stands in line {seen[name]} too")
        seen[name] = number
        rows.append((name, split, EMOTION_OF_CODE[code]))
    if not rows:
        raise DatasetError(f"{file.name}: the list is empty; take it from the release")
    return pd.DataFrame(rows, columns=["name", "split", "label"])


def _from_list(root: Path, folder: Path, file: Path, images: str) -> pd.DataFrame:
    faces = read_list(file)
    place = folder / "Image" / images
    if not place.is_dir():
        other = [kind for kind in IMAGES if (folder / "Image" / kind).is_dir()]
        cure = f"set data.builder.images={other[0]}" if other else contract.how_to_get(HINT)
        raise DatasetNotFoundError(f"RAF-DB: {file.name} is there, but no folder {place.relative_to(root)}; {cure}")
    there = {item.name for item in place.iterdir()}
    names = faces["name"] + IMAGES[images]
    missing = names[~names.isin(there)]
    if len(missing):
        raise DatasetNotFoundError(
            f"RAF-DB: {len(missing)} of {len(names)} images of {file.name} are missing in {place.relative_to(root)} "
            f"(first: {missing.iloc[0]}); complete the folder"
        )
    return _manifest(faces.assign(path=f"{place.relative_to(root).as_posix()}/" + names))


def _from_folders(root: Path, folder: Path) -> pd.DataFrame:
    rows = []
    paths = [file.relative_to(root).as_posix() for part in ("train", "test") for file in folder.glob(f"{part}/*/*")]
    for path in paths:
        part, code, name = PurePosixPath(path).parts[-3:]
        if not is_image(name):
            continue
        if code not in EMOTION_OF_CODE:
            raise DatasetError(f"{path}: the folder {code!r} is no label of RAF-DB; expected 1 to 7")
        match = re.fullmatch(r"((train|test)_[0-9]+)(_aligned)?\.[a-z]+", name)
        if match is None or match.group(2) != part:
            raise DatasetError(
                f"{path}: in {part!r} expected names such as {part}_00001_aligned.jpg; somebody has renamed or "
                "re-split this copy, take another one"
            )
        rows.append((match.group(1), part, EMOTION_OF_CODE[code], path))
    if not rows:
        raise DatasetError(f"RAF-DB: no images train/<1..7>/*.jpg and test/<1..7>/*.jpg in {folder}")
    rows.sort(key=lambda row: (row[1] == "test", natural_key(row[0]), row[3]))
    return _manifest(pd.DataFrame(rows, columns=["name", "split", "label", "path"]))


def _manifest(faces: pd.DataFrame) -> pd.DataFrame:
    ids = "rafdb/" + faces["name"]
    return contract.fill(faces.assign(sample_id=ids, dataset="rafdb").drop(columns="name").reset_index(drop=True))


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write ``basic/`` with 12 training and 4 test faces of each class, aligned, 100x100 pixels, colour."""
    rng = np.random.default_rng(seed)
    lines = []
    with synthetic.raw_folder(root) as folder:
        for split, digits, number in (("train", 5, 12), ("test", 4, 4)):
            for index in range(number * len(EMOTIONS)):
                code = index % len(EMOTIONS)
                name = f"{split}_{index + 1:0{digits}d}"
                gray = synthetic.face(rng, 100, 100, TINY_EXPRESSIONS[code])
                colour = (gray[..., None] * (1.0, 0.85, 0.7)).astype(np.uint8)
                synthetic.write_image(folder / "basic/Image/aligned" / f"{name}_aligned.jpg", colour)
                lines.append(f"{name}.jpg {code + 1}")
        (folder / "basic/EmoLabel").mkdir()
        (folder / "basic/EmoLabel" / LISTS[0]).write_text("\n".join(lines) + "\n")
