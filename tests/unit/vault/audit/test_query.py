"""Queries say what is wrong with them."""

import pytest

from vault.audit.query import MAX_PAGE, AuditQuery
from vault.errors import ValidationError


def test_what_is_asked_for_exactly() -> None:
    """Only the fields that are filled in are asked for."""
    assert AuditQuery().exact_filters() == {}
    query = AuditQuery(actor_id="a", operation="o", result="ok", request_id="r", path="p")
    assert query.exact_filters() == {
        "actor_id": "a",
        "operation": "o",
        "result": "ok",
        "request_id": "r",
    }


def test_a_cursor_is_a_number() -> None:
    """Ours come back as numbers."""
    assert AuditQuery().validated_cursor() is None
    assert AuditQuery(cursor="42", limit=MAX_PAGE).validated_cursor() == 42


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (AuditQuery(limit=0), "limit"),
        (AuditQuery(limit=MAX_PAGE + 1), "limit"),
        (AuditQuery(cursor="-1"), "cursor"),
        (AuditQuery(cursor="x"), "cursor"),
        (AuditQuery(cursor="\N{ARABIC-INDIC DIGIT ONE}"), "cursor"),
        (AuditQuery(cursor="9" * 19), "cursor"),
    ],
)
def test_the_faulty_field_is_named(query: AuditQuery, field: str) -> None:
    """A limit out of bounds and a foreign cursor are refused."""
    with pytest.raises(ValidationError) as caught:
        query.validated_cursor()
    assert caught.value.details["field"] == field
