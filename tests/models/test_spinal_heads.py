"""Spinal heads: counts, hand-made numbers, a second implementation; any head on any backbone."""

import numpy as np
import pytest
import timm
import torch
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from torch import nn

from fer_lightning.models.counting import train_parameters
from fer_lightning.models.modules.heads import replace_head
from fer_lightning.models.modules.spinal import ProgressiveSpinalHead, SpinalHead
from fer_lightning.network import build_network
from tests.runs import HOUSE, configure


@pytest.mark.parametrize(
    ("head", "features", "options", "expected"),
    [
        (SpinalHead, 2048, {}, 2_904_071),
        (SpinalHead, 1792, {}, 2_641_927),
        (SpinalHead, 1280, {}, 2_117_639),
        (SpinalHead, 1024, {}, 1_855_495),
        (ProgressiveSpinalHead, 2048, {}, 5_801_991),
        (ProgressiveSpinalHead, 2048, {"batch_norm": False}, 5_797_895),
    ],
)
def test_parameters(head, features, options, expected):
    with torch.device("meta"):
        assert train_parameters(head(features, 7, **options)) == expected


@pytest.mark.parametrize(
    ("head", "first", "others", "output"),
    [(SpinalHead, 1024, [1536] * 3, 2048), (ProgressiveSpinalHead, 2048, [2560, 3072, 3584], 4096)],
)
def test_widths_of_2048_features(head, first, others, output):
    with torch.device("meta"):
        linears = [layer for layer in head(2048, 7).modules() if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linears] == [first, *others, output]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (SpinalHead, 3 + 10 + 13 + 20),  # a = 1 + 2, b + s1 = 7 + 3, a + s2 = 3 + 10, b + s3 = 7 + 13
        (ProgressiveSpinalHead, 10 + 10 + 20 + 40 + 80),  # each layer reads the sum of all that went before
    ],
)
def test_by_hand(head, expected):
    """All weights one, all biases zero, one neuron in each layer: every layer adds up what it reads."""
    net = head(4, 1, width=1).eval()
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    assert net(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).item() == pytest.approx(expected, rel=1e-4)


def hidden(layer: nn.Sequential, x: np.ndarray) -> np.ndarray:
    """Linear, batch norm of a trained network, ReLU."""
    linear, norm = (next(m for m in layer if isinstance(m, kind)) for kind in (nn.Linear, nn.BatchNorm1d))
    weight, bias, scale, shift, mean, var = (
        t.detach().double().numpy()
        for t in (linear.weight, linear.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    return np.maximum((weight @ x + bias - mean) / np.sqrt(var + 1e-5) * scale + shift, 0)


def output(linear: nn.Linear, x: np.ndarray) -> np.ndarray:
    return linear.weight.detach().double().numpy() @ x + linear.bias.detach().double().numpy()


def spinal(head: SpinalHead, x: np.ndarray) -> np.ndarray:
    a, b = x[: len(x) // 2], x[len(x) // 2 :]
    s1 = hidden(head.layers[0], a)
    s2 = hidden(head.layers[1], np.r_[b, s1])
    s3 = hidden(head.layers[2], np.r_[a, s2])
    s4 = hidden(head.layers[3], np.r_[b, s3])
    return output(head.output[1], np.r_[s1, s2, s3, s4])


def progressive(head: ProgressiveSpinalHead, x: np.ndarray) -> np.ndarray:
    s1 = hidden(head.layers[0], x)
    s2 = hidden(head.layers[1], np.r_[x, s1])
    s3 = hidden(head.layers[2], np.r_[x, s1, s2])
    s4 = hidden(head.layers[3], np.r_[x, s1, s2, s3])
    return output(head.output, np.r_[x, s1, s2, s3, s4])


@pytest.mark.parametrize(("head", "second"), [(SpinalHead, spinal), (ProgressiveSpinalHead, progressive)])
def test_against_numpy(head, second):
    torch.manual_seed(0)
    net, x = head(10, 3, width=6), torch.randn(32, 10)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.weight.data.uniform_(0.5, 2)
            layer.bias.data.uniform_(-1, 1)
    net.train()(3 * x + 1)  # moves the running statistics
    expected = np.stack([second(net, row) for row in x.double().numpy()])
    assert np.allclose(net.eval()(x).detach(), expected, atol=1e-5)


def test_spinal_drops_before_every_layer_and_progressive_the_features_once():
    assert [type(layer) for part in SpinalHead(8, 3).layers for layer in part] == 4 * [
        nn.Dropout, nn.Linear, nn.BatchNorm1d, nn.ReLU,
    ]  # fmt: skip
    torch.manual_seed(0)
    head, read = ProgressiveSpinalHead(8, 3, width=2), []
    for layer in (*head.layers, head.output):
        layer.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0][:, :8]))
    head.train()(torch.ones(5, 8))
    assert sorted(read[0].unique().tolist()) == [0, 2]
    assert all(torch.equal(other, read[0]) for other in read[1:])


def test_odd_features_have_no_halves():
    with pytest.raises(ValueError, match="reads halves, so features=7 must be even"):
        SpinalHead(7, 3)
    assert ProgressiveSpinalHead(7, 3).eval()(torch.rand(1, 7)).shape == (1, 3)


BACKBONES = {  # what each calls its classifier, and what that reads
    "resnet18": ("fc", 512),
    "densenet121": ("classifier", 1024),
    "convnext_atto": ("head.fc", 320),
    "vgg11_bn": ("head.fc", 4096),
    "mobilenetv3_small_050": ("classifier", 1024),
    "legacy_seresnet18": ("last_linear", 512),
    "vit_tiny_patch16_224": ("head", 192),
}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_backbone_of_timm_takes_a_head(backbone):
    name, features = BACKBONES[backbone]
    with torch.device("meta"):
        net = timm.create_model(backbone, num_classes=4)
        rest = train_parameters(net) - train_parameters(net.get_submodule(name))
        assert replace_head(net, SpinalHead, 4) is net
        assert isinstance(net.get_submodule(name), SpinalHead)
        assert train_parameters(net) == rest + train_parameters(SpinalHead(features, 4))
        assert net.eval()(torch.zeros(2, 3, 224, 224)).shape == (2, 4)


def small(classifier: nn.Module) -> nn.Sequential:
    net = nn.Sequential(nn.Flatten())
    net.add_module("classifier", classifier)
    return net


def test_a_network_of_our_own_takes_a_head():
    net = small(nn.Sequential(nn.Dropout(0.5), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 2)))
    assert replace_head(net, None, 5)(torch.rand(2, 3, 4)).shape == (2, 2)
    assert replace_head(net, nn.Linear, 5)(torch.rand(2, 3, 4)).shape == (2, 5)


def distilled() -> nn.Module:
    return timm.create_model("deit_tiny_distilled_patch16_224")  # two classifiers


@pytest.mark.parametrize(
    "build", [distilled, lambda: nn.Sequential(nn.Linear(2, 3)), lambda: small(nn.Conv1d(2, 3, 1))]
)
def test_a_network_without_one_linear_classifier_is_refused(build):
    with torch.device("meta"):
        net = build()
    with pytest.raises(ValueError, match=rf"{type(net).__name__} takes no other head: .* expected one linear layer"):
        replace_head(net, SpinalHead, 4)


MODELS = {
    "resnet18": ("fc", 512),
    "vggnet": ("classifier", 2048),
    "efficientnetv2_s": ("classifier", 1792),
    "vit_l32": ("head", 1024),
}


@pytest.mark.parametrize(
    ("model", "option", "head"),
    [
        *((model, "spinal", SpinalHead) for model in MODELS),
        ("vggnet", "linear", nn.Linear),
        ("resnet18", "progressive_spinal", ProgressiveSpinalHead),
    ],
)
def test_model_head_on_the_command_line(model, option, head):
    name, features = MODELS[model]
    cfg = configure(f"model={model}", f"model/head={option}", "data=fer2013")
    OmegaConf.resolve(cfg)
    size = cfg.needs.get("example") or [cfg.data.recipe.size] * 2
    with torch.device("meta"):
        cfg.model.update(cfg.needs.get("small", {}))
        net = build_network(cfg).eval()
        assert net(torch.zeros(2, len(cfg.data.channels), *size)).shape == (2, 7)
        assert type(net.get_submodule(name)) is head
        assert train_parameters(net.get_submodule(name)) == train_parameters(head(features, 7))


def test_the_group_lists_its_heads_and_other_models_refuse_them():
    assert {file.stem for file in (HOUSE / "conf/model/head").glob("*.yaml")} == {
        "linear", "spinal", "progressive_spinal",
    }  # fmt: skip
    with pytest.raises(ConfigCompositionException, match="Could not override 'model/head'"):
        configure("model=ststnet", "model/head=spinal", "data=megc2019_flow")
