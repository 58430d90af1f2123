"""The pictures of explanations show every sample and class, with the numbers that they stand for."""

import matplotlib.image
import numpy as np

from fer_lightning.reporting.pictures import CHANNELS, WRONG, maps_figure, means_figure, save, stages_figure

FACE = np.full((8, 6, 3), 128, np.uint8)


def cell(label: str, predicted: str) -> dict:
    return {
        "picture": FACE, "map": np.eye(3), "sample_id": f"{label}/1", "label": label, "predicted": predicted,
        "probability": 0.931,
    }  # fmt: skip


def test_every_sample_is_beside_its_heat_map_which_covers_it():
    figure = maps_figure([cell("happy", "happy"), cell("happy", "sad"), cell("sad", "sad")], "a title", columns=2)
    captions = [(part.get_suptitle(), part._suptitle.get_color()) for part in figure.subfigs[:3]]
    assert captions == [
        ("happy → happy (0.93)\nhappy/1", "black"), ("happy → sad (0.93)\nhappy/1", WRONG),
        ("sad → sad (0.93)\nsad/1", "black"),
    ]  # fmt: skip
    assert len(figure.subfigs[3].axes) == 0
    for part in figure.subfigs[:3]:
        left, right = part.axes
        assert len(left.images) == 1
        face, heat = right.images
        assert face.get_extent() == heat.get_extent()
        assert np.array_equal(heat.get_array(), np.eye(3))
    assert figure.get_suptitle() == "a title"


def test_some_stages_are_shown_the_first_and_the_last_among_them():
    stages = {f"layer{n}": np.random.default_rng(n).random((20 - 8 * (n == 7), 16 - n, 16 - n)) for n in range(8)}
    figure = stages_figure(FACE, stages, "a title")
    names = [part.get_suptitle() for part in figure.subfigs[1:]]
    assert names[0] == f"layer0: 20 x 16 x 16, channels 1 to {CHANNELS}"
    assert names[-1] == "layer7: 12 x 9 x 9, channels 1 to 12"
    assert len(names) == 5
    strip = figure.subfigs[1].axes[0].images[0].get_array()  # 16 x 16 pixels each, and gaps of 1
    second = stages["layer0"][1]
    assert strip.shape == (16, 16 * 17 - 1)
    assert np.allclose(strip[:, 17:33], (second - second.min()) / (second.max() - second.min()))
    assert strip.mask[:, 16::17].all()
    assert not strip.mask[:, :16].any()


def test_means_have_one_scale_and_say_of_how_many(tmp_path):
    mean, none = {"samples": 3, "empty": 1, "map": np.full((2, 2), 0.25)}, {"samples": 0, "empty": 0, "map": None}
    peak = {"samples": 1, "empty": 0, "map": np.array([[0.7, 0.1], [0.1, 0.1]])}
    means = {"happy": {"all": mean, "right": peak, "wrong": none}, "sad": {"all": peak, "right": none, "wrong": none}}
    figure = means_figure(means, "a title\nSYNTHETIC DATA")
    titles = [axes.get_title() for axes in figure.axes[:6]]
    assert titles == ["happy\nn = 3 (+1 empty)", "sad\nn = 1", "n = 1", "n = 0", "n = 0", "n = 0"]
    limits = {axes.images[0].get_clim() for axes in figure.axes[:6] if axes.images}
    assert limits == {(0, 0.7)}
    assert figure.axes[6].get_ylabel() == "share of the map (even: 0.250)"
    file = save(figure, tmp_path / "means.png")
    first = file.read_bytes()
    assert matplotlib.image.imread(file)[..., :3].std() > 0.05
    assert save(means_figure(means, "a title\nSYNTHETIC DATA"), file).read_bytes() == first
