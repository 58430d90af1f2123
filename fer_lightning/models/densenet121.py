"""DenseNet-121 through timm.

Paper: Huang et al. 2017, arXiv:1608.06993, Table 1
In the CAMNet thesis (Kowsar, Zaman and Sakib 2021) and in the body-gesture report from weights of ImageNet.
"""

import timm
from torch import Tensor, nn

from fer_lightning.models.modules.heads import HeadBuilder, replace_head

# layer                      DenseNet-121: growth 32, bottlenecks of 128    map for 224x224
# conv 7x7 / 2               64                                             112
# max pool 3x3 / 2           64                                             56
# denseblock1, transition1   6 layers, 256; conv 1x1 128, mean 2x2          56, 28
# denseblock2, transition2   12, 512; 256                                   28, 14
# denseblock3, transition3   24, 1024; 512                                  14, 7
# denseblock4                16, 1024                                       7
# global average, dense
SMALLEST = 29


def require_smallest(net: nn.Module, inputs: tuple[Tensor]) -> None:
    """Three transitions halve a quarter of the size."""
    if min(inputs[0].shape[-2:]) < SMALLEST:
        raise ValueError(
            f"DenseNet-121 reads at least {SMALLEST}x{SMALLEST} pixels, found an input of shape "
            f"{tuple(inputs[0].shape)}"
        )


def densenet121(
    in_channels: int = 3,
    num_classes: int = 7,
    pretrained: bool = False,
    head: HeadBuilder | None = None,
) -> nn.Module:
    """6,961,031 train parameters with 3 channels and 7 classes.

    Args:
        in_channels: of the input.
        num_classes: size of the output.
        pretrained: start from weights of ImageNet (torchvision's), which timm downloads; else fresh, as timm starts.
        head: (features, classes) -> module that comes in the place of the linear layer.

    Shape:
        input ``(N, in_channels, H, W)``, H and W at least 29, output logits ``(N, num_classes)``.

    Raises:
        ValueError: when the network is called, an input below 29 pixels.
    """
    net = timm.create_model("densenet121.tv_in1k", pretrained=pretrained, in_chans=in_channels, num_classes=num_classes)
    net.register_forward_pre_hook(require_smallest)
    return replace_head(net, head, num_classes)
