"""EfficientNetV2-S through timm.

Paper: Tan and Le 2021, arXiv:2104.00298; for faces Santoso and Kusuma 2022, "Facial Emotion Recognition on FER2013
Using VGGSpinalNet", JATIT 100(7)
"""

import timm
from torch import nn

from fer_lightning.models.modules.heads import HeadBuilder, replace_head

#: In the text features are 1792 wide (halves of 896), as in timm's early reading of the paper; Table 2 prints the
#: published network, which ends in 256 channels and 1280 features.
VARIANTS = {"rw_s": "efficientnetv2_rw_s", "s": "efficientnetv2_s"}
ACTIVATIONS = ("swish", "mish")


def efficientnetv2_s(
    in_channels: int = 1,
    num_classes: int = 7,
    variant: str = "rw_s",
    activation: str = "swish",
    head: HeadBuilder | None = None,
) -> nn.Module:
    """22,160,415 train parameters with 1 channel and 7 classes, 24,789,791 with a spinal head. timm's own start.

    Args:
        in_channels: of the input.
        num_classes: size of the output.
        variant: "rw_s", 1792 features as in the paper's text, or "s", 1280 as in its Table 2 (20,186,023, with a
            spinal head 22,294,695).
        activation: "swish" or "mish", in all layers; the paper tried both.
        head: (features, classes) -> module that comes in the place of the linear layer.

    Shape:
        input ``(N, in_channels, H, W)`` of any size, output logits ``(N, num_classes)``. 40x40 pixels leave 2x2.

    Raises:
        ValueError: another variant or activation.
    """
    for name, value, allowed in (("variant", variant, VARIANTS), ("activation", activation, ACTIVATIONS)):
        if value not in allowed:
            raise ValueError(f"efficientnetv2_s: {name}={value!r} is not one of {list(allowed)}")
    net = timm.create_model(
        VARIANTS[variant], pretrained=False, in_chans=in_channels, num_classes=num_classes, act_layer=activation
    )
    return replace_head(net, head, num_classes)
