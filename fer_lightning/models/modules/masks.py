"""Masking block: a small U-Net that says which features of a map to strengthen.

Paper: Pham et al. 2020, "Facial Expression Recognition Using Residual Masking Network", arXiv:2603.05937, whose code
(github.com/phamquiluan/ResidualMaskingNetwork) fixes what the text leaves open; used by the CAMNet thesis (Kowsar,
Zaman and Sakib 2021, equation 5.1).
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

Norm = Callable[[int], nn.Module]
GATES = ("channel", "spatial", "sigmoid")
MODES = ("residual", "mul")

# depth 3        channels    map      (C channels, 28x28)
# block          2C          28
# pool, block    4C          14
# pool, block    8C          7
# up, block      4C          14       up: transposed conv 2x2 to half the channels, norm, ReLU; beside it the encoder's
# up, block      2C          28
# block          C           28
# gate           C           28
# Blocks are the basic blocks of ResNet with a 1x1 convolution in the shortcut.


def block(in_channels: int, out_channels: int, norm: Norm) -> BasicBlock:
    """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
    shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), norm(out_channels))
    return BasicBlock(in_channels, out_channels, downsample=shortcut, norm_layer=norm)


def up(channels: int, norm: Norm) -> nn.Sequential:
    """(N, channels, H, W) -> (N, channels // 2, 2H, 2W)."""
    return nn.Sequential(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2), norm(channels // 2), nn.ReLU())


def init_weights(layer: nn.Module) -> None:
    """Kaiming (fan out) for a convolution."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


class Mask(nn.Module):
    """F -> F (1 + M), with the mask M made of F.

    Train parameters: depth 4 with 64 channels 32,366,080; depth 3 with 128 31,885,312; depth 2 with 256 29,965,312;
    depth 1 with 512 22,291,456.

    Weights as in the code: Kaiming (fan out), and zero for the last norm of every block, so that the mask starts as a
    function of the shortcuts alone; transposed convolutions: PyTorch's default.

    Args:
        channels: of the input.
        depth: number of encoder blocks; between them the map is halved.
        gate: what makes the mask: "channel", softmax over the channels of a pixel, so that a mask is 1 / channels on
            average, as in the code; "spatial", softmax over the pixels of a channel; "sigmoid", at least 0.5
            since the last block ends in ReLU. The thesis says softmax, not over what.
        mode: "residual", F (1 + M), equation 5.1; "mul", F M, the "element-wise multiplication" of the thesis' text.
        norm: channels -> normalisation.

    Shape:
        input and output ``(N, channels, H, W)``, H and W at least ``2 ** (depth - 1)``. Where a pool drops an odd
        row or column, the decoder resizes to the encoder's map (bilinear [chosen]).

    Raises:
        ValueError: a depth below 1, another gate or mode; in ``forward``, a map that cannot be halved so often.
    """

    def __init__(
        self,
        channels: int,
        depth: int = 1,
        gate: str = "channel",
        mode: str = "residual",
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"mask: depth={depth} must be at least 1")
        for name, value, allowed in (("gate", gate, GATES), ("mode", mode, MODES)):
            if value not in allowed:
                raise ValueError(f"mask: {name}={value!r} is not one of {list(allowed)}")
        self.gate, self.mode, self.smallest_map = gate, mode, 2 ** (depth - 1)
        widths = [channels * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(block(narrow, wide, norm) for narrow, wide in pairwise(widths))
        self.ups = nn.ModuleList(up(wide, norm) for wide in reversed(widths[2:]))
        self.decoder = nn.ModuleList(block(wide, wide // 2, norm) for wide in reversed(widths[2:]))
        self.last = block(2 * channels, channels, norm)
        self.apply(init_weights)
        for layer in self.modules():
            if isinstance(layer, BasicBlock):
                nn.init.zeros_(layer.bn2.weight)

    def mask(self, x: Tensor) -> Tensor:
        """M, of the shape of `x`."""
        if min(x.shape[-2:]) < self.smallest_map:
            raise ValueError(
                f"a mask of depth {len(self.encoder)} reads maps of at least {self.smallest_map}x{self.smallest_map}, "
                f"found {x.shape[-2]}x{x.shape[-1]}; use a smaller depth or a larger input"
            )
        encoded = []
        for level, encode in enumerate(self.encoder):
            x = encode(F.max_pool2d(x, 2) if level else x)
            encoded.append(x)
        encoded.pop()
        for enlarge, decode in zip(self.ups, self.decoder, strict=True):
            x, beside = enlarge(x), encoded.pop()
            if x.shape != beside.shape:
                x = F.interpolate(x, size=beside.shape[-2:], mode="bilinear", align_corners=False)
            x = decode(torch.cat([x, beside], dim=1))
        x = self.last(x)
        if self.gate == "channel":
            return x.softmax(dim=1)
        if self.gate == "spatial":
            return x.flatten(2).softmax(dim=2).unflatten(2, x.shape[-2:])
        return x.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        mask = self.mask(x)
        return x * (1 + mask) if self.mode == "residual" else x * mask
