"""Networks of a test's own: a namespace for each host, and wires whose faults the test chooses.

Root is needed: a namespace, `/dev/net/tun`, iproute2.
"""

import ctypes
import fcntl
import os
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_SILENT: Final = {"06", "0A"}  # TCP_TIME_WAIT, TCP_LISTEN: include/net/tcp_states.h
DEVICE: Final = "wire0"


class Host:
    """A network namespace. What runs `inside` it, and what that starts, has its network alone."""

    def __init__(self, name: str) -> None:
        self.name = name

    def inside(self, call: Callable[[], T]) -> T:
        """The result of `call` in this namespace; a thread of its own enters it and ends."""
        found: list[T] = []
        failed: list[BaseException] = []

        def enter() -> None:
            try:
                _enter(self.name)
                found.append(call())
            except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
                failed.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return found[0]

    def plug(self, device: str, address: str, peer: str) -> int:
        """One end of a wire: a TUN device, up, with its address; the descriptor of its packets."""
        packets = self.inside(lambda: _tun(device))
        ip("-n", self.name, "addr", "add", address, "peer", peer, "dev", device)
        ip("-n", self.name, "link", "set", device, "up")
        return packets

    def connected(self) -> bool:
        """Whether any TCP connection here still has something to say (proc(5), /proc/net/tcp)."""
        table = self.inside(Path("/proc/thread-self/net/tcp").read_text)
        return any(line.split()[3] not in _SILENT for line in table.splitlines()[1:])

    def link(self, device: str, state: str) -> None:
        """Pull the cable (`down`) or put it back (`up`)."""
        ip("-n", self.name, "link", "set", device, state)


def ip(*arguments: str) -> None:
    """iproute2's `ip`. Raises `CalledProcessError` with what it said."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Namespaces of these names, unique to this process, gone after the block."""
    made = [Host(f"freehold-{os.getpid()}-{name}") for name in names]
    begun: list[Host] = []
    try:
        for host in made:
            ip("netns", "add", host.name)
            begun.append(host)
            ip("-n", host.name, "link", "set", "lo", "up")
        yield made
    finally:
        for host in begun:
            ip("netns", "del", host.name)


def _enter(name: str) -> None:
    """Put the calling thread into the namespace; `os.setns` came with Python 3.12 only."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = os.open(Path("/run/netns") / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(place, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name)
    finally:
        os.close(place)


def _tun(device: str) -> int:
    packets = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(
            packets, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
        )
    except OSError:
        os.close(packets)
        raise
    return packets
