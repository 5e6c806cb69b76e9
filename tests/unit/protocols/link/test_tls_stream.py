"""TLS on the socket itself: what a stream promises, and what the peer cannot make of it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
import trustme

from protocols.link_transport.tls_stream import RECORD, TlsStream

HOST = "agent.test"
LARGE = bytes(range(256)) * 65536  # 16 MiB: more than both kernel buffers take


def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


SERVER, CLIENT = _contexts()


@asynccontextmanager
async def dialled() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """Two ends of a TCP connection."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    ours = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
    theirs = await listener.accept()
    try:
        yield ours, theirs
    finally:
        for each in (ours, theirs, listener):
            await trio.aclose_forcefully(each)


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[TlsStream, TlsStream]]:
    """Both ends, their handshake done."""
    async with dialled() as (ours, theirs):
        client = TlsStream(ours, CLIENT, server_hostname=HOST)
        server = TlsStream(theirs, SERVER, server_side=True)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.do_handshake)
                nursery.start_soon(server.do_handshake)
            yield client, server
        finally:
            await trio.aclose_forcefully(client)
            await trio.aclose_forcefully(server)


async def _all(stream: TlsStream, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        got += await stream.receive_some()
    return bytes(got)


async def test_what_is_sent_arrives_both_ways_at_once() -> None:
    """More than the kernel takes, in each direction, with one reader and one writer each."""
    got: dict[str, bytes] = {}

    async def read(name: str, stream: TlsStream) -> None:
        got[name] = await _all(stream, len(LARGE))

    async with linked() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, LARGE)
        nursery.start_soon(server.send_all, LARGE)
        nursery.start_soon(read, "client", client)
        nursery.start_soon(read, "server", server)
    assert got == {"client": LARGE, "server": LARGE}


async def test_a_part_of_a_record_is_followed_by_the_rest_of_it() -> None:
    """What OpenSSL holds already is not waited for at the socket, which is empty by then."""
    async with linked() as (client, server):
        await client.send_all(b"0123456789")
        with trio.fail_after(30):
            assert await server.receive_some(4) == b"0123"
            assert await server.receive_some(4) == b"4567"
            assert await server.receive_some() == b"89"


async def test_a_flood_lets_others_run() -> None:
    """A reader whose peer always has more to say passes the scheduler at each read."""
    async with linked() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, bytes(8 * RECORD))
        await trio.testing.wait_all_tasks_blocked()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        nursery.start_soon(count)
        for _ in range(8):
            before = turns
            await server.receive_some(1024)
            await server.receive_some(1024)  # the first one may be over before the other's turn
            assert turns > before
        nursery.cancel_scope.cancel()


async def test_an_end_in_order_is_an_end_and_a_cut_is_an_error() -> None:
    """Nobody on the way can make a cut look like an end."""
    async with linked() as (client, server):
        await client.aclose()
        assert await server.receive_some() == b""
    async with linked() as (client, server):
        await trio.aclose_forcefully(client)
        with pytest.raises(trio.BrokenResourceError):
            await server.receive_some()


async def test_a_failed_handshake_says_why() -> None:
    """The cause is OpenSSL's word."""
    stranger = ssl.create_default_context()  # trusts nobody of ours
    async with dialled() as (ours, theirs):
        client = TlsStream(ours, stranger, server_hostname=HOST)
        server = TlsStream(theirs, SERVER, server_side=True)

        async def refuse() -> None:
            with pytest.raises(trio.BrokenResourceError) as raised:
                await client.do_handshake()
            assert isinstance(raised.value.__cause__, ssl.SSLCertVerificationError)
            await trio.aclose_forcefully(client)

        async def be_refused() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await server.do_handshake()
            await trio.aclose_forcefully(server)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse)
            nursery.start_soon(be_refused)


@pytest.mark.parametrize("waiting", ["reading", "writing"])
async def test_closing_ends_whoever_waits(waiting: str) -> None:
    """Neither a reader nor a writer outlives the stream."""
    async with linked() as (client, _server), trio.open_nursery() as nursery:

        async def wait() -> None:
            doing = client.receive_some() if waiting == "reading" else client.send_all(LARGE)
            with pytest.raises((trio.ClosedResourceError, trio.BrokenResourceError)):
                await doing

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(30):
            await client.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await client.send_all(b"late")


async def test_a_peer_that_is_gone_takes_no_socket_with_it() -> None:
    """The socket is closed when TLS cannot begin on it."""
    async with dialled() as (ours, _theirs):
        with pytest.raises(ValueError, match="check_hostname"):
            TlsStream(ours, CLIENT)
        assert ours.socket.fileno() == -1
