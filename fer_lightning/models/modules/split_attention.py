"""Split attention: a 3x3 convolution whose channel groups are weighed against each other.

Paper: Zhang et al. 2020, ResNeSt, arXiv:2004.08955, section 3.1. The "CAU" of the CAMNet thesis (Kowsar, Zaman and
Sakib 2021).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

# conv 3x3, groups = cardinality * radix, no bias      -> radix splits of out_channels each; norm, ReLU
# sum of the splits, global average                    -> out_channels
# conv 1x1 (bias), norm, ReLU                          -> max(channels * radix / reduction, SMALLEST)
# conv 1x1 (bias), softmax over the splits             -> radix weights for each channel
# weighted sum of the splits                           -> out_channels
SMALLEST = 32


class SplitAttention(nn.Module):
    """43,488 train parameters with 64 channels; 172,992 with 128, 690,048 with 256, 2,756,352 with 512.

    The output is never negative. Training needs batches of at least 2 with batch norm, which sees 1x1 maps here.
    Weights: PyTorch's default.

    Args:
        channels: of the input.
        out_channels: of the output; None for as many as the input has.
        stride: of the 3x3 convolution.
        radix: number of splits.
        cardinality: number of groups that are attended to separately.
        reduction: how many times narrower the hidden layer is than all splits together.
        norm: channels -> normalisation.

    Shape:
        input ``(N, channels, H, W)``, output ``(N, out_channels, ceil(H / stride), ceil(W / stride))``.

    Raises:
        ValueError: radix below 2; channels that the groups do not divide.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int | None = None,
        stride: int = 1,
        radix: int = 2,
        cardinality: int = 1,
        reduction: int = 4,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if radix < 2:
            raise ValueError(f"split attention: radix={radix} leaves nothing to weigh; it must be at least 2")
        out_channels = channels if out_channels is None else out_channels
        hidden = max(channels * radix // reduction, SMALLEST)
        groups = cardinality * radix
        if channels % groups or out_channels % cardinality or hidden % cardinality:
            raise ValueError(
                f"split attention: {channels} channels in, {hidden} hidden and {out_channels} out cannot be divided "
                f"into the groups of cardinality={cardinality}, radix={radix}"
            )
        self.radix, self.cardinality = radix, cardinality
        self.conv = nn.Conv2d(channels, out_channels * radix, 3, stride, padding=1, groups=groups, bias=False)
        self.bn0 = norm(out_channels * radix)
        self.fc1 = nn.Conv2d(out_channels, hidden, 1, groups=cardinality)
        self.bn1 = norm(hidden)
        self.fc2 = nn.Conv2d(hidden, out_channels * radix, 1, groups=cardinality)

    def forward(self, x: Tensor) -> Tensor:
        splits = torch.relu(self.bn0(self.conv(x))).unflatten(1, (self.radix, -1))  # (N, radix, C, H, W)
        hidden = torch.relu(self.bn1(self.fc1(splits.sum(dim=1).mean((2, 3), keepdim=True))))
        scores = self.fc2(hidden).unflatten(1, (self.cardinality, self.radix, -1))
        weights = scores.transpose(1, 2).softmax(dim=1).flatten(2, 3)  # (N, radix, C, 1, 1)
        return (splits * weights).sum(dim=1)
