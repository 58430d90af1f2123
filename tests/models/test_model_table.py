"""Multiplications and parameters against counts by hand; what `python -m fer_lightning.models` prints and writes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fer_lightning import model_table
from fer_lightning.compose import options
from fer_lightning.models.counting import Layer, layers, train_parameters
from fer_lightning.network import example_shape
from fer_lightning.protocols.build import build_net


def meta(name: str) -> tuple[nn.Module, torch.Tensor]:
    with torch.device("meta"):
        cfg = model_table.load(name)
        return build_net(cfg), torch.zeros(1, *example_shape(cfg))


def test_layers_agree_with_counts_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),      # 8x4x4 numbers out, 3 * 9 products for each
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),      # 8x4x4 out, 9 for each
        nn.ConvTranspose2d(8, 4, 2, stride=2),        # 8x4x4 in, each to 4 * 4 places
        nn.Flatten(),
        nn.Linear(256, 10, bias=False),
    )  # fmt: skip
    assert layers(net, torch.zeros(1, 3, 8, 8)) == [
        Layer("0", "Conv2d", (1, 8, 4, 4), 3 * 8 * 9 + 8, 128 * 27),
        Layer("1", "BatchNorm2d", (1, 8, 4, 4), 16, 0),
        Layer("2", "Conv2d", (1, 8, 4, 4), 8 * 9 + 8, 128 * 9),
        Layer("3", "ConvTranspose2d", (1, 4, 8, 8), 8 * 4 * 4 + 4, 128 * 16),
        Layer("4", "Flatten", (1, 256), 0, 0),
        Layer("5", "Linear", (1, 10), 2560, 2560),
        Layer("", "Sequential", (1, 10), 0, 0),
    ]


class Odd(nn.Module):
    """A list that is never called, a layer that runs twice, and attention in between."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = nn.ModuleList([nn.Linear(6, 4, bias=False), nn.Linear(6, 4, bias=False)])
        self.twice = nn.Linear(4, 4, bias=False)
        self.gru = nn.GRU(4, 5, batch_first=True)
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = (self.twice(stream(x)) for stream in self.streams)
        attended = F.scaled_dot_product_attention(a[:, None], b[:, None], a[:, None])[:, 0]
        return self.gru(attended)[0] * self.scale


def test_what_is_computed_between_layers_belongs_to_the_layer_around_them():
    with torch.device("meta"):
        found = {layer.name: layer for layer in layers(Odd(), torch.zeros(1, 3, 6))}
    assert list(found) == ["streams.0", "twice", "streams.1", "gru", ""]
    assert [found[name].macs for name in ("streams.0", "streams.1", "twice")] == [3 * 24, 3 * 24, 2 * 3 * 16]
    assert (found["gru"].macs, found["gru"].shape) == (3 * (4 * 15 + 5 * 15), ())
    assert (found[""].macs, found[""].parameters) == (2 * 3 * 3 * 4, 5), "scores, then the weighted sum"


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        # 3 streams on 30x30 maps (padding 2), 3 channels, 3x3; a dense layer of 400
        ("ststnet", 900 * (3 + 5 + 8) * 27 + 400 * 3),
        # 1x40x40: two convolutions a block, then 2048-4096-4096-7
        (
            "vggnet",
            9 * sum(s * s * o * (i + o) for s, i, o in [(40, 1, 64), (20, 64, 128), (10, 128, 256), (5, 256, 512)])
            + 2048 * 4096 + 4096 * 4096 + 4096 * 7,
        ),
        ("keypoint_ann", 285 * 256 + 256 * 128 + 128 * 64 + 64 * 7),
    ],
)  # fmt: skip
def test_networks_agree_with_counts_by_hand(name, macs):
    assert sum(layer.macs for layer in layers(*meta(name))) == macs


@pytest.mark.parametrize(("name", "gmac"), [("camnet", 21.9), ("base_cnn", 10.6), ("daspp", 18.1), ("waspp", 17.0)])
def test_large_networks_agree_with_the_written_numbers(name, gmac):
    net, x = meta(name)
    found = layers(net, x)
    assert sum(layer.parameters for layer in found) == train_parameters(net)
    assert sum(layer.macs for layer in found) / 1e9 == pytest.approx(gmac, abs=0.05)


@pytest.fixture(scope="module")
def table() -> list[list[str]]:
    return model_table.table(measure=False)


def test_every_model_has_a_line_and_the_printed_totals_are_ours(table):
    titles, *lines = table
    assert [line[0] for line in lines] == options("model")
    total, printed = titles.index("total"), titles.index("printed")
    compared = {line[0] for line in lines if line[printed] and line[printed] == line[total]}
    assert compared == set(model_table.PRINTED)
    assert all(len(line) == len(titles) for line in lines)
    papers = {line[0]: line[-1] for line in lines}
    assert papers["vit_l32_spinal"] == "Dosovitskiy et al. 2021, arXiv:2010.11929"
    assert papers["alexnet"] == "Krizhevsky 2014, arXiv:1404.5997"


def test_networks_are_counted_with_the_outputs_of_their_task(table):
    titles, *lines = table
    train = {line[0]: line[titles.index("train")] for line in lines}
    found = {name: train[name] for name in ("keypoint_ann", "keypoint_ann_va", "keypoint_ann_joint")}
    assert found == {
        "keypoint_ann": "114,823", "keypoint_ann_va": "114,498", "keypoint_ann_joint": "114,953",
    }  # fmt: skip


def test_the_written_table_is_of_these_networks(table):
    written = [line.strip("| ").split(" | ") for line in model_table.MARKDOWN.read_text().splitlines() if "|" in line]
    titles, *lines = table
    chosen = [written[0].index(title) for title in titles]  # it may have measured speeds too
    found = [[line[i].strip() for i in chosen] for line in written[2:]]
    assert found == lines, "python -m fer_lightning.models --markdown"


def test_layers_of_one_model_and_a_wrong_name(capsys):
    assert model_table.main(["ststnet"]) == 0
    out = capsys.readouterr().out
    assert "input 3x28x28" in out
    assert out.splitlines()[-1].split() == ["all", "3", "1,683", "390,000", "STSTNet"]
    assert model_table.main(["keypoint_ann_joint"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[1:3] == ["9", "114,953"]
    assert model_table.main(["ststnets"]) == 2
    assert "'ststnet'" in capsys.readouterr().err


def test_speeds_are_measured_on_a_named_device():
    training, inference = model_table.samples_per_second(model_table.load("keypoint_ann"), seconds=0.02)
    assert training > 0
    assert inference > 0
    assert len(model_table.device_name()) > 3
