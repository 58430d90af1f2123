"""Drawn faces for `write_tiny`: what stands in for licensed images in tests and in debug=tiny.

The pictures are deterministic (a seeded generator and nothing else) and *learnable*: the class shows in the shape of
mouth and brows (still faces) or in the field by which a textured face is moved (clips).
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from fer_lightning.datasets import contract
from fer_lightning.errors import ConfigError, StorageError

#: (mouth curvature, mouth opening, brow height, brow slope), one row per kind of face; -1..1.
EXPRESSIONS = (
    (-0.8, 0.1, -1.0, 1.0),
    (-1.0, 0.5, -0.6, 0.3),
    (-0.3, 0.9, 0.7, -1.0),
    (1.0, 0.4, 0.2, 0.0),
    (-1.0, 0.0, 0.4, -1.0),
    (0.0, 1.0, 1.0, 0.0),
    (0.0, 0.0, 0.0, 0.0),
)

#: Where a micro-movement happens and where it goes: centre (row, column), radius, all relative to the face's height
#: or width, then displacement (u, v) at the apex in units of the longest displacement.
MOVEMENTS = {
    "mouth_up": (((0.75, 0.32), 0.16, (-0.6, -0.8)), ((0.75, 0.68), 0.16, (0.6, -0.8))),
    "brows_down": (((0.30, 0.35), 0.16, (0.5, 0.9)), ((0.30, 0.65), 0.16, (-0.5, 0.9))),
    "brows_up": (((0.28, 0.30), 0.18, (0.0, -1.0)), ((0.28, 0.70), 0.18, (0.0, -1.0))),
    "mouth_down": (((0.78, 0.35), 0.16, (0.3, 0.9)), ((0.78, 0.65), 0.16, (-0.3, 0.9))),
    "nose_left": (((0.55, 0.50), 0.18, (-1.0, 0.1)),),
    "chin_up": (((0.90, 0.50), 0.18, (0.0, -1.0)),),
}
#: Displacement in a clip as a share of that at the apex, frame by frame: onset 0, apex 1.
COURSE = (0.0, 0.3, 0.7, 1.0, 0.7, 0.5, 0.3)


@contextmanager
def raw_folder(root: Path | str) -> Iterator[Path]:
    """Give `write_tiny` an empty folder that becomes `root`, marked, when it is complete.

    An older synthetic folder is replaced. Anything else is never touched: a real raw folder given by mistake
    (``debug=tiny data.root=...``) is refused.

    Raises:
        ConfigError: `root` holds files that this project did not write.
    """
    root = Path(root)
    if contract.is_synthetic(root):
        shutil.rmtree(root)
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigError(
            f"synthetic data would be written into {root}, which holds other files; give data.root an empty or new "
            "folder, or leave debug=tiny out"
        )
    part = root.with_name(f".{root.name}.{uuid.uuid4().hex[:8]}")
    part.mkdir(parents=True)
    try:
        yield part
        contract.mark_synthetic(part)
        try:
            part.rename(root)
        except OSError:
            if not contract.is_synthetic(root):  # synthetic: another process was quicker, with the same content
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def face(rng: np.random.Generator, height: int, width: int, expression: int) -> np.ndarray:
    """A grey face, uint8, shape ``(height, width)``; `expression` is a row of `EXPRESSIONS`."""
    curve, opening, brow, slope = EXPRESSIONS[expression]
    shift = rng.uniform(-0.02, 0.02, size=2)
    tone = int(rng.integers(150, 200))
    scale = 4  # drawn larger, then reduced: OpenCV draws whole pixels
    canvas = np.full((height * scale, width * scale), int(rng.integers(20, 70)), dtype=np.uint8)

    def at(row: float, column: float) -> tuple[int, int]:
        return int((column + shift[1]) * width * scale), int((row + shift[0]) * height * scale)

    line = max(1, height * scale // 28)
    cv2.ellipse(canvas, at(0.5, 0.5), (int(0.40 * width * scale), int(0.47 * height * scale)), 0, 0, 360, tone, -1)
    for side in (-1, 1):
        cv2.circle(canvas, at(0.42, 0.5 + 0.17 * side), max(1, height * scale // 20), 30, -1)
        inner, outer = (
            at(0.30 - 0.05 * brow + 0.05 * slope, 0.5 + 0.08 * side),
            at(0.30 - 0.05 * brow, 0.5 + 0.27 * side),
        )
        cv2.line(canvas, inner, outer, 40, line)
    steps = np.linspace(-1, 1, 15)
    upper = [at(0.74 - 0.08 * curve * s * s, 0.5 + 0.18 * s) for s in steps]
    lower = [at(0.74 - 0.08 * curve * s * s + 0.14 * opening * (1 - s * s), 0.5 + 0.18 * s) for s in steps]
    cv2.polylines(canvas, [np.array(upper + lower[::-1], dtype=np.int32)], True, 30, line)
    cv2.line(canvas, at(0.45, 0.5), at(0.58, 0.5), tone - 40, line)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
    return np.clip(small + rng.normal(0, 6, small.shape), 0, 255).round().astype(np.uint8)


def textured_face(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A neutral face with skin-like texture that optical flow can follow, uint8, ``(height, width)``."""
    texture = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 1.5)
    drawn = face(rng, height, width, expression=6) + 22 * texture / texture.std()
    return np.clip(drawn, 0, 255).round().astype(np.uint8)


def movement(
    rng: np.random.Generator, height: int, width: int, kind: str, pixels: float
) -> tuple[np.ndarray, np.ndarray]:
    """The displacement (u to the right, v down) at the apex of one movement of `MOVEMENTS`.

    Returns:
        Two float64 arrays of shape ``(height, width)`` in pixels; the longest displacement is about `pixels`.
    """
    rows, columns = np.mgrid[0:height, 0:width]
    u, v = np.zeros((height, width)), np.zeros((height, width))
    strength = pixels * rng.uniform(0.8, 1.2)
    for (row, column), radius, (right, down) in MOVEMENTS[kind]:
        row, column = row + rng.uniform(-0.02, 0.02), column + rng.uniform(-0.02, 0.02)
        distance = ((rows / height - row) ** 2 + (columns / width - column) ** 2) / (2 * (radius / 2) ** 2)
        u += strength * right * np.exp(-distance)
        v += strength * down * np.exp(-distance)
    return u, v


def warp(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Move an image by a smooth field: what was at x is then near ``x + (u, v)``; same shape and type."""
    rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
    before_u, before_v = u, v
    for _ in range(5):  # fixed point of x + flow(x) = y, since remap wants for each target where it came from
        source = (columns - before_u).astype(np.float32), (rows - before_v).astype(np.float32)
        before_u = cv2.remap(u, *source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        before_v = cv2.remap(v, *source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    source = (columns - before_u).astype(np.float32), (rows - before_v).astype(np.float32)
    return cv2.remap(image, *source, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def clip(rng: np.random.Generator, neutral: np.ndarray, kind: str, pixels: float) -> list[np.ndarray]:
    """The frames of one micro-expression on a neutral grey face, in step with `COURSE`: uint8, ``(H, W, 3)``, RGB."""
    u, v = movement(rng, *neutral.shape, kind, pixels)
    frames = []
    for share in COURSE:
        gray = warp(neutral, share * u, share * v) + rng.normal(0, 1, neutral.shape)  # the camera's noise
        frames.append(np.clip(gray[..., None] * (1.0, 0.9, 0.75), 0, 255).astype(np.uint8))
    return frames


def write_image(file: Path, image: np.ndarray) -> None:
    """Write grey ``(H, W)`` or RGB ``(H, W, 3)``, uint8; the suffix names the format, folders are made."""
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if file.suffix == ".jpg" else []
    ok, data = cv2.imencode(file.suffix, pixels, quality)
    if not ok:
        raise StorageError(f"{file}: OpenCV could not encode this picture as {file.suffix}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.tobytes())
