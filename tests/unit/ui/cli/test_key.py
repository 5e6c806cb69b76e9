from tests.unit.ui.cli.conftest import FakeAgent, Run

KEY = {"id": "k1", "name": "laptop", "status": "active", "uses": 0}


def test_a_key_is_shown_with_a_warning_beside_it(agent: FakeAgent, cli: Run) -> None:
    """Once; stdout has nothing but the result."""
    agent.answer(KEY | {"key": "fh_k1_x"}, 201)
    done = cli("key", "create", "bob", "laptop", "--allow", "read,list:secret/*", "-o", "json")
    assert done.json["key"] == "fh_k1_x"
    assert "cannot be shown again" in done.err
    permissions = [{"capabilities": ["read", "list"], "paths": ["secret/*"]}]
    body = {"user": "bob", "name": "laptop", "permissions": permissions}
    assert agent.asked == [("POST", "/api/v1/keys", body)]


def test_a_permission_without_a_path_is_wrong_usage(agent: FakeAgent, cli: Run) -> None:
    """It must not become a key that may do everything."""
    assert cli("key", "create", "bob", "laptop", "--allow", "read").code == 64
    assert agent.seen == []


def test_a_script_gets_the_key_alone(agent: FakeAgent, cli: Run) -> None:
    """As it is, and nothing beside it."""
    agent.answer(KEY | {"key": "fh_k1_x"}, 201)
    done = cli("key", "create", "bob", "laptop", "--raw")
    assert (done.out, done.err) == ("fh_k1_x\n", "")


def test_a_name_in_the_place_of_an_id_is_told_where_ids_are(agent: FakeAgent, cli: Run) -> None:
    """`create` takes a name, these take an id."""
    for command in ("get", "revoke"):
        agent.answer({"type": "not_found", "message": "no such API key"}, 404)
        done = cli("key", command, "laptop")
        assert (done.code, "`freehold key list USER`" in done.err) == (3, True)
