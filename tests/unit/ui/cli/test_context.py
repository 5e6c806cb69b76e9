import json

import pytest
import typer

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli.client import ApiClient
from ui.cli.connection_settings import ConnectionSettings
from ui.cli.context import (
    api_path,
    fetch_pages,
    parse_pairs,
    without_empty,
)


def test_output_may_stand_before_and_behind_the_command(agent: FakeAgent, cli: Run) -> None:
    """The nearer one wins."""
    for words in (
        ("-o", "json", "role", "list"),
        ("role", "list", "--output", "json"),
        ("-o", "table", "role", "list", "-o", "json"),
        ("role", "-o", "json", "list"),
    ):
        agent.answer({"roles": [{"name": "ops"}]})
        assert json.loads(cli(*words).out) == [{"name": "ops"}]


def test_a_name_keeps_its_slashes_and_nothing_else() -> None:
    """A name cannot end the path or begin a query."""
    assert api_path("secrets", "secret/a b?c#d") == "/api/v1/secrets/secret/a%20b%3Fc%23d"
    assert api_path("tokens", "abc", "renew") == "/api/v1/tokens/abc/renew"
    assert api_path("users") == "/api/v1/users"


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


def test_pairs_are_split_at_the_first_sign() -> None:
    """A value may hold the sign, or be empty; a later pair wins."""
    assert parse_pairs(["a=1=2", "b=", "b=3"]) == {"a": "1=2", "b": "3"}
    assert parse_pairs(None) == {}


@pytest.mark.parametrize("text", ["a", "=b", ""])
def test_what_is_no_pair_is_wrong_usage(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(typer.BadParameter):
        parse_pairs([text])


def test_given_leaves_out_what_was_not_given() -> None:
    """False, 0 and empty lists were given; None and empty text were not."""
    assert without_empty(a=None, b="", c=False, d=0, e=[], f="x") == {
        "c": False,
        "d": 0,
        "e": [],
        "f": "x",
    }


def test_who_is_not_there_is_not_asked(agent: FakeAgent, cli: Run) -> None:
    """Wrong usage, which names the option; what it is about is said all the same."""
    done = cli("role", "delete", "ops", stdin="y\n")
    assert (done.code, done.out) == (64, "")
    assert done.err == (
        "freehold: Delete the role ops? Pass --yes to confirm: stdin is not a terminal\n"
    )
    assert agent.seen == []


def test_a_person_is_asked(agent: FakeAgent, cli: Run) -> None:
    """Only a yes is a yes."""
    for answer in ("n\n", "\n", ""):
        assert cli("role", "delete", "ops", stdin=answer, terminal=True).code == 130
    assert agent.seen == []
    agent.answer(None, 204)
    assert cli("role", "delete", "ops", stdin="y\n", terminal=True).code == 0
    agent.answer(None, 204)
    assert cli("role", "delete", "ops", "-y", terminal=True).code == 0
