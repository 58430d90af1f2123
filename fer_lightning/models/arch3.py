"""ARCH-3: plain convolutions, no shortcut, global average pooling.

Paper: Chowanda 2021, doi:10.21203/rs.3.rs-606214/v1, Table 3
"""

from torch import Tensor, nn

from fer_lightning.models.modules.separable import average_head, check_options, conv, halve

# block    layers (3x3, no bias, each with BN and ReLU)     map for 48x48
# stem     8, 8, 16, 16, 16; pool                           16x24x24
# middle   32, 32; pool                                     32x12x12
# tail     64, 64; pool; 128, 128                           128x6x6
# head     conv 3x3: classes (with bias), global average pooling
# Where a block ends in a pool, the printed order is BN, pool, ReLU. The table repeats one BN (8 channels of 48x48)
# and one pool; the printed counts are those of the real maps.


class Arch3(nn.Module):
    """305,807 train and 306,831 total parameters with 1 channel and 7 classes, as printed.

    Args:
        in_channels: 1 for grey faces.
        num_classes: size of the output.
        pool: "3x3" with stride 2, or "2x2" [chosen], see `Arch1`.
        dropout: before the last convolution; the paper says 0.5, not where [chosen].

    Shape:
        input ``(N, in_channels, H, W)``, H and W at least 8, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another pool, a dropout outside 0..1; in ``forward``, an input below 8 pixels.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 7, pool: str = "3x3", dropout: float = 0.5) -> None:
        super().__init__()
        check_options(type(self).__name__, pool, dropout)
        self.stem = nn.Sequential(
            *conv(in_channels, 8), nn.ReLU(), *conv(8, 8), nn.ReLU(), *conv(8, 16), nn.ReLU(),
            *conv(16, 16), nn.ReLU(), *conv(16, 16), halve(pool), nn.ReLU(),
        )  # fmt: skip
        self.middle = nn.Sequential(*conv(16, 32), nn.ReLU(), *conv(32, 32), halve(pool), nn.ReLU())
        self.tail = nn.Sequential(
            *conv(32, 64), nn.ReLU(), *conv(64, 64), halve(pool), nn.ReLU(),
            *conv(64, 128), nn.ReLU(), *conv(128, 128), nn.ReLU(),
        )  # fmt: skip
        self.head = average_head(num_classes, dropout)

    def forward_features(self, face: Tensor) -> Tensor:
        if min(face.shape[-2:]) < 8:
            raise ValueError(f"Arch3 reads at least 8x8 pixels, found an input of shape {tuple(face.shape)}")
        return self.tail(self.middle(self.stem(face)))  # (N, 16, 24, 24), (N, 32, 12, 12) -> (N, 128, 6, 6)

    def forward(self, face: Tensor) -> Tensor:
        return self.head(self.forward_features(face)).mean((2, 3))  # (N, num_classes)
