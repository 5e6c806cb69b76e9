"""`freehold run --watch` and `--file`: real programs, restarted and signalled, through outages."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.agent import Agent
from tests.acceptance.cli.conftest import Command
from tests.acceptance.command import FREEHOLD

WITHIN: Final = 90.0  # seconds for whatever is waited for
RECORDER: Final = r"""
trap 'echo term >> "$OUT"; exit 7' TERM
trap 'echo "hup $(cat "$FREEHOLD_SECRETS_DIR/pw")" >> "$OUT"' HUP
echo "start $PW ${FREEHOLD_TOKEN:-none}" >> "$OUT"
[ -n "$FREEHOLD_SECRETS_DIR" ] && stat -c '%a %A' "$FREEHOLD_SECRETS_DIR/pw" >> "$OUT"
while :; do sleep 0.05; done
"""


def eventually(holds: Callable[[], bool], output: Callable[[], str]) -> None:
    """Until it holds; it must."""
    until = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < until, output()
        time.sleep(0.05)


class Running:
    """`freehold run …` around a program that notes what happens to it."""

    def __init__(
        self, agent: Agent, folder: Path, *words: str, program: str = RECORDER, address: str = ""
    ) -> None:
        self._out, self._errors = folder / "out", folder / "errors"
        environment: Mapping[str, str] = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "OUT": str(self._out),
            "FREEHOLD_ADDR": address or agent.address, "FREEHOLD_TOKEN": agent.token,
        }  # fmt: skip
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [FREEHOLD, "run", *words, "--", "sh", "-c", program],
                env=environment, stderr=errors, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    @property
    def lines(self) -> list[str]:
        """What the program noted."""
        return self._out.read_text().splitlines() if self._out.exists() else []

    @property
    def notes(self) -> str:
        """What `freehold` said."""
        return self._errors.read_text()

    def wait_for(self, *lines: str) -> None:
        """Until the program has noted these last."""
        eventually(
            lambda: self.lines[-len(lines) :] == [*lines], lambda: str((self.lines, self.notes))
        )

    def wait_for_note(self, text: str) -> None:
        """Until `freehold` has said so."""
        eventually(lambda: text in self.notes, lambda: self.notes)


@contextmanager
def running(
    agent: Agent, folder: Path, *words: str, program: str = RECORDER, address: str = ""
) -> Iterator[Running]:
    """It, for the length of the block."""
    run = Running(agent, folder, *words, program=program, address=address)
    try:
        yield run
    finally:
        run.process.terminate()
        try:
            run.process.wait(WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(run.process.pid, signal.SIGKILL)  # a session of its own
            run.process.wait()


@contextmanager
def relay(agent: Agent) -> Iterator[str]:
    """An address that is the agent's, whichever port it has after a start."""
    listener = socket.create_server(("127.0.0.1", 0))

    open_wires = ExitStack()

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for wire in (source, target):
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", agent.port))
            except OSError:
                near.close()
                continue
            open_wires.callback(near.close)
            open_wires.callback(far.close)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        open_wires.close()


def test_it_is_restarted_with_new_values(agent: Agent, cli: Command, folder: Path) -> None:
    """In order: the old one has ended when the new one starts; metadata restart nothing."""
    cli("secret", "put", "secret/app/db", "--json", stdin='{"password": "one"}')
    with running(agent, folder, "--watch", "-e", "PW=secret/app/db#password") as run:
        run.wait_for("start one none")
        cli("secret", "metadata", "update", "secret/app/db", "-m", "team=a")
        cli("secret", "put", "secret/other", stdin="x")
        cli("secret", "put", "secret/app/db", "--json", stdin='{"password": "two"}')
        run.wait_for("start one none", "term", "start two none")
        listed = Path(f"/proc/{run.process.pid}/cmdline").read_bytes()
        assert b"two" not in listed
        run.process.terminate()
        assert run.process.wait(WITHIN) == 7
        assert run.lines[-1] == "term"


def test_it_outlives_the_agent(agent: Agent, cli: Command, folder: Path) -> None:
    """It runs on with the last values, says so once, and gets what changed when there is one."""
    cli("secret", "put", "secret/app", stdin="one")
    with relay(agent) as address:
        environment = {"FREEHOLD_ADDR": address}
        with running(agent, folder, "--watch", "-e", "PW=secret/app", address=address) as run:
            run.wait_for("start one none")
            agent.kill()
            run.wait_for_note("the last values stay in use")
            agent.start()
            cli("secret", "put", "secret/app", stdin="two", env=environment)
            run.wait_for("start one none", "term", "start two none")
            run.wait_for_note("the agent answers again")
            cli("secret", "delete", "secret/app", env=environment)
            run.wait_for_note("is deleted")
            assert run.process.poll() is None
            assert run.lines[-1] == "start two none"
            assert run.notes.count("the last values stay in use") == 2


def test_it_is_signalled_and_reads_a_file(agent: Agent, cli: Command, folder: Path) -> None:
    """A private file, replaced before the signal, and gone with the program."""
    cli("secret", "put", "secret/app", stdin="one")
    words = ("--watch", "--file", "pw=secret/app", "--on-change", "signal:HUP")
    program = RECORDER.replace("$PW", '$(cat "$FREEHOLD_SECRETS_DIR/pw")')
    program = f'echo "dir $FREEHOLD_SECRETS_DIR" >> "$OUT"\n{program}'
    with running(agent, folder, *words, program=program) as run:
        run.wait_for("start one none", "600 -rw-------")
        place = Path(run.lines[0].removeprefix("dir "))
        assert place.stat().st_mode & 0o777 == 0o700
        cli("secret", "put", "secret/app", stdin="two")
        run.wait_for("600 -rw-------", "hup two")
        run.process.terminate()
        assert run.process.wait(WITHIN) == 7
        assert not place.exists()


def test_a_program_that_does_not_end_is_killed(agent: Agent, cli: Command, folder: Path) -> None:
    """After ten seconds; then the new one starts."""
    cli("secret", "put", "secret/app", stdin="one")
    deaf = (
        '[ "$PW" = two ] || trap "" TERM; echo "start $PW" >> "$OUT"; while :; do sleep 0.05; done'
    )
    with running(agent, folder, "--watch", "-e", "PW=secret/app", program=deaf) as run:
        run.wait_for("start one")
        cli("secret", "put", "secret/app", stdin="two")
        run.wait_for("start one", "start two")
        assert "is killed" in run.notes


@pytest.mark.parametrize(("program", "code"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_how_it_ended_is_passed_on(
    agent: Agent, cli: Command, folder: Path, program: str, code: int
) -> None:
    """As a shell does."""
    cli("secret", "put", "secret/app", stdin="one")
    with running(agent, folder, "--watch", "-e", "PW=secret/app", program=program) as run:
        assert run.process.wait(WITHIN) == code


def test_what_makes_no_sense_is_refused(agent: Agent, cli: Command) -> None:
    """A signal changes no environment."""
    cli("secret", "put", "secret/app", stdin="one")
    for words in (
        ("--on-change", "signal:HUP", "-e", "PW=secret/app"),
        ("--on-change", "signal:HUH", "--file", "a=secret/app"),
        ("--on-change", "never", "--file", "a=secret/app"),
        ("--file", "../a=secret/app"),
    ):
        cli("run", "--watch", *words, "--", "true", code=64)
    cli("run", "--watch", "-e", "PW=secret/none", "--", "true", code=3)
    cli("run", "--watch", "-e", "PW=secret/app", "--", "no-such-program", code=127)
