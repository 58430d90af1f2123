"""VGGNet for 40x40 faces, and with a spinal head VGGSpinalNet and VGGProgressiveSpinalNet.

Paper: Santoso and Kusuma 2022, "Facial Emotion Recognition on FER2013 Using VGGSpinalNet", JATIT 100(7)
Its VGGNet: Khaireddin and Chen 2021, arXiv:2105.03588, whose public code (github.com/usef-kh/fer) gives the widths of
the dense layers, which the paper does not.
"""

from torch import Tensor, nn

from fer_lightning.models.inputs import require_size
from fer_lightning.models.modules.heads import HeadBuilder

# block     layers                                                              map for 40x40
# 1         conv 3x3 (with bias): 64, 64, BN, ReLU after each; max pool 2       64x20x20
# 2         conv: 128, 128                                                      128x10x10
# 3         conv: 256, 256                                                      256x5x5
# 4         conv: 512, 512                                                      512x2x2
# head      VGGNet                   dense 4096, 4096 (ReLU, dropout), classes
#           VGGSpinalNet             modules.spinal.SpinalHead
#           VGGProgressiveSpinalNet  modules.spinal.ProgressiveSpinalHead
CHANNELS = (64, 128, 256, 512)
HIDDEN = 4096


def block(in_channels: int, out_channels: int) -> nn.Sequential:
    """(N, in_channels, H, W) -> (N, out_channels, H // 2, W // 2)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU(),
        nn.MaxPool2d(2),
    )  # fmt: skip


def dense_head(features: int, num_classes: int, dropout: float) -> nn.Sequential:
    """(N, features) -> (N, num_classes)."""
    return nn.Sequential(
        nn.Linear(features, HIDDEN), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(HIDDEN, num_classes),
    )  # fmt: skip


class VGGNet(nn.Module):
    """29,890,759 train parameters with 1 channel, 40x40 pixels, 7 classes; 4,688,064 of them in `features`.

    VGGSpinalNet has 7,592,135, VGGProgressiveSpinalNet 10,490,055. Their `features` have the same names, so the weights
    of a trained VGGNet can be loaded by name. Weights: PyTorch's default, as in the public code.

    Args:
        in_channels: 1 for grey faces.
        num_classes: size of the output.
        size: height and width of the input, in pixels; fixes the width of the head.
        dropout: after both hidden dense layers, 0.2 as in the public code; without meaning for another head.
        head: (features, classes) -> module that comes in the place of the dense layers.

    Shape:
        input ``(N, in_channels, size, size)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: a size that leaves no pixel; in ``forward``, an input of another size.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 7,
        size: int = 40,
        dropout: float = 0.2,
        head: HeadBuilder | None = None,
    ) -> None:
        super().__init__()
        side = size // 2 ** len(CHANNELS)
        if side < 1:
            raise ValueError(f"VGGNet: size={size} leaves no pixel; it must be at least {2 ** len(CHANNELS)}")
        self.size = size
        inputs = (in_channels, *CHANNELS[:-1])
        self.features = nn.Sequential(*(block(i, o) for i, o in zip(inputs, CHANNELS, strict=True)))
        features = CHANNELS[-1] * side * side
        if head is None:
            self.classifier = dense_head(features, num_classes, dropout)
        else:
            self.classifier = head(features, num_classes)

    def forward(self, face: Tensor) -> Tensor:
        require_size(self, face, self.size)
        return self.classifier(self.features(face).flatten(start_dim=1))  # (N, 2048) -> (N, num_classes)
