"""Convolutional block attention module: first which channels, then which pixels.

Paper: Woo et al. 2018, arXiv:1807.06521; code: github.com/Jongchan/attention-module (the authors')
"""

import torch
from torch import Tensor, nn


class CBAM(nn.Module):
    """F -> F * channel gate -> * spatial gate, both between 0 and 1. Weights: PyTorch's default.

    The channel gate is one perceptron (with biases, as in the code) for the mean and for the maximum of every channel,
    added; the spatial gate one 7x7 convolution of the mean and the maximum over channels, then BN.

    Args:
        channels: of the input.
        reduction: how many times narrower the hidden layer of the perceptron is.
        kernel: of the spatial convolution, odd.

    Shape:
        input and output ``(N, channels, H, W)``.

    Raises:
        ValueError: fewer channels than `reduction`; an even kernel.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7) -> None:
        super().__init__()
        if channels < reduction:
            raise ValueError(f"CBAM: {channels} channels cannot be reduced {reduction} times")
        if kernel % 2 == 0:
            raise ValueError(f"CBAM: kernel={kernel} must be odd")
        hidden = channels // reduction
        self.perceptron = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        mean, largest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        x = x * torch.sigmoid(self.perceptron(mean) + self.perceptron(largest))
        over_channels = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(over_channels))
