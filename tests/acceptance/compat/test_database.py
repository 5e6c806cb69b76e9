"""Database mounts and leases: what Freehold and OpenBao answer, with real servers behind both."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import hvac
import psycopg
import pymysql
import pytest
import requests

from tests.acceptance.agent import SEVERAL, Form
from tests.acceptance.compat.client import Outcome, tell
from tests.acceptance.compat.database_stories import STORY, Ask
from tests.acceptance.compat.normal import normal
from tests.acceptance.compat.servers import DEV, Server
from tests.acceptance.compat.stories import J, Step, steps
from tests.support.databases import shared_server

FORM = Form(SEVERAL)
PASSWORD = "first-password"
_LEASE = re.compile(r"(database/creds/\w+)/[\w-]{24,}")
_ID = re.compile(r"[A-Za-z0-9]{24}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_USER = re.compile(r"v-token-[\w-]+|fh[a-z2-7]*_[a-z2-7]+")


class Targets:
    """A PostgreSQL and a MariaDB, with accounts for each of the two servers."""

    def __init__(self) -> None:
        self.postgresql = shared_server("postgresql")
        self.mysql = shared_server("mysql")
        for role in ("with_password", "readers"):
            with suppress(psycopg.errors.DuplicateObject):
                self.postgresql.run(f"CREATE ROLE {role} NOLOGIN")
        with suppress(psycopg.errors.DuplicateDatabase):
            self.postgresql.run("CREATE DATABASE appdb")
        self.mysql.run("CREATE DATABASE IF NOT EXISTS appdb")

    def prepare(self, name: str) -> None:
        """An administrator and a user that stays, for one server."""
        admin, user = f"{name}_admin", f"{name}_static"
        for account in (admin, user):
            self.postgresql.run(f"DROP ROLE IF EXISTS {account}")
            self.mysql.run(f"DROP USER IF EXISTS {account}@'%'")
        self.postgresql.run(
            f"CREATE ROLE {admin} LOGIN SUPERUSER PASSWORD '{PASSWORD}' IN ROLE with_password",
            f"CREATE ROLE {user} LOGIN PASSWORD 'x' IN ROLE with_password",
        )
        self.mysql.run(
            f"CREATE USER {admin}@'%' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON *.* TO {admin}@'%' WITH GRANT OPTION",
            f"CREATE USER {user}@'%' IDENTIFIED BY 'x'",
        )

    def filled(self, text: str, name: str) -> str:
        """A text of a story, for one server."""
        for word, value in {
            "FOLDER": str(self.postgresql.folder), "SOCKET": str(self.mysql.socket),
            "ADMIN": f"{name}_admin", "STATIC": f"{name}_static",
        }.items():  # fmt: skip
            text = text.replace(word, value)
        return text

    def can_log_in(self, kind: str, username: str, password: str) -> bool:
        """Whether a server lets somebody in."""
        try:
            if kind == "postgresql":
                psycopg.connect(
                    host=str(self.postgresql.folder), user=username, password=password,
                    dbname="appdb", require_auth="scram-sha-256",
                ).close()  # fmt: skip
            else:
                pymysql.connect(
                    unix_socket=str(self.mysql.socket), user=username, password=password
                ).close()
        except (psycopg.OperationalError, pymysql.OperationalError):
            return False
        return True


@pytest.fixture(scope="module")
def targets() -> Targets:
    """The servers of the run."""
    return Targets()


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, targets: Targets
) -> Iterator[tuple[Server, Server]]:
    """OpenBao and Freehold, each with a database mount."""
    with ExitStack() as stack:
        openbao, freehold = (
            stack.enter_context(start(tmp_path_factory.mktemp(name), FORM))
            for name, start in DEV.items()
        )
        for server in (openbao, freehold):
            targets.prepare(server.name)
            hvac.Client(url=server.address, token=server.token).sys.enable_secrets_engine("database")
        yield openbao, freehold


class Teller:
    """Tells one server a story."""

    def __init__(self, server: Server, targets: Targets) -> None:
        self.server = server
        self.kept: dict[str, str] = {}
        self._targets = targets

    def ask(self, ask: Ask) -> tuple[int, str]:
        """The status and the text of an answer, the server's own names in it made equal."""
        fill = self._targets.filled
        body = None if ask.body is None else json.loads(fill(json.dumps(ask.body), self.server.name))
        for name, value in (body or {}).items():
            if isinstance(value, str) and value[1:-1] in self.kept:
                body[name] = self.kept[value[1:-1]]
        path = re.sub(r"\{(\w+)\}", lambda found: self.kept[found[1]], ask.path)
        reply = requests.request(
            ask.method,
            f"{self.server.address}/v1/{path}",
            json=body,
            headers={"X-Vault-Token": self.server.token},
            timeout=90,
        )
        for name, where in ask.keep.items():
            value = reply.json()
            for part in where.split("."):
                value = value.get(part, {})
            self.kept[name] = str(value)
        return reply.status_code, reply.text.replace(f"{self.server.name}_", "NAME_")


def comparable(answer: tuple[int, str]) -> tuple[int, Any]:
    """An answer with its volatile parts replaced."""
    status, text = answer
    return status, _equalized(normal(json.loads(text))) if text.strip() else ""


def _equalized(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _equalized(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_equalized(item, key) for item in value]
    if not isinstance(value, str):
        return value
    if key in {"password", "last_vault_rotation", "plugin_version"} and value:
        return f"<{key}>"
    text = _USER.sub("<user>", _LEASE.sub(r"\1/<id>", value))
    return "<id>" if key == "keys" and _ID.fullmatch(text) else text


def test_each_request_of_the_story(servers: tuple[Server, Server], targets: Targets) -> None:
    """Statuses and fields are the same, or the story says why not."""
    openbao, freehold = (Teller(server, targets) for server in servers)
    wrong = []
    for ask in STORY:
        expected, found = openbao.ask(ask), freehold.ask(ask)
        if ask.differs:
            is_told = found[0] == ask.status and ask.text in found[1]
            if not is_told or comparable(expected) == comparable(found):
                wrong.append((ask.method, ask.path, ask.differs, expected, found))
        elif comparable(expected) != comparable(found):
            wrong.append((ask.method, ask.path, ask.body, comparable(expected), comparable(found)))
    assert not wrong, "\n\n".join("\n  ".join(map(str, each)) for each in wrong)
    for teller in (openbao, freehold):
        assert teller.kept["first"] != teller.kept["second"]
