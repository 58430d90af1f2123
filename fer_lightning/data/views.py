"""Test time: which views of a sample are shown to the network; what is predicted for them is averaged.

Views are made of samples as they are cached. `trained` is the training transform: the size of what it makes is the size
of every crop, so a network is never shown another than it was trained at.
"""

import zlib
from collections.abc import Callable

import numpy as np

from fer_lightning.data.augment import mirror
from fer_lightning.errors import ConfigError

PLACES = ["top left", "top right", "bottom left", "bottom right", "centre"]
Make = Callable[..., object]


def trained_size(recipe: object, trained: Make | None) -> tuple[int, int]:
    """Height and width that training shows to the network.

    Raises:
        ConfigError: they are larger than those of the cached samples.
    """
    full = tuple(recipe.shape[-2:])
    size = full if trained is None else tuple(trained(recipe=recipe).out_shape(recipe.shape)[-2:])
    if size[0] > full[0] or size[1] > full[1]:
        raise ConfigError(
            f"augment.transform makes {size[0]}x{size[1]} of samples of {full[0]}x{full[1]}, which no crop can; let "
            "the recipe make them larger instead"
        )
    return size


def five_crop(array: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """The corners and the centre in the order of `PLACES`; odd margins are rounded as torchvision does."""
    (height, width), (tall, wide) = array.shape[-2:], size
    bottom, right = height - tall, width - wide
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
    return [array[..., top : top + tall, left : left + wide] for top, left in places]


class CentreCrop:
    """The centre of a sample, as large as what was trained on: `augment.evaluate` of augmentations that crop.

    Args:
        recipe: of the cached samples.
        trained: training transform, called with ``recipe=``.
    """

    def __init__(self, recipe: object, trained: Make | None = None) -> None:
        self.size = trained_size(recipe, trained)

    def __call__(self, array: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """``(..., h, w)`` of ``(..., H, W)``; nothing is drawn."""
        return five_crop(array, self.size)[-1]


class Flip:
    """The centre of the sample and of its mirror image.

    Args:
        recipe: of the cached samples.
        trained: training transform, called with ``recipe=``.
    """

    names = ("centre", "mirrored centre")

    def __init__(self, recipe: object, trained: Make | None = None) -> None:
        self.size, self.mirror = trained_size(recipe, trained), mirror(recipe)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """``(2, ..., h, w)``."""
        return np.stack([five_crop(side, self.size)[-1] for side in (array, self.mirror(array))])


class TenCrop:
    """Four corners and the centre of the sample, then those of its mirror image (the order of torchvision's).

    Args:
        recipe: of the cached samples.
        trained: training transform, called with ``recipe=``; must crop.

    Raises:
        ConfigError: training shows whole samples.
    """

    names = (*PLACES, *(f"mirrored {place}" for place in PLACES))

    def __init__(self, recipe: object, trained: Make | None = None) -> None:
        self.size, self.mirror, self.shape = trained_size(recipe, trained), mirror(recipe), tuple(recipe.shape)
        if self.size == self.shape[-2:]:
            raise ConfigError(
                f"views=ten_crop: training shows whole samples of {self.size[0]}x{self.size[1]}, so the ten crops "
                "would be the sample and its mirror image; take views=flip, or an augment that crops, e.g. vggspinal"
            )

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """``(10, ..., h, w)``.

        Raises:
            ValueError: the sample was cropped before.
        """
        if array.shape != self.shape:
            raise ValueError(f"ten crops are taken of a sample as cached, {self.shape}; found {array.shape}")
        return np.stack([crop for side in (array, self.mirror(array)) for crop in five_crop(side, self.size)])


class RandomViews:
    """Draws of the training augmentation, the same whenever the same sample is seen.

    Args:
        recipe: of the cached samples.
        trained: training transform, called with ``recipe=``.
        copies: number of draws.
        seed: other draws.

    Raises:
        ConfigError: there is no training transform.
    """

    def __init__(self, recipe: object, trained: Make | None, copies: int = 10, seed: int = 0) -> None:
        if trained is None:
            raise ConfigError("views=camnet repeats the training augmentation, and augment has none; take views=none")
        self.transform, self.seed = trained(recipe=recipe), seed
        self.names = tuple(f"draw {number}" for number in range(copies))

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """``(copies, ...)``; the content of the sample is part of the seed, so samples do not share their draws."""
        content = zlib.crc32(np.ascontiguousarray(array))
        draws = (np.random.default_rng([self.seed, content, number]) for number in range(len(self.names)))
        return np.stack([self.transform(array, rng) for rng in draws])
