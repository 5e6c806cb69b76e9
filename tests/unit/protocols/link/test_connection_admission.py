"""The entrance: silence is short, a place is for who is at work, and no client has them all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from protocols.link import limits
from protocols.link.errors import TransportError
from protocols.link_transport.connection_admission import AdmissionLimits, ConnectionAdmission

ONE, TWO = "192.0.2.1", "2001:db8::/64"


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """Two ends of a connection."""
    ends = [trio.SocketStream(each) for each in trio.socket.socketpair()]
    async with ends[0], ends[1]:
        yield ends[0], ends[1]


async def test_whoever_speaks_is_let_on_at_once(autojump_clock: MockClock) -> None:
    """Nothing of what was said is taken."""
    entrance = ConnectionAdmission(AdmissionLimits())
    async with pair() as (ours, peer):
        await peer.send_all(b"hello")
        await entrance.wait_first_byte(ours, ONE)
        assert await ours.receive_some() == b"hello"
    assert autojump_clock.current_time() < limits.FIRST_BYTE_SECONDS


async def test_who_says_nothing_goes(autojump_clock: MockClock) -> None:
    """After the time for a first byte, and nothing of it is kept."""
    entrance = ConnectionAdmission(AdmissionLimits())
    began = autojump_clock.current_time()
    async with pair() as (ours, _):
        with pytest.raises(TransportError, match="silent"):
            await entrance.wait_first_byte(ours, ONE)
    assert autojump_clock.current_time() - began == pytest.approx(limits.FIRST_BYTE_SECONDS)
    assert not entrance._silent


async def test_of_too_many_silent_ones_the_oldest_goes() -> None:
    """Of the same client: another one's is not touched, and the newest stays."""
    entrance = ConnectionAdmission(AdmissionLimits(silent_per_client=2))
    gone: list[str] = []

    async def come(name: str, client: str) -> None:
        async with pair() as (ours, _):
            try:
                await entrance.wait_first_byte(ours, client)
            except TransportError:
                gone.append(name)

    async with trio.open_nursery() as nursery:
        for name, client in (("a", ONE), ("b", TWO), ("c", ONE), ("d", ONE), ("e", ONE)):
            nursery.start_soon(come, name, client)
            await trio.testing.wait_all_tasks_blocked()
        assert gone == ["a", "c"]
        nursery.cancel_scope.cancel()
    assert not entrance._silent


async def test_no_client_has_more_than_its_share_of_the_places() -> None:
    """One that fills its own keeps nobody else out; what it leaves is its next one's."""
    entrance, inside, leave = (
        ConnectionAdmission(AdmissionLimits(handshakes=3, handshakes_per_client=2)),
        [],
        trio.Event(),
    )

    async def shake(name: str, client: str) -> None:
        async with entrance.handshake_slot(client):
            inside.append(name)
            await leave.wait()

    async with trio.open_nursery() as nursery:
        for name, client in (("a", ONE), ("b", ONE), ("c", ONE), ("d", TWO), ("e", TWO)):
            nursery.start_soon(shake, name, client)
            await trio.testing.wait_all_tasks_blocked()
        assert inside == ["a", "b", "d"]
        leave.set()
    assert sorted(inside) == ["a", "b", "c", "d", "e"]
    assert not entrance._shares


async def test_a_place_is_not_kept_for_long(autojump_clock: MockClock) -> None:
    """Whoever stalls in his handshake loses it, as an error of his pipe."""
    entrance = ConnectionAdmission(AdmissionLimits())
    began = autojump_clock.current_time()
    with pytest.raises(TransportError, match="timeout"):
        async with entrance.handshake_slot(ONE):
            await trio.sleep_forever()
    assert autojump_clock.current_time() - began == pytest.approx(limits.HANDSHAKE_SECONDS)
    assert not entrance._shares
