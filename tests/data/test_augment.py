"""Augmentation: the papers' settings, reproducible sample by sample, and true to what the channels mean."""

import pickle
from collections import Counter
from pathlib import Path

import albumentations
import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader, Dataset

from fer_lightning.data.augment import AugmentImage, AugmentPose
from fer_lightning.errors import ConfigError
from fer_lightning.preprocess.flow import OnsetApexFlow
from fer_lightning.preprocess.pose_array import PoseArray
from fer_lightning.protocols.fold import build_augment

FOLDER = Path(__file__).parents[2] / "conf" / "augment"
FOR_FACES = ["camnet", "separable", "vggspinal", "vggspinal_efficientnet", "body_gesture"]


class Picture:
    """Stands for a recipe of grey faces."""

    dtype, channels = np.uint8, ["gray"]

    def __init__(self, *shape: int) -> None:
        self.shape = shape or (1, 48, 48)

    def flip(self, array):
        return array[..., ::-1]


class Skeleton:
    """Stands for a recipe of four joints: neck, left and right hand, a missing one."""

    dtype, channels, normalise = np.float32, ["x", "y", "mask"], "torso"
    joints = np.array([[0, 2, -2, 0], [0, 1, 1, 0], [1, 1, 1, 0]], np.float32)

    def __init__(self, shape=(3, 4)) -> None:
        self.shape = shape

    def flip(self, array):
        mirrored = array[..., [0, 2, 1, 3]]
        mirrored[0] *= -1
        return mirrored


class Unmirrored:
    shape, dtype, channels = (1, 48, 48), np.uint8, ["gray"]


def config(name: str) -> DictConfig:
    loaded = OmegaConf.load(FOLDER / f"{name}.yaml")
    return OmegaConf.create({"augment": {key: value for key, value in loaded.items() if key != "defaults"}})


def setting(name: str, recipe: object) -> AugmentImage | AugmentPose:
    return build_augment(config(name), recipe)["transform"]


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return draw().integers(0, 256, (1, 48, 48), dtype=np.uint8)


# The settings


def test_every_setting_is_for_something_known():
    others = {"none", "micro_flow", "body_gesture_json"}
    assert {file.stem for file in FOLDER.glob("*.yaml")} == {*FOR_FACES, *others}


@pytest.mark.parametrize("name", FOR_FACES)
def test_a_setting_changes_faces_and_says_their_new_size(name, noise):
    transform = setting(name, Picture())
    before = noise.copy()
    made = [transform(noise, draw(seed)) for seed in range(20)]
    assert {array.shape for array in made} == {transform.out_shape(noise.shape)}
    assert {array.dtype for array in made} == {noise.dtype}
    assert all(array.flags.c_contiguous for array in made)
    assert len({array.tobytes() for array in made}) >= 18
    np.testing.assert_array_equal(noise, before)


def spots(name: str, *places: tuple[int, int], **changes: object) -> np.ndarray:
    """Where two spots of a dark picture (row, column; told apart by brightness) lie in 400 draws: (draw, spot, 2)."""
    cfg = config(name)
    for step in cfg.augment.transform.steps:
        step.update({key: value for key, value in changes.items() if key in step} | {"p": 1})
    cfg.augment.transform.flip = 0
    picture = np.zeros((1, 49, 49), np.uint8)
    for (row, column), value in zip(places, (250, 120), strict=False):
        picture[0, row - 1 : row + 2, column - 1 : column + 2] = value
    transform = build_augment(cfg, Picture(1, 49, 49))["transform"]
    found = []
    for seed in range(400):
        made = transform(picture, draw(seed))[0].astype(float)
        masks = [made > 180, (made > 60) & (made <= 125)][: len(places)]
        found.append([[np.average(axis, weights=made * mask) for axis in np.indices(made.shape)] for mask in masks])
    return np.array(found)


@pytest.mark.parametrize(("name", "pixels"), [("camnet", 24), ("separable", 4)])
def test_shifts_reach_as_far_as_the_table_says_in_both_directions(name, pixels):
    # 0.5 of 49 pixels is 24, 0.1 is 4. The centre stays where it is when the picture is turned or scaled.
    moved = spots(name, (24, 24))[:, 0] - 24
    assert np.abs(moved).max() <= pixels + 0.6
    assert (moved.max(axis=0) >= pixels - 1).all()
    assert (moved.min(axis=0) <= 1 - pixels).all()
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.2, "x and y are drawn by themselves"


@pytest.mark.parametrize(("name", "degrees"), [("camnet", 30), ("separable", 20), ("body_gesture", 10)])
def test_angles_reach_as_far_as_the_table_says(name, degrees):
    found = spots(name, (24, 24), (24, 38), translate_percent=[0.0, 0.0], scale=[1.0, 1.0])
    down, right = (found[:, 1] - found[:, 0]).T
    angles = np.degrees(np.arctan2(down, right))
    assert np.abs(angles).max() < degrees + 1.5
    assert angles.max() > degrees - 1.5
    assert angles.min() < 1.5 - degrees


def test_zoom_reaches_as_far_as_the_file_says():
    found = spots("separable", (24, 24), (24, 38), translate_percent=[0.0, 0.0], rotate=[0.0, 0.0])
    factor = (found[:, 1] - found[:, 0])[:, 1] / 14
    assert 0.87 < factor.min() < 0.93
    assert 1.07 < factor.max() < 1.13


def test_vggspinal_trains_on_each_of_the_ten_crops():
    cfg = config("vggspinal")
    for step in cfg.augment.transform.steps:
        if step._target_ != "albumentations.OneOf":
            step.p = 0
    transform = build_augment(cfg, Picture())["transform"]
    picture = (np.arange(48 * 48) // 10).astype(np.uint8).reshape(1, 48, 48)  # no two crops of it are equal
    found = Counter(transform(picture, draw(seed)).tobytes() for seed in range(400))
    ten = [side[:, top : top + 40, left : left + 40].tobytes() for side in (picture, picture[..., ::-1])
           for top, left in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4))]  # fmt: skip
    assert set(found) == set(ten)
    assert min(found.values()) > 20


def test_no_setting_loses_a_real_face(fer_raw):
    table = pd.read_csv(fer_raw / "fer2013" / "fer2013.csv.xz", nrows=40)
    faces = np.stack([np.array(row.split(), np.uint8).reshape(1, 48, 48) for row in table["pixels"]])
    faces = faces[faces.std(axis=(1, 2, 3)) > 0]  # row 17 is one of the twelve black ones
    for name in FOR_FACES:
        transform = setting(name, Picture())
        made = [transform(face, draw(seed)) for seed, face in enumerate(faces)]
        assert min(array.std() for array in made) > 5, name
        assert abs(np.mean(made) - faces.mean()) < 40, name


# Reproducible: a function of seed, epoch and sample


class Samples(Dataset):
    """Stands for `FERDataset`: an index is (epoch, sample)."""

    def __init__(self, transform: AugmentImage, pictures: np.ndarray, seed: int = 0) -> None:
        self.transform, self.pictures, self.seed = transform, pictures, seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: tuple[int, int]) -> np.ndarray:
        return self.transform(self.pictures[index[1]], np.random.default_rng([self.seed, *index]))


@pytest.mark.parametrize("name", ["vggspinal", "camnet"])
def test_workers_and_batches_change_nothing_epochs_samples_and_seeds_do(name, noise):
    pictures = np.repeat(noise[None], 12, axis=0)
    transform = setting(name, Picture())

    def epoch(number: int, seed: int = 0, **loader: int) -> np.ndarray:
        order = [(number, sample) for sample in np.roll(range(12), loader.get("batch_size", 1)).tolist()]
        batches = DataLoader(Samples(transform, pictures, seed), sampler=order, **loader)
        made = np.concatenate([batch.numpy() for batch in batches])
        return made[np.argsort([sample for _, sample in order])]

    first = epoch(0, batch_size=4)
    for loader in ({"batch_size": 5}, {"batch_size": 1}, {"batch_size": 4, "num_workers": 2}):
        np.testing.assert_array_equal(epoch(0, **loader), first)
    epoch(1, batch_size=4)
    np.testing.assert_array_equal(epoch(0, batch_size=4), first, "what was drawn in between leaves no trace")
    different = [first, epoch(1, batch_size=4), epoch(0, seed=1, batch_size=4)]
    assert len({picture.tobytes() for made in different for picture in made}) > 30


def test_a_copy_in_another_process_draws_the_same(noise):
    transform = setting("vggspinal", Picture())
    copy = pickle.loads(pickle.dumps(transform))
    np.testing.assert_array_equal(copy(noise, draw(3)), transform(noise, draw(3)))


def test_steps_draw_independently_of_each_other():
    # albumentations' own set_random_seed gives all steps one seed: both of these would act, or neither.
    steps = [albumentations.Affine(translate_px={"x": 5}, p=0.5), albumentations.InvertImg(p=0.5)]
    transform = AugmentImage(Picture(), steps)
    picture = np.zeros((1, 48, 48), np.uint8)
    picture[0, :, 0] = 100  # what was left of it is now 0
    found = Counter()
    for seed in range(400):
        made = transform(picture, draw(seed))[0, 0]
        inverted = made[20] == 255
        found[bool(inverted), bool((255 - made if inverted else made)[0] == 100)] += 1
    assert len(found) == 4
    assert min(found.values()) > 70


def test_flips_happen_as_often_as_they_should(noise):
    transform = AugmentImage(Picture(), flip=0.25)
    made = [transform(noise, draw(seed)) for seed in range(400)]
    mirrored = sum(np.array_equal(array, noise[..., ::-1]) for array in made)
    assert 70 < mirrored < 130
    assert mirrored + sum(np.array_equal(array, noise) for array in made) == 400


# Clips


def test_all_frames_of_a_clip_are_changed_alike():
    clip = draw().integers(0, 256, (3, 5, 48, 48), dtype=np.uint8)
    as_clip, as_picture = setting("vggspinal", Picture(3, 5, 48, 48)), setting("vggspinal", Picture(3, 48, 48))
    assert as_clip.out_shape(clip.shape) == (3, 5, 40, 40)
    for seed in range(10):
        made = as_clip(clip, draw(seed))
        for frame in range(5):
            np.testing.assert_array_equal(made[:, frame], as_picture(clip[:, frame], draw(seed)))


# Flow


def flow(normalise: str = "symmetric", size: int = 28) -> OnsetApexFlow:
    return OnsetApexFlow(size=size, channels=["u", "v", "strain"], normalise=normalise)


def test_mirrored_flow_goes_the_other_way():
    picture = np.full((3, 28, 28), 128, np.uint8)
    picture[0, 3, 5], picture[1, 3, 5], picture[2, 3, 5] = 228, 100, 50  # right by 100, up by 28
    mirrored = AugmentImage(flow(), flip=1.0)(picture, draw())
    assert mirrored[:, 3, 22].tolist() == [28, 100, 50]  # left by 100, up by 28
    assert mirrored[:, 3, 5].tolist() == [128, 128, 128]


@pytest.mark.parametrize("normalise", ["symmetric", "none"])
def test_flow_is_shifted_by_whole_pixels_so_no_vector_changes(normalise):
    recipe = flow(normalise)
    picture = draw().normal(128, 30, (3, 28, 28)).clip(0, 255).astype(recipe.dtype)
    transform = setting("micro_flow", recipe)
    shifts = set()
    for seed in range(40):
        made = transform(picture, draw(seed))
        assert made.dtype == recipe.dtype
        found = [
            (down, right)
            for side in (picture, recipe.flip(picture))
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if np.array_equal(np.roll(side, (down, right), axis=(1, 2))[:, 2:-2, 2:-2], made[:, 2:-2, 2:-2])
        ]
        assert len(found) == 1
        shifts |= set(found)
        assert set(np.unique(made)) <= set(np.unique(np.stack([picture, recipe.flip(picture)])))
    assert len(shifts) >= 5


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (albumentations.HorizontalFlip(), "u changes its sign.*flip=0.5"),
        (albumentations.OneOf([albumentations.D4()]), "D4 of albumentations only moves pixels"),
        (albumentations.Affine(rotate=(-5, 5), border_mode=1), "not the vectors in them"),
        (albumentations.Affine(scale=(0.9, 1.1), border_mode=1), "not the vectors in them"),
        (albumentations.Affine(shear=(-3, 3), border_mode=1), "not the vectors in them"),
        (albumentations.RandomBrightnessContrast(), "repaint pictures of"),
        (albumentations.Affine(translate_px=(-2, 2)), "which is a motion"),
    ],
)
def test_what_would_falsify_flow_is_refused_with_the_reason(step, reason):
    with pytest.raises(ConfigError, match=reason):
        AugmentImage(flow(), [step])


def test_flow_is_cropped():
    assert AugmentImage(flow(), [albumentations.RandomCrop(24, 20)]).out_shape((3, 28, 28)) == (3, 24, 20)


def test_the_faces_settings_are_refused_for_flow():
    for name in ("camnet", "separable", "vggspinal", "body_gesture"):
        with pytest.raises(ConfigError, match="not the vectors"):
            setting(name, flow())


def test_albumentations_own_mirror_is_refused_for_pictures_too():
    # A drawn skeleton has the channels of a photograph: nobody could tell them apart.
    with pytest.raises(ConfigError, match="HorizontalFlip"):
        AugmentImage(Picture(), [albumentations.HorizontalFlip()])


def test_a_recipe_without_flip_is_named():
    with pytest.raises(ConfigError, match=r"Unmirrored has no attribute 'flip'.*\['gray'\]"):
        setting("separable", Unmirrored())
    assert AugmentImage(Unmirrored(), flip=0).out_shape((1, 48, 48)) == (1, 48, 48)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_probability_that_is_none_is_refused(share):
    with pytest.raises(ConfigError, match=r"flip=.* between 0 and 1"):
        AugmentImage(Picture(), flip=share)
    with pytest.raises(ConfigError, match=r"drop=.* between 0 and 1"):
        AugmentPose(Skeleton(), drop=share)


# Key points


def test_a_mirrored_pose_has_its_sides_exchanged():
    raised_left = Skeleton.joints + np.array([[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], np.float32)
    mirrored = AugmentPose(Skeleton(), flip=1.0)(raised_left, draw())
    # The left hand at (2, 2) becomes the right hand at (-2, 2), the right hand at (-2, 1) the left one at (2, 1).
    assert mirrored.tolist() == [[0, 2, -2, 0], [0, 1, 2, 0], [1, 1, 1, 0]]
    assert mirrored.dtype == np.float32


def test_poses_are_turned_and_scaled_as_a_whole():
    transform = AugmentPose(Skeleton(), rotate=30, scale=0.2)
    before = Skeleton.joints[0] + 1j * Skeleton.joints[1]
    angles, factors = [], []
    for seed in range(200):
        made = transform(Skeleton.joints, draw(seed))
        after = made[0] + 1j * made[1]
        quotient = after[1:3] / before[1:3]
        assert quotient[0] == pytest.approx(quotient[1], abs=1e-6)
        assert after[[0, 3]].tolist() == [0, 0]
        np.testing.assert_array_equal(made[2], Skeleton.joints[2])
        angles.append(np.degrees(np.angle(quotient[0])))
        factors.append(abs(quotient[0]))
    assert (min(angles), max(angles)) == pytest.approx((-30, 30), abs=1.5)
    assert (min(factors), max(factors)) == pytest.approx((0.8, 1.2), abs=0.02)


@pytest.mark.parametrize("channels", [["x", "y", "mask"], ["x", "y", "confidence"], ["x", "y"]])
def test_jitter_leaves_missing_joints_at_zero(channels):
    recipe = Skeleton()
    recipe.channels = channels
    transform = AugmentPose(recipe, jitter=0.5)
    joints = Skeleton.joints[: len(channels)]
    moved = np.stack([transform(joints, draw(seed)) - joints for seed in range(500)])
    assert np.all(moved[:, :, 3] == 0)
    assert np.all(moved[:, 2:] == 0)
    assert moved[:, :2, 1:3].std(axis=0) == pytest.approx(np.full((2, 2), 0.5), rel=0.1)
    assert np.abs(moved[:, :2, 1:3].mean(axis=0)).max() < 0.1


def test_lost_joints_are_lost_in_all_channels():
    transform = AugmentPose(Skeleton(), drop=0.3)
    lost = np.stack([transform(Skeleton.joints, draw(seed))[2, :3] == 0 for seed in range(500)])
    assert lost.mean(axis=0) == pytest.approx(np.full(3, 0.3), abs=0.06)
    made = transform(Skeleton.joints, draw(int(np.argmax(lost[:, 1]))))
    assert made[:, 1].tolist() == [0, 0, 0]


def test_all_frames_of_a_pose_clip_are_changed_alike():
    clip = np.repeat(Skeleton.joints[:, None], 4, axis=1)
    clip[:, 2, 1] = 0  # missing in one frame
    transform = AugmentPose(Skeleton((3, 4, 4)), flip=0.5, rotate=20, scale=0.1, jitter=0.3, drop=0.2)
    assert transform.out_shape(clip.shape) == clip.shape
    for seed in range(20):
        made, single = transform(clip, draw(seed)), transform(Skeleton.joints, draw(seed))
        for frame in (0, 1, 3):
            np.testing.assert_allclose(made[:, frame], single, atol=1e-6)
        assert (made[:, 2] == 0).all(axis=0).sum() >= 2, "the joint missing in this frame, and the one always missing"


def test_nothing_asked_for_is_nothing_changed():
    before = Skeleton.joints.copy()
    made = AugmentPose(Skeleton())(Skeleton.joints, draw())
    np.testing.assert_array_equal(made, before)
    assert made is not Skeleton.joints


def test_real_poses_keep_their_lengths_and_their_missing_joints(fer_raw):
    recipe = PoseArray(parts=["body"])
    transform = AugmentPose(recipe, flip=0.5, rotate=10)
    folder = fer_raw / "openpose" / "slp_face_hand"
    rows = pd.DataFrame({"path": sorted(file.name for file in folder.glob("*.json"))})
    arrays = [made for made in recipe.make(folder, rows) if isinstance(made, np.ndarray) and made[2].sum() > 10]
    assert arrays
    for seed, array in enumerate(arrays):
        made = transform(array, draw(seed))
        assert np.isfinite(made).all()
        assert made[2].sum() == array[2].sum()
        assert np.all(made[:2, made[2] == 0] == 0)
        lengths = [np.sort(np.hypot(*pose[:2])) for pose in (made, array)]
        np.testing.assert_allclose(*lengths, atol=1e-5)


def test_turning_needs_an_origin_in_the_person():
    recipe = Skeleton()
    recipe.normalise = "image"
    with pytest.raises(ConfigError, match=r"normalise='image' has not; set .* one of \['torso', 'box'\]"):
        setting("body_gesture_json", recipe)
    assert setting("body_gesture_json", Skeleton()).rotate == 10


def test_pictures_and_poses_are_not_mixed_up():
    with pytest.raises(ConfigError, match=r"AugmentImage changes pictures.*float32"):
        setting("body_gesture", Skeleton())
    with pytest.raises(ConfigError, match=r"AugmentPose changes float arrays.*uint8"):
        setting("body_gesture_json", Picture())
