"""Frame numbers: the number in a file name is the number in the coding sheet, and files are not zero-padded."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fer_lightning.errors import DatasetError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key that compares runs of digits as numbers.

    Example:
        >>> sorted(["img10.jpg", "img9.jpg"], key=natural_key)
        ['img9.jpg', 'img10.jpg']
    """
    pieces = [(piece, piece.lstrip("0")) for piece in re.findall(r"[0-9]+|[^0-9]+", text)]
    return [(0, len(number), number) if "0" <= piece[0] <= "9" else (1, 0, piece) for piece, number in pieces]


def is_image(name: str) -> bool:
    """Whether a file name ends like an image; hidden files (``._img1.jpg`` of macOS) do not count."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def frame_number(name: str) -> int | None:
    """The last run of digits before the suffix, or None when the stem does not end in digits.

    Example:
        >>> [frame_number(name) for name in ("reg_img46.jpg", "img_46.jpg", "006_05562.jpg", "Thumbs.db")]
        [46, 46, 5562, None]
    """
    match = re.search(r"([0-9]+)\.[^.]+$", name)
    return int(match.group(1)) if match else None


def index_frames(names: Iterable[str]) -> dict[int, str]:
    """Frame number -> file name, in order of the numbers. Files that are no images or have no number are ignored.

    Raises:
        ValueError: two images have the same number, e.g. ``img046.jpg`` and ``img46.jpg``.
    """
    frames: dict[int, str] = {}
    for name in sorted(filter(is_image, names), key=natural_key):
        number = frame_number(name)
        if number is None:
            continue
        if number in frames:
            raise ValueError(f"{frames[number]!r} and {name!r} are both frame {number}")
        frames[number] = name
    return dict(sorted(frames.items()))


def clip_frames(root: Path, path: str, sample: str) -> dict[int, str]:
    """The frames of a clip's folder as `index_frames` gives them; lists the folder, opens no image.

    Args:
        root: raw folder.
        path: the clip's folder below it.
        sample: sample id, for messages.

    Raises:
        DatasetError: there is no such folder, or two of its files have one number.
    """
    if not (root / path).is_dir():
        raise DatasetError(f"{sample}: no folder {path} in {root}; complete the frames")
    try:
        return index_frames(item.name for item in (root / path).iterdir())
    except ValueError as error:
        raise DatasetError(f"{sample}: {path}: {error}; remove one of the two") from error


def frames_between(frames: Mapping[int, str], onset: int, offset: int) -> dict[int, str]:
    """The frames that are there from onset to offset, both included, in order."""
    return {number: name for number, name in frames.items() if onset <= number <= offset}


def nearest_frames(numbers: Iterable[int], wanted: int, n: int = 3) -> list[int]:
    """The `n` existing numbers nearest to the wanted one, ascending."""
    return sorted(sorted(numbers, key=lambda number: (abs(number - wanted), number))[:n])


def middle_frame(onset: int, offset: int) -> int:
    """The usual stand-in for an apex that nobody annotated: ``onset + (offset - onset) // 2``.

    Raises:
        ValueError: the offset lies before the onset.
    """
    if offset < onset:
        raise ValueError(f"offset {offset} lies before onset {onset}")
    return onset + (offset - onset) // 2
