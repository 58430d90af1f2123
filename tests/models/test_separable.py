"""ARCH-2, ARCH-3 and ARCH-4 beside ARCH-1: printed counts, maps, one block against SciPy, texts of errors."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import nn

from fer_lightning.models.arch1 import Arch1
from fer_lightning.models.arch2 import Arch2
from fer_lightning.models.arch3 import Arch3
from fer_lightning.models.arch4 import Arch4
from fer_lightning.models.counting import total_parameters, train_parameters
from fer_lightning.models.modules.separable import conv, halve, separable

#: Train and total parameters as the paper prints them. It prints 292,862 for ARCH-1: 293,951 less 2 * 544 is odd.
PRINTED = {
    Arch1: (292_863, 293_951),
    Arch2: (1_141_375, 1_142_463),
    Arch3: (305_807, 306_831),
    Arch4: (1_154_319, 1_155_343),
}


def layers(net: nn.Module, *kinds: type) -> list[nn.Module]:
    return [layer for layer in net.modules() if isinstance(layer, kinds)]


@pytest.mark.parametrize("arch", PRINTED)
@pytest.mark.parametrize("pool", ["3x3", "2x2"])
def test_parameters_are_the_printed_ones(arch, pool):
    net = arch(pool=pool)
    assert (train_parameters(net), total_parameters(net)) == PRINTED[arch]


@pytest.mark.parametrize("arch", PRINTED)
def test_batch_norms_hold_the_rest(arch):
    channels = sum(norm.num_features for norm in layers(arch(), nn.BatchNorm2d))
    train, total = PRINTED[arch]
    assert channels == {Arch1: 544, Arch2: 544, Arch3: 512, Arch4: 512}[arch]
    assert total - train == 2 * channels


@pytest.mark.parametrize("arch", [Arch3, Arch4])
def test_plain_layers_hold_the_printed_parameters(arch):
    found = [train_parameters(layer) for layer in layers(arch(), nn.Conv2d, nn.Linear)]
    trunk = [72, 576, 1152, 2304, 2304, 4608, 9216, 18432, 36864, 73728, 147456]
    assert found == trunk + ([8071] if arch is Arch3 else [590_336, 262_656, 3_591])


def test_separable_trunk_is_that_of_arch1():
    first, second = Arch1().state_dict(), Arch2().state_dict()
    trunk = {name: value.shape for name, value in first.items() if not name.startswith("head")}
    assert trunk == {name: value.shape for name, value in second.items() if not name.startswith("head")}
    assert [train_parameters(layer) for layer in layers(Arch2().head, nn.Linear)] == [590_336, 262_656, 3_591]


@pytest.mark.parametrize("arch", [Arch2, Arch3, Arch4])
@pytest.mark.parametrize("pool", ["3x3", "2x2"])
def test_maps_of_a_48x48_face(arch, pool):
    net, maps = arch(pool=pool).eval(), []
    for part in (net.stem, net.middle, net.tail, net.head[0]):
        part.register_forward_hook(lambda _, __, output: maps.append(tuple(output.shape[1:])))
    assert net(torch.rand(2, 1, 48, 48)).shape == (2, 7)
    last = (128, 6, 6) if arch is Arch3 else (128, 3, 3)  # dropout or the fourth pool
    assert maps == [(16, 24, 24), (32, 12, 12), (128, 6, 6), last]


def test_separable_convolution_is_depthwise_then_pointwise():
    depthwise, pointwise, _ = separable(3, 5)
    x = torch.randn(1, 3, 7, 9)
    filtered = [correlate2d(x[0, c], depthwise.weight[c, 0].detach(), mode="same") for c in range(3)]
    expected = np.einsum("oc,chw->ohw", pointwise.weight.detach()[:, :, 0, 0], np.stack(filtered))
    assert np.allclose(pointwise(depthwise(x))[0].detach(), expected, atol=1e-5)


def test_plain_convolution_sums_over_channels():
    convolution, _ = conv(3, 2, bias=True)
    x = torch.randn(1, 3, 7, 9)
    weight, bias = convolution.weight.detach(), convolution.bias.detach()
    for o in range(2):
        expected = sum(correlate2d(x[0, c], weight[o, c], mode="same") for c in range(3)) + bias[o].item()
        assert np.allclose(convolution(x)[0, o].detach(), expected, atol=1e-5)


@pytest.mark.parametrize("pool", ["3x3", "2x2"])
def test_pools_halve_every_size_alike(pool):
    for size in range(2, 40):
        assert halve(pool)(torch.zeros(1, 1, size, size)).shape[2:] == (size // 2, size // 2)


@pytest.mark.parametrize("arch", [Arch2, Arch4])
def test_dense_networks_run_at_the_size_they_were_built_for(arch):
    net = arch(size=64).eval()
    assert net(torch.rand(1, 1, 64, 64)).shape == (1, 7)
    with pytest.raises(ValueError, match=rf"{arch.__name__} was built for 64x64 pixels .*\(1, 1, 64, 48\)"):
        net(torch.rand(1, 1, 64, 48))


@pytest.mark.parametrize(
    ("arch", "fits"), [(Arch2, {16, 17, 20, 21, 24, 25, 28, 29, 32, 33}), (Arch4, set(range(16, 34)))]
)
def test_dense_networks_name_the_smallest_size(arch, fits):
    for size in range(1, 34):
        if size in fits:
            assert arch(size=size).eval()(torch.zeros(1, 1, size, size)).shape == (1, 7)
        else:
            with pytest.raises(ValueError, match=rf"size={size} .*must be at least 16"):
                arch(size=size)


def test_arch3_runs_from_8_pixels_on():
    net = Arch3().eval()
    for size in range(8, 20):
        assert net(torch.zeros(1, 1, 8, size)).shape == (1, 7)
    with pytest.raises(ValueError, match=r"at least 8x8 pixels, found .*\(1, 1, 9, 7\)"):
        net(torch.zeros(1, 1, 9, 7))


@pytest.mark.parametrize("arch", PRINTED)
def test_other_options_are_refused_by_name(arch):
    with pytest.raises(ValueError, match=rf"{arch.__name__}: pool='max' is not one of \['3x3', '2x2'\]"):
        arch(pool="max")
    with pytest.raises(ValueError, match=rf"{arch.__name__}: dropout=1\.5 is outside"):
        arch(dropout=1.5)
