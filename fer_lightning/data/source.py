"""What a cache entry is made of: recipe, manifest rows and raw files, hashed into its name."""

import hashlib
import json
import os
from pathlib import Path
from stat import S_ISDIR

import numpy as np
import pandas as pd

#: Columns of the manifest that decide what a recipe makes of a row.
RECIPE_COLUMNS = ["sample_id", "path", "onset", "apex", "offset"]
#: Rows hashed at a time: pandas makes Python objects of their text.
SLICE = 100_000


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
