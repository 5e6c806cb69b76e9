"""A program that runs with secrets, and is restarted or signalled when they change."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from actors import SystemWorld
from ui.cli.errors import CliError, Exit
from ui.cli.output import print_note
from ui.cli.values import Values

GRACE: Final = 10.0  # seconds that a program has to end by itself
HEALTHY: Final = 5.0
"""Seconds that a program runs with new values until these count as in use."""
FOLDER_VARIABLE: Final = "FREEHOLD_SECRETS_DIR"
_FORWARDED: Final = tuple(
    each for each in signal.Signals
    if each.name in {"SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"}
)  # fmt: skip
"""Those that the system has: Windows knows the first two."""
_OF_TERMINAL: Final = frozenset(each for each in _FORWARDED if each.name in {"SIGINT", "SIGQUIT"})
"""Which a terminal sends to the program itself, too."""
_BY_SIGNAL: Final = 128  # as shells tell of a program that a signal ended


@dataclass(frozen=True)
class OnChange:
    """What is done with new values: a restart, or this signal."""

    signal: int = 0

    @classmethod
    def parse(cls, text: str) -> "OnChange":
        """Of `restart` or `signal:NAME`. Raises `CliError`."""
        kind, _, name = text.partition(":")
        if text == "restart":
            return cls()
        name = name.upper().removeprefix("SIG")
        found = getattr(signal, f"SIG{name}", None)
        if kind != "signal" or not isinstance(found, signal.Signals):
            raise CliError(
                "--on-change must be restart or signal:NAME, such as signal:HUP", Exit.USAGE
            )
        return cls(found)


@dataclass(frozen=True)
class _Ended:
    code: int
    process: "subprocess.Popen[bytes]"


class Supervisor:
    """Runs one program until it ends. `apply` is called from any thread with new values."""

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        on_change: OnChange,
        acknowledge: Callable[[dict[str, int]], None] = lambda _: None,
    ) -> None:
        """`acknowledge` is called in a thread of its own, with the versions that are in use."""
        self._world = SystemWorld()
        self._command = command
        self._environment = environment
        self._on_change = on_change
        self._acknowledge = acknowledge
        self._events: queue.SimpleQueue[Values | _Ended | signal.Signals] = queue.SimpleQueue()
        self._child: subprocess.Popen[bytes] | None = None
        self._values = Values()
        self._acknowledged: dict[str, int] = {}
        self._healthy_at = 0.0

    def apply(self, values: Values) -> None:
        """Have the program run with these."""
        self._events.put(values)

    def run(self, values: Values) -> int:
        """Run it until it ends; its exit code. Raises `CliError` if it cannot be started."""
        with self._folder(values) as folder, self._signals():
            try:
                self._start(values, folder)
                return self._supervise(folder)
            finally:
                self._stop()

    def _supervise(self, folder: Path | None) -> int:
        while True:
            try:
                event = self._events.get(timeout=self._until_healthy())
            except queue.Empty:
                self._tell_versions()
                continue
            if isinstance(event, _Ended):
                if event.process is self._child:
                    self._child = None
                    return event.code if event.code >= 0 else _BY_SIGNAL - event.code
            elif isinstance(event, signal.Signals):
                self._forward(event)
            else:
                self._change(event, folder)

    def _change(self, values: Values, folder: Path | None) -> None:
        if not values.differs(self._values):
            self._values = values
            return
        names = [name for name, number in values.versions.items()
                 if self._values.versions.get(name) != number]  # fmt: skip
        what = ", ".join(names) or "secrets"
        if self._on_change.signal:
            _write_files(folder, values.files)
            print_note(f"freehold: {what} changed: the program gets a signal")
            self._values, self._healthy_at = values, self._world.uptime() + HEALTHY
            self._send(self._on_change.signal)
            return
        print_note(f"freehold: {what} changed: the program is restarted")
        self._stop()
        self._start(values, folder)

    def _start(self, values: Values, folder: Path | None) -> None:
        _write_files(folder, values.files)
        program = shutil.which(self._command[0])  # by the caller's PATH, whatever the secrets hold
        if program is None:
            raise CliError(f"there is no program {self._command[0]}", Exit.NO_PROGRAM)
        told = {} if folder is None else {FOLDER_VARIABLE: str(folder)}
        environment = {**self._environment, **values.variables, **told}
        try:
            child = subprocess.Popen(  # noqa: S603  # what the person asked for
                self._command, executable=program, env=environment
            )
        except OSError as error:
            raise CliError(
                f"cannot run {self._command[0]}: {error.strerror}", Exit.CANNOT_RUN
            ) from None
        self._child, self._values = child, values
        self._healthy_at = self._world.uptime() + HEALTHY
        threading.Thread(
            target=lambda: self._events.put(_Ended(child.wait(), child)), daemon=True
        ).start()

    def _stop(self) -> None:
        """End the program, if it runs: by SIGTERM, and after `GRACE` by SIGKILL."""
        child, self._child = self._child, None
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            print_note(f"freehold: the program did not end within {GRACE:g} s and is killed")
            child.kill()
            child.wait()

    def _until_healthy(self) -> float | None:
        if self._acknowledged == self._values.versions:
            return None
        return max(self._healthy_at - self._world.uptime(), 0.0)

    def _tell_versions(self) -> None:
        new = {
            name: number
            for name, number in self._values.versions.items()
            if self._acknowledged.get(name) != number
        }
        self._acknowledged = dict(self._values.versions)
        threading.Thread(target=self._acknowledge, args=(new,), daemon=True).start()

    def _forward(self, received: signal.Signals) -> None:
        if not (received in _OF_TERMINAL and sys.stdin and sys.stdin.isatty()):
            self._send(received)

    def _send(self, number: int) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def receive(number: int, _: FrameType | None) -> None:
            self._events.put(signal.Signals(number))

        before = {number: signal.signal(number, receive) for number in _FORWARDED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def _folder(self, values: Values) -> Iterator[Path | None]:
        """A folder of the owner alone for the files, in memory where there is such a place."""
        if not values.files:
            yield None
            return
        place = next((p for p in _memory_places() if os.access(p, os.W_OK | os.X_OK)), None)
        if place is None:
            print_note("freehold: there is no file system in memory: the files are on a disk")
        with tempfile.TemporaryDirectory(prefix="freehold-", dir=place) as folder:
            yield Path(folder)


def _memory_places() -> Iterator[str]:
    if place := os.environ.get("XDG_RUNTIME_DIR"):
        yield place
    yield "/dev/shm"  # noqa: S108  # a folder of our own in it, of mode 0700


def _write_files(folder: Path | None, files: Mapping[str, bytes]) -> None:
    if folder is None:
        return
    for name, content in files.items():
        replace_file(folder / name, content)


def replace_file(
    path: Path, content: bytes, *, mode: int = 0o600, owner: tuple[int, int] = (-1, -1)
) -> None:
    """Put a file in the place of whatever is there, whole: whoever opens it sees one or the other.

    Mode and owner are set before it has content. Raises `OSError`, and then nothing is changed.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as made:  # noqa: PTH123  # a descriptor
            if owner != (-1, -1):
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            made.write(content)
            made.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
