"""Reading items in a separate thread."""

import threading
from collections.abc import Iterator
from time import perf_counter, sleep

import pytest
import torch

from celeba_lab.data.threads import read_ahead


def test_all_items_are_read_in_order():
    assert list(read_ahead(iter(range(7)))) == list(range(7))
    assert list(read_ahead([])) == []


def test_the_next_item_is_read_while_the_caller_is_busy():
    def items() -> Iterator[tuple[str, int]]:
        for _ in range(3):
            reading.set()
            yield threading.current_thread().name, torch.get_num_threads()

    reading = threading.Event()
    for name, threads in read_ahead(items()):
        assert name.startswith("reader")
        assert threads == 1
        assert reading.wait(5)
    reader = read_ahead(items())
    next(reader)
    reading.clear()
    deadline = perf_counter() + 5
    while not reading.is_set() and perf_counter() < deadline:
        sleep(0.001)
    assert reading.is_set()
    reader.close()


def test_an_error_is_raised_after_the_items_before_it():
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    reader = read_ahead(items())
    assert next(reader) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(reader)


def test_the_thread_ends_if_the_caller_stops_early():
    reader = read_ahead(iter(range(100)))
    assert next(reader) == 0
    reader.close()
    assert not any(thread.name.startswith("reader") for thread in threading.enumerate())
