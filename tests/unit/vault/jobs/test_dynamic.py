"""The end of leases: what is due goes on, and nobody waits for a server that hangs."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio
import trio.testing
from msgspec.structs import replace

from actors.testing import FakeWorld
from protocols.instant import HOUR
from vault.cluster.leases import Lease
from vault.errors import ConflictError
from vault.jobs.dynamic import (
    BATCH,
    PER_CONNECTION,
    SWEEP_INTERVAL,
    DynamicParts,
    count_lease_states,
    open_lease_expiry,
)
from vault.model.dynamic import UNRENEWED_ALERT, LeaseCounts
from vault.model.operation import Operation
from vault.model.records import ConnectionRow, DynamicLeaseRow, LeaseClientRow
from vault.model.results import OrphanedUsers
from vault.model.rotation_report import LeaseStates

NOW: Final = 1_800_000_000 * 10**9


def lease(name: str, connection: str = "main", **more: Any) -> DynamicLeaseRow:
    """One that is due."""
    return DynamicLeaseRow(
        **{
            "id": f"database/creds/app/{name}", "state": "revoking", "username": name,
            "kind": "fake", "connection": connection, "config": {}, "parent": "", "owner": "",
            "owner_name": "", "client": "", "ttl": HOUR, "issued_at": 0, "expires_at": 0,
            "max_expires_at": 0, "next_at": NOW, **more,
        }
    )  # fmt: skip


@dataclass
class Vault:
    """What is due, and the operations that are asked for."""

    rows: list[DynamicLeaseRow] = field(default_factory=list)
    clients: list[LeaseClientRow] = field(default_factory=list)
    connections: list[ConnectionRow] = field(default_factory=list)
    asked: list[Operation] = field(default_factory=list)
    answer: Callable[[Operation], Any] = lambda _: None
    hanging: set[str] = field(default_factory=set)
    irrevocable: int = 0
    lease: Lease | None = None
    is_shared: bool = False
    world: FakeWorld = field(default_factory=lambda: FakeWorld(NOW))

    async def list_due(self, now: int, limit: int, connection: str = "") -> list[DynamicLeaseRow]:
        """In the order of their ids."""
        await trio.lowlevel.checkpoint()
        rows = sorted(self.rows, key=lambda row: row.id)
        due = [row for row in rows if 0 < row.next_at <= now]
        return [row for row in due if connection in {"", row.connection}][:limit]

    async def list_leases(
        self, _prefix: str, state: str, after: str, limit: int
    ) -> list[DynamicLeaseRow]:
        """Those in a state."""
        await trio.lowlevel.checkpoint()
        rows = sorted(self.rows, key=lambda row: row.id)
        return [row for row in rows if row.state == state and row.id > after][:limit]

    async def list_clients(self, after: str | None, limit: int) -> list[LeaseClientRow]:
        """All of them."""
        await trio.lowlevel.checkpoint()
        return [row for row in self.clients if after is None or row.client > after][:limit]

    async def count_leases(self) -> int:
        """As many as there are."""
        await trio.lowlevel.checkpoint()
        return len(self.rows)

    async def list_connections(self) -> list[ConnectionRow]:
        """All of them."""
        await trio.lowlevel.checkpoint()
        return self.connections

    async def run(self, op: Operation) -> Any:
        """Ask, or wait for a server that hangs."""
        self.asked.append(op)
        row = next((row for row in self.rows if row.id == op.path), None)
        if row is not None and row.connection in self.hanging:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return self.answer(op)

    def parts(self) -> DynamicParts:
        """For the job."""

        def on_irrevocable() -> None:
            self.irrevocable += 1

        held = (lambda: self.lease) if self.is_shared else None
        return DynamicParts(self, self.run, self.world, held, on_irrevocable)  # type: ignore[arg-type]

    def over(self, op: Operation) -> Any:
        """A step after which a lease is over."""
        row = next(row for row in self.rows if row.id == op.path)
        done = replace(row, state="revoked", next_at=0)
        self.rows[self.rows.index(row)] = done
        return done


async def turn(vault: Vault) -> None:
    """One turn, with all that comes of it."""
    async with open_lease_expiry(vault.parts()) as expiry:
        await expiry.run_turn()
        await trio.testing.wait_all_tasks_blocked()


async def test_each_due_lease_takes_its_steps() -> None:
    """And no other one does."""
    vault = Vault([lease("a"), lease("b"), lease("later", next_at=NOW + HOUR)])
    vault.answer = vault.over
    await turn(vault)
    assert sorted(op.path for op in vault.asked) == [vault.rows[0].id, vault.rows[1].id]
    assert all(op.service == "dynamic" for op in vault.asked)


async def test_one_turn_is_enough_for_many() -> None:
    """Whatever waits for a place takes its step as soon as there is one."""
    vault = Vault([lease(f"a{n:03}") for n in range(BATCH - 1)])
    vault.answer = vault.over
    await turn(vault)
    assert {row.state for row in vault.rows} == {"revoked"}
    assert len(vault.asked) == len(vault.rows)


async def test_a_server_that_hangs_delays_no_other() -> None:
    """It has so many steps under way, and the rest goes to others, however many wait for it."""
    vault = Vault(
        [lease(f"a{n:03}", "hangs") for n in range(2 * BATCH)] + [lease("z", "other")],
        connections=[connection("hangs"), connection("other")],
        hanging={"hangs"},
    )
    vault.answer = vault.over
    await turn(vault)
    paths = [op.path for op in vault.asked]
    assert len(paths) == PER_CONNECTION + 1
    assert vault.rows[-1].id in paths
    assert vault.rows[-1].state == "revoked"


async def test_no_step_begins_behind_the_end() -> None:
    """One that is under way is not cut in two; those that wait for it are not taken after it."""
    vault = Vault([lease(f"a{n}") for n in range(2 * PER_CONNECTION)])
    ended = trio.Event()

    async def run(op: Operation) -> Any:
        vault.asked.append(op)
        with trio.CancelScope(shield=True):
            await ended.wait()
        return vault.over(op)

    parts = dataclasses.replace(vault.parts(), run=run)
    async with trio.open_nursery() as nursery, open_lease_expiry(parts) as expiry:
        await expiry.run_turn()
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(_set_soon, ended)
    assert len(vault.asked) == PER_CONNECTION


async def _set_soon(event: trio.Event) -> None:
    await trio.testing.wait_all_tasks_blocked()
    event.set()


async def test_nothing_begins_without_time_of_the_lease() -> None:
    """A holder whose lease ends takes no step that it could not fence."""
    vault = Vault([lease("a")], is_shared=True)
    await turn(vault)
    vault.lease = Lease("dynamic", "me", 1, vault.world.uptime() + 1.0, vault.world)
    await turn(vault)
    assert vault.asked == []


async def test_a_step_that_somebody_else_took_is_no_error() -> None:
    """The row says what comes next."""
    vault = Vault([lease("a"), lease("b")])

    def answer(op: Operation) -> Any:
        if op.path.endswith("a"):
            raise ConflictError("lease_moved", "somebody was quicker")
        return vault.over(op)

    vault.answer = answer
    await turn(vault)
    assert vault.rows[1].state == "revoked"


async def test_what_becomes_irrevocable_is_an_alert_once() -> None:
    """Tried again it is none."""
    vault = Vault([lease("a"), lease("b", state="irrevocable")])

    def answer(op: Operation) -> Any:
        row = next(row for row in vault.rows if row.id == op.path)
        return replace(row, state="irrevocable", next_at=NOW + HOUR, error_code="target_down")

    vault.answer = answer
    await turn(vault)
    assert vault.irrevocable == 1


async def test_servers_are_swept_one_at_a_time_and_not_at_once() -> None:
    """After an hour; how many users belong to no lease is counted."""
    vault = Vault(connections=[connection("one"), connection("two")])
    vault.answer = lambda _: OrphanedUsers(unknown=["x", "y"], dropped=[])
    async with open_lease_expiry(vault.parts()) as expiry:
        await expiry.run_turn()
        assert vault.asked == []
        vault.world.advance(SWEEP_INTERVAL)
        for count in (1, 2, 2):
            await expiry.run_turn()
            await trio.testing.wait_all_tasks_blocked()
            assert len(vault.asked) == count
        assert expiry.counts.orphans == 4


def connection(name: str) -> ConnectionRow:
    """One."""
    return ConnectionRow(
        path=name, kind="fake", secret="s", created_at=0, updated_at=0, updated_by=""
    )


async def test_counts_for_the_metrics() -> None:
    """What is away, what somebody has to look at, and who never renews."""
    vault = Vault(
        [
            lease("a", state="active"),
            lease("b"),
            lease("c", attempt=1),
            lease("d", state="irrevocable", attempt=12),
        ]
    )
    vault.clients = [
        LeaseClientRow(client="", leases=4, unrenewed=99),
        LeaseClientRow(client="a", leases=1, unrenewed=UNRENEWED_ALERT),
        LeaseClientRow(client="b", leases=1, unrenewed=UNRENEWED_ALERT - 1),
        LeaseClientRow(client="gone", unrenewed=UNRENEWED_ALERT),
    ]
    async with open_lease_expiry(vault.parts()) as expiry:
        await expiry.count()
    assert expiry.counts == LeaseCounts(leases=4, failing=1, irrevocable=1, unrenewed=1)
    assert await count_lease_states(vault) == LeaseStates(1, 2, 1, unrenewed=1)
