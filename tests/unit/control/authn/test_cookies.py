"""Whose page asked, and by which cookie."""

import pytest

from control.authn.cookies import (
    check_csrf,
    check_origin,
    cookie,
    cookie_name,
    from_browser,
    is_same_origin,
)
from control.crypto import csrf_of
from control.errors import AuthorizationError
from control.model.operation import Browser

OWN = "https://plane.example"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("__Host-freehold-session=abc", "abc"),
        ("a=b; __Host-freehold-session=abc;c=d", "abc"),
        ("freehold-session=abc", ""),
        ("__Host-freehold-session=abc; __Host-freehold-session=planted", ""),
        ("__host-freehold-session=abc", ""),
        ("", ""),
    ],
)
def test_one_cookie_of_our_name(header: str, value: str) -> None:
    """Under TLS with the prefix that no neighbour can plant; of two neither counts."""
    assert cookie(header, cookie_name(OWN)) == value
    assert cookie_name("http://127.0.0.1:1") == "freehold-session"


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"origin": OWN}, True),
        ({"origin": OWN + ":443", "sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://plane.example"}, False),
        ({"origin": OWN + ".evil.example"}, False),
        ({"origin": "https://plane.example:444"}, False),
        ({"origin": "https://[half"}, False),
        ({"origin": OWN, "sec-fetch-site": "same-site"}, False),
        ({"origin": OWN, "sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, False),
    ],
)
def test_only_our_own_pages_are_of_our_origin(headers: dict[str, str], own: bool) -> None:
    """Scheme, host and port; silence, a stranger and a contradiction are refused."""
    assert is_same_origin(headers, OWN) is own
    browser = from_browser(headers.items(), OWN)
    assert browser.same_origin is own
    if not own:
        with pytest.raises(AuthorizationError, match="csrf"):
            check_origin(browser)


def test_headers_may_come_in_pieces_and_any_case() -> None:
    """Cookies as HTTP/2 splits them; an origin that is there twice is no origin."""
    told = [("COOKIE", "a=b"), ("cookie", f"{cookie_name(OWN)}=x"), ("X-Csrf-Token", "t")]
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
