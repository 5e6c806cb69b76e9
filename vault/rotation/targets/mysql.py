"""Users of a MySQL or MariaDB server: shared by the rotator and by leased users.

MariaDB gets the verifier of `mysql_native_password`, never the password. MySQL gets
the password in the statement, for its plugin caching_sha2_password, and hides it from its logs.

DDL commits by itself, so a fence cannot share a transaction with the change that it guards.
It is a row in `freehold_fences` of the connection's database, and a lock by the user's name
(`GET_LOCK`) holds other agents back from the comparison to the end of the change.
"""

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pwd import getpwuid
from typing import Any, Final

import msgspec

from vault.connections.deadline import Deadline
from vault.connections.tls import client_context
from vault.crypto.mysql_verifier import native_password_verifier
from vault.model.server_address import MYSQL, ServerAddress, parse_server_address
from vault.rotation.leased_user import LeasedUser, is_leased
from vault.rotation.rotator import RotationError, TargetAccess, Value
from vault.rotation.targets import templates
from vault.rotation.targets.access import (
    ADMINISTRATOR,
    BUSY,
    CONNECTION,
    LIBRARY,
    LOGIN,
    MAX_USERS,
    MISSING_PERMISSION,
    NAME,
    PERMISSION,
    REFUSED,
    STATEMENT,
    TLS,
    UNREACHABLE,
    USER,
    as_administrator,
    deadline_of,
    failure,
    parse_url,
    stale,
    tls_files,
)
from vault.rotation.targets.lease_settings import MysqlLeases

try:
    import pymysql
    from pymysql.constants import CR, ER
    from pymysql.converters import escape_string

    from vault.connections.mysql import UnixSocketConnection
except ModuleNotFoundError as error:
    raise failure(LIBRARY, "pymysql is not installed: pip install 'freehold[mysql]'") from error

_MODE: Final = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"
_FENCES: Final = (
    "CREATE TABLE IF NOT EXISTS freehold_fences (user_name VARBINARY(700) PRIMARY KEY, "
    "fence BIGINT NOT NULL)"
)
_FENCED: Final = "SELECT fence FROM freehold_fences WHERE user_name = %s"
_SET_FENCE: Final = (
    "INSERT INTO freehold_fences VALUES (%s, %s) ON DUPLICATE KEY UPDATE fence = VALUES(fence)"
)
_DEFAULT_ROLE: Final = (
    "SELECT 1 FROM mysql.user WHERE user = %s AND host = %s AND default_role = %s"
)
_LOCK_SECONDS: Final = 5
_CODES: Final = {
    ER.DBACCESS_DENIED_ERROR: PERMISSION,
    ER.TABLEACCESS_DENIED_ERROR: PERMISSION,
    ER.SPECIFIC_ACCESS_DENIED_ERROR: PERMISSION,
    ER.ACCESS_DENIED_ERROR: PERMISSION,
    ER.COLUMNACCESS_DENIED_ERROR: PERMISSION,
    ER.OPTION_PREVENTS_STATEMENT: REFUSED,
    ER.CANNOT_USER: USER,
    ER.NONEXISTING_GRANT: USER,
    ER.PASSWORD_NO_MATCH: USER,
    1959: USER,  # MariaDB: invalid role specification
    3523: USER,  # MySQL: unknown authorization id
    1470: NAME,  # too long
    ER.LOCK_WAIT_TIMEOUT: BUSY,
    ER.LOCK_DEADLOCK: BUSY,
    ER.PARSE_ERROR: STATEMENT,
    ER.SYNTAX_ERROR: STATEMENT,
    ER.CON_COUNT_ERROR: UNREACHABLE,
    ER.SERVER_SHUTDOWN: UNREACHABLE,
    1317: UNREACHABLE,  # the query was interrupted
    1927: UNREACHABLE,  # MariaDB: the connection was killed
    1969: UNREACHABLE,  # MariaDB: max_statement_time
    **dict.fromkeys((CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, 2014, 2055, 0), UNREACHABLE),
}
_TEXTS: Final = {
    PERMISSION: MISSING_PERMISSION,
    USER: "the server has no such user or role: create it",
    NAME: "the server refuses the user's name: choose a shorter one",
    BUSY: "another change is in the way: try again",
    UNREACHABLE: "the server ended the connection or is silent: try again",
}


def literal(text: str) -> str:
    """A text in quotes, in the SQL mode that `Session` sets."""
    return f"'{escape_string(text)}'"


def account(name: str, host: str) -> str:
    """An account's name as statements have it."""
    return f"{literal(name)}@{literal(host)}"


class Session:
    """A connection of the administrator's. Raises `RotationError` for what fails."""

    def __init__(self, connection: UnixSocketConnection, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self.is_mariadb = "mariadb" in connection.get_server_info().lower()  # type: ignore[no-untyped-call]

    def run(self, text: str, *values: Any) -> list[Any]:
        """The rows of a statement."""
        self._connection.limit_answer(self._deadline.left())
        with _translated(), self._connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return list(cursor.fetchmany(MAX_USERS)) if cursor.description else []

    @contextmanager
    def change(self, name: str) -> Iterator[None]:
        """No other change of this user overlaps the block. It is not a transaction.

        The server ends the session of an agent that is stopped in it when the time is over.
        """
        self.run(f"SET SESSION wait_timeout = {max(1, round(self._deadline.left()))}")
        lock = f"SHA1({literal(f'freehold {name}')})"
        wait = min(_LOCK_SECONDS, int(self._deadline.left()))
        [(is_free,)] = self.run(f"SELECT GET_LOCK({lock}, {wait})")
        if not is_free:
            raise failure(BUSY, "another agent is changing this user: try again")
        yield
        self.run(f"DO RELEASE_LOCK({lock})")  # after a failure the connection's end releases it

    def identified(self, password: str) -> str:
        """How a statement says which password an account has."""
        if self.is_mariadb:
            verifier = native_password_verifier(password)
            return f"IDENTIFIED VIA mysql_native_password USING {literal(verifier)}"
        return f"IDENTIFIED BY {literal(password)}"

    def native_verifier(self, password: str) -> str:
        """What the plugin mysql_native_password stores of a password."""
        return native_password_verifier(password)

    def own_host(self) -> str:
        """Of the account that this session has logged in to."""
        [(found,)] = self.run("SELECT CURRENT_USER()")
        return str(found).rpartition("@")[2]

    def exists(self, name: str, host: str) -> bool:
        """Whether there is such an account."""
        return bool(self.run("SELECT 1 FROM mysql.user WHERE user = %s AND host = %s", name, host))

    def require_fence(self, name: str, host: str, fence: int) -> None:
        """Store who changes it. Raises `RotationError` (`fence_stale`)."""
        key = f"{name}@{host}".encode()
        if self.run("SELECT DATABASE() = 'information_schema'") == [(1,)]:
            raise failure(
                CONNECTION,
                "the connection names no database: add one, in which the agent keeps a table",
            )
        self.run(_FENCES)
        found = self.run(_FENCED, key)
        if found and found[0][0] > fence:
            raise stale(name, found[0][0], fence)
        self.run(_SET_FENCE, key, fence)

    def set_role(self, name: str, host: str, role: str) -> None:
        """Grant a role, which the account's sessions then have from the start.

        Nothing is done where MariaDB has it so: to set it takes a privilege on all accounts.
        """
        if self.is_mariadb and self.run(_DEFAULT_ROLE, name, host, role):
            return
        target = account(name, host)
        self.run(f"GRANT {literal(role)} TO {target}")
        word = "FOR" if self.is_mariadb else "TO"
        self.run(f"SET DEFAULT ROLE {literal(role)} {word} {target}")

    def end_sessions(self, name: str) -> None:
        """End every connection of a user, from whichever host."""
        sessions = self.run(
            "SELECT id FROM information_schema.processlist WHERE user = %s "
            "AND id <> CONNECTION_ID()",
            name,
        )
        for (number,) in sessions:
            try:
                self.run(f"KILL CONNECTION {int(number)}")
            except pymysql.Error as error:
                if error.args[:1] != (ER.NO_SUCH_THREAD,):
                    raise _statement_failure(error) from None


@contextmanager
def administrator(access: TargetAccess) -> Iterator[Session]:
    """A session as the administrator of the connection secret."""
    deadline = deadline_of(access)
    address = parse_url(access.connection, partial(parse_server_address, kind=MYSQL))
    address = as_administrator(address, access.connection)
    if address.socket and address.user == getpwuid(os.geteuid()).pw_name:
        raise failure(
            CONNECTION,
            "by a socket the user of the agent's own process needs no password, and whoever writes "
            "the connection secret would act as the agent: give another user",
        )
    with _connected(
        access.connection, address, address.password, deadline, _administrator_refused
    ) as session:
        session.run(f"SET SESSION sql_mode = '{_MODE}'")
        yield session


def log_in(access: TargetAccess, name: str, host: str, password: str, database: str = "") -> None:
    """Connect as an application does, and see which account that is. Raises `RotationError`.

    `host` is that of the account; empty: any.
    """
    deadline = deadline_of(access)
    address = parse_url(access.connection, partial(parse_server_address, kind=MYSQL))
    address = msgspec.structs.replace(address, user=name, database=database)
    with _connected(access.connection, address, password, deadline, _login_refused) as session:
        [(found,)] = session.run("SELECT CURRENT_USER()")
    if host and found != f"{name}@{host}":
        raise failure(
            LOGIN, f"the login as {name!r} uses the account of another host: remove that one"
        )


@contextmanager
def _connected(
    connection: Value,
    address: ServerAddress,
    password: str,
    deadline: Deadline,
    refused: Callable[[], RotationError],
) -> Iterator[Session]:
    seconds = deadline.left()
    with tls_files(connection, is_local=address.is_local) as tls:
        try:
            context = None if tls is None else client_context(tls)
        except OSError:
            raise failure(TLS, "a certificate or key of the connection secret is no PEM") from None
    try:
        made = UnixSocketConnection(
            user=address.user,
            password=password.encode(),  # PyMySQL would encode text as Latin-1
            database=address.database or None,
            host=address.host or "localhost",
            port=address.port,
            unix_socket=address.socket or None,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=max(1, int(seconds)),
            read_timeout=seconds,
            write_timeout=seconds,
            ssl_disabled=context is None,
            ssl=context,
        )
    except pymysql.Error as error:
        raise _connection_failure(error, refused) from None
    try:
        yield Session(made, deadline)
    finally:
        made.close()


def _administrator_refused() -> RotationError:
    return failure(
        ADMINISTRATOR,
        "the server does not let the administrator in: check user and password of the connection "
        "secret, and the host that the account is for",
    )


def _login_refused() -> RotationError:
    return failure(
        LOGIN, "the server does not let the user in with its password: check the account's host"
    )


def _connection_failure(
    error: pymysql.Error, refused: Callable[[], RotationError]
) -> RotationError:
    if isinstance(getattr(error, "original_exception", None), ssl.SSLError):
        return failure(
            TLS, "TLS to the server failed: check its name and ca_certificate of the secret"
        )
    code = error.args[0] if error.args else 0
    if code in {ER.ACCESS_DENIED_ERROR, 1698, 4151, 3118}:  # 4151, 3118: the account is locked
        return refused()
    if code in {ER.BAD_DB_ERROR, ER.DBACCESS_DENIED_ERROR}:
        return failure(CONNECTION, "the user has no such database: correct the url, or grant it")
    return failure(UNREACHABLE, "the server cannot be reached, or takes no connection: try again")


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of statements by their number: a server's text may repeat the statement."""
    try:
        yield
    except pymysql.Error as error:
        if error.args[:1] == (ER.NO_SUCH_THREAD,):
            raise
        raise _statement_failure(error) from None
    except OSError:
        raise failure(UNREACHABLE, _TEXTS[UNREACHABLE]) from None


def _statement_failure(error: pymysql.Error) -> RotationError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    code = _CODES.get(number, REFUSED)
    text = _TEXTS.get(code, f"the server does not accept a statement (error {number})")
    return failure(code, text)


class MysqlLeasedUsers:
    """See `LeasedUsers`. The server knows no expiry: `drop_user` alone ends a user."""

    def __init__(self, config: MysqlLeases) -> None:
        self._config = config

    def create_user(self, access: TargetAccess, user: LeasedUser) -> Value:
        """See `LeasedUsers`. What an interrupted call has left is dropped first."""
        config, name = self._config, user.name
        with administrator(access) as session, session.change(name):
            session.run(f"DROP USER IF EXISTS {account(name, config.host)}")
            if config.role:
                session.run(
                    f"CREATE USER {account(name, config.host)} {session.identified(user.password)}"
                )
                session.set_role(name, config.host, config.role)
            values = {
                "name": name,
                "username": name,
                "password": user.password,
                "password_hash": native_password_verifier(user.password),
                "expiration": str(user.expires),
            }
            for statement in config.creation_statements:
                session.run(templates.fill(statement, MYSQL, values))
            if not session.exists(name, config.host):
                raise failure(
                    STATEMENT, "creation_statements create no user {{name}} for the setting host"
                )
        return {"username": name, "password": user.password}

    def renew_user(self, access: TargetAccess, name: str, expires: int) -> None:  # noqa: ARG002
        """See `LeasedUsers`: only whether it is there."""
        with administrator(access) as session:
            if not session.exists(name, self._config.host):
                raise failure(USER, "the server has no such user")

    def drop_user(self, access: TargetAccess, name: str) -> None:
        """See `LeasedUsers`. The user goes first, so that no new session begins."""
        with administrator(access) as session, session.change(name):
            for statement in self._config.revocation_statements:
                filled = templates.fill(
                    statement, MYSQL, dict.fromkeys(templates.IDENTIFIERS, name)
                )
                session.run(filled)
            session.run(f"DROP USER IF EXISTS {account(name, self._config.host)}")
            session.end_sessions(name)

    def list_users(self, access: TargetAccess, prefix: str) -> list[str]:
        """See `LeasedUsers`: by the form of the name."""
        with administrator(access) as session:
            rows = session.run(
                "SELECT DISTINCT user FROM mysql.user WHERE LEFT(user, %s) = %s AND host = %s "
                "ORDER BY user LIMIT %s",
                len(prefix), prefix, self._config.host, MAX_USERS,
            )  # fmt: skip
        names = (name.decode() if isinstance(name, bytes) else name for (name,) in rows)
        return [name for name in names if is_leased(name, prefix)]
