"""A transformer over the frames of a clip, of faces or of key points.

Layers: Vaswani et al. 2017, arXiv:1706.03762; class token, learned positions and norms before the layers as in
Dosovitskiy et al. 2021, arXiv:2010.11929. The network is of no paper: a small reference for what attention adds.
"""

import torch
from torch import Tensor, nn

from fer_lightning.models.modules.frame_encoders import encode_frames


class FrameTransformer(nn.Module):
    """Frame encoder, positions, class token, transformer layers, linear layer over the token.

    PyTorch's initialisation; token and positions normal with deviation 0.02 [chosen].

    Args:
        encoder: a frame -> a vector, with an attribute `width`; see `frame_encoders`.
        num_classes: size of the output.
        frames: the most that a clip may have.
        heads: of each layer; divides the encoder's width.
        layers: how many.
        dropout: inside the layers.

    Shape:
        input ``(N, C, T, ...)``, 1 to `frames` frames T that the encoder reads; output ``(N, num_classes)``.

    Raises:
        ValueError: in ``forward``, a longer clip.
    """

    def __init__(
        self,
        encoder: nn.Module,
        num_classes: int = 7,
        frames: int = 16,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        width = encoder.width
        self.encoder = encoder
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, frames, width))
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        length, most = clip.shape[2], self.position.shape[1]
        if length > most:
            raise ValueError(
                f"FrameTransformer was built for clips of at most {most} frames, found an input of shape "
                f"{tuple(clip.shape)}; let paper.frames and data.recipe.frames be equal"
            )
        frames = encode_frames(self.encoder, clip) + self.position[:, :length]  # (N, T, width)
        tokens = torch.cat([self.token.expand(len(frames), -1, -1), frames], dim=1)
        return self.head(self.norm(self.layers(tokens)[:, 0]))
