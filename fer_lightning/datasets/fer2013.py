"""FER2013, all the forms it is passed around in, to manifest.

Layouts, the first one found is read::

    fer2013/
    ├── fer2013.csv[.xz|.gz|.zip]            emotion,pixels,Usage
    ├── icml_face_data.csv[.xz|.gz|.zip]     emotion, Usage, pixels      (names with leading spaces)
    ├── train/angry/Training_3908.jpg ...    test/angry/{PublicTest,PrivateTest}_88305.jpg ...
    └── archive.zip                          the same folders, read in place

They may also lie in a folder ``fer2013`` or ``archive`` inside the raw folder, as the downloads unpack.

``val`` is PublicTest and ``test`` is PrivateTest in every form. FER2013 names no people: `group` is "". The number in a
file name of the folder form is not the row of the csv.

Source: Goodfellow et al. 2013, ICONIP, arXiv:1307.0414. 35,887 faces of 48x48 pixels: 28,709 / 3,589 / 3,589.
Defects: 1,518 groups of identical images, 60 of them with different labels; 280 PublicTest and 288 PrivateTest images
are also in Training; 12 images are black.
"""

import re
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, synthetic
from fer_lightning.datasets.table import check_path
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.functional import face_csv
from fer_lightning.functional.frames import is_image, natural_key

#: Class names; the place is the code in the csv. (Folders sort differently: neutral stands before sad there.)
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
EMOTION_OF_CODE = {str(code): emotion for code, emotion in enumerate(EMOTIONS)}
SPLIT_OF_USAGE = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
SIZE = 48

CSV_NAMES = tuple(f"{stem}.csv{end}" for stem in ("fer2013", "icml_face_data") for end in ("", ".xz", ".gz", ".zip"))
UNPACKED_NAMES = ("", "fer2013", "FER2013", "archive")
HINT = (
    "FER2013 is the data of the Kaggle challenge 'challenges-in-representation-learning-facial-expression-recognition"
    "-challenge'; the folder must hold fer2013.csv or icml_face_data.csv (also .xz, .gz or .zip), the folders train/ "
    "and test/, or archive.zip."
)


def build_manifest(root: Path | str, source: str | None = None, merged_test: str | None = None) -> pd.DataFrame:
    """One row per face, in the order of the file; only labels and splits are read.

    Args:
        root: raw folder.
        source: file or folder below `root` to read when there are several; None takes the first found, in the order
            at the head of this file.
        merged_test: ``"test"`` accepts a ``test`` folder whose file names no longer say PublicTest or PrivateTest, and
            calls all of it test. None refuses it: nobody can tell the two apart any more.

    Returns:
        A manifest, see `contract`. ``sample_id`` is ``fer2013/00017`` (row of the csv) or
        ``fer2013/train/angry/Training_3908``: two of the numbers stand in two class folders, so a name alone is no id.

    Raises:
        DatasetNotFoundError: no such folder, or none of the forms in it.
        DatasetError: a form that is cut off or holds something else, naming the row or file.
    """
    if merged_test not in (None, "test"):
        raise DatasetError(f"merged_test={merged_test!r} must be null or 'test'")
    root = contract.require_root(root, "FER2013", HINT)
    place = _find(root, source)
    name = place.relative_to(root).as_posix()
    if place.is_dir():
        files = [file.relative_to(root).as_posix() for part in ("train", "test") for file in place.glob(f"{part}/*/*")]
        return _from_folders(files, name, "", merged_test)
    if name.endswith(".zip") and not name.endswith(".csv.zip"):
        return _from_folders(_zip_members(place, name), name, f"{name}#", merged_test)
    return _from_csv(place, name)


def _find(root: Path, source: str | None) -> Path:
    if source is not None:
        place = root / source
        if not place.exists() or Path(source).is_absolute() or ".." in Path(source).parts:
            raise DatasetNotFoundError(f"FER2013: source={source!r} is not in {root}; it holds {_listing(root)}")
        return place
    for folder in [root / name for name in UNPACKED_NAMES]:
        for name in CSV_NAMES:
            if (folder / name).is_file():
                return folder / name
        if (folder / "train").is_dir():
            return folder
        if (folder / "archive.zip").is_file():
            return folder / "archive.zip"
    raise DatasetNotFoundError(
        f"FER2013: none of its forms is in {root}, which holds {_listing(root)}. {contract.how_to_get(HINT)}"
    )


def _listing(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())[:10]


def _from_csv(file: Path, name: str) -> pd.DataFrame:
    rows = []
    for number, face in enumerate(face_csv.faces(file, name)):
        where = f"{name}: row {number} (line {face.line} of the file)"
        if face.emotion not in EMOTION_OF_CODE:
            raise DatasetError(f"{where}: emotion must be 0..{len(EMOTIONS) - 1}, found {face.emotion[:40]!r}")
        if face.usage not in SPLIT_OF_USAGE:
            raise DatasetError(f"{where}: Usage must be one of {list(SPLIT_OF_USAGE)}, found {face.usage[:40]!r}")
        label, split = EMOTION_OF_CODE[face.emotion], SPLIT_OF_USAGE[face.usage]
        rows.append((f"fer2013/{number:05d}", f"{name}#{number}", label, split))
    return contract.fill(pd.DataFrame(rows, columns=["sample_id", "path", "label", "split"]).assign(dataset="fer2013"))


def _zip_members(file: Path, name: str) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.namelist()
    except face_csv.BROKEN_FILE as error:
        raise DatasetError(
            f"{name} ({file.stat().st_size} bytes) is no complete zip file: {error}; it is cut off, or a "
            "Git-LFS pointer. Download it again"
        ) from error
    return [member for member in members if not member.startswith("__MACOSX/")]


def _from_folders(files: list[str], name: str, prefix: str, merged_test: str | None) -> pd.DataFrame:
    rows = []
    for file in sorted(files, key=natural_key):
        parts, path = PurePosixPath(file).parts, prefix + file
        if len(parts) < 3 or parts[-3] not in ("train", "test") or not is_image(parts[-1]):
            continue
        if not prefix:
            check_path(file)
        folder, emotion, stem = parts[-3], parts[-2], PurePosixPath(parts[-1]).stem
        if emotion not in EMOTIONS:
            raise DatasetError(f"{path}: the folder {emotion!r} is no class of FER2013; expected {sorted(EMOTIONS)}")
        split = _split(path, folder, stem, merged_test)
        sample = f"fer2013/{folder}/{emotion}/{stem}"
        rows.append({"sample_id": sample, "dataset": "fer2013", "path": path, "label": emotion, "split": split})
    if not rows:
        raise DatasetError(f"FER2013: no images train/<class>/*.jpg and test/<class>/*.jpg in {name}")
    return contract.fill(pd.DataFrame(rows))


def _split(path: str, folder: str, stem: str, merged_test: str | None) -> str:
    match = re.match(r"(Training|PublicTest|PrivateTest)_", stem)
    if match is None:
        if folder == "train":
            return "train"
        if merged_test is None:
            raise DatasetError(
                f"{path}: the folder 'test' mixes PublicTest (validation) and PrivateTest (test), and this file name "
                "does not start with either, so the two cannot be told apart. Take another copy, or set "
                "data.builder.merged_test=test to call all of it test; scores are then not comparable with papers"
            )
        return merged_test
    split = SPLIT_OF_USAGE[match.group(1)]
    if (split == "train") != (folder == "train"):
        raise DatasetError(
            f"{path}: the name says {match.group(1)}, but the file lies in {folder!r}; somebody has re-split this "
            "copy, take another one"
        )
    return split


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write ``fer2013.csv`` with 140 drawn faces: of each class 12 Training, 4 PublicTest and 4 PrivateTest."""
    rng = np.random.default_rng(seed)
    lines = ["emotion,pixels,Usage"]
    for usage, number in (("Training", 12), ("PublicTest", 4), ("PrivateTest", 4)):
        for _ in range(number):
            for code in range(len(EMOTIONS)):
                pixels = synthetic.face(rng, SIZE, SIZE, code).ravel()
                lines.append(f"{code},{' '.join(map(str, pixels))},{usage}")
    with synthetic.raw_folder(root) as folder:
        (folder / "fer2013.csv").write_text("\n".join(lines) + "\n")
