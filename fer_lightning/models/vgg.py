"""VGG-16 and VGG-19.

Paper: Simonyan and Zisserman 2015, arXiv:1409.1556, Table 1, configurations D and E
In the CAMNet thesis (Kowsar, Zaman and Sakib 2021) from weights of ImageNet, with heads 512-256-128 and 512-256.
"""

import timm
from torch import Tensor, nn
from torch.nn import functional as F

from fer_lightning.models.modules.dense import DenseHead
from fer_lightning.models.modules.heads import HeadBuilder

# block     channels   16   19     (conv 3x3 with bias, ReLU; max pool 2)    map for 224x224
# 1         64         2    2                                                112
# 2         128        2    2                                                56
# 3         256        3    4                                                28
# 4         512        3    4                                                14
# 5         512        3    4                                                7
# dense 4096, 4096 (ReLU, dropout 0.5), classes
CHANNELS = (64, 128, 256, 512, 512)
LAYERS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
POOLS = {"average": 1, "flatten": 7}  # height of the map that the head reads
SMALLEST = 2 ** len(CHANNELS)


def dense_head(features: int, num_classes: int) -> DenseHead:
    """(N, features) -> (N, num_classes), as published."""
    return DenseHead(features, num_classes, (4096, 4096), dropout=0.5)


class VGG(nn.Module):
    """134,289,223 (16) or 139,598,919 (19) train parameters with 3 channels, 7 classes, ``pool="flatten"``.

    With the thesis' heads 15,142,471 and 20,420,167 (global average), or 27,725,383 and 33,003,079 (flatten).

    Weights: Kaiming (fan in, He et al. 2015, arXiv:1502.01852) in convolutions [chosen], which keeps the size of the
    signal where no norm does; dense layers: PyTorch's default. `features` has the names of torchvision and timm.

    Args:
        in_channels: of the input.
        num_classes: size of the output.
        depth: 16 or 19.
        pool: what the head reads: "flatten", the 7x7 map as published (averaged or spread to 7x7 for other sizes than
            224), or "average", its mean. The thesis does not say.
        pretrained: start from weights of ImageNet, which timm downloads.
        head: (features, classes) -> module that comes in the place of the published dense layers.

    Shape:
        input ``(N, in_channels, H, W)``, H and W at least 32, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another depth or pool; in ``forward``, an input below 32 pixels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 7,
        depth: int = 16,
        pool: str = "flatten",
        pretrained: bool = False,
        head: HeadBuilder | None = None,
    ) -> None:
        super().__init__()
        if depth not in LAYERS:
            raise ValueError(f"VGG: depth={depth!r} is not one of {list(LAYERS)}")
        if pool not in POOLS:
            raise ValueError(f"VGG: pool={pool!r} is not one of {list(POOLS)}")
        self.depth, self.side = depth, POOLS[pool]
        self.features, channels = nn.Sequential(), in_channels
        for width, layers in zip(CHANNELS, LAYERS[depth], strict=True):
            for _ in range(layers):
                self.features.extend([nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()])
                nn.init.kaiming_normal_(self.features[-2].weight, nonlinearity="relu")
                nn.init.zeros_(self.features[-2].bias)
                channels = width
            self.features.append(nn.MaxPool2d(2))
        if pretrained:
            published = timm.create_model(f"vgg{depth}.tv_in1k", pretrained=True, in_chans=in_channels)
            self.features.load_state_dict(published.features.state_dict())
        self.classifier = (head or dense_head)(channels * self.side**2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[-2:]) < SMALLEST:
            raise ValueError(
                f"VGG-{self.depth} reads at least {SMALLEST}x{SMALLEST} pixels, found an input of shape "
                f"{tuple(x.shape)}"
            )
        maps = F.adaptive_avg_pool2d(self.features(x), self.side)
        return self.classifier(maps.flatten(start_dim=1))  # (N, 512 * 7 * 7) or (N, 512) -> (N, num_classes)
