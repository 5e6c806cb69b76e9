"""What the rotators of PostgreSQL, MariaDB and Redis promise beyond the contract of all."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pwd import getpwuid
from typing import Any

import psycopg
import pytest

from loadtests.process import free_port
from tests.contract.rotation.targets import (
    ADMINISTRATOR,
    CANARY,
    TIMEOUT,
    MysqlTarget,
    PostgresqlTarget,
    RedisTarget,
    Target,
    unique,
)
from tests.support.certificates import Authority
from tests.support.databases import run_server
from tests.support.postgres import Postgres
from tests.support.redis_server import Redis
from vault.errors import ValidationError
from vault.rotation.rotator import RotationContext, RotationError, Rotator, Value
from vault.rotation.rotators import mysql as mysql_rotator
from vault.rotation.rotators import postgresql as postgresql_rotator
from vault.rotation.rotators import redis as redis_rotator

Servers = dict[str, Callable[[], Any]]
# Quotes of each kind, backslashes, percent signs, dollar quotes, comments, other alphabets.
HOSTILE = [
    "a'; DROP TABLE x; --", 'a"b""c', "a\\'b", "a`b", "100%s %(x)s %", "$$a$$", "{0} {name}",
    "ünïcödé-Ж", "a/*b*/", "a@b", "'", '"', "\\",
]  # fmt: skip


@pytest.fixture
def postgresql(servers: Servers) -> PostgresqlTarget:
    """A target on PostgreSQL."""
    target: PostgresqlTarget = servers["postgresql"]()
    return target


@pytest.fixture
def mysql(servers: Servers) -> MysqlTarget:
    """A target on MariaDB."""
    target: MysqlTarget = servers["mysql"]()
    return target


@pytest.fixture
def redis(servers: Servers) -> RedisTarget:
    """A target on Redis."""
    target: RedisTarget = servers["redis"]()
    return target


def code_of(call: Callable[..., object], *args: object) -> str:
    """The code of the error that the call raises, which shows no password."""
    with pytest.raises(RotationError) as caught:
        call(*args)
    assert CANARY not in str(caught.value)
    return caught.value.code


def applied(
    target: Target, rotator: Rotator, fence: int = 1, previous: Value | None = None
) -> Value:
    """A new value that the target has."""
    context = target.context(fence)
    value = rotator.create(context, previous or {})
    rotator.apply(context, value)
    rotator.verify(context, value)
    return value


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_names(servers: Servers, kind: str, name: str) -> None:
    """A name is quoted as each server wants it, whatever it holds."""
    target: Target = servers[kind]()
    names = [unique(f"{name}1"), unique(f"{name}2")]
    rotator = target.rotator(users=names)
    first = applied(target, rotator)
    second = applied(target, rotator, 2, first)
    rotator.retire(target.context(2), first)
    assert first["username"] == names[0]
    assert target.accepts(second)
    assert not target.accepts(first)


@pytest.mark.parametrize("name", [name for name in HOSTILE if " " not in name])
def test_hostile_names_of_redis(redis: RedisTarget, name: str) -> None:
    """A name is one argument of a command, whatever it holds."""
    rotator = redis.rotator(user=unique(name))
    assert redis.accepts(applied(redis, rotator))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, "") for kind in ("postgresql", "mysql", "redis")),
        *((kind, "a\0b") for kind in ("postgresql", "mysql", "redis")),
        *((kind, "a\nb") for kind in ("postgresql", "mysql", "redis")),
        ("postgresql", "x" * 64),
        ("postgresql", "ж" * 32),
        ("postgresql", "pg_read_all_data"),
        ("postgresql", "public"),
        ("mysql", "x" * 81),
        ("mysql", "a "),
        ("mysql", "a\U0001f600"),
        ("redis", "a b"),
        ("redis", "x" * 129),
    ],
)  # fmt: skip
def test_names_that_a_server_would_change_are_refused(kind: str, name: str) -> None:
    """A name that is cut or ended early would be another user."""
    kinds = {
        "postgresql": postgresql_rotator.KIND,
        "mysql": mysql_rotator.KIND,
        "redis": redis_rotator.KIND,
    }
    config = {"user": name} if kind == "redis" else {"users": [name, "other"]}
    with pytest.raises(ValidationError) as caught:
        kinds[kind].parse(config)  # type: ignore[attr-defined]
    assert caught.value.code == "rotator_config"


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_the_mode_single_changes_one_user_that_exists(servers: Servers, kind: str) -> None:
    """The password changes in place, and no user is created."""
    target: Any = servers[kind]()
    first = applied(target, target.rotator(users=target.names))
    rotator = target.rotator(users=[], user=target.names[0], mode="single")
    second = applied(target, rotator, 2, first)
    assert second["username"] == first["username"]
    assert not target.accepts(first)
    rotator.retire(target.context(2), first)
    assert target.accepts(second)
    missing = target.rotator(users=[], user=unique("missing"), mode="single")
    value = missing.create(target.context(), {})
    assert code_of(missing.apply, target.context(), value) == "user_missing"


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_sessions_of_a_retired_user_end_only_when_that_is_set(servers: Servers, kind: str) -> None:
    """An application that holds a connection goes on, unless the operator says otherwise."""
    target: Any = servers[kind]()
    first = applied(target, target.rotator())
    target.rotator().retire(target.context(2), {"username": target.names[1], "password": "x" * 16})
    query = target.connect(first["username"], first["password"])
    target.rotator().retire(target.context(2), first)
    query()  # which goes on
    target = servers[kind]()
    first = applied(target, target.rotator())
    query = target.connect(first["username"], first["password"])
    target.rotator(end_sessions=True).retire(target.context(2), first)
    with pytest.raises(Exception, match=r"terminat|Lost|gone|kill|clos"):
        query()


@pytest.mark.parametrize(
    ("kind", "config"), [("postgresql", {"owner": "no_such_role"}), ("mysql", {"role": "no_such"})]
)
def test_a_role_that_is_missing_is_named(servers: Servers, kind: str, config: Any) -> None:
    """The operator learns that the role of the settings is not there."""
    target: Target = servers[kind]()
    rotator = target.rotator(**config)
    value = rotator.create(target.context(), {})
    assert code_of(rotator.apply, target.context(), value) in {"user_missing", "permission_missing"}


def test_a_missing_permission_is_named(postgresql: PostgresqlTarget, mysql: MysqlTarget) -> None:
    """The operator learns that the administrator may not do it."""
    plain = unique("plain")
    postgresql.server.run(f"CREATE ROLE {plain} LOGIN PASSWORD '{CANARY}' IN ROLE with_password")
    mysql.server.run(
        f"CREATE USER {plain}@localhost IDENTIFIED BY '{CANARY}'",
        f"GRANT CREATE, SELECT, INSERT ON {mysql.database}.* TO {plain}@localhost",
    )
    for target in (postgresql, mysql):
        rotator = target.rotator()
        url = target.url(target.socket).replace(ADMINISTRATOR, plain)
        context = target.context(url=url)
        value = rotator.create(context, {})
        assert code_of(rotator.apply, context, value) == "permission_missing"


def test_what_either_user_creates_belongs_to_the_owner(postgresql: PostgresqlTarget) -> None:
    """After a rotation the other user can change and drop what the first one made."""
    rotator = postgresql.rotator()
    first = applied(postgresql, rotator)
    second = applied(postgresql, rotator, 2, first)
    place = {"host": str(postgresql.server.folder), "dbname": postgresql.database}
    table = unique("made")
    for value, statement in (
        (first, f"CREATE TABLE public.{table} (id int)"),
        (second, f"ALTER TABLE public.{table} ADD name text"),
        (first, f"DROP TABLE public.{table}"),
    ):
        with psycopg.connect(
            user=value["username"], password=value["password"], **place, autocommit=True
        ) as connection:
            connection.execute(statement)


def test_the_servers_store_no_password_in_clear(
    postgresql: PostgresqlTarget, mysql: MysqlTarget, redis: RedisTarget
) -> None:
    """Neither a catalog nor a log of statements holds it."""
    name = postgresql.names[0]
    value = applied(postgresql, postgresql.rotator())
    [(stored,)] = postgresql.server.run(
        f"SELECT rolpassword FROM pg_authid WHERE rolname = '{name}'"  # noqa: S608
    )
    assert str(stored).startswith("SCRAM-SHA-256$")
    mysql.server.run("SET GLOBAL log_output='TABLE', GLOBAL general_log=1")
    try:
        value = applied(mysql, mysql.rotator())
    finally:
        mysql.server.run("SET GLOBAL general_log=0, GLOBAL log_output='FILE'")
    logged = str(mysql.server.run("SELECT argument FROM mysql.general_log"))
    assert value["username"] in logged
    assert value["password"] not in logged
    value = applied(redis, redis.rotator())
    assert value["password"] not in redis.server.command("ACL", "LIST")


def test_statements_of_postgresql_are_logged_without_a_password(tmp_path: Path) -> None:
    """The server that logs each statement learns a verifier."""
    with run_server("postgresql") as server:
        server.run("ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()")  # type: ignore[call-arg]
        target = PostgresqlTarget(server)  # type: ignore[arg-type]
        value = applied(target, target.rotator())
        logged = (server.folder / "log").read_text()
    assert f'ALTER ROLE "{value["username"]}" LOGIN PASSWORD' in logged
    assert value["password"] not in logged


def test_a_server_that_asks_for_no_password_does_not_verify(postgresql: PostgresqlTarget) -> None:
    """A login that any password passes proves nothing."""
    rotator = postgresql.rotator(member_of=[])
    context = postgresql.context()
    value = rotator.create(context, {})
    rotator.apply(context, value)
    assert code_of(rotator.verify, context, value) == "login_refused"


@pytest.mark.parametrize("password", ["", "any"])
def test_nobody_connects_as_whom_the_agent_runs_as(
    postgresql: PostgresqlTarget, mysql: MysqlTarget, password: str
) -> None:
    """Without a password that the server checks, a secret would lend what the agent is."""
    server = postgresql.server
    secret = {"url": f"postgresql://postgres@/postgres?socket={server.folder}"}
    rotator, user = postgresql.rotator(), postgresql.names[0]
    with pytest.raises(RotationError) as refused:
        rotator.apply(context(secret | {"password": password}), {"username": user, "password": "p"})
    assert refused.value.code == ("administrator_refused" if password else "connection_invalid")
    assert not server.run(f"SELECT 1 FROM pg_roles WHERE rolname = '{user}'")  # noqa: S608
    own = getpwuid(os.geteuid()).pw_name
    secret = {"url": mysql.url(mysql.socket).replace(ADMINISTRATOR, own), "password": "any"}
    with pytest.raises(RotationError, match="the agent's own process"):
        mysql.rotator().apply(context(secret), {"username": mysql.names[0], "password": "p"})


def context(connection: Value) -> RotationContext:
    """With this connection secret."""
    return RotationContext("rotation", 1, TIMEOUT, connection, os.urandom)


def test_a_comment_of_the_operator_stays(postgresql: PostgresqlTarget) -> None:
    """The fence is added to a comment."""
    rotator = postgresql.rotator()
    first = applied(postgresql, rotator)
    name = first["username"]
    postgresql.server.run(f"COMMENT ON ROLE {name} IS 'billing, ask Ana freehold fence=1'")
    rotator.apply(postgresql.context(7), first)
    comment = f"SELECT shobj_description('{name}'::regrole, 'pg_authid')"
    assert postgresql.server.run(comment) == [("billing, ask Ana freehold fence=7",)]


def test_another_account_of_the_name_is_noticed(mysql: MysqlTarget) -> None:
    """MariaDB prefers the account of the more specific host, which has other permissions."""
    rotator, context = mysql.rotator(), mysql.context()
    value = rotator.create(context, {})
    rotator.apply(context, value)
    rotator.verify(context, value)
    other = f"{value['username']}@localhost"
    mysql.server.run(f"CREATE USER {other} IDENTIFIED BY '{value['password']}'")
    assert code_of(rotator.verify, context, value) == "login_refused"


def test_accounts_that_have_their_role_need_a_lesser_administrator(mysql: MysqlTarget) -> None:
    """Without UPDATE on the accounts: the operator has created both users."""
    lesser = unique("lesser")
    mysql.server.run(
        f"CREATE USER {lesser}@localhost IDENTIFIED BY '{CANARY}'",
        f"GRANT CREATE USER ON *.* TO {lesser}@localhost",
        f"GRANT SELECT ON mysql.user TO {lesser}@localhost",
        f"GRANT CREATE, SELECT, INSERT, UPDATE ON {mysql.database}.* TO {lesser}@localhost",
        *(f"CREATE USER {name}" for name in mysql.names),
        *(f"GRANT {mysql.role} TO {name}" for name in mysql.names),
        *(f"SET DEFAULT ROLE {mysql.role} FOR {name}" for name in mysql.names),
    )
    rotator = mysql.rotator()
    url = mysql.url(mysql.socket).replace(ADMINISTRATOR, lesser)
    first = rotator.create(mysql.context(1), {})
    rotator.apply(mysql.context(1, url=url), first)
    second = rotator.create(mysql.context(2), first)
    rotator.apply(mysql.context(2, url=url), second)
    rotator.retire(mysql.context(2, url=url), first)
    assert mysql.accepts(second)
    assert not mysql.accepts(first)


def test_mariadb_keeps_no_second_password(mysql: MysqlTarget) -> None:
    """The mode of MySQL is refused before anything changes."""
    rotator = mysql.rotator(users=[], user=mysql.names[0], mode="dual_password")
    value = rotator.create(mysql.context(), {})
    assert code_of(rotator.apply, mysql.context(), value) == "mode_unsupported"


def test_redis_keeps_both_passwords_of_one_user_and_saves_them(redis: RedisTarget) -> None:
    """The old one is refused after it is retired, also after a restart."""
    rotator = redis.rotator()
    first = applied(redis, rotator)
    second = applied(redis, rotator, 2, first)
    assert first["username"] == second["username"]
    redis.server.command("ACL", "LOAD")  # as a restart does
    assert redis.accepts(first)
    assert redis.accepts(second)
    rotator.retire(redis.context(2), first)
    redis.server.command("ACL", "LOAD")  # as a restart does
    assert redis.accepts(second)
    assert not redis.accepts(first)
    without = redis.rotator(user=unique("missing"), rules=[])
    assert code_of(without.apply, redis.context(), without.create(redis.context(), {})) == (
        "user_missing"
    )


def test_a_redis_that_forgets_is_refused_unless_that_is_set(tmp_path: Path) -> None:
    """Without an ACL file a restart would bring the old password back."""
    server = Redis(tmp_path)
    server.start()
    try:
        target = RedisTarget(server)
        context = target.context()
        value = target.rotator().create(context, {})
        assert code_of(target.rotator().apply, context, value) == "target_not_durable"
        target.rotator(allow_unsaved=True).apply(context, value)
        assert target.accepts(value)
    finally:
        server.kill()


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "redis"])
def test_tls_verifies_the_server(kind: str, tmp_path: Path) -> None:
    """The authority and the name of the server are verified."""
    authority, stranger = Authority(tmp_path, "authority"), Authority(tmp_path, "stranger")
    with tls_target(kind, tmp_path, authority) as (target, url):
        rotator = target.rotator()
        trusted = {"ca_certificate": authority.file.read_text()}

        def context(url: str, fields: dict[str, str]) -> RotationContext:
            connection = {"url": url, "password": CANARY, **fields}
            return RotationContext("r", 1, TIMEOUT, connection, bytes_of_chance)

        value = rotator.create(context(url, trusted), {})
        rotator.apply(context(url, trusted), value)
        rotator.verify(context(url, trusted), value)
        untrusted = {"ca_certificate": stranger.file.read_text()}
        assert code_of(rotator.apply, context(url, untrusted), value) == "target_tls"
        other = url.replace("127.0.0.1", "localhost")
        assert code_of(rotator.apply, context(other, trusted), value) == "target_tls"
        half = trusted | {"client_certificate": "x"}
        assert code_of(rotator.apply, context(url, half), value) == "connection_invalid"


def bytes_of_chance(count: int) -> bytes:
    """Bytes that are the same each time."""
    return bytes(index * 7 % 256 for index in range(count))


@contextmanager
def tls_target(kind: str, folder: Path, authority: Authority) -> Iterator[tuple[Target, str]]:
    """A server of the kind that listens with a certificate for 127.0.0.1, and its URL."""
    port = free_port()
    if kind == "redis":
        certificate, key = authority.issue("server", "127.0.0.1")
        server = Redis(folder)
        (folder / "acl").touch()
        server.start(
            "--aclfile", str(folder / "acl"), "--tls-port", str(port), "--tls-auth-clients", "no",
            "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
            "--tls-ca-cert-file", str(authority.file),
        )  # fmt: skip
        try:
            yield RedisTarget(server), f"rediss://{ADMINISTRATOR}@127.0.0.1:{port}"
        finally:
            server.kill()
        return
    with run_server(kind) as database:
        certificate, key = authority.issue("server", "127.0.0.1")
        for file in (certificate, key):
            moved = shutil.move(file, database.folder / file.name)
            if os.geteuid() == 0:
                shutil.chown(moved, *["postgres" if kind == "postgresql" else "mysql"] * 2)
        certificate, key = database.folder / certificate.name, database.folder / key.name
        if isinstance(database, Postgres):
            target: Target = PostgresqlTarget(database)
            rules = database.data / "pg_hba.conf"
            rules.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
            database.stop("fast")
            database.start(
                f"-c listen_addresses=127.0.0.1 -c port={port} -c ssl=on",
                f"-c ssl_cert_file={certificate} -c ssl_key_file={key}",
            )
            yield target, f"postgresql://{ADMINISTRATOR}@127.0.0.1:{port}/rotation"
            return
        target = MysqlTarget(database)
        database.stop()
        database.start(
            "--skip-networking=0", "--bind-address=127.0.0.1", f"--port={port}",
            f"--ssl-cert={certificate}", f"--ssl-key={key}",
        )  # fmt: skip
        yield target, f"mysql://{ADMINISTRATOR}@127.0.0.1:{port}/freehold"


STATEMENTS = {
    "postgresql": ["ALTER ROLE \"{{name}}\" PASSWORD '{{password}}'"],
    "mysql": ["ALTER USER '{{username}}'@'%' IDENTIFIED BY '{{password}}'"],
}


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_statements_of_the_operator_set_the_password(servers: Servers, kind: str) -> None:
    """In place of the server's own way."""
    target: Any = servers[kind]()
    first = applied(target, target.rotator(users=target.names))
    config = {"users": [], "user": target.names[0], "mode": "single"}
    second = applied(target, target.rotator(**config, statements=STATEMENTS[kind]), 2, first)
    assert target.accepts(second)
    assert not target.accepts(first)
    broken = target.rotator(**config, statements=["ALTER NOTHING '{{password}}'"])
    assert code_of(broken.apply, target.context(3), second) == "statement_invalid"


def make_administrator(target: Any) -> dict[str, str]:
    """Another one, which may do little but change itself."""
    name, password = unique("admin"), "first-password-of-all"
    match target:
        case PostgresqlTarget():
            target.server.run(
                f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE with_password"
            )
        case MysqlTarget():
            target.server.run(
                f"CREATE USER {name}@localhost IDENTIFIED BY '{password}'",
                f"GRANT CREATE USER ON *.* TO {name}@localhost",
                f"GRANT SELECT ON {target.database}.* TO {name}@localhost",
            )
        case RedisTarget():
            target.server.command(
                "ACL", "SETUSER", name, "on", f">{password}", "-@all", "+hello", "+acl|setuser",
                "+acl|save", "+acl|whoami",
            )  # fmt: skip
    return {"username": name, "password": password}


def test_a_connection_without_a_database_has_no_place_for_fences(mysql: MysqlTarget) -> None:
    """As the examples of Vault's documentation have it; leased users need no such place."""
    url = mysql.url(mysql.socket).replace(f"/{mysql.database}?", "/information_schema?")
    rotator = mysql.rotator()
    value = rotator.create(mysql.context(), {})
    assert code_of(rotator.apply, mysql.context(url=url), value) == "connection_invalid"


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "redis"])
def test_the_administrator_rotates_its_own_password(servers: Servers, kind: str) -> None:
    """Each step may be repeated: what connects is the old password until the new one is stored."""
    target: Any = servers[kind]()
    own = make_administrator(target)
    config = {"user": own["username"], "mode": "self"}
    if kind != "redis":
        config["users"] = []
    rotator = target.rotator(**config)
    context = target.context(**own)
    new = rotator.create(context, own)
    assert new["username"] == own["username"]
    for _ in range(2):
        rotator.apply(context, new)
    rotator.verify(context, new)
    assert not target.accepts(own)
    renewed = target.context(**new)
    rotator.verify(renewed, new)
    rotator.retire(renewed, own)
    assert target.accepts(new)
    for _ in range(2):  # undone: the target has the new one by now
        rotator.apply(renewed, own)
    rotator.verify(context, own)
    assert not target.accepts(new)
