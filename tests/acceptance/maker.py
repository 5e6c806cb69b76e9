"""A process that has imported `freehold` and forks: most of what a start takes is imports.

What it makes has the arguments, the environment and the descriptors that `exec` would have given
it; its modules are at hand, the kernel shows the maker's command line, its set order is that of
all that this maker makes, it ends without taking its modules apart, and a control plane's hashes
of passwords are cheap. A `sitecustomize` that PYTHONPATH of its environment leads to is run after
the imports. How the command starts by itself is for the README's tour, for `make run`, for agents
that are made `anew`, and for `make durability`: these do not use this.

`python -m tests.acceptance.maker KIND` is told what to make by a socket that is its standard input.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from threading import Lock
from typing import IO, Any, Final, Literal

from trio._core import _run
from typer.main import get_command

Kind = Literal["agent", "control"]
_ROOT: Final = Path(__file__).parents[2]
_MESSAGE: Final = 1 << 18
_FILES: Final = 3  # input, output, errors
_LARGE: Final = 1 << 30  # bytes that are free on a disk which no test fills
_AT_HAND: Final[dict[Kind, tuple[str, ...]]] = {
    "agent": (
        "encodings.idna", "httpcore2", "protocols.http.ws_connection", "typer._adapters",
        "vault.app", "vault.config.load", "vault.store.migration", "vault.store.postgresql",
    ),
    "control": (
        "control.app", "control.config.load", "control.bootstrap", "control.store.migrate",
        "encodings.idna", "protocols.http.ws_connection", "typer._adapters",
    ),
}  # fmt: skip
"""Not both: what one of the two lacks is not there by the other's doing."""


class Made:
    """A process that the maker has made; to its user as a `Popen`."""

    def __init__(self, pid: int, reap: Callable[[int], int]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._reap = reap
        self._handle = os.pidfd_open(pid)  # the maker does not reap what it was not asked to
        self._end = select.poll()
        self._end.register(self._handle, select.POLLIN)
        self._reaping = Lock()

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
        with self._reaping, suppress(ProcessLookupError):
            if self.returncode is None:
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """As a child."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and self._end.poll(timeout and timeout * 1000):
            with self._reaping:
                if self.returncode is None:
                    self.returncode = self._reap(self.pid)
                    os.close(self._handle)
        return self.returncode


class Maker:
    """Has processes made by one of its own, until `close`."""

    def __init__(self, *arguments: str, module: str = __name__) -> None:
        """`module` calls `serve`."""
        self._asking = Lock()  # one question at a time
        self._asked = 0
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
        *,
        folder: str = "",
    ) -> Made:
        """One that runs here and now, as `Popen` does it; what it says wrong goes to `out` as well.

        It is given nothing unless it is told what, and runs in `folder` or else in this process's.
        Raises `OSError`.
        """
        where = folder or str(Path.cwd())
        told = {"command": command, "environment": environment, "folder": where}
        with Path(os.devnull).open() as nothing:
            files = (given or nothing, out, errors or out)
            pid = self._ask(told, [file.fileno() for file in files])
        return Made(pid, self._ask)

    def close(self) -> None:
        """It makes no more. What it has made goes on."""
        self._socket.close()
        self._process.wait()

    def _ask(self, question: object, descriptors: Sequence[int] = ()) -> int:
        with self._asking:
            self._asked += 1
            message = json.dumps([self._asked, question]).encode()
            socket.send_fds(self._socket, [message], descriptors)
            number, value, error = 0, 0, ""
            while number != self._asked:  # what is older is for somebody who was interrupted
                answer = self._socket.recv(_MESSAGE)
                if not answer:
                    raise ConnectionResetError("the process that makes others is gone")
                number, value, error = json.loads(answer)
        if error:
            raise OSError(error)
        return int(value)


_FIRST: Final = Lock()


def maker(kind: Kind) -> Maker:
    """This process's own."""
    with _FIRST:
        return _maker(kind)


@cache
def _maker(kind: Kind) -> Maker:
    made = Maker(kind)
    atexit.register(made.close)
    return made


def is_at_home() -> bool:
    """Whether this thread has the network of its process, and so of whom the maker makes."""
    own, thread = (Path(f"/proc/{of}/ns/net").readlink() for of in ("self", "thread-self"))
    return own == thread


def serve_children(main: Callable[[], None]) -> None:
    """Make what is asked for: each runs `main` with its arguments in `sys.argv`."""
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as asked:
        become = _next_one(asked)
    if become is not None:
        become()
        end_at_once(main)


def serve(kind: Kind, prepare: Callable[[], object]) -> None:
    """Make what is asked for; each runs `prepare` first. Until nobody can ask any more."""
    for name in (*_AT_HAND[kind], *_command_modules()):
        import_module(name)
    import_module("protocols.msgspec_init").prepare_structs()
    import_module("ui.web.files").read_files()
    _build_commands()
    if kind == "control":
        _hash_cheaply()
    else:
        _find_rotators()
        _reserve_cheaply()
    gc.freeze()  # else a collection in what is made writes to all of it
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks is, and cleans up
    with socket.socket(fileno=os.dup(0)) as asked:
        become = _next_one(asked)
    if become is None:
        return
    signal.signal(signal.SIGINT, interrupted)
    become()
    prepare()
    end_at_once(import_module("ui.cli.main").main)


def _command_modules() -> Iterator[str]:
    """Those of the command line, which load nothing of `vault` or `control` until they run."""
    for module in iter_modules(import_module("ui.cli").__path__):
        yield f"ui.cli.{module.name}"


def _build_commands() -> None:
    """Make the command line's groups of their functions, once for all processes."""
    main = import_module("ui.cli.main")
    main.app = get_command(main.app)
    for name in main.GROUPS:
        main.app.commands[name]


def _find_rotators() -> None:
    """Look for packages that bring kinds of them, once for all processes."""
    rotator = import_module("vault.rotation.rotator")
    rotator.entry_points = cache(rotator.entry_points)
    rotator.entry_points(group=rotator.ENTRY_POINTS)


def _hash_cheaply() -> None:
    """Let a password's hash take no time: a fifth of a second of a core, and a test has a dozen.

    What one costs, and who waits for it, is for planes that are started `anew`.
    """
    passwords: Any = import_module("control.authn.passwords")
    passwords.PasswordHasher = partial(
        passwords.PasswordHasher, time_cost=1, memory_cost=8, parallelism=1
    )


def _reserve_cheaply() -> None:
    """Let the reserve of an audit log be a hole: where tests write, it is memory to be cleared.

    Not on a small disk, which a test may fill.
    """
    disk: Any = import_module("vault.audit.sinks.disk").Disk
    allocate = disk.allocate

    def allocate_cheaply(self: object, fd: int, size: int) -> None:
        if (found := os.fstatvfs(fd)).f_bavail * found.f_frsize > _LARGE:
            os.ftruncate(fd, size)
        else:
            allocate(self, fd, size)

    disk.allocate = allocate_cheaply


def end_at_once(main: Callable[[], None]) -> None:
    """Run it; then end without taking apart what was imported.

    All of that is memory of the maker's, and to write to it is to copy it: four fifths of what a
    short command takes.
    """
    try:
        main()
    except SystemExit as done:
        if not isinstance(done.code, int | None):
            raise
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(done.code or 0)


def _next_one(asked: socket.socket) -> Callable[[], None] | None:
    """In each process that is made what it has to do first; None in the maker, at its end."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(asked, _MESSAGE, _FILES)
        if not message:
            return None
        number, question = json.loads(message)
        value, error = 0, ""
        try:
            if isinstance(question, int):
                value = os.waitstatus_to_exitcode(os.waitpid(question, 0)[1])
            elif not (value := os.fork()):
                return lambda: _become(descriptors, **question)
        except OSError as failed:
            error = str(failed)
        for descriptor in descriptors:
            os.close(descriptor)
        asked.send(json.dumps([number, value, error]).encode())


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
    _customize(environment)
    _run._r.seed()  # Trio's chance, which is drawn when it is imported; of `random` Python thinks


def _customize(environment: dict[str, str]) -> None:
    """As Python does it at a start (site(3)); modules that are imported already see it, too."""
    folders = [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder]
    if any((Path(folder) / "sitecustomize.py").exists() for folder in folders):
        sys.path[:0] = folders
        sys.modules.pop("sitecustomize", None)  # the distribution's
        import_module("sitecustomize")


def main() -> None:
    """Make the plain command."""
    kind: Any = sys.argv[1]
    serve(kind, lambda: None)


if __name__ == "__main__":
    main()
