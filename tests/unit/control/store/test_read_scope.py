"""Readers of the store are shared fairly: one organization does not stall another."""

from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors import SystemWorld
from control.errors import RateLimitError
from control.store.read_scope import session_scope, use_read_scope
from control.store.rows import Tx
from control.store.store import MAX_READS_OF_SESSION, Store, open_store
from tests.newest import place_control

PATIENCE = 60.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """With four readers."""
    async with open_store(place_control(tmp_path), SystemWorld(), readers=4) as opened:
        yield opened


async def test_one_session_does_not_stall_another(store: Store) -> None:
    """With more slow reads of one session than there are readers, other reads go on at once."""
    release = Event()
    refused: list[str] = []

    def slow(_: Tx) -> bool:
        return release.wait(PATIENCE)

    async def crowd() -> None:
        with use_read_scope(session_scope("acme", "one")):
            try:
                await store.read(slow)
            except RateLimitError as error:
                refused.append(error.code)

    async with trio.open_nursery() as nursery:
        for _ in range(MAX_READS_OF_SESSION + 5):
            nursery.start_soon(crowd)
        await wait_all_tasks_blocked(0.05)
        with trio.fail_after(PATIENCE / 2):
            for reader in (session_scope("acme", "two"), session_scope("beta", "three")):
                with use_read_scope(reader):
                    assert await store.read(lambda _: True)
            assert await store.read(lambda _: True)
        release.set()
        nursery.cancel_scope.cancel()
    assert refused == ["too_many_reads"] * 3


async def test_many_sessions_of_one_organization_do_not_stall_another(store: Store) -> None:
    """Each of them within its own bound: together they leave a reader to others."""
    release = Event()

    async def slow(session: int) -> None:
        with use_read_scope(session_scope("acme", str(session))):
            await store.read(lambda _: release.wait(PATIENCE))

    async with trio.open_nursery() as nursery:
        for session in range(8):
            nursery.start_soon(slow, session)
        await wait_all_tasks_blocked(0.05)
        with trio.fail_after(PATIENCE / 2), use_read_scope(session_scope("beta", "other")):
            assert await store.read(lambda _: True)
        release.set()
