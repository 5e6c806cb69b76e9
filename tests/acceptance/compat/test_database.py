"""Database mounts and leases: what Freehold and OpenBao answer, with real servers behind both."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import hvac
import psycopg
import pymysql
import pytest
import requests

from loadtests.process import free_port
from tests.acceptance.agent import SEVERAL, Form
from tests.acceptance.compat.client import Outcome, tell
from tests.acceptance.compat.database_stories import (
    CREATE_ROLE,
    CREATE_USER,
    MYSQL_URL,
    PG,
    POSTGRESQL_URL,
    RO,
    STORY,
    Ask,
)
from tests.acceptance.compat.normal import normal
from tests.acceptance.compat.servers import DEV, Server
from tests.acceptance.compat.stories import J, Step, steps
from tests.support.databases import shared_server
from tests.support.redis_server import Redis

FORM = Form(SEVERAL)
PASSWORD = "first-password"
_LEASE = re.compile(r"([\w-]+/creds/\w+)/([\w-]{24,}|<uuid>)")
_ID = re.compile(r"[A-Za-z0-9]{24}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_USER = re.compile(r"v-token-[\w-]+|fh[a-z2-7]*_[a-z2-7]+")


def account(name: str, what: str) -> str:
    """At a server that other processes of the run use as well."""
    return f"{name}_{what}_{os.getpid()}"


class Targets:
    """A PostgreSQL, a MariaDB and a Redis, with accounts for each of the two servers."""

    def __init__(self, redis: Redis, port: int) -> None:
        self.redis = redis
        self.port = port
        self.postgresql = shared_server("postgresql")
        self.mysql = shared_server("mysql")
        for role in ("with_password", "readers"):
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                self.postgresql.run(f"CREATE ROLE {role} NOLOGIN")
        with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            self.postgresql.run("CREATE DATABASE appdb")
        self.mysql.run("CREATE DATABASE IF NOT EXISTS appdb")

    def prepare(self, name: str) -> None:
        """An administrator and a user that stays, for one server."""
        admin, user = account(name, "admin"), account(name, "static")
        for known in (admin, user):
            self.postgresql.run(f"DROP ROLE IF EXISTS {known}")
            self.mysql.run(f"DROP USER IF EXISTS {known}@'%'")
        self.postgresql.run(
            f"CREATE ROLE {admin} LOGIN SUPERUSER PASSWORD '{PASSWORD}' IN ROLE with_password",
            f"CREATE ROLE {user} LOGIN PASSWORD 'x' IN ROLE with_password",
        )
        self.mysql.run(
            f"CREATE USER {admin}@'%' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT ALL ON *.* TO {admin}@'%' WITH GRANT OPTION",
            f"CREATE USER {user}@'%' IDENTIFIED BY 'x'",
        )
        for known in (admin, user):
            self.redis.command(
                "ACL", "SETUSER", known, "reset", "on", f">{PASSWORD}", "+@all", "~*"
            )

    def connection(self, kind: str, name: str) -> dict[str, Any]:
        """What lets the administrator in."""
        place: dict[str, Any] = {"host": "127.0.0.1", "port": self.port}
        if kind != "redis":
            url = POSTGRESQL_URL if kind == "postgresql" else MYSQL_URL
            place = {"connection_url": self.filled(url, name)}
        return {**place, "username": account(name, "admin"), "password": PASSWORD}

    def filled(self, text: str, name: str) -> str:
        """A text of a story, for one server."""
        for word, value in {
            "FOLDER": str(self.postgresql.folder), "SOCKET": str(self.mysql.socket),
            "ADMIN": account(name, "admin"), "STATIC": account(name, "static"),
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
            elif kind == "mysql":
                pymysql.connect(
                    unix_socket=str(self.mysql.socket), user=username, password=password
                ).close()
            else:
                return self.redis.command("AUTH", username, password).strip() == "OK"
        except (psycopg.OperationalError, pymysql.OperationalError):
            return False
        return True


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    """The servers of the run, and a Redis that OpenBao can reach."""
    redis, port = Redis(tmp_path_factory.mktemp("r")), free_port()
    (redis.folder / "acl").touch()
    redis.start("--port", str(port), "--aclfile", str(redis.folder / "acl"))
    try:
        yield Targets(redis, port)
    finally:
        redis.kill()


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
            enable = Ask("POST", "sys/mounts/database", {"type": "database"})
            assert Teller(server, targets).ask(enable)[0] == requests.codes.no_content
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
        body = (
            None if ask.body is None else json.loads(fill(json.dumps(ask.body), self.server.name))
        )
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
        if "rotation_period" in value and value.get("ttl", "").startswith("about"):
            value = value | {
                "ttl": "<ttl>"
            }  # a rotation comes up to a tenth earlier, so spread out
        return {name: _equalized(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_equalized(item, key) for item in value]
    if not isinstance(value, str):
        return value
    if key in {"password", "last_vault_rotation", "plugin_version"} and value:
        return f"<{key}>"
    text = _USER.sub("<user>", _LEASE.sub(r"\1/<id>", value))
    return "<id>" if _ID.fullmatch(text) else text


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


CREATIONS = {
    "postgresql": CREATE_ROLE,
    "mysql": CREATE_USER,
    "redis": '["~*", "+@read", "+acl|whoami"]',
}
"""How users are created, by kind."""


def life_of_credentials(client: hvac.Client, targets: Targets, name: str, kind: str) -> list[Any]:
    """What hvac's methods return, and whom the database lets in meanwhile."""
    database, system, mount = client.secrets.database, client.sys, f"{name}-{kind}"
    admin, user = account(name, "admin"), account(name, "static")
    system.enable_secrets_engine("database", path=mount)
    at = {"mount_point": mount}
    told: list[Any] = [
        database.configure(
            "db", f"{kind}-database-plugin", allowed_roles=["ro", "st"],
            **targets.connection(kind, name), **at,
        ).status_code,
        database.read_connection("db", **at)["data"]["allowed_roles"],
        database.list_connections(**at)["data"],
        database.create_role(
            "ro", "db", [CREATIONS[kind]], default_ttl="1h", max_ttl="24h", **at,
        ).status_code,
        database.read_role("ro", **at)["data"]["max_ttl"],
        database.list_roles(**at)["data"],
    ]  # fmt: skip
    made = database.generate_credentials("ro", **at)
    lease, value = made["lease_id"], made["data"]
    told += [
        sorted(value),
        targets.can_log_in(kind, **value),
        system.read_lease(lease)["data"]["renewable"],
        len(system.list_leases(f"{mount}/creds/ro")["data"]["keys"]),
        system.renew_lease(lease, increment=1800)["lease_duration"],
        system.revoke_lease(lease).status_code,
        system.revoke_prefix(f"{mount}/creds").status_code,
        system.revoke_force(f"{mount}/creds").status_code,
        database.create_static_role(
            "st", "db", user, rotation_statements=None, rotation_period=86400, **at
        ).status_code,
        database.read_static_role("st", **at)["data"]["rotation_period"],
        database.list_static_roles(**at)["data"],
    ]
    first = database.get_static_credentials("st", **at)["data"]
    told.append(database.rotate_static_role_credentials("st", **at).status_code)
    second = database.get_static_credentials("st", **at)["data"]
    told += [
        sorted(first),
        targets.can_log_in(kind, user, first["password"]),
        targets.can_log_in(kind, user, second["password"]),
        database.rotate_root_credentials("db", **at).status_code,
        targets.can_log_in(kind, admin, PASSWORD),
        database.reset_connection("db", **at).status_code,
        targets.can_log_in(kind, **database.generate_credentials("ro", **at)["data"]),
        system.revoke_force(f"{mount}/creds").status_code,
        database.delete_static_role("st", **at).status_code,
        database.delete_role("ro", **at).status_code,
        database.delete_connection("db", **at).status_code,
        system.disable_secrets_engine(mount).status_code,
        targets.can_log_in(kind, **value),
    ]
    return told


@pytest.mark.parametrize("kind", CREATIONS)
def test_hvac(servers: tuple[Server, Server], targets: Targets, kind: str) -> None:
    """All methods of hvac for databases and leases do the same, here and at the database."""
    told = []
    for server in servers:
        name = f"hvac_{server.name}"
        targets.prepare(name)
        client = hvac.Client(url=server.address, token=server.token)
        told.append(life_of_credentials(client, targets, name, kind))
    assert told[0] == told[1]
    assert PASSWORD not in str(told)


COMMANDS = steps(
    "secrets enable -path=MOUNT database",
    "write MOUNT/config/pg plugin_name=postgresql-database-plugin allowed_roles=ro,st "
    "connection_url=URL username=ADMIN password=first-password",
    "write MOUNT/roles/ro db_name=pg default_ttl=1h max_ttl=24h creation_statements=STATEMENTS",
    Step(f"read {J} MOUNT/creds/ro", keep={"lease": "lease_id"}),
    f"list {J} sys/leases/lookup/MOUNT/creds/ro",
    f"lease lookup {J} {{lease}}",
    f"lease renew {J} -increment=20m {{lease}}",
    "lease revoke -sync {lease}",
    "lease renew {lease}",
    "lease revoke -sync -prefix MOUNT/creds",
    "lease revoke -force -prefix MOUNT/creds",
    "write MOUNT/static-roles/st db_name=pg username=STATIC rotation_period=1h",
    f"read {J} MOUNT/static-creds/st",
    "write -f MOUNT/rotate-root/pg",
    "read MOUNT/creds/none",
    "secrets disable MOUNT",
)


def test_the_client_of_openbao(
    servers: tuple[Server, Server], targets: Targets, tmp_path: Path
) -> None:
    """`bao write database/…`, `bao lease …`: exit codes, output and words are the same."""
    told = []
    for server in servers:
        name = f"cli_{server.name}"
        targets.prepare(name)
        words = {"URL": targets.filled(POSTGRESQL_URL, name), "STATEMENTS": CREATE_ROLE}
        story = [
            replace(
                step, command=" ".join(_filled(part, words) for part in step.command.split(" "))
            )
            for step in COMMANDS
        ]
        story = [replace(step, command=targets.filled(step.command, name)) for step in story]
        outcomes = tell(server, story, tmp_path, "cli-database")
        told.append([_shown(outcome, name) for outcome in outcomes])
    pairs = zip(*told, strict=True)
    assert told[0] == told[1], "\n\n".join(f"{a}\n{b}" for a, b in pairs if a != b)


def _filled(part: str, words: dict[str, str]) -> str:
    """A word of a command, where a text with spaces or quotes stands for one of `words`."""
    field, _, word = part.partition("=")
    return (
        f"{field}={shlex.quote(words[word])}".replace("{", "{{").replace("}", "}}")
        if word in words
        else part
    )


def _shown(outcome: Outcome, name: str) -> tuple[int, Any, str]:
    shown = json.loads(json.dumps([outcome.output, outcome.errors]).replace(name, "NAME"))
    return outcome.exit_code, _equalized(shown[0]), _equalized(shown[1])


def test_policies_are_asked_for_the_paths_of_vault(
    servers: tuple[Server, Server], targets: Targets
) -> None:
    """Who may read credentials sees no connection; who may not end all leases ends its own."""
    _, server = servers
    targets.prepare("rights")

    def ask(token: str, method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(
            method,
            f"{server.address}/{path}",
            json=body,
            headers={"X-Vault-Token": token},
            timeout=90,
        )

    def token(name: str, **rules: list[str]) -> str:
        rule = {"effect": "allow", "paths": rules["paths"], "capabilities": rules["capabilities"]}
        root = server.token
        assert ask(root, "PUT", f"api/v1/policies/{name}", {"rules": [rule]}).ok
        made = ask(root, "POST", "v1/auth/token/create", {"policies": [name]}).json()["auth"]
        return str(made["client_token"])

    admin = token("db-admin", paths=["rights/*"], capabilities=["read", "update", "delete"])
    connection = json.loads(targets.filled(json.dumps(PG | {"allowed_roles": "*"}), "rights"))
    assert ask(server.token, "POST", "v1/sys/mounts/rights", {"type": "database"}).ok
    assert ask(admin, "POST", "v1/rights/config/pg", connection).ok
    assert ask(admin, "POST", "v1/rights/roles/ro", RO).ok
    hidden = ask(server.token, "GET", "api/v1/secrets/rights/config/pg")
    assert (hidden.status_code, hidden.json()["code"]) == (403, "connection_unreadable")

    app = token("db-app", paths=["rights/creds/ro"], capabilities=["read"])
    made = ask(app, "GET", "v1/rights/creds/ro").json()
    lease = {"lease_id": made["lease_id"]}
    for verb in ("lookup", "renew"):
        assert ask(app, "PUT", f"v1/sys/leases/{verb}", lease).ok
        assert ask(admin, "PUT", f"v1/sys/leases/{verb}", lease).status_code == 403
    for path in ("config/pg", "roles/ro", "creds/other", "static-creds/st"):
        assert ask(app, "GET", f"v1/rights/{path}").status_code == 403
    for path in ("rotate-root/pg", "rotate-role/st", "reset/pg", "config/pg", "static-roles/st"):
        assert ask(app, "POST", f"v1/rights/{path}", {}).status_code == 403

    paths = [f"sys/leases/{kind}/rights/*" for kind in ("revoke-prefix", "revoke-force")]
    updating = token("db-update", paths=paths, capabilities=["update"])
    ending = token("db-sudo", paths=paths, capabilities=["sudo"])
    for kind in ("revoke-prefix", "revoke-force"):
        path = f"v1/sys/leases/{kind}/rights/creds"
        assert ask(updating, "PUT", path).status_code == 403
        assert ask(ending, "PUT", path).status_code == 204
    assert not targets.can_log_in("postgresql", **made["data"])
    assert ask(server.token, "DELETE", "v1/sys/mounts/rights").ok


def test_a_static_role_takes_no_other_ones_user(
    servers: tuple[Server, Server], targets: Targets
) -> None:
    """Another role's password would be wrong from then on, and the administrator locked out."""
    _, server = servers
    targets.prepare("taken")

    def post(path: str, body: Any) -> requests.Response:
        return requests.post(
            f"{server.address}/v1/{path}",
            json=json.loads(targets.filled(json.dumps(body), "taken")),
            headers={"X-Vault-Token": server.token},
            timeout=90,
        )

    assert post("sys/mounts/taken", {"type": "database"}).ok
    assert post("taken/config/pg", PG | {"allowed_roles": "*"}).ok
    role = {"db_name": "pg", "username": "STATIC", "rotation_period": "1h"}
    assert post("taken/static-roles/first", role).ok
    again = post("taken/static-roles/second", role)
    assert (again.status_code, "another static role" in again.text) == (400, True)
    own = post("taken/static-roles/root", role | {"username": "ADMIN"})
    assert (own.status_code, "rotate-root" in own.text) == (400, True)
    assert post("taken/roles/ro", RO).ok
