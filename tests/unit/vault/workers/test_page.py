"""vault.workers.page: one memory in several mappings."""

import pytest

from tests.unit.vault.workers.pages import new_page
from vault.store.row_index import MAX_SEGMENTS
from vault.workers import page


def test_an_index_has_a_bound() -> None:
    """As many segments as the page has words for, which are not those of connections."""
    shared = page.SharedRows(new_page())
    for _ in range(MAX_SEGMENTS):
        shared.grow(8)
    with pytest.raises(ValueError, match="as many"):
        shared.grow(8)
    assert page.PLACES + 2 * MAX_SEGMENTS <= page.CONNECTIONS
