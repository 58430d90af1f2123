"""The lists of DFEW: which clip has which label, and which of the five official folds tests it."""

import re
from pathlib import Path

import pandas as pd

from fer_lightning.datasets import contract, table
from fer_lightning.errors import DatasetError, DatasetNotFoundError, LeakError

#: Class names in the order of the codes 1..7.
EMOTIONS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
FOLDS = (1, 2, 3, 4, 5)
PARTS = ("train", "test")
UNPACKED_NAMES = ("", "DFEW", "DFEW-part2", "dfew")
LISTS = ("EmoLabel_DataSplit/{part}(single-labeled)/set_{fold}.csv", "label/single_{part}set_{fold}.csv")
HINT = (
    "DFEW needs a signed licence agreement: https://dfew-dataset.github.io. The folder must hold "
    f"{LISTS[0].format(part='train', fold=1)} and so on, and the frames (Clip/clip_224x224/00001/...) or, as openpose/"
    "00001/..., what OpenPose made of them; videos are not read."
)


def read_fold(root: Path, fold: int, first_label: int = 1) -> pd.DataFrame:
    """Clips of one official fold: columns clip, label, split; the train list first.

    Raises:
        LeakError: a clip stands in both lists.
    """
    clips = pd.concat(
        [read_list(_find(root, part, fold), first_label).assign(split=part) for part in PARTS], ignore_index=True
    )
    twice = clips["clip"].duplicated()
    if twice.any():
        raise LeakError(
            f"DFEW fold {fold}: {int(twice.sum())} clips stand in the train and in the test list (first: "
            f"{clips['clip'][twice].iloc[0]}); take both lists from the release"
        )
    return clips


def read_all_folds(root: Path, first_label: int = 1) -> pd.DataFrame:
    """Clips of all five official folds: columns clip, label, published_fold ("1" to "5": the one that tests it).

    Raises:
        DatasetError: a clip that is not tested once and trained on four times, always with one label.
    """
    lists = pd.concat(
        [read_fold(root, fold, first_label).assign(published_fold=str(fold)) for fold in FOLDS], ignore_index=True
    )
    times = pd.crosstab(lists["clip"], lists["split"])
    labels = lists.groupby("clip")["label"].agg(lambda found: sorted(set(found)))
    wrong = times.index[(times["test"] != 1) | (times["train"] != len(FOLDS) - 1) | (labels.str.len() != 1)]
    if len(wrong):
        first = times.loc[wrong[0]]
        raise DatasetError(
            f"DFEW: expected each clip to be tested by one fold and trained on by four, with one label; found clip "
            f"{wrong[0]} tested by {first['test']}, trained on by {first['train']}, labels {labels[wrong[0]]} "
            f"({len(wrong)} such clips); take all ten lists from one release"
        )
    return lists[lists["split"] == "test"].drop(columns="split").reset_index(drop=True)


def read_list(file: Path | str, first_label: int = 1) -> pd.DataFrame:
    """One official list: columns clip (``00001``) and label (class name; "" for an official 0).

    Raises:
        DatasetError: another header, no rows, or a row that is not two whole numbers in range; the line is named.
    """
    file = Path(file)
    codes = {str(code): name for code, name in enumerate(EMOTIONS, start=first_label)}
    codes |= {"0": ""} if first_label else {}
    rows: dict[str, tuple[int, str]] = {}
    for number, row in table.read_rows(file, required=("video_name", "label")):
        if not re.fullmatch("[0-9]{1,9}", row["video_name"]) or row["label"] not in codes:
            raise DatasetError(
                f"{file.name}, line {number}: expected a clip number and a label {min(codes)}..{max(codes)}, found "
                f"{row['video_name']!r} and {row['label']!r}; take the lists from the release"
            )
        clip = f"{int(row['video_name']):05d}"
        if clip in rows:
            raise DatasetError(f"{file.name}, line {number}: clip {clip} stands in line {rows[clip][0]} too")
        rows[clip] = number, codes[row["label"]]
    return pd.DataFrame([(clip, label) for clip, (_, label) in rows.items()], columns=["clip", "label"])


def _find(root: Path, part: str, fold: int) -> Path:
    names = [name.format(part=part, fold=fold) for name in LISTS]
    for folder in UNPACKED_NAMES:
        for name in names:
            if (root / folder / name).is_file():
                return root / folder / name
    raise DatasetNotFoundError(f"DFEW: no {' or '.join(names)} in {root}. {contract.how_to_get(HINT)}")
