"""VGG-M (CNN-M), the network from which the WASPP family descends.

Paper: Chatfield et al. 2014, "Return of the Devil in the Details", arXiv:1405.3531
A comparator of Stofa et al. 2022, doi:10.3390/s22124634, Table 13.
"""

from torch import Tensor, nn

from fer_lightning.models.inputs import require_size
from fer_lightning.models.pyramid_net import init_weights

# layer   filters, kernel, stride, padding      then              maps for 75x75, floor
# conv1   96, 7, 2, 0                           LRN, max 3/2      35, 17
# conv2   256, 5, 2, 1                          LRN, max 3/2      8, 3
# conv3   512, 3, 1, 1                                            3
# conv4   512, 3, 1, 1                                            3
# conv5   512, 3, 1, 1                          max 3/2           3, 1
# dense   4096, 4096 (dropout 0.5), classes
# ReLU after every layer but the last, before the LRN.
ROUNDINGS = ("floor", "ceil")


def map_size(size: int, rounding: str) -> int:
    """Height of the map that the dense layers read; 0 or less where no pixel is left.

    Example:
        >>> map_size(75, "floor"), map_size(224, "ceil")
        (1, 6)
    """
    size = (size - 7) // 2 + 1
    size = (size - 3 + (rounding == "ceil")) // 2 + 1
    size = (size + 2 - 5) // 2 + 1
    for _ in range(2):  # pools 2 and 5; the convolutions between keep the size
        size = (size - 3 + (rounding == "ceil")) // 2 + 1
    return size


class VGGM(nn.Module):
    """25,418,787 train parameters with 2 channels, 75x75 pixels and 3 classes; 25,423,491 with 3 channels.

    Weights: Glorot uniform, biases zero [chosen], as in `PyramidNet`. LRN over 5 channels, k 2, alpha 5e-4, beta
    0.75 [those of Detectron's VGG_CNN_M_1024].

    Args:
        in_channels: of the input; 2 for flow (u, v), as the WASPP networks.
        num_classes: size of the output.
        size: height and width of the input, in pixels; fixes the width of the first dense layer.
        rounding: of the pools. "floor" leaves 3x3 maps at the end, which the WASPP paper says of VGG-M; "ceil"
            is the published network, 6x6 for 224x224.
        hidden: width of both hidden dense layers.
        dropout: after both hidden dense layers.

    Shape:
        input ``(N, in_channels, size, size)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another rounding, a size that leaves no pixel; in ``forward``, an input of another size.
    """

    def __init__(
        self,
        in_channels: int = 2,
        num_classes: int = 3,
        size: int = 75,
        rounding: str = "floor",
        hidden: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if rounding not in ROUNDINGS:
            raise ValueError(f"VGGM: rounding={rounding!r} is not one of {list(ROUNDINGS)}")
        side = map_size(size, rounding)
        if side < 1:
            smallest = next(s for s in range(size, 99) if map_size(s, rounding) == 1)
            raise ValueError(
                f"VGGM: size={size} leaves no pixel; with rounding={rounding!r} it must be at least {smallest}"
            )
        self.size = size

        def pool() -> nn.MaxPool2d:
            return nn.MaxPool2d(3, 2, ceil_mode=rounding == "ceil")

        def norm() -> nn.LocalResponseNorm:
            return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 7, 2), nn.ReLU(), norm(), pool(),
            nn.Conv2d(96, 256, 5, 2, 1), nn.ReLU(), norm(), pool(),
            nn.Conv2d(256, 512, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(512, 512, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(512, 512, 3, 1, 1), nn.ReLU(), pool(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(512 * side * side, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )  # fmt: skip
        self.apply(init_weights)

    def forward(self, flow: Tensor) -> Tensor:
        require_size(self, flow, self.size)
        return self.head(self.features(flow))  # 75x75: (N, 512, 1, 1) -> (N, num_classes)
