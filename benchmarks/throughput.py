"""Training images a second, through the data path and without it, in each precision and layout.

    python benchmarks/throughput.py model=vggnet data=fer2013 [key=value ...] [--steps 100] [--modes fp32 bf16 ...]

The network is trained by the same Trainer twice: on what the config's DataLoader gives (decoding, augmentation, copy to
the device), and on one batch that lies on the device already. *waiting* is the share of the first that the second does
without: 1 - seconds alone / seconds through the data path, 0 when the device never waits. Steps of the warm-up
(compilation too) are not counted, the device is waited for before each reading of the clock, and each figure is the
median of --rounds. Prints a table, or with --csv lines for a file. bf16 is trainer.precision=bf16-mixed; fp16 needs a
GPU.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from fer_lightning.compose import configure
from fer_lightning.data.dataset import to_device
from fer_lightning.errors import ConfigError, FERError
from fer_lightning.progress import CacheProgress
from fer_lightning.protocols.build import build_augment, build_task, speed_up
from fer_lightning.protocols.fold import quiet
from fer_lightning.run import check_options, plan

MODES = {
    "fp32": [],
    "fp32+channels_last": ["trainer.channels_last=true"],
    "bf16": ["trainer.precision=bf16-mixed"],
    "bf16+channels_last": ["trainer.precision=bf16-mixed", "trainer.channels_last=true"],
    "bf16+channels_last+compile": [
        "trainer.precision=bf16-mixed", "trainer.channels_last=true", "trainer.compile=true",
    ],
    "fp16+channels_last": ["trainer.precision=16-mixed", "trainer.channels_last=true"],
}  # fmt: skip
HEADS = ("model", "data", "mode", "batch", "workers", "images/s", "images/s alone", "waiting", "device", "torch")


class Clock(pl.Callback):
    """Images and seconds of the steps after the warm-up."""

    def __init__(self, warm_up: int) -> None:
        self.warm_up, self.images, self.started, self.seconds = warm_up, 0, 0.0, 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, task: pl.LightningModule, outputs, batch, number: int) -> None:
        if trainer.global_step > self.warm_up:
            self.images += len(batch["input"])
        elif trainer.global_step == self.warm_up:
            self.started = now()

    def on_train_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self.seconds = now() - self.started


def now() -> float:
    """The clock, once the device has done everything it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(cfg, data, fold, warm_up: int, steps: int, alone: bool) -> float:
    """Images a second."""
    task = build_task(cfg, fold, data.manifest)
    task.scheduler = {"scheduler": None}  # some want to know the number of epochs
    speed_up(cfg, task.net)
    options = OmegaConf.to_container(cfg.trainer, resolve=True)
    for key in ("checkpoint_every", "checkpoint_minutes", "save_weights", "channels_last", "compile"):
        del options[key]
    clock = Clock(warm_up)
    trainer = instantiate(
        options | {"max_epochs": -1, "max_steps": warm_up + steps, "limit_val_batches": 0}, callbacks=[clock],
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, _convert_="all",
    )  # fmt: skip
    if trainer.precision != cfg.trainer.precision:
        raise ConfigError(f"trainer.precision={cfg.trainer.precision} becomes {trainer.precision} on this device")
    if alone:
        batch = to_device(next(iter(data.train_dataloader())), trainer.strategy.root_device)
        trainer.fit(task, DataLoader([batch] * 16, batch_size=None))
    else:
        trainer.fit(task, datamodule=data)
    return clock.images / clock.seconds


def line(overrides: list[str], mode: str, given: argparse.Namespace) -> list[str]:
    """One line of the table."""
    cfg = configure([*overrides, *MODES[mode]])
    check_options(cfg)
    data = instantiate(cfg.data)
    if cfg.get("tiny") and not data.synthetic:
        data.tiny(data.root)
    data.build(Path(cfg.paths.cache))
    progress = CacheProgress(data.name)
    try:
        data.prepare(Path(cfg.paths.cache), 2, progress)
    finally:
        progress.close()
    fold = plan(cfg, data.manifest)[0]
    data.use_fold(fold, cfg.seed, **build_augment(cfg, data.recipe))
    rounds = [
        [measure(cfg, data, fold, given.warm_up, given.steps, alone) for alone in (False, True)]
        for _ in range(given.rounds)
    ]
    through, alone = (statistics.median(column) for column in zip(*rounds, strict=True))
    gpu = torch.cuda.is_available() and cfg.trainer.accelerator != "cpu"
    device = torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads"
    return [cfg.model_name, data.name, mode, str(cfg.data.batch_size), str(cfg.data.num_workers), f"{through:.1f}",
            f"{alone:.1f}", f"{max(0.0, 1 - through / alone):.3f}", device, torch.__version__]  # fmt: skip


def main() -> int:
    """Measure each mode; one that cannot run is named, and the others go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="model=<m> data=<d> key=value", help="as for train.py")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES)[:4], help="default: the first four")
    parser.add_argument("--steps", type=int, default=50, help="steps that are timed (default: 50)")
    parser.add_argument("--warm-up", type=int, default=10, help="steps before (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--csv", action="store_true", help="commas between, not a Markdown table")
    given = parser.parse_intermixed_args()
    pl.seed_everything(0, workers=True, verbose=False)
    quiet()
    show = ",".join if given.csv else lambda cells: f"| {' | '.join(cells)} |"
    print(show(HEADS) if given.csv else f"{show(HEADS)}\n|{' --- |' * len(HEADS)}", flush=True)
    failed = 0
    for mode in given.modes:
        try:
            print(show(line(given.overrides, mode, given)), flush=True)
        except (FERError, torch.OutOfMemoryError, ValueError) as error:
            failed = 1
            print(f"{mode}: {type(error).__name__}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
