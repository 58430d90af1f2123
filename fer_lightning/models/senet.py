"""SE-ResNet-34, SE-ResNet-50 and SE-ResNeXt-101 through timm.

Paper: Hu et al. 2018, arXiv:1709.01507, Table 1; ResNeXt: Xie et al. 2017, arXiv:1611.05431
In the CAMNet thesis (Kowsar, Zaman and Sakib 2021) SeResNet34 (of basic blocks, though the text says bottlenecks),
SeNet50 (197x197 pixels) and SeResNeXt101.
"""

import timm
from torch import nn

from fer_lightning.models.modules.heads import HeadBuilder, replace_head

# blocks: ResNet's, with squeeze and excitation (reduction 16) before the sum
# layer             seresnet34     senet50            seresnext101                     map for 224x224
# conv 7x7 / 2      64             64                 64                               112
# max pool 3x3 / 2                                                                     56
# layer1            (64, 64) x 3   (64, 64, 256) x 3  (128, 128 in 32 groups, 256) x 3 56
# layer2            128 x 4        512 x 4            512 x 4                          28
# layer3            256 x 6        1024 x 6           1024 x 23                        14
# layer4            512 x 3        2048 x 3           2048 x 3                         7
# global average, dense
# As timm's weights were made: the max pool has no padding but rounds up; senet50 strides in the first 1x1 of a block;
# seresnet34 has a ReLU before the excitation.
VARIANTS = {
    "seresnet34": "legacy_seresnet34",
    "senet50": "legacy_seresnet50",
    "seresnext101": "legacy_seresnext101_32x4d",
}


def senet(
    in_channels: int = 3,
    num_classes: int = 7,
    variant: str = "senet50",
    pretrained: bool = False,
    head: HeadBuilder | None = None,
) -> nn.Module:
    """21,449,459 (seresnet34), 26,053,367 (senet50), 46,920,759 (seresnext101) train parameters, 3 channels, 7 classes.

    Args:
        in_channels: of the input.
        num_classes: size of the output.
        variant: "seresnet34", "senet50" or "seresnext101".
        pretrained: start from weights of ImageNet, which timm downloads; else fresh, as timm starts. (Networks of 197
            pixels were published with weights of faces, VGGFace2, arXiv:1710.08092; the thesis does not say.)
        head: (features, classes) -> module that comes in the place of the linear layer.

    Shape:
        input ``(N, in_channels, H, W)``, H and W at least 3, output logits ``(N, num_classes)``.

    Raises:
        ValueError: another variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"senet: variant={variant!r} is not one of {list(VARIANTS)}")
    net = timm.create_model(VARIANTS[variant], pretrained=pretrained, in_chans=in_channels, num_classes=num_classes)
    return replace_head(net, head, num_classes)
