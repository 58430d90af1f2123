"""A module after any stage of any network: `model.module=wasp model.module_after=layer2`."""

import pytest
import torch
import torchvision
from torch import nn

from fer_lightning.errors import ConfigError
from fer_lightning.models.counting import train_parameters
from fer_lightning.models.modules.insert import MODULES, insert_after, stages
from fer_lightning.models.modules.pyramid import Pyramid
from fer_lightning.network import build_network, example_shape
from tests.runs import configure

#: One stage of each backbone, with the number of its channels.
BACKBONES = {
    "resnet18": ("layer2", 128),
    "vggnet": ("features.1", 128),
    "vgg_m": ("features.4", 256),
    "arch1": ("stem", 16),
}


def two_convolutions() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 6, 1), nn.Flatten(), nn.Linear(6 * 9, 2))


def test_stages_are_the_layers_with_maps():
    assert stages(two_convolutions(), torch.zeros(1, 1, 3, 3)) == {
        "0": (1, 4, 3, 3), "1": (1, 4, 3, 3), "2": (1, 6, 3, 3),
    }  # fmt: skip


def test_a_layer_that_runs_twice_is_no_stage():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(2, 2, 1), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.conv(self.relu(x)))

    assert list(stages(Shared(), torch.zeros(1, 2, 3, 3))) == ["conv"]


def test_the_module_reads_what_the_stage_makes_and_the_next_layer_what_the_module_makes():
    torch.manual_seed(0)
    net, x = two_convolutions().eval(), torch.rand(2, 1, 3, 3)

    class Tenfold(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 10 * x

    plain = nn.Sequential(net[0], Tenfold(), *net[1:])
    expected = plain(x)
    asked = []
    insert_after(net, "0", lambda channels: asked.append(channels) or Tenfold(), torch.zeros(1, 1, 3, 3))
    assert asked == [4]
    assert torch.equal(net(x), expected)
    assert not net[0].training, "the mode of the network is the module's"


def test_training_goes_on_where_it_was_and_nothing_was_learned():
    net = torchvision.models.resnet18()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    insert_after(net, "layer1", nn.BatchNorm2d, torch.rand(2, 3, 32, 32))
    assert all(layer.training for layer in net.modules())
    after = net.state_dict()
    assert all(torch.equal(value, after[n.replace("layer1.", "layer1.stage.")]) for n, value in before.items())
    assert len(after) == len(before) + 5


def test_an_unknown_stage_lists_those_there_are():
    with pytest.raises(ValueError, match=r"ResNet has no map after 'layer5'; its stages are \['conv1', .*'layer4'"):
        insert_after(torchvision.models.resnet18(), "layer5", nn.BatchNorm2d, torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"no map after '4'; its stages are \['0', '1', '2'\]"):
        insert_after(two_convolutions(), "4", nn.BatchNorm2d, torch.zeros(1, 1, 3, 3))


def test_a_module_that_changes_the_number_of_channels_is_refused():
    with pytest.raises(ValueError, match=r"Pyramid makes \(1, 8, 3, 3\) of the map \(1, 4, 3, 3\) after '1'"):
        insert_after(two_convolutions(), "1", lambda c: Pyramid(c, "aspp", "direct", 2), torch.zeros(1, 1, 3, 3))


@pytest.mark.parametrize("module", MODULES)
def test_every_module_learns_after_a_stage(module):
    torch.manual_seed(0)
    net, x = (
        nn.Sequential(nn.Conv2d(1, 32, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2)),
        torch.rand(4, 1, 10, 10),
    )
    insert_after(net, "0", MODULES[module], x)
    for parameter in net.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    (net.train()(x) * torch.randn(4, 2)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("model", BACKBONES)
@pytest.mark.parametrize("module", ["wasp", "bam", "mask"])
def test_model_module_on_the_command_line(model, module):
    stage, channels = BACKBONES[model]
    plain = configure(f"model={model}", "data=fer2013")
    cfg = configure(f"model={model}", "data=fer2013", f"model.module={module}", f"model.module_after={stage}")
    with torch.device("meta"):
        net, before = build_network(cfg), build_network(plain)
        assert train_parameters(net) == train_parameters(before) + train_parameters(MODULES[module](channels))
        assert net.eval()(torch.zeros(2, *example_shape(cfg))).shape == (2, 7)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.module=wasp"], "give both; modules are .*'wasp'"),
        (["model.module_after=layer2"], "give both"),
        (["model.module=wisp", "model.module_after=layer2"], "model.module=wisp .* modules are .*'wasp'"),
        (["model.module=wasp", "model.module_after=layer5"], "model=resnet18 .* no map after 'layer5'.*'layer4'"),
    ],
)
def test_what_cannot_be_built_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        build_network(configure("model=resnet18", "data=fer2013", *overrides))
