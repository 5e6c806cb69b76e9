"""Who shows an older certificate says one thing more, or nothing."""

import hashlib
import os

import pytest
import trio
import trio.testing

from actors.testing import FakeWorld
from control.gateway.link_key_proof import is_link_key_proven
from protocols.link.errors import RemoteFaultError
from protocols.link.handshake import ChannelBinding
from protocols.link.memory import MemoryOutbox, MemoryTransport, memory_transport_pair
from protocols.link.messages import Cursor
from protocols.link.session import LinkSession
from protocols.link.session_config import ClockReading, SessionConfig
from protocols.link.signing import LinkKey, Verifier
from protocols.pki.keys import new_signing_key

CHANNEL = ChannelBinding(
    org="acme",
    vault="one",
    agent_certificate=hashlib.sha256(b"agent").digest(),
    control_certificate=hashlib.sha256(b"control").digest(),
)
AGENT, CONTROL = LinkKey(new_signing_key()), LinkKey(new_signing_key())
NOW = ClockReading(0.0, 0)


async def end(signer: LinkKey, peer: LinkKey) -> SessionConfig:
    """Of one side."""
    return SessionConfig(
        channel=CHANNEL,
        signer=signer,
        verifier=Verifier([peer.public]),
        nonce=os.urandom(16),
        outbox=await MemoryOutbox(os.urandom(16)).state(),
        cursor=Cursor(stream=bytes(16), applied=0),
    )


async def said(pipe: MemoryTransport, key: LinkKey) -> list[bytes]:
    """All that an agent with this key says to prove itself."""
    session = LinkSession.agent(await end(key, CONTROL), NOW)
    frames = session.take_frames(NOW)
    await pipe.send(frames[0])
    session.receive_frame(await pipe.receive(), NOW)
    frames += session.take_frames(NOW)
    await pipe.send(frames[-1])
    return frames


async def asked(theirs: MemoryTransport) -> bool:
    """What comes of it."""
    world = FakeWorld(0)
    return await is_link_key_proven(theirs, await end(CONTROL, AGENT), world)


async def test_the_link_key_proves_itself_once() -> None:
    """And nothing of that can be said again: our nonce is another one each time."""
    ours, theirs = memory_transport_pair(b"agent", b"control")
    frames: list[bytes] = []

    async def once() -> None:
        frames.extend(await said(ours, AGENT))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(once)
        assert await asked(theirs)
    ours, theirs = memory_transport_pair(b"agent", b"control")
    for frame in frames:
        await ours.send(frame)
    with pytest.raises(RemoteFaultError):
        await asked(theirs)


async def test_another_key_proves_nothing() -> None:
    """A stolen certificate without its agent's link key."""
    ours, theirs = memory_transport_pair(b"agent", b"control")
    stranger = LinkSession.agent(await end(CONTROL, CONTROL), NOW)
    await ours.send(stranger.take_frames(NOW)[0])
    with pytest.raises(RemoteFaultError):
        await asked(theirs)


@pytest.mark.parametrize("greets", [False, True])
async def test_silence_proves_nothing(greets: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Whoever holds back what was said, or never had more than the beginning; it has an end."""
    ours, theirs = memory_transport_pair(b"agent", b"control")
    if greets:
        await ours.send(LinkSession.agent(await end(AGENT, CONTROL), NOW).take_frames(NOW)[0])
    assert not await asked(theirs)
    assert 0 < autojump_clock.current_time() < 60
