"""An agent rotates the users of a real PostgreSQL, while an application logs in all the time."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.agent import Agent, Answer, dev_agent, running
from tests.acceptance.command import freehold
from tests.acceptance.workers.waiting import await_true
from tests.contract.rotation.targets import CANARY, PostgresqlTarget
from tests.support.databases import shared_server

PATH: Final = "db/app"
GRACE_SECONDS: Final = 1.0
GRACE: Final = f"{GRACE_SECONDS:g}s"


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def agent(request: pytest.FixtureRequest, folder: Path) -> Agent:
    """An agent that is down."""
    return dev_agent(folder, workers=request.param)


@pytest.fixture
def target() -> PostgresqlTarget:
    """Two users that take turns, of whom none is there yet."""
    return PostgresqlTarget(shared_server("postgresql"))  # type: ignore[arg-type]


def policy(target: PostgresqlTarget, **more: Any) -> dict[str, Any]:
    """For the two users."""
    config = {"users": target.names, "owner": target.owner, "member_of": ["with_password"]}
    return {
        "rotator": "postgresql",
        "config": config,
        "connection": "secret/admin",
        "grace": GRACE,
        "retry": {"attempts": 5, "base": "1s", "cap": "2s"},
        **more,
    }


def prepare(agent: Agent, target: PostgresqlTarget) -> None:
    """The first user and its secret, what the agent connects with, and the policy."""
    name = target.names[0]
    target.server.run(f"CREATE ROLE {name} LOGIN PASSWORD 'first'")
    target.server.run(f"GRANT with_password TO {name}")
    target.server.run(f"GRANT {name} TO rotation_admin WITH ADMIN OPTION")
    value = {"username": name, "password": "first", "host": "db"}
    made = agent.call("POST", "/api/v1/secrets", {"name": f"secret/{PATH}", "value": value})
    assert made.status == 201, made.body
    admin = dict(target.connection())
    made = agent.call("POST", "/api/v1/secrets", {"name": "secret/admin", "value": admin})
    assert made.status == 201, made.body
    written = agent.call("PUT", f"/api/v1/rotation/secret/{PATH}", policy(target))
    assert written.status == 204, written.body


def latest(agent: Agent) -> dict[str, Any]:
    """The latest rotation."""
    shown = agent.call("GET", f"/api/v1/rotation/secret/{PATH}")
    assert shown.status == 200, shown.body
    found: dict[str, Any] = shown.json["rotations"][0]
    return found


def value(agent: Agent) -> dict[str, Any]:
    """What an application gets."""
    read = agent.call("GET", f"/api/v1/secrets/secret/{PATH}")
    assert read.status == 200, read.body
    found: dict[str, Any] = read.json["value"]
    return found


@contextmanager
def application(agent: Agent, target: PostgresqlTarget) -> Iterator[list[bool]]:
    """One that reads the secret and logs in, again and again; whether it was let in.

    Who is slower than the grace period is promised nothing: that is left out.
    """
    logins: list[bool] = []
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            asked = time.monotonic()
            is_let_in = target.accepts(value(agent))
            if is_let_in or time.monotonic() < asked + GRACE_SECONDS:
                logins.append(is_let_in)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield logins
    finally:
        done.set()
        thread.join()


def test_no_login_fails_while_users_take_turns(agent: Agent, target: PostgresqlTarget) -> None:
    """Three rotations; each time the old user is refused afterwards, and all is on record."""
    with running(agent):
        prepare(agent, target)
        before = value(agent)
        with application(agent, target) as logins:
            for number in (1, 2, 3):
                begun = agent.call("POST", f"/api/v1/rotate/secret/{PATH}")
                assert begun.status == 202, begun.body
                again = agent.call("POST", f"/api/v1/rotate/secret/{PATH}")
                assert again.status == 409
                await_true(lambda: latest(agent)["state"] == "retired")
                assert latest(agent)["number"] == number
                after = value(agent)
                assert after["username"] != before["username"]
                assert after["host"] == "db"
                assert not target.accepts(before)
                before = after
        assert len(logins) > 3
        assert all(logins)
        log = agent.audit_log.read_text()
        assert log.count('"rotation.step"') >= 3 * 6
        assert CANARY not in log
        assert before["password"] not in log
        assert CANARY not in agent.output()
    assert agent.verify().returncode == 0


def test_a_target_that_is_down_is_tried_again_and_then_left_as_it_was(
    agent: Agent, target: PostgresqlTarget
) -> None:
    """The secret keeps its value, and the next rotation goes through."""
    with running(agent):
        prepare(agent, target)
        before = value(agent)
        admin = dict(target.connection()) | {"password": "wrong"}
        changed = agent.call("PUT", "/api/v1/secrets/secret/admin", {"value": admin})
        assert changed.status == 200, changed.body
        assert agent.call("POST", f"/api/v1/rotate/secret/{PATH}").status == 202
        await_true(lambda: latest(agent)["state"] in {"undone", "stuck"})
        failed = latest(agent)
        assert failed["error_code"]
        assert value(agent) == before
        assert target.accepts(before)
        changed = agent.call(
            "PUT", "/api/v1/secrets/secret/admin", {"value": dict(target.connection())}
        )
        assert changed.status == 200
        if failed["state"] == "stuck":
            assert agent.call("POST", f"/api/v1/rotation-resume/secret/{PATH}").status == 200
            await_true(lambda: latest(agent)["state"] == "undone")
        assert agent.call("POST", f"/api/v1/rotate/secret/{PATH}").status == 202
        await_true(lambda: latest(agent)["state"] == "retired")


def test_an_agent_that_is_killed_goes_on_where_it_was(
    agent: Agent, target: PostgresqlTarget
) -> None:
    """Whenever: there is one rotation, and what the application has works."""
    with running(agent):
        prepare(agent, target)
        assert agent.call("POST", f"/api/v1/rotate/secret/{PATH}").status == 202
    for _ in range(4):
        agent.start()
        agent.kill()
    with running(agent):
        await_true(lambda: latest(agent)["state"] == "retired")
        assert latest(agent)["number"] == 1
        assert target.accepts(value(agent))


def client(agent: Agent, name: str, *paths: str) -> str:
    """An application with an API key that may read these secrets, and has read each once."""
    rule = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
    made = agent.call("PUT", f"/api/v1/policies/{name}", {"rules": [rule]})
    assert made.status == 200, made.body
    made = agent.call("POST", "/api/v1/users", {"username": name, "policies": [name]})
    assert made.status == 201, made.body
    key: str = agent.call("POST", "/api/v1/keys", {"user": name, "name": "app"}).json["key"]
    for path in paths:
        assert fetch(agent, key, path).status == 200
    return key


def fetch(agent: Agent, key: str, path: str = f"secret/{PATH}") -> Answer:
    """A read with this API key."""
    return agent.call("GET", f"/api/v1/secrets/{path}", token=key)


def test_a_slow_client_is_waited_for_and_named(agent: Agent, target: PostgresqlTarget) -> None:
    """Until the grace period is over; then it is on record who lagged.

    What was fetched is stored with the agent's stop, as it is every ten seconds.
    """
    with running(agent):
        prepare(agent, target)
        keys = [client(agent, name, f"secret/{PATH}") for name in ("quick", "slow")]
        before = fetch(agent, keys[0]).json["value"]
    with running(agent):
        assert agent.call("POST", f"/api/v1/rotate/secret/{PATH}").status == 202
        await_true(lambda: latest(agent)["state"] == "retired")
        assert latest(agent)["error_code"] == "adoption_incomplete"
        assert latest(agent)["error"].endswith("was not fetched by quick, slow")
        assert not target.accepts(before)
        changed = agent.call("PUT", f"/api/v1/rotation/secret/{PATH}", policy(target, grace="1h"))
        assert changed.status == 204
        before = fetch(agent, keys[0]).json["value"]
        assert agent.call("POST", f"/api/v1/rotate/secret/{PATH}").status == 202
        await_true(lambda: latest(agent)["state"] == "current")
        assert fetch(agent, keys[0]).json["value"] != before
        adoption = latest(agent)["adoption"]
        assert (adoption["state"], adoption["reason"]) == ("waiting", "")
        # the agent may just have stored what was fetched, as it does by itself
        assert adoption["laggards"] in (["quick", "slow"], ["slow"])
    with running(agent):
        adoption = latest(agent)["adoption"]
        assert (adoption["laggards"], adoption["fetched"]) == (["slow"], 1)
        assert target.accepts(before)
        where = {"FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token}
        shown = freehold("rotation", "status", environment=where).stdout
        assert "slow" in shown
        assert "quick" not in shown.replace("fetched by quick, slow", "")


def test_a_compromised_identity(agent: Agent, target: PostgresqlTarget, folder: Path) -> None:
    """The plan, its beginning, what is left to do by hand, and the end; run again it goes on."""
    paths = (f"secret/{PATH}", "secret/admin", "secret/hand")

    with running(agent):
        prepare(agent, target)
        made = agent.call("POST", "/api/v1/secrets", {"name": "secret/hand", "value": "old"})
        assert made.status == 201
        key = client(agent, "ann", *paths)
    with running(agent):
        where = {"FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token, "HOME": str(folder)}

        def cli(*arguments: str) -> tuple[int, Any, str]:
            done = freehold(*arguments, "-o", "json", environment=where)
            return done.returncode, json.loads(done.stdout or "null"), done.stderr

        code, consumers, _ = cli("secret", "consumers", f"secret/{PATH}")
        assert code == 0
        assert [(one["kind"], one["name"]) for one in consumers["consumers"]] == [("key", "ann")]
        assert cli("secret", "consumers", "secret/admin")[1]["dependents"] == [
            {"kind": "rotation", "path": f"secret/{PATH}"}
        ]
        readers = {one["name"]: one["rule"] for one in cli("secret", "readers", paths[0])[1]}
        assert readers == {"ann": "ann/rules[0]", "root": "root"}
        code, plan, told = cli("identity", "compromise", "ann")
        assert code == 0
        assert "nothing was done" in told
        assert [one["path"] for one in plan] == ["secret/admin", f"secret/{PATH}", "secret/hand"]
        assert fetch(agent, key).status == 200
        code, plan, told = cli("identity", "compromise", "ann", "--yes")
        assert code == 1
        assert "secret/hand has no rotator" in told
        assert "secret/admin has no rotator" in told
        assert fetch(agent, key).status == 401
        assert latest(agent)["cause"] == "compromise"
        await_true(lambda: latest(agent)["state"] == "retired")
        for path in ("secret/admin", "secret/hand"):
            held = agent.call("GET", f"/api/v1/secrets/{path}").json["value"]
            assert agent.call("PUT", f"/api/v1/secrets/{path}", {"value": held}).status == 200
        code, plan, _ = cli("identity", "compromise", "ann", "--yes")
        assert (code, {one["state"] for one in plan}) == (0, {"done"})
        assert latest(agent)["number"] == 1, "it is not begun twice"
        assert cli("identity", "compromise", "nobody", "--yes")[0] == 3


def test_the_commands(agent: Agent, target: PostgresqlTarget, folder: Path) -> None:
    """As a person uses them."""
    file = folder / "policy.json"
    file.write_text(json.dumps(policy(target, interval="30d")))
    with running(agent):
        prepare(agent, target)

        where = {"FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token, "HOME": str(folder)}

        def cli(*arguments: str) -> Any:
            done = freehold("rotation", *arguments, "-o", "json", environment=where)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout.strip() else None

        cli("set", f"secret/{PATH}", str(file))
        assert [row["path"] for row in cli("plan", "--days", "31")] == [f"secret/{PATH}"]
        cli("run", f"secret/{PATH}")
        await_true(lambda: latest(agent)["state"] == "retired")
        assert cli("status", "--state", "retired")[0]["number"] == 1
        assert cli("history", f"secret/{PATH}")["policy"]["interval"] == "720h0m0s"
        cli("pause")
        assert cli("overview")["paused"] is True
        cli("continue")
        assert "postgresql" in cli("overview")["rotators"]
        cli("unset", f"secret/{PATH}", "--yes")
        assert cli("history", f"secret/{PATH}")["policy"] is None


def test_a_folder_has_a_schedule_and_policies_restrict_who_rotates(folder: Path) -> None:
    """What is there and what comes later is due; what is denied fails until it is not."""
    agent = dev_agent(folder, workers=1)
    with running(agent):

        def call(method: str, path: str, body: object, status: int) -> None:
            answered = agent.call(method, f"/api/v1/{path}", body)
            assert answered.status == status, answered.body

        def plan() -> list[tuple[str, str]]:
            found = agent.call("GET", "/api/v1/rotations/plan?before=2100-01-01T00:00:00Z").json
            return [(each["path"], each["source"]) for each in found["secrets"]]

        def write(name: str) -> None:
            call("POST", "secrets", {"name": name, "value": {"password": "first"}}, 201)

        write("secret/tokens/a")
        body = {"rotator": "generated", "interval": "30d", "grace": "1s", "retry": {"base": "1s"}}
        call("PUT", "rotation/secret/tokens/", body, 204)
        await_true(lambda: plan() == [("secret/tokens/a", "secret/tokens/")])
        write("secret/tokens/b")
        # In the order of their times, which spread: either may be first.
        assert sorted(plan()) == [(f"secret/tokens/{name}", "secret/tokens/") for name in "ab"]
        deny = {"effect": "deny", "paths": ["secret/tokens/*"], "capabilities": ["update"]}
        call("PUT", "policies/no-tokens", {"rules": [deny]}, 200)
        call("PUT", "roles/service-rotation", {"policies": ["no-tokens"]}, 200)
        call("POST", "rotate/secret/tokens/a", None, 202)

        def latest() -> dict[str, Any]:
            shown = agent.call("GET", "/api/v1/rotation/secret/tokens/a").json
            found: dict[str, Any] = shown["rotations"][0]
            return found

        await_true(lambda: latest()["error_code"] == "rotation_denied")
        assert latest()["state"] == "planned"
        assert "service:rotation: permission denied: update" in latest()["error"]
        call("DELETE", "roles/service-rotation", None, 204)
        await_true(lambda: latest()["state"] == "retired")
        call("DELETE", "rotation/secret/tokens/", None, 204)
        await_true(lambda: plan() == [])
        log = agent.audit_log.read_text()
        assert "no-tokens/rules[0]" in log
        assert log.count('"rotation.refuse"') >= 2
    assert agent.verify().returncode == 0
