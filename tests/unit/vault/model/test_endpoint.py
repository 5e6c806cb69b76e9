"""Addresses of control planes."""

import pytest

from vault.model.endpoint import endpoint_of


@pytest.mark.parametrize("text", ["https://c", "https://c.test:8443", "https://[::1]:9"])
def test_host_and_port_behind_tls(text: str) -> None:
    """With or without a closing slash."""
    assert endpoint_of(text) == endpoint_of(f"{text}/") == text


@pytest.mark.parametrize(
    "text",
    ["", "c", "c:1", "http://c", "HTTP://c", "ws://c", "https://", "https://u:p@c", "https://c/x",
     "https://c?x", "https://c#x", "https://c:x", "https://c:0", "https://[c"],
)  # fmt: skip
def test_anything_else_is_none(text: str) -> None:
    """Above all nothing without TLS; what was given is not repeated, it may hold a password."""
    with pytest.raises(ValueError, match=r"^is not https://HOST or https://HOST:PORT$"):
        endpoint_of(text)
