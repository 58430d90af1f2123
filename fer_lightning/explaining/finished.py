"""A finished run, opened again: its predictions, its data, and the network of each fold."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.errors import ConfigError, FERError
from fer_lightning.explaining.gradcam import ready
from fer_lightning.functional.folds import Fold
from fer_lightning.identity import saved
from fer_lightning.progress import CacheProgress
from fer_lightning.protocols import weights
from fer_lightning.protocols.build import build_augment, build_net
from fer_lightning.reporting.pool import read_pool
from fer_lightning.reporting.rows import probability_columns

#: How far probabilities may be from the stored ones. Another machine sums in another order.
TOLERANCE = 1e-4
#: What is read of the config beside what `read_pool` reads, and what stands there.
NEEDED = {
    "data._target_": str, "data.kind": str, "model._target_": str, "paths.cache": str, "augment": DictConfig,
    "task": DictConfig,
}  # fmt: skip


class FinishedRun:
    """What can be asked of a run whose weights were kept.

    Args:
        folder: the run folder.
        root: raw data, where it has moved since.
        cache: folder of cache entries, the same.

    Raises:
        ConfigError: a run that cannot be explained; says why and what can be done.
        PoolError: it is not complete.
    """

    def __init__(self, folder: Path, root: str | None = None, cache: str | None = None) -> None:
        self.folder, self.pool = folder, read_pool(folder)
        self.cfg = OmegaConf.create(saved(folder))
        try:
            needed = {key: kind for key, kind in NEEDED.items() if not (cache and key == "paths.cache")}
            lost = [key for key, kind in needed.items() if not isinstance(OmegaConf.select(self.cfg, key), kind)]
            if lost:
                raise self._damaged(f"expected values of {', '.join(lost)}, found none or others")
            self._check()
            if root:
                self.cfg.data.root = root
            self._make(Path(cache or self.cfg.paths.cache))
        except (OmegaConfBaseException, InstantiationException) as error:
            if isinstance(error.__cause__, FERError):  # what Hydra was making says more than Hydra does
                raise error.__cause__ from None
            raise self._damaged(str(error)) from error

    def _damaged(self, reason: str) -> ConfigError:
        return ConfigError(
            f"{self.folder / 'config.yaml'} is not the whole config of a run ({' '.join(reason.split())}). Put it "
            "back from a copy, or remove it and run the same command again: finished folds are skipped"
        )

    def _make(self, cache: Path) -> None:
        self.data: FERDataModule = instantiate(self.cfg.data, num_workers=0)
        self.data.build(cache)
        progress = CacheProgress(self.data.name)
        try:
            self.data.prepare(cache, 2, progress)
        finally:
            progress.close()
        self.table = self.pool.labelled().table
        self.augment = build_augment(self.cfg, self.data.recipe)
        self.net = ready(build_net(self.cfg))

    def _check(self) -> None:
        if not self.pool.classes:
            raise ConfigError(f"{self.folder} predicts values and no classes; explained is why a class is predicted")
        if self.cfg.data.kind.startswith("pose"):
            raise ConfigError(
                f"{self.folder}: data={self.pool.data} holds key points, and there is no picture to look at. What can "
                "be explained are networks that read pictures, also pictures of skeletons (input=openpose_images)"
            )
        if self.pool.selection == "oracle_test":
            raise ConfigError(
                f"{self.folder}: with protocol.selection=oracle_test the weights are of the last epoch and the "
                "predictions of another; run it with selection=last or inner_val"
            )
        missing = [fold["fold"] for fold in self.pool.folds if not self._weights(fold["fold"]).is_file()]
        if missing:
            raise ConfigError(
                f"{self._weights(missing[0])}: expected the weights of each of {len(self.pool.folds)} folds, "
                f"{len(missing)} are missing. Run it again with trainer.save_weights=true (a run of its own)"
            )

    def _weights(self, fold: str) -> Path:
        return self.folder / "weights" / f"{fold}.safetensors"

    def load(self, fold: str) -> None:
        """Give the network the weights of a fold, all of them and no others."""
        file = self._weights(fold)
        try:
            self.net.load_state_dict(weights.read(file))
        except RuntimeError as error:
            raise ConfigError(
                f"{file} holds other weights than the network of {self.folder}/config.yaml: {error}"
            ) from error

    def use(self, fold: str, ids: Sequence[str]) -> None:
        """Point the loader at some test samples of a fold."""
        self.data.use_fold(Fold(fold, (), (), tuple(ids)), 0, **self.augment)

    def batches(self) -> Iterator[tuple[list[str], Tensor]]:
        """Sample ids and inputs as the network reads them: through `augment.evaluate`, in one view."""
        for batch in self.data.loader("test"):
            yield batch["sample_id"], batch["input"]

    @torch.no_grad()
    def probabilities(self) -> np.ndarray:
        """What the network predicts, as the run did it: the mean over its views, ``(n, C)``."""
        parts = []
        for batch in self.data.loader("test", views=True):
            inputs = batch["input"].flatten(0, 1) if self.data.views else batch["input"]
            logits = self.net(inputs)[:, : len(self.pool.classes)].float()
            parts.append(logits.softmax(dim=1).unflatten(0, (len(batch["label"]), -1)).mean(dim=1))
        return torch.cat(parts).numpy()

    def check(self, fold: str, rows: pd.DataFrame) -> float:
        """Compare with the stored predictions of `rows`, at which `use` points; returns the largest difference.

        Raises:
            ConfigError: it is above 1e-4: these are not the weights, or not the data, of the predictions.
        """
        stored = rows[probability_columns(self.pool.classes)].to_numpy()
        off = np.abs(self.probabilities() - stored).max(axis=1)
        if not off.max() <= TOLERANCE:
            worst = int(off.argmax())
            raise ConfigError(
                f"{self._weights(fold)} does not give predictions/{fold}.csv: probabilities of "
                f"{rows['sample_id'].iloc[worst]} are off by {off[worst]:.4f}, expected at most {TOLERANCE}. "
                "Weights, data or code have changed since; run it again"
            )
        return float(off.max())

    def array(self, sample_id: str) -> np.ndarray:
        """The array that the network sees of a sample before scaling, ``(C, H, W)``; of a clip, its middle frame."""
        array = self.data.cache.array[self.data.cache.numbers([sample_id])[0]]
        if "evaluate" in self.augment:
            array = self.augment["evaluate"](array, np.random.default_rng(0))
        return array if array.ndim == 3 else array[:, array.shape[1] // 2]
