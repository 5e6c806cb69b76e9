"""A client that disconnects leaves the queues that its requests wait in."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from tests.acceptance.agent import PATIENCE, own_folder, running
from tests.acceptance.control.plane import PASSWORD, Plane, tls_plane
from tests.acceptance.deaf import h2_requests, h2_wire
from tests.acceptance.serve.test_tls import Pki

LOGINS: Final = 34
"""As many as one address may have in hand and waiting (`control.authn.passwords`)."""
BODY: Final = json.dumps({"organization": "acme", "name": "nobody", "password": PASSWORD}).encode()


@pytest.fixture(scope="module")
def behind_tls() -> Iterator[Plane]:
    """A control plane with the organization `acme`, whose passwords cost what they cost a user."""
    with own_folder() as folder:
        plane = tls_plane(folder, Pki(folder))
        plane.anew = True
        with running(plane):
            plane.sign_in()
            plane.organization("acme")
            yield plane


def by_streams(plane: Plane, stack: ExitStack) -> None:
    """HTTP/2: all on one connection."""
    headers = {"content-type": "application/json"}
    said = h2_requests(["/api/v1/sessions"] * LOGINS, 1 << 16, headers, BODY)
    h2_wire(plane, stack).sendall(said)


def by_connections(plane: Plane, stack: ExitStack) -> None:
    """HTTP/1.1: one connection for each."""
    assert plane.tls is not None
    head = "POST /api/v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    said = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    for _ in range(LOGINS):
        sock = socket.create_connection(("127.0.0.1", plane.port), PATIENCE)
        wire = stack.enter_context(plane.tls.wrap_socket(sock, server_hostname="127.0.0.1"))
        wire.sendall(said)


@pytest.mark.parametrize("attack", [by_streams, by_connections], ids=["HTTP/2", "HTTP/1.1"])
def test_logins_whose_client_left_are_not_waited_for(
    behind_tls: Plane, attack: Callable[[Plane, ExitStack], None]
) -> None:
    """The next one from the same address is answered after those at most that were being made."""
    plane = behind_tls
    alone = login_seconds(plane)
    with ExitStack() as stack:
        attack(plane, stack)
    behind = login_seconds(plane)  # not 429: nobody waits any more
    alone = max(alone, login_seconds(plane))  # what else the machine does counts for both
    assert behind < max(LOGINS / 2 * alone / 2, 5 * alone)


def login_seconds(plane: Plane) -> float:
    """How long one takes."""
    began = time.monotonic()
    plane.login("acme", "owner")
    return time.monotonic() - began
