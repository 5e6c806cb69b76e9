"""Ports for programs that are told theirs."""

import os
import socket
from collections.abc import Sequence
from typing import Final

# Below what the kernel gives to outgoing connections (ip_local_port_range), which would take one.
FIRST: Final = 20_000
LAST: Final = 32_000
STEP: Final = 200


def free_port(more: Sequence[int] = (0,)) -> int:
    """A port of which all `port + more` were free a moment ago; `more` are below `STEP`.

    The search begins at a place of this process, so that programs beside each other do not meet.
    Raises `OSError` when there is none.
    """
    count = (LAST - FIRST) // STEP
    for number in range(count):
        port = FIRST + (os.getpid() + number) % count * STEP
        if all(_is_free(port + one) for one in more):
            return port
    raise OSError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
