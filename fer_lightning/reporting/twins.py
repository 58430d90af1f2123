"""FER2013's samples of PublicTest and PrivateTest whose picture, pixel for pixel, is in Training too.

280 of PublicTest, 288 of PrivateTest. A network that has learned its training set by heart is right on them, so they
raise accuracies, flatter the member of an ensemble that remembers best, and pull fitted weights towards it.
"""

from functools import cache
from pathlib import Path

import pandas as pd

from fer_lightning.errors import PoolError
from fer_lightning.reporting.pool import Pool

#: Written by ``python -m fer_lightning.verify data=fer2013 --duplicates <file>``.
LIST = Path(__file__).resolve().parent.parent.parent / "experiments" / "fer2013-duplicates.csv"


@cache
def read_twins(file: Path = LIST) -> frozenset[str]:
    """sample_id of each, of both parts.

    Raises:
        PoolError: there is no list of them, or it is none.
    """
    if not file.is_file():
        raise PoolError(f"{file}: not found; python -m fer_lightning.verify data=fer2013 --duplicates {file} makes it")
    try:
        return frozenset(pd.read_csv(file, dtype=str)["sample_id"])
    except (KeyError, ValueError) as error:
        raise PoolError(f"{file}: no list of sample_id ({error}). Take it from the repository") from error


def twins_of(pool: Pool) -> frozenset[str]:
    """Those of a run's data; none where it is not FER2013's csv (a copy as folders has other names)."""
    return read_twins() if pool.data == "fer2013" and not pool.synthetic else frozenset()


def without_twins(table: pd.DataFrame, pool: Pool) -> pd.DataFrame:
    """The rows of `table` (tested or validation samples of `pool`) that Training does not hold too."""
    return table[~table["sample_id"].isin(twins_of(pool))]
