"""vault.workers.audit: a record is durable at the leader, or the request ends."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from actors import Child, SystemWorld, supervise
from vault.audit.hashing import ValueHasher
from vault.audit.testing import make_event, make_keys
from vault.errors import UnavailableError
from vault.workers.audit import AuditLane, RemoteAudit
from vault.workers.wire import Drafted, Lane, Recorded


@asynccontextmanager
async def audited() -> AsyncIterator[tuple[RemoteAudit, Lane[list[Drafted]]]]:
    """The worker's audit, and the leader's end of its lane."""
    ours, theirs = (
        trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        for sock in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    )
    lane: Lane[Recorded] = Lane(ours, Recorded)
    child = Child("lane", lambda: AuditLane(lane))
    world = SystemWorld()
    async with ours, theirs, supervise("audit", [child], world=world) as tree:
        hasher = ValueHasher(make_keys().mac)
        yield RemoteAudit(tree.ref("lane"), hasher, world), Lane(theirs, list[Drafted])


async def record(audit: RemoteAudit, number: int, told: list[str], **changes: str) -> None:
    """Record one event and note how it went."""
    try:
        await audit.record(make_event(number, **changes))
    except UnavailableError as error:
        told.append(error.code)
    else:
        told.append("durable")


async def test_one_frame_for_all_that_waits() -> None:
    """What comes while a frame is on its way goes with the next; nobody returns before his is."""
    told: list[str] = []
    async with audited() as (audit, leader), trio.open_nursery() as nursery:
        nursery.start_soon(record, audit, 0, told)
        assert len(await leader.receive()) == 1
        for number in range(1, 6):
            nursery.start_soon(record, audit, number, told)
        await trio.testing.wait_all_tasks_blocked()
        assert told == []
        await leader.send(Recorded())
        assert len(await leader.receive()) == 5
        assert told == ["durable"]
        await leader.send(Recorded("no sink", ()))
    assert told == ["durable", *["audit_unavailable"] * 5]


async def test_refused_for_a_full_disk() -> None:
    """The leader picks those that begin something new; the others of the frame are durable."""
    told: dict[str, list[str]] = {"read": [], "denied": []}
    async with audited() as (audit, leader), trio.open_nursery() as nursery:
        nursery.start_soon(record, audit, 0, [])
        await leader.receive()
        await_both = {"result": "ok", "capability": "read", "phase": "outcome"}

        async def read() -> None:
            await record(audit, 1, told["read"], **await_both)

        async def denied() -> None:
            await record(audit, 2, told["denied"], **{**await_both, "result": "denied"})

        nursery.start_soon(read)
        nursery.start_soon(denied)
        await trio.testing.wait_all_tasks_blocked()
        await leader.send(Recorded())
        frame = await leader.receive()
        assert sorted(draft.begins for draft in frame) == [False, True]
        refused = tuple(i for i, draft in enumerate(frame) if draft.begins)
        await leader.send(Recorded("", refused))
    assert told == {"read": ["audit_unavailable"], "denied": ["durable"]}


async def test_values_never_leave_unhashed() -> None:
    """What goes over the lane has hashes in place of what a caller sent."""
    async with audited() as (audit, leader), trio.open_nursery() as nursery:
        nursery.start_soon(audit.record, make_event(1, request={"password": "plain text"}))
        (draft,) = await leader.receive()
        assert b"plain text" not in draft.body
        assert b"hmac-sha256:" in draft.body
        await leader.send(Recorded())


async def test_no_leader() -> None:
    """Without one nothing is recorded, and so nothing is answered."""
    async with audited() as (audit, leader):
        await leader.aclose()
        with pytest.raises(UnavailableError) as caught:
            await audit.record(make_event(1))
        assert caught.value.code == "audit_unavailable"
