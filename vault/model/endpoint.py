"""The address of a control plane: `https://HOST` or `https://HOST:PORT`, and nothing else.

Here, where it is written down, and wherever something is about to be sent there: over plain HTTP
neither a pin nor a certificate would be looked at.
"""

from typing import Final
from urllib.parse import urlsplit

FORM: Final = "https://HOST or https://HOST:PORT"


def endpoint_of(text: str) -> str:
    """The address without a closing slash. Raises `ValueError`, which does not repeat it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not {FORM}") from None
    plain = parts.scheme == "https" and parts.hostname and parts.path in {"", "/"}
    if not plain or parts.username or parts.query or parts.fragment or port == 0:
        raise ValueError(f"is not {FORM}")
    return text.rstrip("/")
