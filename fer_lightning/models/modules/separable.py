"""Building blocks of the four networks of the separable-CNN paper.

Paper: Chowanda 2021, doi:10.21203/rs.3.rs-606214/v1, Tables 1 to 5
Weights: PyTorch's default [chosen].
"""

from torch import nn

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
    """The pool is not described in the paper; on even maps "3x3" is Keras's `MaxPooling2D(3, 2, "same")`.

    Both make n // 2 pixels of n.
    """
    return nn.MaxPool2d(3, 2, ceil_mode=True) if pool == "3x3" else nn.MaxPool2d(2, 2)


def average_head(num_classes: int, dropout: float) -> nn.Sequential:
    """(N, 128, H, W) -> (N, num_classes, H, W), to be averaged over the pixels (ARCH-1, ARCH-3)."""
    return nn.Sequential(nn.Dropout(dropout), nn.Conv2d(128, num_classes, 3, padding=1))


def dense_head(size: int, num_classes: int, pool: str, dropout: float) -> nn.Sequential:
    """(N, 128, size // 8, size // 8) -> (N, num_classes): pool, flatten, three dense layers (ARCH-2, ARCH-4).

    ReLU and dropout after the first two are [chosen]: the tables list neither, the text says "dropout 0.5".
    """
    side = size // 16
    return nn.Sequential(
        halve(pool), nn.Flatten(),
        nn.Linear(128 * side * side, 512), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(512, 512), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(512, num_classes),
    )  # fmt: skip


def check_options(name: str, pool: str, dropout: float) -> None:
    """Refuse what none of the four networks takes."""
    if pool not in POOLS:
        raise ValueError(f"{name}: pool={pool!r} is not one of {list(POOLS)}")
    if not 0 <= dropout < 1:
        raise ValueError(f"{name}: dropout={dropout} is outside 0 <= dropout < 1")
