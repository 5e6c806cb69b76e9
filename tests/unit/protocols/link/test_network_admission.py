"""What idle and stalling connections cost an honest one: nothing."""

from contextlib import AsyncExitStack

import pytest
import trio

from protocols.link import limits
from protocols.link_transport.connection_admission import AdmissionLimits
from protocols.link_transport.network import ServerLimits
from tests.unit.protocols.link.site import HOST, serving

OTHER = "127.0.0.2"
"""This machine again, from another address."""


@pytest.mark.parametrize(("said", "source"), [(b"", HOST), (b"\x16", OTHER)])
async def test_those_that_do_not_go_on_keep_nobody_out(said: bytes, source: str):
    """Silent ones beside an honest one, and ones that stall from another address: he is served.

    They are more than all places, and he comes in before any of them has used up its time.
    """
    bounds = ServerLimits(
        admission=AdmissionLimits(handshakes=8, handshakes_per_client=4, silent_per_client=16)
    )
    async with serving(bounds=bounds) as site, AsyncExitStack() as stack:
        for _ in range(40):
            tcp = await trio.open_tcp_stream(HOST, site.server.ports[0], local_address=source)
            await stack.enter_async_context(tcp)
            if said:
                await tcp.send_all(said)
        with trio.fail_after(limits.FIRST_BYTE_SECONDS - 1.0):
            pipe = await site.connect()
            await pipe.send(b"x")
            assert await pipe.receive() == b"x"
