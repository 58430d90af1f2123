"""What the framework costs: seconds a fold-epoch of STSTNet, against a bare PyTorch loop of the same network.

    python benchmarks/overhead.py [--epochs 30]

Same process environment, same arrays in memory (442 images of 3x28x28, random content), same batches of 256, same
optimizer, one CPU thread. Then two processes side by side, each way. Prints seconds and ratios; the project's
targets are at most 1.2 for one process, at least 1.7 times the throughput with protocol.workers=2, and at most 1.25
times the bare loop in two processes.
"""

import argparse
import statistics
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from fer_lightning.data.cache import Cache
from fer_lightning.functional.folds import Fold
from fer_lightning.memory import keep_freed_memory
from fer_lightning.network import build_network
from fer_lightning.protocols.fold import run_fold
from fer_lightning.resolvers import register

HOUSE = Path(__file__).resolve().parent.parent
SAMPLES, TESTED, BATCH = 442, 6, 256


def config(epochs: int):
    """The config of `python train.py model=ststnet data=megc2019_flow`."""
    register()
    with initialize_config_dir(str(HOUSE / "conf"), version_base="1.3"):
        return compose("config", ["model=ststnet", "data=megc2019_flow", f"trainer.max_epochs={epochs}"])


def bare(epochs: int) -> float:
    """Seconds an epoch of a plain loop."""
    torch.set_num_threads(1)
    keep_freed_memory()  # both ways: what is compared is the framework, not the allocator
    torch.manual_seed(0)
    cfg = config(epochs)
    net, loss = build_network(cfg), torch.nn.CrossEntropyLoss()
    optimizer = instantiate(cfg.optimizer)(net.parameters())
    inputs = torch.randint(0, 256, (SAMPLES - TESTED, 3, 28, 28)).float()
    labels = torch.randint(0, 3, (SAMPLES - TESTED,))
    for epoch in range(epochs + 1):
        if epoch == 1:  # the first epoch warms up
            started = time.perf_counter()
        net.train()
        order = torch.randperm(len(inputs))
        for batch in order.split(BATCH):
            optimizer.zero_grad()
            loss(net(inputs[batch]), labels[batch]).backward()
            optimizer.step()
    return (time.perf_counter() - started) / epochs


def framework(epochs: int) -> float:
    """Seconds an epoch inside `run_fold`: data path, Lightning, curves, all that a real fold does."""
    torch.set_num_threads(1)
    keep_freed_memory()  # both ways: what is compared is the framework, not the allocator
    cfg = config(epochs + 2)
    data = instantiate(cfg.data)
    ids = [f"sample{i}" for i in range(SAMPLES)]
    labels = np.random.default_rng(0).choice(data.classes, SAMPLES)
    data.manifest = pd.DataFrame({"sample_id": ids, "label": labels, "group": ids})
    array = np.random.default_rng(0).integers(0, 256, (SAMPLES, 3, 28, 28), dtype=np.uint8)
    data.cache = Cache(Path(), array, {sample: row for row, sample in enumerate(ids)})
    fold = Fold("benchmark", tuple(ids[TESTED:]), (), tuple(ids[:TESTED]))
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        run_fold(cfg, data, fold, Path(out), lambda line: moments.append(time.perf_counter()))
    return (moments[-1] - moments[1]) / (len(moments) - 2)  # told at the start of each epoch; the first warms up


def in_two_processes(which, epochs: int) -> float:
    """Seconds a fold-epoch when two processes do it at once (half of what each of them needs)."""
    with get_context("spawn").Pool(2) as pool:
        pool.map(which, [2, 2])  # both have imported everything
        return statistics.mean(pool.map(which, [epochs, epochs], chunksize=1)) / 2


def main() -> None:
    """Measure three times, print the medians and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="epochs a measurement (default: 30)")
    epochs = parser.parse_args().epochs
    rounds = [(bare(epochs), framework(epochs)) for _ in range(3)]
    one = statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds)
    rounds = [(in_two_processes(bare, epochs), in_two_processes(framework, epochs)) for _ in range(3)]
    two = statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds)
    print(f"torch {torch.__version__}, {epochs} epochs, {SAMPLES - TESTED} training images, medians of 3")
    print(f"one process    bare {one[0]:.4f} s  framework {one[1]:.4f} s a fold-epoch  ratio {one[1] / one[0]:.3f}")
    print(f"two processes  bare {two[0]:.4f} s  framework {two[1]:.4f} s a fold-epoch  ratio {two[1] / two[0]:.3f}")
    print(f"two against one process: bare {one[0] / two[0]:.2f}x, framework {one[1] / two[1]:.2f}x")


if __name__ == "__main__":
    main()
