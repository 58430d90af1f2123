"""ResNet-50 with a bottleneck attention module after each of its first three stages.

Paper: Park et al. 2018, arXiv:1807.06514; code: github.com/Jongchan/attention-module (the authors')
"""

from torch import nn

from fer_lightning.models.modules.bam import BAM
from fer_lightning.models.modules.heads import HeadBuilder
from fer_lightning.models.resnet import resnet

CHANNELS = {"layer1": 256, "layer2": 512, "layer3": 1024}


def bam_resnet50(
    in_channels: int = 3,
    num_classes: int = 7,
    combine: str = "sum",
    pretrained: bool = False,
    head: HeadBuilder | None = None,
) -> nn.Module:
    """23,880,442 train parameters with 3 channels and 7 classes; 25,915,099 with 1000 classes, as the authors' code.

    The "fully connected layer having a size of 2048" of the CAMNet thesis is read as the 2048 features [chosen].

    Args:
        in_channels: of the input.
        num_classes: size of the output.
        combine: of the gates, see `BAM`.
        pretrained: start from ResNet-50's weights of ImageNet, which timm downloads; the modules are fresh.
        head: (features, classes) -> module that comes in the place of the linear layer.

    Shape:
        input ``(N, in_channels, H, W)`` of any size, output logits ``(N, num_classes)``.
    """
    net = resnet(in_channels, num_classes, 50, pretrained, head)
    for stage, channels in CHANNELS.items():
        net.get_submodule(stage).append(BAM(channels, combine=combine))  # names of the other weights stay
    return net
