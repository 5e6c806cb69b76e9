"""Clients that ask for much and read nothing, and what that costs a process."""

import socket
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from hpack import Encoder

from loadtests.process import process_tree
from tests.acceptance.agent import PATIENCE, Agent

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
INITIAL_WINDOW: Final = b"\x00\x04"
WIDE: Final = (1 << 31) - 1


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    head = len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
    return head + payload


class Peaks:
    """The largest resident set of each process since the beginning."""

    def __init__(self, agent: Agent) -> None:
        assert agent.process is not None
        self._pids = process_tree(agent.process.pid)
        for pid in self._pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): resets the peak
        self._before = {pid: self._now(pid) for pid in self._pids}

    def grown(self) -> int:
        """Bytes by which the process that grew most has grown at its peak."""
        return max(self._now(pid) - self._before[pid] for pid in self._pids)

    @staticmethod
    def _now(pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10


def h2_wire(agent: Agent, stack: ExitStack) -> ssl.SSLSocket:
    """An HTTP/2 connection with a small receive buffer."""
    assert agent.tls is not None
    context = agent.tls
    context.set_alpn_protocols(["h2"])
    try:
        sock = socket.create_connection(("127.0.0.1", agent.port), PATIENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        return stack.enter_context(context.wrap_socket(sock, server_hostname="127.0.0.1"))
    finally:
        context.set_alpn_protocols(["http/1.1"])


def h2_requests(
    paths: list[str],
    window: int,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    end: bool = True,
) -> bytes:
    """A client's first bytes: each stream may be sent `window` bytes, and so may all.

    `end`: whether the body is whole with that.
    """
    said = [PREFACE, frame(SETTINGS, 0, 0, INITIAL_WINDOW + window.to_bytes(4))]
    if window > 1 << 16:
        said.append(frame(WINDOW_UPDATE, 0, 0, (WIDE - (1 << 16)).to_bytes(4)))
    encoder = Encoder()
    for number, path in enumerate(paths):
        head = encoder.encode(
            [
                (":method", "POST" if body else "GET"),
                (":scheme", "https"),
                (":authority", "a"),
                (":path", path),
                *headers.items(),
            ]
        )
        stream = 2 * number + 1
        said.append(frame(HEADERS, 4 if body else 5, stream, head))
        if body:
            said.append(frame(DATA, int(end), stream, body))
    return b"".join(said)
