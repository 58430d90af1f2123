"""Faces found by OpenCV's cascade, and by a network with the outputs of YuNet.

The real face is that of Eileen Collins, photographed by NASA, which scikit-image brings along.
"""

import math
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from skimage import data as pictures
from skimage.feature import Cascade

from fer_lightning.datasets.synthetic import write_image
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.preprocess import face_crop
from fer_lightning.preprocess.face import NO_FACE, Face
from fer_lightning.preprocess.remark import Remarked

RGB = ("red", "green", "blue")
#: x and y of five landmarks, as shares of a cell.
CELL_POINTS = np.array([[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0.3, 0.75], [0.7, 0.75]])


def make(recipe: Face, root: Path, *paths: str) -> list[np.ndarray | Remarked]:
    return list(recipe.make(root, pd.DataFrame({"path": paths})))


def overlap(a, b) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(width, 0) * max(height, 0)
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


def detect(image: np.ndarray) -> np.ndarray | None:
    return face_crop.detect_by_cascade(image)


@pytest.fixture(scope="module")
def astronaut() -> tuple[np.ndarray, np.ndarray]:
    """Eileen Collins, photographed by NASA, and the box of her face that scikit-image's own cascade finds."""
    image = pictures.astronaut()
    finder = Cascade(pictures.lbp_frontal_face_cascade_filename())
    best = max(finder.detect_multi_scale(image, 1.2, 1, (60, 60), (160, 160)), key=lambda face: face["width"])
    left, top, side = best["c"], best["r"], best["width"]
    return image, np.array([left, top, left + side, top + side])


def test_the_face_is_found_where_another_implementation_finds_it(astronaut):
    image, box = astronaut
    assert overlap(detect(image), box) > 0.6
    assert all((detect(image) == detect(image)).all() for _ in range(5)), "threads must not change what is found"


def test_a_mirrored_shifted_or_scaled_face_is_found_there(astronaut):
    image, _ = astronaut
    left, top, right, bottom = detect(image)
    assert overlap(detect(image[:, ::-1]), (512 - right, top, 512 - left, bottom)) > 0.85
    shifted = cv2.copyMakeBorder(image, 100, 0, 240, 0, cv2.BORDER_REPLICATE)
    assert overlap(detect(shifted), (left + 240, top + 100, right + 240, bottom + 100)) > 0.85
    for scale in (0.5, 3.0):  # three times as large is searched at 640 pixels
        scaled = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        assert overlap(detect(scaled), np.array([left, top, right, bottom]) * scale) > 0.8
    assert overlap(detect(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)), (left, top, right, bottom)) > 0.95


def test_the_largest_face_is_taken(astronaut):
    image, _ = astronaut
    both = np.zeros((512, 800, 3), np.uint8)
    both[:, 288:], both[:256, :256] = image, cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA)
    assert overlap(detect(both), detect(image) + np.array([288, 0, 288, 0])) > 0.85
    assert overlap(detect(both[:, ::-1]), detect(image[:, ::-1])) > 0.85


def test_a_turned_face_is_cut_out(tmp_path, astronaut):
    image, _ = astronaut
    left, top, right, bottom = detect(image)
    turn = cv2.getRotationMatrix2D(((left + right) / 2, (top + bottom) / 2), 10, 1.0)
    write_image(tmp_path / "turned.png", cv2.warpAffine(image, turn, (512, 512)))
    write_image(tmp_path / "upright.png", image)
    upright, turned = make(Face(64, crop="detect", margin=0.1), tmp_path, "upright.png", "turned.png")
    assert upright.shape == turned.shape == (1, 64, 64)
    assert np.corrcoef(upright.ravel(), turned.ravel())[0, 1] > 0.6
    (whole,) = make(Face(64), tmp_path, "upright.png")
    assert np.corrcoef(upright.ravel(), whole.ravel())[0, 1] < 0.5


def test_an_image_without_a_face_is_remarked_or_stops_the_work(tmp_path):
    cat = pictures.chelsea()  # 300 high, 451 wide
    write_image(tmp_path / "cat.png", cat)
    (found,) = make(Face(300, RGB, crop="detect"), tmp_path, "cat.png")
    assert isinstance(found, Remarked)
    assert found.remark == NO_FACE
    assert (found.array == cat[:, 75:375].transpose(2, 0, 1)).all()
    with pytest.raises(DatasetError, match=r"cat\.png: no face was found"):
        make(Face(300, crop="detect", not_found="error"), tmp_path, "cat.png")


def test_real_faces_of_48_pixels_are_found_in_part(fer_raw):
    paths = [f"fer2013.csv.xz#{number}" for number in range(100)]
    faces = make(Face(48, crop="detect"), fer_raw / "fer2013", *paths)
    lost = [face for face in faces if isinstance(face, Remarked)]
    assert 20 < len(lost) < 90, "they fill the image, which leaves no room round them that the cascade wants"
    plain = make(Face(48), fer_raw / "fer2013", *paths)
    for face, image in zip(faces, plain, strict=True):
        if isinstance(face, Remarked):
            assert (face.array == image).all()


def message(*fields: tuple[int, object]) -> bytes:
    """Fields (number, value) as Protocol Buffers write them: whole numbers, texts and messages."""

    def varint(number: int) -> bytes:
        number &= (1 << 64) - 1
        low, rest = number & 127, number >> 7
        return bytes([low | 128]) + varint(rest) if rest else bytes([low])

    written = b""
    for place, value in fields:
        if isinstance(value, int):
            written += varint(place << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            written += varint(place << 3 | 2) + varint(len(value)) + value
    return written


def red_square_network() -> bytes:
    """A network with YuNet's outputs in ONNX form that takes every red cell of 32x32 pixels for a face of 64x64 pixels.

    For each stride of 8, 16 and 32 pixels YuNet says of each cell: class and object (their geometric mean is the
    score), the box (centre in the cell, logarithm of the size, in strides) and five points in the cell. All but the
    class are constants here.
    """
    heads = {"cls": (0,), "obj": (1,), "bbox": (0.5, 0.5, math.log(2), math.log(2)), "kps": CELL_POINTS.ravel()}
    nodes, tensors, outputs = [], [], []

    def tensor(name: str, kind: int, values: np.ndarray) -> tuple[int, bytes]:
        return 5, message(*((1, n) for n in values.shape), (2, kind), (9, values.tobytes()), (8, name))

    def ints(name: str, values: tuple) -> tuple[int, bytes]:
        return 5, message((1, name), *((8, value) for value in values), (20, 7))

    def value_info(name: str, shape: tuple) -> bytes:
        dims = message(*((1, message((1, n))) for n in shape))
        return message((1, name), (2, message((1, message((1, 1), (2, dims))))))

    for name, bias in heads.items():
        for stride in (8, 16, 32):
            own = f"{name}_{stride}"
            weight = np.zeros((len(bias), 3, stride, stride), np.float32)
            if own == "cls_32":
                weight[0] = np.array([-1, -1, 1])[:, None, None] / (255 * stride**2)  # blue, green, red
            tensors += [tensor(f"w_{own}", 1, weight), tensor(f"b_{own}", 1, np.array(bias, np.float32))]
            tensors += [tensor(f"s_{own}", 7, np.array([1, -1, len(bias)], np.int64))]
            steps = [
                ("Conv", ["input", f"w_{own}", f"b_{own}"], f"c_{own}", [ints("strides", (stride, stride))]),
                ("Transpose", [f"c_{own}"], f"t_{own}", [ints("perm", (0, 2, 3, 1))]),
                ("Reshape", [f"t_{own}", f"s_{own}"], own, []),
            ]
            for kind, inputs, output, attributes in steps:
                if kind == "Conv":
                    attributes = [*attributes, ints("kernel_shape", (stride, stride))]
                nodes.append((1, message(*((1, i) for i in inputs), (2, output), (4, kind), *attributes)))
            outputs.append((12, value_info(own, (1, (320 // stride) ** 2, len(bias)))))
    graph = message(*nodes, (2, "red"), *tensors, (11, value_info("input", (1, 3, 320, 320))), *outputs)
    return message((1, 7), (7, graph), (8, message((1, ""), (2, 11))))


def test_a_network_like_yunet_gives_landmarks_of_the_full_image(tmp_path):
    (tmp_path / "red.onnx").write_bytes(red_square_network())
    image = np.full((480, 640, 3), (0, 120, 0), np.uint8)
    assert face_crop.detect_by_yunet(tmp_path / "red.onnx", image) is None
    image[128:192, 256:320] = (255, 0, 0)  # at 320x240 pixels, which is searched, the cell in row 2, column 4
    found = face_crop.detect_by_yunet(tmp_path / "red.onnx", image)
    small = (CELL_POINTS + np.array([4, 2])) * 32
    np.testing.assert_allclose(found, small * 2 + 0.5, atol=1e-3)  # (x + 0.5) * 2 - 0.5
    write_image(tmp_path / "red.png", image)
    write_image(tmp_path / "blue.png", image[..., ::-1])
    recipe = Face(48, RGB, crop="detect", crop_file="red.onnx")
    red, blue = make(recipe, tmp_path, "red.png", "blue.png")
    assert recipe.raw_files == ["red.onnx"]
    assert isinstance(blue, Remarked)
    assert (red[0, 18:40, 12:36] > 240).all(), "the square between eyes and mouth is red"


def test_a_file_that_is_no_network_is_named(tmp_path):
    write_image(tmp_path / "face.png", np.zeros((48, 48), np.uint8))
    (tmp_path / "yunet.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DatasetError, match=r"yunet\.onnx: OpenCV cannot use this as YuNet's network"):
        make(Face(48, crop="detect", crop_file="yunet.onnx"), tmp_path, "face.png")
    with pytest.raises(DatasetNotFoundError, match=r"gone\.onnx: no such file"):
        make(Face(48, crop="detect", crop_file="gone.onnx"), tmp_path, "face.png")
