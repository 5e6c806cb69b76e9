"""`freehold mfa`, and how entities and groups are named on the command line."""

from tests.unit.ui.cli.conftest import FakeAgent, Run

ID = "0d8b6dac-18e9-4e10-a637-14f3a1fa845f"
OTHER = "fdc96fb7-fce9-4a2c-8837-add5b54f62b2"


def test_an_enforcement_takes_names_and_ids(agent: FakeAgent, cli: Run) -> None:
    """The API takes ids alone; a name is looked up, an id is not."""
    agent.answer({"entities": [{"id": ID, "name": "ann"}]})
    agent.answer({"groups": [{"id": OTHER, "name": "admins"}], "cursor": ""})
    agent.answer({"name": "people"})
    done = cli(
        "mfa", "enforce", "people", "--entity", "ann", "--entity", OTHER, "--group", "Admins"
    )
    assert done.code == 0
    assert agent.asked[-1] == (
        "PUT",
        "/api/v1/mfa/enforcements/people",
        {"entities": [ID, OTHER], "groups": [OTHER]},
    )


def test_an_entity_that_is_not_there_says_where_login_names_are(agent: FakeAgent, cli: Run) -> None:
    """Whoever a login made an entity of is called otherwise there."""
    agent.answer({"entities": []})
    done = cli("mfa", "reset", "ann", "--yes")
    assert done.code == 3
    assert "no entity ann" in done.err
    assert "`freehold identity alias list`" in done.err


def test_sessions_of_an_id_need_no_list_of_users(agent: FakeAgent, cli: Run) -> None:
    """The right on the sessions is enough then."""
    agent.answer({"sessions": []})
    assert cli("sessions", "list", "--user", ID).code == 0
    assert [asked[1] for asked in agent.asked] == [f"/api/v1/users/{ID}/sessions"]


def test_a_wrap_ttl_that_is_none_is_refused_before_anything_is_sent(
    agent: FakeAgent, cli: Run
) -> None:
    """In the command line's words, not in those of a header."""
    done = cli("--wrap-ttl", "soon", "secret", "get", "secret/a")
    assert done.code == 64
    assert "--wrap-ttl: give" in done.err
    assert agent.seen == []
