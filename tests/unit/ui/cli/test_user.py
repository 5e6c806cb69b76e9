from tests.unit.ui.cli.conftest import FakeAgent, Run

BOB = {"id": "u-1", "username": "bob", "roles": [], "policies": ["p"], "status": "active"}


def test_list_has_every_page(agent: FakeAgent, cli: Run) -> None:
    """Names first."""
    agent.answer({"users": [BOB], "cursor": "c"})
    agent.answer({"users": [BOB | {"username": "eve"}], "cursor": ""})
    assert [line.split()[0] for line in cli("user", "list").out.splitlines()[1:]] == ["bob", "eve"]


def test_a_user_who_is_not_there_is_3(agent: FakeAgent, cli: Run) -> None:
    """With his name."""
    agent.answer({"users": [], "cursor": ""})
    done = cli("user", "delete", "eve")
    assert done.code == 3
    assert "no user eve" in done.err


def test_an_update_of_nothing_is_wrong_usage(agent: FakeAgent, cli: Run) -> None:
    """Nothing is asked."""
    assert cli("user", "update", "bob").code == 64
    assert agent.seen == []
