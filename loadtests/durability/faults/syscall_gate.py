"""The gate: every change that an agent makes to its files passes here, and one may meet a fault.

Positions are counted over all threads of the agent, and of its workers, from `arm` on. The agent
itself knows nothing of it: no hook, no preloaded library, and what did not pass was never seen by
the kernel.
"""

import errno
import os
import platform
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from loadtests.durability.faults import calls, seccomp
from loadtests.durability.faults.calls import FileCall
from loadtests.durability.faults.seccomp import Notification

Kind = Literal[
    "kill", "tear", "worker killed", "worker torn",
    "EIO", "EIO stays", "ENOSPC", "ENOSPC stays", "short", "delay",
]  # fmt: skip
LETHAL: Final = frozenset({"kill", "tear"})
OF_WORKERS: Final = frozenset({"worker killed", "worker torn"})
OF_WRITES: Final = frozenset({"tear", "worker torn", "short"})
_RELEASED_WITHIN: Final = 30.0  # seconds; a call that nobody releases would hang the agent


@dataclass
class Fault:
    """What strikes at the `at`th call (from 1) since the first that `begins` is true of.

    kill: the agent dies instead of the call. tear: it dies after half of a write. worker killed,
    worker torn: the same of the one worker whose call it is, the others live on. EIO, ENOSPC: the
    call fails, once or (stays) with all after it. short: half is written. delay: it is held until
    the gate lets it go. What is torn or short counts writes only, what is of a worker the calls of
    workers, the others every call.
    """

    kind: Kind
    at: int
    begins: Callable[[FileCall], bool] = lambda _call: True
    count: int = 0
    begun: bool = False
    struck: FileCall | None = None

    def strikes(self, call: FileCall) -> bool:
        """Whether it is now; counts the call."""
        self.begun = self.begun or self.begins(call)
        if not self.begun or not can_strike(call, self.kind):
            return False
        self.count += 1
        return self.count == self.at or (self.kind.endswith("stays") and self.count > self.at)


def can_strike(call: FileCall, kind: Kind) -> bool:
    """Whether this kind of fault can strike such a call."""
    if kind in OF_WORKERS and not call.worker:
        return False
    return kind not in OF_WRITES or call.name in calls.WRITES


class SyscallGate:
    """Made by `open_gate`. One thread; what it knows is read and changed under its lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"freehold-gate-{os.getpid()}-{id(self)}"
        self._socket_path = socket.socket(socket.AF_UNIX)
        self._socket_path.bind(f"\0{self._name}")
        self._socket_path.listen()
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._trace: list[FileCall] = []
        self._process: int | None = None  # pidfd of the agent behind the gate, if one is
        self._leader = 0  # its process id; its workers are other processes behind this gate
        self._held = threading.Event()
        self._release = threading.Event()
        self.failure: BaseException | None = None
        """Why the gate ended, if it was not told to."""

    def command(self, command: list[str]) -> list[str]:
        """The same behind this gate."""
        return [
            sys.executable,
            "-m",
            "loadtests.durability.faults.gated_exec",
            self._name,
            *command,
        ]

    def arm(self, fault: Fault) -> None:
        """From now on; forgets the trace."""
        self._held.clear()
        self._release.clear()
        with self._lock:
            self._fault, self._trace = fault, []

    def disarm(self) -> list[FileCall]:
        """Nothing strikes any more; returns the calls since `arm`."""
        with self._lock:
            self._fault = None
            trace, self._trace = self._trace, []
        self._held.clear()  # whoever waits for the next delay does not meet this one
        self._release.set()
        return trace

    def has_seen(self, name: str, file: str) -> bool:
        """Whether such a call passed since `arm`."""
        with self._lock:
            return any(call.name == name and call.path.name == file for call in self._trace)

    def wait_held(self, seconds: float) -> bool:
        """Whether a `delay` holds a call, waiting that long for it."""
        return self._held.wait(seconds)

    def release(self) -> None:
        """Let the held call go."""
        self._release.set()

    def serve(self) -> None:
        """One agent after the other, until `close`."""
        try:
            while True:
                with suppress(ConnectionError):
                    self._admit()
        except BaseException as error:  # noqa: BLE001  # told where the gate is closed
            self.failure = error

    def close(self) -> None:
        """No further agent; one that still runs, because something else failed, is killed."""
        with self._lock:
            if self._process is not None:
                _kill(self._process)
        with suppress(OSError):
            self._socket_path.shutdown(socket.SHUT_RDWR)
        self._socket_path.close()

    def _admit(self) -> None:
        agent, _ = self._socket_path.accept()
        with agent:
            _, listeners, _, _ = socket.recv_fds(agent, 1, 1)
            if not listeners:
                return  # killed before it was behind the gate
            credentials = agent.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            self._leader = int.from_bytes(credentials[:4], sys.byteorder)
            process = os.pidfd_open(self._leader)
            agent.send(b"x")
        with self._lock:
            self._process = process
        try:
            self._answer_all(listeners[0], process)
        finally:
            with self._lock:
                self._process = None
            os.close(process)
            os.close(listeners[0])

    def _answer_all(self, listener: int, process: int) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while poll.poll()[0][1] & select.POLLIN:  # else the last thread of it is gone
            asked = seccomp.receive(listener)
            if asked is not None:
                self._answer(listener, process, asked)

    def _answer(self, listener: int, process: int, asked: Notification) -> None:
        call = calls.identify_call(asked, self._folder, self._leader)
        with self._lock:
            fault = self._fault
            if call is None or fault is None:
                seccomp.continue_call(listener, asked)
                return
            self._trace.append(call)
            if not fault.strikes(call):
                seccomp.continue_call(listener, asked)
                return
            call.fault = fault.kind
            fault.struck = fault.struck or call
        self._strike(listener, process, asked, fault.kind)

    def _strike(self, listener: int, process: int, asked: Notification, kind: Kind) -> None:
        if kind in {"tear", "worker torn"}:
            with suppress(OSError):  # somebody else has killed it
                calls.write_half(asked)
        if kind in LETHAL:
            _kill(process)
        elif kind in OF_WORKERS:
            _kill_caller(listener, asked)
        elif kind.startswith(("EIO", "ENOSPC")):
            code = errno.EIO if kind.startswith("EIO") else errno.ENOSPC
            seccomp.fail_call(listener, asked, code)
        elif kind == "short":
            seccomp.complete_call(listener, asked, calls.write_half(asked))
        else:
            threading.Thread(target=self._hold, args=(os.dup(listener), asked)).start()

    def _hold(self, listener: int, asked: Notification) -> None:
        self._held.set()
        self._release.wait(_RELEASED_WITHIN)
        seccomp.continue_call(listener, asked)
        os.close(listener)


def _kill(process: int) -> None:
    """By its pidfd, which is never somebody else; it may be gone already."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)


def _kill_caller(listener: int, asked: Notification) -> None:
    """Unless somebody else has: as long as its call waits, nobody else has its number."""
    with suppress(OSError):
        process = os.pidfd_open(calls.process_of(asked.thread))
        try:
            if seccomp.waits(listener, asked):
                _kill(process)
        finally:
            os.close(process)


@contextmanager
def open_gate(folder: Path) -> Iterator[SyscallGate]:
    """A gate for agents with their data in this folder; none outlives the block.

    Raises what ended the gate before its time.
    """
    opened = SyscallGate(folder)
    thread = threading.Thread(target=opened.serve)
    thread.start()
    try:
        yield opened
    finally:
        opened.disarm()
        opened.close()
        thread.join()
    if opened.failure is not None and not isinstance(opened.failure, OSError):
        raise opened.failure


def why_not() -> str:
    """Why this machine cannot do it, empty when it can."""
    if not seccomp.supported():
        return f"system calls of {platform.machine()} are not known here"
    probe = "from loadtests.durability.faults import seccomp; seccomp.install()"
    told = subprocess.run(  # noqa: S603  # our own
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    return told.stderr.strip().rpartition("\n")[2]
