from tests.unit.ui.cli.conftest import FakeAgent, Run

MOUNT = {"path": "kv/", "type": "kv", "version": 1}


def test_mounts_are_made_shown_changed_and_listed(agent: FakeAgent, cli: Run) -> None:
    """With or without the closing slash; what is left out is not sent."""
    for answer in (MOUNT, MOUNT, MOUNT, {"mounts": [MOUNT]}):
        agent.answer(answer)
    assert cli("mount", "create", "kv/", "--version", "1").code == 0
    assert cli("mount", "get", "kv", "-o", "json").json == MOUNT
    assert cli("mount", "update", "kv", "--no-cas-required", "--max-versions", "0").code == 0
    assert cli("mount", "list").out.splitlines()[1].split()[:3] == ["kv/", "kv", "1"]
    assert agent.asked == [
        ("POST", "/api/v1/system/mounts/kv", {"version": 1}),
        ("GET", "/api/v1/system/mounts/kv", None),
        ("PATCH", "/api/v1/system/mounts/kv", {"cas_required": False, "max_versions": 0}),
        ("GET", "/api/v1/system/mounts", None),
    ]


def test_a_mount_is_erased_only_after_a_yes(agent: FakeAgent, cli: Run) -> None:
    """No answer is no; without a terminal nobody can answer."""
    assert cli("mount", "delete", "kv", stdin="n\n", terminal=True).code == 130
    assert cli("mount", "delete", "kv", terminal=True).code == 130
    assert cli("mount", "delete", "kv", stdin="y\n").code == 64
    assert agent.seen == []
    agent.answer(None, 204)
    assert cli("mount", "delete", "kv", "--yes").code == 0
    assert agent.asked == [("DELETE", "/api/v1/system/mounts/kv", None)]
