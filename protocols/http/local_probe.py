"""One request to a server of this machine, to see whether it answers at all.

Nothing secret is sent and nothing that comes back is believed, so its certificate is not verified:
one that has expired, or is for another name, is no reason to restart a server.
"""

import http.client
import socket
import ssl
from typing import Final

from msgspec import Struct

TIMEOUT: Final = 3.0
"""Seconds for each step of the exchange."""
_MOST: Final = 1 << 16  # bytes of an answer
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # an address to connect to


class ProbeAnswer(Struct, frozen=True):
    """`status` 0: it speaks TLS and hangs up, as one that asks for a client's certificate does."""

    status: int
    body: bytes = b""


def probe(
    host: str, port: int, path: str, *, tls: bool, timeout: float = TIMEOUT
) -> ProbeAnswer | None:
    """What `GET path` is answered by whoever listens there; None: nobody, or no HTTP server."""
    address = _ANY.get(host, host)
    wire: http.client.HTTPConnection
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        wire = http.client.HTTPSConnection(address, port, timeout=timeout, context=context)
    else:
        wire = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        wire.connect()
    except OSError:
        return None
    try:
        wire.request("GET", path)
        answer = wire.getresponse()
        return ProbeAnswer(answer.status, answer.read(_MOST))
    except (OSError, http.client.HTTPException):
        return ProbeAnswer(0) if tls and isinstance(wire.sock, ssl.SSLSocket) else None
    finally:
        wire.close()


def is_port_open(host: str, port: int, timeout: float = TIMEOUT) -> bool:
    """Whether somebody accepts a connection there. Raises `OSError` for a name without address."""
    try:
        socket.create_connection((host, port), timeout).close()
    except (ConnectionError, TimeoutError):
        return False
    except socket.gaierror:
        raise
    except OSError:  # no route to it
        return False
    return True
