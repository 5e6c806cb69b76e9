"""Passwords of entries in a directory, by python-ldap (`pip install 'freehold[ldap]'`).

The fence is a value of an attribute of the entry. A modification that deletes the value that was
read and adds the new one fails as a whole when another agent has been there in between.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, Final

from vault.connections.ldap import (
    Directory,
    connected,
    is_tls_failure,
    load_library,
    parse_ldap_address,
)
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

_FENCE: Final = re.compile(rb"freehold fence=(\d{1,19})")
MAX_NAME: Final = 1_000  # bytes of a distinguished name


def check_dn(dn: str) -> str:
    """A distinguished name. Raises `ValueError`. The server parses it."""
    if not dn or len(dn.encode()) > MAX_NAME or not dn.isprintable() or "=" not in dn:
        raise ValueError(f"an entry's name has 1 to {MAX_NAME} bytes, such as uid=app,dc=example")
    return dn


class Session:
    """A connection of the administrator's. Raises `RotationError` for what fails."""

    def __init__(self, ldap: ModuleType, directory: Directory) -> None:
        self._ldap = ldap
        self._directory = directory

    def _run(self, start: str, *args: Any) -> Any:
        """Start an operation and wait for its result, as long as there is time."""
        with _translated(self._ldap):
            return self._directory.run(start, *args)

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
    address = parse_url(access.connection, parse_ldap_address)
    with (
        tls_files(access.connection, is_local=address.is_local) as tls,
        ExitStack() as stack,
    ):
        with _translated(ldap):
            directory = stack.enter_context(connected(address, tls, deadline_of(access)))
            try:
                directory.bind(dn, password)
            except (ldap.INVALID_CREDENTIALS, ldap.INAPPROPRIATE_AUTH, ldap.NO_SUCH_OBJECT):
                raise refused() from None
        yield Session(ldap, directory)


def _library() -> ModuleType:
    try:
        return load_library()
    except ImportError:
        raise failure(
            LIBRARY, "python-ldap is not installed: pip install 'freehold[ldap]'"
        ) from None


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
        case _ if is_tls_failure(ldap, error):
            return failure(
                TLS, "TLS to the directory failed: check its name and ca_certificate of the secret"
            )
        case ldap.SERVER_DOWN() | ldap.TIMEOUT() | ldap.UNAVAILABLE():
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
