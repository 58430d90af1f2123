"""ST-GCN: convolutions over the joints of a skeleton and over time, for clips of key points.

Paper: Yan, Xiong and Lin 2018, arXiv:1801.07455, doi:10.1609/aaai.v32i1.12328
Code: https://github.com/yysijie/st-gcn (the authors'; it fills the paper's gaps)

Where the two differ, the paper is followed:

* 9 units, each with a shortcut. The code has one more at the beginning, without a shortcut.
* Each set of neighbours contributes its mean. The code divides by the number of all neighbours.
* Neighbours nearer to and farther from the centre are two sets everywhere (`body_graph.partition`). The code knows
  distances of one edge only, so that beyond the centre's neighbours both are one set.

Dropout stands before the shortcut is added, as in the code; the paper says "after each unit".
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fer_lightning.models.modules.body_graph import joints, partition, require_joints

# unit       channels   stride in time
# 1, 2, 3    64         1, 1, 1
# 4, 5, 6    128        2, 1, 1
# 7, 8, 9    256        2, 1, 1
UNITS = ((64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))
FRAMES = 9  # that a temporal convolution sees


class Unit(nn.Module):
    """Graph convolution, then convolution over time, beside a shortcut: (N, C, T, V) -> (N, C', T / stride, V)."""

    def __init__(self, in_channels: int, channels: int, stride: int, joints: int, dropout: float) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(in_channels, 3 * channels, 1)  # one kernel for each set of neighbours
        self.importance = nn.Parameter(torch.ones(3, joints, joints))  # of edges, learned
        self.temporal = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, (FRAMES, 1), (stride, 1), (FRAMES // 2, 0)),
            nn.BatchNorm2d(channels),
            nn.Dropout(dropout),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != channels or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, (stride, 1)), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor, neighbours: Tensor) -> Tensor:
        sets = self.spatial(x).unflatten(1, (3, -1))  # (N, 3, C', T, V)
        joined = torch.einsum("nkctv,kvw->nctw", sets, neighbours * self.importance)
        return torch.relu(self.temporal(joined) + self.shortcut(x))


class STGCN(nn.Module):
    """Batch norm of each number of each joint, nine units, mean over time and joints, linear layer.

    3,034,056 train parameters with the body's 25 joints, 3 channels and 7 classes; PyTorch's initialisation.

    Args:
        in_channels: numbers of a key point; the paper's are x, y and confidence. Confidence or mask tells a joint that
            was not found, 0 in all, from one at the origin.
        num_classes: size of the output.
        parts: whose key points are read. The paper's graph is the body; face and hands are tied to it [chosen].
        dropout: in each unit.

    Shape:
        input ``(N, in_channels, T, V)`` of any number of frames T, with the V key points of `parts`; output
        ``(N, num_classes)``.

    Raises:
        ValueError: unknown parts, or no body among them; in ``forward``, another number of key points.
    """

    def __init__(
        self, in_channels: int = 3, num_classes: int = 7, parts: Sequence[str] = ("body",), dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.parts = tuple(parts)
        self.register_buffer("neighbours", partition(parts), persistent=False)
        self.norm = nn.BatchNorm1d(in_channels * joints(parts))
        self.units = nn.ModuleList()
        for channels, stride in UNITS:
            self.units.append(Unit(in_channels, channels, stride, joints(parts), dropout))
            in_channels = channels
        self.head = nn.Linear(in_channels, num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        require_joints(self, clip, self.parts)
        x = self.norm(clip.transpose(2, 3).flatten(1, 2))  # (N, C * V, T)
        x = x.unflatten(1, (clip.shape[1], clip.shape[3])).transpose(2, 3)
        for unit in self.units:
            x = unit(x, self.neighbours)
        return self.head(x.mean((2, 3)))
