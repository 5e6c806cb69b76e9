"""Who is on a database, and which of them leads, on a real PostgreSQL."""

import pytest
import sqlalchemy as sa
import trio

from actors import SystemWorld
from control.errors import UnavailableError
from control.store import lease as leases
from control.store.engines import open_engines
from control.store.lease import Lease
from control.store.store import open_store
from tests.support.postgres import Postgres, postgres

PATIENCE = 60.0


@pytest.fixture
def shared_url(server: Postgres) -> str:
    """A database that several can use, with nothing in it."""
    return server.migrated()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long; a server gives a place back a moment after its connection has ended."""
    monkeypatch.setattr(leases, "START", 4.0)
    monkeypatch.setattr(leases, "REGAIN", 0.2)
    monkeypatch.setattr(leases, "LOOK_EVERY", 0.05)


async def until(lease: Lease, *, leads: bool) -> None:
    """Wait for it."""
    with trio.fail_after(PATIENCE):
        while lease.leads is not leads:  # noqa: ASYNC110  # it changes by itself
            await trio.sleep(0.02)


def cut(url: str, *pids: int) -> None:
    """End these processes' connections, as a crash would."""
    engines = open_engines(url)
    with engines.supports_leases.connect() as connection:
        for pid in pids:
            connection.execute(sa.select(sa.func.pg_terminate_backend(pid)))
    engines.close()


@pytest.mark.parametrize(("first", "second"), [(False, False), (False, True), (True, False)])
async def test_company_needs_both_to_agree(shared_url: str, *, first: bool, second: bool) -> None:
    """One alone, or several that all say so; the one that is refused learns what to do."""
    async with open_store(shared_url, SystemWorld(), shared=first):
        with pytest.raises(UnavailableError, match="database_taken") as refused:
            async with open_store(shared_url, SystemWorld(), shared=second):
                pytest.fail("it was let in")
    assert "redis" in refused.value.message
    async with open_store(shared_url, SystemWorld(), shared=second) as store:
        assert store.lease.leads


async def test_sqlite_is_always_alone(tmp_path: object) -> None:
    """Its one process leads."""
    async with open_store(f"sqlite:///{tmp_path}/control.db", SystemWorld()) as store:
        assert store.lease.leads
        assert not store.lease.shared


async def test_one_leads_and_another_follows_it(shared_url: str) -> None:
    """Whether the leader ends in order or dies."""
    world = SystemWorld()
    async with (
        trio.open_nursery() as nursery,
        open_store(shared_url, world, shared=True) as second,
        open_store(shared_url, world, shared=True) as third,
    ):
        assert second.lease.leads
        assert not third.lease.leads
        nursery.start_soon(third.lease.keep)
        dead = second.lease.peers
        assert len(third.lease.peers) == 2
        await trio.to_thread.run_sync(cut, shared_url, *dead)
        await until(third.lease, leads=True)
        with trio.fail_after(PATIENCE):
            while dead & third.lease.peers:  # noqa: ASYNC110
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()


async def test_the_place_is_regained() -> None:
    """After a restart of the database, without a word to anybody."""
    with postgres() as server:
        url = server.migrated()
        async with trio.open_nursery() as nursery, open_store(url, SystemWorld()) as store:
            nursery.start_soon(store.lease.keep)
            server.stop()
            await until(store.lease, leads=False)
            server.start()
            await until(store.lease, leads=True)
            nursery.cancel_scope.cancel()


async def test_who_lost_its_place_to_another_ends(shared_url: str) -> None:
    """Two without Redis never go on side by side."""
    async with open_store(shared_url, SystemWorld()) as first:
        await trio.to_thread.run_sync(cut, shared_url, *first.lease.peers)
        async with open_store(shared_url, SystemWorld()):
            with pytest.raises(UnavailableError, match="database_taken"):
                await first.lease.keep()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://bob:hush@127.0.0.1:1/x", "127.0.0.1:1 cannot be reached: the connection"),
        ("postgresql://bob:hush@nowhere.invalid/x", "nowhere.invalid:5432 .*host is not found"),
    ],
)
async def test_a_database_that_is_not_there_is_named(url: str, kind: str) -> None:
    """Host, port and the kind of reason; neither user nor password."""
    with pytest.raises(UnavailableError, match=kind) as caught:
        async with open_store(url, SystemWorld()):
            pass
    assert "bob" not in str(caught.value)
    assert "hush" not in str(caught.value)
