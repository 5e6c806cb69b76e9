"""The collector leaves what stays alone, and still finds cycles."""

import gc
import subprocess
import sys

from actors import collector

_PROGRAM = """
import gc, weakref
from actors import collector

class Node: pass

collector.settle()
assert gc.get_freeze_count() > 1000
assert gc.get_threshold()[0] == collector.THRESHOLDS[0]
one = Node()
one.self, seen = one, weakref.ref(one)
del one
kept = [[] for _ in range(collector.THRESHOLDS[0] + 1)]
assert seen() is None
"""


def test_a_cycle_is_found_among_newcomers() -> None:
    """In a process of its own, for it is the whole process that is settled."""
    before = gc.get_threshold()
    subprocess.run([sys.executable, "-c", _PROGRAM], check=True)
    assert collector.THRESHOLDS[0] > 0
    assert gc.get_threshold() == before
