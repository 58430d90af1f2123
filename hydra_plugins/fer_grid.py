"""Hydra takes sweepers only from this namespace; what this one does is in `fer_lightning/sweep.py`."""

from fer_lightning.sweep import Grid


class FERGrid(Grid):
    """`hydra.sweeper._target_` of conf/config.yaml."""
