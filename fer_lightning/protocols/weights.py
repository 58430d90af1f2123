"""Weights from one run to the next: written as safetensors, loaded by name and shape."""

import hashlib
import json
import pickle
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fer_lightning.errors import ConfigError
from fer_lightning.files import write_atomically
from fer_lightning.ranks import rank

#: Before the names of a network's tensors in checkpoints of Lightning and of wrapped networks.
PREFIXES = ("net.", "module.")
told: set[str] = set()  # what was loaded, printed once a process and not once a fold


def write(file: Path, net: nn.Module, facts: Mapping[str, object]) -> None:
    """Write a network's weights with facts about them, e.g. the fold, in the header (JSON under ``facts``)."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    # One entry: safetensors shuffles several, and the same weights would be another file each time.
    write_atomically(file, save(tensors, {"facts": json.dumps(facts)}))


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
    files = kept(source)
    own = pick(files, fold)
    if own is None:
        raise ConfigError(
            f"model.weights={source}: expected a file, or a run folder with weights/{fold}.safetensors or a single "
            f"file in weights/, found {len(files)} there. Run the first stage with trainer.save_weights=true, on "
            "folds of these names or on a single one (protocol.only)"
        )
    return files[own]


def kept(out: Path) -> dict[str, Path]:
    """Fold -> file of the weights that a run folder holds."""
    return {file.stem: file for file in sorted((out / "weights").glob("[!.]*.safetensors"))}


def pick(folds: Iterable[str], fold: str) -> str | None:
    """Of the folds of which there are weights, the one whose weights a fold begins with; None where none is meant."""
    folds = list(folds)
    own = [name for name in folds if name == fold] or folds
    return own[0] if len(own) == 1 else None


def check_same(source: str, out: Path) -> None:
    """Refuse to go on where a finished fold of a run began with other weights than its file holds now.

    A file that is not there any more is not asked for.

    Raises:
        ConfigError: names the fold and the file.
    """
    for done in sorted((out / "predictions").glob("[!.]*.csv")):
        facts = done.with_suffix(".json")
        began = json.loads(facts.read_text()).get("weights") if facts.is_file() else None
        try:
            file = find(source, done.stem)
        except ConfigError:
            continue
        if began and fingerprint(file) != began:
            raise ConfigError(
                f"fold {done.stem} of {out} began with other weights (SHA-256 {began}...) than {file} holds now "
                f"({fingerprint(file)}...): it was replaced, and folds of one run would not be alike. Put the old file "
                "back, or choose another run_name or delete the run folder: all folds then begin with the new one"
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
    say("; ".join(lines))


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
    state = file.stat()
    return _fingerprint(file, state.st_mtime_ns, state.st_size)


@cache
def _fingerprint(file: Path, time: int, size: int) -> str:
    """Read once as long as the file stays as it is: each fold compares those of all folds before it."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def say(text: str) -> None:
    """Print on stderr, once a process."""
    if text not in told and rank() == 0:
        print(f"  {text}", file=sys.stderr)
        told.add(text)


def _parts(names: Iterable[str]) -> str:
    """``features 40, classifier 6``."""
    return ", ".join(f"{part} {number}" for part, number in Counter(name.split(".")[0] for name in names).items())
