"""Test-time views: against torchvision, by hand, and of the size that was trained on."""

from functools import partial

import albumentations
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from fer_lightning.data.augment import AugmentImage
from fer_lightning.data.views import CentreCrop, Flip, RandomViews, TenCrop, five_crop
from fer_lightning.errors import ConfigError
from fer_lightning.preprocess.flow_image import FlowImage
from fer_lightning.protocols.fold import build_augment
from tests.runs import configure


class Picture:
    """Stands for a recipe of faces."""

    dtype = np.uint8

    def __init__(self, *shape: int) -> None:
        self.shape, self.channels = shape, ["gray"] * shape[0]

    def flip(self, array):
        return array[..., ::-1]


def crops(height: int, width: int) -> partial:
    """A training transform that crops, as the config gives it."""
    return partial(AugmentImage, steps=[albumentations.RandomCrop(height, width)])


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("size", [(40, 40), (41, 40), (39, 44), (1, 47), (46, 48)])
@pytest.mark.parametrize("shape", [(1, 48, 48), (3, 47, 49), (2, 4, 48, 48)])
def test_crops_are_those_of_torchvision(shape, size):
    if size[0] > shape[-2] or size[1] > shape[-1]:
        size = shape[-2] - 1, shape[-1] - 1
    picture = noise(*shape)
    tensor = torch.from_numpy(picture)
    recipe = Picture(*shape)
    ten = TenCrop(recipe, crops(*size))
    found = ten(picture)
    assert len(found) == len(ten.names) == 10
    for ours, theirs in zip(found, functional.ten_crop(tensor, list(size)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(five_crop(picture, size), functional.five_crop(tensor, list(size)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    centre = CentreCrop(recipe, crops(*size))
    np.testing.assert_array_equal(centre(picture), functional.center_crop(tensor, list(size)))
    np.testing.assert_array_equal(found[4], centre(picture))
    np.testing.assert_array_equal(Flip(recipe, crops(*size))(picture), found[[4, 9]])


def test_ten_crops_by_hand():
    picture = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    ten = TenCrop(Picture(1, 4, 4), crops(2, 2))
    found = dict(zip(ten.names, ten(picture)[:, 0].tolist(), strict=True))
    assert found["top left"] == [[0, 1], [4, 5]]
    assert found["bottom right"] == [[10, 11], [14, 15]]
    assert found["centre"] == [[5, 6], [9, 10]]
    assert found["mirrored top left"] == [[3, 2], [7, 6]]
    assert found["mirrored centre"] == [[6, 5], [10, 9]]


def test_views_of_flow_are_mirrored_by_the_recipe():
    picture = np.zeros((3, 28, 28), np.uint8)
    picture[0, 0, :2] = 255, 200  # u
    plain, mirrored = Flip(FlowImage(), None)(picture)
    np.testing.assert_array_equal(plain, picture)
    assert mirrored[0, 0, -2:].tolist() == [55, 0]
    assert mirrored[0, 1, 0] == 255
    assert mirrored[1:].max() == 0


@pytest.mark.parametrize(("views", "number"), [("ten_crop", 10), ("flip", 2), ("camnet", 10), ("none", 0)])
def test_what_is_tested_has_the_size_that_was_trained_on(views, number):
    picture = noise(1, 48, 48)
    made = build_augment(configure("augment=vggspinal", f"views={views}"), Picture(1, 48, 48))
    assert made["transform"].out_shape(picture.shape) == (1, 40, 40)
    assert made["evaluate"](picture, None).shape == (1, 40, 40)
    assert ("views" in made) == (number > 0)
    if number:
        assert made["views"](picture).shape == (number, 1, 40, 40)
        assert len(set(made["views"].names)) == number


@pytest.mark.parametrize("augment", ["vggspinal", "vggspinal_efficientnet"])
def test_the_papers_that_test_with_ten_crops_bring_them(augment):
    assert isinstance(build_augment(configure(f"augment={augment}"), Picture(1, 48, 48))["views"], TenCrop)


def test_ten_crops_need_a_training_that_crops():
    with pytest.raises(ConfigError, match=r"training shows whole samples of 48x48.*views=flip"):
        build_augment(configure("augment=separable", "views=ten_crop"), Picture(1, 48, 48))
    with pytest.raises(ConfigError, match="makes 64x64 of samples of 48x48"):
        CentreCrop(Picture(1, 48, 48), partial(AugmentImage, steps=[albumentations.Resize(64, 64)]))


def test_ten_crops_of_a_crop_are_refused():
    ten = TenCrop(Picture(1, 48, 48), crops(40, 40))
    with pytest.raises(ValueError, match=r"as cached, \(1, 48, 48\); found \(1, 40, 40\)"):
        ten(noise(1, 40, 40))


def test_without_a_crop_the_centre_is_the_sample():
    picture = noise(1, 48, 48)
    assert CentreCrop(Picture(1, 48, 48), None)(picture).tolist() == picture.tolist()


def test_random_views_are_draws_of_the_training_and_never_change():
    recipe = Picture(1, 48, 48)
    cfg = configure("augment=camnet", "views=camnet")
    made, again = build_augment(cfg, recipe)["views"], build_augment(cfg, recipe)["views"]
    one, other = noise(1, 48, 48), noise(1, 48, 48, seed=1)
    first = made(one)
    assert first.shape == (10, 1, 48, 48)
    assert len({view.tobytes() for view in first}) == 10
    made(other)
    np.testing.assert_array_equal(made(one), first)
    np.testing.assert_array_equal(again(one), first)
    assert len(again.names) == 10


def test_samples_do_not_share_their_draws():
    recipe = Picture(1, 48, 48)
    shift = partial(AugmentImage, steps=[albumentations.Affine(translate_px={"x": (-20, 20)}, p=1)])
    views = RandomViews(recipe, shift, copies=6)
    columns = []
    for brightness in (100, 200):
        picture = np.zeros(recipe.shape, np.uint8)
        picture[..., 24] = brightness
        columns.append(tuple(views(picture)[:, 0, 0].argmax(axis=1).tolist()))
    assert columns[0] != columns[1]
    assert len(set(columns[0])) > 2


def test_random_views_without_augmentation_are_refused():
    with pytest.raises(ConfigError, match="augment has none; take views=none"):
        build_augment(configure("augment=none", "views=camnet"), Picture(1, 48, 48))
