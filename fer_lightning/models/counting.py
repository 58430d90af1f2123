"""Parameter counts as papers print them."""

from torch import nn


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
