"""A node's heartbeat while the database fails, and what is known of a node from its files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from tests.unit.vault.seal.anchor.places import KEYRING, KEYS, Log, new_stamp_writer
from vault.audit.checkpoint import log_id_of
from vault.audit.layout import LogLayout
from vault.audit.testing import NOW, VAULT
from vault.barrier import HmacRowGuard
from vault.errors import UnavailableError
from vault.model.records import NodeRow
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.state import Anchor
from vault.seal.nodes import (
    RETRY_INTERVAL,
    SILENCE_SECONDS,
    HeartbeatFollower,
    NodeIdentity,
    find_node_id,
    make_node_id,
    run_heartbeat,
)
from vault.store.interface import BackendError, StoreSession, WriteSet
from vault.store.memory import MemoryBackend
from vault.store.node_levels import LIVE_SECONDS, lowest_live_level
from vault.store.store import open_store
from vault.store.tables import SCHEMA_LEVEL

NODE = NodeIdentity("a" * 16, "web-1", "/var/lib/freehold/audit.log", "run-1")


class FailingBackend(MemoryBackend):
    """Takes no change while `is_failing`."""

    is_failing = False

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """As the memory's, or refused."""
        if self.is_failing:
            raise BackendError("store_unavailable", "the database does not answer")
        super().write(apply)


class Reaction:
    """Nothing is damaged here."""

    def begin_recount(self) -> Callable[[StoreSession], None]:
        """Not asked for."""
        raise AssertionError

    def seal(self) -> None:
        """Not asked for."""
        raise AssertionError

    alert = seal

    async def record(self, code: str, what: str) -> None:
        """Not asked for."""
        raise AssertionError(code, what)


async def test_a_database_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Told once; the node answers nothing after some seconds, and again with the next commit."""
    backend, world = FailingBackend(), FakeWorld(now=NOW)

    async def pass_seconds(seconds: float) -> None:
        for _ in range(int(seconds / RETRY_INTERVAL)):
            await wait_all_tasks_blocked()
            world.advance(RETRY_INTERVAL)
        await wait_all_tasks_blocked()

    async with open_store(
        backend, HmacRowGuard(KEYRING), world, stamper=new_stamp_writer(), report=lambda _: None
    ) as store:
        await store.commit(lambda tx: NODE.join(tx, "1.0", world.now()))
        async with run_heartbeat(NODE, store, Reaction(), world, is_alone=False):
            await pass_seconds(SILENCE_SECONDS + 5)
            await store.catch_up()
            backend.is_failing = True
            await pass_seconds(SILENCE_SECONDS + 5)
            with pytest.raises(UnavailableError, match="no commit of this machine"):
                await store.catch_up()
            backend.is_failing = False
            with trio.fail_after(30):
                while store.silence():
                    await pass_seconds(RETRY_INTERVAL)
            await store.catch_up()
        world.advance(SILENCE_SECONDS + 5)
        assert store.silence() == ""
    assert caplog.text.count("is not stored") == 1


async def test_a_further_process_follows_the_heartbeat() -> None:
    """It has a store of its own, and sees in the row what the first one commits."""
    world = FakeWorld(now=NOW)
    async with open_store(MemoryBackend(), HmacRowGuard(KEYRING), world) as store:
        follower = HeartbeatFollower(NODE.id, store, world)
        store.silence = follower.outage
        world.advance(SILENCE_SECONDS + 1)
        await follower()
        with pytest.raises(UnavailableError, match="no commit of this machine for 11 seconds"):
            await store.catch_up()
        await store.commit(lambda tx: NODE.join(tx, "1.0", world.now()))
        await follower()
        await store.catch_up()


async def test_a_database_of_one_node_has_no_heartbeat() -> None:
    """It would be a write each three seconds, and nobody would ask for it."""
    world = FakeWorld(now=NOW)
    async with open_store(MemoryBackend(), HmacRowGuard(KEYRING), world) as store:
        async with run_heartbeat(NODE, store, Reaction(), world, is_alone=True):
            world.advance(2 * SILENCE_SECONDS)
            await wait_all_tasks_blocked()
            assert store.silence() == ""
        assert store.statistics().transactions == 0


def test_the_id_is_in_anchor_and_log(tmp_path: Path) -> None:
    """The anchor's counts, since it has a MAC; what is damaged says nothing."""
    anchor, layout = AnchorFile(tmp_path / "vault.anchor"), LogLayout(tmp_path / "audit.log")
    assert find_node_id(anchor, layout, KEYS) == ""
    log = Log(layout.log, int, log_id_of(VAULT, "of-the-log"))
    log.grow()
    log.close()
    assert find_node_id(anchor, layout, KEYS) == "of-the-log"
    anchor.write(Anchor(vault=VAULT, node="of-the-anchor", epoch=1, commits=1, checkpoint=""), KEYS)
    assert find_node_id(anchor, layout, KEYS) == "of-the-anchor"
    anchor.path.write_bytes(anchor.path.read_bytes().replace(b"of-the-anchor", b"of-somebody-x"))
    assert find_node_id(anchor, layout, KEYS) == "of-the-log"
    layout.head_file.write_bytes(b"nonsense")
    assert find_node_id(anchor, layout, KEYS) == ""


def test_new_ids() -> None:
    """They fit into the name of a log, and no two are the same."""
    world = FakeWorld()
    found = {make_node_id(world) for _ in range(9)}
    assert len(found) == 9
    assert all(len(one) == 16 and one.isalnum() for one in found)


def test_the_lowest_level_is_of_nodes_that_run() -> None:
    """One that stopped in order, or was silent for long, cannot come back with an older program."""
    now = NOW + round(LIVE_SECONDS * 1e9)
    rows = [
        NodeRow(id="stopped", level=1, heartbeat=0),
        NodeRow(id="gone", level=2, heartbeat=NOW),
        NodeRow(id="runs", level=3, heartbeat=NOW + 1),
        NodeRow(id="newer", level=4, heartbeat=now),
    ]
    assert lowest_live_level(rows) == 3
    assert lowest_live_level(rows[:1]) == SCHEMA_LEVEL
    assert lowest_live_level([]) == SCHEMA_LEVEL
