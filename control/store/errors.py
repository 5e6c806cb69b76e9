"""Translates errors of the database. A driver's text goes no further: it may contain values."""

import sqlalchemy as sa

from control.errors import ConflictError, UnavailableError, ValidationError

_CONFLICTS = frozenset({"40001", "40P01"})  # PostgreSQL: serialization_failure, deadlock_detected
_LIMITS = "54"  # PostgreSQL, appendix A: program_limit_exceeded, a key that no index holds
_REFUSED = "the connection was refused: nothing listens there"
_NO_NAME = "the name of its host is not found"
_TIMED_OUT = "it did not answer in time"
_AUTHENTICATION_FAILED = (
    "authentication failed: see user and password in database.url, and its pg_hba.conf"
)
_KINDS = (
    ("connection refused", _REFUSED),
    ("no such file or directory", _REFUSED),
    ("failed to resolve host", _NO_NAME),
    ("could not translate host name", _NO_NAME),
    ("timeout", _TIMED_OUT),
    ("timed out", _TIMED_OUT),
    ("authentication", _AUTHENTICATION_FAILED),
    ("no password supplied", _AUTHENTICATION_FAILED),
    ("pg_hba.conf", _AUTHENTICATION_FAILED),
)
"""What libpq and psycopg say of a connection that is not made, in lower case, and our words."""

INVALID_VALUE_ERRORS = (OverflowError, UnicodeEncodeError)
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


def translate_error(error: sa.exc.SQLAlchemyError, *, committing: bool = False) -> Exception:
    """The error to raise in place of SQLAlchemy's."""
    if isinstance(error, sa.exc.IntegrityError):
        return ConflictError("exists", "this exists already")
    if is_invalid_value(error):
        return invalid_value_error()
    if committing:
        return StoreError(
            "store_unavailable",
            "the database failed: the change may be stored or not",
            "unknown",
        )
    return StoreError("store_unavailable", "the database does not answer")


def connection_error(error: sa.exc.SQLAlchemyError, place: str) -> Exception:
    """As `translate_error`, at a start: with the database's place and the kind of reason.

    `place` is host and port and nothing that is secret. Callers of the API are not told it.
    """
    text = str(getattr(error, "orig", "")).casefold()
    kind = next((ours for theirs, ours in _KINDS if theirs in text), "")
    if not (place and kind and isinstance(error, sa.exc.OperationalError)):
        return translate_error(error)
    return StoreError("store_unavailable", f"the database at {place} cannot be reached: {kind}")


def invalid_value_error() -> ValidationError:
    """For a value that no column holds: a NUL on PostgreSQL, a number beyond 64 bits."""
    return ValidationError("value_invalid", "the database cannot store one of the texts or numbers")


def is_invalid_value(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether only who brought a value is to blame: the database is well, and so are others."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return isinstance(error, sa.exc.DataError) or state.startswith(_LIMITS)


def is_serialization_conflict(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether two transactions met and this one has to begin again (PostgreSQL, chapter 13.5)."""
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None) in _CONFLICTS
