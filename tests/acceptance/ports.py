"""Ports for programs that are told theirs."""

import os
import socket

# Below what the kernel gives to outgoing connections (ip_local_port_range), which would take one.
FIRST, LAST, STEP = 20_000, 32_000, 200
OF_A_RUN = (0, 1, 100, 101)  # what tools/run.sh listens on, from its PORT on


def port_for_a_run() -> int:
    """A PORT for tools/run.sh: all that it needs were free a moment ago.

    The search begins at a place of this process, so that suites beside each other do not meet.
    """
    count = (LAST - FIRST) // STEP
    for number in range(count):
        port = FIRST + (os.getpid() + number) % count * STEP
        if all(_is_free(port + more) for more in OF_A_RUN):
            return port
    raise OSError("no free ports for a run")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
