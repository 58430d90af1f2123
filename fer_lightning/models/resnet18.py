"""ResNet-18 through timm, with a stem for small images.

Paper: He et al. 2016, arXiv:1512.03385, doi:10.1109/CVPR.2016.90, Table 1 (18-layer)
"""

import timm
from torch import nn

from fer_lightning.models.modules.heads import HeadBuilder, replace_head

STEMS = ("small", "imagenet")


def resnet18(in_channels: int, num_classes: int, stem: str = "small", head: HeadBuilder | None = None) -> nn.Module:
    """ResNet-18, fresh weights; 11,180,103 train parameters with 3 channels, 7 classes, the published stem.

    Args:
        in_channels: of the input.
        num_classes: size of the output.
        stem: "imagenet", conv 7x7 stride 2 and max pool 3x3 stride 2 as published: a 48x48 face is a 2x2 map
            at the end. "small", conv 3x3 stride 1 and no pool, as in the paper's CIFAR networks: 6x6.
        head: (features, classes) -> module that comes in the place of the linear layer.

    Shape:
        input ``(N, in_channels, H, W)`` of any size, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another stem.
    """
    if stem not in STEMS:
        raise ValueError(f"resnet18: stem={stem!r} is not one of {list(STEMS)}")
    net = timm.create_model("resnet18", pretrained=False, in_chans=in_channels, num_classes=num_classes)
    if stem == "small":
        net.conv1 = nn.Conv2d(in_channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")  # as timm does
        net.maxpool = nn.Identity()
    return replace_head(net, head, num_classes)
