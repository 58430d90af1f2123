"""The contract of a manifest, and the one door through which every manifest enters the pipeline.

A manifest is a table with one row per sample:

===========  ======  =================================================================================
column       type    meaning
===========  ======  =================================================================================
sample_id    str     unique, like ``casme2/sub01/EP02_01f``
dataset      str     ``casme2``
path         str     posix, relative to the raw folder; ``container#member`` for archives and csv rows
subject      str     as the data set writes it; "" when it says nothing about people
group        str     what must never be split between train and test: ``casme2/sub01``; "" for FER2013
label        str     class *name*; only `view` and the config decide which index it gets
onset        Int64   frame numbers as in the file names; ``pd.NA`` for still images
apex         Int64
offset       Int64
apex_source  str     "", annotated, file, middle or spotted
split        str     "", train, val or test: the split published with the data set
===========  ======  =================================================================================

Further columns are kept. ``valence`` and ``arousal`` are float, -1 to 1; a row that has both may have the label "".

Three optional entries of ``manifest.attrs`` let a builder leave rows out, or mend them, without hiding it:
``dropped`` and ``corrected`` (reason -> sample ids) are printed with every run, and ``release_counts`` (see
`release.count`) holds the counts before rows were dropped, so that `check` compares the *release* with ``expects``,
not what is left of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fer_lightning.datasets import release
from fer_lightning.errors import ConfigError, DatasetError, DatasetNotFoundError

FRAME_COLUMNS = ["onset", "apex", "offset"]
COLUMNS = [
    "sample_id",
    "dataset",
    "path",
    "subject",
    "group",
    "label",
    *FRAME_COLUMNS,
    "apex_source",
    "split",
]
TEXT_COLUMNS = [column for column in COLUMNS if column not in FRAME_COLUMNS]
REQUIRED_TEXT = ["sample_id", "dataset", "path"]
VALENCE_AROUSAL = ["valence", "arousal"]
SPLITS = ("", "train", "val", "test")
APEX_SOURCES = ("", "annotated", "file", "middle", "spotted")

SYNTHETIC_MARKER = "SYNTHETIC.txt"


def fill(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that do not apply to a data set: "" for text, ``pd.NA`` for frame numbers."""
    rows = rows.copy()
    for column in COLUMNS:
        if column not in rows.columns:
            rows[column] = pd.array([pd.NA] * len(rows), dtype="Int64") if column in FRAME_COLUMNS else ""
    return rows[[*COLUMNS, *(column for column in rows.columns if column not in COLUMNS)]]


def check(manifest: pd.DataFrame, expects: Mapping[str, Any] | None = None, *, where: str) -> pd.DataFrame:
    """Refuse a manifest that breaks the contract or is not the complete release.

    Args:
        manifest: see the head of this file.
        expects: counts of the complete release: ``samples``, ``groups``, ``splits`` (name -> n), ``labels``
            (name -> n), or ``releases`` (release name -> such counts), one of which must fit. None or a missing
            key asks nothing. The caller passes None for synthetic data, see `is_synthetic`.
        where: what to call this manifest in messages, e.g. ``data=fer2013``.

    Returns:
        The manifest with columns in the order of `COLUMNS` (further ones behind), their types, a new index, and
        its ``attrs`` kept; ``attrs["release"]`` names the one of ``releases`` that fits.

    Raises:
        DatasetError: naming the first offending row, or the counts found and expected.
    """
    missing = [column for column in COLUMNS if column not in manifest.columns]
    if missing:
        raise DatasetError(f"{where}: the manifest has no column {missing}; found {list(manifest.columns)}")
    if manifest.empty:
        raise DatasetError(
            f"{where}: the manifest has no rows; is the raw folder complete, and do data.where and "
            "data.classes select anything?"
        )
    attrs = manifest.attrs
    # Without them: pandas would copy the sample ids in them with every column that is taken.
    manifest = _typed(fill(pd.DataFrame(manifest)).reset_index(drop=True), where)
    _check_rows(manifest, where)
    manifest.attrs = attrs
    if expects:
        found = release.compare(attrs.get("release_counts") or release.count(manifest), expects, where)
        manifest.attrs = attrs | {"release": found}
    return manifest


def view(
    manifest: pd.DataFrame,
    *,
    classes: Sequence[str],
    relabel: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Keep and rename rows: first `where`, then `relabel`, then rows whose label is one of `classes`.

    Args:
        manifest: a checked manifest.
        classes: class names to keep, in index order; none where samples are not labelled: every row is kept.
        relabel: label of the data set -> class name; labels that are not named keep their name.
        where: column -> accepted value, or list of accepted values.

    Returns:
        The rows (without ``attrs``: they describe the release) and ``{reason: number of rows left out}``.

    Raises:
        ConfigError: an unknown column or label, a class that stands twice or that no sample has, or nothing is left.
    """
    check_classes(classes)
    rows, dropped = pd.DataFrame(manifest), {}  # has no attrs
    for column, accepted in (where or {}).items():
        if column not in rows.columns:
            raise ConfigError(f"data.where names the column {column!r}; the manifest has {list(rows.columns)}")
        values = list(accepted) if isinstance(accepted, Sequence) and not isinstance(accepted, str) else [accepted]
        kept = rows[column].isin(values)
        for value, number in rows.loc[~kept, column].value_counts().sort_index().items():
            dropped[f"{column} {value!r}"] = int(number)
        if not kept.any():
            found = sorted(map(str, rows[column].unique()))
            more = f" and {len(found) - 10} more" if len(found) > 10 else ""
            raise ConfigError(
                f"data.where.{column}={values} leaves no row of {len(rows)}; the column holds {found[:10]}{more}"
            )
        rows = rows[kept]
    if not classes:
        return rows.reset_index(drop=True), dropped
    relabel = dict(relabel or {})
    labels = rows["label"].map({label: relabel.get(label, label) for label in rows["label"].unique()})
    kept = labels.isin(list(classes))
    for label, number in rows.loc[~kept, "label"].value_counts().sort_index().items():
        dropped[f"label {label!r}"] = int(number)
    empty = [name for name in classes if not (labels == name).any()]
    if empty:
        raise ConfigError(
            f"data.classes names {empty}, but no sample has such a label after data.where and data.relabel; "
            f"labels found: {sorted(set(manifest['label']))}"
        )
    return rows.assign(label=labels)[kept].reset_index(drop=True), dropped


def check_classes(classes: Sequence[str]) -> None:
    """Refuse class names that cannot be the outputs of a network: a single text for a list, or one name twice.

    Raises:
        ConfigError: what was found, and how a list is written.
    """
    if isinstance(classes, str):
        raise ConfigError(f"data.classes={classes} is a text; expected a list, such as data.classes=[angry,happy]")
    doubled = sorted({str(name) for name in classes if list(classes).count(name) > 1})
    if doubled:
        raise ConfigError(
            f"data.classes={list(classes)} names {doubled} more than once; each class has one place, so name it once"
        )


def require_root(root: Path | str, name: str, hint: str) -> Path:
    """The raw folder, or an error that says where it was looked for and how to get it.

    Args:
        root: raw folder of one data set.
        name: the data set as people call it.
        hint: how to obtain it and what the folder must hold.

    Raises:
        DatasetNotFoundError: there is no such folder.
    """
    folder = Path(root).expanduser()
    if folder.is_dir():
        return folder
    what = "is a file, not a folder" if folder.exists() else "does not exist"
    raise DatasetNotFoundError(f"{name}: the raw folder {folder} {what}. {how_to_get(hint)}")


def how_to_get(hint: str) -> str:
    """The second half of every "not found" message: which option, how to obtain, what to do without the data."""
    return (
        "Set FER_RAW to the folder that holds all raw data sets, or data.root to the folder of this one. "
        f"{hint} To try the pipeline without the data, add debug=tiny: it writes a synthetic copy of the layout."
    )


def mark_synthetic(root: Path | str) -> None:
    """Mark a raw folder as written by `write_tiny`: its counts are not checked, its scores are labelled."""
    (Path(root) / SYNTHETIC_MARKER).write_text(
        "Written by fer_lightning (write_tiny) with synthetic content. Scores on it say nothing about faces.\n"
    )


def is_synthetic(root: Path | str) -> bool:
    """Whether a raw folder was written by `write_tiny`."""
    return (Path(root) / SYNTHETIC_MARKER).is_file()


def _typed(manifest: pd.DataFrame, where: str) -> pd.DataFrame:
    for column in TEXT_COLUMNS:
        values = manifest[column]
        is_text = isinstance(values.dtype, pd.StringDtype)
        wrong = values.isna() if is_text else ~values.map(lambda value: isinstance(value, str)).astype(bool)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise DatasetError(f"{where}: column {column!r} must hold text, row {row} holds {values[row]!r}")
        manifest[column] = values.astype("str")  # Arrow's, a third of the memory of Python's objects
    for column in FRAME_COLUMNS:
        try:
            manifest[column] = manifest[column].astype("Int64")
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{where}: column {column!r} must hold whole frame numbers: {error}") from error
    return manifest


def _check_rows(manifest: pd.DataFrame, where: str) -> None:
    ids = manifest["sample_id"]
    for column in REQUIRED_TEXT:
        _refuse(ids, manifest[column] == "", where, f"column {column!r} is empty")
    _refuse(ids, (manifest["label"] == "") & ~_measured(manifest, ids, where), where, "column 'label' is empty")
    if not ids.is_unique:
        twice = ids[ids.duplicated()]
        paths = manifest.loc[ids == twice.iloc[0], "path"].tolist()[:3]
        raise DatasetError(
            f"{where}: {len(twice)} sample ids stand in more than one row (first: {twice.iloc[0]!r}, "
            f"at {paths}); each sample must stand in the raw folder once"
        )
    absolute = manifest["path"].str.startswith("/") | manifest["path"].str.contains("\\", regex=False)
    _refuse(ids, absolute, where, "path must be relative to the raw folder, with / between its parts")
    _refuse(ids, ~manifest["split"].isin(SPLITS), where, f"split must be one of {SPLITS}", manifest["split"])
    sources = manifest["apex_source"]
    _refuse(ids, ~sources.isin(APEX_SOURCES), where, f"apex_source must be one of {APEX_SOURCES}", sources)
    for first, second in (("onset", "apex"), ("apex", "offset"), ("onset", "offset")):
        wrong = (manifest[first] > manifest[second]).fillna(False)
        if wrong.any():
            row = manifest[wrong].iloc[0]
            raise DatasetError(
                f"{where}: {row['sample_id']}: frames must be onset <= apex <= offset, found {row['onset']}, "
                f"{row['apex']}, {row['offset']} ({int(wrong.sum())} such rows); correct the coding sheet"
            )


def _measured(manifest: pd.DataFrame, ids: pd.Series, where: str) -> pd.Series:
    """Which rows have valence and arousal."""
    measured = pd.Series(set(VALENCE_AROUSAL) <= set(manifest.columns), index=manifest.index)
    for column in VALENCE_AROUSAL:
        if column in manifest.columns:
            values = manifest[column]
            _refuse(ids, values.notna() & ~values.between(-1, 1), where, f"{column} must be in -1..1", values)
            measured &= values.notna()
    return measured


def _refuse(ids: pd.Series, wrong: pd.Series, where: str, rule: str, values: pd.Series | None = None) -> None:
    if wrong.any():
        first = int(wrong.to_numpy().argmax())
        found = "" if values is None else f", found {values.tolist()[first]!r}"
        raise DatasetError(f"{where}: {rule}{found} ({int(wrong.sum())} rows, first: {ids.iloc[first]!r}, row {first})")
