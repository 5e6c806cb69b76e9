"""vault.store.row_guard: who is asked, and what an error says."""

import pytest

from tests.contract.store.samples import StampGuard, secret, system
from vault.errors import TamperedError, UnavailableError
from vault.store.row_guard import SEALED_ROW_GUARD, check_row, stamp_row
from vault.store.tables import SECRETS, SYSTEM


def test_guarded_tables() -> None:
    """Rows with a mac are stamped and checked, and an error names table and key."""
    row = stamp_row(StampGuard(), SECRETS, secret("a"))
    assert row.mac
    assert check_row(StampGuard(), SECRETS, row) is row
    with pytest.raises(TamperedError) as caught:
        check_row(StampGuard(), SECRETS, secret("a", mac=b"other"))
    assert caught.value.code == "row_tampered"
    assert caught.value.details == {"table": "secrets", "key": ("a",)}


def test_other_tables() -> None:
    """Rows without one pass even a sealed vault."""
    row = system("a")
    assert stamp_row(SEALED_ROW_GUARD, SYSTEM, row) is row
    assert check_row(SEALED_ROW_GUARD, SYSTEM, row) is row


def test_sealed() -> None:
    """Without keys no authority row is read or written."""
    with pytest.raises(UnavailableError, match="sealed"):
        stamp_row(SEALED_ROW_GUARD, SECRETS, secret("a"))
    with pytest.raises(UnavailableError, match="sealed"):
        check_row(SEALED_ROW_GUARD, SECRETS, secret("a"))
