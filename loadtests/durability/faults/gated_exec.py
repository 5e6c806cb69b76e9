"""Run a command behind a gate: filter this process, hand the listener over, become the command.

`python -m loadtests.durability.faults.gated_exec SOCKET COMMAND ARGUMENT…`; SOCKET is abstract.
"""

import os
import socket
import sys

from loadtests.durability.faults import seccomp


def enter(name: str) -> None:
    """Filter this process; returns once the gate of this name answers for its calls."""
    with socket.socket(socket.AF_UNIX) as gate:
        gate.connect(f"\0{name}")
        listener = seccomp.install()
        socket.send_fds(gate, [b"x"], [listener])
        os.close(listener)
        gate.recv(1)


def main() -> None:
    """Does not return."""
    _, name, *command = sys.argv
    enter(name)
    os.execv(command[0], command)  # noqa: S606  # no shell


if __name__ == "__main__":
    main()
