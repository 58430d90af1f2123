"""Pictures from files and archives: the picture that was written, or a refusal that names it."""

import io
import zipfile

import cv2
import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from fer_lightning.preprocess import sources
from tests.properties_of import answer, examples, folder, nasty

GREY = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)
ENDS = (".png", ".jpg", ".bmp", ".tif")


def encode(end: str, colour: bool = True) -> bytes:
    return cv2.imencode(end, COLOUR[..., ::-1] if colour else GREY)[1].tobytes()


def archive(data: bytes, method: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as writer:
        writer.writestr("a/1.png", data)
        writer.writestr("a/2.png", b"not this one")
    return packed.getvalue()


@examples(60)
@given(st.sampled_from(ENDS), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_a_picture_that_is_cut_is_refused(end, colour, share):
    data = encode(end, colour)
    with folder({f"1{end}": data[: int(share * len(data))]}) as root:
        found = answer(lambda: sources.read_file(root, f"1{end}"), f"1{end}")
    assert found is None or (end == ".tif" and (found == sources.decode(data, "")).all())  # a tif ends with a table


def test_a_cut_picture_with_a_thumbnail_in_its_head_is_refused():
    data, small = encode(".jpg"), encode(".jpg", colour=False)
    head = data[:2] + b"\xff\xe1" + (len(small) + 2).to_bytes(2) + small
    whole = sources.decode(head + data[2:], "1.jpg")
    assert (whole == sources.decode(data, "1.jpg")).all()
    for end in range(len(head), len(head) + len(data) - 4, 7):
        assert answer(lambda end=end: sources.decode((head + data[2:])[:end], "1.jpg"), "1.jpg") is None


@examples(150)
@given(st.sampled_from(ENDS), st.integers(0), st.integers(1, 255))
def test_a_byte_in_a_picture_is_another_one(end, place, change):
    data = bytearray(encode(end))
    data[place % len(data)] ^= change
    found = answer(lambda: sources.decode(bytes(data), f"1{end}"), f"1{end}")
    if end == ".png" and found is not None:  # png has check sums; the other kinds just show another picture
        assert (found == COLOUR).all()


@examples(150)
@given(st.sampled_from(["PNG", "TIFF"]), st.booleans(), st.integers(0), st.integers(1, 255))
def test_a_transparent_picture_is_damaged(kind, cut, place, change):
    """Two decoders read these: what the first lets pass must not be another picture, or an error of the second."""
    alpha, written = np.dstack([COLOUR, GREY]), io.BytesIO()
    Image.fromarray(alpha).save(written, kind)
    data, whole = bytearray(written.getvalue()), sources.decode(written.getvalue(), "1")
    assert np.abs(whole - (255 - (255.0 - COLOUR) * GREY[..., None] / 255)).max() <= 1
    place %= len(data)
    if cut:
        del data[place:]
    else:
        data[place] ^= change
    found = answer(lambda: sources.decode(bytes(data), "1"), "1")
    if kind == "PNG" and found is not None:
        assert (found == whole).all()


@examples(40)
@given(st.binary(max_size=60), st.sampled_from([b"", *(encode(end)[:24] for end in ENDS)]))
def test_bytes_that_are_no_picture_are_refused(data, start):
    assert answer(lambda: sources.decode(start + data, "1.png"), "1.png") is None


@examples(150)
@given(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]), st.data())
def test_a_damaged_archive_is_refused_or_gives_the_picture(method, data):
    packed = archive(encode(".png"), method)
    place = data.draw(st.integers(0, len(packed) - 1))
    if data.draw(st.booleans()):
        packed = packed[:place]
    else:
        packed = packed[:place] + bytes([packed[place] ^ data.draw(st.integers(1, 255))]) + packed[place + 1 :]
    with folder({"x.zip": packed}) as root:
        found = answer(lambda: list(sources.read_images(root, ["x.zip#a/1.png"])), "x.zip")
    assert found is None or (found[0] == COLOUR).all()


@examples(60)
@given(st.sampled_from(["x.zip", "f.csv"]), nasty("a/2.png", "../a/1.png", "/etc/hostname", "99"))
@example("f.csv", "\u0661")
@example("f.csv", "\u00b2")
def test_a_strange_member_or_row_is_refused(name, member):
    table = b"emotion,pixels,Usage\n0,1 2,Training\n"
    with folder({"x.zip": archive(encode(".png"), zipfile.ZIP_STORED), "f.csv": table}) as root:
        assert answer(lambda: list(sources.read_images(root, [f"{name}#{member}"])), name) is None


@examples(40)
@given(nasty("a/b", "..", ".", "a" * 300))
def test_a_strange_path_is_refused(path):
    with folder({"1.png": encode(".png")}) as root:
        assert answer(lambda: list(sources.read_images(root, [path]))) is None
