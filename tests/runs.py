"""What tests of whole runs share: the config of a command line, the command itself, and reading results."""

import sys
from pathlib import Path

import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from fer_lightning.resolvers import register

HOUSE = Path(__file__).resolve().parent.parent
#: Source of a script that finds no torch and nothing that needs it, as on a machine where they are not installed.
#: (None in sys.modules is no such machine: SciPy takes it for an imported torch.)
NO_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "pytorch_lightning", "timm", "matplotlib"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""
#: A network that trains in milliseconds, on the smallest data with subjects.
SMALL = ["model=ststnet", "data=megc2019_flow", "debug=tiny", "optimizer.lr=0.001", "data.batch_size=8"]


def configure(*overrides: str) -> DictConfig:
    """The config of `python train.py <overrides>`."""
    register()
    with initialize_config_dir(str(HOUSE / "conf"), version_base="1.3"):
        return compose("config", list(overrides))


def predictions(folder: Path) -> dict[str, bytes]:
    """File name -> content of the predictions of a run."""
    return {file.name: file.read_bytes() for file in sorted((folder / "predictions").glob("*.csv"))}


def command(*overrides: str) -> list[str]:
    return [sys.executable, "train.py", *overrides]


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name, dtype={"sample_id": str, "fold": str}, keep_default_na=False)
