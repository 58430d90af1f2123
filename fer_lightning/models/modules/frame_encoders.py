"""One vector for each frame of a clip, for the networks over time. Of no paper; PyTorch's initialisation."""

from collections.abc import Sequence

from torch import Tensor, nn

from fer_lightning.models.modules.body_graph import joints, require_joints


def encode_frames(encoder: nn.Module, clip: Tensor) -> Tensor:
    """Each frame by itself: (N, C, T, ...) -> (N, T, encoder.width)."""
    frames = clip.transpose(1, 2)  # (N, T, C, ...)
    return encoder(frames.flatten(0, 1)).unflatten(0, (-1, clip.shape[2]))


class PoseEncoder(nn.Module):
    """Two linear layers over all key points: (N, in_channels, V) -> (N, width).

    Args:
        in_channels: numbers of a key point, one of them telling whether it was found (mask or confidence).
        parts: whose key points are read.
        width: of the result and of the layer before.
    """

    def __init__(self, in_channels: int, parts: Sequence[str] = ("body", "face"), width: int = 128) -> None:
        super().__init__()
        self.parts, self.width = tuple(parts), width
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(in_channels * joints(parts), width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )

    def forward(self, pose: Tensor) -> Tensor:
        require_joints(self, pose, self.parts)
        return self.layers(pose)


class FaceEncoder(nn.Module):
    """Three convolutions, each halving the picture, and a mean: (N, in_channels, H, W) -> (N, width).

    Args:
        in_channels: 1 or 3.
        width: of the result; the convolutions have a quarter, a half and all of it.
    """

    def __init__(self, in_channels: int, width: int = 128) -> None:
        super().__init__()
        self.width = width
        layers: list[nn.Module] = []
        for channels in (width // 4, width // 2, width):
            layers += [nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
            in_channels = channels
        self.layers = nn.Sequential(*layers)

    def forward(self, face: Tensor) -> Tensor:
        return self.layers(face).mean((2, 3))
