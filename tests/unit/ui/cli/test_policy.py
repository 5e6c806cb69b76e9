from pathlib import Path
from typing import Any

from tests.unit.ui.cli.conftest import FakeAgent, Run

POLICY = {"name": "p", "rules": []}


def test_policies_are_json_and_lists_say_whose_they_are(agent: FakeAgent, cli: Run) -> None:
    """What is read can be written back."""
    names = {"policies": ["a", "b"], "local": ["a", "b"], "control_plane": ["b"]}
    for answer in (POLICY, {"root": True}, names, names, None):
        agent.answer(answer)
    assert cli("policy", "get", "p").json == POLICY
    assert cli("policy", "get", "--effective").json == {"root": True}
    lines = cli("policy", "list").out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        ["name", "source"], ["a", "local"], ["b", "local, control_plane"],
    ]  # fmt: skip
    assert cli("policy", "list", "-o", "json").json[1]["source"] == ["local", "control_plane"]
    assert cli("policy", "delete", "p", "--yes").code == 0


HCL = 'path "secret/data/app/*" {\n  capabilities = ["read"]\n}\n'


def test_a_policy_in_vaults_language_is_shown_and_put_as_it_is(
    agent: FakeAgent, cli: Run, tmp_path: Path
) -> None:
    """A file that is no JSON is HCL, and so is JSON with Vault's `path`; -o json has all fields."""
    stored = {"name": "p", "acl": HCL, "version": 2}
    agent.answer(stored)
    assert cli("policy", "get", "p").out == HCL
    agent.answer(stored)
    assert cli("policy", "get", "p", "-o", "json").json == stored
    vault_json = '{"path": {"a": {"capabilities": ["read"]}}}'
    for number, text in enumerate((HCL, vault_json)):
        file = tmp_path / str(number)
        file.write_text(text)
        agent.answer({"name": "p"})
        assert cli("policy", "put", "p", "--file", str(file)).code == 0
        assert agent.seen[-1].body == {"name": "p", "acl": text.removesuffix("\n")}


def test_a_policy_of_the_control_plane_is_told_as_that(agent: FakeAgent, cli: Run) -> None:
    """Beside the document, which has no such field."""
    agent.answer(POLICY | {"source": "control_plane"})
    done = cli("policy", "get", "p")
    assert done.json == POLICY
    assert "p is a policy of the control plane" in done.err


def test_check_names_policies_that_do_not_exist(agent: FakeAgent, cli: Run) -> None:
    """To people as a warning; programs get the field."""
    answer = {"allowed": True, "rule": "p/rules[0]", "unknown": ["nosuch"]}
    words = ("policy", "check", "read", "secret/a", "--policy", "p", "--policy", "nosuch")
    agent.answer(answer)
    done = cli(*words)
    assert "Warning: no policy nosuch" in done.err
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


FOUND: dict[str, Any] = {
    "since": "2027-01-14T08:00:00Z",
    "until": "2027-01-15T08:00:00Z",
    "reached": "2027-01-14T08:00:00Z",
    "stopped": "",
    "records": 9,
    "accesses": 4,
    "unchanged": 3,
    "denied": 1,
    "allowed": 0,
    "undecided": {},
    "drifted": 0,
    "changes": [
        {
            "allowed": False,
            "count": 1,
            "actor_name": "ann",
            "operation": "secret.read",
            "path": "secret/app/db",
            "rule": "",
            "rule_now": "app/rules[0]",
            "last": "2027-01-15T07:00:00Z",
        }
    ],
    "others": 0,
}


def test_a_candidate_is_sent_and_its_changes_are_shown(
    agent: FakeAgent, cli: Run, tmp_path: Path
) -> None:
    """A policy to write, policies to delete and a bundle; the document gets the name."""
    bundle = tmp_path / "bundle.json"
    bundle.write_text('[{"name": "central"}]')
    agent.answer(FOUND)
    done = cli(
        "policy", "replay", "app", "--delete", "old", "--bundle", str(bundle),
        "--since", "2027-01-13T08:00:00Z",
        stdin='{"rules": []}',
    )  # fmt: skip
    assert done.code == 0
    (seen,) = agent.seen
    assert (seen.method, seen.path) == ("POST", "/api/v1/policies-replay")
    assert seen.body["write"] == [{"rules": [], "name": "app"}]
    assert (seen.body["delete"], seen.body["since"]) == (["old"], "2027-01-13T08:00:00Z")
    assert seen.body["bundle"] == [{"name": "central"}]
    assert "secret/app/db" in done.out
    assert "denied" in done.out


def test_without_a_candidate_the_policies_in_force_are_asked(agent: FakeAgent, cli: Run) -> None:
    """That shows what has drifted; JSON is the whole answer."""
    agent.answer(FOUND)
    assert cli("policy", "replay", "-o", "json").json == FOUND
    assert set(agent.seen[0].body) == {"since", "limit"}


def test_what_was_not_looked_at_is_said(agent: FakeAgent, cli: Run) -> None:
    """On stderr, beside the result."""
    agent.answer(FOUND | {"stopped": "records"})
    assert "not everything" in cli("policy", "replay").err


def test_what_makes_no_sense_is_not_sent(agent: FakeAgent, cli: Run, tmp_path: Path) -> None:
    """A document without a name, one that is no object, a bundle that is no list."""
    file = tmp_path / "p.json"
    file.write_text("[]")
    assert cli("policy", "replay", "--file", str(file)).code != 0
    assert cli("policy", "replay", "p", "--file", str(file)).code == 64
    file.write_text("{}")
    assert cli("policy", "replay", "--bundle", str(file)).code == 64
    assert agent.seen == []
