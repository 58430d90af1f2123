"""FER2013 packed for a machine without a network: what is unpacked there is the csv that was packed, byte for byte."""

import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from benchmarks import carry
from fer_lightning.datasets import fer2013
from fer_lightning.errors import DatasetError


@pytest.fixture
def raw(tmp_path):
    """Synthetic FER2013, each tenth picture twice, and another folder."""
    fer2013.write_tiny(tmp_path / "raw" / "fer2013")
    csv = tmp_path / "raw" / "fer2013" / "fer2013.csv"
    rows = csv.read_text().splitlines()
    csv.write_text("\n".join([*rows, *rows[1::10]]) + "\n")
    (tmp_path / "raw" / "other").mkdir()
    (tmp_path / "raw" / "other" / "a.txt").write_text("a")
    return tmp_path / "raw"


def test_the_csv_comes_back_as_it_was(raw, tmp_path):
    assert carry.main(["pack", str(tmp_path / "small"), "--raw", str(raw), "--with", "other"]) == 0
    assert carry.main(["unpack", str(tmp_path / "small"), str(tmp_path / "there")]) == 0
    files = [root / "fer2013" / "fer2013.csv" for root in (raw, tmp_path / "there")]
    assert len({hashlib.sha256(file.read_bytes()).hexdigest() for file in files}) == 1
    assert (tmp_path / "there" / "other" / "a.txt").read_text() == "a"
    kept = np.asarray(Image.open(tmp_path / "small" / "fer2013" / "mosaic-000.png"))
    rows = len(files[0].read_text().splitlines()) - 1
    written = (kept.reshape(carry.SIDE, 48, carry.SIDE, 48).swapaxes(1, 2).reshape(-1, 48 * 48) > 0).any(axis=1).sum()
    assert written < rows, "a picture that comes again is kept once"


@pytest.mark.parametrize("damage", ["pixel", "missing", "about"])
def test_what_was_damaged_on_the_way_is_refused_and_writes_no_csv(raw, tmp_path, damage):
    carry.pack(raw / "fer2013" / "fer2013.csv", tmp_path / "small")
    mosaic = tmp_path / "small" / "mosaic-000.png"
    if damage == "pixel":
        pixels = np.array(Image.open(mosaic))
        pixels[0, 0] ^= 1
        Image.fromarray(pixels).save(mosaic)
    else:
        (mosaic if damage == "missing" else tmp_path / "small" / "about.json").unlink()
    with pytest.raises(DatasetError, match="pack" if damage != "pixel" else "is not the one that was packed"):
        carry.unpack(tmp_path / "small", tmp_path / "there" / "fer2013.csv")
    assert not list(tmp_path.glob("there/*"))


def test_what_cannot_be_packed_is_said(raw, tmp_path, capsys):
    assert carry.main(["pack", str(tmp_path / "small"), "--raw", str(raw), "--with", "nothing"]) == 2
    assert "has no folder nothing" in capsys.readouterr().err
    shutil.rmtree(raw / "fer2013")
    assert carry.main(["pack", str(tmp_path / "small"), "--raw", str(raw)]) == 2
    assert "fer2013.csv.xz" in capsys.readouterr().err
