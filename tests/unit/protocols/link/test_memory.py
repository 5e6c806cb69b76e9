"""The fakes keep the promises of what they stand for."""

import pytest

from protocols.link.errors import LocalFaultError, TransportError
from protocols.link.messages import Cursor
from protocols.link_transport.memory import MemoryInbox, MemoryOutbox, memory_transport_pair
from tests.unit.protocols.link.duet import DOWN, UP, alert, heartbeat, metrics


async def test_a_pair_carries_frames_both_ways_in_order():
    """Whole frames, and each end sees the other's certificate."""
    client, server = memory_transport_pair(b"C", b"S")
    await client.send(b"1")
    await client.send(b"2")
    await server.send(b"3")
    assert [await server.receive(), await server.receive(), await client.receive()] == [
        b"1",
        b"2",
        b"3",
    ]
    assert (client.peer_certificate, server.peer_certificate) == (b"S", b"C")


async def test_a_closed_pair_says_so_after_what_was_sent():
    """What was written before the end is read; then it is over for both."""
    client, server = memory_transport_pair()
    await client.send(b"last")
    await client.aclose("gap")
    assert client.fault == "gap"
    assert await server.receive() == b"last"
    for use in (server.receive, client.receive, lambda: client.send(b""), lambda: server.send(b"")):
        with pytest.raises(TransportError):
            await use()


async def test_an_outbox_numbers_keeps_and_forgets():
    """Ids from 1 without gaps; acknowledged ones are gone, their number is kept."""
    outbox = MemoryOutbox(UP)
    assert [await outbox.append(alert(n)) for n in (1, 2, 3)] == [1, 2, 3]
    batch = await outbox.read(1, 1)
    assert ([e.id for e in batch.entries], batch.through) == ([2], 2)
    await outbox.acknowledge(2)
    state = await outbox.state()
    assert (state.newest, state.acknowledged) == (3, 2)
    assert [e.id for e in (await outbox.read(0, 10)).entries] == [3]
    with pytest.raises(LocalFaultError):
        await outbox.append(heartbeat())


async def test_an_outbox_over_its_bound_lets_metrics_go():
    """Evidence stays, even above the bound; what is read says that ids are missing."""
    outbox = MemoryOutbox(UP, bound=1)
    for message in (metrics(1), alert(2), metrics(3)):
        await outbox.append(message)
    batch = await outbox.read(0, 10)
    assert ([e.id for e in batch.entries], batch.through) == ([2], 3)
    assert [e.id for e in outbox.dropped] == [1, 3]


async def test_an_inbox_applies_each_once():
    """A repeated id of the same stream has no effect; another stream begins anew."""
    inbox = MemoryInbox()
    assert await inbox.apply(UP, 1, alert(1))
    assert not await inbox.apply(UP, 1, alert(1))
    assert await inbox.apply(UP, 4, None)
    assert await inbox.cursor() == Cursor(stream=UP, applied=4)
    assert await inbox.apply(DOWN, 1, alert(2))
    assert inbox.applied == [(1, alert(1)), (1, alert(2))]
