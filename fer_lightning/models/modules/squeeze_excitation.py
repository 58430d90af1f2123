"""Squeeze and excitation: a weight for every channel, from the means of all.

Paper: Hu et al. 2018, arXiv:1709.01507
"""

import torchvision


class SqueezeExcitation(torchvision.ops.SqueezeExcitation):
    """Global average, dense (channels / reduction), ReLU, dense, sigmoid; F times that. Weights: PyTorch's default.

    Args:
        channels: of the input.
        reduction: how many times narrower the hidden layer is.

    Shape:
        input and output ``(N, channels, H, W)``.

    Raises:
        ValueError: fewer channels than `reduction`.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        if channels < reduction:
            raise ValueError(f"squeeze and excitation: {channels} channels cannot be reduced {reduction} times")
        super().__init__(channels, channels // reduction)
