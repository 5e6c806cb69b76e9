"""Addresses of control planes."""

import pytest

from vault.model.endpoint import parse_endpoint


@pytest.mark.parametrize("text", ["https://c", "https://c.test:8443", "https://[::1]:9"])
def test_host_and_port_behind_tls(text: str) -> None:
    """With or without a closing slash."""
    assert parse_endpoint(text) == parse_endpoint(f"{text}/") == text


@pytest.mark.parametrize(
    "text",
    ["", "c", "c:1", "http://c", "HTTP://c", "ws://c", "https://", "https://u:p@c", "https://c/x",
     "https://c?x", "https://c#x", "https://c:x", "https://c:0", "https://[c",
     "https://c?", "https://c#", "https://@c", "https://:@c", "https://:p@c", "https://c/?",
     " https://c", "https://c ", "https://c\n", "https://c\t:1", "https://c d", "https://c\x00",
     "https://c\x7f", "https://c\\", "https://c\\@d"],
)  # fmt: skip
def test_anything_else_is_none(text: str) -> None:
    """Above all nothing without TLS; what was given is not repeated, it may hold a password."""
    with pytest.raises(ValueError, match=r"^is not https://HOST or https://HOST:PORT$"):
        parse_endpoint(text)


@pytest.mark.parametrize(
    "text", ["https://b\u00fccher.test", "https://c\u3002test:1", "https://c\u00a0"]
)
def test_a_name_beyond_ascii_is_written_as_it_is_asked_for(text: str) -> None:
    """Each of the clients would make something else of it."""
    with pytest.raises(ValueError, match=r"xn-- form") as caught:
        parse_endpoint(text)
    assert text not in str(caught.value)
    assert parse_endpoint("https://xn--bcher-kva.test") == "https://xn--bcher-kva.test"
