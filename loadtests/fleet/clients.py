"""The client processes: started, asked all at once, and ended."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from loadtests import process

ENDED_WITHIN = 30.0  # seconds


class Clients:
    """See `clients`."""

    def __init__(self, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self._processes = processes

    def ask(self, **asked: Any) -> list[dict[str, Any]]:
        """Ask all of them at once; their answers. Raises `ChildProcessError` if one is gone."""
        self.begin(**asked)
        return self.answers()

    def begin(self, **asked: Any) -> None:
        """Ask, without waiting."""
        for each in self._processes:
            _input(each).write(json.dumps(asked) + "\n")
            _input(each).flush()

    def cpu_seconds(self) -> float:
        """User and system time of all of them so far."""
        return sum(process.cpu_seconds(each.pid) for each in self._processes)

    def answers(self) -> list[dict[str, Any]]:
        """One of each. Raises as `ask`."""
        return [_answer(each) for each in self._processes]


@contextmanager
def clients(files: Sequence[Path], host: str, port: int) -> Iterator[Clients]:
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
        made = Clients(started)
        made.answers()
        yield made
    finally:
        for each in started:
            _end(each)


def _answer(client: "subprocess.Popen[str]") -> dict[str, Any]:
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
