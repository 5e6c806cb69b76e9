"""Why a control plane was not reached, in words: libraries hand on errors that print as nothing.

Never what the peer sent, which is not known to be the control plane.
"""

import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx2
import trio

from protocols.pki.errors import PinError, PkiError

MAX_DEPTH: Final = 16
"""Errors behind one another that are looked at."""


def describe_connection_error(error: BaseException) -> str:
    """One clause, from what is behind this error of a request; never empty."""
    behind = list(_behind(error, MAX_DEPTH))
    for kind, told in _KINDS:
        for one in behind:
            if isinstance(one, kind):
                return told(one)
    return str(error) or type(error).__name__


def _behind(error: BaseException | None, deep: int) -> Iterator[BaseException]:
    """The error, and what it was made of: hidden contexts too, each attempt of several."""
    while error is not None and deep > 0:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions[:MAX_DEPTH]:
                yield from _behind(one, deep - 1)
        error, deep = error.__cause__ or error.__context__, deep - 1


def _pin(_: BaseException) -> str:
    return (
        "what answers does not have the pin: it is another control plane, its port for browsers "
        "(agents' is `link.listen` in its settings), or another's pin"
    )


def _stranger(error: BaseException) -> str:
    return f"what answers does not prove to be the control plane: {error}"


def _unverified(error: BaseException) -> str:
    return f"what answers does not prove to be the control plane: {_get(error, 'verify_message')}"


def _untold(error: BaseException) -> str:
    reason = _get(error, "reason").replace("_", " ").lower()
    return f"no TLS with what answers ({reason}): is it the port for agents?"


def _cut(_: BaseException) -> str:
    return "it cut the connection"


def _slow(_: BaseException) -> str:
    return "it did not answer in time"


def _name(error: BaseException) -> str:
    return f"its name cannot be resolved: {_get(error, 'strerror')}"


def _refused(_: BaseException) -> str:
    return "the connection is refused: nothing listens there"


def _system(error: BaseException) -> str:
    return _get(error, "strerror")


def _get(error: BaseException, name: str) -> str:
    return getattr(error, name, None) or str(error) or type(error).__name__


_KINDS: Final = (
    (PinError, _pin),
    (PkiError, _stranger),
    (ssl.SSLCertVerificationError, _unverified),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), _cut),
    (ssl.SSLError, _untold),
    ((httpx2.TimeoutException, trio.TooSlowError, TimeoutError), _slow),
    (socket.gaierror, _name),
    (ConnectionRefusedError, _refused),
    (ConnectionError, _cut),
    (OSError, _system),
)
"""Whichever is there counts, the first of these first: a cause says more than what it led to."""
