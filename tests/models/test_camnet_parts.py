"""Parts to be inserted: split attention, masks, BAM, CBAM, squeeze and excitation, against second implementations."""

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_lightning.models.camnet import group_norm
from fer_lightning.models.counting import train_parameters
from fer_lightning.models.modules.bam import BAM
from fer_lightning.models.modules.cbam import CBAM
from fer_lightning.models.modules.dense import DenseHead
from fer_lightning.models.modules.masks import Mask
from fer_lightning.models.modules.split_attention import SplitAttention
from fer_lightning.models.modules.squeeze_excitation import SqueezeExcitation

PARTS = (SplitAttention, Mask, BAM, CBAM, SqueezeExcitation)


def trained(part: nn.Module, x: Tensor) -> nn.Module:
    """`part` with weights and statistics that are nowhere 0 or 1, ready to be compared."""
    for parameter in part.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    part.train()(x)
    return part.eval()


@pytest.mark.parametrize("part", PARTS)
def test_every_part_needs_channels_only_and_keeps_the_shape(part):
    torch.manual_seed(0)
    net, x = part(32), torch.randn(2, 32, 7, 9, requires_grad=True)
    out = trained(net, x.detach())(x)
    assert out.shape == x.shape
    out.square().sum().backward()
    assert x.grad.isfinite().all()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("channels", "depth", "split", "mask"),
    [
        (64, 4, 43_488, 32_366_080),
        (128, 3, 172_992, 31_885_312),
        (256, 2, 690_048, 29_965_312),
        (512, 1, 2_756_352, 22_291_456),
    ],
)
def test_parameters(channels, depth, split, mask):
    with torch.device("meta"):
        assert train_parameters(SplitAttention(channels)) == split
        assert train_parameters(Mask(channels, depth)) == mask


@pytest.mark.parametrize(
    ("channels", "out_channels", "stride", "radix", "cardinality"),
    [(64, 64, 1, 2, 1), (64, 128, 2, 2, 1), (96, 96, 1, 3, 1), (64, 32, 1, 2, 2), (160, 160, 2, 2, 4)],
)
def test_split_attention_is_that_of_timm(channels, out_channels, stride, radix, cardinality):
    torch.manual_seed(0)
    x = torch.randn(3, channels, 8, 9)
    ours = trained(SplitAttention(channels, out_channels, stride, radix, cardinality), x)
    theirs = timm.layers.SplitAttn(
        channels, out_channels, stride=stride, radix=radix, groups=cardinality, norm_layer=nn.BatchNorm2d
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    assert ours(x).std() > 0.01


def test_split_attention_without_a_preference_is_the_mean_of_its_splits():
    part, x = SplitAttention(4).eval(), torch.randn(2, 4, 5, 5)
    nn.init.zeros_(part.fc2.weight)
    nn.init.zeros_(part.fc2.bias)
    first, second = torch.relu(part.bn0(part.conv(x))).chunk(2, dim=1)
    assert torch.allclose(part(x), (first + second) / 2, atol=1e-6)
    nn.init.constant_(part.fc2.bias[:4], 40.0)  # the first split of every channel
    assert torch.allclose(part(x), first, atol=1e-6)


def test_split_attention_refuses_groups_that_do_not_fit():
    with pytest.raises(ValueError, match="radix=1 leaves nothing to weigh; it must be at least 2"):
        SplitAttention(64, radix=1)
    for cardinality in (3, 6):  # of the thesis' 3, 4, 6 and 3; 4 is 64 channels in 8 groups
        with pytest.raises(
            ValueError, match=f"64 channels in, .* into the groups of cardinality={cardinality}, radix=2"
        ):
            SplitAttention(64, cardinality=cardinality)
    SplitAttention(64, cardinality=4)


def norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, var, scale, shift = (state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, scale, shift)


def basic(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """A basic block written out."""
    y = torch.relu(norm(state, f"{name}.bn1", F.conv2d(x, state[f"{name}.conv1.weight"], padding=1)))
    y = norm(state, f"{name}.bn2", F.conv2d(y, state[f"{name}.conv2.weight"], padding=1))
    return torch.relu(y + norm(state, f"{name}.downsample.1", F.conv2d(x, state[f"{name}.downsample.0.weight"])))


def enlarged(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """A transposed convolution 2x2: every pixel becomes four, each by its own matrix."""
    weight, bias = state[f"{name}.0.weight"], state[f"{name}.0.bias"]
    n, _, h, w = x.shape
    y = torch.einsum("nchw,cdij->ndhiwj", x, weight).reshape(n, -1, 2 * h, 2 * w) + bias.view(-1, 1, 1)
    return torch.relu(norm(state, f"{name}.1", y))


@pytest.mark.parametrize("size", [(8, 12), (9, 7)])
def test_mask_of_depth_3_written_out(size):
    torch.manual_seed(0)
    x = torch.rand(3, 4, *size)
    part = trained(Mask(4, depth=3), x)
    state = part.state_dict()

    def joined(small: Tensor, beside: Tensor) -> Tensor:
        small = F.interpolate(small, size=beside.shape[2:], mode="bilinear")  # no change where the sizes are even
        return torch.cat([small, beside], dim=1)

    x1 = basic(state, "encoder.0", x)  # 8 channels
    x2 = basic(state, "encoder.1", F.max_pool2d(x1, 2))  # 16
    x3 = basic(state, "encoder.2", F.max_pool2d(x2, 2))  # 32
    x4 = basic(state, "decoder.0", joined(enlarged(state, "ups.0", x3), x2))  # 16
    x5 = basic(state, "decoder.1", joined(enlarged(state, "ups.1", x4), x1))  # 8
    expected = torch.softmax(basic(state, "last", x5), dim=1)
    assert x3.shape[1:] == (32, size[0] // 4, size[1] // 4)
    assert expected.std() > 1e-3
    assert torch.allclose(part.mask(x), expected, atol=1e-5)
    assert torch.allclose(part(x), x * (1 + expected), atol=1e-5)


def test_gates_and_modes():
    torch.manual_seed(0)
    x = torch.rand(2, 4, 6, 6)
    source = trained(Mask(4, depth=2), x)
    masks = {}
    for gate in ("channel", "spatial", "sigmoid"):
        part = Mask(4, depth=2, gate=gate, mode="mul").eval()
        part.load_state_dict(source.state_dict())
        masks[gate] = part.mask(x)
        assert masks[gate].shape == x.shape
        assert torch.allclose(part(x), x * masks[gate])
    assert torch.allclose(masks["channel"].sum(dim=1), torch.ones(2, 6, 6))
    assert torch.allclose(masks["spatial"].sum(dim=(2, 3)), torch.ones(2, 4))
    assert 0.5 <= masks["sigmoid"].min() < masks["sigmoid"].max() <= 1
    logits = torch.logit(masks["sigmoid"])
    assert torch.allclose(logits.softmax(dim=1), masks["channel"], atol=1e-5)


def test_masks_start_as_a_function_of_the_shortcuts():
    part, x = Mask(4, depth=2).eval(), torch.rand(1, 4, 4, 4)
    before = part.mask(x)
    for name, parameter in part.named_parameters():
        if ".conv" in name:
            parameter.data.normal_()
    assert torch.equal(part.mask(x), before)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_mask_names_the_smallest_map(depth):
    smallest = 2 ** (depth - 1)
    part = Mask(2, depth).eval()
    for size in range(smallest, 2 * smallest + 2):
        assert part(torch.rand(1, 2, smallest, size)).shape == (1, 2, smallest, size)
    with pytest.raises(ValueError, match=f"depth {depth} reads maps of at least {smallest}x{smallest}, found"):
        part(torch.rand(1, 2, smallest, smallest - 1))


def test_mask_refuses_other_options():
    with pytest.raises(ValueError, match="depth=0 must be at least 1"):
        Mask(4, 0)
    with pytest.raises(ValueError, match=r"gate='softmax' is not one of \['channel', 'spatial', 'sigmoid'\]"):
        Mask(4, gate="softmax")
    with pytest.raises(ValueError, match=r"mode='add' is not one of \['residual', 'mul'\]"):
        Mask(4, mode="add")


def unit(layers: nn.Sequential, start: int, x: np.ndarray) -> np.ndarray:
    """Convolution (with dilation), batch norm and ReLU in NumPy: (C, H, W) -> (C', H, W)."""
    conv, normed = layers[start], layers[start + 1]
    x = convolved(conv, x)
    mean, var, scale, shift = (
        t.detach().double().numpy()[:, None, None]
        for t in (normed.running_mean, normed.running_var, normed.weight, normed.bias)
    )
    return np.maximum((x - mean) / np.sqrt(var + 1e-5) * scale + shift, 0)


def convolved(conv: nn.Conv2d, x: np.ndarray) -> np.ndarray:
    weight, (pad, _), (reach, _) = conv.weight.detach().double().numpy(), conv.padding, conv.dilation
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    out = conv.bias.detach().double().numpy()[:, None, None]
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            seen = padded[:, i * reach : i * reach + height, j * reach : j * reach + width]
            out = out + np.einsum("oc,chw->ohw", weight[:, :, i, j], seen)
    return out


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_bam_against_numpy(combine):
    torch.manual_seed(0)
    x = torch.randn(8, 32, 11, 10)
    part = trained(BAM(32, reduction=4, combine=combine), x)
    image = x[0].double().numpy()
    channel = convolved(part.channel[4], unit(part.channel, 1, image.mean((1, 2), keepdims=True)))
    spatial = unit(part.spatial, 6, unit(part.spatial, 3, unit(part.spatial, 0, image)))
    spatial = convolved(part.spatial[9], spatial)
    both = channel + spatial if combine == "sum" else channel * spatial
    expected = image * (1 + 1 / (1 + np.exp(-both)))
    assert part.spatial[3].dilation == part.spatial[6].dilation == (4, 4)
    assert np.allclose(part(x)[0].detach(), expected, atol=1e-4)
    assert np.std(expected / image) > 0.01


@pytest.mark.parametrize("channels", [32, 100])
def test_cbam_is_that_of_timm(channels):
    torch.manual_seed(0)
    x = torch.randn(4, channels, 9, 8)
    ours = trained(CBAM(channels), x)
    theirs = timm.layers.create_attn("cbam", channels, mlp_bias=True).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    assert train_parameters(ours) == train_parameters(theirs)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
    assert (ours(x) / x).std() > 0.01


@pytest.mark.parametrize("channels", [64, 72])
def test_squeeze_excitation_is_that_of_timm(channels):
    torch.manual_seed(0)
    x = torch.randn(2, channels, 5, 4)
    ours = trained(SqueezeExcitation(channels), x)
    theirs = timm.layers.SqueezeExcite(channels, rd_channels=channels // 16).eval()
    theirs.load_state_dict(ours.state_dict())
    assert train_parameters(ours) == train_parameters(theirs)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
    assert (ours(x) / x).std() > 0.01


@pytest.mark.parametrize("part", [BAM, CBAM, SqueezeExcitation])
def test_too_few_channels_are_refused(part):
    with pytest.raises(ValueError, match="15 channels cannot be reduced 16 times"):
        part(15)
    assert part(16).eval()(torch.rand(1, 16, 3, 3)).shape == (1, 16, 3, 3)


def test_attention_modules_refuse_other_options():
    with pytest.raises(ValueError, match=r"combine='mean' is not one of \['sum', 'product'\]"):
        BAM(16, combine="mean")
    with pytest.raises(ValueError, match="kernel=4 must be odd"):
        CBAM(16, kernel=4)


def test_group_norm_has_groups_of_16_channels():
    torch.manual_seed(0)
    out = group_norm(32)(5 * torch.randn(1, 32, 3, 3) + 1)
    for group in out.chunk(2, dim=1):
        assert group.mean().item() == pytest.approx(0, abs=1e-5)
        assert group.std(unbiased=False).item() == pytest.approx(1, abs=1e-3)
    assert group_norm(8).num_groups == 1


def test_dense_head_by_hand():
    head = DenseHead(3, 2, [4, 5], dropout=0.5)
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Dropout] * 2 + [nn.Linear]
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.ones_(layer.weight)
            nn.init.constant_(layer.bias, -1)
    # 1 + 2 + 3 - 1 = 5 in each of 4; 4 * 5 - 1 = 19 in each of 5; 5 * 19 - 1
    assert head.eval()(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[94.0, 94.0]]
    assert [type(layer) for layer in DenseHead(3, 2, [])] == [nn.Linear]
