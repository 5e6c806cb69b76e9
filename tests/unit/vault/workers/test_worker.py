"""vault.workers.worker: what workers tell each other; acceptance tests run one as it is."""

from tests.unit.vault.workers.pages import new_page
from vault.workers.worker import Others


def test_who_has_more_connections_gives_way() -> None:
    """By what is so now: one whose connections have ended is free before it is asked for more."""
    page = new_page()
    one, two = Others(page, 1, 2), Others(page, 2, 2)
    one.mine = lambda: 1
    assert one.are_freer()
    two.tell(16)
    assert not one.are_freer()
    two.tell(0)
    assert one.are_freer()
    one.mine = lambda: 0
    assert not one.are_freer()
