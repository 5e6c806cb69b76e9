"""What clients that ask for much and read nothing cost a control plane in memory.

Answers of all connections together have `Limits.answers_bytes`, bodies `Limits.bodies_bytes`. What
else a process takes is `MARGIN`. Measured is the peak of the resident set (VmHWM, proc(5)).
"""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from shutil import copyfile
from typing import Final

import pytest

from protocols.http.limits import MIB, Limits
from protocols.link.limits import PATH, SUBPROTOCOL
from tests.acceptance.agent import PATIENCE, own_folder, running
from tests.acceptance.control.browser import Browser
from tests.acceptance.control.linked import Linked
from tests.acceptance.control.plane import Plane, tls_plane
from tests.acceptance.deaf import WIDE, Peaks, h2_requests, h2_wire
from tests.acceptance.serve.test_tls import Pki

MARGIN: Final = 128 * MIB
BASE: Final = "organizations/acme"
FURNISHED: Final = "furnished.db"  # the database before any attack
NOTES: Final = 400
TEXT: Final = "a note of some length. " * 170  # nearly as long as one may be
DOCUMENT: Final = "QUJD" * 40_000  # base64 of 120,000 bytes
CONNECTIONS: Final = 20
STREAMS: Final = 100
HOLD: Final = 4.0  # seconds in which the attack is measured
PAUSE: Final = 0.1  # seconds between two requests of somebody else


@pytest.fixture(scope="module")
def furnished_plane() -> Iterator[Plane]:
    """A control plane behind TLS, whose trail has records with long texts. It is down."""
    with own_folder() as folder:
        plane = tls_plane(folder, Pki(folder))
        with running(plane):
            plane.sign_in()
            plane.organization("acme")
            with plane.client(plane.people["acme", "owner"]) as client:
                for number in range(NOTES):
                    note = {"framework": "soc2", "control": "CC6.1", "text": TEXT}
                    if number % 4 == 0:
                        note |= {"name": "document", "content": DOCUMENT}
                    answer = client.call(
                        "POST", f"/api/v1/{BASE}/control-notes", note,
                        headers={"Content-Type": "application/json"},
                    )  # fmt: skip
                    assert answer.status == 201, answer.body
        copyfile(folder / "control.db", folder / FURNISHED)
        yield plane


def sessions(plane: Plane, count: int) -> list[dict[str, str]]:
    """So many API tokens of the owner, as headers: each has turns of its own."""
    owner, made = plane.people["acme", "owner"], {"role": "owner", "ttl": 3600}
    secrets = [plane.want(201, "POST", "tokens", made, token=owner)["secret"] for _ in range(count)]
    return [{"authorization": f"Bearer {secret}"} for secret in secrets]


def many_streams(plane: Plane, stack: ExitStack, path: str, window: int) -> None:
    """20 connections with 100 streams each, that read nothing."""
    paths = [f"/api/v1/{BASE}/{path}"] * STREAMS
    owner = plane.people["acme", "owner"]
    assert plane.ask("GET", f"{BASE}/{path}", token=owner).status == 200
    for headers in sessions(plane, CONNECTIONS):
        h2_wire(plane, stack).sendall(h2_requests(paths, window, headers))


def trail_exports(plane: Plane, stack: ExitStack) -> None:
    """Not a byte of an answer may be sent."""
    many_streams(plane, stack, "audit/export?limit=500", 0)


def trail_pages(plane: Plane, stack: ExitStack) -> None:
    """All may be sent, and nobody reads the socket."""
    many_streams(plane, stack, "audit?limit=500", WIDE)


def usage_exports(plane: Plane, stack: ExitStack) -> None:
    """The same of a table."""
    many_streams(plane, stack, "usage/export?of=curve&resolution=3600&format=json", WIDE)


def notes(plane: Plane, stack: ExitStack) -> None:
    """All notes with their texts."""
    many_streams(plane, stack, "control-notes", 0)


def small_wire(plane: Plane, stack: ExitStack) -> socket.socket:
    """An HTTP/1.1 connection with a small receive buffer."""
    assert plane.tls is not None
    sock = socket.create_connection(("127.0.0.1", plane.port), PATIENCE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    return stack.enter_context(plane.tls.wrap_socket(sock, server_hostname="127.0.0.1"))


def documents(plane: Plane, stack: ExitStack) -> None:
    """HTTP/1.1: 300 connections with a document each."""
    found = plane.want(200, "GET", f"{BASE}/control-notes", token=plane.people["acme", "owner"])
    name = next(note["id"] for note in found if note["name"])
    for headers in sessions(plane, 5) * 60:
        wire = small_wire(plane, stack)
        head = f"GET /api/v1/{BASE}/control-notes/{name}/document HTTP/1.1\r\nHost: a\r\n"
        wire.sendall(f"{head}Authorization: {headers['authorization']}\r\n\r\n".encode())


def reports(plane: Plane, stack: ExitStack) -> None:
    """A report's file and content, which are rendered for each."""
    owner, now = plane.people["acme", "owner"], int(time.time())
    asked = {"title": "R", "frameworks": ["soc2"], "since": now - 86_400, "until": now - 1}
    made = plane.want(201, "POST", f"{BASE}/reports", asked, token=owner)["id"]
    until = time.monotonic() + PATIENCE
    while plane.want(200, "GET", f"{BASE}/reports/{made}", token=owner)["state"] == "waiting":
        assert time.monotonic() < until
    many_streams(plane, stack, f"reports/{made}/file?format=html", 0)


def bodies(plane: Plane, stack: ExitStack) -> None:
    """Requests whose bodies are all but whole, and then go on by the byte."""
    (headers,) = sessions(plane, 1)
    paths = [f"/api/v1/{BASE}/control-notes"] * STREAMS
    piece = b'{"text":"' + b"x" * 16_000
    said = h2_requests(paths, 1 << 16, headers, piece, end=False)
    for _ in range(CONNECTIONS * 2):
        h2_wire(plane, stack).sendall(said)


def socket_frame(payload: bytes, *, opcode: int, end: bool = True) -> bytes:
    """RFC 6455, section 5.2; masked with zeros, so that the payload is as it is."""
    size = len(payload)
    short = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8)
    return bytes([opcode | (0x80 if end else 0)]) + short + bytes(4) + payload


def upgraded(wire: socket.socket, path: str, *lines: str) -> socket.socket:
    """A websocket on this connection."""
    offer = [
        f"GET {path} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *lines, "", "",
    ]  # fmt: skip
    wire.sendall("\r\n".join(offer).encode())
    assert wire.recv(12) == b"HTTP/1.1 101"
    return wire


def feeds(plane: Plane, stack: ExitStack) -> None:
    """Pages that follow all there is, many times, and read nothing: all that an account may have.

    Meanwhile somebody changes things, so that there is news.
    """
    browser = Browser(plane)
    for _ in range(2):  # sessions of 16 feeds
        browser.login("acme", "owner")
        cookies = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
        for _ in range(16):
            wire = small_wire(plane, stack)
            key = (
                f"Sec-WebSocket-Protocol: freehold.live, freehold.session-key.{browser.session_key}"
            )
            origin = f"Origin: {plane.address}", f"Cookie: {cookies}", key
            upgraded(wire, "/api/v1/live", f"Host: 127.0.0.1:{plane.port}", *origin)
            for number in range(16):
                topic = ("alerts", "changes", "fleet", "rollouts")[number % 4]
                wanted = json.dumps({"watch": number, "topic": topic, "org": "acme"}).encode()
                wire.sendall(socket_frame(wanted, opcode=1))
    owner = plane.people["acme", "owner"]
    for number in range(100):
        body = {"vault": f"v-{number}"}
        assert plane.ask("POST", f"{BASE}/agents", body, token=owner).status < 500


def agents(plane: Plane, stack: ExitStack) -> None:
    """An enrolled agent with 100 connections, each with a message that has no end."""
    owner = plane.people["acme", "owner"]
    made = plane.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": "v"}, token=owner)
    agent = Linked(plane.folder / "agent", plane.link_port, made["pin"])
    agent.enrol(made["secret"])
    context = agent.context
    for _ in range(100):
        sock = socket.create_connection(("127.0.0.1", plane.link_port), PATIENCE)
        wire = stack.enter_context(context.wrap_socket(sock, server_hostname="127.0.0.1"))
        with suppress(OSError):  # it may be cut off at any time
            upgraded(wire, PATH, "Host: 127.0.0.1", f"Sec-WebSocket-Protocol: {SUBPROTOCOL}")
            for number in range(64):
                piece = socket_frame(bytes(64 * 1024), opcode=0 if number else 2, end=False)
                wire.sendall(piece)


ATTACKS: Final[list[Callable[[Plane, ExitStack], None]]] = [
    trail_exports, trail_pages, usage_exports, notes, documents, reports, bodies, feeds, agents,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_clients_that_do_not_read_are_bounded(
    furnished_plane: Plane, attack: Callable[[Plane, ExitStack], None]
) -> None:
    """The process takes no more than its budget and what it needs beside; others are served."""
    plane, budget = furnished_plane, Limits().answers_bytes
    # Each has a process of its own: what the allocator keeps of one attack would hide the next.
    copyfile(plane.folder / FURNISHED, plane.folder / "control.db")
    with running(plane), ExitStack() as stack:
        peaks = Peaks(plane)
        attack(plane, stack)
        began, status = time.monotonic(), 0
        while (held := time.monotonic() - began) < HOLD or status != 200:
            assert held < PATIENCE
            time.sleep(PAUSE)
            status = plane.ask("GET", "organizations/platform").status
            assert status in {200, 429, 503}
        grown = peaks.grown()
    assert grown < budget + MARGIN
    assert "Traceback" not in plane.output()
