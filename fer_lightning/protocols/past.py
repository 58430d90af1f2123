"""What weights have seen: kept in the header of their file, and asked before a fold begins with them.

Of weights that a stage has still to train it is known as well, and asked before that stage begins.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from fer_lightning.errors import ConfigError, LeakError
from fer_lightning.functional.folds import Fold
from fer_lightning.protocols.weights import say

#: Columns of the manifest by which a sample is recognised: itself, and what must not be split, e.g. its subject.
KNOWN_BY = ("sample_id", "group")
#: How the hash of a name is stored.
HASH = np.dtype("<u8")


@dataclass(frozen=True)
class Past:
    """What weights have seen, in the run that made them and in those that it began with.

    Attributes:
        trained: hashes (sorted) of the samples and groups that were trained on.
        chosen: of validation samples, by which an epoch, a learning rate or an end was chosen.
        unknown: name of a file that they began with and of which nothing says what it was trained on; empty: none.
    """

    trained: np.ndarray
    chosen: np.ndarray
    unknown: str = ""

    def facts(self) -> dict[str, str]:
        """For the header of a file: 11 characters a sample."""
        packed = {name: base64.b64encode(getattr(self, name).tobytes()).decode() for name in ("trained", "chosen")}
        return packed | {"unknown": self.unknown}


def past_of(fold: Fold, manifest: pd.DataFrame, start: Path | Past | None) -> Past:
    """The past of weights that this fold trains, from the file that it begins with, or the past of that, if any."""
    trained, chosen = (_hashes(manifest[manifest["sample_id"].isin(ids)]) for ids in (fold.train, fold.val))
    if start is None:
        return Past(trained, chosen)
    before = start if isinstance(start, Past) else read_past(start)
    return Past(np.union1d(trained, before.trained), np.union1d(chosen, before.chosen), before.unknown)


def read_past(file: Path) -> Past:
    """What the header says; of files without, the run folder that they lie in; else it is unknown.

    Raises:
        ConfigError: the header is broken.
    """
    try:
        with safe_open(file, "pt") as opened:
            header = (opened.metadata() or {}).get("facts", "{}")
    except (SafetensorError, OSError):
        header = "{}"  # of another format, or broken, which `load` will say
    try:
        facts = dict(json.loads(header))
        if "trained" in facts:
            return Past(_unpack(facts["trained"]), _unpack(facts["chosen"]), str(facts["unknown"]))
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"model.weights={file}: the header does not say what the weights have seen as this project writes it "
            f"({error}): the file is broken. Make it again with trainer.save_weights=true"
        ) from error
    folder = file.parent.parent
    if not (folder / "manifest.csv").is_file():
        return Past(_hashes(), _hashes(), file.name)
    rows = _read_strings(folder / "manifest.csv")
    watched = folder / "validation" / f"{file.stem}.csv"
    chose = rows["sample_id"].isin(_read_strings(watched)["sample_id"] if watched.is_file() else [])
    facts = folder / "predictions" / f"{file.stem}.json"
    began = "weights" in json.loads(facts.read_text()) if facts.is_file() else False
    unknown = f"the file that {file.name} began with" if began else ""
    return Past(_hashes(rows[(rows["fold"] != file.stem) & ~chose]), _hashes(rows[chose]), unknown)


def check_unseen(file: Path, fold: Fold, manifest: pd.DataFrame) -> None:
    """Refuse weights that have seen what this fold tests, see `check_past`.

    Samples are known by their ids; the same pictures in another data set (FER2013 and FER+) are not recognised. Weights
    of which nothing is known are taken; stderr says so.

    Raises:
        LeakError: names the first such samples.
    """
    past = read_past(file)
    if past.unknown and parent_process() is None:  # not in each process that trains folds
        say(f"{file}: nothing says what {past.unknown} was trained on; whether that is tested here cannot be checked")
    other_data = "Give its run folder, if it has this fold, or weights of other data"
    same_folds = (
        "Make that run with the folds of this one (seed, protocol.selection=inner_val and protocol.inner_val as here), "
        "or take weights of other data"
    )
    check_past(
        past, fold, manifest, f"model.weights={file}: that run, or one that it began with, trained on",
        (other_data, same_folds),
    )  # fmt: skip


def check_past(past: Past, fold: Fold, manifest: pd.DataFrame, who: str, advice: tuple[str, str]) -> None:
    """Refuse to begin a fold with weights that have seen what it tests, in the run of them or one it began with.

    Refused are weights that were trained on, or chosen by, a sample or group which the fold tests, and those that were
    trained on one of its validation samples: everything chosen by these (epoch, learning rate, end, members of an
    ensemble) would be chosen by what is known by heart. Validation samples that only chose before may choose again, as
    in stages that share folds.

    Args:
        past: what the weights have seen, or will have.
        fold: begins with them.
        manifest: the rows of the fold's samples.
        who: begins the message, up to the number of samples.
        advice: ends it; where a test sample, and where a validation sample was seen.

    Raises:
        LeakError: names the first such samples.
    """
    seen = np.union1d(past.trained, past.chosen)
    for ids, known, use, then in (
        (fold.test, seen, f"which fold {fold.name} tests", advice[0]),
        (fold.val, past.trained, f"by which fold {fold.name} chooses (validation)", advice[1]),
    ):
        rows = manifest[manifest["sample_id"].isin(ids)]
        for column in KNOWN_BY:
            names = sorted(set(rows[column]) - {""})
            both = [name for name, hit in zip(names, np.isin(_hash(column, names), known), strict=True) if hit]
            if both:
                raise LeakError(f"{who} {len(both)} {column}s {use} (first: {both[:3]}). {then}")


def _hashes(rows: pd.DataFrame | None = None) -> np.ndarray:
    """Of the samples and groups of these rows, sorted."""
    parts = [] if rows is None else [_hash(column, rows[column].unique()) for column in KNOWN_BY]
    return np.unique(np.concatenate([_unpack(""), *parts]))


def _hash(column: str, names: Iterable[str]) -> np.ndarray:
    """One number for each name that is not empty; 64 bits, so that two names never share one by chance."""
    digests = (blake2b(f"{column}:{name}".encode(), digest_size=8).digest() for name in names if name)
    return np.frombuffer(b"".join(digests), HASH)


def _unpack(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text, validate=True), HASH)


def _read_strings(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype=str, keep_default_na=False)
