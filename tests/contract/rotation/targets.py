"""The targets that rotators and leased users are tested on.

Real servers, each with the least privileged administrator that docs/spec/database-rotators.md has.
"""

import fcntl
import itertools
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import ldap
import psycopg
import pymysql

from tests.support.databases import shared_server
from tests.support.mariadb import Mariadb
from tests.support.postgres import Postgres
from tests.support.redis_server import Redis
from tests.support.slapd import SUFFIX, Slapd, slapd
from vault.rotation.leased_user import LeasedUsers
from vault.rotation.rotator import RotationContext, Rotator, TargetAccess, Value
from vault.rotation.rotators import ldap as ldap_rotator
from vault.rotation.rotators import mysql as mysql_rotator
from vault.rotation.rotators import postgresql as postgresql_rotator
from vault.rotation.rotators import redis as redis_rotator
from vault.rotation.targets.lease_settings import MysqlLeases, PostgresqlLeases, RedisLeases
from vault.rotation.targets.mysql import MysqlLeasedUsers
from vault.rotation.targets.postgresql import PostgresqlLeasedUsers
from vault.rotation.targets.redis import RedisLeasedUsers

CANARY: Final = "canary-administrator-7f3a"
"""The administrator's password."""
ADMINISTRATOR: Final = "rotation_admin"
TIMEOUT: Final = 20.0
_numbers = itertools.count(1)


def unique(name: str) -> str:
    """A name that no other test has on a server that they share."""
    return f"{name}_{os.getpid()}_{next(_numbers)}"


class Target(ABC):
    """One server, and its client that is not the agent's."""

    kind: str
    socket: Path

    def __init__(self) -> None:
        self.names = [unique("app_a"), unique("app_b")]

    @abstractmethod
    def url(self, socket: Path) -> str:
        """Of the connection secret."""

    @abstractmethod
    def rotator(self, **config: Any) -> Rotator:
        """With these settings and those of this server."""

    @abstractmethod
    def connect(self, username: str, password: str) -> Callable[[], object]:
        """Log in; returns what runs a query there. Raises `LoginError`."""

    def connection(self, socket: Path | None = None, **fields: str) -> Value:
        """The connection secret, by another socket or with other fields."""
        return {"url": self.url(socket or self.socket), "password": CANARY, **fields}

    def access(self, socket: Path | None = None, **fields: str) -> TargetAccess:
        """For leases."""
        return TargetAccess(self.connection(socket, **fields), TIMEOUT)

    def context(self, fence: int = 1, socket: Path | None = None, **fields: str) -> RotationContext:
        """For rotators."""
        return RotationContext(
            "rotation", fence, TIMEOUT, self.connection(socket, **fields), os.urandom
        )

    def accepts(self, value: Mapping[str, str]) -> bool:
        """Whether the server lets this value in."""
        try:
            self.connect(value["username"], value["password"])()
        except LoginError:
            return False
        return True


class LeaseTarget(Target):
    """One that has leased users."""

    @abstractmethod
    def leased_users(self) -> LeasedUsers:
        """With a role or rules that fit."""


class LoginError(Exception):
    """The server refuses it."""


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process of the run at a time: they share the server."""
    with (folder / "targets.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class PostgresqlTarget(LeaseTarget):
    """`owner` owns what the users make."""

    kind = "postgresql"

    def __init__(self, server: Postgres) -> None:
        super().__init__()
        self.server = server
        self.socket = server.socket
        self.owner = "rotation_owner"
        self.database = "rotation"
        with _alone(server.folder):
            self._prepare(server)

    def _prepare(self, server: Postgres) -> None:
        with suppress(psycopg.errors.DuplicateObject):
            server.run("CREATE ROLE with_password NOLOGIN")
        with suppress(psycopg.errors.DuplicateObject):
            server.run(f"CREATE ROLE {self.owner} NOLOGIN")
        if not server.run(f"SELECT 1 FROM pg_roles WHERE rolname = '{ADMINISTRATOR}'"):  # noqa: S608
            server.run(
                f"CREATE ROLE {ADMINISTRATOR} LOGIN CREATEROLE PASSWORD '{CANARY}'",
                f"GRANT with_password, {self.owner} TO {ADMINISTRATOR} WITH ADMIN OPTION",
                f"GRANT pg_signal_backend TO {ADMINISTRATOR}",
                f"CREATE DATABASE {self.database}",
            )
            server.run(f"GRANT CREATE ON SCHEMA public TO {self.owner}", database=self.database)

    def url(self, socket: Path) -> str:
        """See `Target`."""
        return f"postgresql://{ADMINISTRATOR}@/{self.database}?socket={quote(str(socket.parent))}"

    def rotator(self, **config: Any) -> Rotator:
        """See `Target`."""
        settings = {"users": self.names, "owner": self.owner, "member_of": ["with_password"]}
        kind = postgresql_rotator.KIND
        return kind.make(kind.parse(settings | config))

    def connect(self, username: str, password: str) -> Callable[[], object]:
        """See `Target`."""
        try:
            connection = psycopg.connect(
                host=str(self.server.folder), user=username, password=password,
                dbname=self.database, autocommit=True, require_auth="scram-sha-256",
            )  # fmt: skip
        except psycopg.OperationalError as error:
            raise LoginError from error

        def query() -> object:
            with connection:
                return connection.execute("SELECT 1").fetchall()

        return query

    def leased_users(self) -> LeasedUsers:
        """See `LeaseTarget`."""
        return PostgresqlLeasedUsers(PostgresqlLeases(roles=("with_password", self.owner)))


class MysqlTarget(LeaseTarget):
    """MariaDB."""

    kind = "mysql"

    def __init__(self, server: Mariadb) -> None:
        super().__init__()
        self.server = server
        self.socket = server.socket
        self.database = "freehold"
        self.role = "rotation_role"
        server.run(
            f"CREATE DATABASE IF NOT EXISTS {self.database}",
            f"CREATE ROLE IF NOT EXISTS {self.role}",
            f"CREATE USER IF NOT EXISTS {ADMINISTRATOR}@localhost IDENTIFIED BY '{CANARY}'",
            f"GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO {ADMINISTRATOR}@localhost",
            f"GRANT SELECT, UPDATE ON mysql.* TO {ADMINISTRATOR}@localhost",
            f"GRANT CREATE, SELECT, INSERT, UPDATE ON {self.database}.* "
            f"TO {ADMINISTRATOR}@localhost",
            f"GRANT {self.role} TO {ADMINISTRATOR}@localhost WITH ADMIN OPTION",
        )

    def url(self, socket: Path) -> str:
        """See `Target`."""
        return f"mysql://{ADMINISTRATOR}@/{self.database}?socket={quote(str(socket))}"

    def rotator(self, **config: Any) -> Rotator:
        """See `Target`."""
        settings = {"users": self.names, "role": self.role}
        kind = mysql_rotator.KIND
        return kind.make(kind.parse(settings | config))

    def connect(self, username: str, password: str) -> Callable[[], object]:
        """See `Target`."""
        try:
            connection = pymysql.connect(
                user=username, password=password.encode(), unix_socket=str(self.socket)
            )
        except pymysql.OperationalError as error:
            raise LoginError from error

        def query() -> object:
            with connection, connection.cursor() as cursor:
                return cursor.execute("SELECT 1")

        return query

    def leased_users(self) -> LeasedUsers:
        """See `LeaseTarget`."""
        return MysqlLeasedUsers(MysqlLeases(role=self.role))


def _send(stream: socket.socket, *parts: str) -> bytes:
    """The reply to a command. Raises `OSError` when the connection has ended."""
    encoded = [part.encode() for part in parts]
    stream.sendall(
        b"*%d\r\n" % len(encoded)
        + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded)
    )
    reply = stream.recv(1 << 16)
    if not reply:
        raise OSError("the connection is closed")
    return reply


class RedisTarget(LeaseTarget):
    """With an ACL file."""

    kind = "redis"

    def __init__(self, server: Redis) -> None:
        super().__init__()
        self.names = [unique("app")]
        self.server = server
        self.socket = server.folder / "redis.sock"
        server.command(
            "ACL", "SETUSER", ADMINISTRATOR, "on", f">{CANARY}", "resetkeys", "~freehold:fence:*",
            "-@all", "+hello", "+watch", "+get", "+set", "+multi", "+exec", "+acl|getuser",
            "+acl|setuser", "+acl|deluser", "+acl|users", "+acl|save",
        )  # fmt: skip

    def url(self, socket: Path) -> str:
        """See `Target`."""
        return f"unix://{ADMINISTRATOR}:unused@{socket}"

    def rotator(self, **config: Any) -> Rotator:
        """See `Target`."""
        settings = {"user": self.names[0], "rules": ["~app:*", "+@read", "+acl|whoami"]}
        kind = redis_rotator.KIND
        return kind.make(kind.parse(settings | config))

    def connect(self, username: str, password: str) -> Callable[[], object]:
        """See `Target`."""
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(str(self.socket))
        if not _send(stream, "AUTH", username, password).startswith(b"+OK"):
            stream.close()
            raise LoginError

        def query() -> object:
            with stream:
                return _send(stream, "ACL", "WHOAMI")

        return query

    def leased_users(self) -> LeasedUsers:
        """See `LeaseTarget`."""
        return RedisLeasedUsers(RedisLeases(rules=("~{{name}}:*", "+@read", "+acl|whoami")))


LDAP_ADMINISTRATOR: Final = f"cn={ADMINISTRATOR},{SUFFIX}"
LDAP_ACCESS: Final = f"""
access to dn.onelevel="{SUFFIX}" attrs=userPassword
  by dn.exact="{LDAP_ADMINISTRATOR}" write by anonymous auth by * none
access to dn.onelevel="{SUFFIX}" attrs=description,unicodePwd
  by dn.exact="{LDAP_ADMINISTRATOR}" write by * none
access to * by dn.exact="{LDAP_ADMINISTRATOR}" read by * none
"""


class LdapTarget(Target):
    """slapd."""

    kind = "ldap"

    def __init__(self, server: Slapd) -> None:
        super().__init__()
        self.server = server
        self.socket = server.socket
        self.names = [f"uid={name},{SUFFIX}" for name in self.names]
        for name in self.names:
            self.add(name)
        with suppress(ldap.ALREADY_EXISTS):
            server.add(LDAP_ADMINISTRATOR, objectClass="person", sn="admin", userPassword=CANARY)

    def add(self, dn: str) -> None:
        """An entry without a password."""
        self.server.add(
            dn, objectClass="account,simpleSecurityObject,extensibleObject", userPassword="{SSHA}"
        )

    def url(self, socket: Path) -> str:
        """See `Target`."""
        return "ldapi://" + quote(str(socket), safe="")

    def connection(self, socket: Path | None = None, **fields: str) -> Value:
        """See `Target`: with the name to bind as."""
        return super().connection(socket, **{"bind_dn": LDAP_ADMINISTRATOR, **fields})

    def rotator(self, **config: Any) -> Rotator:
        """See `Target`."""
        kind = ldap_rotator.KIND
        return kind.make(kind.parse({"users": self.names} | config))

    def connect(self, username: str, password: str) -> Callable[[], object]:
        """See `Target`."""
        try:
            connection = self.server.connect(username, password)
        except ldap.INVALID_CREDENTIALS as error:
            raise LoginError from error
        unbind: Callable[[], object] = connection.unbind
        return unbind


@contextmanager
def run_target(kind: str, folder: Path) -> Iterator[Any]:
    """What makes a target on a running server."""
    match kind:
        case "postgresql":
            yield lambda: PostgresqlTarget(shared_server("postgresql"))  # type: ignore[arg-type]
        case "mysql":
            yield lambda: MysqlTarget(shared_server("mysql"))  # type: ignore[arg-type]
        case "redis":
            server = Redis(folder)
            (folder / "acl").touch()
            server.start("--aclfile", str(folder / "acl"))
            try:
                yield lambda: RedisTarget(server)
            finally:
                server.kill()
        case "ldap":
            with slapd(LDAP_ACCESS) as directory:
                yield lambda: LdapTarget(directory)
