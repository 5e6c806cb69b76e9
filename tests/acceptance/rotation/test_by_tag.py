"""Many secrets are rotated by their tag, over the API and by the command."""

import json
from pathlib import Path
from typing import Any, Final

from protocols.instant import HOUR, parse_rfc3339
from tests.acceptance.agent import Agent
from tests.acceptance.command import freehold
from tests.acceptance.workers.waiting import await_true

GENERATED: Final = {"rotator": "generated", "grace": "0s"}


def ok(agent: Agent, method: str, path: str, body: object = None, token: str = "") -> Any:
    """What it answered. Fails for a refusal."""
    answer = agent.call(method, f"/api/v1/{path}", body, token=token or agent.token)
    assert answer.status < 300, answer.body  # success
    return answer.json


def write(agent: Agent, folder: str, count: int) -> list[str]:
    """Secrets in this folder with the tag of its name."""
    names = [f"secret/{folder}/{number}" for number in range(count)]
    for name in names:
        body = {"name": name, "value": {"password": "first"}, "tags": [f"set={folder}"]}
        ok(agent, "POST", "secrets", body)
        ok(agent, "PUT", f"rotation/{name}", GENERATED)
    return names


def test_a_request_that_is_repeated_begins_nothing_twice(shared_agent: Agent) -> None:
    """Page by page; the second time each says which rotation there is."""
    names = write(shared_agent, "paged", 5)
    asked: dict[str, Any] = {"tags": ["set=paged"], "limit": 2}
    dry = ok(shared_agent, "POST", "rotations/run", asked | {"dry_run": True})
    assert [item["outcome"] for item in dry["secrets"]] == ["ready"] * 2
    asked["since"] = dry["since"]
    for _ in range(2):
        begun, cursor = list[dict[str, Any]](), ""
        while True:
            page = ok(shared_agent, "POST", "rotations/run", asked | {"cursor": cursor})
            begun += page["secrets"]
            cursor = page["cursor"]
            if not cursor:
                break
        assert [item["path"] for item in begun] == names
        assert {(item["outcome"], item["number"]) for item in begun} == {("begun", 1)}
        await_true(lambda: not listed(shared_agent, "running=true&tags=set%3Dpaged"))
    assert len(listed(shared_agent, "state=retired&tags=set%3Dpaged")) == len(names)


def listed(agent: Agent, query: str) -> list[dict[str, Any]]:
    """Rotations."""
    found: list[dict[str, Any]] = ok(agent, "GET", f"rotations?{query}")["rotations"]
    return found


def test_what_the_caller_may_not_rotate_is_counted(shared_agent: Agent) -> None:
    """And not begun: each secret is decided on by itself."""
    first, *others = write(shared_agent, "mixed", 3)
    rules = [
        {"effect": "allow", "paths": [first], "capabilities": ["update", "read_metadata"]},
        {"effect": "allow", "paths": [others[0]], "capabilities": ["read_metadata"]},
        {"effect": "allow", "paths": ["secret/mixed/*"], "capabilities": ["list"]},
    ]
    ok(shared_agent, "PUT", "policies/mixed", {"rules": rules})
    token = ok(shared_agent, "POST", "tokens", {"policies": ["mixed"]})["token"]
    found = ok(shared_agent, "POST", "rotations/run", {"tags": ["set=mixed"]}, token)
    assert [(item["path"], item["outcome"], item["code"]) for item in found["secrets"]] == [
        (first, "begun", ""),
        (others[0], "refused", "permission_denied"),
    ]
    assert found["hidden"] == 1
    assert not any(ok(shared_agent, "GET", f"rotation/{name}")["rotations"] for name in others)


def test_the_first_steps_are_spread_over_time(shared_agent: Agent) -> None:
    """Each at one of its own, within what was asked for."""
    names = write(shared_agent, "spread", 3)
    asked = {"prefix": "secret/spread/", "spread": "10h"}
    ok(shared_agent, "POST", "rotations/run", asked)
    rows = [ok(shared_agent, "GET", f"rotation/{name}")["rotations"][0] for name in names]
    waits = [parse_rfc3339(row["next_at"], "") - parse_rfc3339(row["began_at"], "") for row in rows]
    assert len({*waits}) == len(names)
    assert all(0 <= wait < 10 * HOUR for wait in waits)
    refused = shared_agent.call("POST", "/api/v1/rotations/run", asked | {"spread": "8d"})
    assert (refused.status, refused.json["details"]["field"]) == (400, "spread")


def test_the_fields_of_a_policy_are_named_in_errors(shared_agent: Agent) -> None:
    """So that a form shows each error where it belongs."""
    write(shared_agent, "faulty", 1)
    for change, name in (
        ({"interval": "1s"}, "interval"),
        ({"grace": "soon"}, "grace"),
        ({"grace": "9000d"}, "grace"),
        ({"retry": {"attempts": 0}}, "retry.attempts"),
        ({"retry": {"base": "2h", "cap": "1h"}}, "retry.cap"),
        ({"cron": "often"}, "cron"),
        ({"config": {"length": 1}}, "rotator_config"),
        ({"interval": "1h", "cron": "* * * * *"}, "policy"),
    ):
        answer = shared_agent.call("PUT", "/api/v1/rotation/secret/faulty/0", GENERATED | change)
        assert (answer.status, answer.json["details"]["field"]) == (400, name), answer.body


def test_the_command_asks_and_prints_how_to_go_on(shared_agent: Agent, tmp_path: Path) -> None:
    """A dry run first; without a yes nothing begins; what has begun since is left as it is."""
    names = write(shared_agent, "commanded", 2)
    where = {
        "FREEHOLD_ADDR": shared_agent.address,
        "FREEHOLD_TOKEN": shared_agent.token,
        "HOME": str(tmp_path),
    }

    def cli(*arguments: str) -> tuple[Any, str]:
        done = freehold("rotation", *arguments, "-o", "json", environment=where)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    chosen = ("run", "--tag", "set=commanded")
    dry, told = cli(*chosen, "--dry-run")
    assert [item["outcome"] for item in dry] == ["ready", "ready"]
    assert "2 ready" in told
    refused = freehold("rotation", *chosen, environment=where)
    assert refused.returncode != 0
    assert "Rotate 2 now?" in refused.stderr
    done, told = cli(*chosen, "--yes")
    assert [item["path"] for item in done] == names
    since = told.partition("--since ")[2].split()[0]
    again, told = cli(*chosen, "--since", since, "--yes")
    assert {(item["outcome"], item["number"]) for item in again} == {("begun", 1)}
    await_true(lambda: not cli("status", "--running", "--tag", "set=commanded")[0])
    assert cli("plan", "--tag", "set=commanded")[0] == []
