"""One cell of a table: data, folds, training, pooled scores. Called by `train.py` for each job."""

import hashlib
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from fer_lightning import identity
from fer_lightning.dashboards.samples import pictures
from fer_lightning.dashboards.watch import Watch
from fer_lightning.data.datamodule import FERDataModule
from fer_lightning.errors import ConfigError
from fer_lightning.files import write_atomically
from fer_lightning.functional.folds import Fold
from fer_lightning.planning import check_options, chosen, describe, open_data, plan
from fer_lightning.progress import CacheProgress
from fer_lightning.protocols.build import check_network
from fer_lightning.protocols.devices import check_gpus
from fer_lightning.protocols.fold import Listener, is_done
from fer_lightning.protocols.parallel import run_folds
from fer_lightning.reporting import figures, scores, tables
from fer_lightning.stages import check_before, earlier, follow


def run(cfg: DictConfig, listen: Listener | None = None, score: bool = True) -> float | None:
    """Run the folds that the config asks for; score them when the pool is complete.

    Args:
        cfg: the whole config.
        listen: told each epoch's line, see `run_fold`; what it raises ends the run.
        score: False leaves the test predictions unread: no scores.json, no figures, nothing printed.

    Returns:
        What a sweep maximises: the pooled UF1, of continuous values the mean CCC, of both their mean; None when only
        some of the folds were asked for, or no scores.
    """
    check_options(cfg)
    check_gpus(cfg)
    data = open_data(cfg)
    folds = plan(cfg, data.manifest)
    check_network(cfg, data, (chosen(cfg, folds) or folds)[0])
    out = identity.run_folder(cfg)
    check_before(cfg, [fold for fold in chosen(cfg, folds) if not is_done(out, fold)], data.manifest)
    identity.claim(out, cfg)
    describe(cfg, data, folds, out)
    progress = CacheProgress(data.name)
    try:
        data.spot(Path(cfg.paths.cache), max(cfg.protocol.workers, 2), progress)
        _write_manifest(out, data.manifest, folds)
        data.prepare(Path(cfg.paths.cache), max(cfg.protocol.workers, 2), progress)
    finally:
        progress.close()
    for remark, number in data.remarks.items():
        print(f"  {number} sample(s): {remark}; {data.cache.folder / 'index.csv'} names them", file=sys.stderr)
    todo = [fold for fold in chosen(cfg, folds) if not is_done(out, fold)]
    _write_facts(out, data, bool(todo))
    cfg = begin(cfg, todo, score)
    watch = Watch(cfg, out, live=len(folds) == 1 and score)
    run_folds(cfg, data, chosen(cfg, folds), out, lambda line: [hear(line) for hear in (watch.epoch, listen) if hear])
    missing = [fold.name for fold in folds if not is_done(out, fold)]
    if missing:
        print(f"{len(folds) - len(missing)} of {len(folds)} folds are done (next: {missing[0]}). {out}")
        return None
    if not score:
        return None
    result = scores.write_scores(out)
    figures.write_figures(out)
    tables.print_scores(result, out)
    watch.publish(partial(pictures, data))
    return scores.objective(result)


def begin(cfg: DictConfig, todo: list[Fold], score: bool) -> DictConfig:
    """Run what comes before, if anything is to be trained; the config that starts from its weights."""
    first = earlier(cfg) if todo else None
    if first is None:
        return cfg
    print(f"  before it: {' '.join(f'{key}={value}' for key, value in cfg.before.items())}", file=sys.stderr)
    run(first, score=score)
    return follow(cfg, first)


def _csv(table: pd.DataFrame) -> Iterator[bytes]:
    """The file in parts: millions of rows need not stand in memory as text."""
    for start in range(0, len(table), 100_000):
        part = table.iloc[start : start + 100_000]
        yield part.to_csv(index=False, header=start == 0, lineterminator="\n").encode()


def _holds(file: Path, parts: Iterator[bytes]) -> bool:
    with file.open("rb") as stream:
        return all(stream.read(len(part)) == part for part in parts) and not stream.read(1)


def _write_manifest(out: Path, manifest: pd.DataFrame, folds: list[Fold]) -> None:
    """Keep the rows and the fold each is tested in; refuse to go on with other data in an old run folder."""
    tested, index = np.full(len(manifest), "", dtype=object), pd.Index(manifest["sample_id"])
    for fold in folds:
        tested[index.get_indexer(fold.test)] = fold.name
    table, file = manifest.assign(fold=tested), out / "manifest.csv"
    if not file.is_file():
        write_atomically(file, lambda stream: stream.writelines(_csv(table)))
    elif not _holds(file, _csv(table)):
        raise ConfigError(
            f"{file} differs from the manifest of the data as it is now: the raw data, or the way it is read, has "
            "changed since this run began. Delete the run folder or choose another run_name."
        )


def _write_facts(out: Path, data: FERDataModule, trains: bool) -> None:
    """Keep whether the data is synthetic and a hash of its arrays; refuse to train on others in an old run folder.

    The hash is not that of the cache, which changes with the place and the times of the raw files: these may be moved,
    and the cache be made again, between two goes at a run.
    """
    file = out / "run.json"
    if file.is_file() and not trains:
        return
    facts = {"synthetic": data.synthetic, "pixels": pixels(data.cache.array)}
    try:
        found = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        found = {}
    found = found if isinstance(found, dict) else {}
    if found.get("pixels", facts["pixels"]) != facts["pixels"]:  # runs of before this was kept do not say
        raise ConfigError(
            f"{file}: this run began with other pixels (hash {found['pixels']}) than are read now ({facts['pixels']}): "
            "raw files, or what makes arrays of them, have changed since, and folds of one run would not be alike. Put "
            "the old files back, delete the run folder, or choose another run_name."
        )
    write_atomically(file, json.dumps(facts) + "\n")


def pixels(array: np.ndarray) -> str:
    """Hash of the arrays of all samples; of more than 256 MiB, of as many samples as that, evenly spaced."""
    digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
    for row in array[:: max(1, -(-array.nbytes // 2**28))]:
        digest.update(np.ascontiguousarray(row))
    return digest.hexdigest()[:16]
