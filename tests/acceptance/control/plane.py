"""The control plane as a process of its own, and people who are signed in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from actors import SystemWorld
from control.ca.directory import CaDirectory
from tests.acceptance.agent import Agent, Answer
from tests.acceptance.command import FREEHOLD, freehold
from tests.acceptance.serve.test_tls import Pki
from tests.newest import place_control

PASSWORD = "correct horse battery"
API = "/api/v1/"


@dataclass
class Plane(Agent):
    """`freehold control dev` on one folder; `token` is the super-admin's session."""

    kind = "control"
    people: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def password_file(self) -> Path:
        """Where the first account's password is."""
        return self.data / "password"

    @property
    def link_port(self) -> int:
        """Where agents come."""
        return int(self.told.partition("agents on port ")[2].partition(",")[0])

    def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> Answer:
        """One request with a JSON body, as the super-admin unless another token is given."""
        headers: Mapping[str, str] = {"Content-Type": "application/json"}
        with self.client(self.token if token is None else token) as client:
            return client.call(method, API + path, body, headers=headers)

    def want(self, status: int, method: str, path: str, body: object = None, **more: Any) -> Any:
        """The same, where the status is known.

        Whoever has signed in here does so anew where that was ten minutes ago, as tests take long.
        """
        answer = self.ask(method, path, body, **more)
        if answer.status == HTTPStatus.FORBIDDEN != status and answer.json["code"] == "step_up":
            answer = self.ask(method, path, body, self._sign_in_again(**more))
        assert answer.status == status, (method, path, answer.status, answer.body)
        return answer.json

    def _sign_in_again(self, token: str = "") -> str:
        """Sign in again whoever of ours has this token, empty: the super-admin; the new one."""
        for (org, name), known in self.people.items():
            if known == token:
                self.people[org, name] = self.login(org, name)
                return self.people[org, name]
        if not token:
            self.sign_in()
        return token or self.token

    def sign_in(self) -> None:
        """As the first account."""
        password = self.password_file.read_text().strip()
        self.token = self.login("platform", "admin", password)

    def login(self, org: str, name: str, password: str = PASSWORD) -> str:
        """A session's secret."""
        body = {"organization": org, "name": name, "password": password}
        secret: str = self.want(200, "POST", "sessions", body, token="")["secret"]
        return secret

    def organization(self, org: str, *roles: str) -> None:
        """Make it, with one user for each role, named after it and signed in."""
        self.want(201, "POST", "organizations", {"id": org, "title": org})
        for role in ("owner", *roles):
            body = {"name": role, "role": role, "password": PASSWORD}
            self.want(201, "POST", f"organizations/{org}/users", body)
            self.people[org, role] = self.login(org, role)


def served_plane(file: Path) -> Plane:
    """In production, as the settings in this file say; initialized before its first start."""
    folder = file.parent
    command = [FREEHOLD, "control", "serve", "--config", str(file)]
    return Plane(folder, command, token="", data=folder, first=lambda _: initialize(file))


def tls_plane(folder: Path, pki: Pki) -> Plane:
    """In production behind TLS, with an authority for agents, on SQLite in this folder."""
    CaDirectory(folder / "ca").create_authority(folder / "root", "Here", SystemWorld().now())
    settings = {
        **pki.config(),
        "database": {"url": f"sqlite:///{folder}/control.db"},
        "keys": {"folder": str(folder / "keys")},
        "link": {
            "listen": "127.0.0.1:0",
            "hosts": ["127.0.0.1"],
            "authority": str(folder / "ca"),
        },
    }
    settings["server"]["tls"].pop("client_auth")
    file = folder / "control.yaml"
    file.write_text(json.dumps(settings))
    plane = served_plane(file)
    plane.tls = pki.context()
    return plane


def initialize(file: Path) -> None:
    """`freehold control init`, unless that was done."""
    password = file.parent / "password"
    if not password.exists():
        words = ("--config", str(file), "--password-file", str(password))
        done = freehold("control", "init", "first", *words)
        assert done.returncode == 0, done.stderr


def dev_plane(folder: Path, *options: str) -> Plane:
    """Not started."""
    data = folder / "data"
    command = [
        FREEHOLD, "control", "dev", "--listen", "127.0.0.1:0", "--data-dir", str(data), *options,
    ]  # fmt: skip
    return Plane(folder, command, token="", data=data, first=place_control)
