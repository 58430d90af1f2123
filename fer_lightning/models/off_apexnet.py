"""OFF-ApexNet: two streams of convolutions, one for each direction of the onset-apex flow.

Paper: Liong et al. 2018, "OFF-ApexNet on Micro-expression Recognition System", arXiv:1805.08699
"""

import torch
from torch import Tensor, nn

from fer_lightning.models.inputs import require_size, two_streams

# layer        u stream, v stream       map for 28x28
# conv 5x5     6 filters, ReLU          6x28x28
# max pool 2                            6x14x14
# conv 5x5     16 filters, ReLU         16x14x14
# max pool 2                            16x7x7, 784
# concatenate                           1568
# dense        1024, 1024 (ReLU, dropout), classes


def stream() -> nn.Sequential:
    """(N, 1, H, W) -> (N, 16 * (H // 4) * (W // 4))."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
    )  # fmt: skip


class OffApexNet(nn.Module):
    """2,664,475 train parameters with 28x28 pixels and 3 classes (printed elsewhere: 2.66 M and 2.77 M).

    Weights: PyTorch's default [chosen].

    Args:
        num_classes: size of the output.
        size: height and width of the input, in pixels; fixes the width of the first dense layer.
        dropout: after both hidden dense layers; 0.5 [chosen].

    Shape:
        input ``(N, 2, size, size)``, channels u and v, output logits ``(N, num_classes)``.

    Raises:
        ValueError: a size below 4; in ``forward``, an input of another size or not of 2 channels.
    """

    def __init__(self, num_classes: int = 3, size: int = 28, dropout: float = 0.5) -> None:
        super().__init__()
        if size < 4:
            raise ValueError(f"OffApexNet: size={size} leaves no pixel after two pools; it must be at least 4")
        self.size = size
        self.u, self.v = stream(), stream()
        self.head = nn.Sequential(
            nn.Linear(2 * 16 * (size // 4) ** 2, 1024), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(1024, 1024), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(1024, num_classes),
        )  # fmt: skip

    def forward(self, flow: Tensor) -> Tensor:
        require_size(self, flow, self.size)
        u, v = two_streams(self, flow)
        return self.head(torch.cat([self.u(u), self.v(v)], dim=1))  # (N, 1568) -> (N, num_classes)
