"""What a service tells systemd: ready, alive, stopping. sd_notify(3) without libsystemd.

Datagrams to the socket that NOTIFY_SOCKET names. Outside of systemd every call does nothing. And
what systemd hands to a service: a socket that listens already (sd_listen_fds(3)).
"""

import errno
import os
import socket
from collections.abc import Mapping
from typing import Final, Self

MICROSECOND = 1e-6
SEND_SECONDS = 1.0
"""The manager reads at once; if its queue stays full for so long, something is wrong with it."""


_FIRST_SOCKET: Final = 3  # SD_LISTEN_FDS_START


def inherited_socket(environment: Mapping[str, str] = os.environ) -> socket.socket | None:
    """The listening socket of this service's `.socket` unit; None: it has none.

    Raises `OSError` for one that does not take connections over TCP.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    if not environment.get("LISTEN_FDS", "0").isdigit() or environment["LISTEN_FDS"] == "0":
        return None
    found = socket.socket(fileno=_FIRST_SOCKET)
    os.set_inheritable(_FIRST_SOCKET, False)  # noqa: FBT003  # of the interface
    listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens or found.family not in {socket.AF_INET, socket.AF_INET6}:
        found.detach()
        raise OSError(errno.ENOTSUP, "the socket unit must have one ListenStream= of a TCP port")
    return found


class SystemdNotifier:
    """This process as systemd's service manager sees it."""

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        """`address`: of the manager's socket, empty for none; `watchdog`: its patience, seconds."""
        self._address = address
        self.watchdog_seconds = watchdog
        """Seconds after which systemd restarts a service that was not `notify_watchdog`; 0: it
        does not."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """As systemd.exec(5) passes it on: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()  # sd_notify(3): AF_VSOCK is for virtual machines' init, not for services
        pid = environment.get("WATCHDOG_PID", "")
        usec = environment.get("WATCHDOG_USEC", "")
        ours = usec.isdigit() and pid in {"", str(os.getpid())}
        return cls(address, int(usec) * MICROSECOND if ours else 0.0)

    def notify_ready(self, status: str) -> None:
        """Start-up is over: the socket listens. `status` is shown by `systemctl status`."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def notify_watchdog(self) -> None:
        """Feed the watchdog; to be called at half of `watchdog` (sd_watchdog_enabled(3))."""
        self._send("WATCHDOG=1")

    def notify_stopping(self) -> None:
        """Shut-down has begun."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        """Raises `OSError` when the manager named a socket that does not take it."""
        if not self._address:
            return
        # A leading @ stands for the NUL of an abstract socket (unix(7)).
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.settimeout(SEND_SECONDS)
            to.sendto(message.encode(), address)


def _line(text: str) -> str:
    """A datagram is lines of NAME=VALUE: a status must not bring its own."""
    return text.replace("\n", " ")
