"""Pyramid pooling modules of the WASPP family: spatial or atrous, direct or waterfall.

Paper: Stofa et al. 2022, Sensors 22(12): 4634, doi:10.3390/s22124634, section 3.3, Tables 3, 4 and 14
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KINDS = ("spp", "aspp")
FLOWS = ("direct", "waterfall")
BRANCHES = (2, 3, 4, 5)


def branch_widths(channels: int, branches: int) -> list[int]:
    """Split channels over branches, the remainder going to the first ones.

    The paper does not print the widths; this split gives the parameter counts of its Table 14.

    Example:
        >>> branch_widths(256, 3)
        [86, 85, 85]
    """
    quotient, remainder = divmod(channels, branches)
    return [quotient + (i < remainder) for i in range(branches)]


class PoolBranch(nn.Module):
    """Conv 3x3, average pool k x k with stride k, BN, ReLU, back to the input's size (bilinear [chosen]).

    (N, in_channels, H, W) -> (N, width, H, W), for H, W >= k. Pixels beyond the last whole window are lost.
    """

    def __init__(self, in_channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, kernel_size=3, padding=1)
        self.pool = nn.AvgPool2d(kernel)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.relu(self.norm(self.pool(self.conv(x))))  # (N, width, H // k, W // k)
        return F.interpolate(pooled, size=x.shape[-2:], mode="bilinear", align_corners=False)


class AtrousBranch(nn.Module):
    """Conv 3x3 with dilation d and padding d, BN, ReLU: (N, in_channels, H, W) -> (N, width, H, W)."""

    def __init__(self, in_channels: int, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, kernel_size=3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Pyramid(nn.Module):
    """Branches of growing reach beside the input, concatenated: C channels in, 2C out, equal H and W.

    Args:
        channels: of the input.
        kind: "spp", average pools 2, 4, .. 2n; or "aspp", dilations 1, 2, .. n (Tables 3 and 4).
        flow: "direct", every branch reads the input; or "waterfall", branch i reads the output of branch i-1,
            after it was brought back to the size of the input [chosen]: without that, four pools in a row
            would leave no pixel of a 65x65 map.
        branches: n, one of 2, 3, 4, 5.

    Shape:
        input ``(N, C, H, W)``, output ``(N, 2C, H, W)``: the input, then branch 1 to n.

    Raises:
        ValueError: another kind, flow or number; in ``forward``, a map smaller than the largest average pool.
    """

    def __init__(self, channels: int, kind: str, flow: str, branches: int) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"pyramid={kind!r} is not one of {list(KINDS)}")
        if flow not in FLOWS:
            raise ValueError(f"flow={flow!r} is not one of {list(FLOWS)}")
        if branches not in BRANCHES:
            raise ValueError(f"branches={branches!r} is not one of {list(BRANCHES)}")
        if channels < branches:
            raise ValueError(f"a pyramid of {channels} channels cannot be split over {branches} branches")
        widths = branch_widths(channels, branches)
        inputs = [channels, *widths[:-1]] if flow == "waterfall" else [channels] * branches
        make, step = (PoolBranch, 2) if kind == "spp" else (AtrousBranch, 1)
        self.branches = nn.ModuleList(make(inputs[i], widths[i], step * (i + 1)) for i in range(branches))
        self.waterfall = flow == "waterfall"
        self.smallest_map = 2 * branches if kind == "spp" else 1

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[-2:]) < self.smallest_map:
            raise ValueError(
                f"the largest average pool of the pyramid is {self.smallest_map}x{self.smallest_map}, "
                f"the map to pool is {x.shape[-2]}x{x.shape[-1]}; use fewer branches or a larger input"
            )
        outputs = [x]
        for branch in self.branches:
            outputs.append(branch(outputs[-1] if self.waterfall else x))
        return torch.cat(outputs, dim=1)
