"""ARCH-2: ARCH-1 with dense layers in place of the global average pooling.

Paper: Chowanda 2021, doi:10.21203/rs.3.rs-606214/v1, Table 2
"""

from torch import Tensor

from fer_lightning.models.arch1 import Arch1
from fer_lightning.models.inputs import require_size
from fer_lightning.models.modules.separable import dense_head

# block    layers                                             map for 48x48
# ...      stem, middle with its shortcut, tail of ARCH-1     128x6x6
# head     pool, flatten, dense 512, 512, classes             128x3x3, 1152


class Arch2(Arch1):
    """1,141,375 train and 1,142,463 total parameters with 1 channel, 7 classes and 48x48 pixels, as printed.

    Args:
        in_channels: 1 for grey faces.
        num_classes: size of the output.
        size: height and width of the input, in pixels; fixes the width of the first dense layer.
        pool: "3x3" with stride 2, or "2x2" [chosen], see `Arch1`.
        dropout: after both hidden dense layers; the paper says 0.5, not where [chosen].

    Shape:
        input ``(N, in_channels, size, size)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another pool, a dropout outside 0..1, a size below 16 or with an odd half; in ``forward``, an
            input of another size.
    """

    def __init__(
        self, in_channels: int = 1, num_classes: int = 7, size: int = 48, pool: str = "3x3", dropout: float = 0.5
    ) -> None:
        super().__init__(in_channels, num_classes, pool, dropout)
        if size < 16 or size // 2 % 2:
            raise ValueError(f"Arch2: size={size} must be at least 16 and have an even half, as 16, 48 or 64")
        self.size = size
        self.head = dense_head(size, num_classes, pool, dropout)

    def forward(self, face: Tensor) -> Tensor:
        require_size(self, face, self.size)
        return self.head(self.forward_features(face))
