"""OmegaConf resolvers used by the YAML files in `conf/`."""

from omegaconf import OmegaConf


def register() -> None:
    """Register `${len:<list>}` (how many classes or channels a list names). Safe to call twice."""
    OmegaConf.register_new_resolver("len", len, replace=True)
