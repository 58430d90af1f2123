"""STSTNet, ARCH-1, ResNet-18 and the guesser: published counts, shapes on the way, texts of errors."""

import pytest
import torch
import torchvision
from torch import nn

from fer_lightning.models.arch1 import Arch1
from fer_lightning.models.counting import total_parameters, train_parameters
from fer_lightning.models.random_guess import RandomGuess
from fer_lightning.models.resnet18 import resnet18
from fer_lightning.models.ststnet import STSTNet


def test_counts_by_hand():
    net = nn.Sequential(nn.Conv2d(2, 3, 5), nn.BatchNorm2d(3), nn.Linear(4, 5, bias=False))
    assert train_parameters(net) == (2 * 3 * 25 + 3) + 2 * 3 + 20
    assert total_parameters(net) == train_parameters(net) + 2 * 3


@pytest.mark.parametrize("padding", [1, 2])
def test_ststnet_has_1683_parameters_and_5x5_maps(padding):
    net, shapes = STSTNet(padding=padding).eval(), []
    net.pool.register_forward_hook(lambda _, inputs, output: shapes.append((inputs[0].shape, output.shape)))
    assert train_parameters(net) == 1683
    assert net(torch.rand(2, 3, 28, 28)).shape == (2, 3)
    assert shapes == [((2, 16, 10, 10), (2, 16, 5, 5))]


def test_ststnet_at_75_pixels():
    net = STSTNet(size=75)
    assert train_parameters(net) == 8595
    assert net(torch.rand(2, 3, 75, 75)).shape == (2, 3)


def test_ststnet_rectifies_before_it_normalises():
    for stream in STSTNet().streams:
        assert [type(layer) for layer in stream] == [
            nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.MaxPool2d, nn.Dropout,
        ]  # fmt: skip


@pytest.mark.parametrize("padding", [1, 2])
def test_ststnet_names_the_smallest_size(padding):
    smallest = {1: 4, 2: 2}[padding]  # (2 + 2 * 2 - 2 + 2 - 3) // 3 + 1 = 2 pixels for the average pool
    assert STSTNet(size=smallest, padding=padding).eval()(torch.rand(1, 3, smallest, smallest)).shape == (
        1,
        3,
    )
    with pytest.raises(ValueError, match=f"size={smallest - 1} leaves no pixel; .* at least {smallest}"):
        STSTNet(size=smallest - 1, padding=padding)


def test_ststnet_refuses_other_paddings_and_sizes():
    with pytest.raises(ValueError, match=r"padding=0 is not one of \[1, 2\]"):
        STSTNet(padding=0)
    with pytest.raises(ValueError, match=r"built for 28x28 pixels \(size=28\), found .*\(1, 3, 75, 75\)"):
        STSTNet()(torch.rand(1, 3, 75, 75))


@pytest.mark.parametrize("pool", ["3x3", "2x2"])
def test_arch1_parameters_and_maps(pool):
    net, maps = Arch1(pool=pool).eval(), []
    assert (train_parameters(net), total_parameters(net)) == (292_863, 293_951)
    for part in (net.stem, net.middle, net.shortcut, net.tail, net.head):
        part.register_forward_hook(lambda _, __, output: maps.append(tuple(output.shape[1:])))
    assert net(torch.rand(1, 1, 48, 48)).shape == (1, 7)
    assert maps == [(16, 24, 24), (32, 12, 12), (32, 12, 12), (128, 6, 6), (7, 6, 6)]


def test_arch1_layers_hold_the_printed_parameters():
    """Table 1 in its order, first row corrected from 32 to 72; a separable layer is two convolutions."""
    net = Arch1()
    parts = (net.stem, net.middle, net.shortcut, net.tail, net.head)
    convs = [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Conv2d)]
    counts = [train_parameters(layer) for layer in convs]
    separable = [counts[4] + counts[5], counts[6] + counts[7]]
    found = [*counts[:4], *separable, *counts[8:]]
    assert found == [72, 576, 1152, 2304, 656, 1312, 256, 512, 18496, 36928, 73856, 147584, 8071]


def test_arch1_large_pool_is_that_of_keras():
    """Keras pads an even map with one row and column at its end, of minus infinity."""
    x = torch.randn(1, 2, 12, 12)
    padded = nn.functional.pad(x, (0, 1, 0, 1), value=-torch.inf)
    assert torch.equal(Arch1(pool="3x3").stem[-2](x), nn.functional.max_pool2d(padded, 3, 2))


@pytest.mark.parametrize("pool", ["3x3", "2x2"])
def test_arch1_runs_at_exactly_the_sizes_it_names(pool):
    net = Arch1(pool=pool).eval()
    for size in range(4, 60):
        x = torch.zeros(1, 1, 48, size)
        if size >= 8 and (size // 2) % 2 == 0:
            assert net(x).shape == (1, 7)
        else:
            fits = next(s for s in range(max(size, 8), 99) if s % 4 == 0)
            with pytest.raises(ValueError, match=f"found .*48, {size}.* the next size that fits is {fits}$"):
                net(x)


def test_arch1_refuses_other_options():
    with pytest.raises(ValueError, match=r"pool='max' is not one of \['3x3', '2x2'\]"):
        Arch1(pool="max")
    with pytest.raises(ValueError, match=r"dropout=1\.5 is outside"):
        Arch1(dropout=1.5)


def test_published_resnet18_is_that_of_torchvision():
    net, reference = resnet18(3, 7, stem="imagenet").eval(), torchvision.models.resnet18(num_classes=7).eval()
    assert train_parameters(net) == 11_180_103
    net.load_state_dict(reference.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(net(x), reference(x), atol=1e-5)


def test_small_stem_keeps_the_pixels_of_a_face():
    net = resnet18(1, 7).eval()
    assert train_parameters(net) == 11_180_103 - 64 * 3 * 49 + 64 * 9
    with torch.inference_mode():
        assert net.forward_features(torch.rand(1, 1, 48, 48)).shape == (1, 512, 6, 6)
        assert resnet18(1, 7, "imagenet").eval().forward_features(torch.rand(1, 1, 48, 48)).shape[2:] == (
            2,
            2,
        )


def test_resnet18_refuses_other_stems():
    with pytest.raises(ValueError, match=r"stem='cifar' is not one of \['small', 'imagenet'\]"):
        resnet18(1, 7, stem="cifar")


def test_a_guesser_is_right_a_third_of_the_time_and_never_learns():
    torch.manual_seed(0)
    net = RandomGuess(3)
    x, label = torch.zeros(3000, 1), torch.arange(3000) % 3
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    for _ in range(20):  # one label only: anything that can learn would now say 0
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), torch.zeros_like(label)).backward()
        optimizer.step()
    recalls = [(net(x).argmax(1)[label == c] == c).float().mean().item() for c in range(3)]
    assert recalls == pytest.approx([1 / 3] * 3, abs=0.06)  # 4 standard errors of 1000 guesses


def test_guesses_are_fresh_and_come_from_the_global_seed():
    net, x = RandomGuess(3).eval(), torch.zeros(5, 1)
    torch.manual_seed(3)
    first, second = net(x), net(x)
    torch.manual_seed(3)
    assert torch.equal(net(x), first)
    assert not torch.equal(first, second)


def test_one_class_cannot_be_guessed():
    with pytest.raises(ValueError, match="num_classes=1 leaves nothing to guess, expected at least 2"):
        RandomGuess(1)
