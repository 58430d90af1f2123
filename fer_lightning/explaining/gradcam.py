"""Grad-CAM and feature maps of any network here that makes maps.

Paper: Selvaraju et al. 2017, "Grad-CAM", arXiv:1610.02391, equations 1 and 2
"""

from collections import Counter
from collections.abc import Sequence

import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from fer_lightning.errors import ConfigError

#: The least height and width of a map that says where something is.
LEAST = 3
Layers = dict[str, nn.Module]


class TokenGrid(nn.Module):
    """Lays the patches of a vision transformer out as they lie in the picture, so that its tokens are a map.

    Hooked to a layer that makes tokens (N, prefix + h * w, D); `map` then makes (N, D, h, w), and nothing is changed.
    """

    def __init__(self, prefix: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.prefix, self.size, self.map = prefix, size, nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        patches = self.map(tokens[:, self.prefix :].transpose(1, 2).unflatten(2, self.size))
        return torch.cat([tokens[:, : self.prefix], patches.flatten(2).transpose(1, 2)], dim=1)


def ready(net: nn.Module) -> nn.Module:
    """In evaluation mode, without gradients of weights, and with no layer that overwrites the map of the one before."""
    for layer in net.modules():
        if hasattr(layer, "inplace"):
            layer.inplace = False
    return net.eval().requires_grad_(False)


def find_layers(net: nn.Module, sample: Tensor) -> Layers:
    """The last layer whose output is a map of at least 3x3 pixels; of parallel streams the last one of each.

    Everything that the network says of the picture passes through these layers. Of a vision transformer it is the
    first norm of the last block: of what comes after it, only the class token is read.

    Args:
        net: made `ready`.
        sample: one input, ``(1, C, H, W)`` or of a clip ``(1, C, T, H, W)``.

    Raises:
        ConfigError: there are no such layers.
    """
    patches = next((layer for layer in net.modules() if hasattr(layer, "grid_size")), None)  # as timm's are called
    if patches is not None:
        return _transformer_layer(net, patches)
    names = {layer: name for name, layer in net.named_modules()}
    chosen, grid = [], None
    while (open_ := _past(net, sample, chosen)) is not None:
        fits = [layer for layer, size in open_ if grid in (None, size)]
        if not fits:
            so_far = f"past {' and '.join(names[layer] for layer in chosen)} goes more" if chosen else "found none"
            raise ConfigError(
                f"{type(net).__name__}: expected layers through which all that it predicts passes as maps of one size, "
                f"3x3 pixels or more; {so_far}. Name what is to be explained with --layer"
            )
        chosen.append(fits[-1])
        grid = dict(open_)[fits[-1]]
    if not chosen:
        raise ConfigError(f"{type(net).__name__}: what it predicts does not depend on the picture")
    return {names[layer]: layer for layer in sorted(chosen, key=list(names).index)}


def named_layers(net: nn.Module, wanted: Sequence[str], sample: Tensor) -> Layers:
    """The layers of these names.

    Raises:
        ConfigError: a layer that is not there or makes no map, or maps of different sizes.
    """
    known = {name: layer for name, layer in net.named_modules() if name}
    maps, _ = _maps(net, sample)
    usable = [name for name, layer in known.items() if layer in maps]
    wrong = [name for name in wanted if name not in usable]
    if wrong:
        short = [name for name in usable if name.count(".") < 2]
        state = "makes no map of 3x3 pixels or more, once a pass" if wrong[0] in known else "is no layer"
        raise ConfigError(f"--layer {wrong[0]} {state} of {type(net).__name__}; choose one of {short}, or inside")
    sizes = {name: tuple(maps[known[name]].shape[-2:]) for name in wanted}
    if len(set(sizes.values())) > 1:
        raise ConfigError(f"--layer: the maps of several layers are added and must have one size, found {sizes}")
    return {name: known[name] for name in wanted}


def grad_cam(net: nn.Module, layers: Layers, inputs: Tensor, targets: Tensor) -> Tensor:
    """ReLU of the sum over channels of (mean gradient of the target's logit) x (map); of several layers, of all.

    Args:
        net: made `ready`.
        layers: of `find_layers`.
        inputs: ``(N, C, H, W)``, or of clips ``(N, C, T, H, W)``.
        targets: number of a logit for each input, ``(N,)``.

    Returns:
        ``(N, h, w)`` at the size of the layer's maps, of clips ``(N, T, h, w)``; not negative.
    """
    parts = [LayerGradCam(net, layer).attribute(inputs, targets, relu_attributions=False) for layer in layers.values()]
    found = torch.stack(parts).sum(dim=0).relu()[:, 0].detach()
    return found if inputs.ndim == 4 else found.unflatten(0, (len(inputs), -1))


def feature_maps(net: nn.Module, sample: Tensor) -> dict[str, Tensor]:
    """Name -> output ``(C, h, w)`` of one layer of each size of maps, largest first: the last of the outermost ones.

    Of a clip, the middle frame's. A layer whose output has one channel (a gate) is passed over.
    """
    stages: dict[torch.Size, tuple[str, Tensor]] = {}
    maps, _ = _maps(net, sample)
    names = {layer: name for name, layer in net.named_modules()}
    for layer, found in maps.items():
        name, size = names[layer], found.shape[-2:]
        inner = size in stages and name.count(".") > stages[size][0].count(".")
        if found.shape[1] > 1 and not inner:
            stages[size] = name, found[len(found) // 2]
    return {name: found for _, (name, found) in sorted(stages.items(), reverse=True)}


def _transformer_layer(net: nn.Module, patches: nn.Module) -> Layers:
    """Of a network that cuts the picture into `patches` and has tokens (N, prefix + h * w, D) from there on."""
    if not hasattr(net, "num_prefix_tokens") or not hasattr(net.blocks[-1], "norm1"):
        raise ConfigError(
            f"{type(net).__name__} has tokens that this command cannot lay out as a picture. Name a layer that makes "
            "maps, such as a convolution, with --layer, or explain another network"
        )
    grid = TokenGrid(net.num_prefix_tokens, tuple(patches.grid_size))
    net.blocks[-1].norm1.register_forward_hook(lambda _layer, _inputs, tokens: grid(tokens))
    return {f"blocks.{len(net.blocks) - 1}.norm1": grid.map}


def _past(net: nn.Module, sample: Tensor, cut: Sequence[nn.Module]) -> list[tuple[nn.Module, torch.Size]] | None:
    """Layers that the output depends on otherwise than through those of `cut`, in the order in which they end.

    With the size of their maps; None where nothing of the input goes past `cut`.
    """
    maps, output = _maps(net, sample.detach().requires_grad_(), cut)
    if not output.requires_grad:
        return None
    maps = {layer: found for layer, found in maps.items() if found.requires_grad and layer not in cut}
    gradients = torch.autograd.grad(output.sum(), list(maps.values()), allow_unused=True) if maps else ()
    reached = zip(maps, gradients, strict=True)
    return [(layer, maps[layer].shape[-2:]) for layer, gradient in reached if gradient is not None]


def _maps(net: nn.Module, sample: Tensor, cut: Sequence[nn.Module] = ()) -> tuple[dict[nn.Module, Tensor], Tensor]:
    """Layer -> its map, ``(1, C, h, w)`` or one for each frame, of layers that run once, in the order they end.

    And the output of the network, which has no gradient through the layers of `cut`.
    """
    maps, runs = {}, Counter()
    frames = sample.shape[2] if sample.ndim == 5 else 1

    def note(layer: nn.Module, _inputs: object, found: object) -> Tensor | None:
        runs[layer] += 1
        if isinstance(found, Tensor) and _is_map(found, sample, frames):
            maps[layer] = found
        return found.detach() if layer in cut else None

    hooks = [layer.register_forward_hook(note) for layer in net.modules() if layer is not net]
    try:
        output = net(sample)
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: found for layer, found in maps.items() if runs[layer] == 1}, output


def _is_map(found: Tensor, sample: Tensor, frames: int) -> bool:
    """Whether it has the shape of the picture, to a pixel: what hands on (N, H, W, C), or attention, has not."""
    if found.ndim != 4 or len(found) != frames or min(found.shape[-2:]) < LEAST:
        return False
    (h, w), (height, width) = found.shape[-2:], sample.shape[-2:]
    return abs(h * width - w * height) < max(height, width)
