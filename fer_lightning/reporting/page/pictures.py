"""Pictures of a run as part of a page."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fer_lightning.errors import PoolError

#: Of a run folder, what a page shows; its other figures are drawn by the page itself.
SHOWN = ("grad_cam", "feature_maps")
#: Bytes of a picture, and of all pictures of a page.
LIMIT, ALL = 1_000_000, 20_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def embed(file: Path, room: int = LIMIT) -> dict[str, Any] | None:
    """A PNG as ``data:`` URI.

    Args:
        file: the picture.
        room: bytes that are left for it.

    Returns:
        name, size (bytes) and source; source is "" where the picture is larger than `LIMIT` or `room`. None where there
        is no such file.

    Raises:
        PoolError: the file is no PNG.
    """
    if not file.is_file():
        return None
    content = file.read_bytes()
    if not content.startswith(SIGNATURE):
        raise PoolError(f"{file.parent.name}/{file.name} is no PNG; make the picture again")
    fits = len(content) <= min(LIMIT, room)
    source = f"data:image/png;base64,{b64encode(content).decode()}" if fits else ""
    return {"name": file.stem, "size": len(content), "source": source}


def read_pictures(folder: Path, room: int) -> list[dict[str, Any]]:
    """Those of `SHOWN` that a run folder has; no more than `room` bytes of them."""
    found: list[dict[str, Any]] = []
    for name in SHOWN:
        picture = embed(folder / "figures" / f"{name}.png", room - used(found))
        found += [picture] if picture else []
    return found


def used(pictures: Iterable[Mapping[str, Any]]) -> int:
    """Bytes of those that are in the page."""
    return sum(picture["size"] for picture in pictures if picture["source"])
