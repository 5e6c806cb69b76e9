"""Forwarding: RFC 5424 over UDP, TCP and a local socket; what cannot be sent is counted."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from actors.testing import FakeWorld
from vault.audit.batch import Batch, BatchComposer, LogPosition
from vault.audit.chain import Chain
from vault.audit.record import decode_record
from vault.audit.sinks.syslog import (
    MAX_DATAGRAM,
    QUEUE_BATCHES,
    RETRY_DELAY,
    DatagramTransport,
    SyslogConfig,
    SyslogForwarder,
    connect_syslog,
    format_message,
    open_syslog,
)
from vault.audit.testing import LOG_ID, NOW, make_keys, make_pending_record
from vault.crypto.digest import sha256

LOOPBACK = "127.0.0.1"


def _ledger() -> BatchComposer:
    position = LogPosition(Chain(sha256), 0, 0, 0, is_closed=True, checkpoint=0)
    return BatchComposer(make_keys(), LOG_ID, position, rotation_bytes=2**30)


def _batch() -> Batch:
    return _ledger().compose([make_pending_record(1, NOW + 123_456_789)], NOW)


def test_the_header_is_that_of_rfc_5424() -> None:
    """Priority, version, time with at most six digits, host, application, kind; then the line."""
    line = _batch().lines()[1]
    text = format_message(decode_record(line), line, "agent-1")
    prefix = b"<110>1 2027-01-15T08:00:00.123456Z agent-1 freehold - event - "
    assert text == prefix + line


def test_a_refusal_is_a_notice() -> None:
    """What did not go well has a higher severity, so that a receiver can filter."""
    line = _batch().lines()[1].replace(b'"result":"ok"', b'"result":"denied"')
    assert format_message(decode_record(line), line, "-").startswith(b"<109>1 ")
    whole = _batch().lines()[0]
    assert format_message(decode_record(whole), whole, "-").startswith(
        b"<110>1 2027-01-15T08:00:00Z - "
    )


@asynccontextmanager
async def _syslog(config: SyslogConfig, world: FakeWorld) -> AsyncIterator[SyslogForwarder]:
    with trio.fail_after(30):
        async with open_syslog(config, world) as syslog:
            syslog.on_open(0)
            yield syslog


async def _until(syslog: SyslogForwarder, count: int) -> None:
    while syslog.statistics().sent + syslog.statistics().dropped < count:
        await trio.lowlevel.checkpoint()


async def test_records_go_out_by_udp() -> None:
    """One datagram a record, in order."""
    receiver = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await receiver.bind((LOOPBACK, 0))
    config = SyslogConfig(transport="udp", host=LOOPBACK, port=receiver.getsockname()[1])
    batch = _batch()
    async with _syslog(config, FakeWorld()) as syslog:
        syslog.on_batch(batch)
        for line in batch.lines():
            assert (await receiver.recv(65_536)).endswith(b" - " + line)
        await _until(syslog, len(batch.lines()))
        assert syslog.statistics().sent == len(batch.lines())
        assert syslog.statistics().error == ""
    receiver.close()


async def test_records_go_out_by_a_local_socket(tmp_path: Path) -> None:
    """The datagram socket of a local syslog daemon."""
    path = str(tmp_path / "log")
    receiver = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM)
    await receiver.bind(path)
    async with _syslog(SyslogConfig(host=path), FakeWorld()) as syslog:
        syslog.on_batch(_batch())
        assert (await receiver.recv(65_536)).startswith(b"<110>1 ")
    receiver.close()


async def test_records_go_out_by_tcp_and_a_lost_receiver_is_counted() -> None:
    """Frames with their length; after a fault it waits, then connects again."""
    world, batch = FakeWorld(), _batch()
    expected = b"".join(
        b"%d %s" % (len(text), text)
        for text in (format_message(decode_record(line), line, "-") for line in batch.lines())
    )
    listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
    port = listeners[0].socket.getsockname()[1]
    async with _syslog(SyslogConfig(transport="tcp", host=LOOPBACK, port=port), world) as syslog:
        syslog.on_batch(batch)
        stream = await listeners[0].accept()
        data = b""
        while len(data) < len(expected):
            data += await stream.receive_some()
        assert data == expected
        await trio.aclose_forcefully(stream)
        await listeners[0].aclose()
        while not syslog.statistics().dropped:
            syslog.on_batch(batch)
            await trio.lowlevel.checkpoint()
        assert re.match(r"\w+Error", syslog.statistics().error)


async def test_a_receiver_that_is_not_there_costs_records_and_nothing_else() -> None:
    """Every record is counted as dropped, and no attempt follows another without a pause."""
    world, batch = FakeWorld(), _batch()
    count = len(batch.lines())
    async with _syslog(SyslogConfig(host="/nowhere/log"), world) as syslog:
        syslog.on_batch(batch)
        syslog.on_batch(batch)
        await _until(syslog, count)
        while not world.sleepers:
            await trio.lowlevel.checkpoint()
        assert syslog.statistics().dropped == count
        world.advance(RETRY_DELAY)
        await _until(syslog, 2 * count)
        assert syslog.statistics().sent == 0
        assert syslog.statistics().error == "FileNotFoundError"
        assert syslog.statistics().failing_since == world.monotonic() - RETRY_DELAY


async def test_a_full_queue_drops_the_oldest() -> None:
    """The queue is bounded; what gives way is counted."""
    syslog, batch = SyslogForwarder(SyslogConfig(), FakeWorld()), _batch()
    for _ in range(QUEUE_BATCHES + 3):
        syslog.on_batch(batch)
    assert syslog.statistics().dropped == 3 * len(batch.lines())


async def test_a_long_record_is_cut_to_a_datagram(tmp_path: Path) -> None:
    """What no datagram holds is cut off and not refused by the kernel."""
    path = str(tmp_path / "log")
    receiver = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM)
    await receiver.bind(path)
    wire = await connect_syslog(SyslogConfig(host=path))
    assert isinstance(wire, DatagramTransport)
    await wire.send(b"x" * (MAX_DATAGRAM + 5))
    assert len(await receiver.recv(2 * MAX_DATAGRAM)) == MAX_DATAGRAM
    await wire.aclose()
    receiver.close()
    with pytest.raises(OSError, match=r".+"):
        await connect_syslog(SyslogConfig(host=str(tmp_path / "none")))
