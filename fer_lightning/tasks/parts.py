"""Parts of a network that are frozen, learn at another rate, decay in another way or drop out more or less."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from fer_lightning.errors import ConfigError

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


class Parts:
    """What `conf/parts` asks for. A part is the name of a module, like ``features`` or ``features.0``.

    Args:
        freeze: parts that are not trained. They stay in evaluation mode: batch norm keeps its statistics, dropout
            is off.
        lr_factor: part -> factor of its learning rate.
        weight_decay: part -> its weight decay, instead of the optimizer's.
        decay_vectors: whether biases and norms (parameters with one axis) decay; False is what many recipes of
            transformers do.
        dropout: part -> probability of its dropout layers.
    """

    def __init__(
        self,
        freeze: Sequence[str] = (),
        lr_factor: Mapping[str, float] | None = None,
        weight_decay: Mapping[str, float] | None = None,
        decay_vectors: bool = True,
        dropout: Mapping[str, float] | None = None,
    ) -> None:
        self.freeze, self.decay_vectors = tuple(freeze), decay_vectors
        self.lr_factor, self.weight_decay = dict(lr_factor or {}), dict(weight_decay or {})
        self.dropout = dict(dropout or {})

    def apply(self, net: nn.Module) -> None:
        """Freeze and set dropout.

        Raises:
            ConfigError: a part that the network does not have, one without dropout, a factor that is none, or nothing
                is left to train.
        """
        top = [name for name, _ in net.named_children()]
        for key in ("freeze", "lr_factor", "weight_decay", "dropout"):
            unknown = [part for part in getattr(self, key) if part not in dict(net.named_modules())]
            if unknown:
                raise ConfigError(f"parts.{key} names {unknown[0]!r}; the network has the parts {top}")
        for part, factor in self.lr_factor.items():
            if not (isinstance(factor, int | float) and 0 < factor < math.inf):
                raise ConfigError(
                    f"parts.lr_factor.{part}={factor!r}: expected a number above 0; a part that shall not be trained "
                    f"is named in parts.freeze=[{part}]"
                )
        for part, probability in self.dropout.items():
            layers = [layer for layer in net.get_submodule(part).modules() if isinstance(layer, DROPOUT)]
            if not layers:
                raise ConfigError(f"parts.dropout names {part!r}, which has no dropout layer")
            for layer in layers:
                layer.p = probability
        for part in self.freeze:
            net.get_submodule(part).requires_grad_(False)
        if not any(parameter.requires_grad for parameter in net.parameters()):
            raise ConfigError(f"parts.freeze={list(self.freeze)} leaves nothing to train; the network has {top}")

    def quiet(self, net: nn.Module) -> None:
        """Put the frozen parts into evaluation mode."""
        for part in self.freeze:
            net.get_submodule(part).eval()

    def groups(self, net: nn.Module) -> list[tuple[float, dict[str, Any]]]:
        """(factor of the learning rate, parameter group), first those of no named part."""
        members: dict[tuple[float, float | None], list[nn.Parameter]] = {(1.0, None): []}
        for name, parameter in net.named_parameters():
            if parameter.requires_grad:
                decay = _of(self.weight_decay, name, None)
                if not self.decay_vectors and parameter.ndim < 2:
                    decay = 0.0
                members.setdefault((_of(self.lr_factor, name, 1.0), decay), []).append(parameter)
        return [
            (factor, {"params": found} | ({} if decay is None else {"weight_decay": decay}))
            for (factor, decay), found in members.items()
            if found
        ]


def _of(table: Mapping[str, Any], name: str, default: Any) -> Any:
    """The entry of the longest part to which a parameter belongs."""
    fitting = [part for part in table if name.startswith(f"{part}.")]
    return table[max(fitting, key=len)] if fitting else default
