"""Leases among agents that are paused, killed and given wrong clocks, in an order by chance.

Each agent has its own clocks, and each of its transactions runs whole. What must hold in every run:
no effect of a former holder is stored, whatever the clocks say; while no clock jumps, no two agents
believe at the same time that they have the lease; and once everything works again, one agent has it
and keeps it.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from actors.testing import FakeWorld
from tests.contract.store.harness import first_stamp, following
from tests.contract.store.lease_overlaps import note_effect, read_ledger
from tests.support.shared_files import SharedMemory
from vault.cluster.leases import DURATION, RENEWAL, FencedError, Lease, Leases
from vault.store.fencing import fence_transactions
from vault.store.store import Store

AGENTS, STEPS = 3, 400
NAME = "work"


class Machine:
    """An agent: it may be alive, paused in the middle of its work, or dead."""

    def __init__(self, store: Store, world: FakeWorld) -> None:
        self.store = store
        self.world = world
        self.begun: list[Lease] = []  # work that has looked at its lease and has not ended
        self.stored = self.refused = 0
        self.start()

    def start(self) -> None:
        """Begin as a new process; what the one before had begun may still end."""
        self.leases = Leases(self.store, self.world, shared=True)
        self.leases.run_leased(NAME, self.begin)

    async def begin(self) -> None:
        """Look at the lease, and be paused for an unknown time."""
        lease = self.leases.held(NAME)
        if lease is not None:
            self.begun.append(lease)

    async def end(self, *, checked: bool) -> None:
        """Store what was begun first."""
        if not self.begun:
            return
        lease = self.begun.pop(0)
        change = partial(note_effect, lease=lease)
        try:
            if checked:
                with fence_transactions(lease.fence):
                    await self.store.commit(change)
            else:
                await self.store.commit(change)
        except FencedError:
            self.refused += 1
        else:
            self.stored += 1

    @property
    def believes(self) -> bool:
        """Whether it would begin work."""
        return self.leases.held(NAME) is not None


@asynccontextmanager
async def machines() -> AsyncIterator[list[Machine]]:
    """Agents on one database."""
    backend = SharedMemory()
    backend.open()
    first_stamp(backend)
    async with AsyncExitStack() as stack:
        found = []
        for number in range(AGENTS):
            world = FakeWorld()
            for _ in range(number * 1_000):
                world.new_id()  # so that no two have the same
            store = await stack.enter_async_context(following(backend, str(number), world))
            found.append(Machine(store, world))
        yield found


def pass_time(agents: list[Machine], seconds: float) -> None:
    """The same time for all, whatever their clocks say."""
    for agent in agents:
        agent.world.advance(seconds)


async def disturb(
    agents: list[Machine], chance: random.Random, *, jumps: bool, checked: bool = True
) -> None:
    """One thing that happens to one of them."""
    agent = chance.choice(agents)
    happenings: list[tuple[int, Callable[[], object]]] = [
        (30, lambda: pass_time(agents, chance.choice((0.1, RENEWAL, DURATION + 0.1)))),
        (30, agent.leases.renew),
        (20, agent.begin),
        (20, partial(agent.end, checked=checked)),
        (2, agent.start),
        (2, agent.leases.release),
        (
            6 * jumps,
            lambda: agent.world.step_wall(chance.uniform(-1, 1) * 10 ** chance.randint(0, 6)),
        ),
    ]
    weights, calls = zip(*happenings, strict=True)
    (call,) = chance.choices(calls, weights)
    done = call()
    if done is not None:
        await done  # type: ignore[misc]  # of those that return anything


async def settle(agents: list[Machine]) -> list[bool]:
    """Everything works again, and the clocks are right; who believes to have it after a while."""
    latest = max(agent.world.wall() for agent in agents)
    for agent in agents:
        agent.world.step_wall((latest - agent.world.wall()) / 10**9 - 50_000)
    for _ in range(10):
        for agent in agents:
            await agent.leases.renew()
        pass_time(agents, RENEWAL)
    return [agent.believes for agent in agents]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("jumps", [False, True])
async def test_no_effect_of_a_former_holder(seed: int, *, jumps: bool) -> None:
    """Whatever happens; and at the end one has the lease."""
    chance = random.Random(seed)  # repeats
    async with machines() as agents:
        for _ in range(STEPS):
            await disturb(agents, chance, jumps=jumps)
            if not jumps:
                assert sum(agent.believes for agent in agents) <= 1
        ledger = await agents[0].store.commit(partial(read_ledger, name=NAME))
        assert ledger.stale == 0
        assert ledger.effects == sum(agent.stored for agent in agents)
        believing = await settle(agents)
        assert sum(believing) == 1
        assert await settle(agents) == believing


async def test_the_disturbances_are_real() -> None:
    """Work is refused, and without the check it would have been stored."""
    refused = stale = 0
    for seed in range(3):
        for checked in (True, False):
            chance = random.Random(seed)
            async with machines() as agents:
                for _ in range(STEPS):
                    await disturb(agents, chance, jumps=True, checked=checked)
                refused += sum(agent.refused for agent in agents)
                stale += (await agents[0].store.commit(partial(read_ledger, name=NAME))).stale
    assert refused > 0
    assert stale > 0
