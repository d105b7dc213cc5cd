"""Keeping freed memory for the next step, when the processor is what trains."""

import ctypes
import platform

# The parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed instead of giving it back to the system.

    A training step on the processor frees and allocates the same hundreds of megabytes again. By default each large
    block is a mapping of its own, which the kernel must fill with zeros every time; keeping them made a training epoch
    of MobileNetV2 (128 x 128 pixels, batch 32, 2 cores) a fifth faster. The process keeps the memory of its largest
    step until it ends.

    Returns:
        Whether it was done: False where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 256 * 2**20))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
