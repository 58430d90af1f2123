"""Head of dense layers."""

from collections.abc import Sequence

from torch import nn


class DenseHead(nn.Sequential):
    """Hidden layers (each with ReLU, then dropout) and one for the classes. Weights: PyTorch's default.

    Args:
        features: width of the input.
        num_classes: size of the output.
        hidden: widths of the hidden layers.
        dropout: after each hidden layer.

    Shape:
        input ``(N, features)``, output logits ``(N, num_classes)``.
    """

    def __init__(self, features: int, num_classes: int, hidden: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        for width in hidden:
            self.extend([nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout)])
            features = width
        self.append(nn.Linear(features, num_classes))
