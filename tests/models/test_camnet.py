"""The CAMNet thesis's networks: counts, maps, second implementations with copied weights, settings."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from fer_lightning.models.bam_resnet50 import bam_resnet50
from fer_lightning.models.camnet import CAMNet
from fer_lightning.models.cbam_resnet50 import cbam_resnet50
from fer_lightning.models.counting import train_parameters
from fer_lightning.models.densenet121 import densenet121
from fer_lightning.models.fer_baseline import FERBaseline
from fer_lightning.models.modules.bam import BAM
from fer_lightning.models.modules.cbam import CBAM
from fer_lightning.models.modules.dense import DenseHead
from fer_lightning.models.resnet import resnet
from fer_lightning.models.senet import senet
from fer_lightning.models.vgg import VGG
from tests.runs import configure


def dense(*hidden: int) -> partial:
    return partial(DenseHead, hidden=hidden, dropout=0.5)


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (CAMNet, {}, 141_351_655),
        (CAMNet, {"masks": (0, 0, 0, 0)}, 24_843_495),
        (CAMNet, {"attention": "first"}, 139_444_679),
        (CAMNet, {"attention": "second"}, 139_703_399),
        (CAMNet, {"last_norm": True}, 141_351_655 + 7_552),
        (CAMNet, {"hidden": 128}, 141_351_655 + 62_976),
        (CAMNet, {"norm": "group"}, 141_351_655),
        (CAMNet, {"attention": None}, 137_796_423),
        (CAMNet, {"attention": None, "masks": (0, 0, 0, 0)}, 21_288_263),
        (FERBaseline, {}, 1_862_983),
        (FERBaseline, {"pools": 3}, 1_669_447),
        (VGG, {"depth": 16}, 134_289_223),
        (VGG, {"depth": 19}, 139_598_919),
        (VGG, {"depth": 16, "pool": "average", "head": dense(512, 256, 128)}, 15_142_471),
        (VGG, {"depth": 16, "head": dense(512, 256, 128)}, 27_725_383),
        (VGG, {"depth": 16, "head": dense(4096, 4096, 512, 256, 128)}, 136_523_335),
        (VGG, {"depth": 19, "pool": "average", "head": dense(512, 256)}, 20_420_167),
        (VGG, {"depth": 19, "head": dense(512, 256)}, 33_003_079),
        (senet, {"variant": "senet50"}, 26_053_367),
        (senet, {"variant": "seresnet34"}, 21_449_459),
        (senet, {"variant": "seresnext101"}, 46_920_759),
        (senet, {"variant": "seresnext101", "head": dense(1024)}, 49_011_767),
        (resnet, {"depth": 34}, 21_288_263),
        (resnet, {"depth": 50}, 23_522_375),
        (densenet121, {}, 6_961_031),
        (bam_resnet50, {}, 23_880_442),
        (bam_resnet50, {"num_classes": 1000}, 25_915_099),  # as published beside weights of the authors' code
        (cbam_resnet50, {}, 26_054_967),
        (cbam_resnet50, {"num_classes": 1000}, 28_089_624),  # likewise
    ],
)
def test_parameters(network, options, expected):
    with torch.device("meta"):
        assert train_parameters(network(**options)) == expected


def test_camnet_stages_and_maps():
    with torch.device("meta"):
        net, maps, x = CAMNet().eval(), {}, torch.zeros(1, 3, 224, 224)
        for name, part in net.named_children():
            part.register_forward_hook(lambda _, __, out, name=name: maps.__setitem__(name, tuple(out.shape[1:])))
        with FlopCounterMode(display=False) as counter:
            assert net(x).shape == (1, 7)
    counts = {name: train_parameters(part) for name, part in net.named_children() if train_parameters(part)}
    assert counts == {
        "conv1": 9_408, "bn1": 128,
        "layer1": 260_928, "mask1": 32_366_080, "layer2": 1_306_272, "mask2": 31_885_312,
        "layer3": 7_969_600, "mask3": 29_965_312, "layer4": 15_293_568, "mask4": 22_291_456,
        "classifier": 3_591,
    }  # fmt: skip
    assert maps.pop("conv1") == (64, 112, 112)
    assert maps.pop("maxpool") == maps["layer1"] == maps["mask1"] == (64, 56, 56)
    assert maps["layer2"] == maps["mask2"] == (128, 28, 28)
    assert maps["layer3"] == maps["mask3"] == (256, 14, 14)
    assert maps["layer4"] == maps["mask4"] == (512, 7, 7)
    assert counter.get_total_flops() / 2e9 == pytest.approx(21.9, abs=0.05)  # GMAC


def scattered(net: nn.Module) -> nn.Module:
    """`net` with norms that are nowhere 0 or 1."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1)
            layer.bias.data.uniform_(-0.2, 0.2)
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.8, 1.2)
    return net.eval()


def copy_in_order(source: nn.Module, target: nn.Module) -> nn.Module:
    """Weights of `source` in `target`, whose layers are called otherwise but come in the same order."""
    values = zip(target.state_dict().items(), source.state_dict().values(), strict=True)
    target.load_state_dict({name: value.view(old.shape) for (name, old), value in values})
    return target.eval()


@torch.inference_mode()
def assert_equal_scores(net: nn.Module, reference: nn.Module, size: int) -> None:
    x = torch.randn(2, 3, size, size)
    ours, theirs = net(x), reference(x)
    assert ours.std() > 1e-3
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(ours.abs().max()))


def test_plain_blocks_without_masks_are_the_resnet34_of_torchvision():
    torch.manual_seed(0)
    reference = scattered(torchvision.models.resnet34(num_classes=7))
    net = CAMNet(attention=None, masks=(0, 0, 0, 0)).eval()
    missing, surplus = net.load_state_dict(reference.state_dict(), strict=False)
    assert (missing, surplus) == (["classifier.1.weight", "classifier.1.bias"], ["fc.weight", "fc.bias"])
    net.classifier[1].load_state_dict(reference.fc.state_dict())
    assert_equal_scores(net, reference, 61)


@pytest.mark.parametrize("last_norm", [False, True])
@pytest.mark.parametrize("attention", ["both", "first", "second"])
def test_a_block_written_out_with_the_split_attention_of_timm(attention, last_norm):
    torch.manual_seed(0)
    net = scattered(CAMNet(attention=attention, last_norm=last_norm, masks=(0, 0, 0, 0), width=32))
    block, x = net.layer2[0], torch.randn(2, 32, 9, 9)

    def convolved(number: int, x: torch.Tensor, out: int, stride: int) -> torch.Tensor:
        """The convolution of this number and all that comes before the sum or the next one."""
        conv, norm = block.get_submodule(f"conv{number}"), block.get_submodule(f"bn{number}")
        if attention not in ("both", ["first", "second"][number - 1]):
            x = norm(conv(x))
            return x.relu() if number == 1 else x
        split = timm.layers.SplitAttn(x.shape[1], out, stride=stride, norm_layer=nn.BatchNorm2d).eval()
        split.load_state_dict(conv.state_dict())
        assert isinstance(norm, nn.BatchNorm2d if number == 2 and last_norm else nn.Identity)
        return norm(split(x))

    expected = convolved(2, convolved(1, x, 64, 2), 64, 1)
    if attention != "first" and not last_norm:
        assert expected.min() >= 0
    expected = torch.relu(expected + block.downsample[1](block.downsample[0](x)))
    assert expected.shape == (2, 64, 5, 5)
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_masks_stand_after_the_stages():
    torch.manual_seed(0)
    net, face = scattered(CAMNet(width=8)), torch.randn(2, 3, 48, 40)
    x = net.maxpool(net.bn1(net.conv1(face)).relu())
    for stage in "1234":
        x = net.get_submodule(f"layer{stage}")(x)
        x = x * (1 + net.get_submodule(f"mask{stage}").mask(x))
    linear = net.classifier[1]
    assert torch.allclose(net(face), x.mean((2, 3)) @ linear.weight.T + linear.bias, atol=1e-5)


@pytest.mark.parametrize(
    ("masks", "smallest"),
    [((4, 3, 2, 1), 29), ((3, 3, 2, 1), 25), ((0, 0, 2, 0), 17), ((1, 1, 1, 1), 1), ((0,) * 4, 1)],
)
def test_camnet_runs_from_exactly_the_size_it_names(masks, smallest):
    net = CAMNet(masks=masks, width=8).eval()
    assert net.smallest_input == smallest
    for size in range(smallest, smallest + 9):
        assert net(torch.zeros(1, 3, smallest, size)).shape == (1, 7)
    if smallest > 1:
        with pytest.raises(
            ValueError, match=rf"at least {smallest}x{smallest} pixels, found .*\(1, 3, 99, {smallest - 1}\)"
        ):
            net(torch.zeros(1, 3, 99, smallest - 1))


def test_group_norm_trains_on_one_image_and_batch_norm_cannot():
    x = torch.rand(1, 3, 32, 32)
    CAMNet(norm="group", width=16).train()(x).sum().backward()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        CAMNet(norm="batch", width=16).train()(x)


def test_camnet_heads():
    net = CAMNet(masks=(0, 0, 0, 0), width=8)
    assert [type(layer) for layer in net.classifier] == [nn.Dropout, nn.Linear]
    net = CAMNet(masks=(0, 0, 0, 0), width=8, hidden=5)
    assert [type(layer) for layer in net.classifier] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert isinstance(CAMNet(masks=(0, 0, 0, 0), width=8, hidden=5, head=nn.Linear).classifier, nn.Linear)


def test_camnet_refuses_other_options():
    with pytest.raises(ValueError, match=r"attention='all' is not one of \['both', 'first', 'second', None\]"):
        CAMNet(attention="all")
    with pytest.raises(ValueError, match=r"norm='layer' is not one of \['batch', 'group'\]"):
        CAMNet(norm="layer")
    with pytest.raises(ValueError, match=r"masks=\[4, 3, 2\] must be 4 depths"):
        CAMNet(masks=(4, 3, 2))
    with pytest.raises(ValueError, match=r"gate='softmax' is not one of"):
        CAMNet(mask_gate="softmax", width=8)


@pytest.mark.parametrize("pools", [2, 3])
def test_baseline_layers_and_maps(pools):
    net, maps = FERBaseline(pools=pools).eval(), []
    for layer in net.features:
        if isinstance(layer, nn.BatchNorm2d | nn.MaxPool2d):
            layer.register_forward_hook(lambda _, __, out: maps.append(tuple(out.shape[1:])))
    assert net(torch.rand(1, 1, 48, 48)).shape == (1, 7)
    block = [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.MaxPool2d]
    assert [type(layer) for layer in net.features] == (3 * block)[: 17 + (pools == 3)]
    last = [(256, 12, 12), (256, 6, 6)][: pools - 1]
    assert maps == [(64, 48, 48), (64, 24, 24), (128, 24, 24), (128, 12, 12), *last]


def test_baseline_refuses_other_options():
    with pytest.raises(ValueError, match=r"pools=1 is not one of \[2, 3\]"):
        FERBaseline(pools=1)
    with pytest.raises(ValueError, match="size=7 leaves no pixel; it must be at least 8"):
        FERBaseline(size=7, pools=3)
    with pytest.raises(ValueError, match=r"built for 48x48 pixels \(size=48\), found .*\(1, 1, 64, 64\)"):
        FERBaseline()(torch.zeros(1, 1, 64, 64))


@pytest.mark.parametrize(("depth", "letter"), [(16, "D"), (19, "E")])
def test_vgg_is_that_of_torchvision(depth, letter):
    """The trunk with copied weights; of the dense layers, which are 120 million values, shapes and order."""
    torch.manual_seed(0)
    net = VGG(depth=depth, pool="average", head=dense(512)).eval()
    reference = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs[letter])
    reference.load_state_dict(net.features.state_dict())
    x = torch.rand(1, 3, 40, 64)
    with torch.inference_mode():
        assert torch.allclose(net.features(x), reference(x), atol=1e-5)
        assert torch.allclose(net(x), net.classifier(reference(x).mean((2, 3))), atol=1e-5)
    with torch.device("meta"):
        ours, theirs = VGG(depth=depth), torchvision.models.get_model(f"vgg{depth}", num_classes=7)
        kinds = [[(type(m), [*m.state_dict().values()]) for m in n.classifier] for n in (ours, theirs)]
    for (kind, values), (kind_theirs, values_theirs) in zip(*kinds, strict=True):
        assert kind is kind_theirs
        assert [v.shape for v in values] == [v.shape for v in values_theirs]


@pytest.mark.parametrize("variant", ["seresnet34", "senet50", "seresnext101"])
def test_senet_of_torchvisions_parts(variant):
    torch.manual_seed(0)
    net = scattered(senet(variant=variant))
    block = BasicBlock if variant == "seresnet34" else Bottleneck
    layers = [3, 4, 23 if variant == "seresnext101" else 6, 3]
    groups = {"groups": 32, "width_per_group": 4} if variant == "seresnext101" else {}
    reference = ResNet(block, layers, num_classes=7, **groups)
    reference.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
    for part in reference.modules():
        if isinstance(part, BasicBlock):
            channels = part.bn2.num_features
            part.bn2 = nn.Sequential(part.bn2, nn.ReLU(), torchvision.ops.SqueezeExcitation(channels, channels // 16))
        elif isinstance(part, Bottleneck):
            channels = part.bn3.num_features
            part.bn3 = nn.Sequential(part.bn3, torchvision.ops.SqueezeExcitation(channels, channels // 16))
            if variant == "senet50":
                part.conv1.stride, part.conv2.stride = part.conv2.stride, (1, 1)
    assert_equal_scores(net, copy_in_order(net, reference), 65)


@pytest.mark.parametrize(
    ("build", "reference"),
    [
        (partial(resnet, depth=34), torchvision.models.resnet34),
        (partial(resnet, depth=50), torchvision.models.resnet50),
        (densenet121, torchvision.models.densenet121),
    ],
)
def test_stock_networks_are_those_of_torchvision(build, reference):
    torch.manual_seed(0)
    net, other = scattered(build()), reference(num_classes=7).eval()
    other.load_state_dict(net.state_dict())
    assert_equal_scores(net, other, 65)


def test_bam_comes_after_three_stages_of_a_resnet50():
    """With weights of zero a gate is sigmoid(0): features are multiplied by 1.5."""
    torch.manual_seed(0)
    net = scattered(bam_resnet50())
    assert [type(net.get_submodule(f"layer{n}")[-1]) is BAM for n in (1, 2, 3, 4)] == [True, True, True, False]
    reference = torchvision.models.resnet50(num_classes=7).eval()
    missing, surplus = reference.load_state_dict(net.state_dict(), strict=False)
    assert missing == []
    assert all(name.startswith(("layer1.3.", "layer2.4.", "layer3.6.")) for name in surplus)
    for part in net.modules():
        if isinstance(part, BAM):
            for parameter in part.parameters():
                nn.init.zeros_(parameter)
    for stage in (reference.layer1, reference.layer2, reference.layer3):
        stage.register_forward_hook(lambda _, __, out: 1.5 * out)
    assert_equal_scores(net, reference, 65)


def test_cbam_stands_before_every_sum_of_a_resnet50():
    """With weights of zero both gates are sigmoid(0): a branch is divided by 4."""
    torch.manual_seed(0)
    net = scattered(cbam_resnet50())
    assert sum(isinstance(part, CBAM) for part in net.modules()) == 16
    for part in net.modules():
        if isinstance(part, CBAM):
            for parameter in part.parameters():
                nn.init.zeros_(parameter)
    reference = torchvision.models.resnet50(num_classes=7).eval()
    missing, surplus = reference.load_state_dict(net.state_dict(), strict=False)
    assert missing == []
    assert all(".se." in name for name in surplus)
    for part in reference.modules():
        if isinstance(part, Bottleneck):
            part.bn3.register_forward_hook(lambda _, __, out: out / 4)
    assert_equal_scores(net, reference, 65)


@pytest.mark.parametrize(
    ("build", "smallest", "name"), [(partial(VGG, head=dense(8)), 32, "VGG-16"), (densenet121, 29, "DenseNet-121")]
)
def test_networks_that_pool_on_name_the_smallest_size(build, smallest, name):
    net = build().eval()
    assert net(torch.zeros(1, 3, smallest, smallest + 3)).shape == (1, 7)
    with pytest.raises(ValueError, match=rf"{name} reads at least {smallest}x{smallest} .*, 99, {smallest - 1}\)"):
        net(torch.zeros(1, 3, 99, smallest - 1))


@pytest.mark.parametrize(
    ("build", "smallest"),
    [(partial(resnet, depth=34), 1), (bam_resnet50, 1), (cbam_resnet50, 1), (partial(senet, variant="seresnet34"), 3)],
)
def test_residual_networks_read_the_sizes_they_name(build, smallest):
    net = build().eval()
    for size in (smallest, 17):
        assert net(torch.zeros(1, 3, smallest, size)).shape == (1, 7)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (partial(resnet, depth=18), r"depth=18 is not one of \[34, 50\]"),
        (partial(VGG, depth=13), r"depth=13 is not one of \[16, 19\]"),
        (partial(VGG, pool="max"), r"pool='max' is not one of \['average', 'flatten'\]"),
        (
            partial(senet, variant="senet154"),
            r"variant='senet154' is not one of \['seresnet34', 'senet50', 'seresnext101'",
        ),
    ],
)
def test_other_options_are_refused(build, text):
    with pytest.raises(ValueError, match=text):
        build()


@pytest.mark.parametrize(
    ("build", "name", "asked"),
    [
        (partial(resnet, depth=34), "resnet34", "timm/resnet34.tv_in1k"),
        (bam_resnet50, "resnet50", "timm/resnet50.tv_in1k"),
        (cbam_resnet50, "resnet50", "timm/resnet50.tv_in1k"),
        (partial(senet, variant="seresnet34"), "legacy_seresnet34", "seresnet34-a4004e63.pth"),
        (
            partial(senet, variant="seresnext101", head=dense(1024)),
            "legacy_seresnext101_32x4d",
            "legacy_se_resnext101_32x4d-37725eac.pth",
        ),
        (densenet121, "densenet121", "timm/densenet121.tv_in1k"),
        (partial(VGG, depth=16, head=dense(512)), "vgg16", "timm/vgg16.tv_in1k"),
        (partial(VGG, depth=19, head=dense(512)), "vgg19", "timm/vgg19.tv_in1k"),
    ],
)
def test_networks_start_from_weights_of_imagenet(monkeypatch, build, name, asked):
    """What timm would download, put in its place: names and shapes fit, whatever the channels, classes and head."""
    requests = []
    with torch.device("meta"):
        released = timm.create_model(name).state_dict()

        def download(source: str, *_, **__) -> dict[str, torch.Tensor]:
            requests.append(source)
            return dict(released)

        for place in ("hf", "url"):
            monkeypatch.setattr(f"timm.models._builder.load_state_dict_from_{place}", download)
        build(in_channels=1, num_classes=3, pretrained=True)
    assert len(requests) == 1
    assert requests[0].endswith(asked)


@pytest.mark.parametrize(
    ("model", "optimizer", "lr", "batch_size", "epochs", "size"),
    [
        ("camnet", "RAdam", 1e-4, 32, 50, 224),
        ("resmasking", "RAdam", 1e-4, 32, 50, 224),
        ("vgg16", "Adam", 1e-5, 64, None, 224),
        ("vgg19", "Adam", None, None, None, 224),
        ("senet50", "SGD", 0.01, 128, 100, 197),
        ("seresnet34", "RAdam", 1e-4, 48, 50, 224),
        ("seresnext101", "RAdam", 1e-4, 48, 43, 224),
        ("bam_resnet50", "RAdam", 1e-4, None, 50, 224),
        ("cbam_resnet50", "RAdam", 1e-4, None, 50, 224),
        ("fer_baseline", "Adam", None, None, None, 48),
    ],
)
def test_the_thesis_gives_its_settings(model, optimizer, lr, batch_size, epochs, size):
    """None: the thesis does not say, so what the project has for all networks."""
    cfg, default = configure(f"model={model}", "data=fer2013"), configure("model=resnet18", "data=fer2013")
    assert cfg.optimizer._target_ == f"torch.optim.{optimizer}"
    assert cfg.optimizer.lr == (lr or default.optimizer.lr)
    assert cfg.data.batch_size == (batch_size or default.data.batch_size)
    assert cfg.trainer.max_epochs == (epochs or default.trainer.max_epochs)
    assert (cfg.data.recipe.size, cfg.data.recipe.interpolation) == (size, "lanczos")
    assert list(cfg.data.channels) == (["gray"] if size == 48 else ["red", "green", "blue"])
    assert cfg.augment.transform.steps[0].rotate == [-30, 30]


def test_tuned_optimizers_of_table_6_3():
    for optimizer, lr in (("radam", 1e-4), ("adam", 1e-3), ("sgd", 1e-2)):
        cfg = configure("model=camnet", "data=fer2013", f"optimizer={optimizer}").optimizer
        assert (cfg.lr, cfg.weight_decay) == (lr, 1e-4)
        assert cfg.get("momentum", 0.9) == 0.9
