"""A Trio run that a seed decides: the order of tasks, the clock, and what the kernel calls chance.

Trio shuffles the tasks that can run at the same moment. With its switch for deterministic
scheduling it sorts them first and shuffles with a generator that can be seeded. The clock jumps to
the next deadline whenever nobody can run. Whatever still asks the kernel for randomness behind the
back of `actors.world` (a nonce, the id of a stream) gets the seed's bytes.
"""

import os
import random
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import trio
from trio._core import _run as _trio_run  # the switch and the generator have no public name

from tests.simulation.clock import Devices, VirtualClock

T = TypeVar("T")

_run: Any = _trio_run
_system: Any = random.SystemRandom


def simulate(seed: int, fn: Callable[..., Awaitable[T]], *args: Any) -> T:
    """`trio.run` under the seed. Two calls with the same arguments do exactly the same."""
    clock = VirtualClock()
    with _seeded(seed, clock):
        return trio.run(clock.during, fn, *args, clock=clock)


@contextmanager
def _seeded(seed: int, clock: VirtualClock) -> Iterator[None]:
    chance = random.Random(f"entropy {seed}")
    saved = (_run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r, _run.TheIOManager, os.urandom)
    system = _system.random
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True
    _run._r = random.Random(f"scheduler {seed}")
    _run.TheIOManager = partial(Devices, clock)
    os.urandom = chance.randbytes
    _system.random = lambda _: chance.random()
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r, _run.TheIOManager, os.urandom = saved
        _system.random = system


def chance_of(seed: int, label: str) -> random.Random:
    """A generator of its own for each purpose, so that one more draw here changes nothing there."""
    return random.Random(f"{seed} {label}")


def id_of(chance: random.Random) -> str:
    """A UUID version 4 of the seed's."""
    return str(uuid.UUID(bytes=chance.randbytes(16), version=4))
