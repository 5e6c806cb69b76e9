from tests.unit.ui.cli.conftest import FakeAgent, Run

BOB = {"id": "u-1", "username": "bob", "roles": [], "policies": ["p"], "status": "active"}


def test_create_sends_what_was_given(agent: FakeAgent, cli: Run) -> None:
    """And nothing else: the agent has the defaults."""
    agent.answer(BOB, 201)
    assert cli("user", "create", "bob", "--policy", "p", "--policy", "q").code == 0
    body = {"username": "bob", "policies": ["p", "q"]}
    assert agent.asked == [("POST", "/api/v1/users", body)]


def test_list_has_every_page(agent: FakeAgent, cli: Run) -> None:
    """Names first."""
    agent.answer({"users": [BOB], "cursor": "c"})
    agent.answer({"users": [BOB | {"username": "eve"}], "cursor": ""})
    assert [line.split()[0] for line in cli("user", "list").out.splitlines()[1:]] == ["bob", "eve"]


def test_a_user_is_found_by_name(agent: FakeAgent, cli: Run) -> None:
    """The API knows him by id."""
    agent.answer({"users": [BOB], "cursor": ""})
    assert cli("user", "get", "bob", "-o", "json").json == BOB
    agent.answer({"users": [BOB], "cursor": ""})
    agent.answer(None, 204)
    assert cli("user", "delete", "bob", "--yes").code == 0
    assert agent.asked[-1] == ("DELETE", "/api/v1/users/u-1", None)


def test_a_user_who_is_not_there_is_3(agent: FakeAgent, cli: Run) -> None:
    """With his name."""
    agent.answer({"users": [], "cursor": ""})
    done = cli("user", "delete", "eve")
    assert done.code == 3
    assert "no user eve" in done.err


def test_update_replaces_what_was_given(agent: FakeAgent, cli: Run) -> None:
    """An empty policy takes all away; what is left out is not sent."""
    agent.answer({"users": [BOB], "cursor": ""})
    agent.answer(BOB)
    assert cli("user", "update", "bob", "--disable", "--policy", "").code == 0
    body = {"status": "disabled", "policies": []}
    assert agent.asked[-1] == ("PATCH", "/api/v1/users/u-1", body)


def test_an_update_of_nothing_is_wrong_usage(agent: FakeAgent, cli: Run) -> None:
    """Nothing is asked."""
    assert cli("user", "update", "bob").code == 64
    assert agent.seen == []
