"""From a point in the valence-arousal plane to one of seven emotions."""

from collections.abc import Mapping

import numpy as np

#: Mean pleasure and arousal, -1 to 1, of the words happy, surprised, disgust, angry, fearful and sad, as people rate
#: them: Russell and Mehrabian 1977, J. Research in Personality 11(3), doi:10.1016/0092-6566(77)90037-X, Table 4.
PROTOTYPES = {
    "happiness": (0.81, 0.51),
    "surprise": (0.40, 0.67),
    "disgust": (-0.60, 0.35),
    "anger": (-0.51, 0.59),
    "fear": (-0.64, 0.60),
    "sadness": (-0.63, -0.27),
}
NEUTRAL = "neutral"


def emotions(
    valence: np.ndarray,
    arousal: np.ndarray,
    neutral_radius: float = 0.2,
    prototypes: Mapping[str, tuple[float, float]] = PROTOTYPES,
) -> np.ndarray:
    """The emotion whose prototype is nearest; `neutral` near the origin.

    Anger and fear are .13 apart here: it is a third dimension, dominance, that tells them from each other, so a plane
    cannot. Compare such classes with those of a classifier only with this in mind.

    Args:
        valence: ``(n,)``, -1 unpleasant to 1 pleasant.
        arousal: ``(n,)``, -1 calm to 1 excited.
        neutral_radius: points nearer than this to (0, 0) are neutral; 0.2 is our choice, no publication's.
        prototypes: name -> (valence, arousal).

    Returns:
        Names, ``(n,)``.

    Raises:
        ValueError: a value that is not in ``[-1, 1]``, e.g. nan, or the -5 of frames without annotation.

    Example:
        >>> emotions(np.array([0.7, 0.05, -0.6]), np.array([0.4, -0.1, -0.4])).tolist()
        ['happiness', 'neutral', 'sadness']
    """
    points = np.stack([np.asarray(valence, dtype=np.float64), np.asarray(arousal, dtype=np.float64)], axis=-1)
    if not (np.abs(points) <= 1).all():
        first = points[~(np.abs(points) <= 1).all(axis=-1)][0].tolist()
        raise ValueError(f"valence and arousal must be in [-1, 1], found {first}")
    distances = np.linalg.norm(points[:, None] - np.array(list(prototypes.values())), axis=-1)
    nearest = np.array(list(prototypes))[distances.argmin(axis=1)]
    return np.where(np.linalg.norm(points, axis=-1) < neutral_radius, NEUTRAL, nearest)
