"""The fully connected network for key points of a body-gesture study.

Report: "Emotion Detection through Body Gesture and Face" (OpenPose key points of Aff-Wild2 and DFEW)
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from fer_lightning.models.modules.body_graph import joints, require_joints

# The report prints four linear layers with ReLU between them, not their widths [chosen]. For valence and arousal it
# has "three linear layers, then two more", each with one output: those two side by side are one layer with two.
HIDDEN = (256, 128, 64)


class KeypointANN(nn.Module):
    """285-256-128-64-outputs: 114,823 train parameters for 7 classes, 114,498 for 2 values, 114,953 for both.

    The 285 numbers of the report are x, y and confidence of 25 joints of the body and 70 points of the face, as in the
    file (`parts=[body, face]`); without confidence they are 190. PyTorch's initialisation.

    Args:
        in_channels: numbers of a key point.
        num_classes: size of the output: classes, 2 for valence and arousal (without bounds), or both together.
        parts: whose key points are read.

    Shape:
        input ``(N, in_channels, V)`` with the V key points of `parts`, output ``(N, num_classes)``.

    Raises:
        ValueError: unknown parts; in ``forward``, another number of key points.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 7, parts: Sequence[str] = ("body", "face")) -> None:
        super().__init__()
        self.parts = tuple(parts)
        widths = (in_channels * joints(parts), *HIDDEN)
        hidden = [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
        self.features = nn.Sequential(nn.Flatten(), *hidden)
        self.head = nn.Linear(HIDDEN[-1], num_classes)

    def forward(self, pose: Tensor) -> Tensor:
        require_joints(self, pose, self.parts)
        return self.head(self.features(pose))
