"""STSTNet: Shallow Triple Stream Three-dimensional CNN.

Paper: Liong et al. 2019, arXiv:1902.03634, doi:10.1109/FG.2019.8756567
Code: https://github.com/christy1206/STSTNet (the authors'; its PyTorch file fills the paper's gaps)
"""

import torch
from torch import Tensor, nn

# stream   conv            pool            dropout
# 1        3 filters 3x3   max 3x3/3, p1   0.5
# 2        5 filters 3x3   max 3x3/3, p1   0.5
# 3        8 filters 3x3   max 3x3/3, p1   0.5
STREAM_FILTERS = (3, 5, 8)
DROPOUT = 0.5


def stream(in_channels: int, filters: int, padding: int) -> nn.Sequential:
    """(N, in_channels, 28, 28) -> (N, filters, 10, 10), with either padding. ReLU before BN, as published."""
    return nn.Sequential(
        nn.Conv2d(in_channels, filters, kernel_size=3, padding=padding),
        nn.ReLU(),
        nn.BatchNorm2d(filters),
        nn.MaxPool2d(kernel_size=3, stride=3, padding=1),
        nn.Dropout(DROPOUT),
    )


def pooled_size(size: int, padding: int) -> int:
    """Height (or width) of the map that the head reads: 28 -> 5."""
    conv = size + 2 * padding - 2
    return ((conv + 2 - 3) // 3 + 1) // 2


class STSTNet(nn.Module):
    """Three shallow streams over one flow image, concatenated; 1,683 train parameters (3x28x28, 3 classes).

    Args:
        in_channels: 3 for (u, v, strain) of the onset-apex flow.
        num_classes: size of the output.
        size: height and width of the input, in pixels; fixes the width of the head.
        padding: of the convolutions, 2 in the authors' code, 1 ("same") in the paper. Both give 5x5 maps.

    Shape:
        input ``(N, in_channels, size, size)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another padding; a size that leaves no pixel; in ``forward``, an input of another size.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 3, size: int = 28, padding: int = 2) -> None:
        super().__init__()
        if padding not in (1, 2):
            raise ValueError(f"padding={padding!r} is not one of [1, 2]")
        side = pooled_size(size, padding)
        if side < 1:
            smallest = next(s for s in range(1, 28) if pooled_size(s, padding) == 1)
            raise ValueError(f"size={size} leaves no pixel; with padding={padding} it must be at least {smallest}")
        self.size = size
        self.streams = nn.ModuleList(stream(in_channels, filters, padding) for filters in STREAM_FILTERS)
        self.pool = nn.AvgPool2d(kernel_size=2)
        self.head = nn.Linear(sum(STREAM_FILTERS) * side * side, num_classes)

    def forward(self, flow: Tensor) -> Tensor:
        if tuple(flow.shape[-2:]) != (self.size, self.size):
            raise ValueError(
                f"STSTNet was built for {self.size}x{self.size} pixels (size={self.size}), found an input of "
                f"shape {tuple(flow.shape)}; give both the same size"
            )
        features = torch.cat([stream(flow) for stream in self.streams], dim=1)  # (N, 16, 10, 10)
        return self.head(self.pool(features).flatten(start_dim=1))  # (N, 16 * 5 * 5) -> (N, num_classes)
