"""What a request says as a browser's."""

import pytest

from protocols.http.session_key import HEADER
from vault.edge.browser_sessions import BrowserRequest, BrowserSessions
from vault.edge.request import begin_request

OWN = "http://127.0.0.1:8200"
COOKIE = (b"cookie", b"a=b; freehold-agent-8200=one")
HOST = (b"host", b"127.0.0.1:8200")
ORIGIN = (b"origin", OWN.encode())
KEY = (HEADER.lower().encode(), b"key")
OFFER = (b"sec-websocket-protocol", b"freehold.live, freehold.session-key.key")


def told(*headers: tuple[bytes, bytes], tls: bool = False) -> BrowserRequest:
    """Of a request with these headers."""
    scope = {"method": "GET", "headers": list(headers)}
    return BrowserSessions(tls).read_request(begin_request(scope, request_id="r", dialect="native"))


def test_our_page_shows_its_session() -> None:
    """Cookie and key are the credential, and the browser says whose page it is."""
    visit = told(HOST, COOKIE, ORIGIN, KEY)
    assert (visit.credential, visit.same_origin, visit.has_origin) == ("one:key", True, True)
    assert told(HOST, COOKIE, (b"sec-fetch-site", b"same-origin"), KEY).same_origin


@pytest.mark.parametrize(
    "headers",
    [
        (COOKIE,),
        (KEY,),
        (COOKIE, (b"x-session-key", b"")),
        (COOKIE, OFFER),
        ((b"cookie", b"freehold-agent-8200=one:key"),),
        ((b"cookie", b"freehold-agent-8200=one:key"), KEY),
        (COOKIE, (b"x-session-key", b"one:key")),
    ],
)
def test_half_a_session_is_no_credential(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Neither the cookie, which other ports see, nor the key; nor the whole in one place."""
    assert told(HOST, ORIGIN, *headers).credential == ""


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"origin", b"http://127.0.0.1:8201"),),
        ((b"origin", b"https://127.0.0.1:8200"),),
        (ORIGIN, (b"sec-fetch-site", b"same-site")),
    ],
)
def test_another_page_is_not_ours(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Another origin, even on the same machine; silence."""
    assert not told(HOST, COOKIE, KEY, *headers).same_origin


@pytest.mark.parametrize(
    ("offer", "credential"),
    [
        (b"freehold.live, freehold.session-key.key", "one:key"),
        (b"freehold.session-key.key,freehold.live", "one:key"),
        (b"freehold.session-key.key", ""),
        (b"freehold.live", ""),
        (b"freehold.live, freehold.session-key.", ""),
        (b"freehold.live, freehold.session-key.key, freehold.session-key.other", ""),
    ],
)
def test_a_websocket_offers_its_key(offer: bytes, credential: str) -> None:
    """Once, beside what is spoken; a header of a request is not looked at."""
    headers = [HOST, COOKIE, ORIGIN, KEY, (b"sec-websocket-protocol", offer)]
    assert BrowserSessions(tls=False).read_websocket(headers).credential == credential


def test_agents_on_one_machine_have_cookies_of_their_own() -> None:
    """A browser sends the cookies of a host to each of its ports."""
    other = told((b"host", b"127.0.0.1:8201"), COOKIE, KEY)
    assert (other.name, other.has_cookie, other.credential) == ("freehold-agent-8201", False, "")
    assert told((b"host", b"vault.example"), tls=True).name == "__Host-freehold-agent-443"


def test_of_two_cookies_neither_counts() -> None:
    """One of them is not from us; HTTP/2 may send them in pieces."""
    assert not told(HOST, COOKIE, (b"cookie", b"freehold-agent-8200=two")).has_cookie
    assert told(HOST, COOKIE, (b"cookie", b"c=d"), KEY).credential == "one:key"


@pytest.mark.parametrize("host", [b"", b"a b", b"x/y:1", b"\xff"])
def test_a_strange_host_is_no_origin_of_anybody(host: bytes) -> None:
    """Whatever origin comes with it."""
    assert not told((b"host", host), (b"origin", b"http://" + host), KEY).same_origin


def test_the_cookie_is_not_for_scripts_nor_for_others() -> None:
    """HttpOnly, strict, for TLS alone where there is some; an empty one is taken back."""
    visit = told(HOST, COOKIE, KEY)
    name, value = BrowserSessions(tls=True).set_cookie(visit, "new")
    assert name == b"set-cookie"
    assert value.startswith("freehold-agent-8200=new; ")
    for word in ("HttpOnly", "SameSite=Strict", "Path=/", "Secure"):
        assert word in value
    assert "Secure" not in BrowserSessions(tls=False).set_cookie(visit, "new")[1]
    assert "Max-Age=0" in BrowserSessions(tls=False).set_cookie(visit, "")[1]
    assert "one" not in repr(visit)
