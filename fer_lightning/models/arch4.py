"""ARCH-4: ARCH-3 with dense layers in place of the global average pooling.

Paper: Chowanda 2021, doi:10.21203/rs.3.rs-606214/v1, Table 4
"""

from torch import Tensor

from fer_lightning.models.arch3 import Arch3
from fer_lightning.models.inputs import require_size
from fer_lightning.models.modules.separable import dense_head

# block    layers                                    map for 48x48
# ...      stem, middle, tail of ARCH-3              128x6x6
# head     pool, flatten, dense 512, 512, classes    128x3x3, 1152
# The table's last row repeats the dense layer before it; the printed total holds the classes' 3,591.


class Arch4(Arch3):
    """1,154,319 train and 1,155,343 total parameters with 1 channel, 7 classes and 48x48 pixels, as printed.

    Args:
        in_channels: 1 for grey faces.
        num_classes: size of the output.
        size: height and width of the input, in pixels; fixes the width of the first dense layer.
        pool: "3x3" with stride 2, or "2x2" [chosen], see `Arch1`.
        dropout: after both hidden dense layers; the paper says 0.5, not where [chosen].

    Shape:
        input ``(N, in_channels, size, size)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another pool, a dropout outside 0..1, a size below 16; in ``forward``, an input of another size.
    """

    def __init__(
        self, in_channels: int = 1, num_classes: int = 7, size: int = 48, pool: str = "3x3", dropout: float = 0.5
    ) -> None:
        super().__init__(in_channels, num_classes, pool, dropout)
        if size < 16:
            raise ValueError(f"Arch4: size={size} leaves no pixel after four pools; it must be at least 16")
        self.size = size
        self.head = dense_head(size, num_classes, pool, dropout)

    def forward(self, face: Tensor) -> Tensor:
        require_size(self, face, self.size)
        return self.head(self.forward_features(face))
