"""vault.store.committer: several threads at a time."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import pytest

from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.samples import StampGuard
from tests.unit.vault.store.test_committer import made
from vault.store.committer import MAX_BATCH_CHANGES, NO_DEADLINE, CommitCounts, Committer
from vault.store.interface import BackendError
from vault.store.memory import MemoryBackend
from vault.store.row_cache import RowCache


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
