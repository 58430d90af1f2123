"""A manifest cut into pieces, and the processes that make arrays of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import DatasetError
from fer_lightning.preprocess.remark import Remarked

#: Rows made by one process at a time when the recipe has no containers to keep together.
PIECE = 64
#: Pieces that wait for each process: all at once would copy the whole manifest.
WAITING = 4


def cut(paths: pd.Series, chunk_key: Callable[[str], str]) -> list[np.ndarray]:
    """Row numbers cut into pieces; rows of one container stay together, so it is read once."""
    keys = paths.map(chunk_key).to_numpy()
    pieces: list[np.ndarray] = []
    for key, rows in pd.Series(np.arange(len(keys))).groupby(keys, sort=False):
        numbers = rows.to_numpy()
        pieces += [numbers] if key else np.split(numbers, range(PIECE, len(numbers), PIECE))
    return pieces


def make_pieces(
    recipe: object,
    root: Path,
    manifest: pd.DataFrame,
    pieces: Sequence[np.ndarray],
    todo: Sequence[int],
    file: Path,
    workers: int,
) -> Iterator[tuple[int, dict]]:
    """Make pieces, write them into the array file, and tell of each as it is finished.

    Yields:
        Number of the piece and ``{"remarks": {place in the piece: remark}, "seconds": {part of the work: seconds}}``.

    Raises:
        DatasetError: the recipe could not read a raw file, or made something else than it said.
    """
    if workers <= 1 or len(todo) <= 1:
        for number in todo:
            yield number, _make(recipe, root, manifest.iloc[pieces[number]], pieces[number], file)
        return
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=get_context("spawn")) as pool:
        jobs, coming = {}, iter(todo)
        try:
            while True:
                while len(jobs) < WAITING * workers and (number := next(coming, None)) is not None:
                    rows = manifest.iloc[pieces[number]]
                    jobs[pool.submit(_make, recipe, root, rows, pieces[number], file)] = number
                if not jobs:
                    return
                for job in wait(jobs, return_when=FIRST_COMPLETED).done:
                    yield jobs.pop(job), job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _make(recipe: object, root: Path, rows: pd.DataFrame, numbers: np.ndarray, file: Path) -> dict:
    started = time.perf_counter()
    before = dict(getattr(recipe, "_seconds", {}))
    array = np.load(file, mmap_mode="r+")
    made, remarks = -1, {}
    for made, result in enumerate(recipe.make(root, rows)):
        image = result
        if isinstance(result, Remarked):
            image, remarks[str(made)] = result.array, result.remark
        if image.shape != recipe.shape:
            raise DatasetError(
                f"{rows['sample_id'].iloc[made]}: {type(recipe).__name__} made an array of shape {image.shape}, "
                f"expected {recipe.shape}"
            )
        array[numbers[made]] = image
    if made + 1 != len(rows):
        raise DatasetError(f"{type(recipe).__name__} made {made + 1} arrays for {len(rows)} rows")
    array.flush()
    spent = {part: value - before.get(part, 0.0) for part, value in getattr(recipe, "_seconds", {}).items()}
    return {"remarks": remarks, "seconds": spent | {"total": time.perf_counter() - started}}
