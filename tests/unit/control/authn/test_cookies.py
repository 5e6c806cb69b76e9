"""Whose page asked, and by which cookie."""

import pytest

from control.authn.cookies import SESSION, read_browser, require_same_origin
from control.errors import AuthorizationError
from control.model.operation import BrowserCredentials
from protocols.http.cookies import cookie_name

OWN = "https://plane.example"


@pytest.mark.parametrize("site", ["same-site", "cross-site", "none"])
def test_only_our_own_pages_are_let_in(site: str) -> None:
    """Whatever a browser says that is not of our origin."""
    browser = read_browser([("Origin", OWN), ("Sec-Fetch-Site", site)], OWN)
    assert not browser.same_origin
    with pytest.raises(AuthorizationError, match="csrf"):
        require_same_origin(browser)
    require_same_origin(read_browser([("Origin", OWN)], OWN))


def test_headers_may_come_in_pieces_and_any_case() -> None:
    """Cookies as HTTP/2 splits them; an origin that is there twice is no origin."""
    told = [("COOKIE", "a=b"), ("cookie", f"{cookie_name(OWN, SESSION)}=x"), ("X-Session-Key", "k")]
    browser = read_browser([*told, ("Origin", OWN)], OWN)
    assert browser == BrowserCredentials("x", "k", same_origin=True)
    assert browser.credential == "x:k"
    assert not read_browser([*told, ("Origin", OWN), ("origin", OWN)], OWN).same_origin


def test_a_websocket_offers_its_key() -> None:
    """A page cannot set its headers; where a page can, an offer is no key."""
    cookie = ("Cookie", f"{cookie_name(OWN, SESSION)}=x")
    offer = ("Sec-WebSocket-Protocol", "freehold.live, freehold.session-key.k")
    assert read_browser([cookie, offer], OWN, websocket=True).credential == "x:k"
    assert read_browser([cookie, offer], OWN).credential == ""
    assert read_browser([cookie, ("X-Session-Key", "k")], OWN, websocket=True).credential == ""


@pytest.mark.parametrize(("cookie", "key"), [("", "k"), ("x", ""), ("x:k", ""), ("x:", "k")])
def test_half_a_credential_is_none(cookie: str, key: str) -> None:
    """Nor is one that is cut elsewhere."""
    assert BrowserCredentials(cookie, key).credential == ""
