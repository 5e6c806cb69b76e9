"""Waiting for what other processes bring about: a look takes processor time of them as well."""

import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

FIRST: Final = 0.02  # seconds between the first two looks
LONGEST: Final = 0.5  # seconds between two looks
GROWTH: Final = 1.5  # of one pause to the next

T = TypeVar("T")


def looks(seconds: float) -> Iterator[None]:
    """A turn for each look, at growing intervals; the last one when the time is over."""
    ends, pause = time.monotonic() + seconds, FIRST
    while True:
        is_last = time.monotonic() >= ends
        yield
        if is_last:
            return
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST)


def await_value(found: Callable[[], T], seconds: float, what: object = "it") -> T:
    """What it is, once it is true. Raises `AssertionError` when the time is over."""
    for _ in looks(seconds):
        if value := found():
            return value
    raise AssertionError(f"{what}: not within {seconds:g} s")
