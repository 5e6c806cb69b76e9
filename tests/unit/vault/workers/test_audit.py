"""vault.workers.audit: a record is durable, here or at the leader, or the request ends."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from actors import SystemWorld
from tests.unit.vault.audit.ends import Ends
from vault.audit.appender import Appender
from vault.audit.broker import open_audit
from vault.audit.hashing import ValueHasher
from vault.audit.pending_record import PendingRecord
from vault.audit.record import decode_record
from vault.audit.sinks.file import FileSink
from vault.audit.testing import LOG_ID, make_event, make_keys, verify_log
from vault.audit.writer import AuditConfig
from vault.errors import UnavailableError
from vault.workers.audit import MOST_AT_ONCE, AuditLane, RemoteAudit
from vault.workers.wire import Drafted, Lane, LaneClosed, Recorded

KEYS = make_keys()


@asynccontextmanager
async def audited() -> AsyncIterator[tuple[RemoteAudit, Lane[list[Drafted]]]]:
    """The worker's audit, and the leader's end of its lane."""
    ours, theirs = (
        trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        for sock in socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    )
    lane, hasher = AuditLane(Lane(ours, Recorded)), ValueHasher(make_keys().mac)
    async with ours, theirs, trio.open_nursery() as nursery:
        nursery.start_soon(lane.run)
        yield RemoteAudit(lane, hasher, SystemWorld()), Lane(theirs, list[Drafted])
        nursery.cancel_scope.cancel()


async def record(audit: RemoteAudit, number: int, told: list[str], **changes: str) -> None:
    """Record one event and note how it went."""
    try:
        await audit.record(make_event(number, **changes))
    except UnavailableError as error:
        told.append(error.code)
    else:
        told.append("durable")


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


async def test_an_answer_that_is_not_readable() -> None:
    """Is none: those of its frame are refused, and the next frame is in step."""
    told: list[str] = []
    async with audited() as (audit, leader), trio.open_nursery() as nursery:
        for answer in ("what?", Recorded()):
            nursery.start_soon(record, audit, 0, told)
            await leader.receive()
            await leader.send(answer)
            await trio.testing.wait_all_tasks_blocked()
    assert told == ["audit_unavailable", "durable"]


async def test_values_never_leave_unhashed() -> None:
    """What goes over the lane has hashes in place of what a caller sent."""
    async with audited() as (audit, leader), trio.open_nursery() as nursery:
        nursery.start_soon(audit.record, make_event(1, request={"password": "plain text"}))
        (draft,) = await leader.receive()
        assert b"plain text" not in draft.body
        assert b"hmac-sha256:" in draft.body
        await leader.send(Recorded())


async def test_a_leader_that_takes_too_long(autojump_clock: trio.testing.MockClock) -> None:
    """The request ends at its deadline, and the lane goes on with the next answer."""
    assert autojump_clock.rate == 0
    async with audited() as (audit, leader):
        await trio.sleep(100)  # how long the worker has lived is nobody's wait
        began, deadline = trio.current_time(), AuditConfig().deadline
        with pytest.raises(UnavailableError, match="does not answer"):
            await audit.record(make_event(1))
        assert deadline <= trio.current_time() - began <= deadline + 2
        await leader.receive()
        await leader.send(Recorded())
        told: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(record, audit, 2, told)
            assert len(await leader.receive()) == 1
            await leader.send(Recorded())
        assert told == ["durable"]


async def test_too_many(autojump_clock: trio.testing.MockClock) -> None:
    """The queue is bounded: what begins waits in turn, and not for ever.

    What is done, or refused, has its end on record all the same.
    """
    most, told = AuditConfig().queue, list[str]()
    begun = {"result": "ok", "capability": "read", "phase": "outcome"}
    async with audited() as (audit, leader), trio.open_nursery() as nursery:
        nursery.start_soon(partial(record, audit, 0, told, **begun))
        await leader.receive()  # one frame is under way: what comes now waits
        for number in range(most + 1):
            nursery.start_soon(partial(record, audit, number, told, **begun))
        await trio.testing.wait_all_tasks_blocked()
        assert len(audit._lane._queue) == most
        nursery.start_soon(partial(record, audit, 1, told, **{**begun, "result": "denied"}))
        nursery.start_soon(partial(record, audit, 2, told, **{**begun, "capability": "update"}))
        await trio.testing.wait_all_tasks_blocked()
        assert (told, len(audit._lane._queue)) == ([], most + 2)
        await leader.send(Recorded())
        assert len(await leader.receive()) == MOST_AT_ONCE
        await trio.testing.wait_all_tasks_blocked()
        assert (told, len(audit._lane._queue)) == (["durable"], most + 3 - MOST_AT_ONCE)
        for number in range(MOST_AT_ONCE - 3):
            nursery.start_soon(partial(record, audit, number, told, **begun))
        await trio.testing.wait_all_tasks_blocked()
        began = autojump_clock.current_time()
        with pytest.raises(UnavailableError, match="too many records wait"):
            await audit.record(make_event(3, **begun))
        assert autojump_clock.current_time() - began == AuditConfig().deadline
        nursery.cancel_scope.cancel()


async def test_no_leader() -> None:
    """Without one the worker ends: nothing could be recorded, and so nothing answered."""
    with pytest.RaisesGroup(LaneClosed, flatten_subgroups=True):
        async with audited() as (audit, leader):
            await leader.aclose()
            await audit.record(make_event(1))


class FullDisk:
    """An appender whose disk is full, or is broken."""

    def __init__(self, code: int) -> None:
        self.code = code

    async def append(self, _: object) -> bool:
        """Cannot."""
        await trio.lowlevel.checkpoint()
        raise OSError(self.code, "canary")

    async def aclose(self) -> None:
        """Nothing to give up."""
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(("code", "why"), [(errno.ENOSPC, "disk is full"), (errno.EIO, "written")])
async def test_what_was_begun_has_its_end_also_on_a_full_disk(code: int, why: str) -> None:
    """It goes to the leader, who has the reserve; what begins something is refused here."""
    told: list[str] = []
    disk: Any = FullDisk(code)

    async def begin() -> None:
        with pytest.raises(UnavailableError, match=why):
            await audit.record(make_event(1, phase="intent"))

    async with audited() as (audit, leader), audit._lane.appending(disk):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(begin)
            nursery.start_soon(partial(record, audit, 2, told, capability="update"))
            (draft,) = await leader.receive()
            assert b"request-2" in draft.body
            await leader.send(Recorded())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(begin)
    assert told == ["durable"]


async def test_what_this_process_can_write_itself(tmp_path: Path) -> None:
    """Goes to the log from here, and to the leader only when he has to do it."""
    told: list[str] = []
    log, ends = tmp_path / "audit.log", Ends(tmp_path / "audit.log")
    world = SystemWorld()
    async with (
        open_audit(
            AuditConfig(), KEYS, LOG_ID, [FileSink(log, reserve_bytes=0)], world, tail=ends.view()
        ) as broker,
        audited() as (audit, leader),
    ):
        sink = FileSink(log, reserve_bytes=0)
        appender = Appender(ends.view(), sink, KEYS, LOG_ID, world, rotation_bytes=10**8)
        async with audit._lane.appending(appender):
            await broker.record(make_event(0))
            async with trio.open_nursery() as nursery:
                for number in (1, 2):
                    nursery.start_soon(record, audit, number, told)
            ends.view().begin_write()  # as somebody who died there
            async with trio.open_nursery() as nursery:
                nursery.start_soon(record, audit, 3, told)
                (draft,) = await leader.receive()
                await broker.record_batch([PendingRecord(draft.time, "event", draft.body)])
                await leader.send(Recorded())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(record, audit, 4, told)
            assert len(await leader.receive()) == 1
            await leader.send(Recorded())
        await trio.testing.wait_all_tasks_blocked()
        assert told == ["durable"] * 4
        assert broker.state().size == verify_log(log, KEYS).size
    lines = log.read_bytes().split(b"\n")[:-1]
    bodies = [entry.body for line in lines if (entry := decode_record(line)).kind == "event"]
    found = [body["request_id"] for body in bodies]
    assert (found[0], sorted(found[1:3]), found[3:]) == (
        "request-0", ["request-1", "request-2"], ["request-3"],
    )  # fmt: skip
