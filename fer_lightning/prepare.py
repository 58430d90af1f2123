"""`python -m fer_lightning.prepare data=<d> [model=<m>]`: manifest and cache of a data set, before any training.

Useful where reading is slow (optical flow, millions of frames) and before a sweep whose jobs would all want the cache
at once. Give the model too: its paper may ask for another size or other channels. Exit code 0, or 2 with a message.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from fer_lightning.errors import ConfigError, FERError


def main(arguments: list[str] | None = None) -> int:
    """Prepare one data set; say how many samples, how long it took and where the cache is."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_lightning.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="+", metavar="data=<d> key=value", help="as for train.py")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    given = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        if given.workers < 1:
            raise ConfigError(f"--workers {given.workers}: expected 1 or more processes")
        # Lightning takes seconds to import; --help and wrong options need it not
        from hydra.utils import instantiate

        from fer_lightning.compose import configure
        from fer_lightning.progress import CacheProgress

        cfg = configure(given.overrides)
        data = instantiate(cfg.data)
        if cfg.get("tiny") and not data.synthetic:
            data.tiny(data.root)
        manifest = data.build(Path(cfg.paths.cache))
        built = time.perf_counter()
        progress = CacheProgress(data.name)
        try:
            data.prepare(Path(cfg.paths.cache), given.workers, progress)
        finally:
            progress.close()
    except FERError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    seconds = time.perf_counter() - built
    rate = len(manifest) / seconds
    print(
        f"{data.name}: manifest of {len(manifest):,} samples in {built - started:.1f} s, arrays "
        f"{data.cache.array.shape} {data.cache.array.dtype} in {seconds:.1f} s ({rate:,.0f} a second)"
    )
    spent = data.cache.seconds
    for part in (name for name in spent if name != "total"):
        share = spent[part] / spent["total"]
        print(f"  {part}: {spent[part]:.1f} s of {spent['total']:.1f} s, summed over processes ({share:.0%})")
    for reason, number in data.dropped.items():
        print(f"  left out: {number} ({reason})")
    for remark, number in data.remarks.items():
        named = data.cache.remarks.index[data.cache.remarks == remark][:3].tolist()
        print(f"  {number} sample(s): {remark} {named}; index.csv there names all")
    print(data.cache.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
