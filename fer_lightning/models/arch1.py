"""ARCH-1: separable convolutions, one residual block and global average pooling for 48x48 faces.

Paper: Chowanda 2021, doi:10.21203/rs.3.rs-606214/v1, Table 1
"""

from torch import Tensor, nn

# block    layers                                                            map for 48x48
# stem     conv 3x3: 8, 8, 16, 16 (no bias), BN, ReLU; pool                  16x24x24
# middle   separable 3x3: 32, 32, BN, ReLU; pool; shortcut conv 1x1: 16, 32  32x12x12
# tail     conv 3x3: 64, 64, pool, 128, 128 (with bias), BN, ReLU            128x6x6
# head     conv 3x3: classes (with bias), global average pooling
# Where a block ends in a pool, the printed order is BN, pool, ReLU.
POOLS = ("3x3", "2x2")


def conv(in_channels: int, out_channels: int, bias: bool = False) -> list[nn.Module]:
    """Conv 3x3 with as many pixels out as in, then BN."""
    return [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias), nn.BatchNorm2d(out_channels)]


def separable(in_channels: int, out_channels: int) -> list[nn.Module]:
    """Depthwise conv 3x3, pointwise conv 1x1, both without bias, then BN."""
    return [
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    ]


def halve(pool: str) -> nn.MaxPool2d:
    """The pool is not described in the paper; on even maps "3x3" is Keras's `MaxPooling2D(3, 2, "same")`."""
    return nn.MaxPool2d(3, 2, ceil_mode=True) if pool == "3x3" else nn.MaxPool2d(2, 2)


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
        if pool not in POOLS:
            raise ValueError(f"Arch1: pool={pool!r} is not one of {list(POOLS)}")
        if not 0 <= dropout < 1:
            raise ValueError(f"Arch1: dropout={dropout} is outside 0 <= dropout < 1")
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
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(128, num_classes, 3, padding=1))

    def forward(self, face: Tensor) -> Tensor:
        for size in face.shape[-2:]:
            if size < 8 or size // 2 % 2:
                raise ValueError(
                    f"Arch1 reads sizes of at least 8 pixels whose half is even, found an input of shape "
                    f"{tuple(face.shape)}; the next size that fits is {max(8, 4 * (size // 4 + 1))}"
                )
        stem = self.stem(face)  # (N, 16, 24, 24)
        features = self.middle(stem) + self.shortcut(stem)  # (N, 32, 12, 12)
        return self.head(self.tail(features)).mean((2, 3))  # (N, 128, 6, 6) -> (N, num_classes)
