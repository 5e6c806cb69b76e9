from tests.unit.ui.cli.conftest import FakeAgent, Run

OPS = {"name": "ops", "policies": ["p"], "description": ""}


def test_a_role_is_written_shown_listed_and_deleted(agent: FakeAgent, cli: Run) -> None:
    """Each command is one request."""
    for answer in (OPS, OPS, {"roles": [OPS]}, None):
        agent.answer(answer)
    assert cli("role", "put", "ops", "--policy", "p").code == 0
    assert cli("role", "get", "ops", "-o", "json").json == OPS
    assert cli("role", "list").out.splitlines()[1].split() == ["ops", '["p"]']
    assert cli("role", "delete", "ops", "--yes").code == 0
    assert agent.asked == [
        ("PUT", "/api/v1/roles/ops", {"policies": ["p"], "description": ""}),
        ("GET", "/api/v1/roles/ops", None),
        ("GET", "/api/v1/roles", None),
        ("DELETE", "/api/v1/roles/ops", None),
    ]
