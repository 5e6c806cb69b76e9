"""From an older version of this program to this one: data, backups, links, one agent after another.

And the way back, which is refused by what is to be done.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.upgrade.older import NAME, Older, older_program
from tests.support.polling import await_value
from vault.store.tables import SCHEMA_LEVEL

SHARES = {"secret_shares": 1, "secret_threshold": 1}
LINK = "/api/v1/system/link"
ENFORCEMENT = "/api/v1/mfa/enforcements/people"


@pytest.fixture(scope="module", params=[NAME])
def older() -> Iterator[Older]:
    """The older program; its commit is in the names of the tests."""
    with older_program() as found:
        yield found


def ok(agent: Agent, method: str, path: str, body: object = None, **more: Any) -> Any:
    """A call that has to succeed."""
    answer = agent.call(method, path, body, **more)
    assert answer.status < 300, (method, path, answer.status, answer.body)
    return answer.json if answer.body else None


def read(agent: Agent, name: str, token: str | None = None) -> Any:
    """The value of a secret."""
    return ok(agent, "GET", f"/api/v1/secrets/{name}", token=token)["value"]


def ran(done: Any) -> Any:
    """The JSON that a command printed, which has to succeed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else None


def refused_start(older: Older, agent: Agent) -> str:
    """The older program on data of this one: what it says. Not asked where it is no older."""
    if older.level == SCHEMA_LEVEL:
        return "newer version"
    return older.of(agent).refused_start()


def key_file_agent(folder: Path) -> Agent:
    """With a key file, one worker, and a configuration that both versions take."""
    folder.mkdir(parents=True, exist_ok=True)
    return served_agent(folder, {
        "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
    })  # fmt: skip


def test_data_and_backups(older: Older) -> None:
    """What the older one stored is there; its backup is restored; it does not touch newer data."""
    with own_folder() as folder:
        now = key_file_agent(folder / "a")
        (folder / "a" / "vault.db").unlink()  # the older one makes its own
        config = str(folder / "a" / "vault.yaml")
        before = older.of(now)
        with running(before):
            before.token = ok(before, "PUT", "/v1/sys/init", SHARES)["root_token"]
            ok(before, "POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
            for value in ("one", "two"):
                ok(before, "POST", "/v1/secret/data/app", {"data": {"v": value}})
            rules = [{"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}]
            ok(before, "PUT", "/api/v1/policies/app", {"rules": rules})
            ok(before, "POST", "/api/v1/users", {"username": "app", "policies": ["app"]})
            key = ok(before, "POST", "/api/v1/keys", {"user": "app", "name": "app"})["key"]
        made = older.run("backup", "create", f"{folder}/backups", "--config", config, "-o", "json")
        backup = ran(made)["id"]
        now.token = before.token
        with running(now):
            assert read(now, "secret/app", key) == {"v": "two"}
            old = ok(now, "GET", "/v1/secret/data/app?version=1")
            assert old["data"]["data"] == {"v": "one"}
            assert (
                now.call("PUT", "/api/v1/secrets/secret/app", {"value": 1}, token=key).status == 403
            )
            ok(now, "PUT", "/api/v1/secrets/secret/app", {"value": {"v": "three"}})
        assert now.verify().returncode == 0
        assert "newer version" in refused_start(older, now)
        with running(now):  # the refusal has changed nothing
            assert read(now, "secret/app", key) == {"v": "three"}
        restored = key_file_agent(folder / "b")
        (folder / "b" / "root.key").write_bytes((folder / "a" / "root.key").read_bytes())
        (folder / "b" / "root.key").chmod(0o600)
        ran(freehold(
            "backup", "restore", f"{folder}/backups", backup,
            "--config", str(folder / "b" / "vault.yaml"), "--keep-tokens", "--reason", "moved",
        ))  # fmt: skip
        restored.token = before.token
        accepted = freehold(
            "operator", "accept-rollback", "--config", str(folder / "b" / "vault.yaml"),
            "--reason", "restored",
        )  # fmt: skip
        assert accepted.returncode == 0, accepted.stderr
        with running(restored):
            assert read(restored, "secret/app", key) == {"v": "two"}


def test_a_newer_backup_is_refused(older: Older) -> None:
    """By the older program, before anything is written."""
    with own_folder() as folder:
        now = key_file_agent(folder / "a")
        with running(now):
            now.token = ok(now, "PUT", "/v1/sys/init", SHARES)["root_token"]
        config = str(folder / "a" / "vault.yaml")
        made = freehold("backup", "create", f"{folder}/backups", "--config", config, "-o", "json")
        backup = ran(made)["id"]
        key_file_agent(folder / "b")
        (folder / "b" / "vault.db").unlink()
        (folder / "b" / "root.key").write_bytes((folder / "a" / "root.key").read_bytes())
        (folder / "b" / "root.key").chmod(0o600)
        done = older.run(
            "backup", "restore", f"{folder}/backups", backup,
            "--config", str(folder / "b" / "vault.yaml"), "--reason", "moved",
        )  # fmt: skip
        if older.level < SCHEMA_LEVEL:
            assert done.returncode != 0
            assert "newer version" in done.stderr


@pytest.mark.parametrize("which", ["control plane first", "agent first"])
def test_links(older: Older, which: str) -> None:
    """Both ways round: an older one and a newer one meet, and policies arrive."""
    with own_folder() as folder:
        for name in ("plane", "agent"):
            (folder / name).mkdir()
        plane, agent = dev_plane(folder / "plane"), dev_agent(folder / "agent", workers=1)
        (folder / "agent" / "data").mkdir(mode=0o700)
        if which == "agent first":
            plane = older.of(plane)  # type: ignore[assignment]
            run = freehold
        else:
            agent, run = older.of(agent), older.run
            (agent.data / "root-token").touch(mode=0o600)
            (agent.data / "root-token").write_text(agent.token)
        with running(plane):
            link(plane, agent, run)


def link(plane: Plane, agent: Agent, run: Callable[..., Any]) -> None:
    """Enrol it, and roll a policy out to it."""
    plane.sign_in()
    plane.organization("acme")
    base = "organizations/acme"
    made = plane.want(201, "POST", f"{base}/enrolment-tokens", {"vault": "v"})
    done = run(
        "agent", "enrol", "--control", f"https://127.0.0.1:{plane.link_port}",
        "--pin", made["pin"], "--token", made["secret"], "--data-dir", str(agent.data),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with running(agent):
        until(lambda: ok(agent, "GET", LINK)["state"] == "online", "it is linked")
        rules = [{"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}]
        document = {"document": {"rules": rules}}
        plane.want(201, "POST", f"{base}/policies/fleet/versions", document)
        plane.want(200, "PUT", f"{base}/policies/fleet/targets", {"targets": [{"all": True}]})
        plane.want(201, "POST", f"{base}/policies/fleet/rollouts", {"version": 1})
        until(
            lambda: agent.call("GET", "/api/v1/policies/fleet").status == 200, "it has the policy"
        )


def until(holds: Callable[[], object], what: str) -> None:
    """Wait for something that other processes bring about."""
    await_value(holds, 60.0, what)


def test_one_agent_after_another(older: Older, postgresql: Callable[[], str]) -> None:
    """On one PostgreSQL: the newer one migrates, the older ones go on beside it, none joins."""
    url = postgresql()
    with own_folder() as folder:
        new = {name: shared_agent(folder / name, url) for name in ("a", "b", "c")}
        old = {name: older.of(each) for name, each in new.items()}
        with running(old["a"]):
            made = ok(old["a"], "PUT", "/v1/sys/init", SHARES)
            token, [share] = made["root_token"], made["keys"]
            for each in (*old.values(), *new.values()):
                each.token = token
            ok(old["a"], "PUT", "/v1/sys/unseal", {"key": share}, token="")
            ok(old["a"], "POST", "/v1/sys/mounts/secret", {"type": "kv"})
            ok(old["a"], "POST", "/api/v1/secrets", {"name": "secret/app", "value": 1})
            with running(old["b"]):
                ok(old["b"], "PUT", "/v1/sys/unseal", {"key": share}, token="")
                old["a"].stop()
                with running(new["a"]):
                    ok(new["a"], "PUT", "/v1/sys/unseal", {"key": share}, token="")
                    assert read(new["a"], "secret/app") == 1
                    assert read(old["b"], "secret/app") == 1
                    ok(old["b"], "PUT", "/api/v1/secrets/secret/app", {"value": 2})
                    assert read(new["a"], "secret/app") == 2
                    ok(new["a"], "PUT", "/api/v1/secrets/secret/app", {"value": 3})
                    assert read(old["b"], "secret/app") == 3
                    people_log_in(new["a"], old["b"])
                    assert "newer version" in refused_start(older, new["c"])
                    old["b"].stop()
                    with running(new["b"]):
                        ok(new["b"], "PUT", "/v1/sys/unseal", {"key": share}, token="")
                        assert read(new["b"], "secret/app") == 3
                        token = log_in(new["b"])  # from now on it is a session
                        found = ok(new["a"], "GET", "/api/v1/sessions", token=token)
                        assert len(found["sessions"]) == 1


def log_in(agent: Agent) -> str:
    """A person's token."""
    shown = {"password": "correct horse"}
    made = ok(agent, "POST", "/v1/auth/people/login/ann", shown, token="")
    return str(made["auth"]["client_token"])


def people_log_in(new: Agent, old: Agent) -> None:
    """A login at the newer one counts at the older one. What that could not heed is refused."""
    ok(new, "POST", "/v1/sys/auth/people", {"type": "userpass"})
    ok(new, "POST", "/v1/auth/people/users/ann", {"password": "correct horse"})
    token = log_in(new)
    refused = new.call("PUT", ENFORCEMENT, {"methods": ["totp"], "types": ["ldap"]})
    assert refused.status == 409, refused.body
    assert refused.json["code"] == "nodes_outdated"
    policy: Any = {"rules": [{
        "effect": "allow", "paths": ["secret/x"], "capabilities": ["read"],
        "conditions": [{"type": "mfa_present"}],
    }]}  # fmt: skip
    ok(new, "PUT", "/api/v1/policies/shown", policy)
    policy["rules"][0]["conditions"] = [{"type": "mfa_present", "max_age": "15m"}]
    refused = new.call("PUT", "/api/v1/policies/shown", policy)
    assert (refused.status, refused.json["code"]) == (409, "nodes_outdated"), refused.body
    for agent in (new, old):
        ok(agent, "GET", "/v1/auth/token/lookup-self", token=token)
        assert read(agent, "secret/app") == 3
    assert ok(new, "GET", "/api/v1/sessions", token=token)["sessions"] == []


def shared_agent(folder: Path, url: str) -> Agent:
    """On a database that several have, with shares."""
    folder.mkdir()
    agent = served_agent(folder, {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
        "storage": {"type": "postgresql", "connection_string": url},
    })  # fmt: skip
    (folder / "vault.db").unlink()
    return agent
