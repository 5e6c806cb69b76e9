"""vault.cluster.leases: one agent at a time, by clocks that are told what to say."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import MockClock

from actors.testing import FakeWorld
from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.harness import first_stamp, following
from tests.contract.store.samples import put, system
from tests.support.shared_files import SharedMemory
from tests.support.trio_world import TrioWorld
from vault.cluster.leases import DURATION, RENEWAL, FencedError, Lease, Leases, hold_leases
from vault.store.fencing import fence_transactions
from vault.store.interface import UNKNOWN, BackendError, StoreSession, WriteSet
from vault.store.store import Store
from vault.store.tables import LEASES, SYSTEM

LATER = DURATION + 0.1


class Agent:
    """A store, its own clocks, and a job that needs the lease `work`."""

    def __init__(self, store: Store, world: FakeWorld, *, shared: bool = True) -> None:
        self.store = store
        self.world = world
        self.runs = 0
        self.leases = Leases(store, world, shared=shared)
        self.run = self.leases.run_leased("work", self._work)

    async def _work(self) -> None:
        self.runs += 1
        await self.store.commit(put(SYSTEM, system("effect", str(self.runs).encode())))

    @property
    def lease(self) -> Lease:
        """What it has."""
        lease = self.leases.held("work")
        assert lease is not None
        return lease


@pytest.fixture
def backend() -> FaultyBackend:
    """A shared database that fails where it is told to."""
    made = FaultyBackend(SharedMemory())
    made.open()
    first_stamp(made)
    return made


@pytest.fixture
async def agents(backend: FaultyBackend) -> AsyncIterator[list[Agent]]:
    """Two on one database, each with an id of its own."""
    async with AsyncExitStack() as stack:
        found = []
        for number in range(2):
            world = FakeWorld()
            for _ in range(number):
                world.new_id()
            store = await stack.enter_async_context(following(backend, str(number), world))
            found.append(Agent(store, world))
        yield found


def advance(agents: list[Agent], seconds: float) -> None:
    """Time passes for all."""
    for agent in agents:
        agent.world.advance(seconds)


async def test_the_work_runs_at_one_agent(agents: list[Agent]) -> None:
    """Which goes on with it as long as it renews its lease."""
    one, other = agents
    for _ in range(20):
        for agent in agents:
            await agent.leases.renew()
            await agent.run()
        advance(agents, RENEWAL)
    assert (one.runs, other.runs) == (20, 0)
    assert one.lease.epoch == 1


async def test_nothing_begins_before_there_is_a_lease(agents: list[Agent]) -> None:
    """A job that is due earlier waits for its next turn."""
    await agents[0].run()
    assert agents[0].runs == 0


async def test_who_waits_costs_no_transaction(agents: list[Agent]) -> None:
    """It reads what the change feed brings."""
    one, other = agents
    await one.leases.renew()
    for _ in range(20):
        await one.leases.renew()
        await other.leases.renew()
        advance(agents, RENEWAL)
    assert other.store.statistics().transactions == 0


async def test_a_holder_that_is_paused(agents: list[Agent]) -> None:
    """It begins nothing after its time, and what it has begun stores nothing."""
    one, other = agents
    await one.leases.renew()
    lease = one.lease
    advance(agents, LATER)
    assert not lease.is_held
    await one.run()
    assert one.runs == 0
    await one.store.commit(lease.fence)  # nobody else has it: what it began may still end
    await other.leases.renew()
    await other.run()
    assert other.lease.epoch == 2
    with fence_transactions(lease.fence), pytest.raises(FencedError):
        await one.store.commit(put(SYSTEM, system("effect", b"stale")))
    assert await other.store.get(SYSTEM, "effect") == system("effect", b"1")
    await one.leases.renew()
    assert one.leases.held("work") is None


async def test_a_holder_that_comes_back_in_time(agents: list[Agent]) -> None:
    """Nobody took it: it goes on, with a new epoch."""
    one, _ = agents
    await one.leases.renew()
    before = one.lease
    advance(agents, LATER)
    await one.leases.renew()
    assert one.lease.epoch == 2
    with pytest.raises(FencedError):
        await one.store.commit(before.fence)


async def test_work_that_loses_its_lease(
    agents: list[Agent], caplog: pytest.LogCaptureFixture
) -> None:
    """It ends without an error of the job, and does not begin again."""
    one, other = agents
    await one.leases.renew()

    async def work() -> None:
        one.runs += 1
        advance(agents, LATER)
        await other.leases.renew()
        await one.store.commit(put(SYSTEM, system("effect")))

    run = one.leases.run_leased("work", work)
    await run()
    assert one.leases.held("work") is None
    await run()
    assert one.runs == 1
    assert await one.store.get(SYSTEM, "effect") is None
    assert "the lease 'work' of this work was lost" in caplog.text


async def test_each_way_to_commit_is_fenced(agents: list[Agent]) -> None:
    """In the task of the work, and in one that it has started."""
    one, other = agents
    await one.leases.renew()
    lease = one.lease
    advance(agents, LATER)
    await other.leases.renew()
    change = put(SYSTEM, system("effect"))
    with fence_transactions(lease.fence):
        with pytest.raises(FencedError):
            await one.store.commit(change)
        with pytest.RaisesGroup(FencedError):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.store.commit, change)
    assert await one.store.get(SYSTEM, "effect") is None
    await one.store.commit(change)  # behind the block it is anybody's


async def test_fences_add_up(agents: list[Agent]) -> None:
    """Work within work needs both leases."""
    one, other = agents
    outer = (await one.leases.claim(["outer"]))["outer"]
    await one.leases.renew()
    advance(agents, LATER)
    inner = (await one.leases.claim(["inner"]))["inner"]
    await other.leases.claim(["outer"])
    with (
        fence_transactions(outer.fence),
        fence_transactions(inner.fence),
        pytest.raises(FencedError, match="outer"),
    ):
        await one.store.commit(put(SYSTEM, system("effect")))


async def test_a_lease_that_is_given_up(agents: list[Agent]) -> None:
    """The next one need not wait; the epochs go on."""
    one, other = agents
    async with hold_leases(one.leases):
        lease = one.lease
        assert lease.epoch == 1
        await other.leases.renew()
        assert other.leases.held("work") is None
    with pytest.raises(FencedError) as fenced:
        await one.store.commit(lease.fence)
    assert fenced.value.details == {"lease": "work", "outcome": "none"}
    await other.leases.renew()
    assert other.lease.epoch == 2
    await one.leases.release()
    await one.leases.renew()
    assert one.leases.held("work") is None


async def test_what_another_has_by_now_is_not_given_up(agents: list[Agent]) -> None:
    """Whoever was paused and is stopped then."""
    one, other = agents
    await one.leases.renew()
    advance(agents, LATER)
    await other.leases.renew()
    await one.leases.release()
    await other.store.commit(other.lease.fence)


async def test_an_agent_that_was_killed(agents: list[Agent]) -> None:
    """Its successor in the same place waits as everybody does: the process may still be there."""
    one, _ = agents
    await one.leases.renew()
    again = Agent(one.store, one.world)
    await again.leases.renew()
    assert again.leases.held("work") is None
    advance(agents, LATER)
    await again.leases.renew()
    assert again.lease.epoch == 2


async def test_two_who_take_at_once(agents: list[Agent]) -> None:
    """One gets it."""
    for epoch in range(1, 20):
        async with trio.open_nursery() as nursery:
            for agent in agents:
                nursery.start_soon(agent.leases.renew)
        held = [agent.leases.held("work") for agent in agents]
        assert sum(lease is not None for lease in held) == 1
        assert {lease.epoch for lease in held if lease is not None} == {epoch}
        advance(agents, LATER)


class SlowMemory(SharedMemory):
    """A database whose answers may take a while."""

    after_write: Callable[[], object] = staticmethod(lambda: None)

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """Stored at once, answered later."""
        super().write(apply)
        self.after_write()


async def test_time_counts_from_before_it_asked() -> None:
    """An answer that took long has brought a lease that is over, and is renewed."""
    backend, world = SlowMemory(), FakeWorld()
    backend.open()
    first_stamp(backend)
    async with following(backend, "one", world) as store:
        one = Agent(store, world)
        backend.after_write = lambda: world.advance(LATER)
        await one.leases.renew()
        assert one.leases.held("work") is None
        backend.after_write = lambda: world.advance(DURATION / 2)
        await one.leases.renew()
        assert one.lease.covers(DURATION / 2 - 0.1)
        assert not one.lease.covers(DURATION / 2)


@pytest.mark.parametrize("seconds", [-86_400.0, -5.0, 5.0, 86_400.0])
async def test_a_clock_that_jumps(agents: list[Agent], seconds: float) -> None:
    """Ahead: the lease may end early. Back: it does not last for a day once its holder is gone."""
    one, other = agents
    await one.leases.renew()
    lease = one.lease
    for agent in agents:
        agent.world.step_wall(seconds)
    for _ in range(6):
        await other.leases.renew()
        advance(agents, RENEWAL)
    assert other.lease.epoch == 2
    with pytest.raises(FencedError):
        await one.store.commit(lease.fence)


async def test_a_holder_that_lives_keeps_it_when_the_clock_is_set_back(
    agents: list[Agent],
) -> None:
    """Its row changes, so nobody takes it for dead."""
    for number in range(10):
        for agent in agents:
            await agent.leases.renew()
        if number == 3:
            for agent in agents:
                agent.world.step_wall(-3600)
        advance(agents, RENEWAL)
    assert agents[0].lease.epoch == 1


async def test_a_database_that_fails(
    backend: FaultyBackend, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The work goes on until its time is over, then it waits; told once, and then it goes on."""
    _ = autojump_clock
    caplog.set_level(logging.INFO)
    world = TrioWorld()
    async with following(backend, "one", world) as store:
        one = Agent(store, world)
        await one.leases.renew()
        for held in (True, True, True, False, False):
            await world.sleep(RENEWAL + 0.1)
            backend.faults = [("begin", BackendError("store_unavailable", "gone"))]
            await one.leases.renew()
            assert (one.leases.held("work") is not None) is held
        assert caplog.text.count("their work waits: gone") == 1
        await world.sleep(RENEWAL)
        await one.leases.renew()
        assert one.lease.epoch == 2


async def test_a_claim_in_doubt(backend: FaultyBackend, autojump_clock: MockClock) -> None:
    """It was stored, and its answer was lost: the agent finds it, and need not wait for its end."""
    _ = autojump_clock
    world = TrioWorld()
    async with following(backend, "one", world) as store:
        one = Agent(store, world)
        backend.faults = [("stored", BackendError("store_unavailable", "gone", UNKNOWN))]
        await one.leases.renew()
        assert one.leases.held("work") is None
        await world.sleep(RENEWAL)
        await one.leases.renew()
        assert one.lease.epoch == 1


async def test_a_database_that_fails_at_the_end(
    backend: FaultyBackend, agents: list[Agent], caplog: pytest.LogCaptureFixture
) -> None:
    """The stop goes on; the lease expires."""
    async with hold_leases(agents[0].leases):
        backend.faults = [("begin", BackendError("store_unavailable", "gone"))]
    assert "not released, they expire: gone" in caplog.text


async def test_an_agent_that_has_its_database_alone(agents: list[Agent]) -> None:
    """There are no leases: nothing is written while nothing is done."""
    alone = Agent(agents[0].store, agents[0].world, shared=False)
    assert alone.leases.jobs == []
    assert alone.leases.watch("other")()
    async with hold_leases(alone.leases):
        assert alone.store.statistics().transactions == 0
        await alone.run()
    assert alone.runs == 1
    assert await alone.store.get(LEASES, "work") is None


async def test_effects_outside_of_the_database(agents: list[Agent]) -> None:
    """Whoever makes them asks before each."""
    watches = [agent.leases.watch("report") for agent in agents]
    assert [watch() for watch in watches] == [False, False]
    for agent in agents:
        await agent.leases.renew()
    assert [watch() for watch in watches] == [True, False]
    advance(agents, LATER)
    await agents[1].leases.renew()
    assert [watch() for watch in watches] == [False, True]


async def test_its_job_renews(agents: list[Agent]) -> None:
    """Often enough that two renewals may fail; it looks at those of others more often."""
    (job,) = agents[0].leases.jobs
    assert RENEWAL * 3 < DURATION
    assert job.period < RENEWAL
    await job.run()
    ends = agents[0].lease.seconds_left
    for passed in (1, 2):
        advance(agents, job.period)
        await job.run()
        assert agents[0].lease.seconds_left == (ends - passed if passed < RENEWAL else ends)


async def test_a_lease_that_is_taken_for_one_piece_of_work(agents: list[Agent]) -> None:
    """Another agent gets it once it is given back, and not before."""
    one, other = agents
    assert await one.leases.take("piece")
    assert not await other.leases.take("piece")
    for _ in range(10):
        advance(agents, RENEWAL)
        for agent in agents:
            await agent.leases.renew()
        assert one.leases.has("piece")
        assert not other.leases.has("piece")
    await one.leases.give_back("piece")
    assert not one.leases.has("piece")
    assert await other.leases.take("piece")
    await other.leases.give_back("piece")
    advance(agents, LATER)
    for agent in agents:
        await agent.leases.renew()
        assert not agent.leases.has("piece")


async def test_a_taken_lease_of_an_agent_that_died_expires(agents: list[Agent]) -> None:
    """Nobody has to give it back."""
    one, other = agents
    assert await one.leases.take("piece")
    advance(agents, LATER)
    assert not one.leases.has("piece")
    assert await other.leases.take("piece")


async def test_without_other_agents_a_lease_is_always_there(backend: FaultyBackend) -> None:
    """And costs no transaction."""
    async with following(backend, "0", FakeWorld()) as store:
        alone = Leases(store, FakeWorld(), shared=False)
        assert await alone.take("piece")
        assert alone.has("piece")
        await alone.give_back("piece")
        assert alone.jobs == []
        assert await store.get(LEASES, "piece") is None
