"""The stream under a websocket breaks when too much comes in without a frame."""

import pytest
import trio
from trio.testing import memory_stream_pair

from protocols.link import limits
from protocols.link_transport.websocket import BoundedStream


async def test_what_was_read_already_is_read_again():
    """Then what follows, and none of it twice."""
    ours, theirs = memory_stream_pair()
    wire = BoundedStream(ours, b"GET ")
    await theirs.send_all(b"/link")
    assert (await wire.receive_some(), await wire.receive_some()) == (b"GET ", b"/link")


async def test_too_much_without_a_frame_breaks_it(monkeypatch: pytest.MonkeyPatch):
    """Up to the bound all is well, and taking a frame begins anew."""
    monkeypatch.setattr(limits, "MAX_UNREAD", 8)
    ours, theirs = memory_stream_pair()
    wire = BoundedStream(ours)
    for _ in range(3):
        await theirs.send_all(b"12345678")
        assert await wire.receive_some() == b"12345678"
        wire.unread = 0
    await theirs.send_all(b"123456789")
    with pytest.raises(trio.BrokenResourceError):
        await wire.receive_some()


async def test_the_end_is_told():
    """Whoever waits for a handshake hears that the peer has gone."""
    ours, theirs = memory_stream_pair()
    wire, told = BoundedStream(ours), []
    wire.on_end = lambda: told.append("end")
    await theirs.aclose()
    assert await wire.receive_some() == b""
    assert told == ["end"]
