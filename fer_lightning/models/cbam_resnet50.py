"""ResNet-50 with a convolutional block attention module in every block.

Paper: Woo et al. 2018, arXiv:1807.06521; code: github.com/Jongchan/attention-module (the authors')
"""

from torch import nn

from fer_lightning.models.modules.cbam import CBAM
from fer_lightning.models.modules.heads import HeadBuilder
from fer_lightning.models.resnet import resnet

STAGES = ("layer1", "layer2", "layer3", "layer4")


def cbam_resnet50(
    in_channels: int = 3,
    num_classes: int = 7,
    pretrained: bool = False,
    head: HeadBuilder | None = None,
) -> nn.Module:
    """26,054,967 train parameters with 3 channels and 7 classes; 28,089,624 with 1000 classes, as the authors' code.

    The "fully connected layer having a size of 2048" of the CAMNet thesis is read as the 2048 features [chosen].

    Args:
        in_channels: of the input.
        num_classes: size of the output.
        pretrained: start from ResNet-50's weights of ImageNet, which timm downloads; the modules are fresh.
        head: (features, classes) -> module that comes in the place of the linear layer.

    Shape:
        input ``(N, in_channels, H, W)`` of any size, output logits ``(N, num_classes)``.
    """
    net = resnet(in_channels, num_classes, 50, pretrained, head)
    for stage in STAGES:
        for block in net.get_submodule(stage):
            block.se = CBAM(block.conv3.out_channels)  # timm's place for attention: before the shortcut is added
    return net
