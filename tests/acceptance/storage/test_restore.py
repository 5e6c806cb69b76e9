"""`freehold backup restore` and `recover`: what was revoked later, previews, single secrets."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Answer, running, served_agent
from tests.acceptance.command import freehold

REASON = "the disk failed"
RULE = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
Ids = dict[str, str]


@pytest.fixture(params=[1, 2])
def agent(folder: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    """An agent with its data in a file, with one worker and with two."""
    made = served_agent(folder, configuration(folder, request.param))
    with running(made):
        initialized = made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        made.token = initialized.json["root_token"]
        require(made, "POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        yield made


def configuration(folder: Path, workers: int) -> dict[str, Any]:
    """Of an agent in this folder."""
    return {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers},
        "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
        "storage": {"type": "sqlite", "connection_string": f"sqlite:///{folder}/vault.db"},
    }


def require(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """A call that succeeds; what it is answered."""
    answer = agent.call(method, path, body)
    assert answer.status in {200, 201, 204}, answer
    return answer.json


def run(*arguments: object, agent: Agent | None = None, code: int = 0) -> Any:
    """What `freehold backup …` prints, in JSON."""
    environment = {}
    if agent is not None:
        environment = {"FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token}
    done = freehold("backup", *map(str, arguments), "-o", "json", environment=environment)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def config_of(agent: Agent) -> Path:
    """Its configuration."""
    return agent.folder / "vault.yaml"


def write(agent: Agent, name: str, value: object = "first") -> None:
    """A version more of a secret."""
    require(agent, "POST", f"/v1/secret/data/{name}", {"data": {"value": value}})


def read(agent: Agent, name: str) -> Answer:
    """The current value."""
    return agent.call("GET", f"/v1/secret/data/{name}")


def back_up(agent: Agent, *more: str) -> Any:
    """A backup of the stopped agent."""
    agent.stop()
    made = run("create", agent.folder / "backups", "--config", config_of(agent), *more)
    agent.start()
    return made


def lose_database(agent: Agent) -> None:
    """Stop it, and remove its file."""
    agent.stop()
    for file in agent.folder.glob("vault.db*"):
        file.unlink()


def restore(agent: Agent, backup: str, *more: object, code: int = 0) -> Any:
    """Into the database of a stopped agent."""
    return run(
        "restore", agent.folder / "backups", backup, "--config", config_of(agent),
        "--reason", REASON, *more, code=code,
    )  # fmt: skip


def make_credentials(agent: Agent) -> Ids:
    """Users, keys, tokens, policies and roles; the ids."""
    ids: Ids = {}
    for name in ("kept", "ended"):
        require(agent, "PUT", f"/api/v1/policies/{name}", {"rules": [RULE]})
        role = {"policies": ["kept", "ended"]}
        require(agent, "PUT", f"/api/v1/roles/{name}", role)
    for name in ("ann", "bob", "eve", "dan"):
        user = {"username": name, "policies": ["kept", "ended"], "roles": ["kept", "ended"]}
        ids[name] = require(agent, "POST", "/api/v1/users", user)["id"]
        for number in (1, 2):
            made = require(agent, "POST", "/api/v1/keys", {"user": name, "name": f"{name}{number}"})
            ids[f"{name}{number}"], ids[f"text {name}{number}"] = made["id"], made["key"]
    for name in ("token1", "token2"):
        made = require(agent, "POST", "/v1/auth/token/create", {"policies": ["kept"]})["auth"]
        ids[name], ids[f"text {name}"] = made["accessor"], made["client_token"]
    return ids


def take_away(agent: Agent, ids: Ids) -> None:
    """After the backup: something of each kind ends."""
    require(agent, "DELETE", f"/api/v1/keys/{ids['ann1']}")
    require(agent, "DELETE", f"/api/v1/users/{ids['bob']}")
    require(agent, "PATCH", f"/api/v1/users/{ids['eve']}", {"status": "disabled"})
    reduced = {"policies": ["kept"], "roles": ["kept"]}
    require(agent, "PATCH", f"/api/v1/users/{ids['dan']}", reduced)
    require(agent, "DELETE", "/api/v1/policies/ended")
    require(agent, "DELETE", "/api/v1/roles/ended")
    require(agent, "PUT", "/api/v1/roles/kept", {"policies": ["kept"]})
    require(agent, "POST", "/v1/auth/token/revoke-accessor", {"accessor": ids["token1"]})
    require(agent, "POST", "/api/v1/destroy/secret/app/two", {"versions": [2]})
    require(agent, "DELETE", "/v1/secret/metadata/app/purged")
    require(agent, "PUT", "/api/v1/policies/kept", {"rules": [RULE | {"paths": ["other/*"]}]})


def as_key(agent: Agent, text: str) -> int:
    """How a request with this credential is answered."""
    own, agent.token = agent.token, text
    try:
        return agent.call("GET", "/v1/auth/token/lookup-self").status
    finally:
        agent.token = own


def test_revoked_later(agent: Agent) -> None:
    """What the surviving log says has ended has ended in the restored vault, too."""
    ids = make_credentials(agent)
    for name in ("app/one", "app/two", "app/two", "app/purged"):
        write(agent, name)
    made = back_up(agent)
    take_away(agent, ids)
    lose_database(agent)
    expected = {
        "api_keys_revoked": 1,
        "policies_deleted": 1,
        "roles_deleted": 1,
        "roles_reduced": 1,
        "secrets_purged": 1,
        "tokens_revoked": 1,
        "users_deleted": 1,
        "users_disabled": 1,
        "users_reduced": 1,
        "versions_destroyed": 1,
    }
    before = run(
        "restore", agent.folder / "backups", made["id"], "--config", config_of(agent),
        "--dry-run", "--keep-tokens",
    )  # fmt: skip
    assert before["taken_away"] == expected
    assert not (agent.folder / "vault.db").exists()
    result = restore(agent, made["id"], "--keep-tokens")
    assert result["taken_away"] == expected
    assert result["missing_logs"] == result["log_faults"] == []
    (left,) = result["not_applied"]
    assert (left["operation"], left["count"]) == ("policy.write", 1)
    agent.start()
    assert as_key(agent, ids["text ann1"]) == 403
    assert as_key(agent, ids["text ann2"]) == 200
    assert as_key(agent, ids["text bob1"]) == 403
    assert as_key(agent, ids["text eve1"]) == 403
    assert as_key(agent, ids["text token1"]) == 403
    assert as_key(agent, ids["text token2"]) == 200
    assert agent.call("GET", f"/api/v1/users/{ids['bob']}").status == 404
    dan = require(agent, "GET", f"/api/v1/users/{ids['dan']}")
    assert (dan["policies"], dan["roles"], dan["status"]) == (["kept"], ["kept"], "active")
    assert require(agent, "GET", f"/api/v1/users/{ids['eve']}")["status"] == "disabled"
    assert agent.call("GET", "/api/v1/policies/ended").status == 404
    assert agent.call("GET", "/api/v1/roles/ended").status == 404
    assert require(agent, "GET", "/api/v1/roles/kept")["policies"] == ["kept"]
    assert read(agent, "app/one").status == 200
    assert read(agent, "app/purged").status == 404
    two = require(agent, "GET", "/api/v1/metadata/secret/app/two")
    assert two["secret"]["status"] == "destroyed"
    assert [each["destroyed"] for each in two["versions"]] in ([False, True], [True, False])
    (event,) = require(agent, "GET", "/api/v1/audit/events?operation=sys.restore")["events"]
    assert "by the audit logs: api_keys_revoked 1" in event["rule"]
    agent.stop()
    assert agent.verify().returncode == 0


def test_erased_and_kept(agent: Agent) -> None:
    """What was erased by mistake comes back if that is said; without the logs all comes back."""
    write(agent, "app/purged")
    made = back_up(agent)
    require(agent, "DELETE", "/v1/secret/metadata/app/purged")
    lose_database(agent)
    backups, config = agent.folder / "backups", config_of(agent)
    plain = run("restore", backups, made["id"], "--config", config, "--dry-run")
    assert plain["taken_away"] == {"secrets_purged": 1}
    for option in ("--keep-erased", "--ignore-audit-logs"):
        found = run("restore", backups, made["id"], "--config", config, "--dry-run", option)
        assert found["taken_away"] == {}
    restore(agent, made["id"], "--keep-erased", "--keep-tokens")
    agent.start()
    assert read(agent, "app/purged").status == 200


def test_logs_that_are_refused(agent: Agent, tmp_path: Path) -> None:
    """Edited, cut, and another vault's: nothing is restored unless that is accepted."""
    ids = make_credentials(agent)
    made = back_up(agent)
    require(agent, "DELETE", f"/api/v1/keys/{ids['ann1']}")
    lose_database(agent)
    log = agent.folder / "audit.log"
    whole, head = log.read_bytes(), log.with_name("audit.log.head").read_bytes()

    log.write_bytes(whole.replace(b'"key.revoke"', b'"key.create"', 1))
    assert "cannot say what was revoked" in restore(agent, made["id"], code=5)
    lines = whole.splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-2]))
    assert "audit.log" in restore(agent, made["id"], code=5)
    assert not (agent.folder / "vault.db").exists()

    log.write_bytes(whole)
    with other_vault(tmp_path) as other:
        other.stop()
        refused = restore(agent, made["id"], "--audit-log", other.folder / "audit.log", code=5)
        assert "another vault" in refused
    log.with_name("audit.log.head").write_bytes(head)
    result = restore(agent, made["id"], "--keep-tokens")
    assert result["taken_away"] == {"api_keys_revoked": 1}


@contextmanager
def other_vault(folder: Path) -> Iterator[Agent]:
    """An agent of a vault of its own."""
    made = served_agent(folder, configuration(folder, 1))
    with running(made):
        made.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        yield made


def test_a_point_in_time(agent: Agent) -> None:
    """The newest backup that is not later; and what comes between it and the next."""
    write(agent, "app/one", "first")
    first = back_up(agent)
    write(agent, "app/one", "second")
    second = back_up(agent)
    lose_database(agent)
    backups, config = agent.folder / "backups", config_of(agent)
    latest = run("restore", backups, "latest", "--config", config, "--dry-run")
    assert latest["id"] == second["id"]
    asked = ("restore", backups, "latest", "--config", config)
    early = run(*asked, "--dry-run", "--at", second["created"], "--keep-tokens")
    assert early["id"] in {first["id"], second["id"]}
    at = first["created"]
    run(*asked, "--dry-run", "--at", "2020-01-01", code=3)
    run("restore", backups, first["id"], "--config", config, "--dry-run", "--at", at, code=1)
    found = run(*asked, "--at", at, "--keep-tokens", "--reason", REASON)
    assert found["backup"] == first["id"]
    assert found["last_change"] <= at
    assert found["next_backup"].startswith(second["id"])
    assert found["commits_until_next"] == second["commits"] - first["commits"]
    agent.start()
    assert read(agent, "app/one").json["data"]["data"]["value"] == "first"


def test_differences(agent: Agent) -> None:
    """By names and versions, from the database that is there, which is not written."""
    ids = make_credentials(agent)
    for name in ("app/one", "app/two", "app/gone"):
        write(agent, name, "hidden-value")
    made = back_up(agent)
    write(agent, "app/two", "hidden-value")
    write(agent, "app/new", "hidden-value")
    require(agent, "DELETE", "/v1/secret/metadata/app/gone")
    require(agent, "DELETE", f"/api/v1/users/{ids['bob']}")
    agent.stop()
    before = (agent.folder / "vault.db").read_bytes()
    backups, config = agent.folder / "backups", config_of(agent)
    asked = ("restore", backups, made["id"], "--config", config, "--dry-run", "--ignore-audit-logs")
    found = run(*asked)
    assert found["compared"]
    assert not found["cut"]
    assert {(each["name"], each["change"]) for each in found["named"]} == {
        ("secret/app/gone", "only_in_backup"),
        ("secret/app/new", "only_in_database"),
        ("secret/app/two", "differs"),
        ("bob", "only_in_backup"),
        *((f"bob{n} ({ids[f'bob{n}']})", "only_in_backup") for n in (1, 2)),
    }
    (two,) = [each for each in found["named"] if each["name"] == "secret/app/two"]
    assert (two["backup"], two["database"]) == ("version 1, active", "version 2, active")
    assert "hidden-value" not in json.dumps(found)
    cut = run(*asked, "--limit", "1")
    assert cut["cut"]
    assert len(cut["named"]) == 1
    assert cut["differences"] == found["differences"]
    assert (agent.folder / "vault.db").read_bytes() == before
    agent.start()
    assert run(*asked)["compared"]  # beside the agent that runs


def test_recover_into_a_running_agent(agent: Agent) -> None:
    """What was erased is there again, as a new version; what has a value is left alone."""
    big = 2**70
    for name in ("app/one", "app/two", "other/three"):
        write(agent, name, {"number": big, "name": name})
    tagged = {"metadata": {"owner": "ann"}, "tags": ["prod"], "max_versions": 4}
    require(agent, "PATCH", "/api/v1/metadata/secret/app/one", tagged)
    made = back_up(agent)
    require(agent, "DELETE", "/v1/secret/metadata/app/one")
    require(agent, "DELETE", "/v1/secret/data/other/three")
    write(agent, "app/two", "newer")
    backups, key = agent.folder / "backups", agent.folder / "root.key"
    asked = ("recover", backups, made["id"], "secret/app/", "secret/other/three", "--key-file", key)
    before = run(*asked, "--dry-run", agent=agent)
    assert [(row["name"], row["action"]) for row in before] == [
        ("secret/app/one", "create"), ("secret/app/two", "keep"), ("secret/other/three", "write"),
    ]  # fmt: skip
    assert read(agent, "app/one").status == 404
    done = run(*asked, agent=agent, code=5)
    assert [(row["action"], row["current_version"]) for row in done] == [
        ("create", 1), ("keep", 2), ("write", 2),
    ]  # fmt: skip
    assert read(agent, "app/one").json["data"]["data"]["value"]["number"] == big
    one = require(agent, "GET", "/api/v1/metadata/secret/app/one")
    assert (one["secret"]["metadata"], one["secret"]["tags"]) == ({"owner": "ann"}, ["prod"])
    assert one["max_versions"] == 4
    assert read(agent, "app/two").json["data"]["data"]["value"] == "newer"
    assert read(agent, "other/three").status == 200
    again = run(*asked[:3], "secret/app/two", *asked[5:], "--overwrite", agent=agent)
    assert [(row["action"], row["current_version"]) for row in again] == [("write", 3)]
    assert read(agent, "app/two").json["data"]["data"]["value"]["name"] == "app/two"
    run(*asked[:3], "secret/none", *asked[5:], agent=agent, code=3)
    run(*asked[:2], "../backups", *asked[3:], agent=agent, code=1)


def test_recover_of_kv_version_1(agent: Agent) -> None:
    """Where deleting is erasing."""
    require(agent, "POST", "/v1/sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
    require(agent, "POST", "/v1/old/app", {"value": "first"})
    made = back_up(agent)
    require(agent, "DELETE", "/v1/old/app")
    asked = ("recover", agent.folder / "backups", "latest", "old/app", "--config", config_of(agent))
    (row,) = run(*asked, agent=agent)
    assert (row["action"], made["kind"]) == ("create", "full")
    assert require(agent, "GET", "/v1/old/app")["data"] == {"value": "first"}
    require(agent, "POST", "/v1/old/app", {"value": "second"})
    (row,) = run(*asked, "--overwrite", agent=agent)
    assert row["action"] == "write"
    assert require(agent, "GET", "/v1/old/app")["data"] == {"value": "first"}


def test_recover_takes_a_policy(agent: Agent) -> None:
    """The root key alone writes nothing: the caller's policies decide, and the log has it."""
    write(agent, "app/one")
    made = back_up(agent)
    require(agent, "DELETE", "/v1/secret/metadata/app/one")
    limited = require(agent, "POST", "/v1/auth/token/create", {"policies": ["default"]})
    own, agent.token = agent.token, limited["auth"]["client_token"]
    asked = ("recover", agent.folder / "backups", made["id"], "secret/app/one")
    (row,) = run(*asked, "--key-file", agent.folder / "root.key", agent=agent, code=4)
    assert row["action"] == "failed"
    agent.token = own
    assert read(agent, "app/one").status == 404


def test_only_some_secrets(agent: Agent, tmp_path: Path) -> None:
    """A vault that has these secrets, and everybody who may use them."""
    ids = make_credentials(agent)
    for name in ("app/one", "app/two", "other/three"):
        write(agent, name)
    made = back_up(agent)
    agent.stop()
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(agent.folder / "root.key", folder / "root.key")
    other = served_agent(folder, configuration(folder, 1))
    other.token = agent.token
    asked = (
        "restore", agent.folder / "backups", made["id"], "--config", config_of(other),
        "--reason", REASON, "--keep-tokens", "--only",
    )  # fmt: skip
    assert "ends with a slash" in run(*asked, "secret/app", code=3)
    run(*asked, "secret/app/")
    with running(other):
        assert read(other, "app/one").status == 200
        assert read(other, "other/three").status == 404
        assert as_key(other, ids["text ann1"]) == 200


def test_without_secrets(folder: Path) -> None:
    """`backup.include_secrets: false`: everybody and everything but the secrets."""
    settings = configuration(folder, 1) | {"backup": {"include_secrets": False}}
    agent = served_agent(folder, settings)
    with running(agent):
        initialized = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        agent.token = initialized.json["root_token"]
        require(agent, "POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        ids = make_credentials(agent)
        write(agent, "app/one", "hidden-value")
        full = back_up(agent)
        write(agent, "app/one", "hidden-value")
        made = back_up(agent, "--base", full["id"])
        assert made["kind"] == "incremental"
        asked = ("recover", folder / "backups", made["id"], "secret/app/one")
        run(*asked, "--key-file", folder / "root.key", agent=agent, code=5)
        lose_database(agent)
        assert run("validate", folder / "backups", made["id"], "--config", config_of(agent))[
            "rows_verified"
        ]
        restore(agent, made["id"], "--keep-tokens")
        agent.start()
        assert read(agent, "app/one").status == 404
        assert as_key(agent, ids["text ann1"]) == 200
        write(agent, "app/one")
