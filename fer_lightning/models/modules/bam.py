"""Bottleneck attention module, which stands between the stages of a network.

Paper: Park et al. 2018, arXiv:1807.06514; code: github.com/Jongchan/attention-module (the authors')
"""

import torch
from torch import Tensor, nn

COMBINATIONS = ("sum", "product")

# channel gate (1x1 maps)                  spatial gate
# global average                           conv 1x1: C / r, BN, ReLU
# dense: C / r, BN, ReLU                   conv 3x3, dilation 4: C / r, BN, ReLU (twice)
# dense: C                                 conv 1x1: 1


def unit(in_channels: int, out_channels: int, kernel: int = 1, dilation: int = 1) -> list[nn.Module]:
    """Convolution with as many pixels out as in, BN, ReLU."""
    padding = dilation * (kernel // 2)
    return [
        nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]


class BAM(nn.Module):
    """F -> F (1 + sigmoid(channel gate + spatial gate)). Layers as in the code; weights: PyTorch's default.

    (The code has no BN after the last layer of a gate; the paper's formulas have one there.) Training needs batches
    of at least 2.

    Args:
        channels: of the input.
        reduction: r, how many times narrower the hidden layers are.
        dilation: of both 3x3 convolutions.
        combine: "sum" of the gates, the paper's formula, or "product", the code's.

    Shape:
        input and output ``(N, channels, H, W)``.

    Raises:
        ValueError: another combination; fewer channels than `reduction`.
    """

    def __init__(self, channels: int, reduction: int = 16, dilation: int = 4, combine: str = "sum") -> None:
        super().__init__()
        if combine not in COMBINATIONS:
            raise ValueError(f"BAM: combine={combine!r} is not one of {list(COMBINATIONS)}")
        if channels < reduction:
            raise ValueError(f"BAM: {channels} channels cannot be reduced {reduction} times")
        self.combine, hidden = combine, channels // reduction
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            *unit(channels, hidden),
            nn.Conv2d(hidden, channels, 1),
        )
        self.spatial = nn.Sequential(
            *unit(channels, hidden),
            *unit(hidden, hidden, 3, dilation),
            *unit(hidden, hidden, 3, dilation),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        channel, spatial = self.channel(x), self.spatial(x)  # (N, C, 1, 1) and (N, 1, H, W)
        both = channel + spatial if self.combine == "sum" else channel * spatial
        return x * (1 + torch.sigmoid(both))
