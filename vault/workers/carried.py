"""What became of an operation in another process: what it came to, or an error of the family."""

from typing import Final

from msgspec.structs import replace

from vault import errors
from vault.errors import VaultError
from vault.model.records import VersionRow
from vault.model.results import SecretValue, SecretWritten
from vault.mutations import End
from vault.workers.wire import Carried, Told

_KINDS: Final[dict[str, type[VaultError]]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, VaultError)
}
_NOTHING: Final = Carried()


def carried_of(end: End) -> Carried:
    """What the leader tells of one write; the sealed parts of the version stay with him."""
    if isinstance(end, SecretWritten):
        return Carried(written=SecretWritten(secret=end.secret, version=_bare(end.version)))
    kind = next(base.__name__ for base in type(end).__mro__ if base.__name__ in _KINDS)
    return Carried(kind=kind, code=end.code, message=end.message, details=dict(end.details))


def told_of(number: int, end: SecretValue | End, *, reserved: bool = False) -> Told:
    """The same of an operation: of a read, the value."""
    if isinstance(end, SecretValue):
        return Told(number, _NOTHING, replace(end, version=_bare(end.version)), reserved)
    return Told(number, carried_of(end), None, reserved)


def result_of(told: Told) -> SecretValue | SecretWritten:
    """What it tells of. Raises the error that it was."""
    found = told.value or told.end.written
    if found is None:
        raise error_of(told.end)
    return found


def error_of(carried: Carried) -> VaultError:
    """The error that it tells of, as the family has it."""
    return _KINDS[carried.kind](carried.code, carried.message, **carried.details)


def _bare(version: VersionRow) -> VersionRow:
    return replace(version, wrapped_dek=b"", box=b"", mac=b"")
