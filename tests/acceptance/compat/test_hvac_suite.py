"""hvac's own integration tests, from its source archive, against real agents.

Its tests are run as they are. They start a `vault server` for each class of tests, which is the
stand-in here: it has this process start an agent in its place. `make setup` fetches the archive.

`hvac_suite.txt` has the tests that must pass. The others are of what the agent does not serve yet.
"""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import SEVERAL, Agent, Form, own_folder, served_agent
from tests.acceptance.compat import stand_in
from tests.acceptance.compat.servers import BAO

SUITE = Path(sys.prefix) / "share" / "hvac-suite"
LISTED = Path(__file__).parent / "hvac_suite.txt"
PATIENCE = 1200.0  # seconds; half a minute on an idle machine
AT_ONCE = 8  # a class's vault may end while the next one's begins
FAULTS = re.compile(r"Traceback| ERROR |failed with|actor \S+ failed")


class Vaults:
    """Starts an agent whenever the stand-in asks for one, and ends it with the stand-in."""

    def __init__(self, folder: Path, form: Form) -> None:
        self.agents: list[Agent] = []
        self._folder = folder
        self._making = threading.Lock()  # one at a time: the form is of the process
        self._form = form
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen()
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._running: list[Future[None]] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return str(self._folder / "vaults")

    def close(self) -> None:
        """No more are started. Raises what an agent could not start with."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self._pool.shutdown()
        for one in self._running:
            one.result()

    def _accept(self) -> None:
        while True:
            try:
                wire, _ = self._listener.accept()
            except OSError:
                return
            folder = self._folder / f"vault-{len(self._running)}"
            folder.mkdir()
            self._running.append(self._pool.submit(self._serve, wire, folder))

    def _serve(self, wire: socket.socket, folder: Path) -> None:
        with wire, wire.makefile() as asked:
            tcp = json.loads(asked.readline())["listener"]["tcp"]
            tls = {name: str(SUITE / tcp[f"tls_{name}"]) for name in ("cert_file", "key_file")}
            server = {"listen": tcp["address"], "workers": self._form.workers, "tls": tls}
            with self._making, self._form.serving():
                agent = served_agent(folder, {"server": server})
            self.agents.append(agent)
            agent.start()
            try:
                wire.recv(1)  # ends with the stand-in, which says nothing more
            finally:
                agent.kill()


@contextmanager
def vaults(folder: Path, form: Form) -> Iterator[Vaults]:
    """For the length of the block."""
    made = Vaults(folder, form)
    try:
        yield made
    finally:
        made.close()


def suite(folder: Path, address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tests of hvac's to their end."""
    programs = folder / "bin"
    programs.mkdir()
    vault = programs / "vault"
    command = shlex.join([sys.executable, "-IS", stand_in.__file__])
    vault.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    vault.chmod(0o700)
    environment: dict[str, Any] = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        stand_in.VAULTS: address,
        stand_in.BAO: BAO,
    }
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-o",
            "addopts=",
            "-p",
            "no:cacheprovider",
            *arguments,
        ],
        cwd=SUITE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


# What an answer is does not depend on the kind of server: tests/contract/store, and the stories.
@pytest.mark.parametrize("form", [SEVERAL, "postgresql"], indirect=True, scope="session")
def test_the_tests_of_hvac_that_must_pass(form: Form) -> None:
    """Each of the listed ones passes; none is skipped. The agents have no fault of their own."""
    assert SUITE.is_dir(), "hvac's tests are not there: run `make setup`"
    count = len(LISTED.read_text().splitlines())
    with own_folder() as folder:
        with vaults(folder, form) as made:
            done = suite(folder, made.address, f"@{LISTED}")
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
        assert re.search(rf"^{count} passed", done.stdout.splitlines()[-1]), done.stdout[-2_000:]
        faults = [
            line
            for agent in made.agents
            for line in agent.output().splitlines()
            if FAULTS.search(line)
        ]
        assert not faults
