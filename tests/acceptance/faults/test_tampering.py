"""Somebody writes to the database or the audit log behind the agent's back."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copytree
from typing import Final

import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.workers.waiting import await_true

pytestmark = pytest.mark.usefixtures("workers")

NAMES: Final = (
    "untouched", "box", "dek", "flag", "version head", "tags",
)  # fmt: skip
RULE: Final = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
Spoil = Callable[[list[bytes]], list[bytes]]
TAMPERED: Final = {"row_tampered", "value_tampered"}


@contextmanager
def database(agent: Agent) -> Iterator[sqlite3.Connection]:
    """The database of an agent that is down."""
    with closing(sqlite3.connect(agent.database)) as connection:
        yield connection
        connection.commit()


@pytest.fixture(scope="module")
def written(workers: int) -> Iterator[Path]:
    """The data of an agent that has written some records and is down; to be copied."""
    with own_folder() as path:
        agent = dev_agent(path, workers=workers)
        with running(agent), agent.client() as client:
            assert client.call("PUT", "/api/v1/policies/reader", {"rules": [RULE]}).status == 200
            for number in range(6):
                assert client.call("POST", _compat(str(number)), {"data": {}}).status == 200
        assert agent.verify().returncode == 0
        yield agent.data


def flip(blob: bytes) -> bytes:
    """One bit of the last byte."""
    return blob[:-1] + bytes([blob[-1] ^ 1])


def spoil_secrets(db: sqlite3.Connection) -> None:
    """Everything that a person with write access would try, each on a secret of its own."""
    ids = dict(db.execute("SELECT name, id FROM secrets"))
    own = {name: ids[f"secret/{name}"] for name in NAMES}
    at = "WHERE secret_id = ? AND version = 2"
    for name, column in (("box", "box"), ("dek", "wrapped_dek")):
        read = f"SELECT {column} FROM secret_versions {at}"  # noqa: S608  # our own columns
        ((blob,),) = db.execute(read, (own[name],))
        write = f"UPDATE secret_versions SET {column} = ? {at}"  # noqa: S608  # as above
        db.execute(write, (flip(blob), own[name]))
    db.execute(f"UPDATE secret_versions SET destroyed = 1 {at}", (own["flag"],))  # noqa: S608
    db.execute("UPDATE secrets SET current_version = 1 WHERE id = ?", (own["version head"],))
    db.execute("UPDATE secrets SET tags = '[\"public\"]' WHERE id = ?", (own["tags"],))


def test_a_tampered_secret_is_refused_and_its_neighbours_are_read(folder: Path) -> None:
    """Each spoiled secret is 503 and says so, in both dialects; the others answer as before."""
    agent = dev_agent(folder)
    with running(agent):
        for name in NAMES:
            for version in (1, 2):
                data = {"data": {"name": name, "v": version}}
                assert agent.call("POST", _compat(name), data).status == 200
    with database(agent) as db:
        spoil_secrets(db)
    with running(agent):
        for name in NAMES[1:]:
            told = agent.call("GET", _native(name))
            assert (told.status, told.json["code"] in TAMPERED) == (503, True), (name, told)
            told = agent.call("GET", _compat(name))
            assert (told.status, "authentication" in told.json["errors"][0]) == (503, True), name
        value = agent.call("GET", _compat("untouched")).json["data"]["data"]
        assert value == {"name": "untouched", "v": 2}
        assert agent.call("POST", _compat("untouched"), {"data": {}}).status == 200
        assert agent.call("POST", _compat("tags"), {"data": {}}).status == 503
    assert "Traceback" not in agent.output()
    assert agent.verify().returncode == 0


@pytest.mark.parametrize(
    "changes",
    [
        ["UPDATE secrets SET name = 'secret/moved here' WHERE name = 'secret/a'"],
        [
            f"UPDATE secret_versions SET version = {new} WHERE version = {old}"  # noqa: S608  # numbers
            for new, old in ((9, 1), (1, 2), (2, 9))
        ],
        [
            f"UPDATE secret_versions SET secret_id = {new} WHERE secret_id = {old}"  # noqa: S608  # as above
            for new, old in (
                ("'aside'", "(SELECT id FROM secrets WHERE name = 'secret/a')"),
                (
                    "(SELECT id FROM secrets WHERE name = 'secret/a')",
                    "(SELECT id FROM secrets WHERE name = 'secret/b')",
                ),
                ("(SELECT id FROM secrets WHERE name = 'secret/b')", "'aside'"),
            )
        ],
    ],
    ids=["moved", "reordered", "swapped"],
)
def test_a_secret_under_another_key_keeps_the_vault_shut(folder: Path, changes: list[str]) -> None:
    """Each row is whole, and is not where it was written."""
    agent = dev_agent(folder)
    with running(agent):
        for name in ("a", "b", "a", "b"):
            assert agent.call("POST", _compat(name), {"data": {}}).status == 200
    with database(agent) as db:
        for change in changes:
            assert db.execute(change).rowcount
    refused = agent.refused_start()
    assert "storage_rows_changed" in refused
    assert "secret" in refused


CREDENTIALS: Final = {
    "a token": "UPDATE tokens SET policies = '[\"root\"]' WHERE display_name LIKE '%one'",
    "a token's end": "UPDATE tokens SET expires_at = 0 WHERE display_name LIKE '%one'",
    "a token's owner": "UPDATE tokens SET user_id = 'zz' WHERE display_name LIKE '%one'",
    "an accessor": "UPDATE tokens SET accessor = 'zz' WHERE display_name LIKE '%one'",
    "a user": "UPDATE users SET policies = '[\"root\"]' WHERE username = 'two'",
    "a user's name": "UPDATE users SET name_key = 'zz' WHERE username = 'two'",
    "a key": "UPDATE api_keys SET permissions = '[]', name = 'x' WHERE name = 'two'",
}


@pytest.mark.parametrize("change", CREDENTIALS.values(), ids=CREDENTIALS.keys())
def test_tampered_credentials_keep_the_vault_shut(folder: Path, change: str) -> None:
    """One that was given more opens nothing, and none is hidden from who would end it."""
    agent = dev_agent(folder)
    with running(agent):
        assert agent.call("PUT", "/api/v1/policies/reader", {"rules": [RULE]}).status == 200
        _token(agent, "one")
        _key(agent, "two")
    with database(agent) as db:
        assert db.execute(change).rowcount == 1
    refused = agent.refused_start()
    assert "storage_rows_changed" in refused
    assert "No acceptance helps" in refused
    assert "Traceback" not in refused


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE policies SET document = replace(document, 'read', 'sudo')",
        "UPDATE mounts SET max_versions = 3",
        "UPDATE system SET value = zeroblob(length(value)) WHERE name = 'keyring'",
    ],
    ids=["policy", "mount", "keyring"],
)
def test_a_vault_whose_rules_were_changed_does_not_open(
    folder: Path, written: Path, change: str
) -> None:
    """Policies, mounts and keyring are read at the start: it ends with one line that says which."""
    agent = dev_agent(folder, copytree(written, folder / "data"))
    with database(agent) as db:
        assert db.execute(change).rowcount
    refused = agent.refused_start()
    assert re.search(r"row_tampered|keyring", refused)
    assert "Traceback" not in refused


def _replaced(lines: list[bytes], old: bytes, new: bytes) -> list[bytes]:
    """In the first record from the fifth on that has it: a checkpoint may be anywhere."""
    at = next(number for number, line in enumerate(lines) if number >= 5 and old in line)
    return [*lines[:at], lines[at].replace(old, new), *lines[at + 1 :]]


def _lengthen(lines: list[bytes]) -> list[bytes]:
    return _replaced(lines, b'"dialect":"', b'"dialect":"x')


def _remove_one(lines: list[bytes]) -> list[bytes]:
    return lines[:5] + lines[6:]


def _cut_end(lines: list[bytes]) -> list[bytes]:
    return lines[:-3]


def _spoil_end(lines: list[bytes]) -> list[bytes]:
    return [*lines[:-1], lines[-1].replace(b'"kind":"', b'"kind":"x')]


def _remove_all(_lines: list[bytes]) -> list[bytes]:
    return []


def _swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], lines[6], lines[5], *lines[7:]]


def _exchange(lines: list[bytes]) -> list[bytes]:
    return _replaced(lines, b'"result":"ok"', b'"result":"no"')


@pytest.mark.parametrize("spoil", [_lengthen, _remove_one, _cut_end, _spoil_end, _remove_all])
def test_a_log_that_lacks_something_is_not_written_on(
    folder: Path, written: Path, spoil: Spoil
) -> None:
    """`audit verify` names the record, and so does the start that refuses; nothing is mended."""
    agent = dev_agent(folder, copytree(written, folder / "data"))
    _spoil_log(agent, spoil)
    spoiled = agent.audit_log.read_bytes()
    _need_found(agent)
    refused = agent.refused_start()
    assert re.search(r"audit log, audit\.log(\.head)?: ", refused)
    assert "Traceback" not in refused
    assert agent.audit_log.read_bytes() == spoiled


@pytest.mark.parametrize("spoil", [_swap, _exchange])
def test_old_damage_stays_visible(folder: Path, written: Path, spoil: Spoil) -> None:
    """A start reads from the last checkpoint on; `audit verify` finds what was done before it.

    So does the agent itself, which reads the whole log behind its requests, and tells.
    """
    agent = dev_agent(folder, copytree(written, folder / "data"))
    _spoil_log(agent, spoil)
    _need_found(agent)
    with running(agent):
        assert agent.call("POST", _compat("more"), {"data": {}}).status == 200
        _await_alarm(agent)
        told = agent.call("GET", "/api/v1/audit/status").json["trouble"]
        assert "the log is damaged: audit.log, line" in told
    _need_found(agent)


def _spoil_log(agent: Agent, spoil: Spoil) -> None:
    lines = agent.audit_log.read_bytes().splitlines(keepends=True)
    spoiled = spoil(lines)
    assert spoiled != lines
    agent.audit_log.write_bytes(b"".join(spoiled))


def _await_alarm(agent: Agent) -> None:
    await_true(lambda: b"\nvault_audit_damaged 1.0\n" in agent.call("GET", "/metrics").body)


def _need_found(agent: Agent) -> None:
    verdict = agent.verify()
    assert verdict.returncode == 1
    assert re.search(r"the log is not whole: audit\.log", verdict.stderr), verdict.stderr
    assert "Traceback" not in verdict.stderr


def _compat(name: str) -> str:
    return f"/v1/secret/data/{name}".replace(" ", "%20")


def _native(name: str) -> str:
    return f"/api/v1/secrets/secret/{name}".replace(" ", "%20")


def _token(agent: Agent, name: str) -> str:
    body = {"policies": ["reader"], "ttl": "1h", "display_name": name}
    made = agent.call("POST", "/v1/auth/token/create", body)
    text: str = made.json["auth"]["client_token"]
    return text


def _key(agent: Agent, name: str) -> str:
    user = agent.call("POST", "/api/v1/users", {"username": name, "policies": ["reader"]})
    assert user.status == 201, user
    made = agent.call("POST", "/api/v1/keys", {"user": name, "name": name})
    assert made.status == 201, made
    text: str = json.loads(made.body)["key"]
    return text
