"""The zygote: a process that has imported all a worker needs and does nothing but fork.

It is forked before Trio and any thread exist, so what it forks in turn starts clean, in
milliseconds, and shares the program's memory with its siblings as long as nobody writes to it.
Whoever dies takes those below along: leader, zygote, worker (PR_SET_PDEATHSIG, prctl(2)).
"""

import ctypes
import logging
import os
import signal
import socket
from collections.abc import Callable
from threading import Lock
from typing import Final, Self

from actors import garbage_collector
from protocols.errors import locate

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_MOST_FDS: Final = 8
_MESSAGE: Final = 4096
_NUMBER: Final = 8  # bytes of a question's number, before its message
FORK_SECONDS: Final = 5.0  # that a question waits for its answer; a fork takes milliseconds

log: Final = logging.getLogger("freehold.workers")

Main = Callable[[bytes, list[int]], None]


class Zygote:
    """The leader's hold on it."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self._sock = sock
        self._asking = Lock()  # one question at a time
        self._asked = 0
        self.pid = pid

    @classmethod
    def fork(cls, main: Main) -> Self:
        """Fork it. `main(message, fds)` is what each of its children runs, and exits after.

        Only while this process has one thread. Import all that `main` needs before.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        garbage_collector.freeze_at_startup()  # a child's collection copies no shared pages
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                ours.close()
                _die_with(parent)
                _serve(theirs, main)
                status = 0
            except Exception as error:  # noqa: BLE001  # the process ends; its text could hold a secret
                log.error("a worker failed: %s", locate(error))  # noqa: TRY400  # the same
            finally:
                os._exit(status)
        theirs.close()
        return cls(ours, pid)

    def spawn(self, message: bytes, fds: list[int]) -> int:
        """Fork a worker with `message` and copies of these descriptors; its pid. Blocks shortly.

        From any thread: each gets the pid of its own. Raises `OSError` when memory is gone or there
        is no answer in time (a worker that is forked later finds nobody at its descriptors, and
        ends), `ConnectionError` when the zygote is gone.
        """
        with self._asking:
            self._asked += 1
            self._sock.settimeout(FORK_SECONDS)
            socket.send_fds(self._sock, [self._asked.to_bytes(_NUMBER) + message], fds)
            number = pid = 0
            while number != self._asked:  # what is older is for somebody who has given up
                answer = self._sock.recv(_MESSAGE)
                if not answer:
                    raise ConnectionResetError("the process that starts workers is gone")
                number, pid = map(int, answer.split())
        if pid <= 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid

    def close(self) -> None:
        """Let it end."""
        self._sock.close()
        os.waitpid(self.pid, 0)


def _serve(sock: socket.socket, main: Main) -> None:
    """Fork at each message, until the leader is gone."""
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # the leader says what to do
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for workers: their lanes tell
    zygote = os.getpid()
    while True:
        message, fds, _, _ = socket.recv_fds(sock, _MESSAGE, _MOST_FDS)
        if not message:
            return
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            sock.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _die_with(zygote)
            main(message[_NUMBER:], fds)
            return
        for fd in fds:
            os.close(fd)
        sock.send(b"%d %d" % (int.from_bytes(message[:_NUMBER]), pid))


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when that one ends; at once if it has."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
