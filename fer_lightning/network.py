"""The network of a config: `cfg.model`, with a module after one of its stages where `model.module` asks for it."""

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn, zeros

from fer_lightning.errors import ConfigError


def example_shape(cfg: DictConfig) -> tuple[int, ...]:
    """Shape of a sample that the network reads, such as ``(C, H, W)``: of the size it was built for, or the paper's."""
    paper = cfg.get("paper", {})
    trailing = list(cfg.needs.get("example") or [cfg.needs.get("min_size") or 32] * 2)
    size = cfg.model.get("size") or paper.get("size")
    if size and len(trailing) > 1:
        trailing[-2:] = size, size
    if "clip" in str(cfg.needs.kind) and paper.get("frames"):
        trailing[0] = paper.frames
    return len(cfg.data.channels), *trailing


def build_network(cfg: DictConfig, outputs: int | None = None) -> nn.Module:
    """Instantiate ``cfg.model``; ``model.module=wasp model.module_after=layer2`` puts a module after a stage.

    ``model.weights`` is not looked at here, see `protocols.weights`.

    Args:
        cfg: the whole config.
        outputs: size of the output, where the task wants another than the model's own `num_classes`.

    Raises:
        ConfigError: a module without a stage or the reverse, an unknown one, a stage that is none.
    """
    options = OmegaConf.to_container(cfg.model, resolve=True)
    name, stage, _ = (options.pop(key, None) for key in ("module", "module_after", "weights"))
    if outputs is not None:
        options["num_classes"] = outputs
    net = instantiate(options)
    if name is None and stage is None:
        return net

    from fer_lightning.models.modules.insert import MODULES, insert_after  # torchvision, which few networks need

    if name not in MODULES or stage is None:
        raise ConfigError(
            f"model.module={name} model.module_after={stage}: give both; modules are {list(MODULES)}, "
            "a stage is the name of a layer, such as layer2 of model=resnet18"
        )
    device = next(net.parameters()).device
    try:
        return insert_after(net, stage, MODULES[name], zeros(1, *example_shape(cfg), device=device))
    except ValueError as error:
        raise ConfigError(
            f"model={cfg.model_name} with model.module={name} model.module_after={stage}: {error}"
        ) from error
