"""Users of a Redis server's access control list: shared by the rotator and by leased users.

Redis gets the SHA-256 of a password (`#…`), never the password; a login sends it, as it must.
The fence is a key: `WATCH` and `MULTI` make its comparison and the change one step.
"""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from vault.cluster.redis import ErrorReply, Push, RedisError, Reply, ReplyParser
from vault.connections.deadline import Deadline
from vault.connections.tls import client_context
from vault.crypto.digest import sha256
from vault.model.server_address import RedisAddress, parse_redis_address
from vault.rotation.leased_user import LeasedUser, is_leased
from vault.rotation.rotator import RotationError, TargetAccess, Value
from vault.rotation.targets.access import (
    ADMINISTRATOR,
    BUSY,
    LOGIN,
    MAX_USERS,
    MISSING_PERMISSION,
    NAME,
    PERMISSION,
    REFUSED,
    STATEMENT,
    TLS,
    UNREACHABLE,
    UNSAVED,
    USER,
    as_administrator,
    deadline_of,
    failure,
    parse_url,
    stale,
    tls_files,
)
from vault.rotation.targets.lease_settings import RedisLeases

FENCE_KEY: Final = "freehold:fence:"
_MAX_REPLY: Final = 1 << 21  # bytes
_MAX_ITEMS: Final = MAX_USERS + 1_000
_CHUNK: Final = 1 << 18
_NO_FILE: Final = "not configured to use an ACL file"
_NAME_MARK: Final = "{{name}}"


def password_hash(password: str) -> str:
    """As `ACL SETUSER` takes it."""
    return sha256(password.encode()).hex()


class Session:
    """A connection. Raises `RotationError` for what fails."""

    def __init__(self, stream: socket.socket, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline
        self._parser = ReplyParser(_MAX_REPLY, _MAX_ITEMS)

    def send(self, *parts: str) -> Reply:
        """The reply to a command, an error's as well."""
        encoded = [part.encode() for part in parts]
        command = b"*%d\r\n" % len(encoded)
        command += b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded)
        try:
            self._stream.settimeout(self._deadline.left())
            self._stream.sendall(command)
            while True:
                found = self._parser.next_reply()
                if found and not isinstance(found[0], Push):
                    return found[0]
                if not found:
                    self._receive()
        except RedisError as error:
            raise failure(REFUSED, f"what answers is no Redis that can be used: {error}") from None
        except OSError:
            raise _gone() from None

    def _receive(self) -> None:
        self._stream.settimeout(self._deadline.left())
        data = self._stream.recv(_CHUNK)
        if not data:
            raise _gone()
        self._parser.feed(data)

    def run(self, *parts: str) -> Reply:
        """The reply to a command that succeeds."""
        reply = self.send(*parts)
        if isinstance(reply, ErrorReply):
            raise _reply_failure(reply)
        return reply

    def exists(self, name: str) -> bool:
        """Whether there is such a user."""
        return self.run("ACL", "GETUSER", name) is not None

    def has_password(self, name: str, password: str) -> bool:
        """Whether the user has it: Redis refuses to remove one that it has not."""
        reply = self.run("ACL", "GETUSER", name)
        fields = iter(reply if isinstance(reply, list) else [])
        stored = dict(zip(fields, fields, strict=True)).get(b"passwords")
        return isinstance(stored, list) and password_hash(password).encode() in stored

    def change(self, name: str, fence: int, *rules: str) -> None:
        """Change a user, unless a later holder has. Raises `RotationError` (`fence_stale`)."""
        key = FENCE_KEY + name
        self.run("WATCH", key)
        stored = self.run("GET", key)
        number = int(stored) if isinstance(stored, bytes) and stored.isdigit() else 0
        if number > fence:
            raise stale(name, number, fence)
        self.run("MULTI")
        for command in (["SET", key, str(fence)], ["ACL", "SETUSER", name, *rules]):
            self.run(*command)
        replies = self.run("EXEC")
        if replies is None:
            raise failure(BUSY, "another agent has changed this user: try again")
        for reply in replies if isinstance(replies, list) else []:
            if isinstance(reply, ErrorReply):
                raise _reply_failure(reply)

    def save(self, *, may_lose: bool) -> None:
        """Write the ACL file. Raises `RotationError` where there is none, unless `may_lose`."""
        reply = self.send("ACL", "SAVE")
        if not isinstance(reply, ErrorReply):
            return
        if _NO_FILE not in reply:
            raise _reply_failure(reply)
        if not may_lose:
            raise failure(
                UNSAVED,
                "Redis would forget the password when it restarts: give it an aclfile, or set "
                "allow_unsaved",
            )


@contextmanager
def administrator(access: TargetAccess) -> Iterator[Session]:
    """A session as the administrator of the connection secret."""
    address = parse_url(access.connection, parse_redis_address)
    address = as_administrator(address, access.connection)
    with _connected(access, address, _administrator_refused) as session:
        yield session


def log_in(access: TargetAccess, name: str, password: str) -> None:
    """Connect as an application does. Raises `RotationError` (`login_refused`)."""
    address = parse_url(access.connection, parse_redis_address)
    address = msgspec.structs.replace(address, user=name, password=password)
    with _connected(access, address, _login_refused):
        pass


@contextmanager
def _connected(
    access: TargetAccess, address: RedisAddress, refused: Callable[[], RotationError]
) -> Iterator[Session]:
    deadline = deadline_of(access)
    stream = _open(access.connection, address, deadline)
    with stream:
        session = Session(stream, deadline)
        credentials = ["AUTH", address.user, address.password] if address.password else []
        reply = session.send("HELLO", "3", *credentials)
        if isinstance(reply, ErrorReply):
            if reply.startswith(("WRONGPASS", "NOAUTH")):
                raise refused()
            raise _reply_failure(reply)
        yield session


def _open(connection: Value, address: RedisAddress, deadline: Deadline) -> socket.socket:
    with tls_files(connection, is_local=_is_local(address)) as tls:
        try:
            context = None if tls is None else client_context(tls)
        except OSError:
            raise failure(TLS, "a certificate or key of the connection secret is no PEM") from None
    stream = None
    try:
        if address.socket:
            stream = socket.socket(socket.AF_UNIX)
            stream.settimeout(deadline.left())
            stream.connect(address.socket)
            return stream
        stream = socket.create_connection((address.host, address.port), deadline.left())
        if context is None:
            return stream
        stream.settimeout(deadline.left())
        return context.wrap_socket(stream, server_hostname=address.host)
    except OSError as error:
        if stream is not None:
            stream.close()
        if isinstance(error, ssl.SSLError):
            raise failure(
                TLS, "TLS to Redis failed: check its name and ca_certificate of the secret"
            ) from None
        raise failure(UNREACHABLE, "Redis cannot be reached: try again") from None


def _is_local(address: RedisAddress) -> bool:
    is_here = bool(address.socket) or address.host in {"127.0.0.1", "::1", "localhost"}
    return is_here and not address.tls


def _gone() -> RotationError:
    return failure(UNREACHABLE, "Redis ended the connection or is silent: try again")


def _administrator_refused() -> RotationError:
    return failure(
        ADMINISTRATOR,
        "Redis does not let the administrator in: check user and password of the secret",
    )


def _login_refused() -> RotationError:
    return failure(LOGIN, "Redis does not let the user in with its password")


def _reply_failure(reply: ErrorReply) -> RotationError:
    """By the code and known words: Redis repeats rules, and so passwords, in its texts."""
    code = reply.partition(" ")[0]
    if code == "NOPERM":
        return failure(
            PERMISSION,
            MISSING_PERMISSION,
        )
    if code in {"LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN"}:
        return failure(BUSY, "Redis is busy: try again")
    if "Usernames can't contain" in reply:
        return failure(NAME, "Redis refuses the user's name: choose another one")
    if "Error in ACL SETUSER" in reply:
        return failure(STATEMENT, "Redis does not accept a rule: see ACL SETUSER")
    return failure(REFUSED, f"Redis answers {code if code.isalnum() else 'an error'}")


class RedisLeasedUsers:
    """See `LeasedUsers`. Redis knows no expiry: `drop_user` alone ends a user."""

    def __init__(self, config: RedisLeases) -> None:
        self._config = config

    def create_user(self, access: TargetAccess, user: LeasedUser) -> Value:
        """See `LeasedUsers`."""
        rules = [rule.replace(_NAME_MARK, user.name) for rule in self._config.rules]
        with administrator(access) as session:
            session.run(
                "ACL", "SETUSER", user.name, "reset", "on", f"#{password_hash(user.password)}",
                *rules,
            )  # fmt: skip
            session.save(may_lose=self._config.allow_unsaved)
        return {"username": user.name, "password": user.password}

    def renew_user(self, access: TargetAccess, name: str, expires: int) -> None:  # noqa: ARG002
        """See `LeasedUsers`: only whether it is there."""
        with administrator(access) as session:
            if not session.exists(name):
                raise failure(USER, "Redis has no such user")

    def drop_user(self, access: TargetAccess, name: str) -> None:
        """See `LeasedUsers`. Redis itself ends the connections of a user that it deletes."""
        with administrator(access) as session:
            session.run("ACL", "DELUSER", name)
            session.save(may_lose=self._config.allow_unsaved)

    def list_users(self, access: TargetAccess, prefix: str) -> list[str]:
        """See `LeasedUsers`: by the form of the name."""
        with administrator(access) as session:
            reply = session.run("ACL", "USERS")
        names = [
            item.decode(errors="replace")
            for item in (reply if isinstance(reply, list) else [])
            if isinstance(item, bytes)
        ]
        return sorted(name for name in names if is_leased(name, prefix))
