"""Python's garbage collector, for a process of which nearly everything stays.

Modules, caches and linked agents are hundreds of thousands of objects that live for days, and the
collector's own settings look at all of them again and again, while everybody waits. With 1,500
agents that took a third of what a policy costs; under load it stopped an agent for 50 to 125 ms at
a time (decision 1). What is left to it are cycles, which are few: everything else goes when its
last reference does.
"""

import gc
from typing import Final

THRESHOLDS: Final = (25_000, 20, 100)
"""New containers before the young ones are looked at; how often that, and then the next, happens
before the older ones are (CPython's `gc.set_threshold`)."""

_is_settled = False  # Python only counts what is frozen, object by object


def freeze_at_startup() -> None:
    """Once everything that stays has been made, before anybody is served; on if it was off.

    What is garbage by then stays, too: 1 % of an agent's objects after its imports, and to find
    them takes a tenth of a second of its start.
    """
    global _is_settled  # noqa: PLW0603  # there is one collector a process
    _is_settled = True
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    gc.enable()


def freeze_new() -> None:
    """What was made since `freeze_at_startup` stays too; without that call it does not.

    A cache is looked through with each row in it, whatever the rows are: 0.7 s for a million
    secrets. So it is kept while it is empty; `collect_all` finds it once it was taken down.
    """
    if _is_settled:
        gc.freeze()


def collect_all() -> None:
    """Once something large was taken down: nothing of it stays, settled or not.

    Parts that know each other go with nobody's last reference, and the collector may come to them
    in days. Takes some 0.2 s of an agent.
    """
    if _is_settled:
        gc.unfreeze()
    gc.collect()
    if _is_settled:
        gc.freeze()
