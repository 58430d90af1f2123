"""A recurrent network over the frames of a clip, of faces or of key points.

Unit: Cho et al. 2014, arXiv:1406.1078. The network is of no paper: a small reference for what order in time adds.
"""

from torch import Tensor, nn

from fer_lightning.models.modules.frame_encoders import encode_frames


class FrameGRU(nn.Module):
    """Frame encoder, GRU, the state after the last frame, linear layer. PyTorch's initialisation.

    Args:
        encoder: a frame -> a vector, with an attribute `width`; see `frame_encoders`.
        num_classes: size of the output.
        hidden: size of the state.
        layers: GRUs on top of each other.
        dropout: before the linear layer.

    Shape:
        input ``(N, C, T, ...)``, any number T of frames that the encoder reads; output ``(N, num_classes)``.
    """

    def __init__(
        self, encoder: nn.Module, num_classes: int = 7, hidden: int = 128, layers: int = 1, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.gru = nn.GRU(encoder.width, hidden, layers, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, num_classes))

    def forward(self, clip: Tensor) -> Tensor:
        states, _ = self.gru(encode_frames(self.encoder, clip))  # (N, T, hidden), of the upper layer
        return self.head(states[:, -1])
