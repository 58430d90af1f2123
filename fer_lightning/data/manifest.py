"""A manifest as a file that is memory-mapped, and a built manifest that is kept while its raw folder stays as it is.

The file is Arrow's (feather 2), uncompressed, one piece per column: text is used where it lies in the file instead of
being read into memory, so 4 million rows open at once and all processes share one copy. Metadata of the schema hold
the manifest's ``attrs`` and what it was built from.
"""

import inspect
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pyarrow as pa
from filelock import FileLock, Timeout

from fer_lightning import datasets, functional
from fer_lightning.errors import DatasetError, StorageError
from fer_lightning.functional.frames import is_image

#: Seconds. What changed so short a time ago can change again and keep its time: some file systems count in 1 or 2 s.
FRESH = 3
#: Folder below the raw folder -> its mtime and ctime, the newest time (ns) and a hash of the files that are compared.
State = dict[str, tuple[int, int, int, str]]


def save(manifest: pd.DataFrame, file: Path, origin: dict | None = None) -> None:
    """Write a manifest under a temporary name, flush it to the disk, rename it: a reader never sees half of it.

    Args:
        manifest: columns of text or numbers and ``attrs`` that JSON can hold; the index is not kept.
        file: target; its folder is made where it is missing.
        origin: what it was built from, see `cached_manifest`.

    Raises:
        DatasetError: a column of something else.
        StorageError: the disk is full or the folder cannot be written. The old file, if any, is intact.
    """
    rows = pd.DataFrame(manifest)  # has no attrs: with every column taken, pandas would copy all sample ids in them
    for name in [name for name in rows.columns if pd.api.types.is_object_dtype(rows[name])]:
        found = pd.api.types.infer_dtype(rows[name], skipna=True)
        if found not in ("string", "empty"):
            raise DatasetError(f"{file}: column {name!r} holds {found} values; a manifest holds text or numbers")
        rows[name] = rows[name].astype("str")
    table = pa.Table.from_pandas(rows, preserve_index=False).combine_chunks()
    ours = {b"attrs": json.dumps(manifest.attrs), b"origin": json.dumps(origin)}
    table = table.replace_schema_metadata(table.schema.metadata | ours)
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as stream:
                with pa.ipc.new_file(stream, table.schema) as writer:
                    writer.write_table(table)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"the manifest could not be written to {file}: {error.strerror or error}") from error


@contextmanager
def lent(manifest: pd.DataFrame, folder: Path) -> Iterator[Path]:
    """A file of the manifest that other processes map, for as long as this process is within.

    One that is killed leaves its file; the next one that lends something in this folder removes it, because nobody
    holds its lock any more. (A process id would not tell: on another machine, or in another container, it is taken.)

    Args:
        manifest: see `save`.
        folder: an existing one, where the file, hidden, and its lock lie.
    """
    for lock in folder.glob(".manifest-*.lock"):
        with suppress(Timeout), FileLock(lock, timeout=0):
            for left in folder.glob(f".*{lock.stem.removeprefix('.')}*"):
                left.unlink(missing_ok=True)
    file = folder / f".manifest-{uuid.uuid4().hex}.arrow"
    with FileLock(file.with_suffix(".lock")) as lock:
        try:
            save(manifest, file)
            yield file
        finally:
            file.unlink(missing_ok=True)
            Path(lock.lock_file).unlink(missing_ok=True)


def load(file: Path) -> pd.DataFrame:
    """What was saved: its columns in their types, text as `str`, and its ``attrs``.

    Raises:
        DatasetError: the file is torn, or another program's.
    """
    return _manifest(_table(file))


def cached_manifest(build: Callable[[Path], pd.DataFrame], root: Path, folder: Path, name: str) -> pd.DataFrame:
    """``build(root)``, or what it gave before, if nothing that it can have read has changed since.

    The kept file is named after the builder, its options and `root`. It remembers a hash of the code of all data sets,
    the times of all folders below `root`, and size and times of all files there that builders open: a frame added,
    removed or renamed changes its folder's time, an edited annotation its own. So a second run asks for the times of
    some thousand folders instead of listing millions of frames.

    Pictures are not compared, nor OpenPose's ``*_keypoints.json`` unless the builder has the option `pose_distance`:
    builders do not open them, and one that was overwritten is noticed by the cache of arrays. A builder that reads
    them all the same, or anything outside `root`, must not be given here. And the file system must keep the times of
    folders at once: FAT does not in its topmost folder, a network drive may show late what another machine changed.
    So this is an option, not the rule.

    Says on stderr that it took the kept manifest, or why not; warnings of the builder are not repeated then.

    Args:
        build: a builder, or a `functools.partial` that holds its options.
        root: raw folder.
        folder: where kept manifests lie.
        name: of the data set: the readable half of the file's name.
    """
    made, root = build if isinstance(build, partial) else partial(build), Path(root)
    outside = [value for value in made.keywords.values() if isinstance(value, str) and _leads_out(value)]
    if outside:
        _say(f"{name}: the manifest is not kept: {outside[0]!r} may lie outside {root}")
        return build(root)
    code, poses = _code(made), bool(made.keywords.get("pose_distance"))
    file = Path(folder) / f"{name}-{_key(made, root)}.arrow"
    if file.is_file():
        try:
            table = _table(file)
            changed = _change(root, code, poses, json.loads(table.schema.metadata[b"origin"]))
            if changed is None:
                _say(f"{name}: manifest of {len(table):,} samples as kept in {file}; the raw folder has not changed")
                return _manifest(table)
            _say(f"{name}: {changed} changed since the manifest was kept; building it again")
        except DatasetError as error:
            _say(f"{name}: building the manifest again: {error}")
    looked = time.time()
    state = look(root, poses)
    manifest = build(root)
    fresh = [place for place, (*times, _) in state.items() if max(times) > (looked - FRESH) * 1e9]
    if fresh:
        place = root / fresh[0]
        _say(f"{name}: the manifest is not kept: {place} changed less than {FRESH} s ago (or in the future)")
        return manifest
    save(manifest, file, {"code": code, "state": state})
    return load(file)


def _leads_out(option: str) -> bool:
    """Whether an option of a builder may be a path that leaves the raw folder."""
    return Path(option).is_absolute() or ".." in Path(option).parts


def look(root: Path, poses: bool = False) -> State:
    """What tells whether a raw folder has changed. Links are followed; a folder that is reached twice counts once.

    Args:
        root: raw folder.
        poses: compare OpenPose's files too.
    """
    state, seen = {}, set()
    for place, folders, files in os.walk(root, followlinks=True):
        found = os.stat(place)
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        times = found.st_mtime_ns, found.st_ctime_ns
        state[os.path.relpath(place, root)] = *times, *_compared(place, files, poses)
    return state


def _compared(place: str, files: Iterable[str], poses: bool) -> tuple[int, str]:
    """Newest time (ns) and hash of the files of one folder that builders open; 0 and "" where there is none."""
    newest, digest = 0, ""
    for name in sorted(files):
        if is_image(name) or (name.endswith("_keypoints.json") and not poses):
            continue
        try:
            found = os.stat(os.path.join(place, name))
            # ctime, which nobody can set: a file exchanged for one of equal size and mtime (cp -p, rsync -t) is noticed
            facts = found.st_size, found.st_mtime_ns, found.st_ctime_ns
        except FileNotFoundError:  # a link to nothing
            facts = 0, 0, 0
        newest = max(newest, *facts[1:])
        digest = sha256(os.fsencode(f"{digest} {name} {facts}")).hexdigest()
    return newest, digest


def _change(root: Path, code: str, poses: bool, origin: dict) -> str | None:
    """What is no longer as it was, in words."""
    if code != origin["code"]:
        return "the code of fer_lightning.datasets"
    for place, (mtime, ctime, newest, digest) in origin["state"].items():
        folder = root / place
        try:
            found = os.stat(folder)
        except FileNotFoundError:
            return str(folder)
        if (found.st_mtime_ns, found.st_ctime_ns) != (mtime, ctime):
            return str(folder)
        if digest:
            with os.scandir(folder) as entries:
                files = [entry.name for entry in entries if not entry.is_dir()]
            if _compared(str(folder), files, poses) != (newest, digest):
                return f"a file in {folder}"
    return None


def _key(made: partial, root: Path) -> str:
    named = (made.func.__module__, made.func.__qualname__, made.args, sorted(made.keywords.items()), root.resolve())
    return sha256(repr(named).encode()).hexdigest()[:16]


def _code(made: partial) -> str:
    """Hash of the builder's file and of all that builders are made of."""
    files = {Path(inspect.getfile(made.func))}
    for room in (datasets, functional):
        files |= set(Path(room.__file__).parent.glob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:16]


def _table(file: Path) -> pa.Table:
    hint = f"{file} ({file.stat().st_size} bytes) is no whole manifest"
    try:
        table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{hint}: {error}; delete it") from error
    if not {b"attrs", b"origin"} <= set(table.schema.metadata or {}):
        raise DatasetError(f"{hint}: written by another program; delete it")
    return table


def _manifest(table: pa.Table) -> pd.DataFrame:
    manifest = table.to_pandas()
    manifest.attrs = json.loads(table.schema.metadata[b"attrs"])
    return manifest


def _say(line: str) -> None:
    print(line, file=sys.stderr)
