"""Who is behind trusted proxies, whatever a client says of itself."""

import pytest

from protocols.http.asgi import Receive, Scope, Send
from protocols.http.trusted_proxies import (
    MAX_HOPS,
    ForwardingHeader,
    ProxyMiddleware,
    TrustedProxies,
)

X, FORWARDED = ForwardingHeader.X_FORWARDED_FOR, ForwardingHeader.FORWARDED
TRUSTED = ("10.0.0.1", "10.1.0.0/28", "2001:db8:ffff::/64")


def client(peer: str, *lines: str, header: ForwardingHeader = X) -> str:
    """Who came from `peer` with these lines of the header."""
    proxies = TrustedProxies(TRUSTED, header)
    return proxies.client_address(peer, [(header.value.encode(), line.encode()) for line in lines])


@pytest.mark.parametrize(
    ("peer", "lines", "found"),
    [
        ("192.0.2.9", ["198.51.100.7"], "192.0.2.9"),  # not a proxy: whatever it says
        ("10.0.0.2", ["198.51.100.7"], "10.0.0.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["127.0.0.1, 198.51.100.7"], "198.51.100.7"),  # spoofed at the left
        ("10.0.0.1", ["10.0.0.1, 198.51.100.7"], "198.51.100.7"),  # with a proxy's own address
        ("10.0.0.1", ["127.0.0.1", "198.51.100.7"], "198.51.100.7"),  # in a line of its own
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7, 10.1.0.4"], "198.51.100.7"),  # two proxies in a row
        ("10.0.0.1", ["1.1.1.1,198.51.100.7:4711 ,\t10.1.0.4"], "198.51.100.7"),
        ("10.0.0.1", ["10.1.0.5, 10.1.0.4"], "10.1.0.5"),  # one of the proxies itself
        ("10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, unknown, 10.1.0.4"], "10.1.0.4"),
        ("10.0.0.1", ["198.51.100.7,"], "10.0.0.1"),
        ("10.0.0.1", ["<script>"], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8:ffff::9", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8:fffe::9", ["198.51.100.7"], "2001:db8:fffe::9"),
        ("", ["198.51.100.7"], ""),
    ],
)
def test_the_rightmost_that_is_no_proxy(peer: str, lines: list[str], found: str) -> None:
    """What is left of it is a client's own word; what is no address ends the reading."""
    assert client(peer, *lines) == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["for=198.51.100.7"], "198.51.100.7"),
        (["For=198.51.100.7;proto=https;by=10.0.0.1"], "198.51.100.7"),
        (['proto=https; for="198.51.100.7:4711"'], "198.51.100.7"),
        (['for="[2001:db8::7]:4711"'], "2001:db8::7"),
        (["for=127.0.0.1, for=198.51.100.7"], "198.51.100.7"),
        (["for=1.1.1.1", "for=198.51.100.7, for=10.1.0.4"], "198.51.100.7"),
        (['for="127.0.0.1, for=198.51.100.7'], "198.51.100.7"),  # a quote left open at the left
        (['for=", for="[2001:db8::7]"'], "2001:db8::7"),
        (['for=198.51.100.7;host="x;for=127.0.0.1"'], "198.51.100.7"),
        (['for=198.51.100.7;host="x,for=127.0.0.1"'], "198.51.100.7"),
        (["for=198.51.100.7;for=127.0.0.1"], "10.0.0.1"),
        (["for=198.51.100.7, for=_hidden"], "10.0.0.1"),
        (["for=198.51.100.7, proto=https"], "10.0.0.1"),
        (["198.51.100.7"], "10.0.0.1"),
        (["for=198.51.100.7,"], "10.0.0.1"),
    ],
)
def test_forwarded(lines: list[str], found: str) -> None:
    """RFC 7239, with quotes that a client may have left open or put into its Host."""
    assert client("10.0.0.1", *lines, header=FORWARDED) == found


def test_the_other_header_is_a_clients_own() -> None:
    """A proxy that writes one passes the other on as it came."""
    for header, other in ((X, b"forwarded"), (FORWARDED, b"x-forwarded-for")):
        spoofed = [(other, b"for=127.0.0.1" if header is X else b"127.0.0.1")]
        assert TrustedProxies(TRUSTED, header).client_address("10.0.0.1", spoofed) == "10.0.0.1"


@pytest.mark.parametrize("header", [X, FORWARDED])
def test_a_long_list_is_not_read_to_its_end(header: ForwardingHeader) -> None:
    """A client may send what a header may hold; it costs us a few hops, and it is nobody."""
    said = "10.1.0.4" if header is X else "for=10.1.0.4"
    assert client("10.0.0.1", ",".join([said] * 1000), header=header) == "10.1.0.4"
    first = "198.51.100.7" if header is X else "for=198.51.100.7"
    assert client("10.0.0.1", ",".join([first, *[said] * MAX_HOPS]), header=header) == "10.1.0.4"
    found = client("10.0.0.1", ",".join([first, *[said] * (MAX_HOPS - 1)]), header=header)
    assert found == "198.51.100.7"


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_an_application_sees_the_client(kind: str) -> None:
    """And not the header that it came from; who is no proxy is seen as before, header and all."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> None:
        raise AssertionError

    behind = ProxyMiddleware(app, TrustedProxies(TRUSTED, X))
    headers = [
        (b"host", b"x"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-for", b"9.9.9.9"),
    ]
    for peer in (("10.0.0.1", 4711), ("192.0.2.9", 4711), None):
        scope = {"type": kind, "client": peer, "headers": headers}
        await behind(scope, nothing, nothing)  # type: ignore[arg-type]
    assert [scope["client"] for scope in seen] == [("9.9.9.9", 0), ("192.0.2.9", 4711), None]
    assert [scope["headers"] for scope in seen] == [[(b"host", b"x")], headers, headers]


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "proxy.example", "", "10.0.0.300"])
def test_what_is_no_address(wrong: str) -> None:
    """A name could be pointed elsewhere; a network with host bits is a slip."""
    with pytest.raises(ValueError, match=r"does not appear|has host bits"):
        TrustedProxies([wrong], X)
