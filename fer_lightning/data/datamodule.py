"""The LightningDataModule: raw folder -> manifest -> cache -> the loaders of one fold."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import BatchSampler, DataLoader, Sampler

from fer_lightning.data.balance import COLUMNS, BalancedSampler
from fer_lightning.data.cache import Cache, prepare
from fer_lightning.data.dataset import Batch, EpochSampler, FERDataset, Transform, to_device, whole_batch
from fer_lightning.data.manifest import cached_manifest
from fer_lightning.data.sampling import SharedBatches
from fer_lightning.datasets import contract
from fer_lightning.errors import ConfigError
from fer_lightning.functional.folds import Fold


class FERDataModule(pl.LightningDataModule):
    """Everything between a raw folder and batches, for any data set that has a manifest builder.

    What differs between data sets is in `builder` (raw folder to manifest) and `recipe` (manifest row to
    array); both come from the data set's YAML.

    Args:
        name: name of the data set (and of its YAML).
        root: raw folder.
        kind: what the input shows, `face`, `flow`, `pose`, `face_clip` or `pose_clip`; checked against the model's
            `needs.kind`.
        builder: raw folder -> manifest.
        tiny: writes a synthetic raw folder (`debug=tiny`).
        classes: class names in index order; empty where samples have targets and no label.
        relabel: raw label -> class name, for labels that are merged or renamed.
        where: manifest column -> accepted values.
        expects: counts of the complete release, see `contract.check`; not asked of synthetic data.
        expects_view: the same after `where`, `relabel` and `classes`.
        recipe: manifest row -> array.
        channels: what the channels mean; must be the recipe's.
        pixel_range: what pixels 0..255 are mapped to.
        batch_size: samples a step, in all processes that train a fold together.
        num_workers: loader processes; 0 is fastest for arrays from the cache without augmentation.
        targets: numeric columns of the manifest that a network is to predict, e.g. valence and arousal; rows without
            them are left out.
        keep_manifest: do not build the manifest again while the raw folder stays as it is, see
            `data.manifest.cached_manifest`.
        spotter: recipe that finds the apex of clips whose builder left it open (`apex: spot`).
        sampling: the training samples of an epoch: `shuffled`, or `balanced` or `balanced_groups`, see `data.balance`.
    """

    def __init__(
        self,
        name: str,
        root: str,
        kind: str,
        builder: Callable[..., pd.DataFrame],
        tiny: Callable[..., None],
        classes: Sequence[str],
        relabel: Mapping[str, str] | None,
        where: Mapping[str, Any] | None,
        expects: Mapping[str, Any] | None,
        expects_view: Mapping[str, Any] | None,
        recipe: object,
        channels: Sequence[str],
        pixel_range: Sequence[float],
        batch_size: int,
        num_workers: int,
        targets: Sequence[str] | None = None,
        keep_manifest: bool = False,
        spotter: object | None = None,
        sampling: str = "shuffled",
    ) -> None:
        super().__init__()
        if list(recipe.channels) != list(channels):
            raise ConfigError(f"data={name}: channels {list(channels)} differ from the recipe's {recipe.channels}")
        if sampling not in ("shuffled", *COLUMNS):
            raise ConfigError(f"data.sampling={sampling!r} is not one of {['shuffled', *COLUMNS]}")
        self.sampling = sampling
        self.name, self.root, self.kind = name, Path(root), kind
        self.builder, self.tiny, self.recipe = builder, tiny, recipe
        self.classes, self.channels = list(classes), list(channels)
        self.relabel, self.where = dict(relabel or {}), dict(where or {})
        self.expects, self.expects_view = expects, expects_view
        self.pixel_range, self.batch_size, self.num_workers = tuple(pixel_range), batch_size, num_workers
        self.targets, self.spotter, self.keep_manifest = list(targets or []), spotter, keep_manifest
        self.manifest: pd.DataFrame | None = None
        self.tops: list[str] = []
        self.release = ""
        self.dropped: dict[str, int] = {}
        self.corrected: dict[str, int] = {}
        self.remarks: dict[str, int] = {}
        self.cache: Cache | None = None
        self.fold: Fold | None = None
        self.share(rank=0, world=1, least=2)

    @property
    def synthetic(self) -> bool:
        """Whether anything of the raw data was written by this project instead of recorded by somebody.

        A composite lies in several folders below its root; one synthetic folder makes all of it synthetic.
        """
        return contract.is_synthetic(self.root) or any(contract.is_synthetic(self.root / top) for top in self.tops)

    def build(self, cache_dir: Path | None = None) -> pd.DataFrame:
        """Build, check and narrow the manifest; with `keep_manifest` the first step may be a kept one in `cache_dir`.

        `dropped` then says why rows left it, `corrected` which annotation errors of the release were mended; both
        are ``{reason: number of samples}``. `release` is the one of ``expects`` that it is.
        """
        if self.keep_manifest and cache_dir:
            raw = cached_manifest(self.builder, self.root, cache_dir / "manifests", self.name)
        else:
            raw = self.builder(self.root)
        self.tops = sorted({path.partition("/")[0] for path in raw["path"]})
        counted = not self.synthetic
        raw = contract.check(raw, self.expects if counted else None, where=f"data={self.name}")
        self.release = raw.attrs.get("release", "")
        self.corrected = {reason: len(ids) for reason, ids in raw.attrs.get("corrected", {}).items()}
        reported = {reason: len(ids) for reason, ids in raw.attrs.get("dropped", {}).items()}
        rows, dropped = contract.view(raw, classes=self.classes, relabel=self.relabel, where=self.where)
        self.dropped = reported | dropped
        rows, without = self._with_targets(rows)
        self.dropped |= without
        expected = self.expects_view if counted else None
        self.manifest = contract.check(rows, expected, where=f"data={self.name} (after selecting classes)")
        return self.manifest

    def _with_targets(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
        unknown = [name for name in self.targets if name not in rows.columns]
        if unknown:
            raise ConfigError(f"data.targets names {unknown}; the manifest has the columns {list(rows.columns)}")
        lost = rows[self.targets].isna().any(axis=1)
        without = {f"without {' and '.join(self.targets)}": int(lost.sum())} if lost.any() else {}
        return rows[~lost].reset_index(drop=True), without

    def spot(self, cache_dir: Path, workers: int = 1, progress: Callable[[int, int], None] | None = None) -> None:
        """Fill in the apex of clips whose builder left it to `spotter`; what was found is cached.

        Raises:
            ConfigError: the data set has no spotter.
        """
        rows = self.manifest
        open_ = (rows["apex_source"] == "spotted") & rows["apex"].isna()
        if not open_.any():
            return
        if self.spotter is None:
            raise ConfigError(f"data={self.name}: {int(open_.sum())} clips have no apex and data.spotter is not set")
        options = {} if progress is None else {"progress": progress}
        found = prepare(rows[open_], self.spotter, self.root, cache_dir, f"{self.name}-apex", workers, **options)
        apex = found.array[found.numbers(rows.loc[open_, "sample_id"]), 0]
        rows.loc[open_, "apex"] = apex.astype("int64")
        self.remarks |= found.counts()
        self.manifest = contract.check(rows, where=f"data={self.name} (after spotting the apex)")

    def prepare(self, cache_dir: Path, workers: int = 1, progress: Callable[[int, int], None] | None = None) -> None:
        """Open the cache of the manifest's rows; make it first where it is missing.

        `remarks` then says what its recipes remarked about samples, as ``{remark: number of samples}``.
        """
        self.spot(cache_dir, workers, progress)
        options = {} if progress is None else {"progress": progress}
        self.cache = prepare(self.manifest, self.recipe, self.root, cache_dir, self.name, workers, **options)
        self.remarks |= self.cache.counts()

    def use_fold(
        self,
        fold: Fold,
        seed: int,
        transform: Transform | None = None,
        evaluate: Transform | None = None,
        views: Callable | None = None,
    ) -> None:
        """Point the loaders at one fold.

        Args:
            fold: train, val and test sample ids.
            seed: of the order of the training samples and of their augmentation.
            transform: augmentation of training samples.
            evaluate: what samples go through that are not trained on, e.g. a centre crop.
            views: test-time views of those, made of the sample as cached; predictions then come from them.
        """
        self.fold, self.fold_seed = fold, seed
        self.transform, self.evaluate, self.views = transform, evaluate, views

    def share(self, rank: int, world: int, least: int) -> None:
        """Let the loaders of this process, `rank` of `world`, give its part only; see `SharedBatches`."""
        self.rank, self.world, self.least = rank, world, least

    def rows(self, sample_ids: Sequence[str]) -> pd.DataFrame:
        """Manifest rows of these samples, in their order; row i of the manifest is row i of the cache."""
        return self.manifest.iloc[self.cache.numbers(sample_ids)]

    def loader(self, part: str, views: bool = False) -> DataLoader:
        """Loader over ``train``, ``val`` or ``test`` ids of the fold; only ``train`` is shuffled and augmented.

        Where several processes share the fold (`share`), it gives this process's part of each training batch, of the
        others every world-th sample, none of them twice.

        Args:
            part: which ids.
            views: make the fold's test-time views of each sample, where it has some, instead of `evaluate`.
        """
        ids = getattr(self.fold, part)
        train = part == "train"
        views = self.views if views else None
        transform = self.transform if train else None if views else self.evaluate
        dataset = FERDataset(
            self.cache, self.rows(ids), self.classes, self.pixel_range, self.targets, self.fold_seed,
            transform, views,
        )  # fmt: skip
        if train:
            batches = SharedBatches(self._order(ids), self.batch_size, self.rank, self.world, self.least)
        else:
            mine = range(self.rank, len(dataset), self.world)
            batches = BatchSampler(mine, -(-self.batch_size // self.world), drop_last=False)
        return DataLoader(
            dataset,
            batch_sampler=batches,
            # Its own generator: starting an iterator would otherwise draw from the global one, and dropout in a
            # resumed epoch would differ from the same epoch of an unbroken run.
            generator=torch.Generator().manual_seed(self.fold_seed),
            num_workers=self.num_workers,
            collate_fn=whole_batch,
            # The Trainer ends the processes of its own loaders; those of the test samples would live until Python
            # collects the loader, folds later.
            persistent_workers=self.num_workers > 0 and part != "test",
        )

    def _order(self, ids: Sequence[str]) -> Sampler[int]:
        """The order of the training samples in each epoch."""
        if self.sampling == "shuffled":
            return EpochSampler(len(ids), self.fold_seed)
        values = self.rows(ids)[COLUMNS[self.sampling]]
        if values.nunique() == 1:
            raise ConfigError(
                f"data.sampling={self.sampling}: all training samples of fold {self.fold.name} have the same "
                f"{values.name}, {values.iloc[0]!r}; choose data.sampling=shuffled"
            )
        return BalancedSampler(values, self.fold_seed)

    def train_dataloader(self) -> DataLoader:
        """Training samples, shuffled anew in each epoch."""
        loader = self.loader("train")
        if self.trainer is not None:
            # Loader processes begin at once, before the Trainer names the epoch: a training that goes on would see the
            # order and the augmentation of its first epoch again.
            loader.batch_sampler.sampler.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)
        return loader

    def val_dataloader(self) -> DataLoader | list:
        """Validation samples of the fold; an empty list where the protocol has none."""
        return self.loader("val") if self.fold.val else []

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the tensors; Lightning's own way would walk through every sample id."""
        return to_device(batch, device)
