"""What was found out once is not found out again: so much of it, by what it was asked for."""

from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

ADMIT_ONE_IN: Final = 8
"""Once the memo is full, this many times its capacity of new entries are not kept; then it starts
again empty.

A caller that asks for many more things than it holds would else find none of them, and pay for
storing each. (Bimodal insertion is the same idea: Qureshi, Jaleel, Patt, Steely, Emer: Adaptive
Insertion Policies for High Performance Caching, ISCA 2007.) Clearing
32,768 entries takes more than a millisecond, so it must be rare.
"""


class BoundedMemo(dict[K, V]):
    """Look by `get`; what was not there is found out, and offered by `put`.

    Any thread may: what two of them do at once costs one of them a look.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._passed = 0

    def put(self, key: K, value: V) -> None:
        """Hold it, if there is room."""
        if len(self) < self._most:
            self[key] = value
            return
        self._passed += 1
        if self._passed >= self._most * ADMIT_ONE_IN:
            self._passed = 0
            self.clear()
