"""Optical flow as numbers: strain, magnitude, 8-bit images of them. u to the right, v down, in pixels."""

import numpy as np

#: 8-bit value of "no motion" where both signs occur.
ZERO = 128


def strain(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Optical strain magnitude, how much the skin is stretched, sheared or pressed at each point.

    ``sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2)``, the Frobenius norm of the symmetric gradient. Derivatives are central
    differences, one-sided on the border (`numpy.gradient`), so a linear field has its exact strain everywhere.

    Source: Shreve et al. 2011, doi:10.1109/FG.2011.5771451; used with this norm by Liong et al. 2019, arXiv:1902.03634.

    Args:
        u: displacement to the right in pixels, shape ``(H, W)``, at least 2 by 2.
        v: displacement down, same shape.

    Returns:
        Shape ``(H, W)``, no unit, at least 0; 0 for any translation and for a (small) rotation.

    Raises:
        ValueError: the shapes differ or are no image.

    Example:
        >>> x = np.tile(np.arange(4.0), (4, 1))
        >>> float(strain(0.5 * x, 0 * x)[1, 2])
        0.5
    """
    if u.shape != v.shape or u.ndim != 2 or min(u.shape) < 2:
        raise ValueError(f"u and v must have one shape (H, W), at least 2 by 2; found {u.shape} and {v.shape}")
    u_y, u_x = np.gradient(u)
    v_y, v_x = np.gradient(v)
    return np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)


def magnitude(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Length of the displacement in pixels, same shape as `u` and `v`."""
    return np.hypot(u, v)


def end_point_error(u: np.ndarray, v: np.ndarray, true_u: np.ndarray, true_v: np.ndarray) -> float:
    """Mean distance in pixels between a flow field and the true one (Baker et al. 2011, IJCV 92)."""
    return float(np.hypot(u - true_u, v - true_v).mean())


def minmax(channel: np.ndarray, signed: bool = True) -> np.ndarray:
    """Least value to 0, greatest to 255: the normalisation of the pictures published with STSTNet.

    Sign and strength are lost: "no motion" has another value in each image.

    Args:
        channel: any shape, float.
        signed: what a constant channel (two equal frames) becomes: `ZERO` where both signs occur (u, v), else 0.

    Returns:
        uint8, same shape.

    Example:
        >>> minmax(np.array([-1.0, 0.0, 3.0])).tolist()
        [0, 64, 255]
    """
    low, high = float(channel.min()), float(channel.max())
    if high == low:
        return np.full(channel.shape, ZERO if signed else 0, dtype=np.uint8)
    return np.rint((channel - low) * (255.0 / (high - low))).astype(np.uint8)


def fixed_range(channel: np.ndarray, limit: float, signed: bool = True) -> np.ndarray:
    """The same value for the same motion in every image; what exceeds the limit is clipped.

    Args:
        channel: any shape, float.
        limit: value that becomes 255, above 0; with `signed`, ``-limit`` becomes 1 and 0 becomes `ZERO`.
        signed: False for strain and magnitude: 0 becomes 0.

    Returns:
        uint8, same shape.

    Raises:
        ValueError: the limit is not above 0.

    Example:
        >>> fixed_range(np.array([-9.0, 0.0, 1.0, 2.0]), limit=2.0).tolist()
        [1, 128, 192, 255]
    """
    if not limit > 0:
        raise ValueError(f"limit={limit} must be above 0")
    if signed:
        return np.rint(ZERO + 127 * np.clip(channel / limit, -1, 1)).astype(np.uint8)
    return np.rint(255 * np.clip(channel / limit, 0, 1)).astype(np.uint8)


def symmetric(channel: np.ndarray, signed: bool = True) -> np.ndarray:
    """`fixed_range` with the greatest absolute value of this channel as limit: signs are kept, strength is lost."""
    limit = float(np.abs(channel).max())
    return fixed_range(channel, limit if limit > 0 else 1.0, signed)
