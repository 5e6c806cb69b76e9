"""Two nodes on one database: each has its own log and anchor, and all are verified together."""

import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from actors.testing import FakeWorld
from tests.contract.store.samples import put, secret
from tests.support.databases import SERVERS, remove_rows, server_backend
from vault.audit.broker import AuditBroker, open_audit
from vault.audit.checkpoint import log_id_of, log_origin
from vault.audit.layout import LogLayout
from vault.audit.retention import RetentionNotice
from vault.audit.sinks.file import FileSink
from vault.audit.testing import NOW, make_event
from vault.audit.verify import BadLogError, LogVerdict, LogVerifier
from vault.audit.writer import AuditConfig
from vault.barrier import KEYRING_ROW, HmacRowGuard
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError, TamperedError, UnavailableError
from vault.model.records import MountMoveRow, MountRow, NodeRow, SystemRow
from vault.seal.anchor import acceptance
from vault.seal.anchor.acceptance import Acceptance
from vault.seal.anchor.commit_stamp import CommitStampWriter
from vault.seal.anchor.witness import LogWitness, read_server_witnesses
from vault.seal.bootstrap import BackendSystemTable
from vault.seal.bound_keys import bind_audit_keys
from vault.seal.nodes import (
    HEARTBEAT_INTERVAL,
    SILENCE_SECONDS,
    NodeHeartbeat,
)
from vault.seal.startup_checks import SealPaths, StartupState, run_startup_checks
from vault.store.interface import StoreSession
from vault.store.node_levels import LIVE_SECONDS
from vault.store.row_index import RowIndex
from vault.store.server import Role, ServerBackend, run
from vault.store.store import Store, open_store
from vault.store.table import StoreQuery
from vault.store.tables import MOUNT_MOVES, MOUNTS, NODES, SCHEMA_LEVEL, SECRETS
from vault.store.transaction import StoreTx

KEYRING = Keyring.create(NOW, org="o", vault="v")
ROOT_KEY = bytes(32)
MOUNT = MountRow(path="kv/", id="m", accessor="kv_m", created_at=NOW)
MOVE = MountMoveRow(id="1", mount_id="m", source="old/", target="kv/", moved_at=NOW, moved_by="ann")


class Machine:
    """A data folder, and an agent that can be started on it."""

    def __init__(self, url: str, folder: Path, number: int, name: str = "") -> None:
        self.url, self.folder = url, folder
        self.world, self.keyring = FakeWorld(now=NOW), KEYRING
        for _ in range(number * 1000):  # other ids than other machines
            self.world.new_id()
        self.paths = SealPaths(
            folder / "vault.anchor", folder / "audit.log", machine=name or folder.name
        )

    async def check(self, backend: ServerBackend) -> StartupState:
        """As an opening finds it."""
        keys = partial(bind_audit_keys, self.keyring)
        return await run_startup_checks(self.paths, backend, self.keyring, keys, self.world)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Running"]:
        """Store and log of an agent, for the length of the block."""
        backend = server_backend(self.url)
        backend.open()
        try:
            startup = await self.check(backend)
            self.keyring = startup.keyring
            rows = RowIndex(startup.resume_point.rows)
            sink = FileSink(self.paths.log, reserve_bytes=0, durability="write")
            node = startup.node.id
            async with (
                open_store(
                    backend, HmacRowGuard(self.keyring), self.world,
                    stamper=startup.stamp_writer, index=rows,
                ) as store,
                startup.join(store, ROOT_KEY, "1.0"),
                open_audit(
                    AuditConfig(), bind_audit_keys(KEYRING, node), log_id_of("v", node), [sink],
                    self.world, followers=[startup.anchor_writer],
                    commits=lambda: startup.stamp_writer.commits,
                ) as audit,
            ):  # fmt: skip
                await startup.record_acceptance(audit)
                yield Running(startup, store, audit)
            await startup.anchor_writer.write_anchor()
        finally:
            backend.close()

    def verify(self, witness: LogWitness | None = None) -> LogVerdict:
        """Read the log through."""
        keys = bind_audit_keys(KEYRING, "unused")
        verifier = LogVerifier(
            LogLayout(self.paths.log), keys, None, witness.note if witness else ""
        )
        for _ in verifier.records():
            pass
        return verifier.verdict()


class Running:
    """An agent that runs."""

    def __init__(self, startup: StartupState, store: Store, audit: AuditBroker) -> None:
        self.startup, self.store, self.audit = startup, store, audit

    @property
    def node(self) -> str:
        """Its id."""
        return self.startup.node.id

    @property
    def stamper(self) -> CommitStampWriter:
        """What it stamps its commits with."""
        return self.startup.stamp_writer

    async def work(self, name: str) -> None:
        """A change as the pipeline makes it, with its records."""
        await self.audit.record(make_event())
        await self.store.commit(put(SECRETS, secret(name)))
        await self.audit.record(make_event())


class Reaction:
    """What is done about damage."""

    def __init__(self) -> None:
        self.sealed = 0
        self.recorded: list[str] = []

    def begin_recount(self) -> Callable[[StoreSession], None]:
        """Not asked for here."""
        raise AssertionError

    def seal(self) -> None:
        """Count it."""
        self.sealed += 1

    def alert(self) -> None:
        """Somebody is told."""

    async def record(self, code: str, what: str) -> None:
        """Keep the code."""
        assert what
        self.recorded.append(code)


@pytest.fixture(params=SERVERS)
async def url(request: pytest.FixtureRequest) -> str:
    """A new vault on each kind of server."""
    address: str = request.getfixturevalue(f"{request.param}_url")
    backend = server_backend(address)
    remove_rows(backend)
    backend.open()
    keyring = SystemRow(name=KEYRING_ROW, value=KEYRING.encode(ROOT_KEY))
    await BackendSystemTable(backend, FakeWorld(now=NOW)).create_vault(KEYRING, [keyring], None)
    backend.close()
    return address


@pytest.fixture
def machines(url: str, tmp_path: Path) -> list[Machine]:
    """Two of them."""
    found = []
    for number, name in enumerate(("one", "two"), 1):
        (tmp_path / name).mkdir()
        found.append(Machine(url, tmp_path / name, number))
    return found


def witnesses(url: str) -> dict[str, LogWitness]:
    """What the database has seen of each log, by its origin; the newest."""
    found = sorted(read_server_witnesses(server_backend(url)), key=lambda one: one.size)
    return {witness.origin: witness for witness in found}


async def rows(running: Running) -> dict[str, NodeRow]:
    """The nodes by their ids."""
    await running.store.catch_up()
    return {row.id: row for row in await running.store.select(NODES, StoreQuery())}


def execute(url: str, statement: str, *values: Any) -> None:
    """As somebody who can write the database and has no key."""
    connection = server_backend(url).connect_driver(Role.WRITE)
    run(connection, statement, list(values) or None)
    connection.close()


async def test_each_node_has_its_own_log_and_anchor(url: str, machines: list[Machine]) -> None:
    """One after the other, and again; the database says how far each log was."""
    ids = []
    for name in ("a", "b", "c"):
        for machine in machines:
            async with machine.open() as running:
                assert running.startup.joins is (name == "a" and machine is machines[1])
                assert running.startup.is_first is (name == "a" and machine is machines[0])
                await running.work(name + machine.folder.name)
                ids.append(running.node)
    assert len(set(ids)) == 2
    assert ids == ids[:2] * 3, "a node keeps its id"
    seen = witnesses(url)
    for machine, node in zip(machines, ids[:2], strict=True):
        origin = log_origin(log_id_of("v", node))
        assert seen[origin].machine == machine.folder.name
        verdict = machine.verify(seen[origin])
        assert verdict.origin == origin
        assert verdict.size >= seen[origin].size
        assert machine.paths.anchor.exists()
    keys = [machine.verify().public for machine in machines]
    assert keys[0] != keys[1]


async def test_two_at_the_same_time(url: str, machines: list[Machine]) -> None:
    """The commits of both are in one order, and no head of a log is lost between them."""
    async with machines[0].open() as one, machines[1].open() as two:

        async def work(running: Running) -> None:
            for number in range(10):
                await running.work(f"{running.node}-{number}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, one)
            nursery.start_soon(work, two)
        for running in (one, two):
            await running.store.catch_up()
            assert running.store.finding is None
            assert len(await running.store.select(SECRETS, StoreQuery())) == 20
            await running.store.inspect(
                partial(running.stamper.begin_recount, HmacRowGuard(KEYRING))
            )
    seen = witnesses(url)
    for machine, running in zip(machines, (one, two), strict=True):
        assert seen[log_origin(log_id_of("v", running.node))].size > 20
        machine.verify(seen[log_origin(log_id_of("v", running.node))])
        backend = server_backend(url)
        backend.open()
        found = await machine.check(backend)
        backend.close()
        assert found.resume_point.accepted_findings == ()


async def test_a_lone_node_writes_no_row_for_its_commits(machines: list[Machine]) -> None:
    """Its head is in the stamp. The row is written when another node replaces that stamp."""
    async with machines[0].open() as one:
        await one.work("a")
        first = (await rows(one))[one.node]
        await one.work("b")
        await one.store.commit(lambda _: None)
        assert (await rows(one))[one.node] == first
        async with machines[1].open() as two:
            other = (await rows(two))[one.node]
            assert other.checkpoint == one.stamper.checkpoint != first.checkpoint


@pytest.mark.parametrize("what", ["log", "anchor", "database"])
async def test_what_was_set_back_is_found_by_its_node(
    what: str, url: str, machines: list[Machine], tmp_path: Path
) -> None:
    """Though others have committed since. The other node starts: it is not its business."""
    one, two = machines
    async with one.open() as running:
        await running.work("a")
    copy = tmp_path / "copy"
    shutil.copytree(one.folder, copy)
    async with one.open() as running:
        await running.work("b")
    async with two.open() as other:
        await other.work("c")
    code = {"log": "audit_log_behind", "anchor": "anchor_missing", "database": ""}[what]
    if what == "log":
        for file in copy.glob("audit.log*"):
            shutil.copy(file, one.folder)
    elif what == "anchor":
        one.paths.anchor.unlink()
    else:
        execute(url, "DELETE FROM nodes WHERE name = %s", "one")
        code = "storage_rows_changed"
    with pytest.raises(TamperedError) as refused:
        async with one.open():
            pass
    assert refused.value.code == code
    if what != "database":
        async with two.open() as other:
            await other.work("d")
    if what == "log":
        with pytest.raises(BadLogError, match="the witness has seen"):
            one.verify(witnesses(url)[log_origin(log_id_of("v", running.node))])


async def test_what_a_node_ordered_stays_its_own(machines: list[Machine]) -> None:
    """A seal, and the announcement of a deletion: another node's commit does not end them."""
    one, two = machines
    notice = RetentionNotice(3, 40, NOW + 10**18)
    async with one.open() as running:
        running.startup.retention.notice = notice
        await running.startup.persist_seal_order(running.store)
    async with two.open() as other:
        other.startup.require_operator()
        assert other.startup.retention.notice is None
        await other.work("a")
    backend = server_backend(one.url)
    backend.open()
    found = await one.check(backend)
    backend.close()
    assert found.retention.notice == notice
    assert found.resume_point.recorded.sealed_at > 0
    with pytest.raises(UnavailableError, match="sealed_on_order"):
        found.require_operator()


async def test_a_machine_whose_files_are_gone(url: str, machines: list[Machine]) -> None:
    """It is no new node without more ado, while nobody of its name runs."""
    async with machines[0].open() as running:
        await running.work("a")
        old = running.node
    for file in machines[0].folder.iterdir():
        file.unlink()
    machines[0].world.advance(LIVE_SECONDS + 1)
    with pytest.raises(TamperedError, match=f"node {old} had its audit log here") as refused:
        async with machines[0].open():
            pass
    assert refused.value.code == "audit_log_behind"
    now = machines[0].world.wall()
    acceptance.write_acceptance(machines[0].paths.anchor, Acceptance(now, "the disk broke"))
    async with machines[0].open() as running:
        assert running.node != old
        await running.work("b")
    assert log_origin(log_id_of("v", old)) in witnesses(url), "its log is still asked for"
    async with machines[0].open() as again:
        assert again.node == running.node


async def test_a_copied_data_folder_is_noticed(machines: list[Machine], tmp_path: Path) -> None:
    """Of two machines with one id the first is sealed; an older copy does not even start."""
    async with machines[0].open() as one:
        await one.work("a")
    copies = [tmp_path / "copy", tmp_path / "older"]
    for copy in copies:
        shutil.copytree(machines[0].folder, copy)
    reaction = Reaction()
    async with machines[0].open() as one:
        heartbeat = NodeHeartbeat(one.startup.node, one.store, reaction, machines[0].world)
        assert not await heartbeat.beat()
        async with Machine(one_url(machines), copies[0], 3, "one").open() as clone:
            assert clone.node == one.node
            assert await heartbeat.beat()
            assert (reaction.sealed, reaction.recorded) == (1, ["node_duplicated"])
            await clone.work("b")
    with pytest.raises(TamperedError, match="audit_log_behind"):
        async with Machine(one_url(machines), copies[1], 4, "one").open():
            pass


def one_url(machines: list[Machine]) -> str:
    """Of the database that they share."""
    return machines[0].url


async def test_a_forgotten_node_stops_and_joins_anew(machines: list[Machine]) -> None:
    """It was taken for gone. Its log goes on when it is started again."""
    reaction = Reaction()
    async with machines[0].open() as one, machines[1].open() as two:
        await one.work("a")
        await one.store.commit(lambda tx: tx.delete(NODES, two.node))
        await two.store.catch_up()
        heartbeat = NodeHeartbeat(two.startup.node, two.store, reaction, machines[1].world)
        assert await heartbeat.beat()
        assert (reaction.sealed, reaction.recorded) == (1, [])
    async with machines[1].open() as again:
        assert again.node == two.node
        assert again.node in await rows(again)


async def test_an_older_database_is_noticed_while_it_runs(
    url: str, machines: list[Machine]
) -> None:
    """By a node that has only seen the commits that are lost."""
    async with machines[0].open() as one, machines[1].open() as two:
        connection = server_backend(url).connect_driver(Role.WRITE)
        ((old,),) = run(connection, "SELECT value FROM system WHERE name = 'mark'")
        connection.close()
        await one.work("a")
        await two.store.catch_up()
        execute(url, "UPDATE system SET value = %s WHERE name = 'mark'", bytes(old))
        with pytest.raises(TamperedError, match="storage_rolled_back"):
            await two.store.catch_up()
        assert two.store.finding is not None


async def test_an_anchor_has_the_commits_of_others(
    url: str, machines: list[Machine], tmp_path: Path
) -> None:
    """So each machine is a witness of all commits that it has seen."""
    one, two = machines
    async with one.open() as first:
        await first.work("a")
        async with two.open() as second:
            await second.work("b")
            await first.store.catch_up()
            seen = second.stamper.commits
            await first.startup.anchor_writer.write_anchor()
    anchor = await trio.Path(one.paths.anchor).read_text()
    assert f'"commits":{seen}' in anchor


async def test_heartbeats(machines: list[Machine]) -> None:
    """A node that stores none answers nothing after some seconds, and again when it does."""
    world, reaction = machines[0].world, Reaction()
    async with machines[0].open() as one:
        heartbeat = NodeHeartbeat(one.startup.node, one.store, reaction, world)
        world.advance(HEARTBEAT_INTERVAL)
        assert not await heartbeat.beat()
        assert (await rows(one))[one.node].heartbeat == world.now()
        assert heartbeat.outage() == ""
        world.advance(SILENCE_SECONDS + 1)
        assert "no commit of this machine for 11 seconds" in heartbeat.outage()
        await heartbeat.beat()
        assert heartbeat.outage() == ""
        assert "clocks of this machine and of the database differ" in heartbeat.clock_fault()
        await heartbeat.leave()
        assert (await rows(one))[one.node].heartbeat == 0
    assert reaction.sealed == 0
    machines[0].world = FakeWorld(now=time.time_ns())
    async with machines[0].open() as one:
        heartbeat = NodeHeartbeat(one.startup.node, one.store, reaction, machines[0].world)
        late = (time.time_ns() - machines[0].world.now()) / 1e9
        machines[0].world.advance(max(0.0, late))  # by what opening it took
        await heartbeat.beat()
        assert heartbeat.clock_fault() == ""


def as_level(level: int, node: str) -> Callable[[StoreTx], None]:
    """As a program of that level joins."""

    def change(tx: StoreTx) -> None:
        row = tx.get(NODES, node)
        assert row is not None
        tx.put(NODES, replace(row, level=level))

    return change


def lease(tx: StoreTx) -> None:
    """A row with a column that came with the last migration."""
    tx.put(MOUNTS, replace(MOUNT, default_lease_ttl=1))


def move(tx: StoreTx) -> None:
    """A row of a table that came with it."""
    tx.put(MOUNT_MOVES, MOVE)


async def test_a_row_is_written_once_every_node_can_read_it(machines: list[Machine]) -> None:
    """The lowest level counts, of those that may be running. What all can read is written."""
    async with machines[0].open() as one, machines[1].open() as two:
        await two.store.commit(as_level(SCHEMA_LEVEL - 1, two.node))
        for change in (lease, move):
            with pytest.raises(ConflictError, match="upgrade two") as refused:
                await one.store.commit(change)
            assert refused.value.code == "nodes_outdated"
        await one.store.commit(put(MOUNTS, MOUNT))
        later = FakeWorld(now=machines[0].world.now() + round((LIVE_SECONDS + 1) * 1e9))
        await one.store.commit(partial(one.startup.node.beat, now=later.now()))
        for change in (lease, move):
            await one.store.commit(change)


async def test_a_node_that_newer_ones_have_left_behind(machines: list[Machine]) -> None:
    """It was away for longer than they wait: what they have written since, it cannot read."""
    reaction, world = Reaction(), machines[0].world
    async with machines[0].open() as one, machines[1].open() as two:
        heartbeat = NodeHeartbeat(one.startup.node, one.store, reaction, world)
        await two.store.commit(as_level(SCHEMA_LEVEL + 1, two.node))
        assert not await heartbeat.beat()
        world.advance(SILENCE_SECONDS + 1)
        assert await heartbeat.beat()
        assert reaction.sealed == 1
