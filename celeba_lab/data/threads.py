"""Threads that load batches or evaluate a network beside the main thread, each on one core."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

_Item = TypeVar("_Item")


def use_one_thread() -> None:
    """Let the calling thread run all operations of PyTorch by itself.

    ``torch.set_num_threads`` would also affect all threads that are started later.

    Example:
        >>> with ThreadPoolExecutor(1, initializer=use_one_thread) as pool:
        ...     pool.submit(torch.get_num_threads).result()
        1
    """
    # PyTorch sets the number of threads when a thread first asks for it, which would undo the limit if done later.
    torch.get_num_threads()
    threadpool_limits(1, user_api="openmp")


def read_ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield the same items, and read the next item in a separate thread while the caller processes the current one.

    Exceptions that are raised while an item is read are passed on to the caller.

    Args:
        items: Items to read, such as the batches of a data loader.

    Example:
        >>> list(read_ahead(range(3)))
        [0, 1, 2]
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, "reader", initializer=use_one_thread) as reader:
        # The list contains the next item, and is empty at the end.
        following = reader.submit(list, islice(iterator, 1))
        while taken := following.result():
            following = reader.submit(list, islice(iterator, 1))
            yield taken[0]
