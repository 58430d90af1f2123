"""Who is seen in data of one's own: what would make a leak without a word is refused, or said.

A column that is overlooked for its spelling, or one person under two names, puts the same face into training and test:
nothing fails, and the score is too high.
"""

import unicodedata
import warnings
from collections.abc import Sequence

import pandas as pd

from fer_lightning.errors import DatasetError
from fer_lightning.functional.frames import natural_key

#: Columns of a csv of one's own that mean something; all others are kept as they are.
KNOWN = ("path", "label", "subject", "group", "split", "sample_id", "onset", "apex", "offset")
#: What people call the column subject, letters and digits only.
PEOPLE = ("person", "personid", "subjectid", "participant", "participantid", "actor", "actorid", "identity")


def check_header(file: str, rows: pd.DataFrame) -> None:
    """Refuse columns that were meant to be one of `KNOWN`, by their spelling, and people who are not called subject.

    Args:
        file: name of the csv, for messages.
        rows: its text, one column for each of the header.

    Raises:
        DatasetError: such a column. Names that mean people may stand beside a column subject that has entries.
    """
    spelled = {_letters(column): column for column in KNOWN}
    for column in rows.columns:
        known = spelled.get(_letters(column), column)
        if known != column:
            raise DatasetError(
                f"{file}: the header has the column {column!r}, expected {known!r}; rename it to {known}, or, if it "
                "holds something else, to another name"
            )
    if "subject" in rows.columns and (rows["subject"] != "").any():
        return
    for column in rows.columns:
        if _letters(column) in PEOPLE:
            raise DatasetError(
                f"{file}: the header has the column {column!r}, which seems to say who is seen; expected it as "
                "'subject', without which the same people may train and test; rename it to subject, or, if it is "
                "not the person, to something else"
            )


def check_spelling(names: pd.Series, where: Sequence[str]) -> None:
    """Refuse two spellings of one name: they differ in case, accents as they are coded, spaces or leading zeros only.

    Args:
        names: column of text; "" where nothing is known.
        where: what to call each row in messages.

    Raises:
        DatasetError: the first row whose name is spelled otherwise before, and that row.
    """
    first: dict[tuple, int] = {}
    keys = {name: tuple(natural_key(_folded(name))) for name in names.unique()}
    for row, name in enumerate(names):
        before = first.setdefault(keys[name], row)
        other = names.iloc[before]
        if other == name:
            continue
        show = repr
        if _folded(name) == _folded(other) and name.casefold() != other.casefold():
            show = ascii  # e with an accent and e followed by one look the same
        raise DatasetError(
            f"{where[row]}: the {names.name} {show(name)} is {show(other)} in {where[before]}: they would be two; "
            f"spell one {names.name} in one way, or, if they are two, tell them apart by more than case, accents as "
            f"they are coded, spaces or leading zeros ({int((names == name).sum())} such rows)"
        )


def say_if_nobody_is_known(groups: pd.Series, name: str) -> None:
    """Warn where no row says who is seen; for builders to call through `own_csv.own_manifest`.

    Args:
        groups: what must stay together, "" where nothing is known.
        name: of the data set.
    """
    if (groups == "").all():
        warnings.warn(
            f"data={name}: nobody is known: people are not kept apart. Where somebody stands in two splits, scores "
            "are too high, and nothing here can notice",
            stacklevel=3,  # whose build_manifest it is
        )


def _letters(column: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", column).casefold()))


def _folded(name: str) -> str:
    """A name without what people do not see as a difference, but for leading zeros."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return " ".join(folded.split())
