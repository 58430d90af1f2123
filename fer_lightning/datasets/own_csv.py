"""Your own pictures or clips, named by a csv, to manifest.

Layout::

    own/
    ├── manifest.csv                     path,label,subject,split        (header; any order, further columns are kept)
    └── images/s01/angry/1.jpg ...       whatever the column path says, relative to this folder

=====================  ==============================================================================================
column                 meaning
=====================  ==============================================================================================
path                   picture (jpg, png, bmp or tif), clip folder, or ``archive.zip#member``; required
label                  class name; required
subject                who is seen; needed by protocol=kfold and protocol=loso, which keep people apart
group                  what must stay together, where that is more than the person; default: the subject
split                  train, val or test; needed by protocol=holdout
sample_id              default: the path without the suffix of a picture
onset, apex, offset    frame numbers of a clip folder
=====================  ==============================================================================================

A csv has a subject or a split for every row, or both. Nothing is split at random: where nobody can say who is seen,
two pictures of one face may stand on both sides, and the score would be of no use. A column that is called otherwise
(``Subject``, ``person``) and a person in two spellings are refused, see `own_people`.

**Classes.** ``data.classes`` is the list of your class names; the place of a name is its index in the network. It
stands in your copy of ``conf/data/own_csv.yaml`` or on the command line (``data.classes=[angry,happy,neutral]``), and
every label of the csv must be one of them, be renamed to one by ``data.relabel`` (on the command line
``+data.relabel.Angry=angry``, once for each), or be named in ``leave_out``: a class that was forgotten is an error, and
the error prints the list to copy.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from fer_lightning.datasets import contract, own_people, synthetic
from fer_lightning.datasets.table import read_rows
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError
from fer_lightning.functional.frames import is_image

#: What people call the three parts.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_OF_NAME = {name: split for split, names in SPLIT_NAMES.items() for name in names}
#: Pictures that cameras, phones and websites write, and that are not read: OpenCV reads some of them, by its version.
OTHER_SUFFIXES = (".webp", ".gif", ".heic", ".heif", ".avif", ".jfif", ".jp2", ".jxl", ".pgm", ".ppm")
HINT = "The folder must hold manifest.csv with the columns path,label and subject or split."
CURE = "add a column subject (protocol=kfold or loso) or split with train, val and test (protocol=holdout)"
TINY_CLASSES = ("angry", "happy", "neutral")
TINY_SIZE = 48


def build_manifest(
    root: Path | str,
    file: str = "manifest.csv",
    name: str = "own",
    classes: Sequence[str] | None = None,
    relabel: Mapping[str, str] | None = None,
    leave_out: Sequence[str] = (),
) -> pd.DataFrame:
    """One row per line of the csv, in its order. Looks whether each path exists, opens no picture.

    Args:
        root: raw folder.
        file: the csv below it.
        name: of the data set; sample ids and groups start with it.
        classes, relabel, leave_out: see `own_manifest`.

    Returns:
        A manifest, see `contract`; columns of the csv that are not in the table above follow as text.

    Raises:
        DatasetNotFoundError: the folder, the csv or files that it names are missing.
        DatasetError: a line that cannot be used, named by its number (the header is line 1), or a column that is
            called otherwise than in the table above.
    """
    root = contract.require_root(root, "own data", HINT)
    if not (root / file).is_file():
        listing = sorted(item.name for item in root.iterdir())[:10]
        raise DatasetNotFoundError(f"own data: no {file} in {root}, which holds {listing}. {contract.how_to_get(HINT)}")
    lines = read_rows(root / file, required=("path", "label"))
    where = [f"{Path(file).name}, line {number}" for number, _ in lines]
    rows = pd.DataFrame([row for _, row in lines])
    own_people.check_header(Path(file).name, rows)
    _check_paths(root, rows, where)
    for column in contract.FRAME_COLUMNS:
        if column in rows.columns:
            rows[column] = _frames(rows[column], where)
    if "apex" in rows.columns:
        rows["apex_source"] = np.where(rows["apex"].notna(), "annotated", "")
    return own_manifest(rows, where, CURE, name=name, classes=classes, relabel=relabel, leave_out=leave_out)


def own_manifest(
    rows: pd.DataFrame,
    where: Sequence[str],
    cure: str,
    *,
    name: str,
    classes: Sequence[str] | None,
    relabel: Mapping[str, str] | None,
    leave_out: Sequence[str],
) -> pd.DataFrame:
    """The manifest of data of one's own, once its rows are read.

    Args:
        rows: text columns path and label, and any other of the table at the head of this file.
        where: what to call each row in messages.
        cure: how to add what is missing when neither subject nor split is known.
        name: of the data set.
        classes: class names; None lets every label pass.
        relabel: label -> class name, as `contract.view` will apply it.
        leave_out: labels that are not wanted.

    Raises:
        DatasetError: an empty or unknown label, an unknown split, a subject that only some rows have or that is
            spelled in two ways, or neither subject nor split.
    """
    rows = rows.copy()
    _refuse_first(where, (rows["label"] == "").to_numpy(), "the label is empty; every row needs one")
    for column in ("subject", "group", "split"):
        if column not in rows.columns or (rows[column] == "").all():
            rows[column] = ""
            continue
        rule = f"the {column} is empty, but other rows have one; give it to all rows or to none"
        _refuse_first(where, (rows[column] == "").to_numpy(), rule)
        if column != "split":
            own_people.check_spelling(rows[column], where)
    split = rows["split"].map(lambda text: SPLIT_OF_NAME.get(text.lower(), "" if text == "" else None))
    known = ", ".join(SPLIT_OF_NAME)
    _refuse_first(where, split.isna().to_numpy(), f"the split must be one of {known}, found {{}}", rows["split"])
    rows["split"] = split
    groups = rows["group"].where(rows["group"] != "", rows["subject"])
    if (groups == "").all() and (rows["split"] == "").all():
        raise DatasetError(
            f"data={name}: nothing says who is seen or how to split, so no protocol can keep people apart; {cure}"
        )
    own_people.say_if_nobody_is_known(groups, name)
    _check_labels(rows["label"], name, classes, relabel, leave_out)
    rows["group"] = groups.map(lambda group: f"{name}/{group}" if group else "")
    ids = rows["path"].map(lambda path: os.path.splitext(path)[0] if is_image(path) else path).str.replace("#", "/")
    if "sample_id" in rows.columns:
        ids = rows["sample_id"].where(rows["sample_id"] != "", ids)
    rows["sample_id"] = f"{name}/" + ids
    rows["dataset"] = name
    return contract.fill(rows)


def _check_paths(root: Path, rows: pd.DataFrame, where: Sequence[str]) -> None:
    """Write `path` as the contract wants it; all files are looked for before the first is reported."""
    paths = rows["path"].str.replace("\\", "/", regex=False)
    _refuse_first(where, (paths == "").to_numpy(), "the path is empty")
    absolute = paths.str.match(r"/|[A-Za-z]:").to_numpy()
    _refuse_first(where, absolute, f"the path must be relative to {root}, found {{}}", paths)
    rows["path"] = paths.map(lambda path: str(PurePosixPath(path)))
    upwards = rows["path"].map(lambda path: path == "." or ".." in PurePosixPath(path).parts).to_numpy(dtype=bool)
    _refuse_first(where, upwards, f"the path must lie below {root} and have no '..', found {{}}", paths)
    rule = "the path {} stands in an earlier line too; each sample must stand once"
    _refuse_first(where, rows["path"].duplicated().to_numpy(), rule, rows["path"])
    there = {file: os.path.exists(root / file) for file in rows["path"].str.partition("#")[0].unique()}
    other = rows["path"].map(lambda path: path.lower().endswith(OTHER_SUFFIXES) and not os.path.isdir(root / path))
    rule = "the path {} is a picture of a kind that is not read; save it as png or jpg"
    _refuse_first(where, other.to_numpy(dtype=bool), rule, rows["path"])
    missing = ~rows["path"].str.partition("#")[0].map(there).to_numpy(dtype=bool)
    if missing.any():
        first = int(missing.argmax())
        raise DatasetNotFoundError(
            f"{where[first]}: no file {rows['path'][first]} in {root}; {int(missing.sum())} of {len(rows)} paths are "
            "missing. Paths are relative to data.root; correct them, or complete the folder"
        )


def _frames(texts: pd.Series, where: Sequence[str]) -> pd.array:
    wrong = ~texts.map(lambda text: re.fullmatch("[0-9]{0,18}", text) is not None).to_numpy(dtype=bool)
    _refuse_first(where, wrong, f"{texts.name} must be a whole frame number or empty, found {{}}", texts)
    return pd.array([int(text) if text else pd.NA for text in texts], dtype="Int64")


def _check_labels(labels, name, classes, relabel, leave_out) -> None:
    if classes is None:
        return
    contract.check_classes(classes)
    renamed = dict(relabel or {})
    both = [label for label in leave_out if renamed.get(label, label) in classes]
    if both:
        raise ConfigError(
            f"data={name}: {both} stand in data.classes and in data.builder.leave_out; remove them from one"
        )
    strange = sorted({label for label in labels if renamed.get(label, label) not in classes} - set(leave_out))
    if not strange:
        return
    found = sorted(set(labels))
    ready = f"data.classes=[{','.join(found)}]"
    raise ConfigError(
        f"data={name}: the labels {strange} are not in data.classes={list(classes)}. Labels found: {found}. Give the "
        f"classes in the order their indices shall have, such as {ready} (on the command line in quotation marks), "
        f"rename labels, such as +data.relabel.{strange[0]}={next(iter(classes))}, or name those you do not want in "
        "data.builder.leave_out"
    )


def _refuse_first(where: Sequence[str], wrong: np.ndarray, rule: str, values: pd.Series | None = None) -> None:
    if wrong.any():
        first = int(wrong.argmax())
        text = rule if values is None else rule.format(repr(values.iloc[first]))
        raise DatasetError(f"{where[first]}: {text} ({int(wrong.sum())} such rows)")


def tiny_people() -> list[tuple[str, str]]:
    """Invented people and the split that each of them is in."""
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    return [(f"s{number:02d}", split) for number, split in enumerate(splits, start=1)]


def tiny_face(rng: np.random.Generator, index: int) -> np.ndarray:
    """A drawn face of class `index`, uint8; from the eighth class on the same faces, turned by a right angle."""
    turns, expression = divmod(index, len(synthetic.EXPRESSIONS))
    return np.ascontiguousarray(np.rot90(synthetic.face(rng, TINY_SIZE, TINY_SIZE, expression), turns))


def write_tiny(root: Path | str, seed: int = 0, classes: Sequence[str] = TINY_CLASSES) -> None:
    """Write this layout for 12 people with two drawn faces of each class."""
    rng = np.random.default_rng(seed)
    lines = ["path,label,subject,split"]
    with synthetic.raw_folder(root) as folder:
        for subject, split in tiny_people():
            for index, label in enumerate(classes):
                for number in (1, 2):
                    path = f"images/{subject}/{label}/{number}.png"
                    synthetic.write_image(folder / path, tiny_face(rng, index))
                    lines.append(f"{path},{label},{subject},{split}")
        (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
