"""`python -m fer_lightning.batch_size model=<m> data=<d> ...`: the largest batch that a training step has memory for.

Takes two steps, with everything the config asks for (optimizer, precision, callbacks), on samples of zeros, with 1, 2,
4, ... of them until the GPU's memory is full, then between the last two. Prints the number for `data.batch_size`; leave
some of it free, since fragments differ from run to run. Only on a GPU: a CPU's memory is shared with everything else,
and asking for too much of it ends other programs instead of raising an error. Exit code 0, or 2 with a message.
"""

import argparse
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from fer_lightning.compose import configure
from fer_lightning.errors import ConfigError, FERError

if TYPE_CHECKING:  # torch and Lightning take seconds to import: only what needs them imports them, --help does not
    from fer_lightning.data.datamodule import FERDataModule


def largest(fits: Callable[[int], bool], limit: int) -> int:
    """The largest number up to `limit` that fits, 0 if not even 1 does; what is below a number that fits, fits too."""
    low, high = 0, 1
    while high <= limit and fits(high):
        low, high = high, high * 2
    high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def step_fits(take: Callable[[int], None], size: int) -> bool:
    """Whether `take` has memory for a batch of this size."""
    import torch

    try:
        take(size)
    except torch.OutOfMemoryError:
        fits = False
    else:
        fits = True
    gc.collect()  # out of the except clause, whose traceback would keep what did not fit
    torch.cuda.empty_cache()
    return fits


def build_task(*arguments: Any) -> Any:
    """The task of a fold, as `protocols.build` makes it."""
    from fer_lightning.protocols import build

    return build.build_task(*arguments)


def stepper(cfg: DictConfig, data: "FERDataModule") -> Callable[[int], None]:
    """What trains the config's network for two steps with a batch of the size it is called with."""
    import torch
    from pytorch_lightning.callbacks import Checkpoint
    from torch.utils.data import DataLoader

    from fer_lightning.protocols.build import build_augment, speed_up
    from fer_lightning.run import plan

    fold = plan(cfg, data.manifest)[0]
    transform = build_augment(cfg, data.recipe).get("transform")
    shape = transform.out_shape(data.recipe.shape) if transform else data.recipe.shape
    outputs = len(data.targets)

    def take(size: int) -> None:
        task = build_task(cfg, fold, data.manifest)
        task.scheduler = {"scheduler": None}  # some need the samples of a whole epoch, none needs memory
        speed_up(cfg, task.net)
        batch = {"input": torch.zeros(size, *shape), "label": torch.zeros(size, dtype=torch.int64)}
        batch |= {"target": torch.zeros(size, outputs)} if outputs else {}
        options = OmegaConf.to_container(cfg.trainer, resolve=True)
        for key in ("checkpoint_every", "checkpoint_minutes", "save_weights", "channels_last", "compile"):
            del options[key]
        options |= {"max_epochs": 1, "accumulate_grad_batches": 1, "devices": 1}
        callbacks = [each for each in instantiate(cfg.callbacks).values() if not isinstance(each, Checkpoint)]
        trainer = instantiate(
            options, callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, _convert_="all",
        )  # fmt: skip
        trainer.fit(task, DataLoader([batch, batch], batch_size=None))

    return take


def main(arguments: list[str] | None = None) -> int:
    """Find the largest batch of one config."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.batch_size",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="+", metavar="model=<m> data=<d> key=value", help="as for train.py")
    parser.add_argument("--limit", type=int, default=65536, help="largest batch to try (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        if given.limit < 1:
            raise ConfigError(f"--limit {given.limit}: expected a batch of 1 or more samples")
        cfg = configure(given.overrides)
        import torch

        from fer_lightning.run import check_options

        if not torch.cuda.is_available() or cfg.trainer.accelerator == "cpu":
            raise ConfigError(
                "the largest batch can be found on a GPU only: a CPU that runs out of memory kills programs"
            )
        check_options(cfg)
        data = instantiate(cfg.data)
        if cfg.get("tiny") and not data.synthetic:
            data.tiny(data.root)
        data.build(Path(cfg.paths.cache))
        take = stepper(cfg, data)
        found = largest(lambda size: step_fits(take, size), given.limit)
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(f"data.batch_size={found} is the largest that fits ({torch.cuda.get_device_name()})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
