"""What a database's refusal is called here. A driver's text goes no further: it may hold values."""

import sqlalchemy as sa

from control.errors import ConflictError, UnavailableError, ValidationError

_CONFLICTS = frozenset({"40001", "40P01"})  # PostgreSQL: serialization_failure, deadlock_detected
_LIMITS = "54"  # PostgreSQL, appendix A: program_limit_exceeded, a key that no index holds

UNFIT = (OverflowError, UnicodeEncodeError)
"""What SQLite's driver raises for a number beyond 64 bits, and any for half of a character."""


class StoreError(UnavailableError):
    """The database failed: the connection is not used again.

    `details["outcome"]`: `none` (nothing was stored) or `unknown`.
    """

    def __init__(self, code: str, message: str, outcome: str = "none") -> None:
        super().__init__(code, message, outcome=outcome)

    def __reduce__(self) -> tuple[type["StoreError"], tuple[str, str, str]]:
        """Copies keep the outcome."""
        return StoreError, (self.code, self.message, str(self.details["outcome"]))


def fault(error: sa.exc.SQLAlchemyError, *, committing: bool = False) -> Exception:
    """The error to raise in place of SQLAlchemy's."""
    if isinstance(error, sa.exc.IntegrityError):
        return ConflictError("exists", "this contradicts what is stored: it exists already")
    if is_unfit(error):
        return unfit()
    if committing:
        return StoreError(
            "store_unavailable",
            "the database failed in the middle: the change may be stored or not",
            "unknown",
        )
    return StoreError("store_unavailable", "the database does not answer as it should")


def unfit() -> ValidationError:
    """For a value that no column holds: a NUL on PostgreSQL, a number beyond 64 bits."""
    return ValidationError(
        "value_invalid", "a text or number in it is none that the database can hold"
    )


def is_unfit(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether only who brought a value is to blame: the database is well, and so are others."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return isinstance(error, sa.exc.DataError) or state.startswith(_LIMITS)


def is_conflict(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether two transactions met and this one has to begin again (PostgreSQL, chapter 13.5)."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None) in _CONFLICTS
