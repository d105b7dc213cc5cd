"""A memory allocator setting that speeds up training on the CPU."""

import ctypes
import platform

# The parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Make glibc's allocator keep freed memory instead of returning it to the system.

    Every training step on the CPU allocates and frees hundreds of megabytes. By default, glibc requests new pages for
    each large block, and the kernel fills these pages with zeros. Keeping the memory made a MobileNetV2 training epoch
    (128 x 128 pixels, batch size 32, 2 cores) about 20% faster. The drawback is that the process keeps the memory of
    its largest step until it exits.

    Returns:
        True if the C library is glibc and accepted the settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 256 * 2**20))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
