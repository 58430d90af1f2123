"""ViT-L/32 through timm.

Paper: Dosovitskiy et al. 2021, arXiv:2010.11929; for faces Santoso and Kusuma 2022, "Facial Emotion Recognition on
FER2013 Using VGGSpinalNet", JATIT 100(7), from the weights google/vit-large-patch32-224-in21k
"""

import timm
from torch import nn

from fer_lightning.models.modules.heads import HeadBuilder, replace_head

WEIGHTS = "vit_large_patch32_224.orig_in21k"  # timm's name of those weights; they were made with pixels -1..1


def vit_l32(
    in_channels: int = 3,
    num_classes: int = 7,
    size: int = 224,
    depth: int = 24,
    pretrained: bool = False,
    head: HeadBuilder | None = None,
) -> nn.Module:
    """305,517,575 train parameters with 3 channels and 7 classes, 307,365,895 with a spinal head.

    Args:
        in_channels: of the input.
        num_classes: size of the output.
        size: height and width of the input, in pixels; a multiple of 32. 224 makes 49 patches and a class token.
        depth: number of layers; fewer than 24 only to try something out.
        pretrained: start from the weights of ImageNet-21k, which timm downloads; else fresh, as timm starts.
        head: (features, classes) -> module that comes in the place of the linear layer.

    Shape:
        input ``(N, in_channels, size, size)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: a size that is no multiple of 32.
    """
    if size < 32 or size % 32:
        raise ValueError(f"vit_l32: size={size} is no multiple of the patches of 32 pixels")
    net = timm.create_model(
        WEIGHTS, pretrained=pretrained, in_chans=in_channels, num_classes=num_classes, img_size=size, depth=depth
    )
    return replace_head(net, head, num_classes)
