"""The collector leaves what stays alone, and still finds cycles."""

import gc
import subprocess
import sys

import pytest

from actors import garbage_collector

_PROGRAM = """
import gc, weakref
from actors import garbage_collector

class Node: pass

gc.disable()  # as an agent does while it loads
garbage_collector.freeze_at_startup()
assert gc.isenabled()
assert gc.get_freeze_count() > 1000
assert gc.get_threshold()[0] == garbage_collector.THRESHOLDS[0]
one = Node()
one.self, seen = one, weakref.ref(one)
del one
kept = [[] for _ in range(2 * garbage_collector.THRESHOLDS[0])]  # what goes is counted off
assert seen() is None
"""

_SWEPT = """
import gc, weakref
from actors import garbage_collector

class Node: pass

def cycle():
    one = Node()
    one.self = one
    return weakref.ref(one)

gc.disable()
settled, young = cycle(), cycle()
{freeze}
later = cycle()
before = gc.get_freeze_count()
garbage_collector.collect_all()
assert (settled(), young(), later()) == (None, None, None)
assert bool(gc.get_freeze_count()) is bool(before) is {settles}
"""


_KEPT = """
import gc
from collections import OrderedDict
from actors import garbage_collector

gc.disable()
{settle}
before, cache = gc.get_freeze_count(), OrderedDict()
garbage_collector.freeze_new()
assert any(cache is one for one in gc.get_objects()) is not {settles}
assert (gc.get_freeze_count() > before) is {settles}
"""


@pytest.mark.parametrize("settles", [True, False])
def test_what_is_kept_is_looked_at_no_more(*, settles: bool) -> None:
    """In a process that has settled; another, as one of these tests, collects as ever."""
    settle = "garbage_collector.freeze_at_startup()" if settles else ""
    program = _KEPT.format(settle=settle, settles=settles)
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("settles", [True, False])
def test_a_sweep_leaves_nothing_of_what_was_taken_down(*, settles: bool) -> None:
    """Nor of what it was told to leave alone; what else it was told that of stays so."""
    freeze = "garbage_collector.freeze_at_startup()" if settles else ""
    program = _SWEPT.format(freeze=freeze, settles=settles)
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_cycle_is_found_among_newcomers() -> None:
    """In a process of its own, for it is the whole process that is settled."""
    before = gc.get_threshold()
    subprocess.run([sys.executable, "-c", _PROGRAM], check=True)
    assert garbage_collector.THRESHOLDS[0] > 0
    assert gc.get_threshold() == before
