"""Secrets of a backup, put back into the agent that runs: by API and by the command line."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, own_folder
from tests.acceptance.backups.running import back_up, ended, events, open_agent
from tests.acceptance.command import freehold

READS = {
    "effect": "allow",
    "paths": ["sys/backups/*", "sys/backup-runs/*"],
    "capabilities": ["read"],
}
WRITES = ["create", "update"]


@pytest.fixture
def agent(workers: int, tmp_path: Path) -> Iterator[Agent]:
    """With destinations, and without a schedule."""
    assert workers
    with open_agent(tmp_path) as made:
        yield made


def require(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """What it answers; fails for a refusal."""
    answer = agent.call(method, path, body)
    assert answer.status < 300, answer.body
    return answer.json


def write(agent: Agent, name: str, value: object, **more: Any) -> None:
    """A new secret."""
    require(agent, "POST", "/api/v1/secrets", {"name": name, "value": value, **more})


def value_of(agent: Agent, name: str) -> Any:
    """Of the current version; None: there is none."""
    answer = agent.call("GET", f"/api/v1/secrets/{name}")
    return answer.json["value"] if answer.status == 200 else None


def caller(agent: Agent, *rules: dict[str, Any]) -> str:
    """A token with the right to read backups, and these rules."""
    require(agent, "PUT", "/api/v1/policies/restorer", {"rules": [READS, *rules]})
    made = require(agent, "POST", "/api/v1/tokens", {"policies": ["restorer"]})
    return str(made["token"])


def restored(agent: Agent, backup: str, *names: str, **body: Any) -> tuple[Any, dict[str, Any]]:
    """A run to its end, and what was done with each secret, by name."""
    asked = {"names": list(names), "destination": "one", **body}
    begun = agent.call("POST", f"/api/v1/backups/{backup}/restore", asked)
    assert begun.status == 202, begun.body
    run = ended(agent, begun.json)
    found: dict[str, Any] = {}
    cursor = ""
    while True:
        path = f"/api/v1/backups/runs/{run['id']}/secrets?limit=3&cursor={cursor}"
        page = require(agent, "GET", path)
        found |= {each["name"]: each for each in page["secrets"]}
        if not (cursor := page["cursor"]):
            return run, found


def actions(found: dict[str, Any]) -> dict[str, str]:
    """By name."""
    return {name: each["action"] for name, each in found.items()}


def made_backup(agent: Agent, **body: Any) -> str:
    """The id of a new backup at the first destination."""
    return str(back_up(agent, destinations=["one"], **body)[0]["backup"])


def test_a_dry_run_and_then_the_secrets(agent: Agent) -> None:
    """What was erased or deleted comes back; what has a value is left, unless it is wanted."""
    big = 2**70
    tags = {"tags": ["prod"], "metadata": {"owner": "ann"}}
    write(agent, "secret/app/erased", {"number": big}, **tags)
    require(agent, "PATCH", "/api/v1/metadata/secret/app/erased", {"max_versions": 4})
    for name in ("secret/app/live", "secret/app/deleted", "secret/apple", "secret/other"):
        write(agent, name, "old")
    backup = made_backup(agent)
    require(agent, "DELETE", "/v1/secret/metadata/app/erased")
    require(agent, "DELETE", "/v1/secret/data/app/deleted")
    require(agent, "PUT", "/api/v1/secrets/secret/app/live", {"value": "new"})
    names = ("secret/app/", "secret/other", "secret/none", "secret/none/")
    wanted = {
        "secret/app/erased": "create", "secret/app/deleted": "write", "secret/app/live": "keep",
        "secret/other": "keep", "secret/none": "missing", "secret/none/": "missing",
    }  # fmt: skip

    run, found = restored(agent, backup, *names, dry_run=True)
    assert (run["outcome"], run["kind"], run["dry_run"]) == ("succeeded", "restore", True)
    assert actions(found) == wanted
    assert run["secrets"] == {"create": 1, "keep": 2, "missing": 2, "write": 1}
    assert found["secret/app/live"]["current_version"] == 2
    assert value_of(agent, "secret/app/erased") is None

    run, found = restored(agent, backup, *names)
    assert run["outcome"] == "succeeded"
    assert actions(found) == wanted
    assert found["secret/app/deleted"]["written_version"] == 2
    assert value_of(agent, "secret/app/erased") == {"number": big}
    assert value_of(agent, "secret/app/deleted") == "old"
    assert value_of(agent, "secret/app/live") == "new"
    erased = require(agent, "GET", "/api/v1/metadata/secret/app/erased")
    assert (erased["secret"]["tags"], erased["secret"]["metadata"]) == (["prod"], {"owner": "ann"})
    assert erased["max_versions"] == 4

    _, found = restored(agent, backup, "secret/app/live", overwrite=True)
    assert actions(found) == {"secret/app/live": "write"}
    assert value_of(agent, "secret/app/live") == "old"
    shown = require(agent, "GET", f"/api/v1/backups/runs/{run['id']}")
    assert shown["node"]
    assert "old" not in json.dumps(found)


def test_each_secret_is_an_ordinary_write_on_record(agent: Agent) -> None:
    """With the request id of the restore, whose records name the backup."""
    write(agent, "secret/app/one", 1)
    backup = made_backup(agent)
    require(agent, "DELETE", "/v1/secret/metadata/app/one")
    asked = {"names": ["secret/app/one"]}
    begun = agent.call("POST", f"/api/v1/backups/{backup}/restore", asked)
    ended(agent, begun.json)
    (wrote,) = events(agent, f"secret.write&path=secret/app/one&request_id={begun.request_id}.1")[
        :1
    ]
    assert (wrote["result"], wrote["actor_name"]) == ("ok", "root")
    asked_for = events(agent, "backup.restore")
    assert {(each["path"], each["request_id"]) for each in asked_for} == {
        (f"sys/backups/{backup}", begun.request_id)
    }
    (end,) = events(agent, "backup.restored")
    assert (end["path"], end["rule"]) == (
        f"sys/backups/{backup}", "secrets restored from one: create 1",
    )  # fmt: skip


def test_rights_on_backups_are_none_on_secrets(agent: Agent) -> None:
    """What the caller may not write is not shown, not written, and as good as not there."""
    for name in ("secret/app/mine", "secret/app/theirs", "secret/hidden/x"):
        write(agent, name, "old", tags=["prod"] if name.endswith("theirs") else [])
    backup = made_backup(agent)
    for name in ("app/mine", "app/theirs", "hidden/x"):
        require(agent, "DELETE", f"/v1/secret/metadata/{name}")
    root = agent.token
    agent.token = caller(
        agent, {"effect": "allow", "paths": ["secret/app/mine"], "capabilities": WRITES}
    )
    _, found = restored(agent, backup, "secret/app/", "secret/hidden/", "secret/nothing/")
    assert actions(found) == {
        "secret/app/mine": "create", "secret/hidden/": "missing", "secret/nothing/": "missing",
    }  # fmt: skip
    told = {
        json.dumps({**found[name], "name": ""}) for name in ("secret/hidden/", "secret/nothing/")
    }
    assert len(told) == 1
    for name in ("secret/hidden/x", "secret/hidden/none"):
        for dry_run in (True, False):
            body = {"names": [name], "dry_run": dry_run}
            refused = agent.call("POST", f"/api/v1/backups/{backup}/restore", body)
            assert (refused.status, refused.json["code"]) == (403, "permission_denied")
    agent.token = root
    assert value_of(agent, "secret/app/theirs") is None
    assert value_of(agent, "secret/hidden/x") is None
    assert value_of(agent, "secret/app/mine") == "old"


def test_conditions_decide_on_the_tags_of_the_backup(agent: Agent) -> None:
    """Else an old backup would put back what a rule about tags keeps away."""
    write(agent, "secret/app/open", 1)
    write(agent, "secret/app/top", 1, tags=["top"])
    backup = made_backup(agent)
    for name in ("open", "top"):
        require(agent, "DELETE", f"/v1/secret/metadata/app/{name}")
    allow = {"effect": "allow", "paths": ["secret/app/*"], "capabilities": WRITES}
    deny = {
        "effect": "deny", "paths": ["secret/app/*"], "capabilities": WRITES,
        "conditions": [{"type": "tags", "any": ["top"]}],
    }  # fmt: skip
    agent.token, root = caller(agent, allow, deny), agent.token
    for dry_run in (True, False):
        _, found = restored(agent, backup, "secret/app/", dry_run=dry_run)
        assert actions(found) == {"secret/app/open": "create"}
    agent.token = root
    assert value_of(agent, "secret/app/top") is None


def test_only_its_caller_sees_what_a_restore_did(agent: Agent) -> None:
    """Others may see that it runs, and not which secrets there are."""
    write(agent, "secret/app/one", 1)
    backup = made_backup(agent)
    run, _ = restored(agent, backup, "secret/app/", dry_run=True)
    agent.token = caller(agent)
    assert agent.call("GET", f"/api/v1/backups/runs/{run['id']}").status == 200
    refused = agent.call("GET", f"/api/v1/backups/runs/{run['id']}/secrets")
    assert (refused.status, refused.json["code"]) == (403, "backup_run_of_other")


def test_what_is_refused(agent: Agent) -> None:
    """Names that are none, all of a backup, a backup that is not there, and no right at all."""
    backup = made_backup(agent)
    path = f"/api/v1/backups/{backup}/restore"
    for name in ("secret/../x", "../x", "secret//x", "/secret/x", "sys/x", "secret/x//", "/", "."):
        refused = agent.call("POST", path, {"names": [name]})
        assert refused.status == 400, name
    none = agent.call("POST", path, {"names": []})
    assert (none.status, none.json["code"]) == (400, "restore_names_required")
    assert "freehold backup restore" in none.json["message"]
    gone = agent.call("POST", "/api/v1/backups/0197/restore", {"names": ["secret/x"]})
    assert (gone.status, gone.json["code"]) == (404, "backup_missing")
    made = require(agent, "POST", "/api/v1/tokens", {"policies": ["default"]})
    agent.token = made["token"]
    assert agent.call("POST", path, {"names": ["secret/x"]}).status == 403


def test_a_backup_of_another_vault_in_the_same_place(agent: Agent, tmp_path: Path) -> None:
    """It is listed, with what is wrong, and nothing of it is put into this vault."""
    (tmp_path / "other").mkdir()
    with open_agent(tmp_path / "other") as other:
        write(other, "secret/app/planted", "planted")
        backup = made_backup(other)
        source = tmp_path / "other" / "one"
    back_up(agent)
    for file in source.glob(f"{backup}.*"):
        shutil.copy(file, tmp_path / "one")
    shown = require(agent, "GET", f"/api/v1/backups/{backup}")
    assert not shown["verified"]
    body = {"names": ["secret/app/planted"]}
    refused = agent.call("POST", f"/api/v1/backups/{backup}/restore", body)
    assert (refused.status, refused.json["code"]) == (409, "backup_unverified")
    assert value_of(agent, "secret/app/planted") is None


def test_a_damaged_backup_gives_nothing(agent: Agent, tmp_path: Path) -> None:
    """The damage is found before a secret is written."""
    write(agent, "secret/app/one", 1)
    backup = made_backup(agent)
    require(agent, "DELETE", "/v1/secret/metadata/app/one")
    data = tmp_path / "one" / f"{backup}.backup"
    changed = bytearray(data.read_bytes())
    changed[-1] ^= 1
    data.write_bytes(changed)
    run = agent.call("POST", f"/api/v1/backups/{backup}/restore", {"names": ["secret/app/"]})
    done = ended(agent, run.json)
    assert (done["outcome"], done["error_code"]) == ("failed", "backup_damaged")
    assert value_of(agent, "secret/app/one") is None


def test_for_recipients(workers: int, tmp_path: Path) -> None:
    """No agent has their identity: it says so at once."""
    assert workers
    identity = tmp_path / "identity"
    made = freehold("backup", "keygen", str(identity), "-o", "json")
    recipient = json.loads(made.stdout)["recipient"]
    with open_agent(tmp_path, recipients=[recipient]) as agent:
        backup = made_backup(agent)
        refused = agent.call("POST", f"/api/v1/backups/{backup}/restore", {"names": ["secret/s1"]})
        assert (refused.status, refused.json["code"]) == (409, "backup_for_recipients")


def test_a_run_of_another_agent(agent: Agent) -> None:
    """Says which agent has it, and never shows an id that nobody has made."""
    run = require(agent, "POST", "/api/v1/backups", {})
    ended(agent, run)
    number, _, node = run["id"].partition(".")
    assert node == run["node"]
    other = agent.call("GET", f"/api/v1/backups/runs/{number}.0197-beef")
    assert (other.status, other.json["code"]) == (404, "backup_run_elsewhere")
    unknown = agent.call("GET", f"/api/v1/backups/runs/0.{node}")
    assert (unknown.status, unknown.json["code"]) == (404, "backup_run_missing")


def test_by_the_command_line() -> None:
    """`backup recover` without a folder."""
    with own_folder() as folder, open_agent(folder) as agent:
        environment = {
            "VAULT_ADDR": f"http://127.0.0.1:{agent.port}", "VAULT_TOKEN": agent.token,
        }  # fmt: skip

        def recover(*arguments: str) -> Any:
            return freehold("backup", "recover", *arguments, "-o", "json", environment=environment)

        write(agent, "secret/app/one", "old")
        write(agent, "secret/app/two", "old")
        backup = made_backup(agent)
        require(agent, "DELETE", "/v1/secret/metadata/app/one")
        tried = recover("latest", "secret/app/", "--dry-run")
        assert tried.returncode == 0, tried.stderr
        assert [each["action"] for each in json.loads(tried.stdout)] == ["create", "keep"]
        assert value_of(agent, "secret/app/one") is None
        done = recover(backup, "secret/app/", "--destination", "one")
        assert done.returncode == 5, done.stderr  # one was kept
        assert value_of(agent, "secret/app/one") == "old"
        again = recover(backup, "secret/app/two", "--overwrite")
        assert again.returncode == 0, again.stderr
        assert recover(backup).returncode == 64
        assert recover(backup, "secret/app/", "--at", "2026-11-30T12:00:00Z").returncode == 64
