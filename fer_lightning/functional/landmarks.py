"""Faces as geometry: five landmarks, the similarity transform that aligns them, square boxes.

Points are (x to the right, y down) in pixels; (0, 0) is the centre of the top left pixel. The five landmarks are both
eyes, the tip of the nose and both corners of the mouth; of each pair first the one that is further left when the face
is seen upright (the right eye of the person, unless the picture is mirrored).
"""

import math

import numpy as np

#: Where InsightFace puts the five landmarks in a face of 112x112 pixels.
#: Source: github.com/deepinsight/insightface, python-package/insightface/utils/face_align.py, `arcface_src`.
ARCFACE_SIZE = 112
ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


def places(size: int, margin: float = 0.0) -> np.ndarray:
    """Where the five landmarks lie in an aligned face, shape ``(5, 2)``.

    Args:
        size: height and width of the aligned face in pixels. 112 without margin gives `ARCFACE` itself.
        margin: added on each side, as a share of the face without it; more than -0.5.

    Example:
        >>> places(112)[0].round(4).tolist()
        [38.2946, 51.6963]
    """
    shares = (ARCFACE + 0.5) / ARCFACE_SIZE  # of the edges of the picture, so that any size shows the same
    return ((shares - 0.5) / (1 + 2 * margin) + 0.5) * size - 0.5


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scaling and shift that bring points nearest to others, in the sense of least squares.

    Points as complex numbers, the transform is z -> a z + b with a = sum(conj(z - mean z) w) / sum |z - mean z|^2 and
    b = mean w - a mean z. In two dimensions this is what Umeyama 1991, doi:10.1109/34.88573, finds without reflection.
    Two points are met exactly.

    Args:
        source: shape ``(N, 2)``, N at least 2.
        target: the same shape.

    Returns:
        Float64 matrix ``(2, 3)`` as OpenCV's ``warpAffine`` takes it: ``target = matrix @ (x, y, 1)``.

    Raises:
        ValueError: all points of `source` are the same.

    Example:
        >>> similarity(np.array([[0, 0], [1, 0]]), np.array([[5, 5], [5, 7]])).round(9).tolist()
        [[0.0, -2.0, 5.0], [2.0, 0.0, 5.0]]
    """
    z, w = (np.asarray(points, dtype=np.float64) @ (1, 1j) for points in (source, target))
    centred = z - z.mean()
    spread = (np.abs(centred) ** 2).sum()
    if spread == 0:
        raise ValueError(f"{len(z)} landmarks at one place, {np.asarray(source)[0].tolist()}, have no direction")
    a = (centred.conj() * w).sum() / spread
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def in_order(points: np.ndarray) -> bool:
    """Whether the mouth is below the eyes, seen along the line from the first eye to the second.

    That holds at any rotation of the picture, and no longer when the eyes were exchanged or the picture was mirrored.

    Args:
        points: five landmarks, shape ``(5, 2)``.

    Example:
        >>> in_order(ARCFACE), in_order(ARCFACE[[1, 0, 2, 4, 3]])
        (True, False)
    """
    eyes = points[1] - points[0]
    down = points[3:].mean(axis=0) - points[:2].mean(axis=0)
    return bool(eyes[0] * down[1] - eyes[1] * down[0] > 0)


def square(box: np.ndarray, margin: float = 0.0) -> tuple[int, int, int]:
    """The square round a box, in whole pixels: same centre, the longer side, margin on each side.

    Args:
        box: left, top, right, bottom; right and bottom are the first column and row that no longer belong to it.
        margin: as a share of the longer side; more than -0.5.

    Returns:
        Left, top and side; left and top may be negative, the side is at least 1.

    Example:
        >>> square(np.array([10, 20, 30, 60])), square(np.array([10, 20, 30, 60]), margin=0.25)
        ((0, 20, 40), (-10, 10, 60))
    """
    left, top, right, bottom = (float(edge) for edge in box)
    side = max(1, math.floor(max(right - left, bottom - top) * (1 + 2 * margin) + 0.5))
    return math.floor((left + right - side) / 2 + 0.5), math.floor((top + bottom - side) / 2 + 0.5), side


def share_inside(box: np.ndarray, height: int, width: int) -> float:
    """Share of a box's area that lies in a picture, 0 to 1; the box is not empty.

    Example:
        >>> share_inside(np.array([-10, 0, 10, 10]), height=10, width=100)
        0.5
    """
    left, top, right, bottom = (float(edge) for edge in box)
    inside = max(0.0, min(right, width) - max(left, 0.0)) * max(0.0, min(bottom, height) - max(top, 0.0))
    return inside / ((right - left) * (bottom - top))
