"""The control plane under measurement: `freehold control dev` as a process, and its REST API."""

import re
import signal
import subprocess
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from loadtests import process
from loadtests.api import VaultApi
from loadtests.process import free_port
from loadtests.servers import freehold_command

ORG: Final = "fleet"
POLICY: Final = "no-deletes"
DENY: Final = {"effect": "deny", "paths": ["secret/prod/*"], "capabilities": ["delete"]}
PAGE: Final = 500  # the most that the control plane gives at once
PORTS: Final = (2, 3)  # from a free one on: the API's and the link's; a run has others
STOPPED_WITHIN: Final = 60.0  # seconds


class ControlPlaneProcess:
    """One control plane in `folder`. Agents come to `link_port`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.port = free_port(PORTS) + PORTS[0]
        self.link_port = self.port + 1
        self.api = VaultApi(self.port, None)
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and sign in. Raises `TimeoutError`, `ProcessLookupError`."""
        command = [
            freehold_command(), "control", "dev",
            "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.folder),
        ]  # fmt: skip
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                command, stdout=out, stderr=subprocess.STDOUT
            )
        ready = HTTPStatus.OK
        self.api.wait_status(lambda s: s == ready, "GET", "/health/ready", alive=self._need_alive)
        password = (self.folder / "password").read_text().strip()
        name = {"organization": "platform", "name": "admin", "password": password}
        self.api.token = self.api.call("POST", "/api/v1/sessions", name)["secret"]

    def create_organization(self) -> None:
        """The organization of the fleet."""
        self.api.call("POST", "/api/v1/organizations", {"id": ORG, "title": "The fleet"})

    def stop(self) -> None:
        """SIGTERM, then wait; SIGKILL when it does not end."""
        ending, self._process = self._process, None
        if ending is None:
            return
        ending.send_signal(signal.SIGTERM)
        try:
            ending.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            ending.kill()
            ending.wait()

    def resident(self) -> int:
        """Bytes of resident memory."""
        return process.resident(self._pid)

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return process.cpu_seconds(self._pid)

    def write_policy(self) -> int:
        """A policy for all; its version. It is nobody's until it is rolled out."""
        body = {"document": {"rules": [DENY]}}
        version: int = self._call("POST", f"policies/{POLICY}/versions", body)["version"]
        self._call("PUT", f"policies/{POLICY}/targets", {"targets": [{"all": True}]})
        return version

    def roll_out(self, version: int) -> None:
        """Bring it to everybody at once."""
        self._call("POST", f"policies/{POLICY}/rollouts", {"version": version, "plan": {}})

    def applied(self) -> int:
        """How many agents the control plane shows as having applied it."""
        found, after = 0, ""
        while True:
            where = f"policies/{POLICY}/status?limit={PAGE}&after={after}"
            rows = self._call("GET", where)
            found += sum(row["outcome"] == "applied" for row in rows)
            if len(rows) < PAGE:
                return found
            after = rows[-1]["vault"]

    def links(self) -> int:
        """How many agents it counts as linked."""
        with urllib.request.urlopen(self.api.base + "/metrics", timeout=30) as reply:  # noqa: S310
            text = reply.read().decode()
        found = re.search(r"^control_links (\S+)$", text, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def warnings(self) -> int:
        """Lines of warning or worse in its log."""
        return len(re.findall(r" (?:WARNING|ERROR|CRITICAL) ", self._log.read_text()))

    def _call(self, method: str, path: str, body: object = None) -> Any:
        return self.api.call(method, f"/api/v1/organizations/{ORG}/{path}", body)

    @property
    def _pid(self) -> int:
        if self._process is None:
            raise ProcessLookupError("the control plane does not run")
        return self._process.pid

    def _need_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise ProcessLookupError(f"it ended: {self._log.read_text()[-2000:]}")
