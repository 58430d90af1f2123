"""FER+ (FERPlus): ten people's votes on each face of FER2013, to manifest.

Layouts below the folder of *all* raw data (``root=${paths.raw}``); the first one found is read::

    ├── fer2013/fer2013.csv[.xz|.gz|.zip]       any csv form of FER2013, see `fer2013`, and
    ├── ferplus/fer2013new.csv                  Usage,Image name,neutral,happiness, ... ,contempt,unknown,NF
    │                                           (it may lie in fer2013/ or in the root as well), or
    └── ferplus/FER2013Train/{fer0000000.png ..., label.csv}   and FER2013Valid, FER2013Test: the pictures and votes
                                                that the script of FER+ writes

The votes are joined to the csv of FER2013 **by row position**, after both have as many rows and the same Usage in each.
The number in ``fer0032220.png`` is no row: it runs up to 85 behind.

35,887 rows; 173 of them (no face) have no image name. One row has 9 votes instead of 10. By the majority rule 25,060 /
3,199 / 3,153 faces keep a label. The two files of FER+ give some faces different votes (3 of the 60 compared).

Source: Barsoum et al. 2016, ICMI, arXiv:1608.01041; rules as in github.com/microsoft/FERPlus, src/ferplus.py.
"""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, fer2013, synthetic
from fer_lightning.datasets.table import read_rows
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError

#: Class names in the order of FER+; the two further votes are no emotions.
EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
NO_EMOTIONS = ("unknown", "NF")
VOTES = (*EMOTIONS, *NO_EMOTIONS)
RULES = ("majority", "probability", "multi_target")
VOTE_FILES = ("ferplus/fer2013new.csv", "fer2013/fer2013new.csv", "fer2013new.csv")
SPLIT_OF_FOLDER = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
HINT = (
    "FER+ is github.com/microsoft/FERPlus: put its fer2013new.csv into ferplus/, and the csv of FER2013 into fer2013/, "
    "both below this folder."
)
NO_FACE = "FER+: most votes say that this is no face (NF)"
#: Row -> name that the published file gives to an earlier or later row as well; its other names count upwards.
STRAYS = {5274: "fer0006953.png", 5348: "fer0011785.png", 15835: "fer0008403.png", 34334: "fer0033120.png"}
PEOPLE = 10
UNKNOWN = "FER+: most votes say that the emotion is unknown"
DIVIDED = "FER+: votes too divided"
TINY_PER_SPLIT = {"Training": 12, "PublicTest": 4, "PrivateTest": 4}
#: Class of FER+ -> row of `synthetic.EXPRESSIONS`; contempt is a smile on one side.
TINY_EXPRESSIONS = (6, 3, 5, 4, 0, 1, 2, None)


def build_manifest(root: Path | str, rule: str = "majority", source: str | None = None) -> pd.DataFrame:
    """One row per face that keeps a label, in the order of FER2013; no image is opened.

    Args:
        root: the folder that holds ``fer2013/`` and ``ferplus/``.
        rule: how votes become a label, see `soft_labels`.
        source: which csv below ``fer2013/``, as in `fer2013.build_manifest`.

    Returns:
        A manifest, see `contract`, with eight further columns ``vote_neutral`` ... ``vote_contempt``: the row of
        `soft_labels`. `label` is the largest of them (the first of equals). ``attrs["dropped"]`` names the faces that
        have no label.

    Raises:
        DatasetNotFoundError: the folder, the votes or FER2013 are missing.
        DatasetError: votes that do not belong to these faces, or a row that is no row of votes.
    """
    if rule not in RULES:
        raise ConfigError(f"ferplus: rule={rule!r} is none of {list(RULES)}")
    root = contract.require_root(root, "FER+", HINT)
    file = next((root / name for name in VOTE_FILES if (root / name).is_file()), None)
    faces = _from_pictures(root) if file is None else _join(_faces(root, source), read_votes(file), file.name)
    votes = faces[list(VOTES)].to_numpy()
    soft = soft_labels(votes, rule)
    faces = faces.drop(columns=list(VOTES)).assign(label=[EMOTIONS[place] for place in soft.argmax(axis=1)])
    faces[[f"vote_{name}" for name in EMOTIONS]] = soft
    kept = soft.any(axis=1)
    reasons = pd.Series(_reasons(votes, rule))[~kept]
    dropped = {reason: faces.loc[rows.index, "sample_id"].tolist() for reason, rows in reasons.groupby(reasons)}
    manifest = contract.fill(faces[kept].reset_index(drop=True))
    manifest.attrs = {"dropped": dropped}
    return manifest


def soft_labels(votes: np.ndarray, rule: str) -> np.ndarray:
    """What FER+ makes of votes. In all rules a single vote counts as a slip and is taken away first.

    ================  =============================================  ==========================================
    rule              who stays                                      shares in the result
    ================  =============================================  ==========================================
    ``majority``      an emotion has more than half of the votes     of all emotions
    ``probability``   the emotions from the top down that together   of these emotions
                      have 3/4 of the votes: at most three, before
                      unknown or NF comes, with more than half
    ``multi_target``  the answers with 30 % of the votes or more     of these emotions (FER+ itself takes each as
                      have more than half, an emotion leads          right, whatever its share)
    ================  =============================================  ==========================================

    Args:
        votes: shape ``(N, 10)``, columns as `VOTES`.

    Returns:
        Shape ``(N, 8)``, columns as `EMOTIONS`; a row sums to 1, or is all 0 where the face is to be left out.
    """
    if votes.ndim != 2 or votes.shape[1] != len(VOTES):
        raise ValueError(f"votes must have the shape (N, {len(VOTES)}), found {votes.shape}")
    if rule not in RULES:
        raise ValueError(f"rule={rule!r} is none of {list(RULES)}")
    votes = np.where(votes > 1, votes, 0).astype(float)
    total = votes.sum(axis=1)
    number = len(EMOTIONS)
    if rule == "majority":
        chosen = votes
        good = votes[:, :number].max(axis=1) > 0.5 * total
    elif rule == "multi_target":
        chosen = np.where(votes >= 0.3 * total[:, None], votes, 0)
        good = (chosen.sum(axis=1) > 0.5 * total) & (chosen.argmax(axis=1) < number)
    else:
        chosen = _from_the_top(votes, total)
        good = (chosen.sum(axis=1) > 0.5 * total) & ((chosen > 0).sum(axis=1) <= 3)
    shares = np.where(good[:, None], chosen[:, :number], 0)
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1)


def _from_the_top(votes: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Votes of the emotions that the rule ``probability`` takes; equal ones are taken together."""
    number = len(EMOTIONS)
    rest, chosen = votes.copy(), np.zeros_like(votes[:, :number])
    for _ in range(3):
        on = (chosen.sum(axis=1) < 0.75 * total) & ((chosen > 0).sum(axis=1) < 3)
        top = on[:, None] & (rest > 0) & (rest == rest.max(axis=1, keepdims=True))
        chosen += np.where(top[:, :number], votes[:, :number], 0)
        rest[top] = 0
        rest[top[:, number:].any(axis=1)] = 0  # unknown or NF is among them: nothing below is taken
    return chosen


def _reasons(votes: np.ndarray, rule: str) -> np.ndarray:
    others = np.sort(votes, axis=1)[:, -2]
    reasons = np.full(len(votes), f"{DIVIDED} (rule {rule})", dtype=object)
    reasons[votes[:, VOTES.index("unknown")] > others] = UNKNOWN
    reasons[votes[:, VOTES.index("NF")] > others] = NO_FACE
    return reasons


def read_votes(file: Path | str) -> pd.DataFrame:
    """``fer2013new.csv``: columns Usage, Image name and the ten of `VOTES` (whole numbers), in any order.

    Raises:
        DatasetError: a missing column, or a field that is no number of votes; the line is named.
    """
    file = Path(file)
    return _votes(file, read_rows(file, required=("Usage", "Image name", *VOTES)))


def read_labels(file: Path | str) -> pd.DataFrame:
    """``FER2013Train/label.csv`` (no header: name, box, votes): columns Image name and `VOTES`; see `read_votes`."""
    file = Path(file)
    return _votes(file, read_rows(file, required=(), header=("Image name", "box", *VOTES))).drop(columns="box")


def _votes(file: Path, lines: list[tuple[int, dict[str, str]]]) -> pd.DataFrame:
    for number, row in lines:
        wrong = [(name, row[name]) for name in VOTES if not re.fullmatch("[0-9]{1,2}", row[name])]
        if wrong:
            raise DatasetError(
                f"{file.name}, line {number}: {wrong[0][0]} must be a number of votes, found {wrong[0][1][:40]!r}; the "
                "file is damaged, download it again"
            )
        total = sum(int(row[name]) for name in VOTES)
        if not 1 <= total <= PEOPLE:
            raise DatasetError(
                f"{file.name}, line {number}: expected the votes of {PEOPLE} people, found {total}; the file is "
                "damaged, download it again"
            )
    table = pd.DataFrame([row for _, row in lines]).astype(dict.fromkeys(VOTES, int))
    table.attrs["lines"] = [number for number, _ in lines]
    return table


def _faces(root: Path, source: str | None) -> pd.DataFrame:
    place = root / "fer2013" if (root / "fer2013").is_dir() else root
    faces = fer2013.build_manifest(place, source=source)
    csv = faces["path"].iloc[0].partition("#")[0]
    if not csv.removesuffix(".zip").removesuffix(".xz").removesuffix(".gz").endswith(".csv"):
        raise DatasetError(
            f"FER+: its votes follow the rows of fer2013.csv, but {place} holds pictures ({faces['path'].iloc[0]}), "
            "whose numbers are no rows. Put fer2013.csv there, or name it in data.builder.source"
        )
    prefix = "" if place == root else "fer2013/"
    return faces.assign(path=prefix + faces["path"])


def _join(faces: pd.DataFrame, votes: pd.DataFrame, name: str) -> pd.DataFrame:
    csv = faces["path"].iloc[0].partition("#")[0]
    if len(faces) != len(votes):
        raise DatasetError(
            f"FER+: {name} has {len(votes)} rows, {csv} has {len(faces)}; they are joined by row, so both must be "
            "complete"
        )
    differ = (faces["split"] != votes["Usage"].map(fer2013.SPLIT_OF_USAGE)).to_numpy()
    if differ.any():
        row = int(differ.argmax())
        raise DatasetError(
            f"FER+: row {row} (line {votes.attrs['lines'][row]}) is {votes['Usage'][row]!r} in {name}, but "
            f"{faces['split'][row]!r} in {csv}; {int(differ.sum())} rows differ. One of the two files has been sorted "
            "or re-split; take both from their sources"
        )
    _check_order(votes, name)
    ids = faces["sample_id"].str.replace("fer2013/", "ferplus/", n=1, regex=False)
    return pd.concat([faces.assign(sample_id=ids, dataset="ferplus"), votes[list(VOTES)]], axis=1)


def _check_order(votes: pd.DataFrame, name: str) -> None:
    """The only sign of rows that have changed places: names count upwards, but for `STRAYS` and rows without one."""
    names = votes["Image name"]
    stray = pd.Series([STRAYS.get(row) == image for row, image in names.items()])
    named = names[(names != "") & ~stray]
    behind = named.index[1:][named.to_numpy()[1:] <= named.to_numpy()[:-1]]
    if len(behind):
        row = behind[0]
        raise DatasetError(
            f"FER+: {name}, line {votes.attrs['lines'][row]}: {names[row]} is out of order ({len(behind)} such rows); "
            "votes and faces are joined by row, so the file must be as it was published. Download it again"
        )


def _from_pictures(root: Path) -> pd.DataFrame:
    parts = []
    for folder in (root / "ferplus", root):
        for name, split in SPLIT_OF_FOLDER.items():
            if not (folder / name / "label.csv").is_file():
                continue
            table = read_labels(folder / name / "label.csv")
            place = (folder / name).relative_to(root).as_posix()
            images = table["Image name"]
            missing = [image for image in images if "/" in image or not os.path.isfile(folder / name / image)]
            if missing:
                raise DatasetNotFoundError(
                    f"FER+: {len(missing)} of {len(table)} pictures of {place}/label.csv are missing (first: "
                    f"{missing[0]}); complete the folder"
                )
            stems = table["Image name"].str.removesuffix(".png")
            paths = f"{place}/" + table["Image name"]
            parts.append(table.assign(sample_id="ferplus/" + stems, dataset="ferplus", path=paths, split=split))
        if parts:
            return contract.fill(pd.concat(parts, ignore_index=True)).drop(columns="Image name")
    raise DatasetNotFoundError(
        f"FER+: neither {VOTE_FILES[0]} nor ferplus/FER2013Train/label.csv in {root}. {contract.how_to_get(HINT)}"
    )


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write both csv files: 20 drawn faces of each class, and in each part one row that is no face."""
    rng = np.random.default_rng(seed)
    faces, votes = ["emotion,pixels,Usage"], [",".join(("Usage", "Image name", *VOTES))]
    for usage, number in TINY_PER_SPLIT.items():
        places = [*range(len(EMOTIONS))] * number + [VOTES.index("NF")]
        for place in places:
            pixels = _tiny_face(rng, place).ravel()
            faces.append(f"6,{' '.join(map(str, pixels))},{usage}")
            counts = np.zeros(len(VOTES), dtype=int)
            counts[place] = 10 if place >= len(EMOTIONS) else rng.integers(6, 10)
            counts[(place + 1) % len(EMOTIONS)] += 10 - counts.sum()
            name = "" if place >= len(EMOTIONS) else f"fer{len(faces) - 2:07d}.png"
            votes.append(",".join((usage, name, *map(str, counts))))
    with synthetic.raw_folder(root) as folder:
        for file, lines in (("fer2013/fer2013.csv", faces), (VOTE_FILES[0], votes)):
            (folder / file).parent.mkdir()
            (folder / file).write_text("\n".join(lines) + "\n")


def _tiny_face(rng: np.random.Generator, place: int) -> np.ndarray:
    size = fer2013.SIZE
    if place >= len(EMOTIONS):
        return rng.integers(0, 256, (size, size), dtype=np.uint8)
    expression = TINY_EXPRESSIONS[place]
    if expression is not None:
        return synthetic.face(rng, size, size, expression)
    seed = int(rng.integers(2**32))  # the same face twice, neutral and smiling
    halves = [synthetic.face(np.random.default_rng(seed), size, size, half) for half in (6, 3)]
    return np.hstack([halves[0][:, : size // 2], halves[1][:, size // 2 :]])
