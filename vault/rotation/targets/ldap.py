"""Passwords of entries in a directory, by python-ldap (`pip install 'freehold[ldap]'`).

The fence is a value of an attribute of the entry. A modification that deletes the value that was
read and adds the new one fails as a whole when another agent has been there in between.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from vault.rotation.deadline import Deadline
from vault.rotation.rotator import RotationError, TargetAccess
from vault.rotation.targets.access import (
    ADMINISTRATOR,
    BUSY,
    CONNECTION,
    LIBRARY,
    LOGIN,
    MISSING_PERMISSION,
    NAME,
    PERMISSION,
    REFUSED,
    TLS,
    UNREACHABLE,
    USER,
    deadline_of,
    failure,
    parse_url,
    stale,
    tls_files,
)

_PORTS: Final = {"ldap": 389, "ldaps": 636}
_FENCE: Final = re.compile(rb"freehold fence=(\d{1,19})")
_FORM: Final = "is none of ldap://HOST[:PORT], ldaps://… and ldapi://%2FPATH"
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})
MAX_NAME: Final = 1_000  # bytes of a distinguished name


class LdapAddress(Struct, frozen=True, kw_only=True):
    """One directory server."""

    scheme: str
    host: str
    port: int = 0
    socket: str = ""

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return bool(self.socket) or (self.scheme == "ldap" and self.host in _LOCAL)

    @property
    def uri(self) -> str:
        """As libldap takes it."""
        if self.socket:
            return f"ldapi://{self.socket.replace('/', '%2F')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_ldap_address(url: str) -> LdapAddress:
    """Raises `ValueError`, whose text repeats nothing of the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(_FORM) from None
    if not url.isprintable() or parts.query or parts.fragment or parts.username:
        raise ValueError(_FORM)
    if parts.scheme == "ldapi" and unquote(parts.netloc).startswith("/"):
        return LdapAddress(scheme="ldapi", host="", socket=unquote(parts.netloc))
    if parts.scheme not in _PORTS or not host or parts.path.strip("/"):
        raise ValueError(_FORM)
    return LdapAddress(scheme=parts.scheme, host=host, port=port or _PORTS[parts.scheme])


def check_dn(dn: str) -> str:
    """A distinguished name. Raises `ValueError`. The server parses it."""
    if not dn or len(dn.encode()) > MAX_NAME or not dn.isprintable() or "=" not in dn:
        raise ValueError(f"an entry's name has 1 to {MAX_NAME} bytes, such as uid=app,dc=example")
    return dn


class Session:
    """A connection of the administrator's. Raises `RotationError` for what fails."""

    def __init__(self, ldap: ModuleType, connection: Any, deadline: Deadline) -> None:
        self._ldap = ldap
        self._connection = connection
        self._deadline = deadline

    def _run(self, start: str, *args: Any) -> Any:
        """Start an operation and wait for its result, as long as there is time."""
        with _translated(self._ldap):
            number = getattr(self._connection, start)(*args)
            return self._connection.result(number, timeout=self._deadline.left())[1]

    def set_password(
        self, dn: str, password: str, *, fence: int, attribute: str, is_active_directory: bool
    ) -> None:
        """Set it, unless a later holder has. Raises `RotationError` (`fence_stale`)."""
        ldap = self._ldap
        guard = self._fence_changes(dn, fence, attribute)
        if is_active_directory:
            quoted = f'"{password}"'.encode("utf-16-le")
            self._run("modify", dn, [*guard, (ldap.MOD_REPLACE, "unicodePwd", [quoted])])
            return
        if guard:
            self._run("modify", dn, guard)
        self._run("passwd", dn, None, password)

    def _fence_changes(self, dn: str, fence: int, attribute: str) -> list[Any]:
        if not attribute:
            self._run("search", dn, self._ldap.SCOPE_BASE, "(objectClass=*)", ["1.1"])
            return []
        found = self._run("search", dn, self._ldap.SCOPE_BASE, "(objectClass=*)", [attribute])
        entries = [fields for name, fields in found if name is not None]
        if not entries:
            raise failure(
                USER, "the directory has no such entry, or hides it from the administrator"
            )
        values = [value for values in entries[0].values() for value in values]
        old = [value for value in values if _FENCE.fullmatch(value)]
        highest = max((int(value.rpartition(b"=")[2]) for value in old), default=0)
        if highest > fence:
            raise stale(dn, highest, fence)
        ldap = self._ldap
        new = b"freehold fence=%d" % fence
        # Also when nothing changes: the deletion fails if somebody else was faster.
        removed = [(ldap.MOD_DELETE, attribute, old)] if old else []
        return [*removed, (ldap.MOD_ADD, attribute, [new])]


@contextmanager
def administrator(access: TargetAccess) -> Iterator[Session]:
    """A session as the connection secret's `bind_dn`."""
    dn, password = access.connection.get("bind_dn", ""), access.connection.get("password", "")
    if not dn or not password:  # a bind without a password succeeds, as nobody
        raise failure(CONNECTION, "the connection secret needs the fields bind_dn and password")
    with _bound(access, dn, password, _administrator_refused) as session:
        yield session


def log_in(access: TargetAccess, dn: str, password: str) -> None:
    """Bind as an application does. Raises `RotationError` (`login_refused`)."""
    if not password:
        raise _login_refused()
    with _bound(access, dn, password, _login_refused):
        pass


@contextmanager
def _bound(
    access: TargetAccess, dn: str, password: str, refused: Callable[[], RotationError]
) -> Iterator[Session]:
    ldap = _library()
    deadline = deadline_of(access)
    address = parse_url(access.connection, parse_ldap_address)
    with tls_files(access.connection, is_local=address.is_local) as tls:
        connection: Any = None
        try:
            with _translated(ldap):
                connection = ldap.initialize(address.uri, bytes_mode=False)
                connection.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
                connection.set_option(ldap.OPT_REFERRALS, 0)  # to servers that nobody named
                connection.set_option(ldap.OPT_NETWORK_TIMEOUT, deadline.left())
                connection.set_option(ldap.OPT_TIMEOUT, deadline.left())
                if tls is not None:
                    connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
                    connection.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, 0x303)  # TLS 1.2
                    for option, file in (
                        (ldap.OPT_X_TLS_CACERTFILE, tls.ca_file),
                        (ldap.OPT_X_TLS_CERTFILE, tls.cert_file),
                        (ldap.OPT_X_TLS_KEYFILE, tls.key_file),
                    ):
                        if file is not None:
                            connection.set_option(option, str(file))
                    connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
                    if address.scheme == "ldap":
                        connection.start_tls_s()
                try:
                    number = connection.simple_bind(dn, password)
                    connection.result(number, timeout=deadline.left())
                except (
                    ldap.INVALID_CREDENTIALS, ldap.INAPPROPRIATE_AUTH, ldap.NO_SUCH_OBJECT,
                ):  # fmt: skip
                    raise refused() from None
            yield Session(ldap, connection, deadline)
        finally:
            if connection is not None:
                _unbind(ldap, connection)


def _unbind(ldap: ModuleType, connection: Any) -> None:
    try:
        connection.unbind()
    except ldap.LDAPError:
        return  # the connection is gone already, which is what an unbind is for


def _library() -> ModuleType:
    try:
        import ldap  # type: ignore[import-untyped]
    except ImportError:
        raise failure(
            LIBRARY, "python-ldap is not installed: pip install 'freehold[ldap]'"
        ) from None
    module: ModuleType = ldap
    return module


@contextmanager
def _translated(ldap: ModuleType) -> Iterator[None]:
    try:
        yield
    except ldap.LDAPError as error:
        raise _failure(ldap, error) from None


def _failure(ldap: ModuleType, error: Exception) -> RotationError:
    """By the result code: a directory's text may repeat what it was sent."""
    match error:
        case ldap.INSUFFICIENT_ACCESS() | ldap.STRONG_AUTH_REQUIRED():
            return failure(
                PERMISSION,
                MISSING_PERMISSION,
            )
        case ldap.NO_SUCH_OBJECT():
            return failure(
                USER, "the directory has no such entry, or hides it from the administrator"
            )
        case ldap.INVALID_DN_SYNTAX():
            return failure(NAME, "the directory refuses the entry's name: correct it")
        case ldap.NO_SUCH_ATTRIBUTE() | ldap.TYPE_OR_VALUE_EXISTS() | ldap.BUSY():
            return failure(BUSY, "another agent has changed this entry: try again")
        case ldap.CONNECT_ERROR():
            return failure(
                TLS, "TLS to the directory failed: check its name and ca_certificate of the secret"
            )
        case ldap.SERVER_DOWN() | ldap.TIMEOUT() | ldap.UNAVAILABLE():
            text = str(error).lower()
            if "certificate" in text or "tls" in text:
                return failure(
                    TLS,
                    "TLS to the directory failed: check its name and ca_certificate of the secret",
                )
            return failure(UNREACHABLE, "the directory cannot be reached or is silent: try again")
        case ldap.CONSTRAINT_VIOLATION() | ldap.UNWILLING_TO_PERFORM():
            return failure(
                "password_refused", "the directory's password policy refuses it: change the rules"
            )
    return failure(REFUSED, f"the directory refuses the operation ({type(error).__name__})")


def _administrator_refused() -> RotationError:
    return failure(
        ADMINISTRATOR,
        "the directory does not let the administrator in: check bind_dn and password of the secret",
    )


def _login_refused() -> RotationError:
    return failure(LOGIN, "the directory does not let the entry in with its password")
