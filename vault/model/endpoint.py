"""The address of a control plane: `https://HOST` or `https://HOST:PORT`, and nothing else.

Here, where it is written down, and wherever something is about to be sent there: over plain HTTP
neither a pin nor a certificate would be looked at.
"""

from typing import Final
from urllib.parse import urlsplit

FORM: Final = "https://HOST or https://HOST:PORT"
_SIGNS: Final = frozenset("@?#\\")
"""Of what an address could have beyond host and port, also where nothing follows; and what some
readers of addresses take for a slash."""


def parse_endpoint(text: str) -> str:
    """The address without a closing slash. Raises `ValueError`, which does not repeat it."""
    if not text.isascii():
        raise ValueError(f"is not {FORM} (write a name beyond ASCII in its xn-- form)")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not {FORM}") from None
    plain = parts.scheme == "https" and parts.hostname and parts.path in {"", "/"}
    if not plain or port == 0 or any(sign in _SIGNS or not "!" <= sign <= "~" for sign in text):
        raise ValueError(f"is not {FORM}")
    return text.rstrip("/")
