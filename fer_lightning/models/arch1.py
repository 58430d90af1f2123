"""ARCH-1: separable convolutions, one residual block and global average pooling for 48x48 faces.

Paper: Chowanda 2021, doi:10.21203/rs.3.rs-606214/v1, Table 1
"""

from torch import Tensor, nn

from fer_lightning.models.modules.separable import average_head, check_options, conv, halve, separable

# block    layers                                                            map for 48x48
# stem     conv 3x3: 8, 8, 16, 16 (no bias), BN, ReLU; pool                  16x24x24
# middle   separable 3x3: 32, 32, BN, ReLU; pool; shortcut conv 1x1: 16, 32  32x12x12
# tail     conv 3x3: 64, 64, pool, 128, 128 (with bias), BN, ReLU            128x6x6
# head     conv 3x3: classes (with bias), global average pooling
# Where a block ends in a pool, the printed order is BN, pool, ReLU.


class Arch1(nn.Module):
    """The paper's best network: 292,863 train and 293,951 total parameters with 1 channel and 7 classes.

    (Its Table prints 292,862 train; the batch norms hold 2 * 544 of the total, so that number is off by one.)

    Args:
        in_channels: 1 for grey faces.
        num_classes: size of the output.
        pool: "3x3" with stride 2, as in mini-Xception from which the design descends, or "2x2" [chosen].
        dropout: before the last convolution; the paper says 0.5, not where [chosen].

    Shape:
        input ``(N, in_channels, H, W)``, output logits ``(N, num_classes)``. H and W are at least 8 and their
        halves (rounded down) even, as in 48, 64 or 224: pool and shortcut must leave equally many pixels.

    Raises:
        ValueError: another pool, a dropout outside 0..1; in ``forward``, a size that does not fit.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 7, pool: str = "3x3", dropout: float = 0.5) -> None:
        super().__init__()
        check_options(type(self).__name__, pool, dropout)
        self.stem = nn.Sequential(
            *conv(in_channels, 8), nn.ReLU(), *conv(8, 8), nn.ReLU(),
            *conv(8, 16), nn.ReLU(), *conv(16, 16), halve(pool), nn.ReLU(),
        )  # fmt: skip
        self.middle = nn.Sequential(*separable(16, 32), nn.ReLU(), *separable(32, 32), halve(pool), nn.ReLU())
        self.shortcut = nn.Sequential(
            nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16),
            nn.Conv2d(16, 32, 1, stride=2, bias=False), nn.BatchNorm2d(32),
        )  # fmt: skip
        self.tail = nn.Sequential(
            nn.ReLU(), *conv(32, 64, bias=True), nn.ReLU(), *conv(64, 64, bias=True), halve(pool), nn.ReLU(),
            *conv(64, 128, bias=True), nn.ReLU(), *conv(128, 128, bias=True), nn.ReLU(),
        )  # fmt: skip
        self.head = average_head(num_classes, dropout)

    def forward_features(self, face: Tensor) -> Tensor:
        for size in face.shape[-2:]:
            if size < 8 or size // 2 % 2:
                raise ValueError(
                    f"{type(self).__name__} reads sizes of at least 8 pixels whose half is even, found an input of "
                    f"shape {tuple(face.shape)}; the next size that fits is {max(8, 4 * (size // 4 + 1))}"
                )
        stem = self.stem(face)  # (N, 16, 24, 24)
        return self.tail(self.middle(stem) + self.shortcut(stem))  # (N, 32, 12, 12) -> (N, 128, 6, 6)

    def forward(self, face: Tensor) -> Tensor:
        return self.head(self.forward_features(face)).mean((2, 3))  # (N, num_classes)
