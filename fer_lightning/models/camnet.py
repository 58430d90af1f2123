"""CAMNet, and with plain blocks the Residual Masking Network.

Paper: Kowsar, Zaman and Sakib 2021, "Facial Expression Recognition: Convolutional Attentional Masking Network and
Ensemble Approach", B.Sc. thesis, Brac University, chapter 5
Residual Masking Network: Pham et al. 2020, arXiv:2603.05937, github.com/phamquiluan/ResidualMaskingNetwork

What the thesis leaves open or contradicts, and what is done here (each the default of an argument):

* "Cardinalities 3, 4, 6 and 3" do not divide the channels; they are the blocks per stage. Cardinality 1.
* Split attention comes "instead of the traditional 3x3 convolutional layers" of a block: of both.
* Stages 2 to 4 halve the map in the first convolution of their first block [chosen]; the text only says that stage 1
  does not.
* Mask: `modules.masks`. "Batch Norm and Group Norm": batch norm.
"""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from fer_lightning.models.modules.dense import DenseHead
from fer_lightning.models.modules.heads import HeadBuilder, replace_head
from fer_lightning.models.modules.masks import Mask, Norm, init_weights
from fer_lightning.models.modules.split_attention import SplitAttention

# layer           blocks   channels   map for 224x224   parameters
# conv 7x7 / 2             64         112
# max pool 3x3 / 2         64         56                9,536
# layer1          3        64         56                260,928
# mask1, depth 4           64         56                32,366,080
# layer2          4        128        28                1,306,272
# mask2, depth 3           128        28                31,885,312
# layer3          6        256        14                7,969,600
# mask3, depth 2           256        14                29,965,312
# layer4          3        512        7                 15,293,568
# mask4, depth 1           512        7                 22,291,456
# global average, dropout 0.5, dense                    3,591
BLOCKS = (3, 4, 6, 3)
ATTENTION = ("both", "first", "second", None)


def group_norm(channels: int) -> nn.GroupNorm:
    """Groups of 16 channels [chosen]: of the 1x1 maps inside split attention, a group of one would leave nothing."""
    return nn.GroupNorm(max(channels // 16, 1), channels)


NORMS: dict[str, Norm] = {"batch": nn.BatchNorm2d, "group": group_norm}


def block(
    channels: int,
    out_channels: int,
    attention: str | None,
    split: Callable[..., nn.Module],
    norm: Norm,
    last_norm: bool,
) -> BasicBlock:
    """Basic block of ResNet with split attention in it. A block that widens halves the map."""
    stride, shortcut = 1, None
    if out_channels != channels:
        stride = 2
        shortcut = nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride, bias=False), norm(out_channels))
    made = BasicBlock(channels, out_channels, stride, shortcut, norm_layer=norm)
    if attention in ("both", "first"):
        made.conv1, made.bn1 = split(channels, out_channels, stride), nn.Identity()
    if attention in ("both", "second"):
        made.conv2, made.bn2 = split(out_channels), norm(out_channels) if last_norm else nn.Identity()
    return made.apply(init_weights)


class CAMNet(nn.Module):
    """141,351,655 train parameters with 3 channels and 7 classes; 24,843,495 without masks.

    With ``attention=None`` it is the Residual Masking Network, 137,796,423, as its public code. Names of plain layers
    are those of torchvision's ResNet-34. Training needs batches of at least 2 (batch norm).

    Weights as in that code: Kaiming (fan out) in convolutions; masks: see `Mask`.

    Args:
        in_channels: of the input; the thesis copies grey faces into 3.
        num_classes: size of the output.
        attention: which convolutions of a block are split attention: "both", "first", "second", or None.
        radix, cardinality: of the split attention.
        masks: depth of the mask after each stage; 0 for none.
        mask_gate: "channel", "spatial" or "sigmoid", see `Mask`.
        mask_mode: "residual", F (1 + M), or "mul", F M.
        norm: "batch" or "group".
        last_norm: a norm after the second split attention of a block, which is else never negative (7,552 parameters
            more); without meaning where the second convolution is plain.
        width: channels of the first stage; another than 64 only to try something out.
        hidden: width of another dense layer, the dropout after it; the thesis tried 128 (62,976 parameters more) and
            found one layer better.
        dropout: before the last dense layer.
        head: (features, classes) -> module that comes in the place of dropout and dense layers.

    Shape:
        input ``(N, in_channels, H, W)``, output logits ``(N, num_classes)``. ``smallest_input`` holds the least H, W:
        29 with all masks.

    Raises:
        ValueError: a value not in these lists; in ``forward``, an input smaller than ``smallest_input``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 7,
        attention: str | None = "both",
        radix: int = 2,
        cardinality: int = 1,
        masks: Sequence[int] = (4, 3, 2, 1),
        mask_gate: str = "channel",
        mask_mode: str = "residual",
        norm: str = "batch",
        last_norm: bool = False,
        width: int = 64,
        hidden: int | None = None,
        dropout: float = 0.5,
        head: HeadBuilder | None = None,
    ) -> None:
        super().__init__()
        self.masks = list(masks)
        if attention not in ATTENTION:
            raise ValueError(f"CAMNet: attention={attention!r} is not one of {list(ATTENTION)}")
        if norm not in NORMS:
            raise ValueError(f"CAMNet: norm={norm!r} is not one of {list(NORMS)}")
        if len(masks) != len(BLOCKS):
            raise ValueError(f"CAMNet: masks={list(masks)} must be {len(BLOCKS)} depths, one a stage")
        make_norm = NORMS[norm]
        split = partial(SplitAttention, radix=radix, cardinality=cardinality, norm=make_norm)
        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False).apply(init_weights)
        self.bn1 = make_norm(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = width
        for stage, (blocks, depth) in enumerate(zip(BLOCKS, masks, strict=True), start=1):
            layer = nn.Sequential()
            for out_channels in [width * 2 ** (stage - 1)] * blocks:
                layer.append(block(channels, out_channels, attention, split, make_norm, last_norm))
                channels = out_channels
            self.add_module(f"layer{stage}", layer)
            self.add_module(
                f"mask{stage}", Mask(channels, depth, mask_gate, mask_mode, make_norm) if depth else nn.Identity()
            )
        if hidden is None:
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))
        else:
            self.classifier = DenseHead(channels, num_classes, [hidden], dropout)
        replace_head(self, head, num_classes)
        # the map of stage n has one pixel for 2 ** (n + 1), rounded up
        needed = [2 ** (n + 1) * (2 ** (depth - 1) - 1) + 1 for n, depth in enumerate(masks, start=1) if depth]
        self.smallest_input = max(needed, default=1)

    def forward_features(self, face: Tensor) -> Tensor:
        if min(face.shape[-2:]) < self.smallest_input:
            raise ValueError(
                f"CAMNet with masks of depth {self.masks} reads at least {self.smallest_input}x{self.smallest_input} "
                f"pixels, found an input of shape {tuple(face.shape)}"
            )
        x = self.maxpool(self.relu(self.bn1(self.conv1(face))))  # (N, 64, 56, 56)
        x = self.mask1(self.layer1(x))
        x = self.mask2(self.layer2(x))
        x = self.mask3(self.layer3(x))
        return self.mask4(self.layer4(x))  # (N, 512, 7, 7)

    def forward(self, face: Tensor) -> Tensor:
        return self.classifier(self.forward_features(face).mean((2, 3)))  # (N, 512) -> (N, num_classes)
