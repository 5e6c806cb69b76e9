"""A process that has imported `freehold` and forks: most of what a start takes is imports.

What it makes has the command line, the environment and the descriptors that `exec` would have given
it; only its modules are at hand. How the command starts by itself is for the tests of the command
line, of `make run` and of the harness, which do not use this.

`python -m tests.acceptance.maker` asks nobody: it is told by a socket that is its standard input.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final

_ROOT: Final = Path(__file__).parents[2]
_MESSAGE: Final = 1 << 16
_FILES: Final = 3  # input, output, errors
_AT_HAND: Final = (
    "control.app", "control.config.load", "control.genesis", "control.store.migrate",
    "protocols.http.ws_connection", "ui.cli.agent", "ui.cli.control", "vault.app",
    "vault.config.load", "vault.store.migrate",
)  # fmt: skip


class Made:
    """A process that the maker has made; to its user as a `Popen`."""

    def __init__(self, pid: int, reap: Callable[[int], int]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._reap = reap
        self._handle = os.pidfd_open(pid)  # the maker does not reap what it was not asked to

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended. Raises `TimeoutExpired`."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("freehold", timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """As to a child."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """As a child."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._handle], [], [], timeout)[0]:
            self.returncode = self._reap(self.pid)
            os.close(self._handle)
        return self.returncode


class Maker:
    """Has processes made by one of its own, until `close`."""

    def __init__(self, module: str = __name__, *arguments: str) -> None:
        """`module` calls `serve`."""
        self._asking = Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT)},
            )

    def make(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        out: IO[Any],
        errors: IO[Any] | None = None,
        given: IO[Any] | None = None,
    ) -> Made:
        """One that runs here and now, as `Popen` does it; what it says wrong goes to `out` as well.

        It is given nothing unless it is told what.
        """
        told = {"command": command, "environment": environment, "folder": str(Path.cwd())}
        with Path(os.devnull).open() as nothing:
            files = (given or nothing, out, errors or out)
            pid = self._ask(told, [file.fileno() for file in files])
        return Made(pid, lambda pid: self._ask({"reap": pid}))

    def close(self) -> None:
        """It makes no more. What it has made goes on."""
        self._socket.close()
        self._process.wait()

    def _ask(self, question: Mapping[str, object], descriptors: Sequence[int] = ()) -> int:
        with self._asking:
            socket.send_fds(self._socket, [json.dumps(question).encode()], descriptors)
            return int(self._socket.recv(_MESSAGE))


@cache
def maker() -> Maker:
    """This process's own."""
    made = Maker()
    atexit.register(made.close)
    return made


def is_at_home() -> bool:
    """Whether this thread has the network of its process, and so of whom the maker makes."""
    own, thread = (Path(f"/proc/{of}/ns/net").readlink() for of in ("self", "thread-self"))
    return own == thread


def serve(prepare: Callable[[], object]) -> None:
    """Make what is asked for; each runs `prepare` first. Until nobody can ask any more."""
    for name in _AT_HAND:
        import_module(name)
    with socket.socket(fileno=os.dup(0)) as asked:
        while True:
            message, descriptors, _, _ = socket.recv_fds(asked, _MESSAGE, _FILES)
            if not message:
                return
            question = json.loads(message)
            if "reap" in question:
                _, status = os.waitpid(question["reap"], 0)
                asked.send(b"%d" % os.waitstatus_to_exitcode(status))
                continue
            pid = os.fork()
            if not pid:
                break
            for descriptor in descriptors:
                os.close(descriptor)
            asked.send(b"%d" % pid)
    _become(descriptors, **question)
    prepare()
    import_module("ui.cli.main").main()


def _become(
    descriptors: list[int], command: list[str], environment: dict[str, str], folder: str
) -> None:
    for standard, descriptor in enumerate(descriptors):  # these are above all of those
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command


if __name__ == "__main__":
    serve(lambda: None)
