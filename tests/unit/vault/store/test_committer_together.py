"""vault.store.committer: several threads at a time."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import pytest

from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard, put, system
from tests.unit.vault.store.test_committer import made
from vault.store.committer import MAX_BATCH_CHANGES, NO_DEADLINE, CommitCounts, Committer
from vault.store.interface import BackendError
from vault.store.memory import MemoryBackend
from vault.store.row_cache import RowCache
from vault.store.tables import SYSTEM


class Others:
    """Threads that come while a transaction is under way, in which `hold` is a change."""

    def __init__(self, committer: Committer, until: float = NO_DEADLINE) -> None:
        self._committer = committer
        self._until = until
        self._begun, self._go_on = Event(), Event()
        self._ends: dict[str, Any] = {}
        self._threads: list[Thread] = []

    def hold(self, _: Any) -> None:
        """The transaction goes on once all others wait."""
        self._begun.set()
        assert self._go_on.wait(10)

    def come(self, name: str, *changes: Callable[[Any], Any]) -> None:
        """One more; it waits, once the first is within its transaction."""
        self._threads.append(Thread(target=self._commit, args=(name, changes)))
        self._threads[-1].start()
        if len(self._threads) == 1:
            assert self._begun.wait(10)
            return
        queue = self._committer._queue  # nothing else says that they wait
        while len(queue) < len(self._threads) - 1:
            pass

    def ends(self) -> dict[str, Any]:
        """What became of each, by its name."""
        self._go_on.set()
        for thread in self._threads:
            thread.join(10)
        return self._ends

    def _commit(self, name: str, changes: Any) -> None:
        try:
            self._ends[name] = self._committer.group_commit(changes, deadline=self._until)
        except BaseException as error:  # noqa: BLE001  # what it raised
            self._ends[name] = error


def test_who_comes_meanwhile_is_in_the_next_transaction() -> None:
    """All of them in one; each has its own results."""
    committer, backend, cache, counts = made()
    others = Others(committer)
    others.come("first", others.hold)
    for i in range(3):
        others.come(f"{i}", put(SYSTEM, system(f"{i}")), lambda _, i=i: i)
    assert others.ends() == {"first": [None], "0": [None, 0], "1": [None, 1], "2": [None, 2]}
    assert (backend.transactions, counts.largest) == (2, 6)
    assert cache.lookup(SYSTEM, ("2",)) == system("2")


def test_no_transaction_of_several_is_over_the_bound() -> None:
    """Whoever is not in this one is in the next, whoever commits it."""
    committer, backend, _, counts = made()
    others = Others(committer)
    others.come("first", others.hold)
    half = [lambda _, i=i: i for i in range(MAX_BATCH_CHANGES // 2)]
    for name in "abc":
        others.come(name, *half)
    assert others.ends() == {"first": [None]} | {
        name: list(range(MAX_BATCH_CHANGES // 2)) for name in "abc"
    }
    assert (backend.transactions, counts.largest) == (3, MAX_BATCH_CHANGES)


def test_nobody_is_cut_in_two_beside_others() -> None:
    """Who would be over the bound goes by himself, in order, as many times as it takes."""
    committer, backend, _, counts = made()
    others = Others(committer)
    others.come("first", others.hold)
    large = [lambda _, i=i: i for i in range(MAX_BATCH_CHANGES + 1)]
    others.come("small", lambda _: "s")
    others.come("large", *large)
    others.come("last", lambda _: "l")
    ends = others.ends()
    assert (ends["small"], ends["large"], ends["last"]) == (
        ["s"],
        list(range(MAX_BATCH_CHANGES + 1)),
        ["l"],
    )
    assert (backend.transactions, counts.largest) == (5, MAX_BATCH_CHANGES)


def test_what_fails_the_transaction_is_told_to_each_by_itself() -> None:
    """None shows another's traceback; whoever comes behind it is not concerned."""
    committer, _, _, _ = made()
    others = Others(committer)
    others.come("first", others.hold)

    def fail(_: Any) -> None:
        raise BackendError("store_full", "the disk is full")

    others.come("a", fail)
    others.come("b", lambda _: None)
    ends = others.ends()
    assert [ends["a"].code, ends["b"].code] == ["store_full"] * 2
    assert ends["a"] is not ends["b"]
    assert committer.group_commit([lambda _: "on"]) == ["on"]


class Odd(Exception):  # noqa: N818  # what it is
    """It cannot be copied."""

    def __reduce__(self) -> Any:
        raise TypeError


@pytest.mark.parametrize(
    ("error", "told"), [(Odd(), Odd), (SystemExit(), BackendError), (KeyError("x"), KeyError)]
)
def test_everybody_is_answered_whatever_is_raised(
    error: BaseException, told: type[BaseException]
) -> None:
    """By the mark, which is no one's change; what ends one thread ends no other."""

    class Mark:
        def stamp(self, _: Any) -> None:
            if backend.transactions > 1:
                raise error

        def on_durable(self) -> None:
            """It is durable."""

    backend = FaultyBackend(MemoryBackend())
    committer = Committer(
        backend, StampGuard(), RowCache(), CommitCounts(), FakeWorld().uptime, stamper=Mark()
    )
    others = Others(committer)
    others.come("first", others.hold)
    for name in "abc":
        others.come(name, lambda _: None)
    ends = others.ends()
    raised = [ends[name] for name in "abc"]
    assert sum(one is error for one in raised) >= 1
    assert {type(one) for one in raised} <= {type(error), told}
    assert backend.transactions == 2


def test_what_became_late_behind_others_is_not_begun() -> None:
    """It counts when it would begin."""
    world, backend = FakeWorld(), FaultyBackend(MemoryBackend())
    committer = Committer(backend, StampGuard(), RowCache(), CommitCounts(), world.uptime)
    others = Others(committer, until=5)
    others.come("first", others.hold)
    others.come("late", lambda _: 1)
    world.advance(6)
    ends = others.ends()
    assert ends["first"] == [None]
    assert ends["late"].code == "store_timeout"
    assert backend.transactions == 1


def test_closing_waits_for_the_transaction_and_lets_no_other_begin() -> None:
    """So the backend can be closed behind it, whosever thread commits."""
    committer, backend, _, _ = made()
    others, closed = Others(committer), Event()
    others.come("first", others.hold)
    closing = Thread(target=lambda: (committer.close(), closed.set()))
    closing.start()
    assert not closed.wait(0.05)
    assert others.ends() == {"first": [None]}
    closing.join(10)
    before = backend.transactions
    with pytest.raises(BackendError, match="not open") as refused:
        committer.group_commit([lambda _: None])
    assert refused.value.details == {"outcome": "none"}
    assert backend.transactions == before


def test_a_new_connection_is_not_made_within_a_transaction() -> None:
    """It would take the other's away."""
    committer, backend, _, _ = made()
    others, made_anew = Others(committer), Event()
    others.come("first", others.hold)
    connecting = Thread(target=lambda: (committer.connect(), made_anew.set()))
    connecting.start()
    assert not made_anew.wait(0.05)
    others.ends()
    connecting.join(10)
    assert backend.connects == 1
