"""Weights from one run to the next: written as safetensors, loaded by name and shape."""

import hashlib
import pickle
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fer_lightning.errors import ConfigError, LeakError
from fer_lightning.files import write_atomically
from fer_lightning.functional.folds import Fold
from fer_lightning.ranks import rank

#: Before the names of a network's tensors in checkpoints of Lightning and of wrapped networks.
PREFIXES = ("net.", "module.")
told: set[str] = set()  # what was loaded, printed once a process and not once a fold


def write(file: Path, net: nn.Module, facts: Mapping[str, object]) -> None:
    """Write a network's weights with facts about them, e.g. the fold, in the header."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    write_atomically(file, save(tensors, {name: str(fact) for name, fact in facts.items()}))


def find(source: str | Path, fold: str) -> Path:
    """The file that a fold begins with.

    Args:
        source: a file, or the folder of a run with ``weights/<fold>.safetensors``: the one of the same fold, so that
            what a fold tests was not trained on before, or the only one there is.
        fold: name of the fold.

    Raises:
        ConfigError: no such file.
    """
    source = Path(source).expanduser()
    if source.is_file():
        return source
    files = sorted((source / "weights").glob("[!.]*.safetensors"))
    own = [file for file in files if file.stem == fold] or files
    if len(own) != 1:
        raise ConfigError(
            f"model.weights={source}: expected a file, or a run folder with weights/{fold}.safetensors or a single "
            f"file in weights/, found {len(files)} there. Run the first stage with trainer.save_weights=true"
        )
    return own[0]


def check_unseen(file: Path, fold: Fold, manifest: pd.DataFrame) -> None:
    """Refuse weights of a run that trained on, or chose its epoch by, a sample or group which this fold tests.

    Samples are known by their ids; the same pictures in another data set (FER2013 and FER+) are not recognised.
    """
    table = file.parent.parent / "manifest.csv"
    if not table.is_file():
        return
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    seen = rows[rows["fold"] != file.stem]
    tested = manifest[manifest["sample_id"].isin(fold.test)]
    for column in ("sample_id", "group"):
        both = sorted((set(seen[column]) & set(tested[column])) - {""})
        if both:
            raise LeakError(
                f"model.weights={file}: that run trained on {len(both)} {column}s which fold {fold.name} tests "
                f"(first: {both[:3]}). Give its run folder, if it has this fold, or weights of other data"
            )


def load(net: nn.Module, file: Path, frozen: Sequence[str] = ()) -> None:
    """Copy the tensors of a file whose name and shape the network has; say on stderr what was loaded and what was not.

    Raises:
        ConfigError: not a file of tensors, nothing fits, or a part that is to be frozen would keep fresh weights.
    """
    found, own = read(file), net.state_dict()
    fits = {name: tensor for name, tensor in found.items() if name in own and tensor.shape == own[name].shape}
    if not fits:
        raise ConfigError(
            f"{file}: none of its {len(found)} tensors ({', '.join(list(found)[:3])} ...) has the name and shape of "
            f"one of the network's {len(own)} ({', '.join(list(own)[:3])} ...)"
        )
    fresh = [name for name in own if name not in fits]
    cold = [name for name in fresh if any(name.startswith(f"{part}.") for part in frozen)]
    if cold:
        raise ConfigError(
            f"parts.freeze={list(frozen)}, but {len(cold)} tensors there ({cold[0]} ...) are not in {file}, "
            "or of another shape: they would stay random"
        )
    net.load_state_dict(fits, strict=False)
    lines = [f"{file}: loaded {len(fits)} of {len(own)} tensors ({_parts(fits)})"]
    reshaped = [name for name in fresh if name in found]
    lines += [f"of another shape, fresh: {_parts(reshaped)}"] if reshaped else []
    absent = [name for name in fresh if name not in found]
    lines += [f"not in the file, fresh: {_parts(absent)}"] if absent else []
    unused = [name for name in found if name not in own]
    lines += [f"not in the network, left out: {_parts(unused)}"] if unused else []
    text = "; ".join(lines)
    if text not in told and rank() == 0:
        print(f"  {text}", file=sys.stderr)
        told.add(text)


def read(file: Path) -> dict[str, Tensor]:
    """Name -> tensor of a ``.safetensors`` file or of one that ``torch.save`` wrote; nothing else is unpickled.

    Raises:
        ConfigError: the file is broken, or holds something else.
    """
    try:
        found = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"model.weights={file} cannot be read as a table of tensors ({reason}). Other objects are not unpickled, "
            "since that can run any code: save net.state_dict()"
        ) from error
    for key in ("state_dict", "model"):
        found = found[key] if isinstance(found, dict) and isinstance(found.get(key), dict) else found
    found = found if isinstance(found, dict) else {}
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def fingerprint(file: Path) -> str:
    """The first 16 digits of the file's SHA-256."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _parts(names: Iterable[str]) -> str:
    """``features 40, classifier 6``."""
    return ", ".join(f"{part} {number}" for part, number in Counter(name.split(".")[0] for name in names).items())
