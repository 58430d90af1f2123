"""What a network costs: parameters as papers print them, multiplications, and both for each layer."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


class Layer(NamedTuple):
    """One line of a table of layers; the two numbers leave out the layers that have a line of their own."""

    name: str
    kind: str
    shape: tuple[int, ...]  # of the output; () where it is no tensor
    parameters: int
    macs: int


def train_parameters(net: nn.Module) -> int:
    """What an optimizer may change: the number of values in all parameters (Keras: "Trainable params")."""
    return sum(parameter.numel() for parameter in net.parameters())


def total_parameters(net: nn.Module) -> int:
    """Train parameters plus the running means and variances of the batch norms (Keras: "Total params").

    PyTorch keeps running statistics as buffers, so a count over `parameters()` alone is smaller than what a
    paper with a Keras network prints. `num_batches_tracked`, which Keras does not have, is not counted.
    """
    running = ("running_mean", "running_var")
    return train_parameters(net) + sum(
        buffer.numel() for name, buffer in net.named_buffers() if name.rpartition(".")[2] in running
    )


def layers(net: nn.Module, example: Tensor) -> list[Layer]:
    """The layers that compute something, in the order in which they end, in evaluation mode; last the network itself.

    A multiplication with its addition (MAC) counts once; those of convolutions, dense layers and attention are counted,
    biases, norms, activations and resizing are not. A number of a layer that is never called itself (the list around
    some streams) belongs to the layer that uses it; of a layer that runs twice, both runs are counted.

    Args:
        net: on the meta device too, where nothing is computed.
        example: an input, ``(N, ...)``; with N = 1 the MACs are those of a sample.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    names = {layer: name for name, layer in net.named_modules()}

    def note(layer: nn.Module, _inputs: object, output: object) -> None:
        shapes.setdefault(names[layer], tuple(output.shape) if isinstance(output, Tensor) else ())

    def called(name: str) -> str:
        """`name` if that layer was called, else the nearest one around it that was."""
        while name not in shapes:
            name = name.rpartition(".")[0]
        return name

    hooks = [layer.register_forward_hook(note) for layer in names]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(example)
    for hook in hooks:
        hook.remove()
    counts = counter.get_flop_counts()
    macs = {
        name: sum(counts.get(".".join([type(net).__name__, name][: 1 + bool(name)]), {}).values()) // 2
        for name in shapes
    }
    own, parameters = dict(macs), dict.fromkeys(shapes, 0)
    for name in shapes:
        if name:
            own[called(name.rpartition(".")[0])] -= macs[name]
    for layer, name in names.items():
        parameters[called(name)] += sum(parameter.numel() for parameter in layer.parameters(recurse=False))
    kinds = {name: type(layer).__name__ for layer, name in names.items()}
    leaf = {name for layer, name in names.items() if not any(layer.children())}
    return [
        Layer(name, kinds[name], shape, parameters[name], own[name])
        for name, shape in shapes.items()
        if name in leaf or parameters[name] or own[name] or not name
    ]
