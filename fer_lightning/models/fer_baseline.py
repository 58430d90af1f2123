"""Baseline network of the CAMNet thesis for 48x48 faces.

Paper: Kowsar, Zaman and Sakib 2021, "Facial Expression Recognition: Convolutional Attentional Masking Network and
Ensemble Approach", B.Sc. thesis, Brac University, chapter 4
"""

from torch import Tensor, nn

from fer_lightning.models.inputs import require_size
from fer_lightning.models.modules.heads import HeadBuilder, replace_head

# block   layers                                  map for 48x48
# 1       conv 5x5, ReLU: 64, 64; BN; max pool 2  64x24x24
# 2       conv 5x5: 128, 128                      128x12x12
# 3       conv 3x3: 256, 256; no pool             256x12x12
# flatten, dropout 0.2, dense
BLOCKS = ((64, 5), (128, 5), (256, 3))


class FERBaseline(nn.Module):
    """1,862,983 train parameters with 1 channel, 48x48 pixels and 7 classes; 1,669,447 with three pools.

    Weights: PyTorch's default [chosen].

    Args:
        in_channels: 1 for grey faces.
        num_classes: size of the output.
        size: height and width of the input, in pixels; fixes the width of the dense layer.
        pools: after how many blocks, 2 or 3: the text names no pool after the third.
        dropout: before the dense layer.
        head: (features, classes) -> module that comes in the place of dropout and dense layer.

    Shape:
        input ``(N, in_channels, size, size)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another number of pools, a size that leaves no pixel; in ``forward``, an input of another size.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 7,
        size: int = 48,
        pools: int = 2,
        dropout: float = 0.2,
        head: HeadBuilder | None = None,
    ) -> None:
        super().__init__()
        if pools not in (2, 3):
            raise ValueError(f"FERBaseline: pools={pools!r} is not one of [2, 3]")
        side = size // 2**pools
        if side < 1:
            raise ValueError(f"FERBaseline: size={size} leaves no pixel; it must be at least {2**pools}")
        self.size = size
        self.features, channels = nn.Sequential(), in_channels
        for number, (width, kernel) in enumerate(BLOCKS, start=1):
            self.features.extend([
                nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU(),
                nn.Conv2d(width, width, kernel, padding=kernel // 2), nn.ReLU(),
                nn.BatchNorm2d(width),
            ])  # fmt: skip
            if number <= pools:
                self.features.append(nn.MaxPool2d(2))
            channels = width
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels * side**2, num_classes))
        replace_head(self, head, num_classes)

    def forward(self, face: Tensor) -> Tensor:
        require_size(self, face, self.size)
        return self.classifier(self.features(face).flatten(start_dim=1))  # (N, 256 * 12 * 12) -> (N, num_classes)
