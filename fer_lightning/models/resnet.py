"""ResNet-34 and ResNet-50 through timm.

Paper: He et al. 2016, arXiv:1512.03385, doi:10.1109/CVPR.2016.90, Table 1
In the CAMNet thesis (Kowsar, Zaman and Sakib 2021) ResNet-34 without and ResNet-50 with weights of ImageNet.
"""

import timm
from torch import nn

from fer_lightning.models.modules.heads import HeadBuilder, replace_head

# layer             34                      50                              map for 224x224
# conv 7x7 / 2      64                      64                              112
# max pool 3x3 / 2                                                          56
# layer1            (3x3 64, 3x3 64) x 3    (1x1 64, 3x3 64, 1x1 256) x 3   56
# layer2            (128, 128) x 4          (128, 128, 512) x 4             28
# layer3            (256, 256) x 6          (256, 256, 1024) x 6            14
# layer4            (512, 512) x 3          (512, 512, 2048) x 3            7
# global average, dense
WEIGHTS = {34: "resnet34.tv_in1k", 50: "resnet50.tv_in1k"}  # those of torchvision, as of the thesis' time [chosen]


def resnet(
    in_channels: int = 3,
    num_classes: int = 7,
    depth: int = 50,
    pretrained: bool = False,
    head: HeadBuilder | None = None,
) -> nn.Module:
    """21,288,263 (34) or 23,522,375 (50) train parameters with 3 channels and 7 classes.

    Args:
        in_channels: of the input.
        num_classes: size of the output.
        depth: 34 or 50.
        pretrained: start from weights of ImageNet, which timm downloads; else fresh, as timm starts.
        head: (features, classes) -> module that comes in the place of the linear layer.

    Shape:
        input ``(N, in_channels, H, W)`` of any size, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another depth.
    """
    if depth not in WEIGHTS:
        raise ValueError(f"resnet: depth={depth!r} is not one of {list(WEIGHTS)}")
    net = timm.create_model(WEIGHTS[depth], pretrained=pretrained, in_chans=in_channels, num_classes=num_classes)
    return replace_head(net, head, num_classes)
