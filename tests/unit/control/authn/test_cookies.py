"""Whose page asked, and by which cookie."""

import pytest

from control.authn.cookies import SESSION, check_csrf, check_origin, from_browser
from control.crypto import csrf_of
from control.errors import AuthorizationError
from control.model.operation import Browser
from protocols.http.cookies import cookie_name

OWN = "https://plane.example"


@pytest.mark.parametrize("site", ["same-site", "cross-site", "none"])
def test_only_our_own_pages_are_let_in(site: str) -> None:
    """Whatever a browser says that is not of our origin."""
    browser = from_browser([("Origin", OWN), ("Sec-Fetch-Site", site)], OWN)
    assert not browser.same_origin
    with pytest.raises(AuthorizationError, match="csrf"):
        check_origin(browser)
    check_origin(from_browser([("Origin", OWN)], OWN))


def test_headers_may_come_in_pieces_and_any_case() -> None:
    """Cookies as HTTP/2 splits them; an origin that is there twice is no origin."""
    told = [("COOKIE", "a=b"), ("cookie", f"{cookie_name(OWN, SESSION)}=x"), ("X-Csrf-Token", "t")]
    assert from_browser([*told, ("Origin", OWN)], OWN) == Browser("x", "t", same_origin=True)
    assert not from_browser([*told, ("Origin", OWN), ("origin", OWN)], OWN).same_origin


def test_the_page_has_to_know_the_session() -> None:
    """The right origin is not enough, nor is another session's token."""
    check_csrf(Browser("secret", csrf_of("secret"), same_origin=True))
    for csrf in ("", "secret", csrf_of("other"), "\udcff"):
        with pytest.raises(AuthorizationError, match="csrf"):
            check_csrf(Browser("secret", csrf, same_origin=True))
    with pytest.raises(AuthorizationError, match="csrf"):
        check_csrf(Browser("secret", csrf_of("secret"), same_origin=False))
