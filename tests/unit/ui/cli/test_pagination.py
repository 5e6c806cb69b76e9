from tests.unit.ui.cli.conftest import FakeAgent
from ui.cli.client import ApiClient
from ui.cli.connection_settings import ConnectionSettings
from ui.cli.pagination import fetch_pages


def page(first: int, last: int, cursor: str = "") -> dict[str, object]:
    """A page with these numbers."""
    return {"items": [{"n": n} for n in range(first, last)], "cursor": cursor}


def test_pages_are_followed_to_the_last(agent: FakeAgent) -> None:
    """The filters go with each request, the cursor with all but the first."""
    agent.answer(page(0, 2, "c1"))
    agent.answer(page(2, 3))
    client = ApiClient(ConnectionSettings.from_environment())
    assert [item["n"] for item in fetch_pages(client, "/x", "items", {"a": "b"})] == [0, 1, 2]
    assert [seen.path for seen in agent.seen] == ["/x?a=b", "/x?a=b&cursor=c1"]


def test_no_more_is_asked_for_than_is_wanted(agent: FakeAgent) -> None:
    """A bound ends within a page and at the end of one."""
    client = ApiClient(ConnectionSettings.from_environment())
    agent.answer(page(0, 3, "more"))
    assert [item["n"] for item in fetch_pages(client, "/x", "items", most=2)] == [0, 1]
    agent.answer(page(0, 3, "more"))
    assert [item["n"] for item in fetch_pages(client, "/x", "items", most=3)] == [0, 1, 2]
    assert len(agent.seen) == 2
