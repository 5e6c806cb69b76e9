"""A driver's words go no further."""

from copy import copy

import pytest
import sqlalchemy as sa

from control.errors import ConflictError, ValidationError
from control.store.errors import (
    StoreError,
    connection_error,
    is_invalid_value,
    is_serialization_conflict,
    translate_error,
)


class LimitError(Exception):
    """As psycopg's for a text that is too long for an index."""

    sqlstate = "54000"


class DriverError(Exception):
    """As psycopg's."""

    sqlstate = "40001"


def test_faults_are_named_without_the_drivers_text() -> None:
    """And say whether anything was stored."""
    broken = sa.exc.OperationalError("canary", None, DriverError("canary"))
    told = translate_error(broken)
    assert isinstance(told, StoreError)
    assert (
        told.details["outcome"],
        translate_error(broken, committing=True).details["outcome"],
    ) == (  # type: ignore[attr-defined]
        "none",
        "unknown",
    )
    assert "canary" not in str(told)
    assert copy(told).details == told.details
    assert isinstance(
        translate_error(sa.exc.IntegrityError("x", None, DriverError())), ConflictError
    )
    assert is_serialization_conflict(broken)
    assert not is_serialization_conflict(sa.exc.OperationalError("x", None, Exception()))


def test_a_value_that_no_column_holds_is_its_bringers_fault() -> None:
    """Not the database's: it is told as one that may be mended, and nothing else fails."""
    for error in (
        sa.exc.DataError("canary", None, Exception("canary")),
        sa.exc.OperationalError("canary", None, LimitError("canary")),
    ):
        assert is_invalid_value(error)
        assert isinstance(translate_error(error), ValidationError)
        assert "canary" not in str(translate_error(error))
    assert not is_invalid_value(sa.exc.OperationalError("x", None, DriverError()))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("connection failed: Connection refused", "refused"),
        ('server on socket "/x" failed: No such file or directory', "refused"),
        ("failed to resolve host 'x': canary", "not found"),
        ("connection timeout expired", "in time"),
        ('FATAL: password authentication failed for user "canary"', "authentication"),
        ("fe_sendauth: no password supplied", "authentication"),
        ('no pg_hba.conf entry for host "1.2.3.4", user "canary"', "authentication"),
    ],
)
def test_why_a_database_is_not_reached(text: str, kind: str) -> None:
    """Its place, and our words for the driver's, without what those hold."""
    told = str(
        connection_error(sa.exc.OperationalError("canary", None, Exception(text)), "db:5432")
    )
    assert "db:5432" in told
    assert kind in told
    assert "canary" not in told


def test_another_failure_names_no_place() -> None:
    """What is no question of reaching it is told as ever."""
    error = sa.exc.OperationalError("x", None, Exception("canary"))
    assert str(connection_error(error, "db:5432")) == str(translate_error(error))
