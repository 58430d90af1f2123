"""From manifest and recipe to batches: cache, dataset, LightningDataModule."""
