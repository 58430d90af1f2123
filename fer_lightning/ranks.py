"""Who this process is where several train one fold together, and what all of them know. Alone it is rank 0 of 1."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import Any

import torch.distributed as dist
from torch import Tensor

from fer_lightning.errors import FERError

#: How long a process waits for what rank 0 has to say: it may prepare a cache or run the figures meanwhile.
PATIENCE = timedelta(days=30)


def rank() -> int:
    """Which process this is; rank 0 leads: it alone holds locks, writes and prints."""
    return dist.get_rank() if _joined() else 0


def world() -> int:
    """How many processes train the fold."""
    return dist.get_world_size() if _joined() else 1


def join(address: str, port: int, rank: int, world: int, gpu: bool, purpose: str = "") -> None:
    """Meet the other processes at rank 0's address; returns when all are there.

    Args:
        address, port: of rank 0.
        rank, world: which process this is, of how many.
        gpu: whether they exchange tensors on GPUs.
        purpose: what they meet for; who comes for another one is not met.
    """
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    store = dist.PrefixStore(purpose, _store(f"tcp://{address}:{port}", rank, world))
    dist.init_process_group(backend, store=store, rank=rank, world_size=world)
    told.group = dist.new_group(backend="gloo", timeout=PATIENCE)


@cache
def _store(url: str, rank: int, world: int) -> dist.Store:
    """Kept as long as the process lives: in a sweep another one may come for the next cell before rank 0 does."""
    return next(dist.rendezvous(url, rank, world))[0]


def leave() -> None:
    """Part from the others; those that still wait for this process get an error."""
    if _joined():
        with suppress(RuntimeError):  # of a process that is gone
            dist.destroy_process_group(told.group)
        dist.destroy_process_group()


def told(value: Any = None) -> Any:
    """What rank 0 says: it gives `value` and every process gets it, alone at once.

    Raises:
        FERError: rank 0 has ended.
    """
    if not _joined():
        return value
    box = [value]
    try:
        dist.broadcast_object_list(box, src=0, group=told.group)
    except RuntimeError as error:
        raise FERError("another process of this fold has ended; its own message says why") from error
    return box[0]


def together(parts: Sequence[tuple]) -> Sequence[tuple]:
    """The parts of all processes, rank by rank; tensors then lie on the CPU. Alone: the parts as they are."""
    if not _joined():
        return parts
    mine = [tuple(item.cpu() if isinstance(item, Tensor) else item for item in part) for part in parts]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, mine)
    return [part for theirs in found for part in theirs]


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
