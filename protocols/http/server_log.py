"""What the server has to say for itself, as typed events on the stdlib logger "freehold.http".

An event carries names, numbers and addresses: never a header, a body, a path, or the text of an
exception, because any of those may hold a secret.
"""

import logging
from traceback import extract_tb
from typing import Any

from protocols.http.asgi import ConnectionInfo
from protocols.http.errors import ProtocolViolationError, RefusedError, SocketViolationError

LOGGER = logging.getLogger("freehold.http")


def log_event(level: int, event: str, **facts: str | int | bool | None) -> None:
    """Log `event`; the facts are in the record's `facts` attribute and in its text."""
    if LOGGER.isEnabledFor(level):
        text = " ".join(f"{name}={value}" for name, value in facts.items())
        LOGGER.log(level, "%s %s", event, text, extra={"event": event, "facts": facts})


def log_refusal(error: RefusedError, peer: ConnectionInfo) -> None:
    """A request was answered by the server itself."""
    log_event(logging.INFO, "refused", status=error.status, code=error.code, client=_host(peer))


def log_h2_violation(error: ProtocolViolationError, peer: ConnectionInfo) -> None:
    """A client broke HTTP/2; its connection ends."""
    log_event(logging.INFO, "violated", code=error.code, reason=error.reason, client=_host(peer))


def log_websocket_violation(error: SocketViolationError, peer: ConnectionInfo) -> None:
    """A client broke its websocket; its connection ends."""
    log_event(logging.INFO, "websocket_violated", code=error.code, client=_host(peer))


def log_app_failure(
    error: Exception, peer: ConnectionInfo, *, after_disconnect: bool = False
) -> None:
    """The application raised, or ended without a whole answer."""
    level = logging.INFO if after_disconnect else logging.ERROR
    log_event(level, "app_failed", client=_host(peer), **_describe(error))


def log_connection_failure(error: Exception, peer: ConnectionInfo) -> None:
    """The server itself raised while it served one connection; the others never knew."""
    log_event(logging.ERROR, "connection_failed", client=_host(peer), **_describe(error))


def _describe(error: Exception) -> dict[str, Any]:
    """Kinds and places, leaf by leaf for a group: all of an exception that is safe to write."""
    leaves = _leaves(error)
    kinds = ",".join(type(leaf).__qualname__ for leaf in leaves)
    return {"error": kinds, "at": ",".join(_place(leaf) for leaf in leaves)}


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _place(error: BaseException) -> str:
    frames = extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"


def _host(peer: ConnectionInfo) -> str | None:
    return peer.client[0] if peer.client else None
