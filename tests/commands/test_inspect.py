"""Contact sheets show what the cache holds."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image as mpimg

from fer_lightning import catalogue, inspect
from fer_lightning.reporting import contact


def test_flow_is_red_to_the_right_and_black_where_nothing_moves():
    u, v = np.zeros((9, 9)), np.zeros((9, 9))
    u[4, 4], v[2, 2], u[6, 6] = 3.0, 3.0, -3.0
    shown = contact.flow_colours(u + 125, v + 152)  # stored flow: zero lies somewhere
    assert shown[4, 4].tolist() == [255, 0, 0]
    assert shown[6, 6].tolist() == [0, 255, 255], "left is the opposite hue"
    assert shown[2, 2].tolist() == pytest.approx([128, 255, 0], abs=1), "down is a quarter turn on"
    assert shown[0, 0].tolist() == [0, 0, 0]


def test_grey_becomes_grey_and_colour_stays_colour():
    grey = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
    assert (contact.picture(grey, ["gray"]) == grey[0][..., None]).all()
    colour = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    assert contact.picture(colour, ["red", "green", "blue"])[1, 0].tolist() == [2, 6, 10]


def test_a_sheet_has_one_row_a_class_and_every_thumbnail_in_its_place():
    thumbs = [[np.full((5, 4, 3), 10 * y + x, np.uint8) for x in range(3)] for y in range(2)]
    page = contact.sheet(thumbs, gap=1)
    assert page.shape == (2 * 6 + 1, 3 * 5 + 1, 3)
    assert page[7, 6].tolist() == [11, 11, 11]
    assert page[0].min() == 255


@pytest.mark.parametrize("name", ["fer2013", "megc2019_flow"])
def test_the_command_writes_picture_and_page(name, tmp_path, capsys):
    assert inspect.main([f"data={name}", "debug=tiny", f"paths.runs={tmp_path}", "--samples", "4"]) == 0
    picture, page = capsys.readouterr().out.splitlines()
    rows, columns = mpimg.imread(picture).shape[:2]
    assert rows > columns if name == "fer2013" else columns > rows  # 7 or 3 classes of 4 samples
    text = Path(page).read_text()
    assert "SYNTHETIC" in text
    assert text.count("<figure>") == text.count("data:image/png;base64,") == (28 if name == "fer2013" else 12)
    assert "src='http" not in text, "the page must be self-contained"


def test_valence_and_arousal_stand_beside_the_picture():
    row = {"split": "val", "subject": "v1", "apex": pd.NA, "valence": 0.5, "arousal": -0.25}
    assert inspect._caption(pd.Series(row), "") == "val, v1, valence +0.50, arousal -0.25"
    assert inspect._caption(pd.Series(row), "nobody in the frame").endswith("-0.25, nobody in the frame")


def test_the_list_of_data_sets_says_what_is_here(tiny_raw, monkeypatch, capsys):
    monkeypatch.setenv("FER_RAW", str(tiny_raw))
    assert catalogue.main(["fer2013", "casme2", "samm_flow", "--read"]) == 0
    told = capsys.readouterr().out
    assert "there, SYNTHETIC, 140 samples" in told
    monkeypatch.setenv("FER_RAW", str(tiny_raw / "nowhere"))
    assert catalogue.main(["fer2013"]) == 0
    assert "not there" in capsys.readouterr().out
    assert catalogue.main(["fer2014"]) == 2


def test_a_clip_shows_its_first_middle_and_last_frame():
    clip = np.arange(5, dtype=np.uint8).reshape(1, 5, 1, 1).repeat(2, axis=2).repeat(2, axis=3)
    shown = contact.picture(clip, ["gray"])
    assert shown.shape == (2, 6, 3)
    assert shown[0, :, 0].tolist() == [0, 0, 2, 2, 4, 4]


@pytest.mark.parametrize("options", [["data=dfew", "input=openpose_json"], ["data=affwild2_va"]], ids=" ".join)
def test_key_points_and_valence_are_shown(options, tmp_path):
    """Skeletons are drawn from arrays; frames without a class stand by quarter, valence and arousal beside them."""
    assert inspect.main([*options, "debug=tiny", f"paths.runs={tmp_path}", "--samples", "3"]) == 0
    page = next((tmp_path / "inspect").glob("*.html")).read_text()
    picture = mpimg.imread(next((tmp_path / "inspect").glob("*.png")))
    assert picture[..., :3].std() > 0.05
    if "affwild2" in options[0]:
        assert re.search(r"valence [+-]0\.\d\d, arousal [+-]", page)
        assert "valence &lt; 0" in page
