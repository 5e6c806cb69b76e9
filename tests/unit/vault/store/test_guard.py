"""vault.store.guard: who is asked, and what an error says."""

import pytest

from tests.contract.store.samples import StampGuard, secret, system
from vault.errors import TamperedError, UnavailableError
from vault.store.guard import SEALED, checked, stamped
from vault.store.tables import SECRETS, SYSTEM


def test_guarded_tables() -> None:
    """Rows with a mac are stamped and checked, and an error names table and key."""
    row = stamped(StampGuard(), SECRETS, secret("a"))
    assert row.mac
    assert checked(StampGuard(), SECRETS, row) is row
    with pytest.raises(TamperedError) as caught:
        checked(StampGuard(), SECRETS, secret("a", mac=b"other"))
    assert caught.value.code == "row_tampered"
    assert caught.value.details == {"table": "secrets", "key": ("a",)}


def test_other_tables() -> None:
    """Rows without one pass even a sealed vault."""
    row = system("a")
    assert stamped(SEALED, SYSTEM, row) is row
    assert checked(SEALED, SYSTEM, row) is row


def test_sealed() -> None:
    """Without keys no authority row is read or written."""
    with pytest.raises(UnavailableError, match="sealed"):
        stamped(SEALED, SECRETS, secret("a"))
    with pytest.raises(UnavailableError, match="sealed"):
        checked(SEALED, SECRETS, secret("a"))
