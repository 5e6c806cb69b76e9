"""What a request says as a browser's."""

import pytest

from vault.authn.browsing import csrf_of
from vault.edge.browsers import Browsers, Visit

OWN = "http://127.0.0.1:8200"
COOKIE = (b"cookie", b"a=b; freehold-agent-8200=s.one")
HOST = (b"host", b"127.0.0.1:8200")
ORIGIN = (b"origin", OWN.encode())
TOKEN = (b"x-csrf-token", csrf_of("s.one").encode())


def told(*headers: tuple[bytes, bytes], method: str = "POST", tls: bool = False) -> Visit:
    """Of a request with these headers."""
    return Browsers(tls).told([HOST, COOKIE, *headers], method)


def test_our_page_knows_its_session() -> None:
    """Origin and token for what changes something; the origin alone for what does not."""
    assert told(ORIGIN, TOKEN).counts
    assert told(ORIGIN, TOKEN).secret == "s.one"
    assert told((b"sec-fetch-site", b"same-origin"), method="GET").counts


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (TOKEN,),
        (ORIGIN,),
        (ORIGIN, (b"x-csrf-token", b"s.one")),
        ((b"origin", b"http://127.0.0.1:8201"), TOKEN),
        ((b"origin", b"https://127.0.0.1:8200"), TOKEN),
        (ORIGIN, (b"sec-fetch-site", b"same-site"), TOKEN),
    ],
)
def test_nobody_else_does(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Another origin, even on the same machine; ours without the token; silence."""
    assert not told(*headers).counts
    assert not told(TOKEN, method="GET").counts


def test_agents_on_one_machine_have_cookies_of_their_own() -> None:
    """A browser sends the cookies of a host to each of its ports."""
    other = Browsers(tls=False).told([(b"host", b"127.0.0.1:8201"), COOKIE], "GET")
    assert (other.name, other.secret) == ("freehold-agent-8201", "")
    assert Browsers(tls=True).told([(b"host", b"vault.example")], "GET").name == (
        "__Host-freehold-agent-443"
    )


def test_of_two_cookies_neither_counts() -> None:
    """One of them is not from us; HTTP/2 may send them in pieces."""
    assert told((b"cookie", b"freehold-agent-8200=s.two")).secret == ""
    assert told((b"cookie", b"c=d")).secret == "s.one"


@pytest.mark.parametrize("host", [b"", b"a b", b"x/y:1", b"\xff"])
def test_a_strange_host_is_no_origin_of_anybody(host: bytes) -> None:
    """Whatever origin comes with it."""
    headers = [(b"host", host), (b"origin", b"http://" + host), TOKEN]
    assert not Browsers(tls=False).told(headers, "GET").counts


def test_the_cookie_is_not_for_scripts_nor_for_others() -> None:
    """HttpOnly, strict, for TLS alone where there is some; an empty one is taken back."""
    name, value = Browsers(tls=True).kept(told(), "s.new")
    assert name == b"set-cookie"
    assert value.startswith("freehold-agent-8200=s.new; ")
    for word in ("HttpOnly", "SameSite=Strict", "Path=/", "Secure"):
        assert word in value
    assert "Secure" not in Browsers(tls=False).kept(told(), "s.new")[1]
    assert "Max-Age=0" in Browsers(tls=False).kept(told(), "")[1]
    assert "s.one" not in repr(told())
