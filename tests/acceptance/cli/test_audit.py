import re

from tests.acceptance.agent import Agent
from tests.acceptance.cli.conftest import Command, decoded

PATIENCE = 60  # queries


def test_what_was_done_is_found(cli: Command) -> None:
    """By path, result and request; a refusal names its request."""
    cli("secret", "put", "secret/a", stdin="x")
    done = cli("secret", "get", "secret/nosuch", code=3)
    request = done.stderr.rpartition("(request ")[2].rstrip(")\n")
    events = []
    for _ in range(PATIENCE):  # the index follows the log
        if events := decoded(cli("audit", "query", "--request", request, "-o", "json")):
            break
    [event] = events
    assert (event["path"], event["result"]) == ("secret/nosuch", "failed")
    assert event["user_agent"] == "freehold-cli"
    found = decoded(cli("audit", "query", "--path", "secret/a", "-o", "json"))
    assert {event["phase"] for event in found} == {"intent", "outcome"}
    assert cli("audit", "hash", stdin="x").stdout.startswith("hmac-sha256:")


def test_a_proof_holds_without_agent_and_log(cli: Command, agent: Agent) -> None:
    """And no longer when it is changed."""
    cli("secret", "put", "secret/a", stdin="x")
    key = cli("audit", "key", "get", "--log", str(agent.audit_log)).stdout.strip()
    proof = cli("audit", "prove", "3").stdout
    assert decoded(cli("audit", "check", "--key", key, stdin=proof))["seq"] == 3
    cli("audit", "check", "--key", key, stdin=proof.replace('"seq": 3', '"seq": 2'), code=1)


def test_tampering_is_found_and_placed(cli: Command, agent: Agent) -> None:
    """An edit, a deletion, an insertion and a cut, each in a log of an agent that has stopped."""
    cli("secret", "put", "secret/a", stdin="x")
    cli("secret", "get", "secret/a")
    agent.stop()
    log = agent.audit_log
    whole = log.read_bytes()
    words = ("audit", "verify", "--log", str(log))
    assert decoded(cli(*words, "-o", "json"))["size"] > 0
    lines = whole.splitlines(keepends=True)
    k = next(i for i, line in enumerate(lines) if b'"root"' in line)
    for name, changed in {
        "edit": [*lines[:k], lines[k].replace(b"root", b"boot"), *lines[k + 1 :]],
        "deletion": [*lines[:k], *lines[k + 1 :]],
        "insertion": [*lines[:k], lines[k - 1], *lines[k:]],
        "reorder": [*lines[:k], lines[k + 1], lines[k], *lines[k + 2 :]],
    }.items():
        assert changed != lines, name
        log.write_bytes(b"".join(changed))
        done = cli(*words, code=1)
        place = rf"audit\.log, line ({k + 1}|{k + 2}), record \d"
        assert re.search(place, done.stderr), (name, done.stderr)
    log.write_bytes(b"".join(lines[:-1]))
    cli(*words, code=1)
    log.write_bytes(whole)
    cli(*words)
