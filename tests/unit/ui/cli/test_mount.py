from tests.unit.ui.cli.conftest import FakeAgent, Run


def test_a_mount_is_erased_only_after_a_yes(agent: FakeAgent, cli: Run) -> None:
    """No answer is no; without a terminal nobody can answer."""
    assert cli("mount", "delete", "kv", stdin="n\n", terminal=True).code == 130
    assert cli("mount", "delete", "kv", terminal=True).code == 130
    assert cli("mount", "delete", "kv", stdin="y\n").code == 64
    assert agent.seen == []
    agent.answer(None, 204)
    assert cli("mount", "delete", "kv", "--yes").code == 0
    assert agent.asked == [("DELETE", "/api/v1/system/mounts/kv", None)]
