"""The networks that WASPP's Table 13 compares with, and HTNet: counts, maps, second implementations, errors."""

import numpy as np
import pytest
import torch
import torchvision
from scipy.ndimage import maximum_filter
from scipy.signal import correlate2d
from torch import nn

from fer_lightning.datasets.megc2019_flow import build_manifest
from fer_lightning.models.alexnet import AlexNet
from fer_lightning.models.counting import total_parameters, train_parameters
from fer_lightning.models.dual_inception import DualInception, stream
from fer_lightning.models.htnet import HTNet, Layer, Level
from fer_lightning.models.off_apexnet import OffApexNet
from fer_lightning.models.vgg_m import VGGM
from fer_lightning.preprocess.flow_image import FlowImage


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (OffApexNet, {}, 2_664_475),
        (OffApexNet, {"size": 75}, 11_675_675),
        (DualInception, {}, 6_449_867),
        (DualInception, {"size": 75}, 42_494_667),
        (AlexNet, {}, 57_016_131),
        (AlexNet, {"in_channels": 2}, 57_016_131 - 64 * 121),
        (VGGM, {}, 25_418_787),
        (VGGM, {"in_channels": 3}, 25_423_491),
        (VGGM, {"hidden": 128}, 6_606_499),
        (VGGM, {"in_channels": 3, "hidden": 128}, 6_611_203),
        (VGGM, {"in_channels": 3, "num_classes": 1000, "size": 224, "rounding": "ceil"}, 102_908_520),
    ],
)
def test_parameters(network, options, expected):
    with torch.device("meta"):
        net = network(**options)
    assert (train_parameters(net), total_parameters(net)) == (expected, expected)


def test_dual_inception_of_pictures_has_the_parameters_of_the_authors_code():
    net = DualInception()
    assert train_parameters(net.head) + 2 * train_parameters(stream(in_channels=3)) == 6_449_963


# A second implementation of what the two small networks are made of, one picture (C, H, W) at a time.


def convolve(x: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    """Convolution with as many pixels out as in, then ReLU."""
    maps = []
    for weight, bias in zip(layer.weight.detach().numpy(), layer.bias.detach().numpy(), strict=True):
        maps.append(sum(correlate2d(x[c], weight[c], mode="same") for c in range(len(x))) + bias)
    return np.maximum(np.stack(maps), 0)


def pool(x: np.ndarray) -> np.ndarray:
    """Max pool 2x2; a last odd row or column is lost."""
    c, h, w = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(c, h // 2, 2, w // 2, 2).max(axis=(2, 4))


def dense(x: np.ndarray, head: nn.Sequential) -> np.ndarray:
    *hidden, last = [layer for layer in head if isinstance(layer, nn.Linear)]
    for layer in hidden:
        x = np.maximum(layer.weight.detach().numpy() @ x + layer.bias.detach().numpy(), 0)
    return last.weight.detach().numpy() @ x + last.bias.detach().numpy()


def test_off_apexnet_against_scipy():
    net, x = OffApexNet(size=14).eval(), torch.randn(1, 2, 14, 14)
    features = []
    for channel, part in zip(x[0].numpy(), (net.u, net.v), strict=True):
        features.append(pool(convolve(pool(convolve(channel[None], part[0])), part[3])).ravel())
    assert np.allclose(net(x)[0].detach(), dense(np.concatenate(features), net.head), atol=1e-4)


def inception(x: np.ndarray, paths: nn.ModuleList) -> np.ndarray:
    highest = np.stack([maximum_filter(channel, size=3, mode="constant", cval=-np.inf) for channel in x])
    return np.concatenate([
        convolve(x, paths[0][0]),
        convolve(convolve(x, paths[1][0]), paths[1][2]),
        convolve(convolve(x, paths[2][0]), paths[2][2]),
        convolve(highest, paths[3][1]),
    ])  # fmt: skip


def test_dual_inception_against_scipy():
    net, x = DualInception(size=14).eval(), torch.randn(1, 2, 14, 14)
    features = []
    for channel, part in zip(x[0].numpy(), (net.u, net.v), strict=True):
        features.append(pool(inception(pool(inception(channel[None], part[0].paths)), part[2].paths)).ravel())
    assert np.allclose(net(x)[0].detach(), dense(np.concatenate(features), net.head), atol=1e-4)


@pytest.mark.parametrize(("network", "widths"), [(OffApexNet, (784, 1568)), (DualInception, (3136, 6272))])
def test_streams_of_28_pixels(network, widths):
    net = network()
    assert net.u(torch.zeros(1, 1, 28, 28)).shape == (1, widths[0])
    assert net.head[0].in_features == widths[1]


@pytest.mark.parametrize("network", [OffApexNet, DualInception])
def test_two_streams_refuse_what_is_not_u_and_v_of_their_size(network):
    with pytest.raises(ValueError, match=rf"{network.__name__} reads the 2 channels u and v, found .*\(1, 3, 28, 28\)"):
        network()(torch.zeros(1, 3, 28, 28))
    with pytest.raises(ValueError, match=rf"{network.__name__} was built for 28x28 pixels .*\(1, 2, 75, 75\)"):
        network()(torch.zeros(1, 2, 75, 75))
    with pytest.raises(ValueError, match=rf"{network.__name__}: size=3 .* at least 4"):
        network(size=3)
    assert network(size=4).eval()(torch.zeros(1, 2, 4, 4)).shape == (1, 3)


def test_alexnet_is_that_of_torchvision():
    net = AlexNet().eval()
    with torch.device("meta"):
        reference = torchvision.models.AlexNet(num_classes=3).eval()
    reference.load_state_dict(net.state_dict(), assign=True)
    x = torch.rand(2, 3, 75, 75)
    with torch.inference_mode():
        assert torch.equal(net(x), reference(x))


def map_sizes(net: nn.Sequential, x: torch.Tensor) -> list[int]:
    sizes = []
    for layer in net:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            assert x.shape[2] == x.shape[3]
            sizes.append(x.shape[2])
    return sizes


def test_alexnet_maps_of_75_pixels_and_smallest_size():
    with torch.device("meta"):
        net = AlexNet().eval()
        assert map_sizes(net.features, torch.zeros(1, 3, 75, 75)) == [18, 8, 8, 3, 3, 3, 3, 1]
        assert net(torch.zeros(1, 3, 63, 80)).shape == (1, 3)
        with pytest.raises(ValueError, match=r"at least 63x63 pixels, found .*\(1, 3, 80, 62\)"):
            net(torch.zeros(1, 3, 80, 62))
        with pytest.raises(RuntimeError):  # without our own check, too
            net.features(torch.zeros(1, 3, 62, 62))


@pytest.mark.parametrize(
    ("size", "rounding", "expected"),
    [
        (75, "floor", [35, 17, 8, 3, 3, 3, 3, 1]),
        (75, "ceil", [35, 17, 8, 4, 4, 4, 4, 2]),
        (224, "ceil", [109, 54, 26, 13, 13, 13, 13, 6]),
    ],
)
def test_vgg_m_maps(size, rounding, expected):
    with torch.device("meta"):
        net, x = VGGM(size=size, rounding=rounding).eval(), torch.zeros(1, 2, size, size)
        assert map_sizes(net.features, x) == expected
        assert net(x).shape == (1, 3)


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
def test_vgg_m_names_the_smallest_size(rounding):
    with torch.device("meta"):
        with pytest.raises(ValueError, match="must be at least") as found:
            VGGM(size=20, rounding=rounding)
        smallest = int(str(found.value).rpartition(" ")[2])
        assert smallest == {"floor": 67, "ceil": 41}[rounding]  # 31 15 7 3 1 and 18 9 4 2 1
        net = VGGM(size=smallest, rounding=rounding)
        assert net(torch.zeros(1, 2, smallest, smallest)).shape == (1, 3)
        with pytest.raises(ValueError, match="leaves no pixel"):
            VGGM(size=smallest - 1, rounding=rounding)
        with pytest.raises(RuntimeError):  # the maps themselves leave none
            net.features(torch.zeros(1, 2, smallest - 1, smallest - 1))


def test_vgg_m_divides_by_its_neighbours():
    norm = VGGM(hidden=8).features[2]
    x = np.random.default_rng(0).normal(size=(1, 7, 2, 2)).astype(np.float32) * 30
    expected = np.empty_like(x)
    for c in range(7):
        neighbours = x[:, max(0, c - 2) : c + 3]
        expected[:, c] = x[:, c] / (2 + 5e-4 / 5 * (neighbours**2).sum(axis=1)) ** 0.75
    assert np.allclose(norm(torch.from_numpy(x)), expected, rtol=1e-5)


def test_vgg_m_refuses_other_roundings():
    with pytest.raises(ValueError, match=r"rounding='round' is not one of \['floor', 'ceil'\]"):
        VGGM(rounding="round")


def htnet_parameters(channels: int, heads: int, repeats: tuple[int, ...], tokens: int) -> int:
    """Counted by hand for 3 channels, patches of 7 pixels and 3 classes."""
    count = 3 * 49 * channels + channels
    for level, layers in enumerate(repeats):
        inner = channels // heads * heads
        attention = 2 * channels + 3 * channels * inner + inner * channels + channels
        mlp = 2 * channels + channels * 4 * channels + 4 * channels + 4 * channels * channels + channels
        count += tokens * channels + layers * (attention + mlp)
        if level + 1 < len(repeats):  # conv 3x3 and layer norm between the levels
            count += 9 * channels * 2 * channels + 2 * channels + 2 * 2 * channels
            channels, heads = 2 * channels, 2 * heads
    return count + 2 * channels + 3 * channels + 3


@pytest.mark.parametrize(
    ("repeats", "tokens", "expected"),
    [((2, 2, 10), 1, 139_584_771), ((2, 2, 8), 1, 114_431_235), ((2, 10), 4, 34_268_163)],
)
def test_htnet_parameters(repeats, tokens, expected):
    with torch.device("meta"):
        net = HTNet(repeats=repeats)
    assert train_parameters(net) == htnet_parameters(256, 3, repeats, tokens) == expected


def small(repeats: tuple[int, ...], **options) -> HTNet:
    return HTNet(channels=8, heads=2, repeats=repeats, **options).eval()


def test_htnet_maps_of_28_pixels():
    net, shapes = small((1, 1, 1)), []
    for level in net.levels:
        level.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    assert net(torch.rand(2, 3, 28, 28)).shape == (2, 3)
    assert shapes == [(4, 4, 8), (2, 2, 16), (2, 2, 16), (1, 1, 32), (1, 1, 32)]


def test_htnet_layer_is_that_of_torch():
    ours = Layer(channels=12, heads=3)
    theirs = nn.TransformerEncoderLayer(12, 3, 48, dropout=0, activation="gelu", batch_first=True, norm_first=True)
    own = ours.state_dict()
    theirs.load_state_dict({
        "self_attn.in_proj_weight": own["qkv.weight"], "self_attn.in_proj_bias": torch.zeros(36),
        "self_attn.out_proj.weight": own["out.weight"], "self_attn.out_proj.bias": own["out.bias"],
        "linear1.weight": own["mlp.0.weight"], "linear1.bias": own["mlp.0.bias"],
        "linear2.weight": own["mlp.2.weight"], "linear2.bias": own["mlp.2.bias"],
        **{name: value for name, value in own.items() if name.startswith("norm")},
    })  # fmt: skip
    x = torch.randn(2, 5, 12)
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_htnet_attends_inside_a_block_only():
    level = Level(channels=8, heads=2, repeats=2, side=2)
    x = torch.randn(1, 4, 6, 8, requires_grad=True)
    level(x)[0, 2, 3].sum().backward()  # a token of the block of rows 2-3 and columns 2-3
    reached = x.grad[0].abs().sum(dim=-1) > 0
    assert reached[2:, 2:4].all()
    assert reached.sum() == 4


def test_htnet_treats_all_blocks_alike():
    level = Level(channels=8, heads=2, repeats=1, side=2)
    block = torch.randn(1, 2, 2, 8)
    assert torch.allclose(level(block.repeat(1, 3, 2, 1)), level(block).repeat(1, 3, 2, 1), atol=1e-6)


@pytest.mark.parametrize(("repeats", "attends"), [((1, 1, 1), False), ((1, 1), True)])
def test_htnet_learns_queries_and_keys_only_where_blocks_hold_several_patches(repeats, attends):
    net = small(repeats)
    net(torch.rand(2, 3, 28, 28)).square().sum().backward()
    first = net.levels[0].layers[0].qkv.weight.grad
    assert bool(first[:16].any()) is attends
    assert first[16:].any()


@pytest.mark.parametrize(("repeats", "fits"), [((1,), {7, 14, 21, 28}), ((1, 1), {14, 28}), ((1, 1, 1), {28})])
def test_htnet_sizes(repeats, fits):
    for size in range(0, 30):
        if size in fits:
            assert small(repeats, size=size)(torch.rand(1, 3, size, size)).shape == (1, 3)
        else:
            with pytest.raises(ValueError, match=rf"size={size} must be a multiple of patch"):
                small(repeats, size=size)
    with pytest.raises(ValueError, match=r"HTNet was built for 28x28 pixels .*\(1, 3, 75, 75\)"):
        small(repeats)(torch.rand(1, 3, 75, 75))


@pytest.mark.parametrize(
    ("network", "options"),
    [(OffApexNet, {}), (DualInception, {}), (HTNet, {"channels": 48, "repeats": (1, 1, 1)})],
)
def test_real_flow_pictures_can_be_learned_by_heart(fer_raw, network, options):
    channels = ("u", "v", "strain") if network is HTNet else ("u", "v")
    rows = build_manifest(fer_raw / "megc2019").groupby("label").head(4)
    flow = np.stack(list(FlowImage(channels=channels).make(fer_raw / "megc2019", rows)))
    x, y = torch.from_numpy(flow).float() / 255, torch.from_numpy(rows.label.factorize()[0])
    torch.manual_seed(0)
    net = network(**options)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(25):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert x.shape == (12, len(channels), 28, 28)
    assert (net.eval()(x).argmax(dim=1) == y).float().mean() > 0.6  # a guesser has a third
