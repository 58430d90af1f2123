"""The cache: one memory-mapped array per (recipe, manifest), made once, read by every fold.

Layout of one entry, ``<cache folder>/<data>-<key>/``::

    array.npy      (N, ...), row i belongs to line i of index.csv
    index.csv      sample_id, remark (see `preprocess.remark`)
    recipe.json    what made it, and how many seconds each part of the work took

The key hashes the recipe's class, VERSION and arguments, the manifest's rows and the size and time of the raw
files, so a changed recipe or a changed raw file makes a new entry instead of reading a stale one. Where a `path` is a
folder, name, size and time of all that lies in it count: the time of the folder itself stays when a frame is
overwritten. That asks the disk for every frame, each folder once, whenever an entry is opened: some 4 s for a million
frames on a local disk. While an entry is built it has a hidden name beside the final one, and is renamed when it is
complete: a reader never sees half a cache.
Finished pieces are noted in a journal there, with the state of their raw files: a build that was killed, or that met a
broken file which has been mended since, goes on and makes only what is missing.
An entry whose files do not fit each other or cannot be parsed (a disk that was full, a copy that broke off) is made
again; it says so on stderr.
"""

import json
import os
import shutil
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from fer_lightning.data.pieces import cut, make_pieces
from fer_lightning.data.source import Source, describe
from fer_lightning.errors import DatasetError, StorageError

Progress = Callable[[int, int], None]


class _DamagedError(Exception):
    """A file of an entry is not what was written; the message names it and says what is wrong."""


@dataclass(frozen=True)
class Cache:
    """An opened cache entry.

    Attributes:
        folder: where it lies.
        array: memory-mapped, shape ``(N, ...)``.
        sample_ids: of the rows of ``array``.
        remarks: sample id -> remark of the recipe, for the samples that have one.
        seconds: part of the work -> seconds, summed over processes; ``total`` is all of it.
    """

    folder: Path
    array: np.ndarray
    sample_ids: pd.Index
    remarks: pd.Series
    seconds: dict[str, float]

    def numbers(self, sample_ids: pd.Series | list[str]) -> np.ndarray:
        """Rows of ``array`` of these samples.

        Raises:
            DatasetError: a sample is not in this cache.
        """
        found = self.sample_ids.get_indexer(pd.Index(sample_ids))
        if (found < 0).any():
            lost = list(sample_ids)[int(np.argmax(found < 0))]
            raise DatasetError(f"{self.folder}: the cache holds no sample {lost!r}; delete it and prepare it again")
        return found

    def counts(self) -> dict[str, int]:
        """Remark -> number of samples."""
        return dict(Counter(self.remarks))


def prepare(
    manifest: pd.DataFrame,
    recipe: object,
    root: Path,
    cache_dir: Path,
    name: str,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> Cache:
    """Open the cache entry of these rows and this recipe; make it first if it is not there, or is damaged.

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
        StorageError: the entry could not be written or read.
    """
    source = Source(manifest, recipe, Path(root))
    folder = Path(cache_dir) / f"{name}-{source.key}"
    if folder.is_dir():
        try:
            return _open(source, folder)
        except _DamagedError as error:
            print(f"the cache is damaged: {error}; it is prepared again", file=sys.stderr)
    _build(source, folder, Path(cache_dir) / f".{name}-{source.plan}.part", workers, progress)
    try:
        return _open(source, folder)
    except _DamagedError as error:
        raise StorageError(
            f"{error}, although it has just been written: is the disk sound? Choose another folder with paths.cache"
        ) from error


def _open(source: Source, folder: Path) -> Cache:
    """An entry as it lies there.

    Raises:
        _DamagedError: one of its files is not what was written.
        StorageError: one of them may not be read; that says nothing of what is in it.
    """
    with _reading(folder / "index.csv", folder) as file:
        index = pd.read_csv(file, dtype=str, keep_default_na=False)
        if not np.array_equal(index["sample_id"].to_numpy(), source.manifest["sample_id"].to_numpy()):
            raise ValueError(f"expected the {len(source.manifest)} samples of the manifest, found {len(index)} rows")
        remarks = index[index["remark"] != ""].set_index("sample_id")["remark"]
    with _reading(folder / "recipe.json", folder) as file:
        seconds = dict(json.loads(file.read_bytes())["seconds"])
    with _reading(folder / "array.npy", folder) as file:
        array = _array(source, file)
    return Cache(folder, array, pd.Index(index["sample_id"]), remarks, seconds)


@contextmanager
def _reading(file: Path, entry: Path) -> Iterator[Path]:
    """Name the file in what goes wrong within; `entry` is what can be removed where it may not be read."""
    try:
        yield file
    except FileNotFoundError as error:
        raise _DamagedError(f"{file} is not there") from error
    except OSError as error:
        raise StorageError(
            f"{file} cannot be read ({error.strerror or error}). Make it readable, or remove {entry}: it is then "
            "prepared again"
        ) from error
    except Exception as error:  # parsers of text, JSON and headers raise a dozen types over bytes that are not theirs
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _DamagedError(f"{file} cannot be read ({reason})") from error


def _array(source: Source, file: Path) -> np.ndarray:
    """The memory-mapped array file, if it has the shape and type of this entry."""
    array = np.lib.format.open_memmap(file, mode="r")
    shape, dtype = (len(source.manifest), *source.recipe.shape), np.dtype(source.recipe.dtype)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"expected {dtype} {shape}, found {array.dtype} {array.shape}")
    return array


def _build(source: Source, folder: Path, part: Path, workers: int, progress: Progress) -> None:
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(part.with_suffix(".lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            print(f"another process is making {folder.name}; waiting for it", file=sys.stderr)
            lock.acquire()
        try:
            _take_away_if_damaged(source, folder)
            if not folder.is_dir():
                _fill(source, part, workers, progress)
                os.rename(part, folder)
        finally:
            lock.release()
    except OSError as error:
        if isinstance(error, DatasetError | FileNotFoundError | StorageError):
            raise
        raise StorageError(f"the cache could not be written to {folder}: {error}") from error


def _take_away_if_damaged(source: Source, folder: Path) -> None:
    """Remove an entry that cannot be opened. Another process may have made it again: asked while the lock is held."""
    if not folder.is_dir():
        return
    try:
        _open(source, folder)
    except _DamagedError:
        aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        os.rename(folder, aside)  # at once: a reader never sees half a cache
        shutil.rmtree(aside)


def _fill(source: Source, part: Path, workers: int, progress: Progress) -> None:
    """Make all pieces that the journal does not hold as their raw files are now, then index and description."""
    manifest, array, journal = source.manifest, part / "array.npy", part / "journal.jsonl"
    noted = _begin(source, part, array, journal)
    pieces = cut(manifest["path"], source.recipe.chunk_key)
    finished = {
        number: made
        for number, made in noted.items()
        if number in range(len(pieces)) and made["state"] == source.state(pieces[number])
    }
    todo = [number for number in range(len(pieces)) if number not in finished]
    done = sum(len(pieces[number]) for number in finished)
    progress(done, len(manifest))
    with journal.open("a") as lines:
        lines.write("\n")  # ends what a killed process left torn
        for number, made in make_pieces(source.recipe, source.root, manifest, pieces, todo, array, workers):
            finished[number] = made
            lines.write(json.dumps({"piece": number, "state": source.state(pieces[number]), **made}) + "\n")
            lines.flush()
            done += len(pieces[number])
            progress(done, len(manifest))
    remarks, seconds = np.full(len(manifest), "", dtype=object), Counter()
    for number, made in finished.items():
        for place, remark in made["remarks"].items():
            remarks[pieces[number][int(place)]] = remark
        seconds.update(made["seconds"])
    manifest[["sample_id"]].assign(remark=remarks).to_csv(part / "index.csv", index=False)
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    (part / "recipe.json").write_text(json.dumps(describe(source.recipe) | {"seconds": rounded}, indent=2) + "\n")
    journal.unlink()


def _reserve(file: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """An array file of zeros whose space is taken at once: on a full disk a memory map kills the process later."""
    np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape).flush()
    with file.open("r+b") as opened:
        os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def _begin(source: Source, part: Path, array: Path, journal: Path) -> dict[int, dict]:
    """What a build that was stopped has noted; {} where there was none, or where its array is damaged."""
    if journal.is_file():
        try:
            with _reading(array, part):
                _array(source, array)
            return _read_journal(journal)
        except _DamagedError as error:
            print(f"the cache that a stopped process began is damaged: {error}; it is begun anew", file=sys.stderr)
            journal.unlink()
    part.mkdir(exist_ok=True)
    _reserve(array, np.dtype(source.recipe.dtype), (len(source.manifest), *source.recipe.shape))
    journal.touch()
    return {}


def _read_journal(file: Path) -> dict[int, dict]:
    """Piece -> what was noted of it; a line that a killed process left torn is passed over, its piece made again."""
    noted = {}
    for line in file.read_bytes().splitlines(keepends=True):
        if line.endswith(b"}\n"):
            with suppress(ValueError, KeyError, TypeError):  # damaged since: as if it were torn
                made = json.loads(line)
                noted[made["piece"]] = {key: made[key] for key in ("state", "remarks", "seconds")}
    return noted
