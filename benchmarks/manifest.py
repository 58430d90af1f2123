"""What a manifest of millions of frames costs: seconds and peak memory of every step between raw folder and batches.

    python benchmarks/manifest.py [--frames 4000000] [--files 400000] [--folder <folder>]

First the real builders of Aff-Wild2 and DFEW, on --files empty images (builders open none): built, looked at for
changes, and kept. Then all that follows a builder, on a made manifest of --frames rows in 600 videos, with the ids and
paths of Aff-Wild2. Each part runs in a process of its own; processor seconds, wall seconds, and the most memory (GB,
resident, with what is mapped) that the process held during the step. Needs Linux, --files free inodes and 1 GB below
--folder. The project's target: 4 million rows within 6 GB.
"""

import argparse
import gc
import importlib
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from fer_lightning.resolvers import register

HOUSE = Path(__file__).resolve().parent.parent
VIDEOS, CLASSES = 600, ["neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other"]
NOT_ANNOTATED = 0.3  # share of the frames


def measure(name: str, step: Callable):
    """Run one step, print what it cost, give back what it gave."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    wall, processor = time.perf_counter(), time.process_time()
    result = step()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak, now = (int(status[key].split()[0]) / 1e6 for key in ("VmHWM", "VmRSS"))
    seconds = f"{processor:7.2f} s processor {wall:7.2f} s wall"
    print(f"  {name:42} {seconds}   peak {peak:5.2f}  then {now:5.2f} GB", flush=True)
    return result


def data_module():
    """As `python train.py model=resnet18 data=affwild2_expr` makes it."""
    register()
    with initialize_config_dir(str(HOUSE / "conf"), version_base="1.3"):
        return instantiate(compose("config", ["model=resnet18", "data=affwild2_expr"]).data)


def write_affwild2(root: Path, number: int) -> None:
    """Empty images and annotations of `number` frames; 600 videos in the release's proportion of 4 million."""
    videos = max(number * VIDEOS // 4_000_000, 2)
    codes = np.random.default_rng(0).integers(8, size=number)
    codes[np.random.default_rng(1).random(number) < NOT_ANNOTATED] = -1
    for video, part in enumerate(np.array_split(codes, videos)):
        name = f"{video}-30-1280x720"
        folder = root / "cropped_aligned" / name
        folder.mkdir(parents=True)
        for frame in range(1, len(part) + 1):
            (folder / f"{frame:05d}.jpg").touch()
        file = root / "annotations" / "EXPR_Set" / ("Validation_Set" if video % 4 == 1 else "Train_Set") / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join([",".join(CLASSES), *map(str, part)]) + "\n")


def write_dfew(root: Path, number: int) -> None:
    """Empty images and lists of `number` frames, 70 a clip: the median of the release."""
    clips = [f"{clip:05d}" for clip in range(1, number // 70 + 1)]
    for part, listed in (("train", clips[1::5] + clips[2::5] + clips[3::5] + clips[4::5]), ("test", clips[::5])):
        file = root / "EmoLabel_DataSplit" / f"{part}(single-labeled)" / "set_1.csv"
        file.parent.mkdir(parents=True)
        file.write_text("\n".join(["video_name,label", *(f"{clip},{int(clip) % 7 + 1}" for clip in listed)]) + "\n")
    for clip in clips:
        folder = root / "Clip" / "clip_224x224" / clip
        folder.mkdir(parents=True)
        for frame in range(1, 71):
            (folder / f"{clip}_{frame:05d}.jpg").touch()


def build(name: str, write: Callable[[Path, int], None], files: int, folder: Path) -> None:
    """The real builder, and what follows it and needs files."""
    from fer_lightning.data import manifest as store
    from fer_lightning.data.cache import Source
    from fer_lightning.datasets import contract

    store.FRESH = 0  # the files have only just been written
    builder, root = importlib.import_module(f"fer_lightning.datasets.{name}").build_manifest, folder / name
    print(f"{name}, {files:,} files", flush=True)
    measure("write empty files", lambda: write(root, files))
    manifest = measure("build_manifest", lambda: builder(root))
    checked = measure("contract.check", lambda: contract.check(manifest, where=name))
    measure("cached_manifest, first time", lambda: store.cached_manifest(builder, root, folder, name))
    measure("cached_manifest, second time", lambda: store.cached_manifest(builder, root, folder, name))
    recipe = data_module().recipe  # late: it brings torch, some 0.8 GB of mapped libraries
    measure("names of the cache entry", lambda: Source(checked, recipe, root))
    shutil.rmtree(root)


def made(number: int) -> pd.DataFrame:
    """A manifest as the builder of Aff-Wild2 gives it."""
    video, frame = np.divmod(np.arange(number), -(-number // VIDEOS))
    name = pd.Series([f"{number}-30-1280x720" for number in range(VIDEOS)]).take(video).reset_index(drop=True)
    place = name + "/" + pd.Series(frame + 1).astype(str).str.zfill(5)
    columns = {
        "sample_id": "affwild2/" + place,
        "dataset": "affwild2",
        "path": "cropped_aligned/" + place + ".jpg",
        "group": "affwild2/" + name,
        "label": np.array(CLASSES)[np.random.default_rng(0).integers(8, size=number)],
        "split": np.where(video % 4 == 1, "test", "train"),
    }
    return pd.DataFrame(columns).astype("str")


def store_and_check(frames: int, folder: Path) -> None:
    """What follows the builder, before there is a fold."""
    from fer_lightning.data import manifest as store
    from fer_lightning.datasets import contract

    print(f"a manifest of {frames:,} rows", flush=True)
    rows = contract.fill(made(frames))
    rows = measure("contract.check", lambda: contract.check(rows, where="made"))
    rows = measure("contract.view (all but other)", lambda: contract.view(rows, classes=CLASSES[:-1])[0])
    rows = measure("contract.check of the view", lambda: contract.check(rows, where="made"))
    measure("save", lambda: store.save(rows, folder / "made.arrow"))
    print(f"  {(folder / 'made.arrow').stat().st_size / 1e9:.2f} GB on disk")


def fold(protocol: str, folder: Path, **options) -> None:
    """One protocol, in a fresh process that opens the file."""
    from fer_lightning.data import manifest as store
    from fer_lightning.functional import folds

    rows = measure("load", lambda: store.load(folder / "made.arrow"))
    measure(f"{protocol} {options or ''}", lambda: getattr(folds, protocol)(rows, **options))


def batches(folder: Path) -> None:
    """What a run holds while it trains: manifest, fold, loaders. The pixels are zeros that need no memory."""
    from fer_lightning import run
    from fer_lightning.data import manifest as store
    from fer_lightning.data.cache import Cache
    from fer_lightning.functional.folds import holdout
    from fer_lightning.reporting import pool

    data = data_module()
    print("a run", flush=True)
    data.manifest = measure("load", lambda: store.load(folder / "made.arrow"))
    folds = measure("holdout", lambda: holdout(data.manifest))
    measure("manifest.csv", lambda: run._write_manifest(folder, data.manifest, folds))
    pixels = np.broadcast_to(np.uint8(0), (len(data.manifest), *data.recipe.shape))
    data.cache = Cache(folder, pixels, pd.Index(data.manifest["sample_id"]), pd.Series(dtype=str), {})
    measure("use_fold", lambda: data.use_fold(folds[0], seed=0))
    train = measure("loader of train", lambda: data.loader("train"))
    measure("an epoch's order, 100 batches", lambda: list(islice(train, 100)))
    measure("loader of test", lambda: data.loader("test"))
    measure("manifest.csv, read to score", lambda: pool._read(folder / "manifest.csv", pool._strings))


def alone(step: Callable, *arguments, **options) -> None:
    """Run in a process of its own."""
    with get_context("spawn").Pool(1) as process:
        process.apply(step, arguments, options)


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4_000_000, help="rows of the made manifest (default: 4000000)")
    parser.add_argument("--files", type=int, default=400_000, help="empty images for the builders (default: 400000)")
    parser.add_argument("--folder", help="where to write them (default: the system's folder for temporary files)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        alone(build, "affwild2", write_affwild2, given.files, folder)
        alone(build, "dfew", write_dfew, given.files, folder)
        alone(store_and_check, given.frames, folder)
        alone(fold, "holdout", folder, inner_val=0.15)
        alone(fold, "kfold_by_group", folder, inner_val=0.15)
        alone(batches, folder)


if __name__ == "__main__":
    main()
