"""The way to a target: its address, the administrator, TLS, and the time that is left.

The fields of a connection secret:

- `url`: `postgresql://USER@HOST:PORT/DATABASE`, `mysql://…`, `redis://…`, `ldap://HOST`
- `username`, `password`: the administrator's, in place of those in the URL
- `ca_certificate`, `client_certificate`, `client_key`: PEM; without the first, the system's
  authorities are trusted

TLS is always used, except to this machine when there is no certificate. There is no way to turn it
off to another one: the administrator's password would be readable on the way.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, TypeVar

from msgspec.structs import replace

from vault.connections.deadline import Deadline
from vault.connections.tls import pem_file
from vault.model.server_address import RedisAddress, ServerAddress, ServerTls
from vault.rotation.rotator import RotationError, TargetAccess, Value

T = TypeVar("T")
A = TypeVar("A", ServerAddress, RedisAddress)

UNREACHABLE: Final = "target_unreachable"
TLS: Final = "target_tls"
BUSY: Final = "target_busy"
ADMINISTRATOR: Final = "administrator_refused"
PERMISSION: Final = "permission_missing"
USER: Final = "user_missing"
NAME: Final = "name_invalid"
FENCE: Final = "fence_stale"
LOGIN: Final = "login_refused"
CONNECTION: Final = "connection_invalid"
STATEMENT: Final = "statement_invalid"
REFUSED: Final = "target_refused"
UNSAVED: Final = "target_not_durable"
LIBRARY: Final = "library_missing"
_TEMPORARY: Final = frozenset({UNREACHABLE, BUSY, REFUSED})

MISSING_PERMISSION: Final = (
    "the administrator may not do this: grant what docs/spec/database-rotators.md has"
)
MAX_USERS: Final = 20_000
"""Of one target that are listed at once."""


def failure(code: str, text: str) -> RotationError:
    """An error by its code, which says whether another try may succeed."""
    return RotationError(code, text, is_final=code not in _TEMPORARY)


def stale(name: str, stored: int, fence: int) -> RotationError:
    """For a target that has been changed by a later holder."""
    return failure(
        FENCE, f"a later rotation ({stored}) has changed {name!r}: this one ({fence}) is void"
    )


def deadline_of(access: TargetAccess) -> Deadline:
    """The end of an operation, behind which `left` raises `RotationError`."""
    return Deadline(access.timeout, access.clock, _not_in_time)


def _not_in_time() -> RotationError:
    return failure(UNREACHABLE, "the target did not answer in time: try again")


def parse_url(connection: Value, parse: Callable[[str], T]) -> T:
    """The address in the connection's URL. Raises `RotationError`."""
    url = connection.get("url", "")
    if not url:
        raise failure(CONNECTION, "the connection secret has no field url: add it")
    try:
        return parse(url)
    except ValueError as error:  # its text repeats nothing of the URL
        raise failure(CONNECTION, f"the field url of the connection secret {error}") from None


def as_administrator(address: A, connection: Value) -> A:
    """The address with the administrator of the connection secret."""
    return replace(
        address,
        user=connection.get("username") or address.user,
        password=connection.get("password") or address.password,
    )


@contextmanager
def tls_files(connection: Value, *, is_local: bool) -> Iterator[ServerTls | None]:
    """The settings of TLS, with files for the length of the block; None: without TLS."""
    names = ("ca_certificate", "client_certificate", "client_key")
    texts = [connection.get(name, "") for name in names]
    if bool(texts[1]) != bool(texts[2]):
        raise failure(
            CONNECTION,
            "the connection secret needs client_certificate and client_key, or neither",
        )
    if is_local and not any(texts):
        yield None
        return
    with ExitStack() as stack:
        files = [stack.enter_context(pem_file(text)) if text else None for text in texts]
        yield ServerTls(ca_file=files[0], cert_file=files[1], key_file=files[2])
