"""The client processes: started, asked all at once, and ended."""

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from loadtests import process

ENDED_WITHIN: Final = 30.0  # seconds
BEHIND: Final = 120.0
"""Seconds that a client may be behind what it was asked to be done with."""


class ClientProcesses:
    """See `running_clients`."""

    def __init__(self, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self._processes = processes

    def call(self, **asked: Any) -> list[dict[str, Any]]:
        """Ask all of them at once; their answers. Raises `ChildProcessError` if one is gone.

        And if one says nothing for so long that it must hang: `within` or `seconds`, and `BEHIND`.
        """
        self.send(**asked)
        return self.answers(float(asked.get("within", 0)) + float(asked.get("seconds", 0)))

    def send(self, **asked: Any) -> None:
        """Ask, without waiting."""
        for each in self._processes:
            _input(each).write(json.dumps(asked) + "\n")
            _input(each).flush()

    def cpu_seconds(self) -> float:
        """User and system time of all of them so far."""
        return sum(process.cpu_seconds(each.pid) for each in self._processes)

    def resident(self) -> int:
        """Bytes of memory of all of them."""
        return sum(process.resident(each.pid) for each in self._processes)

    def answers(self, within: float = 0.0) -> list[dict[str, Any]]:
        """One of each. Raises as `call`."""
        return [_answer(each, within + BEHIND) for each in self._processes]


@contextmanager
def running_clients(files: Sequence[Path], host: str, port: int) -> Iterator[ClientProcesses]:
    """A process for each file of recruits, ready; for the length of the block."""
    started: list[subprocess.Popen[str]] = []
    try:
        for file in files:
            command = [sys.executable, "-m", "loadtests.fleet.client", str(file), host, str(port)]
            started.append(
                subprocess.Popen(  # noqa: S603  # our own command
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
        made = ClientProcesses(started)
        made.answers()
        yield made
    finally:
        for each in started:
            _end(each)


def _answer(client: "subprocess.Popen[str]", within: float) -> dict[str, Any]:
    if client.stdout and not select.select([client.stdout], [], [], within)[0]:
        raise ChildProcessError(f"client {client.pid} has said nothing for {within:.0f} s")
    line = client.stdout.readline() if client.stdout else ""
    if not line:
        raise ChildProcessError(f"client {client.pid} is gone; what it said is above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _input(client: "subprocess.Popen[str]") -> IO[str]:
    if client.stdin is None:
        raise ChildProcessError(f"client {client.pid} has no input")
    return client.stdin


def _end(client: "subprocess.Popen[str]") -> None:
    try:
        _input(client).close()
        client.wait(ENDED_WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        client.kill()
        client.wait()
    finally:
        if client.stdout:
            client.stdout.close()
