"""Any network of timm by its name."""

from difflib import get_close_matches
from pathlib import PurePosixPath

import timm
import torch
from torch import nn

from fer_lightning.models.modules.heads import HeadBuilder, replace_head


def timm_backbone(
    name: str,
    in_channels: int = 3,
    num_classes: int = 7,
    size: int = 224,
    pretrained: bool = False,
    head: HeadBuilder | None = None,
) -> nn.Module:
    """The network, with the channels, size and head asked for. Fresh weights start as timm starts them.

    Args:
        name: as in `timm.list_models()`, e.g. convnext_tiny; a tag names its weights: convnext_tiny.fb_in22k.
        in_channels: of the input. Pretrained weights of the first layer are summed for 1 channel; for 2 they are those
            of red and green, scaled.
        num_classes: size of the output.
        size: height and width of the input in pixels, told to networks of a fixed size. A few, such as
            efficientformer_l1, work at their own alone.
        pretrained: start from timm's weights, which are downloaded once into the caches of Hugging Face or PyTorch.
        head: (features, classes) -> module that comes in the place of the classifier.

    Shape:
        input ``(N, in_channels, size, size)``, output logits ``(N, num_classes)``.

    Raises:
        ValueError: timm has no such network or weights, or no classifier that a head could replace.
        ConnectionError: the weights are not in the cache and cannot be downloaded.
    """
    config = _config(name)
    if pretrained and not timm.is_model_pretrained(name):
        raise ValueError(f"timm has no weights for {name!r}; use pretrained=false, or {_with_weights(name)}")
    options = {"img_size": size} if config.fixed_input_size else {}
    try:
        net = timm.create_model(name, pretrained=pretrained, in_chans=in_channels, num_classes=num_classes, **options)
    except OSError as error:  # what both download routes raise
        raise ConnectionError(
            f"{_where(name, config)} Or use pretrained=false and name the file in model.weights. The attempt failed "
            f"with: {error}"
        ) from error
    return replace_head(net, head, num_classes)


def _config(name: str) -> timm.models.PretrainedCfg:
    """What timm knows about a network and its weights."""
    network, _, tag = name.partition(".")
    known = timm.list_models()
    if network not in known:
        near = get_close_matches(network, known, n=5) or [n for n in known if n.startswith(network[:4])][:5]
        raise ValueError(f"timm has no network {network!r}; near are {near}. All: timm.list_models()")
    if tag and name not in timm.list_models(network, include_tags=True):
        raise ValueError(f"timm has no weights {tag!r} of {network}; use {_with_weights(network)}")
    return timm.get_pretrained_cfg(name)


def _with_weights(name: str) -> str:
    network = name.partition(".")[0]
    found = timm.list_pretrained(f"{network}.*") or get_close_matches(network, timm.list_pretrained(), n=5)
    return f"one of {found}"


def _where(name: str, config: timm.models.PretrainedCfg) -> str:
    """Which file is wanted, and where to put it by hand."""
    if config.hf_hub_id:
        folder = "models--" + config.hf_hub_id.replace("/", "--")
        return (
            f"the weights of {name} are {config.hf_hub_filename or 'model.safetensors'} of the Hugging Face repository "
            f"{config.hf_hub_id}. Where there is a connection run `hf download {config.hf_hub_id}`, then copy the "
            f"folder {folder} from its cache ($HF_HOME/hub, or ~/.cache/huggingface/hub) into the same place here."
        )
    place = f"{torch.hub.get_dir()}/checkpoints/{PurePosixPath(config.url).name}"
    return f"the weights of {name} are {config.url}. Download that file and put it here as {place}."
