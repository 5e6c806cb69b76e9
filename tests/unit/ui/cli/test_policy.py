from pathlib import Path

from tests.unit.ui.cli.conftest import FakeAgent, Run

POLICY = {"name": "p", "rules": []}


def test_a_policy_is_written_from_stdin_or_a_file(
    agent: FakeAgent, cli: Run, tmp_path: Path
) -> None:
    """As the JSON that it is."""
    file = tmp_path / "p.json"
    file.write_text('{"rules": []}')
    for _ in range(2):
        agent.answer({"name": "p", "version": 1})
    assert cli("policy", "write", "p", stdin='{"rules": []}').code == 0
    assert cli("policy", "write", "p", "--file", str(file)).code == 0
    assert agent.asked == [("PUT", "/api/v1/policies/p", {"rules": []})] * 2


def test_what_is_no_json_is_not_sent(agent: FakeAgent, cli: Run) -> None:
    """One line, exit 1."""
    assert cli("policy", "write", "p", stdin="{").code == 1
    assert agent.seen == []


def test_policies_are_json_and_lists_say_whose_they_are(agent: FakeAgent, cli: Run) -> None:
    """What is read can be written back."""
    names = {"policies": ["a", "b"], "local": ["a", "b"], "control_plane": ["b"]}
    for answer in (POLICY, {"root": True}, names, names, None):
        agent.answer(answer)
    assert cli("policy", "read", "p").json == POLICY
    assert cli("policy", "effective").json == {"root": True}
    lines = cli("policy", "list").out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        ["name", "source"], ["a", "local"], ["b", "local, control_plane"],
    ]  # fmt: skip
    assert cli("policy", "list", "-o", "json").json[1]["source"] == ["local", "control_plane"]
    assert cli("policy", "delete", "p").code == 0


def test_a_policy_of_the_control_plane_is_told_as_that(agent: FakeAgent, cli: Run) -> None:
    """Beside the document, which has no such field."""
    agent.answer(POLICY | {"source": "control_plane"})
    done = cli("policy", "read", "p")
    assert done.json == POLICY
    assert "p is a policy of the control plane" in done.err


def test_check_names_policies_that_do_not_exist(agent: FakeAgent, cli: Run) -> None:
    """To people as a warning; programs get the field."""
    answer = {"allowed": True, "rule": "p/rules[0]", "unknown": ["nosuch"]}
    words = ("policy", "check", "read", "secret/a", "--policy", "p", "--policy", "nosuch")
    agent.answer(answer)
    done = cli(*words)
    assert "Warning: there is no policy nosuch" in done.err
    assert "unknown" not in done.out
    agent.answer(answer)
    assert cli(*words, "-o", "json").json == answer


def test_check_tells_by_its_exit_code(agent: FakeAgent, cli: Run) -> None:
    """0: it would be allowed; 4: it would not, and what is missing."""
    agent.answer({"allowed": True, "rule": "p/rules[0]"})
    assert cli("policy", "check", "read", "secret/a", "--user", "bob", "--policy", "p").code == 0
    agent.answer({"allowed": False, "missing": ["no rule"]})
    done = cli("policy", "check", "read", "secret/a")
    assert done.code == 4
    assert "no rule" in done.out
    body = {"capability": "read", "path": "secret/a"}
    assert [seen.body for seen in agent.seen] == [body | {"user": "bob", "policies": ["p"]}, body]
