"""One port for certificates and the link, open for the length of a block."""

import ssl

import pytest
import trio

from control.gateway.enrolment_server import EnrolmentServer
from control.gateway.listener import open_link_listener
from control.gateway.server_certificate import ServerCertificate
from protocols.link_transport.tls_contexts import pinned_context
from tests.unit.control.gateway.wired import Hub


async def test_the_desk_answers_who_knows_the_pin(hub: Hub) -> None:
    """Over TLS, without a certificate; afterwards nobody listens."""
    desk = EnrolmentServer(
        hub.office, hub.core.audit.log, hub.world, lambda _: None, hub.core.agents.alerts
    )
    certificate = ServerCertificate(hub.office, ["127.0.0.1"], hub.world)
    async with open_link_listener(
        ("127.0.0.1", 0), hub.gateway, desk, certificate, hub.world
    ) as door:
        context = pinned_context(hub.office.issuer.pin, hub.world.now)
        said = await exchange(door.port, context, b"POST /link/v1/enrol HTTP/1.1\r\nHost: h\r\n")
        assert b" 400 " in said
        port = door.port
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        await trio.open_tcp_stream("127.0.0.1", port)


async def test_an_address_that_is_taken_is_named(hub: Hub) -> None:
    """Of the two that a control plane has."""
    taken = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    address = ("127.0.0.1", taken.socket.getsockname()[1])
    desk = EnrolmentServer(
        hub.office, hub.core.audit.log, hub.world, lambda _: None, hub.core.agents.alerts
    )
    certificate = ServerCertificate(hub.office, ["127.0.0.1"], hub.world)
    async with taken:
        with pytest.raises(ExceptionGroup) as caught:
            async with open_link_listener(address, hub.gateway, desk, certificate, hub.world):
                pass
    assert caught.group_contains(OSError, match=f"127.0.0.1:{address[1]}")


async def exchange(port: int, context: ssl.SSLContext, head: bytes) -> bytes:
    """One request without a body."""
    tcp = await trio.open_tcp_stream("127.0.0.1", port)
    tls = trio.SSLStream(tcp, context, server_hostname="h", https_compatible=True)
    async with tls:
        await tls.send_all(head + b"Content-Length: 0\r\n\r\n")
        said = b""
        while more := await tls.receive_some():
            said += more
        return said
