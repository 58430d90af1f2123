"""Writing results so that a reader never sees half a file."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from fer_lightning.errors import StorageError


def write_atomically(file: Path, content: str | bytes | Callable[[BinaryIO], None]) -> None:
    """Write under a temporary name, flush to the disk, rename.

    Args:
        file: target; its folder is made where it is missing.
        content: text, bytes, or a function that writes to an open binary file.

    Raises:
        StorageError: the disk is full or the folder cannot be written. The old file, if any, is intact.
    """
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as stream:
                if callable(content):
                    content(stream)
                else:
                    stream.write(content.encode() if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{file} could not be written ({error.strerror or error}). Results written before are intact; "
            "make room or choose another folder with paths.runs, then run the same command again: "
            "finished folds are skipped."
        ) from error
