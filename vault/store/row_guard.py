"""The guard: what makes an authority row one. The barrier brings it, the store asks it."""

from typing import Any, Final, Protocol, TypeVar

from msgspec import Struct

from vault.errors import TamperedError, UnavailableError
from vault.store.table import Table

R = TypeVar("R", bound=Struct)


class RowGuard(Protocol):
    """Asked for the rows of guarded tables only (those with a `mac`)."""

    def stamp(self, table: str, row: R, /) -> R:
        """The row with its stamp."""
        ...

    def check(self, table: str, row: Any, /) -> None:
        """Raise `TamperedError` unless the stamp is right."""
        ...


def stamp_row(guard: RowGuard, table: Table[R], row: R) -> R:
    """The row as it is to be stored."""
    return guard.stamp(table.name, row) if table.is_guarded else row


def check_row(guard: RowGuard, table: Table[R], row: R) -> R:
    """The row as it was loaded; raises `TamperedError`, which names table and key."""
    if table.is_guarded:
        try:
            guard.check(table.name, row)
        except TamperedError as error:
            raise TamperedError(
                error.code, error.message, table=table.name, key=table.key_of(row)
            ) from error
    return row


class _SealedRowGuard:
    """The guard of a vault whose keys are not there: nothing guarded can be touched."""

    def stamp(self, table: str, _row: R, /) -> R:
        raise UnavailableError("sealed", f"{table}: the vault is sealed")

    def check(self, table: str, _row: Any, /) -> None:
        raise UnavailableError("sealed", f"{table}: the vault is sealed")


SEALED_ROW_GUARD: Final[RowGuard] = _SealedRowGuard()
