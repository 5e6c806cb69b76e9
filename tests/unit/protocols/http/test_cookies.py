"""Whose page asked, and by which cookie."""

import pytest

from protocols.http.cookies import cookie_name, is_same_origin, read_cookie

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
    assert read_cookie(header, cookie_name(OWN, "freehold-session")) == value
    assert cookie_name("http://127.0.0.1:1", "freehold-session") == "freehold-session"


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
