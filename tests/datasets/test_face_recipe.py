"""Faces at any size: channels, filters, crops by boxes, landmarks and detectors."""

import math

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as torchvision

from fer_lightning.data.cache import prepare
from fer_lightning.datasets import contract
from fer_lightning.datasets.synthetic import write_image
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.functional.landmarks import places
from fer_lightning.preprocess import sources
from fer_lightning.preprocess.face import NO_FACE, Face
from fer_lightning.preprocess.flow_image import FlowImage
from fer_lightning.preprocess.resize import INTERPOLATIONS, resize

GRAY = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
RGB = ("red", "green", "blue")
BOXES, POINTS = "path,left,top,right,bottom", "path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5"
FACE_POINTS = (20, 12, 40, 12, 30, 20, 22, 30, 38, 30)  # of an upright face in an image of 60x40 pixels


def rows(*paths: str) -> pd.DataFrame:
    return pd.DataFrame({"sample_id": paths, "path": paths})


def make(recipe: Face, root, *paths: str) -> list:
    return list(recipe.make(root, rows(*paths)))


@pytest.fixture
def root(tmp_path):
    write_image(tmp_path / "gray.png", GRAY)
    write_image(tmp_path / "colour.png", COLOUR)
    return tmp_path


def write_csv(root, header: str, *lines: str) -> None:
    (root / "places.csv").write_text("\n".join([header, *lines]) + "\n")


# --- size, channels, filters ------------------------------------------------------------------------------------------


def test_a_grey_face_of_this_size_is_not_touched_and_fills_all_three_colours(root):
    (gray,) = make(Face(48), root, "gray.png")
    (colour,) = make(Face(48, RGB), root, "gray.png")
    assert gray.shape == Face(48).shape == (1, 48, 48)
    assert colour.shape == Face(48, RGB).shape == (3, 48, 48)
    assert (gray[0] == GRAY).all()
    assert (colour == GRAY).all()
    assert gray.dtype == colour.dtype == Face().dtype == np.uint8


def test_colours_come_as_red_green_blue_or_as_their_grey(root):
    (colour,) = make(Face(9, RGB), root, "colour.png")
    assert Face(9, RGB).channels == list(RGB)
    pillow = np.asarray(Image.fromarray(COLOUR).resize((9, 9), Image.Resampling.LANCZOS))
    assert (colour == pillow.transpose(2, 0, 1)).all()
    write_image(root / "square.png", COLOUR[:, :40])
    (gray,) = make(Face(40), root, "square.png")
    assert np.abs(gray[0] - COLOUR[:, :40] @ (0.299, 0.587, 0.114)).max() <= 1


@pytest.mark.parametrize("size", [24, 30, 100, 224])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_filters_agree_with_torchvision(interpolation, size):
    mode = torchvision.InterpolationMode[interpolation.upper()]
    other = torchvision.resize(torch.from_numpy(GRAY)[None], [size, size], interpolation=mode, antialias=True)[0]
    assert np.abs(resize(GRAY, size, interpolation).astype(int) - other.numpy()).max() <= 1


def test_area_is_the_mean_of_the_pixels_and_nearest_one_of_them():
    blocks = GRAY.reshape(24, 2, 24, 2).mean(axis=(1, 3))
    assert np.abs(resize(GRAY, 24, "area") - blocks).max() <= 1  # rounded along each axis
    assert (resize(GRAY, 16, "nearest") == GRAY[1::3, 1::3]).all()
    assert (resize(GRAY, 96, "nearest") == np.kron(GRAY, np.ones((2, 2)))).all()
    assert (resize(GRAY, 96, "area") == resize(GRAY, 96, "bilinear")).all()
    assert (resize(COLOUR, 50, "area") == resize(COLOUR, 50, "bilinear")).all(), "larger in one direction"


def test_every_filter_but_nearest_smooths_before_reducing():
    board = (np.indices((96, 96)).sum(axis=0) % 2 * 255).astype(np.uint8)  # reduced to half: nothing but grey is right
    for interpolation in set(INTERPOLATIONS) - {"nearest"}:
        inner = resize(board, 48, interpolation)[4:-4, 4:-4]
        assert np.abs(inner.astype(float) - 127.5).max() <= 1, interpolation
    assert set(np.unique(resize(board, 48, "nearest"))) < {0, 255}


def test_enlarging_with_lanczos_is_sharper_than_bilinear():
    edge = np.where(np.arange(48) < 24, 60, 200).astype(np.uint8) * np.ones((48, 1), np.uint8)
    steps = {name: np.abs(np.diff(resize(edge, 224, name)[100].astype(int))).max() for name in ("lanczos", "bilinear")}
    assert steps["lanczos"] > steps["bilinear"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"interpolation": "cubic"}, r"interpolation='cubic' is not one of \['nearest', 'area'"),
        ({"channels": ["blue", "green", "red"]}, r"channels=\['blue', 'green', 'red'\] is not one of"),
        ({"size": 0}, "size=0 must be at least 1 pixel"),
        ({"margin": -0.5}, "margin=-0.5"),
        ({"crop": "box"}, r"crop='box' is not one of \[None, 'boxes'"),
        ({"crop": "boxes"}, "crop='boxes' does not go with crop_file=None"),
        ({"crop_file": "boxes.csv"}, "crop=None does not go with crop_file='boxes.csv'"),
        ({"align": "nose"}, "align='nose' is not one of"),
        ({"not_found": "black"}, "not_found='black' is not one of"),
    ],
)
def test_wrong_options_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Face(**wrong)


def test_flip_gives_the_array_of_the_mirrored_image(root):
    write_image(root / "mirrored.png", COLOUR[:, ::-1])
    for recipe in (Face(48, RGB), Face(31)):
        array, mirrored = make(recipe, root, "colour.png", "mirrored.png")
        assert np.abs(recipe.flip(array).astype(int) - mirrored).max() <= 1
        assert torch.from_numpy(recipe.flip(array)).shape == recipe.shape


def test_flip_of_a_flow_picture_turns_u_round_and_nothing_else():
    recipe = FlowImage(4, ["strain", "u", "v"])
    array = np.random.default_rng(2).integers(0, 256, (3, 4, 4), dtype=np.uint8)
    strain, u, v = recipe.flip(array)
    assert (strain == array[0, :, ::-1]).all()
    assert (u == 255 - array[1, :, ::-1]).all()
    assert (v == array[2, :, ::-1]).all()
    assert (recipe.flip(recipe.flip(array)) == array).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_that_a_camera_notes_is_obeyed(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = cv2.resize(COLOUR[:5, :6], (60, 40))
    Image.fromarray(smooth).save(tmp_path / "phone.jpg", quality=95, exif=exif)
    stored, image = Image.open(tmp_path / "phone.jpg"), sources.read_file(tmp_path, "phone.jpg")
    turns = {3: 180, 6: -90, 8: 90}  # the others are mirrored too, which no camera writes
    if orientation in turns:
        stored = stored.rotate(turns[orientation], expand=True)
    if orientation in {1, *turns}:
        assert np.abs(image.astype(int) - np.asarray(stored)).max() <= 3  # two decoders
    assert image.shape[:2] == ((40, 60) if orientation < 5 else (60, 40))


# --- boxes ------------------------------------------------------------------------------------------------------------


def test_a_box_is_cut_out_as_a_square_with_its_margin(root):
    write_csv(root, BOXES, "colour.png,10,5,30,25")
    (face,) = make(Face(20, RGB, crop="boxes", crop_file="places.csv"), root, "colour.png")
    assert (face == COLOUR[5:25, 10:30].transpose(2, 0, 1)).all()
    (face,) = make(Face(30, RGB, crop="boxes", crop_file="places.csv", margin=0.25), root, "colour.png")
    assert (face == COLOUR[0:30, 5:35].transpose(2, 0, 1)).all()
    write_csv(root, "score,Path,left, top,right,bottom", "", "0.5,colour.png,10.2,5,30,19.8")  # wider than high
    (face,) = make(Face(20, RGB, crop="boxes", crop_file="places.csv"), root, "colour.png")
    assert (face == COLOUR[2:22, 10:30].transpose(2, 0, 1)).all()


def test_outside_the_image_its_border_is_repeated(root):
    write_csv(root, BOXES, "colour.png,-4,30,16,50")
    (face,) = make(Face(20, RGB, crop="boxes", crop_file="places.csv"), root, "colour.png")
    expected = COLOUR[np.clip(np.arange(30, 50), 0, 39)][:, np.clip(np.arange(-4, 16), 0, 59)]
    assert (face == expected.transpose(2, 0, 1)).all()


GOOD_BOX, GOOD_POINTS = "colour.png,10,5,30,25", f"colour.png,{','.join(map(str, FACE_POINTS))}"
SWAPPED = f"gray.png,{','.join(map(str, np.array(FACE_POINTS).reshape(5, 2)[[1, 0, 2, 4, 3]].ravel()))}"


@pytest.mark.parametrize(
    ("crop", "lines", "message"),
    [
        ("boxes", ["path,left,top,right", GOOD_BOX], "line 1: expected the columns path,left,top,right,bottom, found"),
        ("boxes", [], "line 1: expected the columns path,left,top,right,bottom, found ''"),
        ("landmarks", [BOXES, GOOD_BOX], "line 1: expected the columns path,x1,y1"),
        ("boxes", [BOXES, "gray.png,1,2,3,4"], r"no line has the path 'colour\.png' .*the first line has 'gray\.png'"),
        ("boxes", [BOXES], r"no line has the path 'colour\.png' .*the first line has 'no path at all'"),
        ("boxes", [BOXES, GOOD_BOX, "", GOOD_BOX], r"line 4: colour\.png stands in places\.csv, line 2 too"),
        ("boxes", [BOXES, GOOD_BOX, "gray.png,1,2,3"], "line 3: expected 5 fields as in the header, found 4"),
        ("boxes", [BOXES, "gray.png,1,2,nan,4"], r"line 2 \(gray\.png\): expected left,top,right,bottom as numbers"),
        ("boxes", [BOXES, "gray.png,1,2,inf,4"], r"line 2 .* as numbers, found \['1', '2', 'inf', '4'\]"),
        ("boxes", [BOXES, "gray.png,1,2,,4"], r"line 2 .* as numbers, found \['1', '2', '', '4'\]"),
        ("boxes", [BOXES, "gray.png,9,2,9,4"], "line 2 .*the box is empty; expected left < right and top < bottom"),
        ("boxes", [BOXES, "gray.png,1,8,3,4"], "line 2 .*the box is empty"),
        ("boxes", [BOXES, "colour.png,100,5,130,25"], r"line 2: most of the face, \[100\.0, .*outside.* 60x40 pixels"),
        ("boxes", [BOXES, "colour.png,0,0,1e9,1e9"], "line 2: most of the face"),
        ("landmarks", [POINTS, GOOD_POINTS.replace("40,12", "1e9,12")], "line 2: most of the face"),
        ("landmarks", [POINTS, GOOD_POINTS, SWAPPED], r"line 3 \(gray\.png\): the mouth is not below the eyes"),
        ("landmarks", [POINTS, "gray.png" + ",7" * 10], r"line 2 \(gray\.png\): the mouth is not below the eyes"),
    ],
)
def test_a_csv_that_cannot_be_used_is_named_with_its_line(root, crop, lines, message):
    (root / "places.csv").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=rf"places\.csv.*{message}"):
        make(Face(20, crop=crop, crop_file="places.csv"), root, "colour.png")


def test_a_missing_csv_and_one_that_is_none_are_named(root):
    with pytest.raises(DatasetNotFoundError, match=r"places\.csv: no such file in .*crop=boxes"):
        make(Face(20, crop="boxes", crop_file="places.csv"), root, "colour.png")
    (root / "places.csv").write_text(BOXES, encoding="utf-16")
    with pytest.raises(DatasetError, match=r"places\.csv: this is no csv in UTF-8"):
        make(Face(20, crop="boxes", crop_file="places.csv"), root, "colour.png")


def test_a_csv_with_a_byte_order_mark_is_read_and_read_again_when_it_changes(root):
    recipe = Face(20, RGB, crop="boxes", crop_file="places.csv")
    (root / "places.csv").write_text(f"{BOXES}\r\n{GOOD_BOX}\r\n", encoding="utf-8-sig")
    (first,) = make(recipe, root, "colour.png")
    write_csv(root, BOXES, "colour.png,11,5,31,25")
    (second,) = make(recipe, root, "colour.png")
    assert (second == COLOUR[5:25, 11:31].transpose(2, 0, 1)).all()
    assert (first == COLOUR[5:25, 10:30].transpose(2, 0, 1)).all()


def test_the_cache_makes_a_new_entry_when_the_csv_changes_and_keeps_remarks(root, tmp_path):
    manifest = contract.fill(
        pd.DataFrame({"sample_id": ["toy/1"], "dataset": "toy", "path": ["colour.png"], "label": "a"})
    )
    recipe = Face(20, RGB, crop="boxes", crop_file="places.csv")
    folders = []
    for line in (GOOD_BOX, "colour.png,11,5,31,25"):
        write_csv(root, BOXES, line)
        folders.append(prepare(manifest, recipe, root, tmp_path / "cache", "toy").folder)
    assert folders[0] != folders[1]
    cache = prepare(manifest, Face(20, crop="detect"), root, tmp_path / "cache", "toy")
    assert cache.counts() == {NO_FACE: 1}


def test_rafdb_names_boxes_and_landmarks_in_one_file_per_image(root):
    folder = root / "basic/Annotation"
    write_image(root / "basic/Image/original/train_00001.png", COLOUR)
    path = "basic/Image/original/train_00001.png"
    (folder / "boundingbox").mkdir(parents=True)
    (folder / "manual").mkdir()
    (folder / "boundingbox/train_00001_boundingbox.txt").write_text("10.0 5.0 30.0 25.0 \n")
    pairs = zip(FACE_POINTS[::2], FACE_POINTS[1::2], strict=True)
    (folder / "manual/train_00001_manu_attri.txt").write_text("".join(f"{x}\t{y}\n" for x, y in pairs) + "0\n2\n3\n")
    (box,) = make(Face(20, RGB, crop="boxes", crop_file="basic/Annotation/boundingbox"), root, path)
    assert (box == COLOUR[5:25, 10:30].transpose(2, 0, 1)).all()
    (points,) = make(Face(20, RGB, crop="landmarks", crop_file="basic/Annotation/manual"), root, path)
    write_csv(root, POINTS, f"{path},{','.join(map(str, FACE_POINTS))}")
    (same,) = make(Face(20, RGB, crop="landmarks", crop_file="places.csv"), root, path)
    assert (points == same).all()
    (folder / "boundingbox/train_00001_boundingbox.txt").write_text("10.0 5.0 30.0")
    with pytest.raises(DatasetError, match=r"train_00001_boundingbox\.txt: expected 4 numbers, found 3"):
        make(Face(20, crop="boxes", crop_file="basic/Annotation/boundingbox"), root, path)
    with pytest.raises(DatasetNotFoundError, match=r"no gray_boundingbox\.txt in .*data\.builder\.images=original"):
        make(Face(20, crop="boxes", crop_file="basic/Annotation/boundingbox"), root, "gray.png")


# --- landmarks --------------------------------------------------------------------------------------------------------


def dotted_face(degrees: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """A dark image of 400x300 pixels with five soft dots where the turned and scaled landmarks lie, and these."""
    angle = math.radians(degrees)
    matrix = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = (places(112) - 56) @ matrix.T + (210.3, 140.8)
    y, x = np.mgrid[:300, :400]
    dots = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (3 * scale) ** 2)) for px, py in points)
    return np.clip(10 + 200 * dots, 0, 255).astype(np.uint8), points


def centres(face: np.ndarray, size: int, margin: float) -> np.ndarray:
    """Centre of the brightness round each place."""
    found = []
    for px, py in places(size, margin):
        y, x = np.mgrid[:size, :size]
        weight = np.clip(face.astype(float) - 30, 0, None) * (np.hypot(x - px, y - py) < size / 10)
        found.append(((weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()))
    return np.array(found)


@pytest.mark.parametrize("align", ["eyes", "five_points"])
@pytest.mark.parametrize(("size", "margin"), [(112, 0.0), (48, 0.0), (224, 0.0), (224, 0.3)])
@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (25, 1.3), (-120, 0.6)])
def test_landmarks_come_to_their_places(tmp_path, degrees, scale, size, margin, align):
    image, points = dotted_face(degrees, scale)
    write_image(tmp_path / "face.png", image)
    write_csv(tmp_path, POINTS, f"face.png,{','.join(f'{value:.3f}' for value in points.ravel())}")
    recipe = Face(size, crop="landmarks", crop_file="places.csv", margin=margin, align=align)
    (face,) = make(recipe, tmp_path, "face.png")
    assert np.abs(centres(face[0], size, margin) - places(size, margin)).max() < 0.25 * max(1, size / 112)


def test_eyes_are_met_exactly_and_five_points_only_on_the_whole(tmp_path):
    image, points = dotted_face(0, 1.0)
    moved = points.copy()
    moved[2:] += (0, 12)  # a longer face than the places are made for
    write_image(tmp_path / "face.png", image)
    write_csv(tmp_path, POINTS, f"face.png,{','.join(f'{value:.3f}' for value in moved.ravel())}")
    errors = {}
    for align in ("eyes", "five_points"):
        (face,) = make(Face(112, crop="landmarks", crop_file="places.csv", align=align), tmp_path, "face.png")
        errors[align] = np.abs(centres(face[0], 112, 0.0) - places(112))[:2].max()
    assert errors["eyes"] < 0.25 < errors["five_points"]
