"""Heads of requests: what the agent's own clients send is known, anything else shows."""

from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version

import pytest
import trio

from protocols.link.errors import TransportError
from protocols.link_transport.network import connect
from tests.unit.protocols.capture.test_messages import HEAD
from tests.unit.protocols.link.site import AUTHORITY
from vault.control_link.capture_comparison import excess, expected_hosts
from vault.control_link.enrol_client import EnrolError, post_request

HOSTS = expected_hosts(["https://c:8301"])
POST = (
    b"POST /link/v1/join HTTP/1.1\r\nHost: c:8301\r\nAccept: */*\r\nConnection: keep-alive\r\n"
    b"User-Agent: python-httpx2/%s\r\nContent-Type: application/json\r\n"
    b"Accept-Encoding: identity\r\nContent-Length: 5\r\n\r\n" % version("httpx2").encode()
)


async def heard(client: Callable[[int], Awaitable[object]]) -> bytes:
    """The head that a client sends to a port."""
    said = b""

    async def serve(tcp: trio.SocketStream) -> None:
        nonlocal said
        stream = trio.SSLStream(tcp, AUTHORITY.server, server_side=True)
        while b"\r\n\r\n" not in said:
            said += await stream.receive_some()
        await trio.aclose_forcefully(tcp)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        try:
            await client(listener.socket.getsockname()[1])
        except* (TransportError, EnrolError):
            pass  # there is no answer; `suppress` knows no groups before Python 3.12
        nursery.cancel_scope.cancel()
    return said.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


async def test_the_link_s_own_head() -> None:
    """As its websocket client really sends it."""

    async def client(port: int) -> None:
        async with trio.open_nursery() as nursery:
            await connect(nursery, "127.0.0.1", port, AUTHORITY.agent)

    head = await heard(client)
    assert head.startswith(b"GET /link/v1 ")
    assert excess(head, expected_hosts(["https://127.0.0.1:8301"])) == 0
    assert excess(head, expected_hosts(["https://127.0.0.2:8301"])) == len(b"Host: 127.0.0.1\r\n")


@pytest.mark.parametrize("name", ["enrol", "join", "renew", "rejoin"])
async def test_a_request_s_own_head(name: str) -> None:
    """As its HTTP client really sends it."""
    peers: list[str] = []

    async def client(port: int) -> None:
        peers.append(f"https://127.0.0.1:{port}")
        await post_request(AUTHORITY.agent, peers[0], f"/link/v1/{name}", b"body")

    head = await heard(client)
    assert head.startswith(b"POST /link/v1/")
    assert excess(head, expected_hosts(peers)) == 0


@pytest.mark.parametrize(
    ("peer", "link", "request_"),
    [
        ("https://C.test", b"c.test", b"c.test"),
        ("https://c.test:443", b"c.test", b"c.test"),
        ("https://c.test:8301", b"c.test", b"c.test:8301"),
        ("https://[fd00::1]:8301", b"fd00::1", b"[fd00::1]:8301"),
    ],
)
def test_where_the_control_plane_is(peer: str, link: bytes, request_: bytes) -> None:
    """As each of the clients writes it: the HTTP client has the port."""
    assert expected_hosts([peer]) == ({link}, {request_})
    assert expected_hosts([peer, "https://d"]) == ({link, b"d"}, {request_, b"d"})


@pytest.mark.parametrize("head", [HEAD, POST])
def test_what_is_beyond_it(head: bytes) -> None:
    """Another field, one twice, another value of one: its bytes; of another request all."""
    assert excess(head, HOSTS) == 0
    first, _, rest = head.partition(b"\r\n")
    for line in (b"X-Trace: secret", b"Host: c", b"Cookie: a", b" folded", b"host:c"):
        beyond = len(line) + 2
        assert excess(first + b"\r\n" + rest[:-2] + line + b"\r\n\r\n", HOSTS) == beyond
    assert excess(head.replace(b"Host: c", b"Host: d"), HOSTS) > 0
    assert excess(head.replace(b" HTTP", b"?q=secret HTTP"), HOSTS) > len(head)
    assert excess(head.replace(b"\r\n", b"\n"), HOSTS) > 0
    for name in (b"Sec-WebSocket-Key", b"Sec-WebSocket-Protocol", b"User-Agent", b"Content-Length"):
        if name in head:
            other = head.replace(name + b": ", name + b": secret")
            assert excess(other, HOSTS) > len(b"secret")


@pytest.mark.parametrize("head", [HEAD, POST])
def test_nothing_can_be_told_by_how_a_line_is_written(head: bytes) -> None:
    """Neither by capitals, nor by order, nor by leaving one out."""
    first, *lines = head[:-4].split(b"\r\n")
    for number, line in enumerate(lines):
        name, _, value = line.partition(b": ")
        other = lines.copy()
        for spelled in (name.lower(), name.upper(), name.swapcase()):
            other[number] = spelled + b": " + value
            assert excess(b"\r\n".join([first, *other]) + b"\r\n\r\n", HOSTS) > 0
        less = lines[:number] + lines[number + 1 :]
        assert excess(b"\r\n".join([first, *less]) + b"\r\n\r\n", HOSTS) > 0
        turned = [*less, line]
        assert turned == lines or excess(b"\r\n".join([first, *turned]) + b"\r\n\r\n", HOSTS) > 0


@pytest.mark.parametrize(
    ("honest", "other"),
    [
        (b"python-httpx2/", b"python-httpx/"),
        (version("httpx2").encode(), b"8675.3094.1122.3344"),
        (b"Content-Length: 5", b"Content-Length: 05"),
        (b"Content-Length: 5", b"Content-Length: 0"),
        (b"Host: c:8301", b"Host: C:8301"),
        (b"Host: c:8301", b"Host: c"),
        (b"Upgrade: websocket", b"Upgrade: WebSocket"),
        (b"Connection: Upgrade", b"Connection: upgrade"),
        (b"Host: c\r\n", b"Host: c:8301\r\n"),
        (b"AA==", b"AB=="),
    ],
)
def test_nor_by_a_value(honest: bytes, other: bytes) -> None:
    """Each has one form, but for the key, which is random, and the length, which is looked at."""
    [head] = [one for one in (HEAD, POST) if honest in one]
    assert excess(head.replace(honest, other), HOSTS) > 0
