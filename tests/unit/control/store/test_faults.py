"""A driver's words go no further."""

from copy import copy

import sqlalchemy as sa

from control.errors import ConflictError
from control.store.faults import StoreError, fault, is_conflict


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
