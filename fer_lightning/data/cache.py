"""The cache: one memory-mapped array per (recipe, manifest), made once, read by every fold.

Layout of one entry, ``<cache folder>/<data>-<key>/``::

    array.npy      (N, C, H, W), row i belongs to line i of index.csv
    index.csv      sample_id
    recipe.json    what made it

The key hashes the recipe's class, VERSION and arguments, the manifest's rows and the size and time of the raw
files, so a changed recipe or a changed raw file makes a new entry instead of reading a stale one. An entry is
built under a temporary name and renamed when it is complete: a reader never sees half a cache.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lightning.errors import DatasetError, StorageError

#: Columns of the manifest that decide what a recipe makes of a row.
RECIPE_COLUMNS = ["sample_id", "path", "onset", "apex", "offset"]
#: Rows made by one process at a time when the recipe has no containers to keep together.
PIECE = 64


@dataclass(frozen=True)
class Cache:
    """An opened cache entry.

    Attributes:
        folder: where it lies.
        array: memory-mapped, shape ``(N, C, H, W)``.
        rows: sample id -> row of ``array``.
    """

    folder: Path
    array: np.ndarray
    rows: dict[str, int]


def prepare(
    manifest: pd.DataFrame,
    recipe: object,
    root: Path,
    cache_dir: Path,
    name: str,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Cache:
    """Open the cache entry of these rows and this recipe; make it first if it is not there.

    Args:
        manifest: one row per sample.
        recipe: has ``VERSION``, ``shape``, ``dtype``, ``make(root, rows)`` and ``chunk_key(path)``.
        root: raw folder that ``path`` is relative to.
        cache_dir: folder that holds all cache entries.
        name: data set name, the readable half of the folder's name.
        workers: processes that make arrays side by side.
        progress: called with (rows done, rows in all).

    Raises:
        DatasetError: the recipe could not read a raw file.
        StorageError: the entry could not be written.
    """
    folder = Path(cache_dir) / f"{name}-{_key(manifest, recipe, root)}"
    if not folder.is_dir():
        _build(manifest, recipe, Path(root), folder, workers, progress)
    ids = pd.read_csv(folder / "index.csv", dtype=str, keep_default_na=False)["sample_id"]
    array = np.load(folder / "array.npy", mmap_mode="r")
    return Cache(folder, array, {sample: row for row, sample in enumerate(ids)})


def _key(manifest: pd.DataFrame, recipe: object, root: Path) -> str:
    digest = hashlib.sha256(json.dumps(_describe(recipe), sort_keys=True).encode())
    digest.update(str(Path(root).resolve()).encode())
    digest.update(manifest[RECIPE_COLUMNS].to_csv(index=False).encode())
    for path in sorted({p.partition("#")[0] for p in manifest["path"]}):
        file = Path(root) / path
        if file.exists():
            state = file.stat()
            digest.update(f"{path} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _describe(recipe: object) -> dict:
    kind = type(recipe)
    return {"recipe": f"{kind.__module__}.{kind.__qualname__}", "version": kind.VERSION} | {
        name: value if isinstance(value, int | float | str | bool | None) else repr(value)
        for name, value in sorted(vars(recipe).items())
    }


def _pieces(manifest: pd.DataFrame, recipe: object) -> list[list[int]]:
    """Row numbers cut into pieces; rows of one container stay together, so it is read once."""
    keys = manifest["path"].map(recipe.chunk_key)
    pieces: list[list[int]] = []
    for key in keys.unique():
        rows = np.flatnonzero(keys == key).tolist()
        size = len(rows) if key else PIECE
        pieces += [rows[start : start + size] for start in range(0, len(rows), size)]
    return pieces


def _make_piece(recipe: object, root: Path, rows: pd.DataFrame, numbers: list[int], file: Path) -> int:
    array = np.load(file, mmap_mode="r+")
    made = -1
    for made, image in enumerate(recipe.make(root, rows)):
        if image.shape != recipe.shape:
            raise DatasetError(
                f"{rows['sample_id'].iloc[made]}: {type(recipe).__name__} made an array of shape {image.shape}, "
                f"expected {recipe.shape}"
            )
        array[numbers[made]] = image
    if made + 1 != len(rows):
        raise DatasetError(f"{type(recipe).__name__} made {made + 1} arrays for {len(rows)} rows")
    array.flush()
    return len(rows)


def _build(manifest, recipe, root, folder, workers, progress) -> None:
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        part.mkdir(parents=True)
        shape = (len(manifest), *recipe.shape)
        np.lib.format.open_memmap(part / "array.npy", mode="w+", dtype=recipe.dtype, shape=shape).flush()
        _make_all(manifest, recipe, root, part / "array.npy", workers, progress)
        manifest[["sample_id"]].to_csv(part / "index.csv", index=False)
        (part / "recipe.json").write_text(json.dumps(_describe(recipe), indent=2) + "\n")
        try:
            os.rename(part, folder)
        except OSError:
            if not folder.is_dir():  # not there: a real failure; there: another process was quicker
                raise
    except OSError as error:
        if isinstance(error, DatasetError | FileNotFoundError):
            raise
        raise StorageError(f"the cache could not be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _make_all(manifest, recipe, root, file, workers, progress) -> None:
    pieces = _pieces(manifest, recipe)
    total, done = len(manifest), 0
    if workers <= 1 or len(pieces) == 1:
        for numbers in pieces:
            done += _make_piece(recipe, root, manifest.iloc[numbers], numbers, file)
            progress(done, total)
        return
    with ProcessPoolExecutor(min(workers, len(pieces)), mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_make_piece, recipe, root, manifest.iloc[n], n, file) for n in pieces]
        try:
            for job in as_completed(jobs):
                done += job.result()
                progress(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
