"""Whether a machine has room for so many agents: files of a process, ports of an address.

Each agent is one socket of the control plane and one of a client, and takes one port of the one
address that all of them come from.
"""

from pathlib import Path
from typing import Final

SPARE: Final = 1_000
"""Files and ports for all else: databases, pipes, the REST API; agents that come a second time."""
PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def files_for(agents: int) -> int:
    """How many files the control plane's process may have to open."""
    return agents + SPARE


def missing_capacity(agents: int, files: int, ports: int) -> str:
    """What there is too little of and what to do; "" if there is enough.

    `files`: that a process may open; `ports`: that the kernel gives to those who connect.
    """
    if files < files_for(agents):
        return (
            f"{agents:,} agents need {files_for(agents):,} open files, and a process has {files:,} "
            f"here: `ulimit -Hn {files_for(agents)}` as root (systemd: LimitNOFILE) raises it"
        )
    if ports < agents + SPARE:
        return (
            f"{agents:,} agents need {agents + SPARE:,} ports, and the kernel has {ports:,}: "
            f'`sysctl -w net.ipv4.ip_local_port_range="20000 60999"` as root'
        )
    return ""


def ports_of(text: str) -> int:
    """How many the kernel gives to those who connect, by the text of `PORTS`."""
    first, last = map(int, text.split())
    return last - first + 1
