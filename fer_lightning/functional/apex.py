"""Apex spotting: which frame of a clip shows the expression at its strongest, where nobody annotated it.

Three methods on frames that run from onset to offset. All return an *index*, 0 being the onset, which is never the
apex; `preprocess.apex` knows which frame number that is.

The authors cut the regions by landmarks. Here a region is a box relative to the frame, so that cropped and registered
faces (as CASME II and SMIC publish them) need none; with landmarks, pass boxes of your own.
"""

from collections.abc import Mapping

import numpy as np
from scipy.signal import find_peaks
from skimage.feature import local_binary_pattern

Box = tuple[float, float, float, float]
#: Name -> (top, bottom, left, right) as a share of height and width; left and right as one sees the picture. The three
#: regions of Liong et al. 2015 on a face that fills the frame.
REGIONS: Mapping[str, Box] = {
    "left eye and brow": (0.15, 0.55, 0.05, 0.50),
    "right eye and brow": (0.15, 0.55, 0.50, 0.95),
    "mouth": (0.60, 0.95, 0.20, 0.80),
}
#: Local binary patterns: 8 neighbours at distance 3, 58 uniform patterns and one bin for all others (Ojala et al. 2002,
#: doi:10.1109/TPAMI.2002.1017623). At distance 1 the camera's noise decides most patterns.
LBP_POINTS, LBP_RADIUS, LBP_BINS = 8, 3, 59
MIN_FRAMES = 3
#: A region has at least so many pixels on each side, and the cell of one histogram at least 4.
MIN_SIDE, MAX_CELLS = 16, 4


def spot_frame_difference(frames: np.ndarray, regions: Mapping[str, Box] = REGIONS) -> int:
    """The frame that differs most from the onset, see `frame_difference`.

    Args:
        frames: grey, onset first, uint8 or float on one scale, shape ``(T, H, W)``, at least 3 frames.
        regions: see `REGIONS`.

    Returns:
        Index of the apex, 1 to ``T - 1``.

    Raises:
        ValueError: the frames are no such array, or a region is no part of them.
    """
    return int(np.argmax(frame_difference(frames, regions)[1:])) + 1


def spot_divide_and_conquer(
    frames: np.ndarray, regions: Mapping[str, Box] = REGIONS, cells: int = 4, window: int = 5
) -> int:
    """Divide and conquer over the mean of the region-wise LBP differences, see `divide_and_conquer`.

    Coarser than `spot_frame_difference`: halving decides by sums, so a curve with many small peaks misleads it.

    Source: Liong et al. 2015, doi:10.1109/ACPR.2015.7486586.

    Args:
        frames: grey, onset first, uint8, shape ``(T, H, W)``, at least 3 frames.
        regions: see `REGIONS`.
        cells: see `lbp_difference`.
        window: frames of the running mean over the curve before its peaks are sought, odd; our addition, since noise
            makes peaks too. 5 suits 100 to 200 frames a second; take 1 (none) for 25.

    Returns:
        Index of the apex, 1 to ``T - 1``.

    Raises:
        ValueError: the frames are no such array, a region is no part of them, or the window is even or longer than
            the clip.
    """
    curve = lbp_difference(frames, regions, cells).mean(axis=0)
    if window < 1 or window % 2 == 0 or window > len(curve):
        raise ValueError(f"window={window} must be odd and at most the {len(curve)} frames of the clip")
    padded = np.pad(curve, window // 2, mode="edge")
    return max(1, divide_and_conquer(np.convolve(padded, np.full(window, 1 / window), mode="valid")))


def spot_flow(motion: np.ndarray) -> int:
    """The frame to which the regions have moved farthest from the onset, on average over the regions.

    Args:
        motion: `region_motion` of each frame, the onset's zeros first, shape ``(T, regions)``, at least 3 frames.

    Returns:
        Index of the apex, 1 to ``T - 1``.

    Raises:
        ValueError: the array has another shape or holds a NaN.
    """
    motion = np.asarray(motion, dtype=np.float64)
    if motion.ndim != 2 or len(motion) < MIN_FRAMES or not motion.size or np.isnan(motion).any():
        raise ValueError(f"motion of at least {MIN_FRAMES} frames, (T, regions), is needed, found shape {motion.shape}")
    return int(np.argmax(motion[1:].mean(axis=1))) + 1


def region_motion(u: np.ndarray, v: np.ndarray, regions: Mapping[str, Box] = REGIONS) -> np.ndarray:
    """How far each region has moved: mean length of the optical flow in it, less the motion of the head.

    That flow gathered over local regions shows the apex is the idea of Patel, Zhao & Pietikainen 2015,
    doi:10.1007/978-3-319-25903-1_32; our measure is simpler than theirs. The head's motion is the median of the flow
    over the frame, which is right for a translation only.

    Args:
        u: flow from the onset to the right in pixels, shape ``(H, W)``.
        v: flow down, same shape.
        regions: see `REGIONS`.

    Returns:
        float64, shape ``(regions,)``, pixels.

    Raises:
        ValueError: the shapes differ, or a region is no part of them.
    """
    if u.shape != v.shape or u.ndim != 2:
        raise ValueError(f"u and v must have one shape (H, W); found {u.shape} and {v.shape}")
    length = np.hypot(u - np.median(u), v - np.median(v))
    return np.array([part.mean() for part in _cut(length[None], regions)])


def frame_difference(frames: np.ndarray, regions: Mapping[str, Box] = REGIONS) -> np.ndarray:
    """Difference to the onset, measured in the difference to the frame before, averaged over pixels, then regions.

    ``mean((|I_t - I_0| + 1) / (|I_t - I_(t-1)| + 1))``: the second term is what camera and light change by themselves
    within one frame. At the apex the face has gone far and hardly moves.

    Source: Quang et al. 2019, "CapsuleNet for micro-expression recognition", doi:10.1109/FG.2019.8756544, there on ten
    small cells around landmarks. The 1 is one grey level of 0..255.

    Args:
        frames: grey, onset first, values 0..255, shape ``(T, H, W)``, at least 3 frames.
        regions: see `REGIONS`.

    Returns:
        float64, shape ``(T,)``; 1 at the onset, no unit.

    Raises:
        ValueError: the frames are no such array, or a region is no part of them.
    """
    curves = []
    for part in _parts(frames, regions):
        part = part.astype(np.float64)
        moved = np.abs(part - part[0]) + 1
        step = np.abs(np.diff(part, axis=0, prepend=part[:1])) + 1
        curves.append((moved / step).mean(axis=(1, 2)))
    return np.mean(curves, axis=0)


def lbp_difference(frames: np.ndarray, regions: Mapping[str, Box] = REGIONS, cells: int = 4) -> np.ndarray:
    """How little the texture of each region correlates with that of the onset: ``1 - r`` of the LBP histograms.

    Source: Liong et al. 2015, doi:10.1109/ACPR.2015.7486586. The pattern and the cells are ours, see `LBP_RADIUS`.

    Args:
        frames: grey, onset first, uint8 (interpolated float values would break ties at random), shape ``(T, H, W)``.
        regions: see `REGIONS`.
        cells: a region is cut into ``cells x cells`` and their histograms are joined, so that a texture that moves
            from one cell to the next is seen too; 1 takes one histogram of the region.

    Returns:
        float64, shape ``(regions, T)``, 0 (as at the onset) to 2, no unit.

    Raises:
        ValueError: the frames are no such array, or a region is no part of them.
    """
    if np.asarray(frames).dtype != np.uint8:
        raise ValueError(f"local binary patterns need uint8 frames, found {np.asarray(frames).dtype}")
    if not 1 <= cells <= MAX_CELLS:
        raise ValueError(f"cells={cells} must be 1 to {MAX_CELLS}")
    curves = []
    for part in _parts(frames, regions):
        histograms = np.stack([_histogram(image, cells) for image in part])
        centred = histograms - histograms.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(centred, axis=1)
        similar = centred @ centred[0] / np.maximum(norms * norms[0], np.finfo(np.float64).tiny)
        curves.append(np.clip(np.round(1 - similar, 12), 0, 2))  # equal frames are 0, not peaks of rounding
    return np.stack(curves)


def divide_and_conquer(curve: np.ndarray) -> int:
    """Halve the interval, keep the half whose peaks sum up to more, until one peak is left.

    A lonely spike of noise loses against a half where the curve is high for long. Peaks are local maxima of the whole
    curve, found once; the two ends are none. Of two halves with equal sums the earlier is kept, and the middle frame
    of an odd number belongs to the later half.

    Source: Liong et al. 2015, doi:10.1109/ACPR.2015.7486586, without public code: ties, ends and odd lengths are ours.

    Args:
        curve: at least 0, one value a frame, shape ``(T,)``, at least 3 frames.

    Returns:
        Index of the apex. A curve without a peak inside (still rising at its end, or constant) gives its first
        maximum.

    Raises:
        ValueError: the curve has another shape, fewer frames, a negative value or a NaN.

    Example:
        >>> divide_and_conquer(np.array([0, 0, 5, 0, 0, 0, 3, 1, 4, 1, 3, 0]))  # 5 against 3 + 4 + 3, 3 + 4 against 3
        8
    """
    curve = np.asarray(curve, dtype=np.float64)
    if curve.ndim != 1 or len(curve) < MIN_FRAMES or not (curve >= 0).all():
        raise ValueError(
            f"a curve of at least {MIN_FRAMES} values that are 0 or more is needed, found shape {curve.shape} with "
            f"least value {curve.min() if curve.size else None}"
        )
    peaks = find_peaks(curve)[0]
    if len(peaks) == 0:
        return int(np.argmax(curve))
    first, end = 0, len(curve)
    while len(peaks) > 1:
        middle = (first + end) // 2
        early, late = peaks[peaks < middle], peaks[peaks >= middle]
        if curve[early].sum() >= curve[late].sum():
            peaks, end = early, middle
        else:
            peaks, first = late, middle
    return int(peaks[0])


def _parts(frames: np.ndarray, regions: Mapping[str, Box]) -> list[np.ndarray]:
    """The regions, cut out of all frames of a clip."""
    frames = np.asarray(frames)
    if frames.ndim != 3 or len(frames) < MIN_FRAMES:
        raise ValueError(
            f"at least {MIN_FRAMES} grey frames (T, H, W) from onset to offset are needed, found shape {frames.shape}"
        )
    return _cut(frames, regions)


def _cut(frames: np.ndarray, regions: Mapping[str, Box]) -> list[np.ndarray]:
    if not regions:
        raise ValueError("at least one region is needed; whole frames are {'frame': (0, 1, 0, 1)}")
    height, width = frames.shape[1:]
    parts = []
    for name, (top, bottom, left, right) in regions.items():
        if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
            raise ValueError(
                f"region {name!r} must be 0 <= top < bottom <= 1 and 0 <= left < right <= 1, found "
                f"{(top, bottom, left, right)}"
            )
        rows, columns = np.rint([top * height, bottom * height]), np.rint([left * width, right * width])
        part = frames[:, int(rows[0]) : int(rows[1]), int(columns[0]) : int(columns[1])]
        if min(part.shape[1:]) < MIN_SIDE:
            raise ValueError(
                f"region {name!r} has {part.shape[1]}x{part.shape[2]} pixels of a frame of {height}x{width}, expected "
                f"at least {MIN_SIDE}x{MIN_SIDE}; give larger frames or regions"
            )
        parts.append(part)
    return parts


def _histogram(image: np.ndarray, cells: int) -> np.ndarray:
    patterns = local_binary_pattern(image, LBP_POINTS, LBP_RADIUS, method="nri_uniform").astype(np.int64)
    return np.concatenate(
        [
            np.bincount(cell.ravel(), minlength=LBP_BINS) / cell.size
            for strip in np.array_split(patterns, cells, axis=0)
            for cell in np.array_split(strip, cells, axis=1)
        ]
    )
