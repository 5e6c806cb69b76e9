import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.systemd import SystemdNotifier, inherited_socket


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The end of the notify socket that systemd holds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(60)
        yield sock


def test_each_call_is_one_datagram(manager: socket.socket) -> None:
    """The assignments of sd_notify(3), in the order they were made."""
    service = SystemdNotifier(manager.getsockname())
    service.notify_ready("sealed")
    service.notify_watchdog()
    service.notify_stopping()
    assert [manager.recv(256) for _ in range(3)] == [
        b"READY=1\nSTATUS=sealed",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_a_status_cannot_bring_assignments_of_its_own(manager: socket.socket) -> None:
    """A line break inside it would be read as a new variable."""
    SystemdNotifier(manager.getsockname()).notify_ready("odd\nMAINPID=1")
    assert manager.recv(256) == b"READY=1\nSTATUS=odd MAINPID=1"


def test_an_abstract_socket_is_reached() -> None:
    """Its leading NUL is written as @."""
    name = f"freehold-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(60)
        SystemdNotifier.from_environment({"NOTIFY_SOCKET": f"@{name}"}).notify_watchdog()
        assert sock.recv(256) == b"WATCHDOG=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_outside_of_systemd_nothing_happens(environment: dict[str, str]) -> None:
    """The same program runs in a terminal."""
    service = SystemdNotifier.from_environment(environment)
    service.notify_ready("serving")
    assert service.watchdog_seconds == 0


def test_a_manager_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """Not swallowed: whoever feeds the watchdog is to fail with it."""
    with pytest.raises(OSError, match="No such file"):
        SystemdNotifier(str(tmp_path / "gone")).notify_watchdog()


@pytest.mark.parametrize(
    ("pid", "usec", "seconds"),
    [
        ("", "30000000", 30.0),
        ("{self}", "500000", 0.5),
        ("1", "30000000", 0.0),  # meant for another process
        ("", "", 0.0),
        ("", "-1", 0.0),
    ],
)
def test_the_watchdogs_patience_is_read(pid: str, usec: str, seconds: float) -> None:
    """sd_watchdog_enabled(3): in seconds, and only if it is meant for this process."""
    own = pid.format(self=os.getpid())
    service = SystemdNotifier.from_environment(
        {"NOTIFY_SOCKET": "/run/none", "WATCHDOG_PID": own, "WATCHDOG_USEC": usec}
    )
    assert service.watchdog_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_FDS": "0"}],
)
def test_sockets_of_another_process_are_not_taken(environment: dict[str, str]) -> None:
    """A program that a service starts inherits its variables, and not its sockets."""
    ours = {"LISTEN_PID": str(os.getpid())} if environment == {"LISTEN_FDS": "0"} else {}
    assert inherited_socket(environment | ours) is None
