"""An agent creates users at real servers, and drops each of them when its lease is over."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, running
from tests.acceptance.command import freehold
from tests.acceptance.workers.waiting import await_true
from tests.contract.rotation.targets import CANARY, LeaseTarget, run_target

CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "postgresql": {"roles": ["with_password"]},
    "mysql": {"role": "rotation_role", "host": "localhost"},
    "redis": {"rules": ["~{{name}}:*", "+@read", "+acl|whoami"]},
}
MANY: Final = 20
BRIEF: Final = "8s"
"""Long enough to renew it on a busy machine."""


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LeaseTarget]]:
    """One of each kind, on the servers that the run shares."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(run_target(kind, tmp_path_factory.mktemp("t")))()
            for kind in CONFIGS
        }


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def agent(request: pytest.FixtureRequest, folder: Path) -> Agent:
    """An agent that is down."""
    return dev_agent(folder, workers=request.param)


def prepare(agent: Agent, targets: dict[str, LeaseTarget], **ttls: str) -> None:
    """A connection and a role for each server, by its kind."""
    made = agent.call("POST", "/api/v1/system/mounts/database", {"type": "database"})
    assert made.status == 201, made.body
    for kind, target in targets.items():
        body: dict[str, Any] = {"kind": kind, "value": dict(target.connection())}
        done = agent.call("PUT", f"/api/v1/database-connections/database/{kind}", body)
        assert done.status == 200, done.body
        role = {"connection": kind, "config": CONFIGS[kind], **ttls}
        done = agent.call("PUT", f"/api/v1/database-roles/database/{kind}", role)
        assert done.status == 200, done.body


def create(agent: Agent, kind: str, **body: Any) -> dict[str, Any]:
    """New credentials."""
    made = agent.call("POST", f"/api/v1/credentials/database/{kind}", body)
    assert made.status == 201, made.body
    found: dict[str, Any] = made.json
    return found


def state(agent: Agent, lease: str) -> str:
    """Of a lease."""
    found = agent.call("GET", f"/api/v1/leases/{lease}")
    assert found.status == 200, found.body
    return str(found.json["state"])


def is_over(agent: Agent, lease: str) -> Callable[[], bool]:
    """Whether its user is dropped."""
    return lambda: state(agent, lease) == "revoked"


def test_users_of_all_servers_live_as_long_as_their_leases(
    agent: Agent, targets: dict[str, LeaseTarget]
) -> None:
    """They log in at once; renewed they go on, and expired, revoked or with a token they go."""
    with running(agent):
        prepare(agent, targets)
        made = {}
        for kind, target in targets.items():
            renewed = create(agent, kind, ttl=BRIEF)
            path = f"/api/v1/lease-renew/{renewed['lease']['id']}"
            answer = agent.call("POST", path, {"increment": "1h"})
            assert answer.status == 200, answer.body
            revoked = create(agent, kind)
            assert target.accepts(renewed["value"])
            assert target.accepts(revoked["value"])
            path = f"/api/v1/lease-revoke/{revoked['lease']['id']}"
            answer = agent.call("POST", path, {"sync": True})
            assert answer.status == 204, answer.body
            assert not target.accepts(revoked["value"])
            made[kind] = renewed, create(agent, kind, ttl=BRIEF)
        for kind, (renewed, short) in made.items():  # one that was not renewed is over by then
            await_true(is_over(agent, short["lease"]["id"]))
            assert not targets[kind].accepts(short["value"])
            assert targets[kind].accepts(renewed["value"])
        ended = agent.call("POST", "/api/v1/leases-revoke", {"prefix": "database/creds/"})
        assert (ended.status, ended.json) == (200, {"count": 3, "after": ""})
        await_true(lambda: listed(agent, "revoking").json["leases"] == [])
        log = agent.audit_log.read_text()
        assert CANARY not in log
        assert renewed["value"]["password"] not in log
        assert CANARY not in agent.output()
    assert agent.verify().returncode == 0


def listed(agent: Agent, wanted: str) -> Answer:
    """Leases in a state."""
    return agent.call("GET", f"/api/v1/leases?state={wanted}")


def test_leases_end_with_their_token_also_across_a_kill(
    agent: Agent, targets: dict[str, LeaseTarget]
) -> None:
    """The revocation of the token is on disk: the agent that comes next drops the users."""
    with running(agent):
        prepare(agent, targets)
        token = agent.call("POST", "/api/v1/tokens", {"policies": ["root"]}).json["token"]
        users = [create_as(agent, token) for _ in range(MANY)]
        target = targets["postgresql"]
        assert all(target.accepts(user["value"]) for user in users)
        ended = agent.call("POST", "/api/v1/tokens/revoke", {"token": token})
        assert ended.status in {200, 204}, ended.body
        agent.kill()
        agent.start()
        for user in users:
            await_true(is_over(agent, user["lease"]["id"]))
            assert not target.accepts(user["value"])


def create_as(agent: Agent, token: str) -> dict[str, Any]:
    """New credentials at PostgreSQL, for a token."""
    path = "/api/v1/credentials/database/postgresql"
    made = agent.call("POST", path, {}, token=token)
    assert made.status == 201, made.body
    found: dict[str, Any] = made.json
    return found


def test_the_commands(folder: Path, targets: dict[str, LeaseTarget]) -> None:
    """As a person calls them."""
    agent = dev_agent(folder, workers=1)
    with running(agent):
        prepare(agent, targets)
        made = command(agent, "credentials", "create", "database/redis", "--ttl", "30m")
        lease = made["lease"]["id"]
        assert targets["redis"].accepts(made["value"])
        assert [row["id"] for row in command(agent, "lease", "list")] == [lease]
        assert command(agent, "lease", "show", lease)["state"] == "active"
        assert command(agent, "lease", "renew", lease, "--increment", "1h")["warnings"] == []
        command(agent, "lease", "revoke", lease)
        assert not targets["redis"].accepts(made["value"])
        rows = command(agent, "credentials", "connections", "database")
        assert [row["path"] for row in rows] == [f"database/{kind}" for kind in sorted(CONFIGS)]
        assert len(command(agent, "credentials", "roles", "database")) == len(CONFIGS)
        orphans = command(agent, "credentials", "orphans", "database/redis")
        assert orphans == {"unknown": [], "dropped": []}


def command(agent: Agent, *words: str) -> Any:
    """What a command prints, as JSON."""
    import json

    environment = {
        "HOME": str(agent.folder),
        "FREEHOLD_ADDR": agent.address,
        "FREEHOLD_TOKEN": agent.token,
    }
    done = freehold(*words, "-o", "json", environment=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None
