"""Heads whose hidden layers take the features bit by bit, as nerves join the spinal cord.

Papers: Kabir et al. 2020, SpinalNet, arXiv:2007.03347; Chopra 2021, ProgressiveSpinalNet, arXiv:2103.11373.
In the form of Santoso and Kusuma 2022, "Facial Emotion Recognition on FER2013 Using VGGSpinalNet", JATIT 100(7): four
layers of 512. Weights: PyTorch's default [chosen].
"""

import torch
from torch import Tensor, nn

# layer   SpinalHead reads              ProgressiveSpinalHead reads      for 2048 features
# 1       a, the first half             d, all features                  1024   2048
# 2       b, the second half; s1        d, s1                            1536   2560
# 3       a, s2                         d, s1, s2                        1536   3072
# 4       b, s3                         d, s1, s2, s3                    1536   3584
# output  s1, s2, s3, s4                d, s1, s2, s3, s4                2048   4096


class SpinalHead(nn.Module):
    """2,904,071 parameters with 2048 features and 7 classes; 2,641,927 with 1792; 1,855,495 with 1024.

    The text gives the layers "1024 input ... except for first Spinal Layer has 512", which is true of 1024 features
    (ViT); with 2048 they read 1536 and 1024. Training needs batches of at least 2 (batch norm).

    Args:
        features: width of the input, even.
        num_classes: size of the output.
        width: of every hidden layer.
        depth: number of hidden layers.
        dropout: before every hidden layer and before the output.

    Shape:
        input ``(N, features)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: an odd number of features.
    """

    def __init__(self, features: int, num_classes: int, width: int = 512, depth: int = 4, dropout: float = 0.5) -> None:
        super().__init__()
        if features % 2:
            raise ValueError(f"SpinalHead reads halves, so features={features} must be even")

        def layer(inputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU())

        half = features // 2
        self.layers = nn.ModuleList([layer(half), *(layer(half + width) for _ in range(depth - 1))])
        self.output = nn.Sequential(nn.Dropout(dropout), nn.Linear(depth * width, num_classes))

    def forward(self, features: Tensor) -> Tensor:
        halves = features.chunk(2, dim=1)
        hidden = [self.layers[0](halves[0])]
        for number, layer in enumerate(self.layers[1:], start=1):
            hidden.append(layer(torch.cat([halves[number % 2], hidden[-1]], dim=1)))
        return self.output(torch.cat(hidden, dim=1))


class ProgressiveSpinalHead(nn.Module):
    """5,801,991 parameters with 2048 features and 7 classes; 5,797,895 without batch norm.

    Args:
        features: width of the input.
        num_classes: size of the output.
        width: of every hidden layer.
        depth: number of hidden layers.
        dropout: of the features, once; what the layers and the output read.
        batch_norm: before the ReLU of every hidden layer [chosen]: the text names a linear and a ReLU layer, and what
            stands between them is missing. With it, training needs batches of at least 2.

    Shape:
        input ``(N, features)``, output logits ``(N, num_classes)``.
    """

    def __init__(
        self,
        features: int,
        num_classes: int,
        width: int = 512,
        depth: int = 4,
        dropout: float = 0.5,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()

        def layer(inputs: int) -> nn.Sequential:
            norm = [nn.BatchNorm1d(width)] if batch_norm else []
            return nn.Sequential(nn.Linear(inputs, width), *norm, nn.ReLU())

        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(layer(features + number * width) for number in range(depth))
        self.output = nn.Linear(features + depth * width, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        seen = self.dropout(features)
        for layer in self.layers:
            seen = torch.cat([seen, layer(seen)], dim=1)
        return self.output(seen)
