"""A driver's words go no further."""

from copy import copy

import sqlalchemy as sa

from control.errors import ConflictError, ValidationError
from control.store.faults import StoreError, fault, is_conflict, is_unfit


class LimitError(Exception):
    """As psycopg's for a text that is too long for an index."""

    sqlstate = "54000"


class DriverError(Exception):
    """As psycopg's."""

    sqlstate = "40001"


def test_faults_are_named_without_the_drivers_text() -> None:
    """And say whether anything was stored."""
    broken = sa.exc.OperationalError("canary", None, DriverError("canary"))
    told = fault(broken)
    assert isinstance(told, StoreError)
    assert (told.details["outcome"], fault(broken, committing=True).details["outcome"]) == (  # type: ignore[attr-defined]
        "none",
        "unknown",
    )
    assert "canary" not in str(told)
    assert copy(told).details == told.details
    assert isinstance(fault(sa.exc.IntegrityError("x", None, DriverError())), ConflictError)
    assert is_conflict(broken)
    assert not is_conflict(sa.exc.OperationalError("x", None, Exception()))


def test_a_value_that_no_column_holds_is_its_bringers_fault() -> None:
    """Not the database's: it is told as one that may be mended, and nothing else fails."""
    for error in (
        sa.exc.DataError("canary", None, Exception("canary")),
        sa.exc.OperationalError("canary", None, LimitError("canary")),
    ):
        assert is_unfit(error)
        assert isinstance(fault(error), ValidationError)
        assert "canary" not in str(fault(error))
    assert not is_unfit(sa.exc.OperationalError("x", None, DriverError()))
