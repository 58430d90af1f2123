"""AlexNet through torchvision, in the form of "One weird trick".

Paper: Krizhevsky 2014, arXiv:1404.5997. A comparator of Stofa et al. 2022, doi:10.3390/s22124634, Table 13.
"""

import torchvision
from torch import Tensor, nn

SMALLEST = 63  # leaves 15, 7, 3 and 1 pixels


class AlexNet(torchvision.models.AlexNet):
    """57,016,131 train parameters with 3 channels and 3 classes, whatever the size. Weights: PyTorch's default.

    Args:
        in_channels: of the input; 3 is the network as published.
        num_classes: size of the output.
        dropout: before both hidden dense layers.

    Shape:
        input ``(N, in_channels, H, W)``, H and W at least 63, output logits ``(N, num_classes)``. The last map,
        1x1 for 75x75 pixels, is spread over the 6x6 that the dense layers read.

    Raises:
        ValueError: in ``forward``, an input below 63 pixels.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__(num_classes, dropout)
        if in_channels != 3:
            self.features[0] = nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[-2:]) < SMALLEST:
            raise ValueError(
                f"AlexNet reads at least {SMALLEST}x{SMALLEST} pixels, found an input of shape {tuple(x.shape)}"
            )
        return super().forward(x)
