"""Users of a PostgreSQL server: shared by the rotator and by leased users.

The server never gets a password in clear: the SCRAM-SHA-256 verifier (RFC 5803) is made here by
libpq, so neither the log nor `pg_stat_activity` can show it.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any, Final

import msgspec

from vault.connections.deadline import Deadline
from vault.model.server_address import POSTGRESQL, parse_server_address
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
from vault.rotation.targets.lease_settings import PostgresqlLeases

try:
    import psycopg
    from psycopg import errors, pq, sql

    from vault.connections.postgresql import BoundedConnection, libpq_parameters
except ModuleNotFoundError as error:
    raise failure(
        LIBRARY, "psycopg is not installed: pip install 'freehold[postgresql]'"
    ) from error

_LOCK: Final = 0x46524545  # of advisory locks: one change of a user at a time
_FENCE: Final = re.compile(r"freehold fence=(\d{1,19})")
_LEASE_MARK: Final = "freehold lease"
_TERMINATE_MS: Final = 5_000
_PROVES: Final = 160_000  # libpq from which on `require_auth` is known
_DROPPED: Final = (
    "57P01", "57P02", "57P03", "57P05", "08000", "08001", "08003", "08004", "08006", "53300",
)  # fmt: skip
_BUSY: Final = ("55P03", "40001", "40P01", "57014", "XX000")  # XX000: tuple concurrently updated
_SYNTAX: Final = "42"
_REFUSALS: Final = re.compile(
    "password|authentication|pg_hba|not permitted to log in|role .* does not exist"
)
_DATABASES: Final = """
SELECT DISTINCT d.datname::text FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
JOIN pg_database d ON d.oid = s.dbid OR s.dbid = 0 AND d.datname = current_database()
WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = %(name)s
"""
"""Where the role owns something or has permissions."""


class Session:
    """A connection of the administrator's. Raises `RotationError` for what fails."""

    def __init__(self, connection: BoundedConnection, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self.version = connection.info.server_version
        self.database = connection.info.dbname

    def run(self, text: str, *parts: sql.Composable, values: dict[str, Any] | None = None) -> Any:
        """The rows of a statement, in which `{}` are the parts."""
        return self._execute(sql.SQL(text).format(*parts) if parts else text.encode(), values)

    def _execute(self, statement: Any, values: dict[str, Any] | None = None) -> list[Any]:
        self._connection.answer_seconds = self._deadline.left()
        with _translated():
            cursor = self._connection.execute(statement, values)
            return cursor.fetchmany(MAX_USERS) if cursor.description else []

    @contextmanager
    def change(self, name: str) -> Iterator[None]:
        """A transaction that no other change of this user overlaps."""
        self.run("BEGIN")
        try:
            self.run(
                "SELECT pg_advisory_xact_lock(%(lock)s, hashtext(%(name)s))",
                values={"lock": _LOCK, "name": name},
            )
            yield
        except BaseException:
            if not self._connection.closed:
                self._connection.pgconn.finish()  # which rolls back, whatever state it is in
            raise
        self.run("COMMIT")

    def verifier(self, password: str) -> str:
        """What the server stores for a password."""
        encoded = password.encode()
        return self._connection.pgconn.encrypt_password(encoded, b"", b"scram-sha-256").decode()

    def exists(self, name: str) -> bool:
        """Whether there is such a role."""
        return bool(
            self.run("SELECT 1 FROM pg_roles WHERE rolname = %(name)s", values={"name": name})
        )

    def require_fence(self, name: str, fence: int) -> None:
        """Note in the role's comment who changes it. Raises `RotationError` (`fence_stale`)."""
        [(comment,)] = self.run(
            "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %(name)s",
            values={"name": name},
        )
        comment = comment or ""
        found = _FENCE.search(comment)
        if found and int(found[1]) > fence:
            raise stale(name, int(found[1]), fence)
        mark = f"freehold fence={fence}"
        text = _FENCE.sub(mark, comment) if found else f"{comment} {mark}".strip()
        self.run("COMMENT ON ROLE {} IS {}", sql.Identifier(name), sql.Literal(text))

    def set_password(self, name: str, password: str) -> None:
        """And let it log in."""
        self.run(
            "ALTER ROLE {} LOGIN PASSWORD {}",
            sql.Identifier(name),
            sql.Literal(self.verifier(password)),
        )

    def set_own_password(self, name: str, password: str) -> None:
        """Of the administrator, who needs no permission for that."""
        self.run(
            "ALTER ROLE {} PASSWORD {}", sql.Identifier(name), sql.Literal(self.verifier(password))
        )

    def create(self, name: str) -> None:
        """A user that cannot log in yet."""
        self.run("CREATE ROLE {} NOLOGIN", sql.Identifier(name))

    def disable(self, name: str) -> None:
        """Leave it without a password and without the right to log in."""
        self.run("ALTER ROLE {} NOLOGIN PASSWORD NULL", sql.Identifier(name))

    def add_to(self, name: str, roles: tuple[str, ...]) -> None:
        """Make it a member of the roles that it is not a member of yet."""
        rows = self.run(
            "SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid "
            "JOIN pg_roles u ON u.oid = m.member WHERE u.rolname = %(name)s",
            values={"name": name},
        )
        there = {role for (role,) in rows}
        for role in roles:
            if role not in there:
                self.run("GRANT {} TO {}", sql.Identifier(role), sql.Identifier(name))

    def act_as(self, name: str, role: str) -> None:
        """Have its sessions run as a role, which then owns what they create."""
        [(settings,)] = self.run(
            "SELECT rolconfig FROM pg_roles WHERE rolname = %(name)s", values={"name": name}
        )
        if f"role={role}" not in (settings or []):
            self.run("ALTER ROLE {} SET role TO {}", sql.Identifier(name), sql.Literal(role))

    def end_sessions(self, name: str) -> None:
        """End every connection of the user."""
        wait = f", {_TERMINATE_MS}" if self.version >= 140_000 else ""  # noqa: PLR2004
        self.run(
            f"SELECT pg_terminate_backend(pid{wait}) FROM pg_stat_activity "  # noqa: S608
            "WHERE usename = %(name)s AND pid <> pg_backend_pid()",
            values={"name": name},
        )


@contextmanager
def administrator(
    access: TargetAccess, deadline: Deadline | None = None, database: str = ""
) -> Iterator[Session]:
    """A session as the administrator of the connection secret."""
    deadline = deadline or deadline_of(access)
    opened = _connect(access, deadline, database=database, refused=_administrator_refused)
    with closing(opened) as connection:
        yield Session(connection, deadline)


def log_in(access: TargetAccess, name: str, password: str, database: str = "") -> None:
    """Connect as an application does, and see who that is. Raises `RotationError`.

    A server that lets the user in without asking for a password proves nothing, and is refused.
    """
    deadline = deadline_of(access)
    opened = _connect(
        access, deadline, database=database, refused=_login_refused, login=(name, password)
    )
    with closing(opened) as connection:
        [(user,)] = Session(connection, deadline).run("SELECT session_user::text")
    if user != name:
        raise failure(LOGIN, f"the login as {name!r} became another user: look at pg_ident.conf")


def _connect(
    access: TargetAccess,
    deadline: Deadline,
    *,
    database: str,
    refused: Callable[[], RotationError],
    login: tuple[str, str] | None = None,
) -> BoundedConnection:
    """As the administrator or with another name, with a password that the server has to ask for.

    A server may let in whom the kernel says that the agent is, whatever password it gives: whoever
    writes the connection secret would act as the agent. So for the administrator only a client
    certificate of that secret stands for a password.
    """
    address = parse_url(access.connection, partial(parse_server_address, kind=POSTGRESQL))
    address = as_administrator(address, access.connection)
    if login is not None:
        name, password = login
        address = msgspec.structs.replace(address, user=name, password=password)
    if database:
        address = msgspec.structs.replace(address, database=database)
    with tls_files(access.connection, is_local=address.is_local) as tls:
        seconds = deadline.left()
        has_certificate = tls is not None and tls.cert_file is not None and not address.socket
        needs_password = login is not None or not has_certificate
        if needs_password and not address.password:  # libpq would look for one of the agent's
            raise _password_missing()
        parameters = libpq_parameters(address, address.password, tls)
        if needs_password and pq.version() >= _PROVES:
            parameters["require_auth"] = "scram-sha-256,md5,password"
        try:
            made = BoundedConnection.connect(
                **parameters,
                options="-c search_path=pg_catalog -c timezone=UTC -c row_security=off "
                "-c standard_conforming_strings=on "
                f"-c statement_timeout={max(1, int(seconds * 1000))} "
                f"-c idle_in_transaction_session_timeout={max(1, int(seconds * 1000))}",
                connect_timeout=max(1, int(seconds)),
                tcp_user_timeout=max(1, int(seconds * 1000)),
                application_name="freehold",
                client_encoding="utf8",
                autocommit=True,
                prepare_threshold=None,
            )
        except psycopg.Error as error:
            raise _connection_failure(error, refused) from None
    if needs_password and not made.pgconn.used_password:
        made.close()
        raise refused()
    return made


def _password_missing() -> RotationError:
    return failure(CONNECTION, "the connection secret has no field password: add it")


def _administrator_refused() -> RotationError:
    return failure(
        ADMINISTRATOR,
        "the server does not let the administrator in: check user and password of the connection "
        "secret, and pg_hba.conf",
    )


def _login_refused() -> RotationError:
    return failure(
        LOGIN, "the server does not let the user in with its password: check pg_hba.conf"
    )


def _connection_failure(
    error: psycopg.Error, refused: Callable[[], RotationError]
) -> RotationError:
    text = str(error)
    if re.search('database ".*" does not exist', text):
        return failure(CONNECTION, "the server has no database of that name: correct the url")
    if re.search("certificate|SSL|TLS|no encryption", text):
        return failure(
            TLS, "TLS to the server failed: check its name and ca_certificate of the secret"
        )
    if _REFUSALS.search(text):
        return refused()
    return failure(UNREACHABLE, "the server cannot be reached, or takes no connection: try again")


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of statements by their SQLSTATE: a server's text may repeat the statement."""
    try:
        yield
    except psycopg.Error as error:
        raise _statement_failure(error) from None


def _statement_failure(error: psycopg.Error) -> RotationError:
    state = error.sqlstate or ""
    match error:
        case errors.InsufficientPrivilege():
            return failure(
                PERMISSION,
                MISSING_PERMISSION,
            )
        case errors.DependentObjectsStillExist():
            return failure(
                PERMISSION,
                "somebody else has granted the user permissions that the administrator cannot "
                "revoke: revoke them, or make the administrator a member of the grantor",
            )
        case errors.UndefinedObject():
            return failure(USER, "the server has no such user or role: create it")
        case errors.InvalidName() | errors.ReservedName() | errors.NameTooLong():
            return failure(NAME, "the server refuses the user's name: choose another one")
    if state in _BUSY:
        return failure(BUSY, "another change is in the way, or the server is too slow: try again")
    if not state or state in _DROPPED:
        return failure(UNREACHABLE, "the server ended the connection or is silent: try again")
    if state.startswith(_SYNTAX):
        return failure(STATEMENT, f"the server does not accept a statement (SQLSTATE {state})")
    return failure(REFUSED, f"the server refuses a statement (SQLSTATE {state})")


class PostgresqlLeasedUsers:
    """See `LeasedUsers`. The server itself refuses a login after the expiry (`VALID UNTIL`)."""

    def __init__(self, config: PostgresqlLeases) -> None:
        self._config = config

    def create_user(self, access: TargetAccess, user: LeasedUser) -> Value:
        """See `LeasedUsers`: all statements in one transaction."""
        name = user.name
        with administrator(access) as session, session.change(name):
            if not session.exists(name):
                self._create(session, user)
            session.set_password(name, user.password)
            _set_expiry(session, name, user.expires)
            session.run("COMMENT ON ROLE {} IS {}", sql.Identifier(name), sql.Literal(_LEASE_MARK))
        return {"username": name, "password": user.password}

    def _create(self, session: Session, user: LeasedUser) -> None:
        name = user.name
        if not self._config.creation_statements:
            session.create(name)
            session.add_to(name, self._config.roles)
        values = {
            "name": name,
            "username": name,
            "password": session.verifier(user.password),
            "expiration": _timestamp(user.expires),
        }
        for statement in self._config.creation_statements:
            session.run(templates.fill(statement, POSTGRESQL, values))
        if not session.exists(name):
            raise failure(STATEMENT, "creation_statements create no user {{name}}")

    def renew_user(self, access: TargetAccess, name: str, expires: int) -> None:
        """See `LeasedUsers`."""
        with administrator(access) as session, session.change(name):
            _set_expiry(session, name, expires)

    def drop_user(self, access: TargetAccess, name: str) -> None:
        """See `LeasedUsers`. What it owns in any database goes to another owner first."""
        deadline = deadline_of(access)
        with administrator(access, deadline) as session:
            with session.change(name):
                if not session.exists(name):
                    return
                session.run("ALTER ROLE {} NOLOGIN", sql.Identifier(name))
            session.end_sessions(name)
            databases = session.run(_DATABASES, values={"name": name})
            for (database,) in databases:
                with ExitStack() as stack:
                    there = session
                    if database != session.database:
                        there = stack.enter_context(administrator(access, deadline, database))
                    with there.change(name):
                        self._give_away(there, name)
            with session.change(name):
                for statement in self._config.revocation_statements:
                    filled = templates.fill(
                        statement, POSTGRESQL, dict.fromkeys(templates.IDENTIFIERS, name)
                    )
                    session.run(filled)
                session.run("DROP ROLE IF EXISTS {}", sql.Identifier(name))

    def _give_away(self, session: Session, name: str) -> None:
        if not session.exists(name):
            return
        owner = self._config.reassign_to
        [(me,)] = session.run("SELECT current_user::text")
        session.add_to(me, (name,))  # REASSIGN OWNED needs the rights of both
        session.run("REASSIGN OWNED BY {} TO {}", sql.Identifier(name), sql.Identifier(owner or me))
        session.run("DROP OWNED BY {}", sql.Identifier(name))

    def list_users(self, access: TargetAccess, prefix: str) -> list[str]:
        """See `LeasedUsers`: only users with the mark of `create_user`."""
        with administrator(access) as session:
            rows = session.run(
                "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, %(prefix)s) "
                "AND shobj_description(oid, 'pg_authid') = %(mark)s ORDER BY 1 LIMIT %(limit)s",
                values={"prefix": prefix, "mark": _LEASE_MARK, "limit": MAX_USERS},
            )
        return [name for (name,) in rows if is_leased(name, prefix)]


def _set_expiry(session: Session, name: str, expires: int) -> None:
    session.run(
        "ALTER ROLE {} VALID UNTIL {}", sql.Identifier(name), sql.Literal(_timestamp(expires))
    )


def _timestamp(seconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M:%S}+00"
