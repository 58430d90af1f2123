"""Reading images from files, archives and csv rows."""

import io
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_lightning.datasets.synthetic import write_image
from fer_lightning.errors import DatasetError, DatasetNotFoundError
from fer_lightning.preprocess import sources

GRAY = np.arange(48 * 48).reshape(48, 48).astype(np.uint8)
RED = np.zeros((5, 6, 3), dtype=np.uint8)
RED[..., 0] = 200


def rows(*paths: str) -> pd.DataFrame:
    return pd.DataFrame({"sample_id": paths, "path": paths})


def test_colours_come_as_red_green_blue_and_grey_stays_grey(tmp_path):
    write_image(tmp_path / "a" / "red.png", RED)
    write_image(tmp_path / "gray.png", GRAY)
    red, gray = sources.read_images(tmp_path, ["a/red.png", "gray.png"])
    assert (red == RED).all()
    assert (gray == GRAY).all()
    assert sources.to_gray(red)[0, 0] == round(0.299 * 200)


def test_files_and_archive_members_may_be_mixed_in_any_order(tmp_path):
    write_image(tmp_path / "gray.png", GRAY)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.write(tmp_path / "gray.png", "train/a.png")
        archive.writestr("train/b.png", cv2.imencode(".png", 255 - GRAY)[1].tobytes())
    paths = ["archive.zip#train/b.png", "gray.png", "archive.zip#train/a.png", "archive.zip#train/b.png"]
    b, plain, a, again = sources.read_images(tmp_path, paths)
    assert (plain == GRAY).all()
    assert (a == GRAY).all()
    assert (b == 255 - GRAY).all()
    assert (again == b).all()


def test_a_damaged_member_of_an_archive_is_named(tmp_path):
    data = cv2.imencode(".jpg", GRAY)[1].tobytes()
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("good.jpg", data)
        archive.writestr("half.jpg", data[: len(data) // 2])
        archive.writestr("none.jpg", b"not an image")
        archive.writestr("bits.jpg", data)
    raw = bytearray((tmp_path / "archive.zip").read_bytes())
    raw[raw.rfind(data[:20]) + 100] ^= 0xFF  # the last member no longer fits its check sum
    (tmp_path / "archive.zip").write_bytes(bytes(raw))
    for member, message in {
        "half.jpg": r"archive.zip#half.jpg: this image of \d+ bytes is cut off",
        "none.jpg": r"archive.zip#none.jpg: this image of 12 bytes cannot be decoded",
        "bits.jpg": r"archive.zip#bits.jpg: this member of the archive is damaged: Bad CRC-32",
        "gone.jpg": r"archive.zip#gone.jpg: the archive has no such member",
    }.items():
        with pytest.raises(DatasetError, match=message):
            list(sources.read_images(tmp_path, ["archive.zip#good.jpg", f"archive.zip#{member}"]))


def test_missing_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"a/b.jpg: no such image in"):
        list(sources.read_images(tmp_path, ["a/b.jpg"]))
    with pytest.raises(DatasetNotFoundError, match=r"x.zip: no such archive in"):
        list(sources.read_images(tmp_path, ["x.zip#a.jpg"]))
    (tmp_path / "lfs.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DatasetError, match=r"lfs.png: .*Git-LFS pointer"):
        sources.read_file(tmp_path, "lfs.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(DatasetError, match=r"empty.png: this image of 0 bytes cannot be decoded"):
        sources.read_file(tmp_path, "empty.png")
    (tmp_path / "deep.png").write_bytes(cv2.imencode(".png", GRAY.astype(np.uint16) * 200)[1].tobytes())
    with pytest.raises(DatasetError, match=r"deep.png: expected 8 bits a channel, found uint16"):
        sources.read_file(tmp_path, "deep.png")


def test_csv_rows_are_read_in_ascending_order(tmp_path):
    lines = [f"0,Training,{' '.join([str(number)] * 2304)}" for number in range(10)]
    (tmp_path / "icml_face_data.csv").write_text("\n".join(["emotion, Usage, pixels", *lines]) + "\n")
    paths = [f"icml_face_data.csv#{number}" for number in (0, 2, 3, 9)]
    assert [image[0, 0] for image in sources.read_images(tmp_path, paths)] == [0, 2, 3, 9]
    with pytest.raises(DatasetError, match="rows must be asked for in ascending order"):
        list(sources.read_images(tmp_path, paths[::-1]))
    with pytest.raises(DatasetError, match="row 10 was asked for, but the file ends before"):
        list(sources.read_images(tmp_path, ["icml_face_data.csv#10"]))
    with pytest.raises(DatasetError, match="expected a row number after '#'"):
        list(sources.read_images(tmp_path, ["icml_face_data.csv#x"]))


def test_chunk_keys_keep_together_what_is_read_together():
    keys = [sources.chunk_key(p) for p in ("fer2013.csv.xz#17", "archive.zip#train/angry/1.jpg", "train/angry/1.jpg")]
    assert keys == ["fer2013.csv.xz", "archive.zip#train/angry", ""]


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


def see_through(alpha: int) -> np.ndarray:
    """Red, green, blue, alpha ``(5, 6, 4)``: one colour, whose first row has this alpha."""
    pixels = np.full((5, 6, 4), (200, 100, 50, 255), dtype=np.uint8)
    pixels[0, :, 3] = alpha
    return pixels


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_transparent_part_is_white_whatever_colour_hides_below_it(kind):
    clear = sources.decode(saved(Image.fromarray(see_through(0)), kind), "1")
    assert (clear[0] == 255).all()
    assert (clear[1:] == (200, 100, 50)).all()
    half = sources.decode(saved(Image.fromarray(see_through(51)), kind), "1")
    assert np.abs(half[0].astype(int) - (244, 224, 214)).max() <= 1  # 255 - (255 - 200) * 51 / 255 and so on
    opaque = sources.decode(saved(Image.fromarray(see_through(255)), kind), "1")
    assert (opaque == (200, 100, 50)).all()


def test_transparency_of_grey_and_of_palettes_is_white_too():
    grey = see_through(0)[..., 0].copy()
    grey[0] = 7
    marked = sources.decode(saved(Image.fromarray(grey), "PNG", transparency=7), "grey.png")
    assert marked.shape == (5, 6)
    assert (marked[0] == 255).all()
    assert (marked[1:] == 200).all()
    palette = Image.fromarray(grey).convert("P")
    marked = sources.decode(saved(palette, "PNG", transparency=7), "palette.png")
    assert (sources.to_gray(marked) == np.where(grey == 7, 255, 200)).all()


def test_an_opaque_picture_with_an_alpha_channel_keeps_its_pixels():
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    noise[..., 3] = 255
    for kind in ("PNG", "TIFF"):
        assert (sources.decode(saved(Image.fromarray(noise), kind), "1") == noise[..., :3]).all()


def test_a_transparent_picture_is_upright():
    turned = Image.Exif()
    turned[0x0112] = 6  # the first row is shown as the last column
    shown = sources.decode(saved(Image.fromarray(see_through(0)), "PNG", exif=turned), "phone.png")
    assert shown.shape == (6, 5, 3)
    assert (shown[:, -1] == 255).all()
    assert (shown[:, :-1] == (200, 100, 50)).all()


def test_a_tif_of_several_pages_is_refused(tmp_path):
    first, second = Image.fromarray(RED), Image.fromarray(255 - RED)
    (tmp_path / "x.tif").write_bytes(saved(first, "TIFF", save_all=True, append_images=[second]))
    with pytest.raises(DatasetError, match=r"x.tif: expected one picture, found a tif of 2 pages; save the page"):
        sources.read_file(tmp_path, "x.tif")
    assert (sources.decode(saved(first, "TIFF"), "1.tif") == RED).all()


def test_a_folder_is_called_a_folder(tmp_path):
    (tmp_path / "d.png").mkdir()
    with pytest.raises(DatasetError, match=r"d.png: expected a picture, found a folder in .*; name the pictures in it"):
        sources.read_file(tmp_path, "d.png")
