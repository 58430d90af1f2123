"""OmegaConf resolvers used by the YAML files in `conf/`."""

from typing import Any

from omegaconf import Container, DictConfig, ListConfig, OmegaConf


def register() -> None:
    """Register `${len:<list>}` and `${paper:<key>,<default>}`. Safe to call twice."""
    OmegaConf.register_new_resolver("len", len, replace=True)
    OmegaConf.register_new_resolver("paper", paper, replace=True)


def paper(key: str, default: Any, *, _root_: Container) -> Any:
    """What the chosen model's paper sets (`paper.<key>`), or the default where it says nothing.

    `oc.select` is nearly the same, but a list as its default cannot be resolved into the config. A number where the
    key goes deeper holds for all: `weight_decay: 0.1` is the weight decay of every optimizer.
    """
    found = OmegaConf.select(_root_, f"paper.{key}")
    if found is None and "." in key:
        above = OmegaConf.select(_root_, f"paper.{key.rpartition('.')[0]}")
        found = above if isinstance(above, int | float) else None
    found = default if found is None else found
    return found if isinstance(found, ListConfig | DictConfig) or not isinstance(found, list) else ListConfig(found)
