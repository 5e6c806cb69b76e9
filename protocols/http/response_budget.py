"""The memory that a server's answers may take, from before they are made until they are sent.

An application that is about to load or decrypt something large reserves its size first
(`Reservation`, which is in the scope of each request); it waits while there is no room, for
`WAIT` seconds at most. What the kernel does not take at once is charged as well, whether it was
reserved or not (`PendingWrite`). When the budget is nearly full, or somebody waits for it, those
readers are cut off that have been behind for `LATE` seconds; when it is exceeded, the furthest
behind.

No client can keep the budget from others: a connection that holds much of it may fill it to half
only, the connections of one address together to three quarters, and whoever holds least is first
in the queue.
"""

from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakValueDictionary

import trio

from protocols.http.coarse_clock import NEVER, CoarseClock
from protocols.http.limits import KIB, Limits

WRITE_OVERHEAD: Final = 16 * KIB
"""What a wait costs beside the answer: a task, its frames and the request. Measured with handlers
of three frames: 8 to 10 KiB a stream."""
FAIR_READ_RATE: Final = 64 * KIB
"""Bytes a second. Whoever reads like this falls no further behind."""
MAX_LEAD_SECONDS: Final = 24.0
"""Seconds that one can be ahead. The kernel takes nothing until a third of its buffer is free, and
then all of that at once: up to 13 s of a steady 200 kB/s, in which no reader may fall behind those
that came meanwhile. But who took much and then stops is soon as far back as everybody."""
LATE: Final = 15.0
"""Seconds behind at which a reader is cut off for others: above the same 13, of which nobody can
tell whether a reader is slow or stands still."""
RESERVE_DIVISOR: Final = 8
"""It is full with one part in so many left. As much beyond the limit nobody is cut off who is not
late: many who ask at once are not yet behind each other."""
WAIT: Final = 20.0
"""Seconds that a request waits for room: longer than `LATE`, after which slow readers make some."""
MAX_QUEUED_REQUESTS: Final = 512
"""Requests that wait for room; beyond, those are refused whose clients hold most."""
_CONNECTION_SHARE: Final = 16
"""A connection that holds more than one part in so many may fill the budget to half only."""
_ADDRESS_SHARE: Final = 4
"""An address that holds more than one part in so many may fill it to all but this part only."""


class AddressUsage:
    """What is held for all connections from one address."""

    __slots__ = ("__weakref__", "held")

    def __init__(self) -> None:
        self.held = 0


class ConnectionUsage:
    """What is held for one connection, and for all from its address."""

    __slots__ = ("address", "held")

    def __init__(self, address: AddressUsage) -> None:
        self.address = address
        self.held = 0

    def adjust(self, size: int) -> None:
        """So much more is held, or less."""
        self.held += size
        self.address.held += size


class Suspendable(Protocol):
    """The requests in hand; see `admission`. One that waits for room is none of them."""

    @property
    def is_draining(self) -> bool:
        """Whether the server stops, so that no request should wait any longer."""
        ...

    def suspend(self) -> None:
        """The request waits from here on."""

    def resume(self) -> None:
        """It goes on."""


class Reservation:
    """What one request may hold while its answer is made; nothing until it asks."""

    __slots__ = ("_budget", "_caller", "_left", "_slot", "_waits", "held")

    def __init__(
        self, budget: "ResponseBudget", caller: ConnectionUsage, slot: Suspendable | None = None
    ) -> None:
        self._budget = budget
        self._caller = caller
        self._slot = slot
        self._waits = 0  # in hand: a request may do several things at once
        self._left = False
        self.held = 0

    def take_nowait(self, size: int) -> bool:
        """Hold `size` bytes more, if there is room for them now."""
        return self._budget.try_reserve(self, self._caller, size)

    async def take(self, size: int) -> bool:
        """Hold `size` bytes more, waiting for room; False if there was none for `WAIT` seconds.

        Also once the client has left: then it has no place in the queue any more.
        Nothing that counts may be held meanwhile: it is not charged. Returns without a checkpoint
        when there is room.
        """
        if self.take_nowait(size):
            return True
        if self._left:
            return False
        self._waits += 1
        if self._slot is not None and self._waits == 1:
            self._slot.suspend()
        try:
            return await self._budget.wait_reserved(self, self._caller, size)
        finally:
            self._waits -= 1
            if self._slot is not None and not self._waits:
                self._slot.resume()

    def withdraw(self) -> None:
        """The client has left: nobody waits for room on its behalf; may be repeated."""
        self._left = True
        if self._waits:
            self._budget.remove_queued(self)

    def give_back(self) -> None:
        """Hold nothing. Queued requests are let in by `ResponseBudget.grant_queued`."""
        if self.held:
            size, self.held = self.held, 0
            self._budget.credit(self._caller, size)

    def release(self) -> None:
        """Hold nothing, at the end of the request; may be repeated."""
        self.give_back()
        self._slot = None  # the request refers to this: no cycle for the collector
        self._budget.grant_queued()


class _QueuedRequest:
    """A request that waits for room."""

    __slots__ = ("caller", "decided", "granted", "number", "reservation", "size", "withdrawn")

    def __init__(
        self, reservation: Reservation, caller: ConnectionUsage, size: int, number: int
    ) -> None:
        self.reservation = reservation
        self.caller = caller
        self.size = size
        self.number = number
        self.granted = False
        self.withdrawn = False
        self.decided = trio.Event()

    def rank(self) -> tuple[int, int, int]:
        """The smallest is first: whoever holds least, then whoever came first."""
        return self.caller.address.held, self.caller.held, self.number


class PendingWrite:
    """One answer, or what a connection sends, whose reader is waited for until `finish`."""

    __slots__ = ("_budget", "_clock", "caller", "charged", "disconnect", "due")

    def __init__(
        self,
        budget: "ResponseBudget",
        disconnect: Callable[[], None],
        clock: CoarseClock,
        caller: ConnectionUsage,
    ) -> None:
        self._budget = budget
        self._clock = clock
        self.caller = caller
        self.disconnect = disconnect
        self.charged = 0
        self.due = clock.now  # when a decent reader would have been where this one is

    def restart(self, size: int) -> None:
        """The same reader is waited for, anew or still: what it is ahead it stays."""
        self._budget.add_pending(self)
        self.charge_memory(size)

    def charge_memory(self, size: int) -> None:
        """So many bytes are in memory because of it. May call `disconnect`, at most once."""
        self._budget.set_charge(self, size + WRITE_OVERHEAD)

    def note_progress(self, size: int) -> None:
        """The reader took so many, waited for or not. They stay charged until all are gone."""
        self.due = min(self.due + size / FAIR_READ_RATE, self._clock.now + MAX_LEAD_SECONDS)

    def finish(self) -> None:
        """It waits no more; may be repeated."""
        self._budget.remove_pending(self)


class ResponseBudget:
    """How much is held.

    `cut` counts the readers that were cut off to make room, `refused` the requests that waited for
    room in vain.
    """

    __slots__ = (
        "_addresses",
        "_clock",
        "_last",
        "_limit",
        "_part",
        "_queue",
        "_unknown",
        "_waiting",
        "disconnected",
        "held",
        "refused",
    )  # fmt: skip

    def __init__(self, limits: Limits, clock: CoarseClock) -> None:
        self._limit = limits.answers_bytes
        self._part = self._limit // RESERVE_DIVISOR
        self._clock = clock
        self._waiting: dict[PendingWrite, None] = {}  # in the order in which they began
        self._queue: dict[_QueuedRequest, None] = {}  # requests that wait for room
        self._last = 0  # number of the last of them
        self._addresses: WeakValueDictionary[str, AddressUsage] = WeakValueDictionary()
        self._unknown = ConnectionUsage(AddressUsage())
        self.disconnected = 0
        self.refused = 0
        self.held = 0

    @property
    def is_nearly_full(self) -> bool:
        """Whether those who are late have to make room."""
        return self.held > self._limit - self._part

    def tick(self) -> None:
        """If it is full, cut off who is late, until a quarter is free.

        If somebody waits for room, until nobody does.
        """
        late = self._clock.now - LATE
        if self.is_nearly_full:
            self._disconnect_slowest(self._limit - 2 * self._part, late)
        if self._queue:
            for unread in self._by_due():
                if unread.due >= late or not self._queue:
                    break
                self._disconnect(unread)

    def usage_of(self, address: str | None) -> ConnectionUsage:
        """A connection from this address."""
        if address is None:
            return ConnectionUsage(AddressUsage())
        shared = self._addresses.get(address)
        if shared is None:
            shared = self._addresses[address] = AddressUsage()
        return ConnectionUsage(shared)

    def track_write(
        self, size: int, disconnect: Callable[[], None], caller: ConnectionUsage | None = None
    ) -> PendingWrite:
        """An answer of `size` bytes waits for its reader; `disconnect` is to make it end soon."""
        unread = PendingWrite(self, disconnect, self._clock, caller or self._unknown)
        unread.restart(size)
        return unread

    def try_reserve(self, reservation: Reservation, caller: ConnectionUsage, size: int) -> bool:
        """Charge `size` more to a request, if there is room and nobody is to be served before."""
        if not self._fits(reservation, caller, size):
            return False
        if self._queue:
            first = min(waiting.rank() for waiting in self._queue)
            if first < (caller.address.held, caller.held, self._last + 1):
                return False
        self._reserve(reservation, caller, size)
        return True

    async def wait_reserved(
        self, reservation: Reservation, caller: ConnectionUsage, size: int
    ) -> bool:
        """As `try_reserve`, once there is room; False after `WAIT` seconds, or if too many wait."""
        self._last += 1
        waiting = _QueuedRequest(reservation, caller, size, self._last)
        self._queue[waiting] = None
        self.grant_queued()
        if len(self._queue) > MAX_QUEUED_REQUESTS:
            last = max(self._queue, key=_QueuedRequest.rank)
            del self._queue[last]
            last.decided.set()
        with trio.move_on_after(WAIT):
            try:
                await waiting.decided.wait()
            finally:
                self._queue.pop(waiting, None)
        if not (waiting.granted or waiting.withdrawn):
            self.refused += 1
        return waiting.granted

    def remove_queued(self, reservation: Reservation) -> None:
        """Nobody waits for this one any more."""
        for waiting in [each for each in self._queue if each.reservation is reservation]:
            del self._queue[waiting]
            waiting.withdrawn = True
            waiting.decided.set()
        self.grant_queued()

    def credit(self, caller: ConnectionUsage, size: int) -> None:
        """So much is held no more."""
        self.held -= size
        caller.adjust(-size)

    def add_pending(self, unread: PendingWrite) -> None:
        """It is one of those that wait; the time in which it did not is not held against it."""
        if unread not in self._waiting:
            unread.due = max(unread.due, self._clock.now)
            self._waiting[unread] = None

    def set_charge(self, unread: PendingWrite, size: int) -> None:
        """It costs `size` from now on, whatever that was before."""
        if unread not in self._waiting:
            return
        more = size - unread.charged
        unread.charged = size
        if more <= 0:
            self.credit(unread.caller, -more)
            self.grant_queued()
            return
        self.held += more
        unread.caller.adjust(more)
        if self.held <= self._limit:
            return
        if size > self._limit - self._part:
            self._disconnect(unread)  # one that would take nearly all goes by itself
        elif self.held > self._limit + self._part:
            self._disconnect_slowest(self._limit, NEVER)

    def remove_pending(self, unread: PendingWrite) -> None:
        """It costs nothing any more."""
        if unread in self._waiting:
            del self._waiting[unread]
            size, unread.charged = unread.charged, 0
            self.credit(unread.caller, size)
            self.grant_queued()

    def _fits(self, reservation: Reservation, caller: ConnectionUsage, size: int) -> bool:
        """Whether there is room for what this client holds already, and so much more."""
        limit = self._limit
        if caller.held > max(limit // _CONNECTION_SHARE, reservation.held):
            allowed = limit // 2
        elif caller.address.held > limit // _ADDRESS_SHARE:
            allowed = limit - limit // _ADDRESS_SHARE
        else:
            allowed = limit
        return self.held + size <= allowed

    def _reserve(self, reservation: Reservation, caller: ConnectionUsage, size: int) -> None:
        reservation.held += size
        self.held += size
        caller.adjust(size)

    def grant_queued(self) -> None:
        """Let in from the queue whoever has room now, the first one first."""
        while self._queue:
            first = min(self._queue, key=_QueuedRequest.rank)
            if not self._fits(first.reservation, first.caller, first.size):
                return
            del self._queue[first]
            self._reserve(first.reservation, first.caller, first.size)
            first.granted = True
            first.decided.set()

    def _by_due(self) -> list[PendingWrite]:
        """The furthest behind first."""
        return sorted(self._waiting, key=lambda unread: unread.due)

    def _disconnect_slowest(self, enough: int, before: float) -> None:
        """Cut off who was due `before` that, the furthest behind first, until `enough` is held."""
        for unread in self._by_due():
            if self.held <= enough or unread.due >= before:
                break
            self._disconnect(unread)

    def _disconnect(self, unread: PendingWrite) -> None:
        self.remove_pending(unread)
        self.disconnected += 1
        unread.disconnect()
