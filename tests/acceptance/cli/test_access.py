import json
from pathlib import Path

from tests.acceptance.agent import Agent
from tests.acceptance.cli.conftest import Command, commands, decoded

READ_APP = {
    "rules": [
        {"effect": "allow", "paths": ["secret/app/*"], "capabilities": ["read", "list"]},
        {"effect": "deny", "paths": ["secret/app/root"], "capabilities": ["*"]},
    ]
}


def test_a_user_may_what_his_policy_allows(
    shared_agent: Agent, shared: Command, tmp_path: Path
) -> None:
    """From policy, role and user to a key that reads one folder, until it is revoked."""
    shared("secret", "put", "secret/app/db", stdin="x")
    shared("secret", "put", "secret/app/root", stdin="x")
    shared("secret", "put", "secret/other", stdin="x")
    shared("policy", "put", "app-read", stdin=json.dumps(READ_APP))
    shared("role", "put", "reader", "--policy", "app-read")
    shared("user", "create", "ann", "--role", "reader")
    made = decoded(shared("key", "create", "ann", "laptop", "-o", "json"))
    ann = commands(shared_agent, tmp_path, made["key"])

    assert ann("secret", "get", "secret/app/db", "--raw").stdout == "x\n"
    for words in (("get", "secret/app/root"), ("get", "secret/other"), ("delete", "secret/app/db")):
        ann("secret", *words, code=4)
    ann("secret", "put", "secret/app/db", stdin="y", code=4)
    ann("user", "list", code=4)
    listed = decoded(ann("secret", "list", "secret/app", "-o", "json"))
    assert [secret["name"] for secret in listed] == ["secret/app/db"]

    allowed = shared("policy", "check", "read", "secret/app/db", "--user", "ann", "-o", "json")
    assert decoded(allowed)["rule"] == "app-read/rules[0]"
    refused = shared("policy", "check", "read", "secret/app/root", "--user", "ann", code=4)
    assert "app-read/rules[1]" in refused.stdout

    [key] = decoded(shared("key", "list", "ann", "-o", "json"))
    assert key["uses"] >= 1
    shared("user", "update", "ann", "--disable")
    ann("secret", "get", "secret/app/db", code=4)
    shared("user", "update", "ann", "--enable")
    ann("secret", "get", "secret/app/db")
    shared("key", "revoke", made["id"])
    ann("secret", "get", "secret/app/db", code=4)


def test_a_user_hears_what_he_lacks_and_asks_beforehand(
    shared_agent: Agent, shared: Command, tmp_path: Path
) -> None:
    """Path and capability, alike whether the secret is there; for others it takes a policy."""
    shared("secret", "put", "secret/held/there", stdin="x")
    shared("policy", "put", "cas-read", stdin=json.dumps(READ_APP))
    shared("user", "create", "cas", "--policy", "cas-read", "--policy", "gone")
    made = decoded(shared("key", "create", "cas", "laptop", "-o", "json"))
    cas = commands(shared_agent, tmp_path, made["key"])

    for name in ("there", "nowhere"):
        path = f"secret/held/{name}"
        told = cas("secret", "get", path, code=4).stderr
        assert f"permission denied: read on {path} is not allowed" in told
        told = cas("secret", "put", path, stdin="y", code=4).stderr
        assert f"permission denied: create or update on {path} is not allowed" in told

    assert decoded(cas("policy", "check", "read", "secret/app/db", "-o", "json"))["allowed"]
    refused = decoded(cas("policy", "check", "read", "secret/app/root", "-o", "json", code=4))
    assert (refused["rule"], refused["unknown"]) == ("cas-read/rules[1]", ["gone"])
    for more in (("--user", "cas"), ("--policy", "root"), ("--ip", "10.0.0.1")):
        told = cas("policy", "check", "read", "secret/app/db", *more, code=4).stderr
        assert "read on sys/policies-dry-run is not allowed" in told
    wrong = cas("policy", "check", "reed", "secret/app/db", code=64).stderr
    assert "'reed' is not one of" in wrong

    shared("user", "delete", "cas", "--yes")
    found = decoded(shared("audit", "query", "--actor", "cas", "-o", "json"))
    assert {event["actor_name"] for event in found} == {"cas"}
    by_id = decoded(shared("audit", "query", "--actor", found[0]["actor_id"], "-o", "json"))
    assert [event["seq"] for event in by_id] == [event["seq"] for event in found]


def test_login_keeps_a_token_until_logout(
    shared_agent: Agent, shared: Command, tmp_path: Path
) -> None:
    """A file of its owner only; a wrong token is not kept."""
    made = decoded(shared("token", "create", "--ttl", "1h", "-o", "json"))
    nobody = commands(shared_agent, tmp_path, "")
    nobody("secret", "list", code=4)
    nobody("login", stdin="wrong\n", code=4)
    assert not (tmp_path / ".freehold-token").exists()
    nobody("login", stdin=f"{made['token']}\n")
    assert (tmp_path / ".freehold-token").stat().st_mode & 0o777 == 0o600
    assert decoded(nobody("token", "get", "-o", "json"))["accessor"] == made["accessor"]
    nobody("token", "renew")
    nobody("token", "revoke", "--self")
    nobody("secret", "list", code=4)
    nobody("logout")
    assert not (tmp_path / ".freehold-token").exists()


def test_tokens_end_with_their_parent(shared_agent: Agent, shared: Command, tmp_path: Path) -> None:
    """By accessor, or by the text from stdin."""
    parent = decoded(shared("token", "create", "--ttl", "1h", "-o", "json"))
    as_parent = commands(shared_agent, tmp_path, parent["token"])
    child = decoded(as_parent("token", "create", "--ttl", "1h", "-o", "json"))
    assert child["accessor"] in shared("token", "list").stdout.split()
    shared("token", "get", "--stdin", stdin=child["token"])
    shared("token", "revoke", parent["accessor"])
    shared("token", "get", child["accessor"], code=3)


def test_a_mount_is_made_and_erased(shared: Command) -> None:
    """With what was in it."""
    shared("mount", "create", "kv1", "--version", "1", "--description", "plain")
    shared("secret", "put", "kv1/a", stdin="x")
    assert decoded(shared("mount", "get", "kv1", "-o", "json"))["version"] == 1
    shared("mount", "update", "secret", "--max-versions", "7")
    assert "7" in shared("mount", "list").stdout
    shared("mount", "delete", "kv1", "--yes")
    shared("secret", "get", "kv1/a", code=3)
