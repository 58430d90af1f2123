"""Training on a CPU: keep freed memory instead of giving it back to the system after every layer."""

import ctypes
import sys

# Numbers of glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to reuse freed blocks of any size.

    By default it asks the system for every block above 32 MB, and for many smaller ones, anew and gives it back
    at once; the kernel then zeroes each page on its first touch. A training step allocates and frees one such block per
    layer: 37 % of the processor time of ARCH-1 on faces of 48 pixels was spent in the kernel, and a step took .94 s
    instead of .42 s (batch 256, 2 cores; `benchmarks/allocator.py`). The price: the process keeps its largest size
    until it ends.

    Returns:
        True when it was done; False where there is no glibc (macOS, musl), where nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(
        mallopt(option, value) == 1
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST_INT), (M_TOP_PAD, 64 << 20))
    )
