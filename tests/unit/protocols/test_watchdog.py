import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from protocols.systemd import SystemdNotifier
from protocols.watchdog import feed_watchdog

INTERVAL = 0.02  # seconds


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The end of the notify socket that systemd holds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(60)
        yield sock


class Said(logging.Handler):
    """Ends the block at the first critical line."""

    def __init__(self, scope: trio.CancelScope) -> None:
        super().__init__(logging.CRITICAL)
        self._scope = scope

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002  # of the interface
        """In the event loop's thread."""
        self._scope.cancel()


def received(manager: socket.socket) -> int:
    """How many messages are there."""
    manager.settimeout(0)
    count = 0
    while True:
        try:
            assert manager.recv(256) == b"WATCHDOG=1"
        except BlockingIOError:
            return count
        count += 1


async def test_only_a_process_that_serves_feeds_it(manager: socket.socket) -> None:
    """A sign of life is asked for at each beat; without one nothing is sent."""
    answers = iter([True, False, False, True])
    with trio.CancelScope() as scope:

        def is_serving(within: float) -> bool:
            assert within == INTERVAL / 2
            answer = next(answers, None)
            if answer is None:
                scope.cancel()
            return bool(answer)

        await feed_watchdog(SystemdNotifier(manager.getsockname(), INTERVAL), is_serving)
    assert received(manager) == 2


async def test_without_threads_nothing_is_fed(manager: socket.socket) -> None:
    """An event loop that turns answers nobody if no thread can be had; it says so once."""
    hangs = threading.Event()
    with trio.fail_after(30), trio.CancelScope() as scope:
        handler = Said(scope)
        logger = logging.getLogger("freehold.watchdog")
        logger.addHandler(handler)
        try:
            service = SystemdNotifier(manager.getsockname(), INTERVAL)
            await feed_watchdog(service, lambda _: True, call=hangs.wait)
        finally:
            logger.removeHandler(handler)
            hangs.set()
    assert scope.cancelled_caught
    assert received(manager) == 0


async def test_without_a_watchdog_it_ends_at_once() -> None:
    """As outside of systemd."""
    await feed_watchdog(SystemdNotifier(), lambda _: pytest.fail("asked"))
