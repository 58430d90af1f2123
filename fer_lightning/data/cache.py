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
"""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from fer_lightning.data.pieces import cut, make_pieces
from fer_lightning.errors import DatasetError, StorageError

#: Columns of the manifest that decide what a recipe makes of a row.
RECIPE_COLUMNS = ["sample_id", "path", "onset", "apex", "offset"]
#: Rows hashed at a time: pandas makes Python objects of their text.
SLICE = 100_000
Progress = Callable[[int, int], None]


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
    source = Source(manifest, recipe, Path(root))
    folder = Path(cache_dir) / f"{name}-{source.key}"
    if not folder.is_dir():
        _build(source, folder, Path(cache_dir) / f".{name}-{source.plan}.part", workers, progress)
    index = pd.read_csv(folder / "index.csv", dtype=str, keep_default_na=False)
    remarks = index[index["remark"] != ""].set_index("sample_id")["remark"]
    seconds = json.loads((folder / "recipe.json").read_text())["seconds"]
    array = np.load(folder / "array.npy", mmap_mode="r")
    return Cache(folder, array, pd.Index(index["sample_id"]), remarks, seconds)


class Source:
    """What an entry is made of, and its names.

    Attributes:
        plan: hash of recipe, rows and raw folder: names the work.
        states: size and time of each row's raw file (or container), of a clip's folder a hash of those of its files;
            int64, ``(N, 2)``.
        key: hash of plan and states: names the result.
    """

    def __init__(self, manifest: pd.DataFrame, recipe: object, root: Path) -> None:
        self.manifest, self.recipe, self.root = manifest, recipe, root
        digest = hashlib.sha256(json.dumps(describe(recipe), sort_keys=True).encode())
        digest.update(str(root.resolve()).encode())
        rows = manifest[RECIPE_COLUMNS]
        for start in range(0, len(rows), SLICE):
            part = rows.iloc[start : start + SLICE]
            digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
        self.plan = digest.hexdigest()[:16]
        code, files = pd.factorize(manifest["path"].str.replace("#.*", "", regex=True))
        pair = np.dtype((np.int64, 2))
        self.states = np.fromiter((_state(f"{root}/{file}") for file in files), pair, len(files))[code]
        digest.update(self.states.tobytes())
        for file in getattr(recipe, "raw_files", []):
            digest.update(f"{file} {_state(root / file)}".encode())
        self.key = digest.hexdigest()[:16]

    def state(self, rows: np.ndarray) -> str:
        """Hash of the raw files of some rows."""
        digest = hashlib.sha256(self.states[rows].tobytes())
        digest.update(repr([_state(self.root / file) for file in getattr(self.recipe, "raw_files", [])]).encode())
        return digest.hexdigest()[:16]


def _state(file: Path | str) -> tuple[int, int]:
    """Size and time of a file, two numbers of a folder's content; of what the recipe will not find, something else."""
    try:
        state = os.stat(file)
        return _content(file) if S_ISDIR(state.st_mode) else (state.st_size, state.st_mtime_ns)
    except (FileNotFoundError, PermissionError):
        return -1, -1


def _content(folder: Path | str) -> tuple[int, int]:
    """Hash of name, size and time of all that lies in a folder, not of what lies deeper: recipes read its files."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                state = entry.stat()
                found.append((entry.name, state.st_size, state.st_mtime_ns))
            except FileNotFoundError:  # a link to nothing
                found.append((entry.name, -1, -1))
    digest = hashlib.sha256(repr(sorted(found)).encode()).digest()
    return tuple(int.from_bytes(half, "little", signed=True) for half in (digest[:8], digest[8:16]))


def describe(recipe: object) -> dict:
    kind = type(recipe)
    return {"recipe": f"{kind.__module__}.{kind.__qualname__}", "version": kind.VERSION} | {
        name: value if isinstance(value, int | float | str | bool | None) else repr(value)
        for name, value in sorted(vars(recipe).items())
        if not name.startswith("_")
    }


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
            if not folder.is_dir():
                _fill(source, part, workers, progress)
                os.rename(part, folder)
        finally:
            lock.release()
    except OSError as error:
        if isinstance(error, DatasetError | FileNotFoundError):
            raise
        raise StorageError(f"the cache could not be written to {folder}: {error}") from error


def _fill(source: Source, part: Path, workers: int, progress: Progress) -> None:
    """Make all pieces that the journal does not hold as their raw files are now, then index and description."""
    manifest, array, journal = source.manifest, part / "array.npy", part / "journal.jsonl"
    if not journal.is_file():
        part.mkdir(exist_ok=True)
        _reserve(array, np.dtype(source.recipe.dtype), (len(manifest), *source.recipe.shape))
        journal.touch()
    pieces = cut(manifest["path"], source.recipe.chunk_key)
    noted = _read_journal(journal)
    finished = {number: made for number, made in noted.items() if made["state"] == source.state(pieces[number])}
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


def _read_journal(file: Path) -> dict[int, dict]:
    """Piece -> what was noted of it; a line that a killed process left torn is passed over, its piece made again."""
    noted = {}
    for line in file.read_text().splitlines(keepends=True):
        if line.endswith("}\n"):
            made = json.loads(line)
            noted[made.pop("piece")] = made
    return noted
