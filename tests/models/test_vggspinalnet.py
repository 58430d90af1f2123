"""VGGNet, EfficientNetV2-S, ViT-L/32, with and without spinal heads: counts, maps, torchvision's weights, settings."""

import numpy as np
import pytest
import timm
import torch
from hydra.utils import instantiate
from torch import nn
from torchvision.models import efficientnet_v2_s, vgg13_bn, vit_l_32
from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig
from torchvision.models.vision_transformer import VisionTransformer
from torchvision.ops import Conv2dNormActivation

from fer_lightning.models.counting import train_parameters
from fer_lightning.models.efficientnetv2_s import efficientnetv2_s
from fer_lightning.models.modules.spinal import ProgressiveSpinalHead, SpinalHead
from fer_lightning.models.vggnet import VGGNet
from fer_lightning.models.vit_l32 import WEIGHTS, vit_l32
from fer_lightning.protocols.fold import build_augment
from tests.runs import configure


def progressive_without_norm(features: int, num_classes: int) -> nn.Module:
    return ProgressiveSpinalHead(features, num_classes, batch_norm=False)


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (VGGNet, {}, 29_890_759),
        (VGGNet, {"head": SpinalHead}, 7_592_135),
        (VGGNet, {"head": ProgressiveSpinalHead}, 10_490_055),
        (VGGNet, {"head": progressive_without_norm}, 10_485_959),
        (VGGNet, {"head": nn.Linear}, 4_688_064 + 2048 * 7 + 7),
        (efficientnetv2_s, {}, 22_160_415),
        (efficientnetv2_s, {"head": SpinalHead}, 24_789_791),
        (efficientnetv2_s, {"activation": "mish"}, 22_160_415),
        (efficientnetv2_s, {"variant": "s"}, 20_186_023),
        (efficientnetv2_s, {"variant": "s", "head": SpinalHead}, 22_294_695),
        (vit_l32, {}, 305_517_575),
        (vit_l32, {"head": SpinalHead}, 307_365_895),
    ],
)
def test_parameters(network, options, expected):
    with torch.device("meta"):
        assert train_parameters(network(**options)) == expected


def test_vgg_maps_of_40_pixels():
    with torch.device("meta"):
        net, maps = VGGNet().eval(), [torch.zeros(1, 1, 40, 40)]
        for part in net.features:
            maps.append(part(maps[-1]))
        assert train_parameters(net.features) == 4_688_064
        assert [tuple(x.shape[1:]) for x in maps[1:]] == [(64, 20, 20), (128, 10, 10), (256, 5, 5), (512, 2, 2)]
        assert VGGNet(size=48).classifier[0].in_features == 512 * 3 * 3


def test_vgg_trunk_is_the_beginning_of_torchvisions_vgg13():
    """The same layers up to the fourth pool, but for one pair of convolutions that VGG-13 has at the end."""
    net = VGGNet(in_channels=3, head=SpinalHead).eval()
    with torch.device("meta"):
        reference = vgg13_bn().features[:28]
    for ours, theirs in zip(net.features.state_dict().items(), reference.state_dict().items(), strict=True):
        assert ours[1].shape == theirs[1].shape
    weights = dict(zip(reference.state_dict(), net.features.state_dict().values(), strict=True))
    reference.load_state_dict(weights, assign=True)
    x = torch.rand(2, 3, 40, 40)
    with torch.inference_mode():
        assert torch.equal(net.features(x), reference.eval()(x))


def test_vgg_dense_head_against_numpy():
    net, x = VGGNet().eval(), torch.rand(1, 1, 40, 40)
    with torch.inference_mode():
        value, logits = net.features(x).numpy().ravel(), net(x)[0]
    linears = [layer for layer in net.classifier if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linears] == [4096, 4096, 7]
    for layer in linears[:2]:
        value = np.maximum(layer.weight.detach().numpy() @ value + layer.bias.detach().numpy(), 0)
    value = linears[2].weight.detach().numpy() @ value + linears[2].bias.detach().numpy()
    assert np.allclose(logits, value, atol=1e-5)


@pytest.mark.parametrize("head", [SpinalHead, ProgressiveSpinalHead])
def test_trunk_of_a_vggnet_is_loaded_by_name(head):
    """The transfer of the paper: weights of layers with equal names. Nothing of the heads has an equal name."""
    source, target, x = VGGNet(), VGGNet(head=head), torch.rand(2, 1, 40, 40)
    weights, own = source.state_dict(), target.state_dict()
    equal = {name: value for name, value in weights.items() if name in own}
    assert {name for name in own if name.startswith("features.")} == set(equal)
    assert all(value.shape == own[name].shape for name, value in equal.items())
    target.load_state_dict(equal, strict=False)
    with torch.inference_mode():
        assert torch.equal(source.eval().features(x), target.eval().features(x))


def test_vggnet_refuses_sizes():
    with pytest.raises(ValueError, match="size=15 leaves no pixel; it must be at least 16"):
        VGGNet(size=15)
    assert VGGNet(size=16, head=SpinalHead).eval()(torch.zeros(1, 1, 16, 16)).shape == (1, 7)
    with pytest.raises(ValueError, match=r"VGGNet was built for 40x40 pixels \(size=40\), found .*\(1, 1, 48, 48\)"):
        VGGNet(head=SpinalHead)(torch.zeros(1, 1, 48, 48))


def test_efficientnet_stages_and_maps():
    with torch.device("meta"):
        net, maps = efficientnetv2_s().eval(), []
        for stage in net.blocks:
            stage.register_forward_hook(lambda _, __, output: maps.append(tuple(output.shape[1:])))
        features = net.forward_features(torch.zeros(1, 1, 40, 40))
    assert [len(stage) for stage in net.blocks] == [2, 4, 4, 6, 9, 15]  # "layers" of Table 2
    assert maps == [(24, 20, 20), (48, 10, 10), (64, 5, 5), (128, 3, 3), (160, 3, 3), (272, 2, 2)]
    assert features.shape == (1, 1792, 2, 2)
    assert net.num_features == 1792


@pytest.mark.parametrize(("activation", "layer"), [("swish", nn.SiLU), ("mish", nn.Mish)])
def test_efficientnet_activation_is_the_one_asked_for_everywhere(activation, layer):
    with torch.device("meta"):
        net = efficientnetv2_s(activation=activation)
    assert sum(isinstance(part, layer) for part in net.modules()) == 102
    others = tuple({nn.SiLU, nn.Mish, nn.ReLU} - {layer})
    assert not any(isinstance(part, others) for part in net.modules())


def rw_s_of_torchvision() -> nn.Module:
    """The text's network of torchvision's parts: a wider end, and 1x1 convolutions in the first stage."""
    net = EfficientNet(
        [
            FusedMBConvConfig(1, 3, 1, 24, 24, 2),
            FusedMBConvConfig(4, 3, 2, 24, 48, 4),
            FusedMBConvConfig(4, 3, 2, 48, 64, 4),
            MBConvConfig(4, 3, 2, 64, 128, 6),
            MBConvConfig(6, 3, 1, 128, 160, 9),
            MBConvConfig(6, 3, 2, 160, 272, 15),
        ],
        dropout=0.0,
        last_channel=1792,
        num_classes=7,
    )
    for part in net.features[1]:
        part.block.append(Conv2dNormActivation(24, 24, kernel_size=1, activation_layer=None))
    return net


@pytest.mark.parametrize(
    ("variant", "build"), [("s", lambda: efficientnet_v2_s(num_classes=7)), ("rw_s", rw_s_of_torchvision)]
)
def test_efficientnet_is_that_of_torchvision(variant, build):
    net = efficientnetv2_s(in_channels=3, variant=variant)
    with torch.device("meta"):
        reference = build()
    weights = zip(reference.state_dict().items(), net.state_dict().values(), strict=True)
    for layer in reference.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-5  # torchvision gives its "s" 1e-3, as the first publication; timm's has torch's default
    reference.load_state_dict({name: ours.view(theirs.shape) for (name, theirs), ours in weights}, assign=True)
    x = torch.rand(2, 3, 40, 40)
    with torch.inference_mode():
        net.train()(x)  # moves the running statistics; the weights are shared
        ours, theirs = net.eval()(x), reference.eval()(x)
    assert ours.std() > 1e-3
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_efficientnet_refuses_other_options():
    with pytest.raises(ValueError, match=r"variant='m' is not one of \['rw_s', 's'\]"):
        efficientnetv2_s(variant="m")
    with pytest.raises(ValueError, match=r"activation='relu' is not one of \['swish', 'mish'\]"):
        efficientnetv2_s(activation="relu")


def torchvision_names(name: str) -> str:
    """timm's name of a weight -> torchvision's."""
    for ours, theirs in (
        ("cls_token", "class_token"), ("pos_embed", "encoder.pos_embedding"), ("patch_embed.proj", "conv_proj"),
        ("blocks.", "encoder.layers.encoder_layer_"), ("norm1", "ln_1"), ("norm2", "ln_2"),
        ("attn.qkv.", "self_attention.in_proj_"), ("attn.proj", "self_attention.out_proj"),
        ("mlp.fc1", "mlp.0"), ("mlp.fc2", "mlp.3"),
    ):  # fmt: skip
        name = name.replace(ours, theirs)
    return {"norm.weight": "encoder.ln.weight", "norm.bias": "encoder.ln.bias"}.get(
        name, name.replace("head.", "heads.head.")
    )


def test_vit_has_the_weights_of_torchvisions():
    with torch.device("meta"):
        ours, theirs = vit_l32().state_dict(), vit_l_32(num_classes=7).state_dict()
    assert {torchvision_names(name): w.shape for name, w in ours.items()} == {n: w.shape for n, w in theirs.items()}
    assert ours["pos_embed"].shape == (1, 50, 1024)


def test_vit_is_that_of_torchvision():
    """Two layers of the 24: the others are alike."""
    net = vit_l32(depth=2).eval()
    nn.init.normal_(net.head.weight, std=0.1)  # timm starts it near zero
    with torch.device("meta"):
        reference = VisionTransformer(224, 32, 2, 16, 1024, 4096, num_classes=7).eval()
    reference.load_state_dict({torchvision_names(name): w for name, w in net.state_dict().items()}, assign=True)
    x = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        ours, theirs = net(x), reference(x)
    assert ours.std() > 1e-2
    assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("in_channels", [1, 3])
def test_vit_starts_from_the_weights_of_imagenet21k(monkeypatch, in_channels):
    """What timm would download is put in its place: all but the head comes from there."""
    with torch.device("meta"):
        shapes = {name: w.shape for name, w in timm.create_model(WEIGHTS, depth=1).state_dict().items()}
    torch.manual_seed(0)
    released = {name: torch.rand(shape) for name, shape in shapes.items()}
    asked = []
    monkeypatch.setattr(
        "timm.models._builder.load_state_dict_from_hf", lambda source, **_: asked.append(source) or dict(released)
    )
    net = vit_l32(in_channels=in_channels, depth=1, pretrained=True, head=SpinalHead)
    assert asked == ["timm/vit_large_patch32_224.orig_in21k"]
    loaded = {name: w for name, w in net.state_dict().items() if not name.startswith("head.")}
    assert set(loaded) == set(released)
    differ = [name for name, w in loaded.items() if not torch.equal(w, released[name])]
    assert differ == ([] if in_channels == 3 else ["patch_embed.proj.weight"])


def test_pixels_of_the_vit_are_those_of_its_weights():
    cfg = configure("model=vit_l32", "data=fer2013")
    made_with = timm.get_pretrained_cfg(WEIGHTS)
    low, high = ((bound - made_with.mean[0]) / made_with.std[0] for bound in (0.0, 1.0))
    assert list(cfg.data.pixel_range) == [low, high] == [-1.0, 1.0]
    assert (cfg.data.recipe.size, list(cfg.data.channels)) == (224, ["red", "green", "blue"])


def test_vit_refuses_sizes():
    with pytest.raises(ValueError, match="size=48 is no multiple of the patches of 32 pixels"):
        vit_l32(size=48)


@pytest.mark.parametrize(
    ("model", "lr", "batch_size", "epochs"),
    [
        ("vggnet", 0.01, 64, 200),
        ("vggspinalnet", 0.001, 64, 200),
        ("vggprogressivespinalnet", 0.0001, 64, 200),
        ("efficientnetv2_s", 0.005, 128, 2000),
        ("efficientnetv2_s_spinal", 0.005, 128, 1000),
        ("vit_l32", 0.00002, 19, 100),
        ("vit_l32_spinal", 0.0001, 19, 50),
    ],
)
def test_a_paper_gives_its_settings_and_training_shows_the_size_the_network_reads(model, lr, batch_size, epochs):
    cfg = configure(f"model={model}", "data=fer2013")
    assert (cfg.optimizer.lr, cfg.data.batch_size, cfg.trainer.max_epochs) == (lr, batch_size, epochs)
    recipe = instantiate(cfg.data.recipe)
    transforms = build_augment(cfg, recipe)
    shape = transforms["transform"].out_shape(recipe.shape) if transforms else recipe.shape
    reads = list(cfg.needs.get("example") or [cfg.paper.size] * 2)
    assert list(shape[1:]) == reads == ([224, 224] if model.startswith("vit") else [40, 40])
