"""What `keep_freed_memory` is worth: seconds a training step of ARCH-1 at batch 256, in two fresh processes.

python benchmarks/allocator.py
"""

import os
import resource
import time
from multiprocessing import get_context

import torch

from fer_lightning.memory import keep_freed_memory
from fer_lightning.models.arch1 import Arch1


def step_seconds(keep: bool) -> tuple[float, float]:
    """Seconds a step, and the share of processor time that was spent in the kernel."""
    if keep:
        keep_freed_memory()
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    net = Arch1()
    optimizer = torch.optim.Adam(net.parameters())
    inputs, labels = torch.rand(256, 1, 48, 48), torch.randint(0, 7, (256,))
    for step in range(13):
        if step == 3:  # the first steps warm up
            started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    kernel, user = after.ru_stime - before.ru_stime, after.ru_utime - before.ru_utime
    return (time.perf_counter() - started) / 10, kernel / (kernel + user)


def main() -> None:
    """Measure without and with, each in a process of its own."""
    for keep in (False, True):
        with get_context("spawn").Pool(1) as pool:
            seconds, kernel = pool.apply(step_seconds, (keep,))
        print(f"keep_freed_memory {'on ' if keep else 'off'}: {seconds:.3f} s a step, {kernel:.0%} of it in the kernel")


if __name__ == "__main__":
    main()
