"""Put another head on a backbone."""

from collections.abc import Callable

from torch import nn

#: (features, num_classes) -> a module that makes logits ``(N, num_classes)`` of features ``(N, features)``.
HeadBuilder = Callable[[int, int], nn.Module]


def replace_head(net: nn.Module, head: HeadBuilder | None, num_classes: int) -> nn.Module:
    """`net` with `head` in the place of its whole classifier, whose first linear layer tells the number of features.

    Args:
        net: a network of timm, which names its classifier itself, or one whose last layers are `net.classifier`.
            Changed in place.
        head: what comes there; None leaves the network as it is.
        num_classes: size of the output.

    Raises:
        ValueError: no classifier with a linear layer, or several classifiers.
    """
    if head is None:
        return net
    name = getattr(net, "pretrained_cfg", {}).get("classifier", "classifier")
    old = dict(net.named_modules()).get(name) if isinstance(name, str) else None
    linear = None if old is None else next((layer for layer in old.modules() if isinstance(layer, nn.Linear)), None)
    if linear is None:
        raise ValueError(
            f"{type(net).__name__} takes no other head: its classifier {name!r} is {old}, expected one linear layer"
        )
    net.set_submodule(name, head(linear.in_features, num_classes))
    return net
