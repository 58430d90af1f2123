"""Augmentation: what a training sample goes through between the cache and the network.

A transform is called with one cached sample and a numpy generator that depends on seed, epoch and sample alone, and it
draws from nothing else: so neither workers nor batch size nor a resumed run change what a sample becomes.

Mirroring is the recipe's business (`recipe.flip`): in a mirror the flow's u changes its sign and left joints become
right ones, which no library for pictures knows.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks a server for its newest version

import albumentations
import cv2
import numpy as np

from fer_lightning.errors import ConfigError

FLOW = {"u", "v", "strain", "magnitude"}
MIRRORS = (albumentations.HorizontalFlip, albumentations.VerticalFlip, albumentations.Transpose, albumentations.D4)
CROPS = (albumentations.Crop, albumentations.CenterCrop, albumentations.RandomCrop)
CENTRED = ("torso", "box")


def mirror(recipe: object) -> Callable[[np.ndarray], np.ndarray]:
    """`recipe.flip`, which makes the array of the mirrored scene.

    Raises:
        ConfigError: the recipe has none.
    """
    if not hasattr(recipe, "flip"):
        raise ConfigError(
            f"{type(recipe).__name__} has no attribute 'flip', so nobody has said what its channels "
            f"{list(recipe.channels)} become in a mirror: set augment.transform.flip=0 and views=none, or write it"
        )
    return recipe.flip


def check_shares(**shares: float) -> None:
    """Refuse what is no share.

    Raises:
        ConfigError: a value outside 0..1.
    """
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"augment.transform.{name}={value} must lie between 0 and 1")


class AugmentImage:
    """Random changes of pictures ``(C, H, W)`` or clips ``(C, T, H, W)``: uint8, or flow as floats.

    First the mirror, then albumentations' transforms in their order. All frames of a clip are changed alike.

    Flow is only mirrored, shifted and cropped. Who turns or stretches the picture has to turn or stretch the vectors in
    it too, and their scaling to 0..255, each channel by itself, no longer allows that.

    Args:
        recipe: of the cached samples.
        steps: transforms of albumentations; none of them may mirror.
        flip: probability of the mirror.

    Raises:
        ConfigError: the recipe makes no pictures, it cannot be mirrored, or a step would falsify what they show.
    """

    def __init__(self, recipe: object, steps: Sequence[albumentations.BasicTransform] = (), flip: float = 0.0) -> None:
        self.dtype = np.dtype(recipe.dtype)
        known = self.dtype == np.uint8 or not FLOW.isdisjoint(recipe.channels)
        if not known or len(recipe.shape) not in (3, 4):
            raise ConfigError(
                f"AugmentImage changes pictures (C, H, W) or clips (C, T, H, W), uint8 or flow; "
                f"{type(recipe).__name__} makes {self.dtype} {tuple(recipe.shape)}: take an augment that uses "
                "AugmentPose (augment=body_gesture_json), or augment=none"
            )
        check_shares(flip=flip)
        for step in walk(steps):
            check_step(step, recipe.channels)
        self.flip, self.mirror = flip, mirror(recipe) if flip else None
        self.compose, self.python = albumentations.Compose(list(steps)), random.Random()

    def __call__(self, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The sample as this generator changes it: a new array of the same type."""
        if rng.random() < self.flip:
            array = self.mirror(array)
        # One stream for all steps. `set_random_seed` would start each step at the same seed: steps of p=0.5 would then
        # all act or all rest, and draw the same shares of their ranges.
        self.python.seed(int(rng.integers(2**63)))
        self.compose.set_random_state(rng, self.python)
        target = "image" if array.ndim == 3 else "images"
        known = np.float32 if self.dtype.kind == "f" else np.uint8  # OpenCV knows no float16
        changed = self.compose(**{target: np.moveaxis(array, 0, -1).astype(known, order="C")})[target]
        return np.moveaxis(changed, -1, 0).astype(self.dtype, order="C")

    def out_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of what is made of a sample of this shape."""
        return self(np.zeros(shape, self.dtype), np.random.default_rng(0)).shape


def walk(steps: Sequence[albumentations.BasicTransform]) -> Iterator[albumentations.BasicTransform]:
    """All transforms, also those inside `OneOf` and its like."""
    for step in steps:
        if isinstance(step, albumentations.BaseCompose):
            yield from walk(step.transforms)
        else:
            yield step


def check_step(step: albumentations.BasicTransform, channels: Sequence[str]) -> None:
    """Refuse what would falsify these channels.

    Raises:
        ConfigError: see `AugmentImage`.
    """
    name = type(step).__name__
    if isinstance(step, MIRRORS):
        raise ConfigError(
            f"augment: {name} of albumentations only moves pixels, but in a mirror the flow's u changes its sign and "
            "left joints become right ones; remove the step and set augment.transform.flip=0.5, which asks the recipe"
        )
    if FLOW.isdisjoint(channels) or isinstance(step, CROPS):
        return
    still = {"x": (0, 0), "y": (0, 0)}
    shifts = type(step) is albumentations.Affine and (step.rotate, step.shear) == ((0, 0), still)
    if not shifts or step.scale != {"x": (1, 1), "y": (1, 1)}:
        raise ConfigError(
            f"augment: {name} would turn, stretch or repaint pictures of {list(channels)}, but not the vectors in "
            "them; flow is only mirrored, cropped and shifted (Affine with translate_px or translate_percent alone)"
        )
    if step.border_mode == cv2.BORDER_CONSTANT:
        raise ConfigError(
            f"augment: {name} with border_mode=0 fills the border with {step.fill}, which is a motion in pictures of "
            f"{list(channels)}; set border_mode={cv2.BORDER_REPLICATE} (the edge is repeated)"
        )


class AugmentPose:
    """Random changes of key points, ``(C, V)`` or ``(C, T, V)``, float, with channels x, y and others.

    In this order: mirror, turn and scale about the origin, jitter, loss of joints. All frames of a clip are changed
    alike. A missing joint (mask 0; without a mask, confidence 0; without either, x = y = 0) stays at x = y = 0.

    Args:
        recipe: of the cached samples.
        flip: probability of the mirror.
        rotate: largest angle, degrees; uniform in -rotate..rotate.
        scale: largest relative change of size; the factor is uniform in 1-scale..1+scale.
        jitter: standard deviation of the normal noise on x and y, in the recipe's unit of length.
        drop: probability that a joint is lost: all its channels become 0.

    Raises:
        ConfigError: the recipe makes no key points, cannot be mirrored, or its origin or units do not allow turning.
    """

    def __init__(
        self,
        recipe: object,
        flip: float = 0.0,
        rotate: float = 0.0,
        scale: float = 0.0,
        jitter: float = 0.0,
        drop: float = 0.0,
    ) -> None:
        channels = list(recipe.channels)
        if np.dtype(recipe.dtype).kind != "f" or not {"x", "y"} <= set(channels):
            raise ConfigError(
                f"AugmentPose changes float arrays with channels x and y; {type(recipe).__name__} makes "
                f"{np.dtype(recipe.dtype)} of {channels}: take an augment that uses AugmentImage, or augment=none"
            )
        check_shares(flip=flip, scale=scale, drop=drop)
        if (rotate or scale) and recipe.normalise not in CENTRED:
            raise ConfigError(
                "augment: rotate and scale need the origin in the person and one unit for x and y, which "
                f"normalise={recipe.normalise!r} has not; set data.recipe.normalise to one of {list(CENTRED)}, or "
                "rotate=0 and scale=0"
            )
        self.points = [channels.index("x"), channels.index("y")]
        sure = [name for name in ("mask", "confidence") if name in channels]
        self.present = [channels.index(sure[0])] if sure else self.points
        self.flip, self.mirror = flip, mirror(recipe) if flip else None
        self.rotate, self.scale, self.jitter, self.drop = rotate, scale, jitter, drop

    def __call__(self, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The sample as this generator changes it: a new array of the same type."""
        result = (self.mirror(array) if rng.random() < self.flip else array).copy()
        joints = array.shape[-1]
        present = (result[self.present] != 0).any(axis=0)
        angle = np.radians(rng.uniform(-self.rotate, self.rotate))
        factor = rng.uniform(1 - self.scale, 1 + self.scale)
        x, y = result[self.points].astype(np.float64)
        turned = factor * np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)])
        noise = rng.normal(0.0, self.jitter, (2, joints) if array.ndim == 2 else (2, 1, joints))
        result[self.points] = turned + noise * present
        result[..., rng.random(joints) < self.drop] = 0
        return result

    def out_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of what is made of a sample of this shape: the same."""
        return tuple(shape)
