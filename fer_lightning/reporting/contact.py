"""Contact sheets: some samples of every class as pictures that a person can judge."""

import base64
import html
import io
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import image as mpimg
from matplotlib.colors import hsv_to_rgb

#: Pixels of a thumbnail's longer side, at least.
THUMB = 96


def picture(array: np.ndarray, channels: Sequence[str]) -> np.ndarray:
    """A cache array as something to look at.

    Args:
        array: shape ``(C, H, W)``, or a clip ``(C, T, H, W)`` of which the first, middle and last frame are shown side
            by side; uint8, or float flow in pixels.
        channels: what the channels mean; `u` and `v` are shown as colours (direction as hue, length as brightness).

    Returns:
        RGB, uint8, shape ``(H, W, 3)`` (a clip: ``(H, 3 W, 3)``).
    """
    names = list(channels)
    if array.ndim == 4:
        frames = (0, array.shape[1] // 2, array.shape[1] - 1)
        return np.concatenate([picture(array[:, frame], channels) for frame in frames], axis=1)
    if "u" in names and "v" in names:
        return flow_colours(array[names.index("u")], array[names.index("v")])
    if len(array) == 3:
        return np.ascontiguousarray(array.transpose(1, 2, 0))
    return np.repeat(array[0][..., None], 3, axis=2)


def flow_colours(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Flow as colours: hue is the direction (red: right, then clockwise), brightness the length.

    Stored flow is often stretched to 0..255 per picture, so zero is not at 128. The median of the border is taken as
    zero instead: the edge of a face picture hardly moves.

    Args:
        u: flow to the right, shape ``(H, W)``, any scale.
        v: flow downwards, the same.
    """
    u, v = (np.asarray(part, dtype=float) - np.median(_border(part)) for part in (u, v))
    length = np.hypot(u, v)
    hue = np.mod(np.arctan2(v, u) / (2 * np.pi), 1.0)
    value = length / max(length.max(), 1e-9)
    return (hsv_to_rgb(np.stack([hue, np.ones_like(hue), value], axis=-1)) * 255).round().astype(np.uint8)


def _border(part: np.ndarray) -> np.ndarray:
    return np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])


def enlarge(rgb: np.ndarray) -> np.ndarray:
    """Whole-number enlargement without smoothing, so that single pixels stay visible."""
    factor = max(1, round(THUMB / max(rgb.shape[:2])))
    return rgb.repeat(factor, axis=0).repeat(factor, axis=1)


def sheet(rows: Sequence[Sequence[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Thumbnails of one size, one row a class, on white."""
    height, width, _ = rows[0][0].shape
    columns = max(map(len, rows))
    page = np.full((len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, thumb in enumerate(row):
            top, left = gap + y * (height + gap), gap + x * (width + gap)
            page[top : top + height, left : left + width] = thumb
    return page


def png(rgb: np.ndarray) -> bytes:
    """A picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    mpimg.imsave(stream, rgb, format="png")
    return stream.getvalue()


def page(title: str, notes: Sequence[str], classes: dict[str, list[tuple[str, str, np.ndarray]]]) -> str:
    """One self-contained HTML page.

    Args:
        title: heading.
        notes: lines below it.
        classes: class name -> (sample id, caption, thumbnail).
    """
    parts = [
        "<!doctype html><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title>",
        "<style>body{font:14px system-ui,sans-serif;margin:2em;color:#222}"
        "figure{display:inline-block;vertical-align:top;margin:4px;text-align:center}figcaption{font-size:11px;color:#555;max-width:120px;overflow-wrap:anywhere}"
        "img{image-rendering:pixelated}h2{margin:1em 0 .2em}</style>",
        f"<h1>{html.escape(title)}</h1>",
        *(f"<p>{html.escape(note)}</p>" for note in notes),
    ]
    for name, samples in classes.items():
        parts.append(f"<h2>{html.escape(name)}</h2>")
        for sample, caption, thumb in samples:
            source = base64.b64encode(png(thumb)).decode()
            parts.append(
                f"<figure><img src='data:image/png;base64,{source}' alt='{html.escape(sample)}'>"
                f"<figcaption>{html.escape(sample)}<br>{html.escape(caption)}</figcaption></figure>"
            )
    return "\n".join(parts) + "\n"
