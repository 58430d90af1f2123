"""Put a module after a named stage of any network: attention, a mask, a pyramid."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from fer_lightning.models.modules.bam import BAM
from fer_lightning.models.modules.cbam import CBAM
from fer_lightning.models.modules.masks import Mask
from fer_lightning.models.modules.pyramid import Pyramid
from fer_lightning.models.modules.split_attention import SplitAttention
from fer_lightning.models.modules.squeeze_excitation import SqueezeExcitation

#: channels -> a module that makes maps ``(N, channels, H, W)`` of maps of the same shape.
ModuleBuilder = Callable[[int], nn.Module]


def projected_pyramid(channels: int, kind: str, flow: str, branches: int) -> nn.Sequential:
    """A pyramid, then conv 1x1, BN, ReLU back to `channels` [chosen]: the stage after it was built for so many."""
    return nn.Sequential(
        Pyramid(channels, kind, flow, branches),
        nn.Conv2d(2 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
    )  # fmt: skip


WATERFALL = partial(projected_pyramid, kind="aspp", flow="waterfall", branches=3)
#: As many branches as in DSPP-, DASPP-, WSPP- and WASPP-Net; the rest with the defaults of their papers.
MODULES: dict[str, ModuleBuilder] = {
    "spp": partial(projected_pyramid, kind="spp", flow="direct", branches=2),
    "aspp": partial(projected_pyramid, kind="aspp", flow="direct", branches=3),
    "wspp": partial(projected_pyramid, kind="spp", flow="waterfall", branches=2),
    "wasp": WATERFALL,
    "waspp": WATERFALL,
    "se": SqueezeExcitation,
    "cbam": CBAM,
    "bam": BAM,
    "mask": Mask,
    "split_attention": SplitAttention,
}


def stages(net: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the map, of every layer that makes one map ``(N, C, H, W)`` when `net` reads `example`.

    A layer that runs several times in one pass (a ReLU that is shared) is no stage. What hands on ``(N, H, W, C)``, as
    HTNet does, cannot be told apart: put nothing there.
    """
    shapes, runs = {}, Counter()

    def note(name: str) -> Callable:
        def hook(_layer: nn.Module, _inputs: object, output: object) -> None:
            runs[name] += 1
            if isinstance(output, Tensor) and output.ndim == 4:
                shapes[name] = tuple(output.shape)

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in net.named_modules() if name]
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(example)
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    return {name: shapes[name] for name, _ in net.named_modules() if name in shapes and runs[name] == 1}


def insert_after(net: nn.Module, stage: str, module: ModuleBuilder, example: Tensor) -> nn.Module:
    """`net` whose `stage` is followed by a module: afterwards the layers `<stage>.stage` and `<stage>.module`.

    Args:
        net: changed in place.
        stage: name of one of its layers, as in ``net.named_modules()``: "layer2" of a ResNet, "features.1".
        module: is called with the number of channels of the stage's map.
        example: an input of `net`, on its device; one pass of it tells that number.

    Raises:
        ValueError: no such stage, with a list of those there are; a module that changes the shape of the map.
    """
    found = stages(net, example)
    if stage not in found:
        names = [name for name in found if name.count(".") < 2]
        raise ValueError(f"{type(net).__name__} has no map after {stage!r}; its stages are {names}")
    with example.device:
        made = module(found[stage][1])
        with torch.no_grad():
            shape = tuple(made.eval()(torch.zeros(found[stage])).shape)
    if shape != found[stage]:
        raise ValueError(
            f"{type(made).__name__} makes {shape} of the map {found[stage]} after {stage!r}, whose shape it must keep"
        )
    both = nn.Sequential()
    both.add_module("stage", net.get_submodule(stage))
    both.add_module("module", made)
    net.set_submodule(stage, both.train(net.training))
    return net
