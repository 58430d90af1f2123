"""CK+ (Extended Cohn-Kanade), peak frames, to manifest.

Layouts, the first one found is read::

    ckplus/
    ├── cohn-kanade-images/S005/001/S005_001_00000001.png ...      neutral to peak, 640x490 or 640x480, and
    ├── Emotion/S005/001/S005_001_00000011_emotion.txt             one number; also called Emotion_labels
    ├── CK+48/anger/S010_004_00000017.png ...                      48x48, the last three frames of each sequence
    └── ckextended.csv                                             emotion,pixels,Usage: one peak frame of each, 48x48

593 sequences of 123 people. **No emotion file means no label**: 327 sequences of 118 people have one. Neighbouring
frames are nearly equal, and so are the faces of one person: `group` is ``ckplus/S005``, and the protocol is ten folds
of whole people. Cutting single images at random puts a twin of nearly every test image into training, so no layout gets
such a split; the csv, which names no people, is refused unless ``image_level_split=true`` asks for its own, and warns.

Source: Lucey et al. 2010, CVPR Workshops, doi:10.1109/CVPRW.2010.5543262
"""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, fer2013, synthetic
from fer_lightning.datasets.table import read_lines
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional import face_csv
from fer_lightning.functional.frames import is_image

#: Codes 1..7 of the emotion files; 0 would be neutral, which no file says.
EMOTIONS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
CSV_EMOTIONS = ("anger", "disgust", "fear", "happy", "sadness", "surprise", "neutral", "contempt")
LIST_EMOTIONS = {
    "Angry": "anger",
    "Contempt": "contempt",
    "Disgust": "disgust",
    "Fear": "fear",
    "Happy": "happy",
    "Sad": "sadness",
    "Surprise": "surprise",
}
FORMS = ("frames", "ck48", "csv")
FRAME_FOLDERS = ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images")
LABEL_FOLDERS = ("Emotion", "Emotion_labels", "Emotion_labels/Emotion")
SMALL_FOLDERS = ("CK+48", "CK48")
CSV = "ckextended.csv"
FRAME_NAME = re.compile(r"(S[0-9]{3})_([0-9]{3})_([0-9]{8})\.[A-Za-z]+")
HINT = (
    "CK+ is given out by its authors on request: http://www.jeffcohn.net/Resources. The folder must hold "
    f"{FRAME_FOLDERS[0]}/ and {LABEL_FOLDERS[0]}/, or {SMALL_FOLDERS[0]}/, or {CSV}."
)
#: Class -> row of `synthetic.EXPRESSIONS`; contempt is a smile on one side.
TINY_EXPRESSIONS = (0, None, 1, 2, 3, 4, 5)
NEUTRAL = 6


def build_manifest(
    root: Path | str,
    form: str | None = None,
    peak_frames: int = 3,
    neutral: bool = False,
    folds: str | None = None,
    image_level_split: bool = False,
) -> pd.DataFrame:
    """One row per peak frame of each labelled sequence, in the order of the names. Lists folders, opens no image.

    Args:
        root: raw folder.
        form: ``frames``, ``ck48`` or ``csv``; None takes the first that is there.
        peak_frames: how many of a sequence's last frames are samples.
        neutral: the first frame of each labelled sequence is a sample too, with the label ``neutral`` (`frames` only;
            the csv has neutral faces of its own, whatever this says).
        folds: list of published folds below `root`, see `read_folds`; fills the column ``published_fold``.
        image_level_split: take the Usage of the csv for a split, although one person may be on all sides of it.

    Returns:
        A manifest, see `contract`, with two more columns, ``sequence`` (``S005/001``) and ``published_fold`` ("1" ...).

    Raises:
        DatasetNotFoundError: the folder, or all of the layouts, are missing.
        DatasetError: a file with another name or label than CK+ has, or a list of folds that does not fit.
    """
    if form is not None and form not in FORMS:
        raise ConfigError(f"CK+: form={form!r} is none of {list(FORMS)}, or null for the first there is")
    if peak_frames < 1:
        raise ConfigError(f"CK+: peak_frames={peak_frames} must be at least 1")
    root = contract.require_root(root, "CK+", HINT)
    form, place = _find(root, form)
    if form == "csv":
        return _from_csv(place, place.relative_to(root).as_posix(), image_level_split)
    if neutral and form == "ck48":
        raise ConfigError("CK+: neutral=true needs the first frames, which CK+48 does not hold; use form=frames")
    sequences = _small_sequences(place) if form == "ck48" else _sequences(root, place)
    rows = []
    for (subject, clip), (label, files) in sorted(sequences.items()):
        if len(files) < peak_frames + neutral:
            raise DatasetError(
                f"CK+: {subject}/{clip} has {len(files)} frame(s), peak_frames={peak_frames}"
                f"{' and a neutral one' if neutral else ''} asks for more; complete the frames, or ask for fewer"
            )
        samples = [(file, label) for file in files[-peak_frames:]]
        for file, name in ([(files[0], "neutral")] if neutral else []) + samples:
            path = file.relative_to(root).as_posix()
            rows.append((f"ckplus/{file.stem}", path, subject, name, f"{subject}/{clip}"))
    manifest = pd.DataFrame(rows, columns=["sample_id", "path", "subject", "label", "sequence"])
    published = "" if folds is None else _published(read_folds(root / folds), sequences, manifest["sequence"], folds)
    group = "ckplus/" + manifest["subject"]
    return contract.fill(manifest.assign(dataset="ckplus", group=group, published_fold=published))


def _find(root: Path, form: str | None) -> tuple[str, Path]:
    places = {"frames": FRAME_FOLDERS, "ck48": SMALL_FOLDERS, "csv": (CSV,)}
    for kind in FORMS if form is None else [form]:
        for name in places[kind]:
            if (root / name).exists():
                return kind, root / name
    listing = sorted(item.name for item in root.iterdir())[:10]
    wanted = [name for kind in (FORMS if form is None else [form]) for name in places[kind]]
    raise DatasetNotFoundError(
        f"CK+: none of {wanted} is in {root}, which holds {listing}. {contract.how_to_get(HINT)}"
    )


def _sequences(root: Path, place: Path) -> dict[tuple[str, str], tuple[str, list[Path]]]:
    """(subject, sequence) -> (label, frames in order), of the labelled sequences only."""
    labels = next((root / name for name in LABEL_FOLDERS if any((root / name).glob("S*/*/*_emotion.txt"))), None)
    if labels is None:
        raise DatasetNotFoundError(
            f"CK+: the frames are there, but no {LABEL_FOLDERS[0]}/S005/001/S005_001_00000011_emotion.txt or the like "
            f"in {root}. {contract.how_to_get(HINT)}"
        )
    sequences: dict[tuple[str, str], tuple[str, list[Path]]] = {}
    for file in sorted(labels.glob("S*/*/*_emotion.txt")):
        if file.name.startswith("."):
            continue
        key = file.parts[-3], file.parts[-2]
        if key in sequences:
            raise DatasetError(f"CK+: {'/'.join(key)} has two emotion files ({file.name} is one); keep the right one")
        folder = place / key[0] / key[1]
        frames = sorted(item for item in folder.glob("*") if is_image(item.name))
        strange = [item.name for item in frames if not _belongs(item.name, key)]
        if strange:
            raise DatasetError(
                f"CK+: {strange[0]} does not belong to {'/'.join(key)}; take the frames from the release"
            )
        if not frames:
            raise DatasetNotFoundError(f"CK+: {file.relative_to(root)} has no frames in {folder.relative_to(root)}")
        peak = file.name.removesuffix("_emotion.txt")
        if peak not in {frame.stem for frame in frames}:
            raise DatasetError(
                f"CK+: {file.relative_to(root)} is named after the peak frame, but none of the {len(frames)} frames in "
                f"{folder.relative_to(root)} is {peak}; complete the frames, or take the file from the release"
            )
        sequences[key] = read_emotion(file), frames
    return sequences


def _belongs(name: str, key: tuple[str, str]) -> bool:
    match = FRAME_NAME.fullmatch(name)
    return match is not None and match.groups()[:2] == key


def read_emotion(file: Path | str) -> str:
    """The class in an emotion file: one number such as ``   3.0000000e+00``.

    Raises:
        DatasetError: no number, or none of 1..7.
    """
    file = Path(file)
    text = file.read_text(encoding="utf-8-sig", errors="replace").strip()
    match = re.fullmatch(r"([1-7])(\.0*(e\+?0+)?)?", text)
    if match is None:
        raise DatasetError(
            f"{file.name}: expected one number from 1 ({EMOTIONS[0]}) to 7 ({EMOTIONS[-1]}), found {text[:40]!r}; take "
            "the file from the release"
        )
    return EMOTIONS[int(match.group(1)) - 1]


def _small_sequences(place: Path) -> dict[tuple[str, str], tuple[str, list[Path]]]:
    """As `_sequences`, from class folders."""
    sequences: dict[tuple[str, str], tuple[str, list[Path]]] = {}
    for file in sorted(place.glob("*/*")):
        label = file.parent.name
        if not is_image(file.name):
            continue
        match = FRAME_NAME.fullmatch(file.name)
        if label not in EMOTIONS or match is None:
            raise DatasetError(
                f"CK+: {label}/{file.name}: expected a folder of {list(EMOTIONS)} and a name such as "
                "S010_004_00000017.png, which tells who is seen; take another copy"
            )
        key = match.groups()[:2]
        if sequences.setdefault(key, (label, []))[0] != label:
            raise DatasetError(f"CK+: {'/'.join(key)} lies in {sequences[key][0]} and in {label}; take another copy")
        sequences[key][1].append(file)
    return sequences


def read_folds(file: Path | str) -> pd.DataFrame:
    """A published list of subject-disjoint folds: columns fold ("1", ...), sequence (``S005/001``), subject, label.

    The list known as ``CK+_10-fold_sample_IDascendorder_step10.txt`` (github.com/Open-Debin/Emotion-FAN, data/txt):
    people in order of their numbers, every tenth into the same fold. A fold begins with ``1-fold 33 Angry 2 ...``, then
    come its 33 sequences, ``S130/007 Angry``.

    Raises:
        DatasetNotFoundError: there is no such file.
        DatasetError: a line of another form, a fold without all its lines, a sequence that stands twice, or a person in
            two folds.
    """
    file = Path(file)
    if not file.is_file():
        raise DatasetNotFoundError(f"CK+: no list of folds {file.name} in {file.parent}; correct data.builder.folds")
    rows, promised = [], {}
    for number, line in read_lines(file):
        head = re.match(r"([0-9]{1,3})-fold\s+([0-9]{1,3})\b", line)
        entry = re.fullmatch(r"((S[0-9]{3})/[0-9]{3})\s+(\w+)", line)
        if head is not None and head.group(1) not in promised:
            promised[head.group(1)] = int(head.group(2))
        elif entry is not None and entry.group(3) in LIST_EMOTIONS and promised:
            sequence, subject, emotion = entry.groups()
            rows.append((next(reversed(promised)), sequence, subject, LIST_EMOTIONS[emotion]))
        else:
            raise DatasetError(
                f"{file.name}, line {number}: expected '1-fold 33 ...' or 'S130/007 Angry', found {line[:60]!r}; "
                "each fold must begin once"
            )
    folds = pd.DataFrame(rows, columns=["fold", "sequence", "subject", "label"])
    counts = folds["fold"].value_counts().to_dict()
    if not promised or counts != promised:
        raise DatasetError(f"{file.name}: the folds should have {promised} sequences, found {counts}; it is incomplete")
    twice = folds.loc[folds["sequence"].duplicated(), "sequence"].tolist()
    torn = folds.groupby("subject")["fold"].nunique()
    torn = torn[torn > 1].index.tolist()
    if twice or torn:
        what = f"sequence {twice[0]} stands twice" if twice else f"{torn[0]} stands in two folds"
        raise DatasetError(f"{file.name}: {what}; folds must keep people apart, take another list")
    return folds


def _published(folds: pd.DataFrame, sequences: dict, of_row: pd.Series, name: str) -> pd.Series:
    """The published fold of each row; the list must say the same of each sequence as the emotion files."""
    ours = {"/".join(key): label for key, (label, _) in sequences.items()}
    theirs = dict(zip(folds["sequence"], folds["label"], strict=True))
    differ = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    if differ:
        first = differ[0]
        raise DatasetError(
            f"CK+: {name} and the raw folder differ in {len(differ)} sequences (first: {first}, "
            f"{theirs.get(first, 'not there')} in the list, {ours.get(first, 'not there')} in the folder); take the "
            "complete release, or data.builder.folds=null"
        )
    return of_row.map(dict(zip(folds["sequence"], folds["fold"], strict=True)))


def _from_csv(file: Path, name: str, image_level_split: bool) -> pd.DataFrame:
    if not image_level_split:
        raise DatasetError(
            f"CK+: {name} names no people, so nobody can keep them apart in training and test. Take the release or "
            "CK+48. To take the csv's own split of single images, whose scores say nothing about new faces, set "
            "data.builder.image_level_split=true protocol=holdout"
        )
    warnings.warn(
        f"CK+: {name} is split by images: the same people are in training and test, and scores are too high. Do not "
        "compare them with subject-independent results.",
        stacklevel=3,
    )
    rows = []
    labels = {str(code): emotion for code, emotion in enumerate(CSV_EMOTIONS)}
    for number, face in enumerate(face_csv.faces(file, name)):
        if face.emotion not in labels or face.usage not in fer2013.SPLIT_OF_USAGE:
            raise DatasetError(
                f"{name}, line {face.line}: expected an emotion 0..{len(labels) - 1} and a Usage of "
                f"{list(fer2013.SPLIT_OF_USAGE)}, found {face.emotion[:40]!r} and {face.usage[:40]!r}"
            )
        label, split = labels[face.emotion], fer2013.SPLIT_OF_USAGE[face.usage]
        rows.append((f"ckplus/{number:05d}", f"{name}#{number}", label, split))
    manifest = pd.DataFrame(rows, columns=["sample_id", "path", "label", "split"])
    return contract.fill(manifest.assign(dataset="ckplus", sequence="", published_fold=""))


def write_tiny(root: Path | str, seed: int = 0) -> None:
    """Write the original tree for 12 people with a sequence of five frames of each class, and one without a label."""
    rng = np.random.default_rng(seed)
    with synthetic.raw_folder(root) as folder:
        for person in range(1, 13):
            for clip in range(1, len(EMOTIONS) + 2):
                subject, sequence = f"S{4 + person:03d}", f"{clip:03d}"
                code = (clip + person) % len(EMOTIONS)
                for number, face in enumerate(_tiny_frames(rng, code), start=1):
                    name = f"{subject}_{sequence}_{number:08d}"
                    synthetic.write_image(folder / FRAME_FOLDERS[0] / subject / sequence / f"{name}.png", face)
                labels = folder / LABEL_FOLDERS[0] / subject / sequence
                labels.mkdir(parents=True)
                if clip <= len(EMOTIONS):  # as in the release, a folder without a file is a sequence without a label
                    (labels / f"{name}_emotion.txt").write_text(f"   {code + 1}.0000000e+00\n")


def _tiny_frames(rng: np.random.Generator, code: int) -> list[np.ndarray]:
    """Two neutral frames, then three of the peak; one person, so only the camera's noise differs."""
    seed, height, width = int(rng.integers(2**32)), 96, 96

    def face(expression: int) -> np.ndarray:
        return synthetic.face(np.random.default_rng(seed), height, width, expression)

    expression = TINY_EXPRESSIONS[code]
    smile = np.hstack([face(NEUTRAL)[:, : width // 2], face(3)[:, width // 2 :]])
    peak = smile if expression is None else face(expression)
    frames = np.stack([face(NEUTRAL)] * 2 + [peak] * 3) + rng.normal(0, 3, (5, height, width))
    return list(np.clip(frames, 0, 255).round().astype(np.uint8))
