"""How many requests may be in hand at once: what comes on top would only make all of them wait.

By Little's law n requests in hand, each of which costs c seconds of the event loop, keep the last
of them waiting for about n * c. So the limit is the longest wait that is allowed divided by the
measured c. Waiting for a disk or for a client costs the loop nothing and lowers no limit. A slow
client is not counted while the server waits for it. A request that waits for a disk keeps its
place, so some places are never for requests that may change something: reads are served beside a
disk that stalls.
"""

from typing import Final

import trio

from protocols.http.limits import KIB, Limits

_SMOOTHING = 4  # measurements that the estimate of c reaches back over, about
_CROWD = 4  # measured from this part of `in_hand` on
_ONLY_READ = 4  # of the places one in so many is for reads alone
_FEW = 32  # requests that a measurement needs to say anything


class AdmissionControl:
    """One server's count of requests in hand, and whether the next one may join them. Pure."""

    __slots__ = (
        "_cost",
        "_ended",
        "_limits",
        "in_flight",
        "is_draining",
        "limit",
        "mutating",
        "refusals",
        "websockets",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._cost = 0.0  # seconds of the loop a request; 0: not measured yet
        self._ended = 0  # since the last `update_cost`
        self.in_flight = 0
        self.is_draining = False  # the server stops: no request should wait for anything
        self.mutating = 0  # of those inside, how many may change something
        self.limit = limits.in_hand
        self.refusals = 0
        self.websockets = 0  # websockets that are open

    @property
    def free_slots(self) -> int:
        """How many may come in to read; none or less with urgent ones in hand beyond the limit.

        Requests that may change something take no more than their places, however many of them
        were let in before their bodies came.
        """
        room = self.limit - self.in_flight
        over = self.mutating - self._free_mutating_slots
        return room + over if over > 0 else room

    @property
    def _free_mutating_slots(self) -> int:
        """For requests that may change something."""
        return self.limit - self.limit // _ONLY_READ

    def try_admit(self, *, mutating: bool = False) -> bool:
        """Count the next request in, unless as many as the limit are in hand.

        `mutating`: whether it may change something, here and wherever else it is counted.
        """
        if self.in_flight >= self.limit and self.free_slots <= 0:
            return False
        if mutating and self.mutating >= self._free_mutating_slots:
            return False
        self.resume(mutating=mutating)
        return True

    def try_admit_urgent(self) -> bool:
        """The same for what operators need; a lane of `urgent_in_hand` is kept free for it."""
        if self.free_slots + self._limits.urgent_in_hand <= 0:
            return False
        self.in_flight += 1
        return True

    def suspend(self, *, mutating: bool = False) -> None:
        """A request in hand waits for its client from here on."""
        self.in_flight -= 1
        if mutating:
            self.mutating -= 1

    def resume(self, *, mutating: bool = False) -> None:
        """It goes on: let in already, so not asked again."""
        self.in_flight += 1
        if mutating:
            self.mutating += 1

    def release_slot(self, *, mutating: bool = False) -> None:
        """A request in hand is done but for what its client has to read."""
        self.in_flight -= 1
        self._ended += 1
        if mutating:
            self.mutating -= 1

    def count_refusals(self, count: int = 1) -> None:
        """Count requests that were turned away."""
        self.refusals += count

    def try_admit_websocket(self) -> bool:
        """Count a websocket in, unless the limit is reached; `websockets` goes down again."""
        if self.websockets >= self._limits.websockets:
            return False
        self.websockets += 1
        return True

    @property
    def is_near_limit(self) -> bool:
        """Whether the limit may soon matter, so that it is worth knowing what a request costs."""
        return self.in_flight >= self._limits.in_hand // _CROWD

    def update_cost(self, busy: float | None) -> None:
        """Take into account that the loop was busy for so many seconds since the last time.

        None: nobody has looked, so those that have ended since say nothing either.

        Under load that includes refusing others, which those in hand wait for as well.
        """
        if busy is None:
            self._ended = 0
            return
        if self._ended < _FEW:
            return
        cost = busy / self._ended
        self._ended = 0
        self._cost += (cost - self._cost) / _SMOOTHING if self._cost else cost
        allowed = self._limits.delay_seconds / self._cost if self._cost else 0.0
        self.limit = max(self._limits.in_hand, int(allowed))


# The bytes of request bodies that all connections of a server may hold at once.
#
# Small bodies have a part of their own: whoever uploads much and slowly keeps other large uploads
# waiting, and nobody else.


SMALL: Final = 16 * KIB  # four times a long secret; at the slowest pace allowed it is here in 20 s
SHARE: Final = 4  # small bodies have one part in so many


class BodyBudget:
    """How much is held. A request tells what it holds already; it takes and gives by itself."""

    __slots__ = ("_large", "_large_limit", "_small", "_small_limit")

    def __init__(self, limits: Limits) -> None:
        self._small = self._large = 0
        self._small_limit = limits.bodies_bytes // SHARE
        self._large_limit = limits.bodies_bytes - self._small_limit

    @property
    def held(self) -> int:
        """Bytes of all bodies."""
        return self._small + self._large

    def try_reserve(self, held: int, more: int) -> bool:
        """Let a request that holds `held` bytes hold `more`; False, and nothing is taken, if full.

        A body that grows out of being small counts as large with all it holds.
        """
        total = held + more
        if total <= SMALL:
            if self._small + more > self._small_limit:
                return False
            self._small += more
            return True
        moved = held if held <= SMALL else 0
        if self._large + moved + more > self._large_limit:
            return False
        self._small -= moved
        self._large += moved + more
        return True

    def release_body(self, held: int) -> None:
        """A request lets go of all it held."""
        if held <= SMALL:
            self._small -= held
        else:
            self._large -= held


# Where connections wait whose requests were turned away, and are read again all at once.
#
# Most of what a refusal costs is a read, a send and a turn of two tasks. Whoever asks again at
# once is therefore left in the kernel's buffers for a moment, and then many requests share that
# cost.


_BACKOFF_SHARE = 4  # of the time that the requests in hand take


class RefusalBackoff:
    """Of all connections of a server; the first to come waits for the clock, the others for it.

    A quarter of `delay_seconds`: as many are in hand as take that long (see `admission`), so the
    loop has work meanwhile, and a request that could be let in comes in by so much later at most.
    """

    __slots__ = ("_others", "_seconds", "_waited_for")

    def __init__(self, delay_seconds: float) -> None:
        self._seconds = delay_seconds / _BACKOFF_SHARE
        self._others = trio.lowlevel.ParkingLot()
        self._waited_for = False

    async def wait_end(self) -> None:
        """Until the end of this backoff, of which some may have passed."""
        if self._waited_for:
            await self._others.park()
            return
        self._waited_for = True
        try:
            await trio.sleep(self._seconds)
        finally:
            self._waited_for = False
            self._others.unpark_all()
