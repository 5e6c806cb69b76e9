"""When a leader stops whose API server fails, and who is ready without leading."""

from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.testing import FakeWorld
from kube_operator.app import Operator
from kube_operator.errors import ClusterError, MissingError
from kube_operator.leadership import LeaderElection, LeaseTimes
from kube_operator.objects import Document
from kube_operator.settings import Settings

TIMES = LeaseTimes()


class ClockWorld(FakeWorld):
    """With the clock of the test's event loop."""

    def monotonic(self) -> float:
        """Its seconds."""
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        """Of that clock."""
        await trio.sleep(seconds)


class FailingApi:
    """Gives the lease once. Then it refuses, and from `hangs_at` on it says nothing."""

    def __init__(self, hangs_at: float) -> None:
        self._hangs_at = trio.current_time() + hangs_at
        self._has_lease = False

    async def create(self, _resource: Any, _namespace: str, body: Document) -> Document:
        """The first time, when there is no lease."""
        self._has_lease = True
        return body

    async def read(self, _resource: Any, _namespace: str, _name: str) -> Document:
        """Nothing good."""
        if not self._has_lease:
            raise MissingError(404, "NotFound", "there is none")
        if trio.current_time() >= self._hangs_at:
            await trio.sleep_forever()
        raise ClusterError(503, "", "try later")


async def test_a_leader_stops_before_another_one_may_begin(autojump_clock: MockClock) -> None:
    """Also if the last attempt begins just before the deadline and hangs."""
    del autojump_clock
    api: Any = FailingApi(hangs_at=TIMES.deadline - TIMES.retry)
    election = LeaderElection(api, "vaults", "operator", "one", world=ClockWorld())
    began = trio.current_time()
    ended = trio.Event()

    async def lead() -> None:
        async with election.leading():
            await trio.Event().wait()  # until it is cancelled
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await ended.wait()
    assert not election.is_leader
    assert trio.current_time() - began <= TIMES.duration


class LateApi:
    """An API server that refuses until it is told not to, and shows the lease of another then."""

    def __init__(self) -> None:
        self.answers = False
        self.asked = trio.Event()

    async def read(self, _resource: Any, _namespace: str, _name: str) -> Document:
        """The lease."""
        self.asked.set()
        if not self.answers:
            raise ClusterError(403, "Forbidden", "leases may not be read")
        return {"metadata": {}, "spec": {"holderIdentity": "two", "leaseDurationSeconds": 15}}


async def test_ready_is_who_could_lead(autojump_clock: MockClock) -> None:
    """Not whoever may not look at the lease; yes whoever waits for that of another."""
    del autojump_clock
    late = LateApi()
    api: Any = late
    operator = Operator(api, Settings(), ClockWorld(), "9", namespace="vaults", identity="one")
    assert not operator.is_ready()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(operator.run)
        await late.asked.wait()
        await wait_all_tasks_blocked()
        assert not operator.is_ready()
        late.answers = True
        await trio.sleep(2 * TIMES.retry)
        assert operator.is_ready()
        nursery.cancel_scope.cancel()
