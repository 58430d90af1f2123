"""What a recipe says about a sample that is not as it should be."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Remarked:
    """Yielded by a recipe's `make` instead of the bare array.

    Attributes:
        array: what was made of the sample all the same.
        remark: a short constant phrase, such as ``no face was found: the whole image was taken``. It is kept in the
            cache's index, counted and printed with every run.
    """

    array: np.ndarray
    remark: str
