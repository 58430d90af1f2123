"""Dual-Inception: two inception blocks for each direction of the flow.

Paper: Zhou, Mao, Xue 2019, "Dual-Inception Network for Cross-Database Micro-Expression Recognition", FG 2019
Code: https://github.com/xly135846/MEGC2019 (the authors', Keras)
"""

import torch
from torch import Tensor, nn

from fer_lightning.models.inputs import require_size, two_streams

# layer         u stream, v stream: filters of each path                          map for 28x28
# inception 1   1x1: 6 | 1x1-3x3: 6, 6 | 1x1-5x5: 6, 6 | max 3x3-1x1: 6           24x28x28
# max pool 2                                                                      24x14x14
# inception 2   the same with 16                                                  64x14x14
# max pool 2                                                                      64x7x7, 3136
# concatenate                                                                     6272
# dense         1024 (ReLU), classes
# ReLU after every convolution.
FILTERS = (6, 16)


class Inception(nn.Module):
    """Four paths side by side: (N, in_channels, H, W) -> (N, 4 * filters, H, W)."""

    def __init__(self, in_channels: int, filters: int) -> None:
        super().__init__()

        def reduced() -> list[nn.Module]:
            return [nn.Conv2d(in_channels, filters, 1), nn.ReLU()]

        self.paths = nn.ModuleList([
            nn.Sequential(*reduced()),
            nn.Sequential(*reduced(), nn.Conv2d(filters, filters, 3, padding=1), nn.ReLU()),
            nn.Sequential(*reduced(), nn.Conv2d(filters, filters, 5, padding=2), nn.ReLU()),
            nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *reduced()),
        ])  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([path(x) for path in self.paths], dim=1)


def stream(in_channels: int = 1) -> nn.Sequential:
    """(N, in_channels, H, W) -> (N, 64 * (H // 4) * (W // 4))."""
    first, second = FILTERS
    return nn.Sequential(
        Inception(in_channels, first), nn.MaxPool2d(2),
        Inception(4 * first, second), nn.MaxPool2d(2),
        nn.Flatten(),
    )  # fmt: skip


class DualInception(nn.Module):
    """6,449,867 train parameters with 28x28 pixels and 3 classes.

    The authors' code gives each stream a flow component as a picture of three channels (6,449,963); here it is
    the component itself. Weights: PyTorch's default [chosen]. The default of their Keras, Glorot uniform and biases
    zero, starts with half of the first 1x1 filters dead: a negative weight makes nothing of pixels in 0..1.

    Args:
        num_classes: size of the output.
        size: height and width of the input, in pixels; fixes the width of the first dense layer.

    Shape:
        input ``(N, 2, size, size)``, channels u and v, output logits ``(N, num_classes)``.

    Raises:
        ValueError: a size below 4; in ``forward``, an input of another size or not of 2 channels.
    """

    def __init__(self, num_classes: int = 3, size: int = 28) -> None:
        super().__init__()
        if size < 4:
            raise ValueError(f"DualInception: size={size} leaves no pixel after two pools; it must be at least 4")
        self.size = size
        self.u, self.v = stream(), stream()
        self.head = nn.Sequential(
            nn.Linear(2 * 4 * FILTERS[1] * (size // 4) ** 2, 1024), nn.ReLU(), nn.Linear(1024, num_classes)
        )

    def forward(self, flow: Tensor) -> Tensor:
        require_size(self, flow, self.size)
        u, v = two_streams(self, flow)
        return self.head(torch.cat([self.u(u), self.v(v)], dim=1))  # (N, 6272) -> (N, num_classes)
