"""HTNet: self-attention inside areas of the face, convolutions between them, in levels of growing areas.

Paper: Wang et al. 2023, "HTNet for micro-expression recognition", arXiv:2307.14637
Code: https://github.com/wangzhifengharrison/HTNet (the authors'; the numbers below are those of its main_HTNet.py)

Written from the abstract, the README and what that code builds; none of them prints a parameter count.

* With those settings (28 pixels, patches of 7, three levels) every block is a single patch. Attention over one token
  is that token: queries and keys learn nothing, and only the convolutions look beyond a patch. `repeats=(2, 10)` is
  the reading of the abstract: four areas (eyes and mouth corners) of 2x2 patches, then the face.
* The authors paste four 14x14 crops round the eyes and the mouth corners into one 28x28 picture. Here the picture is
  whatever the data holds: of an aligned face, the quadrants.
* Positions are a vector for each token of a block [chosen]; in that code they are one number for all channels, to
  which the transformer layers, behind layer norms, are blind. That is 1,789 parameters more with the default settings.
* Weights: PyTorch's default; positions normal with deviation 0.02 [chosen].
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_lightning.models.inputs import require_size

# level   blocks of the face   channels   heads   layers    between the levels
# 1       4x4                  256        3       2         conv 3x3, layer norm, max pool 3/2
# 2       2x2                  512        6       2         conv 3x3, layer norm, max pool 3/2
# 3       1                    1024       12      10
# head    layer norm, mean over the tokens, classes
REPEATS = (2, 2, 10)


class Layer(nn.Module):
    """Self-attention and MLP, each after a layer norm and beside a shortcut: (B, T, C) -> (B, T, C).

    A head is C // heads wide; what remains of C is lost inside (256 channels, 3 heads: 255).
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        inner = channels // heads * heads
        self.heads = heads
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * inner, bias=False)
        self.out = nn.Linear(inner, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, heads, width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)  # (B, heads, T, width)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Level(nn.Module):
    """Transformer layers inside blocks of `side` x `side` tokens: (N, H, W, C) -> (N, H, W, C)."""

    def __init__(self, channels: int, heads: int, repeats: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.position = nn.Parameter(0.02 * torch.randn(side * side, channels))
        self.layers = nn.Sequential(*(Layer(channels, heads) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        rows, columns, side = x.shape[1] // self.side, x.shape[2] // self.side, self.side
        x = x.unflatten(2, (columns, side)).unflatten(1, (rows, side)).transpose(2, 3)
        tokens = x.flatten(3, 4).flatten(0, 2)  # (N * blocks, side * side, C)
        x = self.layers(tokens + self.position).unflatten(1, (side, side)).unflatten(0, (-1, rows, columns))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


class Aggregate(nn.Module):
    """Neighbouring blocks meet: (N, H, W, C) -> (N, H / 2, W / 2, 2C), rounded up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.norm = nn.LayerNorm(2 * channels)
        self.pool = nn.MaxPool2d(3, 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return self.pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class HTNet(nn.Module):
    """Levels of block-wise transformers, the number of blocks divided by four from level to level.

    Args:
        in_channels: 3 for (u, v, strain).
        num_classes: size of the output.
        size: height and width of the input, in pixels.
        patch: height and width of the patch that becomes a token.
        channels: of the first level; doubled, as the heads, from level to level.
        heads: of the first level.
        repeats: transformer layers of each level; as many levels as numbers.

    Shape:
        input ``(N, in_channels, size, size)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: a size that does not divide into the patches and blocks; in ``forward``, an input of another size.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 3,
        size: int = 28,
        patch: int = 7,
        channels: int = 256,
        heads: int = 3,
        repeats: tuple[int, ...] = REPEATS,
    ) -> None:
        super().__init__()
        blocks = 2 ** (len(repeats) - 1)  # along one side, in the first level
        if size < patch * blocks or size % (patch * blocks):
            raise ValueError(
                f"HTNet: size={size} must be a multiple of patch * 2 ** (levels - 1) = {patch} * {blocks}, "
                f"so that {blocks}x{blocks} blocks of whole patches cover the picture"
            )
        self.size = size
        self.embed = nn.Conv2d(in_channels, channels, patch, stride=patch)
        self.levels = nn.Sequential()
        for level, layers in enumerate(repeats):
            if level > 0:
                self.levels.append(Aggregate(channels))
                channels, heads = 2 * channels, 2 * heads
            self.levels.append(Level(channels, heads, layers, size // patch // blocks))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, flow: Tensor) -> Tensor:
        require_size(self, flow, self.size)
        x = self.levels(self.embed(flow).permute(0, 2, 3, 1))  # (N, 4, 4, 256) -> (N, 1, 1, 1024)
        return self.head(self.norm(x).mean(dim=(1, 2)))  # (N, 1024) -> (N, num_classes)
