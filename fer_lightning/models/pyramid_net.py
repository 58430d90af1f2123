"""The WASPP family: base network, DSPP-, WSPP-, DASPP- and WASPP-Net, and the variants of Tables 3 and 4.

Paper: Stofa et al. 2022, Sensors 22(12): 4634, doi:10.3390/s22124634

What the paper leaves open or contradicts, and what is done here:

* Input: 2 channels (flow u, v), a bias in every layer, BN after conv1, conv2 and in the branches only
  [inferred]: so, and with global average pooling, Table 14 is met to the unit.
* Table 2 flattens 512x8x8 into FC1. That alone exceeds every total of Table 14, hence the global pooling.
* Table 2 prints paddings that do not give its own map sizes: 0 and 1 are swapped.
* Pools print "padding 1"; only padding 0 with ceil mode gives 65, 32, 16, 8.
* Weights: Glorot uniform, biases zero [chosen], the Keras default; the counts of Table 14 are Keras counts.
"""

from torch import Tensor, nn

from fer_lightning.models.modules.pyramid import Pyramid

# filters, kernel, stride, padding, max pool 3/2 after it (how it rounds)    # maps for 75x75
GEOMETRIES = {
    "table2": {
        "conv1": (96, 7, 1, 0, None),      # 69
        "conv2": (256, 5, 1, 0, None),     # 65
        "conv3": (512, 3, 1, 1, "ceil"),   # 65, 32
        "conv4": (512, 3, 1, 1, "ceil"),   # 32, 16
        "conv5": (512, 3, 1, 1, "ceil"),   # 16, 8
    },
    "vggm": {  # the strides of VGG-M, the stated ancestor
        "conv1": (96, 7, 2, 0, "floor"),   # 35, 17
        "conv2": (256, 5, 2, 1, "floor"),  # 8, 3
        "conv3": (512, 3, 1, 1, None),     # 3
        "conv4": (512, 3, 1, 1, None),     # 3
        "conv5": (512, 3, 1, 1, "floor"),  # 3, 1
    },
}  # fmt: skip
# then global average pooling, FC 128, FC 128, FC classes; ReLU after every layer but the last
HIDDEN = 128
NORMALISED = POSITIONS = ("conv1", "conv2")


def map_sizes(size: int, geometry: str) -> dict[str, int]:
    """Height of every map for a given input height; 0 or less where no pixel is left.

    Example:
        >>> map_sizes(75, "vggm")
        {'conv1': 35, 'pool1': 17, 'conv2': 8, 'pool2': 3, 'conv3': 3, 'conv4': 3, 'conv5': 3, 'pool5': 1}
    """
    sizes = {}
    for layer, (_, kernel, stride, padding, pool) in GEOMETRIES[geometry].items():
        size = sizes[layer] = (size + 2 * padding - kernel) // stride + 1
        if pool is not None:
            size = sizes[layer.replace("conv", "pool")] = (size - 3 + (pool == "ceil")) // 2 + 1
    return sizes


def smallest_input(geometry: str, position: str, module_map: int) -> int:
    """Least height and width that leaves a pixel in every map and `module_map` pixels to the module."""
    size = 1
    while min((maps := map_sizes(size, geometry)).values()) < 1 or maps[position] < module_map:
        size += 1
    return size


class PyramidNet(nn.Module):
    """Five convolutions, one pyramid module after the first or the second, three fully connected layers.

    The module reads the output of its convolution (after BN and ReLU, before a pool) and doubles its width.

    Args:
        in_channels: 2 for flow (u, v).
        num_classes: size of the output.
        pyramid: "spp", "aspp", or None for the base network; the next three are then without meaning.
        flow: "direct" or "waterfall".
        branches: 2 to 5.
        position: "conv1" or "conv2". Models I-IV of Tables 3 and 4: conv1 with 2..5 branches; V-VIII: conv2.
        geometry: "table2" (10.6 to 18.1 GMAC for 75x75) or "vggm" (0.10 to 0.15); the same parameters.

    Shape:
        input ``(N, in_channels, H, W)``, output logits ``(N, num_classes)``. ``smallest_input`` holds the
        least H, W: 18 or 20 for table2; 67 to 91 for vggm. SPP model VIII pools 10x10 after conv2, where vggm
        has 8x8 pixels left of 75x75: it needs 91x91, or table2.

    Raises:
        ValueError: a value not in these lists; in ``forward``, an input smaller than ``smallest_input``.
    """

    def __init__(
        self,
        in_channels: int = 2,
        num_classes: int = 3,
        pyramid: str | None = "aspp",
        flow: str = "waterfall",
        branches: int = 3,
        position: str = "conv2",
        geometry: str = "table2",
    ) -> None:
        super().__init__()
        if position not in POSITIONS:
            raise ValueError(f"position={position!r} is not one of {list(POSITIONS)}")
        if geometry not in GEOMETRIES:
            raise ValueError(f"geometry={geometry!r} is not one of {list(GEOMETRIES)}")
        self.features, channels = nn.Sequential(), in_channels
        for layer, (filters, kernel, stride, padding, pool) in GEOMETRIES[geometry].items():
            number = layer.removeprefix("conv")
            self.features.add_module(layer, nn.Conv2d(channels, filters, kernel, stride, padding))
            if layer in NORMALISED:
                self.features.add_module(f"norm{number}", nn.BatchNorm2d(filters))
            self.features.add_module(f"relu{number}", nn.ReLU())
            channels = filters
            if pyramid is not None and layer == position:
                self.features.add_module("pyramid", Pyramid(filters, pyramid, flow, branches))
                channels = 2 * filters
            if pool is not None:
                self.features.add_module(f"pool{number}", nn.MaxPool2d(3, 2, ceil_mode=pool == "ceil"))
        self.head = nn.Sequential(
            nn.Linear(channels, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, num_classes),
        )  # fmt: skip
        self.apply(init_weights)
        self.geometry = geometry
        needed = 1 if pyramid is None else self.features.pyramid.smallest_map
        self.smallest_input = smallest_input(geometry, position, needed)

    def forward(self, flow: Tensor) -> Tensor:
        if min(flow.shape[-2:]) < self.smallest_input:
            least = f"{self.smallest_input}x{self.smallest_input}"
            remedy = " or geometry='table2'" if self.geometry == "vggm" else ""
            raise ValueError(
                f"with these branches and geometry={self.geometry!r} the network needs at least {least} "
                f"pixels, found an input of shape {tuple(flow.shape)}; use larger images{remedy}"
            )
        features = self.features(flow)  # 75x75: (N, 512, 8, 8) with table2, (N, 512, 1, 1) with vggm
        return self.head(features.mean(dim=(2, 3)))  # (N, 512) -> (N, num_classes)


def init_weights(layer: nn.Module) -> None:
    """Glorot uniform weights and zero biases, the Keras default.

    PyTorch's own default shrinks the signal in each of the six layers without BN: untrained logits then vary
    about thirty times less between images, and training starts late.
    """
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
