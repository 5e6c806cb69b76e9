"""The launcher of rotation scripts, as root runs it where there is no systemd."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from actors.world import SystemWorld
from vault.rotation.rotators import script

PYTHON: Final = os.path.realpath(sys.executable)
_WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 15
UIDS: Final = range(61901 + 3 * _WORKER, 61904 + 3 * _WORKER)
"""Of this worker of pytest-xdist alone: tests look for processes of them, and count these."""


class Launcher:
    """A launcher with definitions of its own, below folders that only root can write."""

    def __init__(self, folder: Path, world: SystemWorld) -> None:
        self.folder = folder
        self.definitions = folder / "rotators.d"
        self.definitions.mkdir(mode=0o755)
        self.socket = folder / "socket"
        self._world = world
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [
                sys.executable, "-I", "-m", "vault.rotation.launcher", "serve", "--agent", "root",
                "--socket", str(self.socket), "--uids", f"{UIDS[0]}-{UIDS[-1]}",
                "--folder", str(self.definitions),
            ],
            stdout=self._log, stderr=self._log, env={"CANARY_ENVIRONMENT": "leak"},
            extra_groups=[61949],  # which no script may have
        )  # fmt: skip
        while not self.socket.exists() or not self._accepts():
            assert self.process.poll() is None, (folder / "log").read_text()
            threading.Event().wait(0.01)

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.socket)) == 0

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)
        self._log.close()

    @property
    def log(self) -> str:
        """What it has written."""
        return (self.folder / "log").read_text()

    def install(self, name: str, body: str, **keys: Any) -> Path:
        """A script in Python, and its definition."""
        program = self.folder / f"{name}.py"
        program.write_text(
            f"#!{PYTHON} -IS\nimport json, os, sys\nrequest = json.load(sys.stdin)\n{body}\n"
        )
        program.chmod(0o755)
        lines = [f'command = ["{program}"]']
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items() if key != "errors"]
        if errors := keys.get("errors"):
            lines += [
                "[errors]",
                *(f"{code} = {json.dumps(text)}" for code, text in errors.items()),
            ]
        definition = self.definitions / f"{name}.toml"
        definition.write_text("\n".join(lines))
        definition.chmod(0o644)
        return program

    def rotator(self, name: str, **settings: str) -> script.ScriptRotator:
        """A rotator that runs this script."""
        kind = script.kind(self.socket, self._world)
        rotator = kind.make(kind.parse({"script": name, "settings": settings}))
        assert isinstance(rotator, script.ScriptRotator)
        return rotator


@contextmanager
def running(world: SystemWorld) -> Iterator[Launcher]:
    """One, in a folder that only root can change: not below /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="freehold-test-", dir="/srv"))
    folder.chmod(0o755)
    launcher = Launcher(folder, world)
    try:
        yield launcher
    finally:
        launcher.stop()
        shutil.rmtree(folder)
