"""Somebody puts back older copies of database, audit log and anchor, each way there is."""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.acceptance.command import freehold

pytestmark = pytest.mark.usefixtures("workers")

RULE: Final = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
DATABASE: Final = ("vault.db", "vault.db-wal", "vault.db-shm")
LOG: Final = ("audit.log", "audit.log.head")
ANCHOR: Final = ("vault.anchor",)
CODE: Final = re.compile(r"freehold: (\w+): ")


@pytest.fixture(scope="module")
def past(workers: int) -> Iterator[Path]:
    """The data of an agent that was stopped, `early` and, after more work, `late`."""
    with own_folder() as folder:
        agent = dev_agent(folder, workers=workers)
        with running(agent):
            for number in range(4):
                assert agent.call("POST", _compat(str(number)), {"data": {}}).status == 200
        _copy(agent.data, folder / "early", (*DATABASE, *LOG, *ANCHOR, "root.key"))
        with running(agent):
            for number in range(4, 8):
                assert agent.call("POST", _compat(str(number)), {"data": {}}).status == 200
        _copy(agent.data, folder / "late", (*DATABASE, *LOG, *ANCHOR, "root.key"))
        yield folder


@pytest.fixture
def agent(folder: Path, past: Path) -> Agent:
    """A stopped agent on the later state."""
    agent = dev_agent(folder)
    shutil.copytree(past / "late", agent.data)
    return agent


@pytest.mark.parametrize(
    ("back", "code"),
    [
        (DATABASE, "storage_rolled_back"),
        (LOG, "audit_log_behind"),
        ((*DATABASE, *LOG), "storage_rolled_back"),
        ((*DATABASE, *ANCHOR), "storage_rolled_back"),
        ((*LOG, *ANCHOR), "audit_log_behind"),
    ],
    ids=["database", "log", "database and log", "database and anchor", "log and anchor"],
)
def test_an_older_copy_is_noticed(
    agent: Agent, past: Path, back: tuple[str, ...], code: str
) -> None:
    """Whatever one or two of the three were set back, the third knows. Nothing is served."""
    _copy(past / "early", agent.data, back)
    before = {path.name: path.read_bytes() for path in agent.data.iterdir()}
    refused = agent.refused_start()
    assert CODE.findall(refused) == [code]
    assert "operator accept-rollback" in refused
    assert "Traceback" not in refused
    unchanged = {name: before[name] for name in (*LOG, *ANCHOR)}
    assert {name: (agent.data / name).read_bytes() for name in unchanged} == unchanged


@pytest.mark.parametrize(
    ("gone", "code"),
    [
        (LOG, "audit_log_behind"),
        (ANCHOR, "anchor_missing"),
        ((*LOG, *ANCHOR), "audit_log_behind"),
    ],
    ids=["log", "anchor", "log and anchor"],
)
def test_what_is_gone_is_missed(agent: Agent, gone: tuple[str, ...], code: str) -> None:
    """A log that was removed with its head does not begin anew in silence."""
    for name in gone:
        (agent.data / name).unlink()
    assert CODE.findall(agent.refused_start()) == [code]
    assert not any((agent.data / name).exists() for name in gone)


def test_what_was_set_back_as_a_whole_opens(agent: Agent, past: Path) -> None:
    """With all three set back nothing local can know: that is what a witness elsewhere is for."""
    _copy(past / "early", agent.data, (*DATABASE, *LOG, *ANCHOR))
    with running(agent):
        assert agent.call("GET", _compat("7")).status == 404


def test_a_flipped_byte_of_the_anchor_is_told(agent: Agent) -> None:
    """It is damaged, or of another vault."""
    anchor = agent.data / "vault.anchor"
    assert anchor.stat().st_mode & 0o777 == 0o600
    anchor.write_bytes(anchor.read_bytes().replace(b'"commits":', b'"commits":1'))
    assert CODE.findall(agent.refused_start()) == ["anchor_damaged"]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM policies WHERE name = 'denying'",
        "INSERT INTO tokens SELECT * FROM old.tokens WHERE id NOT IN (SELECT id FROM tokens)",
        "REPLACE INTO users SELECT * FROM old.users",
        "UPDATE secret_versions SET mac = zeroblob(32)",
    ],
    ids=["a deleted policy", "a revoked token", "an older user", "a stamp"],
)
def test_single_rows_that_were_put_back_are_noticed(folder: Path, change: str) -> None:
    """Each is genuine, and was genuine once: only the count of all rows tells."""
    agent = dev_agent(folder)
    with running(agent):
        assert agent.call("POST", _compat("a"), {"data": {}}).status == 200
        assert agent.call("PUT", "/api/v1/policies/denying", {"rules": [RULE]}).status == 200
        user = agent.call("POST", "/api/v1/users", {"username": "ann", "policies": []})
        made = agent.call("POST", "/v1/auth/token/create", {"policies": ["denying"], "ttl": "1h"})
        token = made.json["auth"]["client_token"]
    _copy(agent.data, folder / "old", DATABASE)
    with running(agent):
        revoke = agent.call("POST", "/v1/auth/token/revoke", {"token": token})
        assert revoke.status == 204
        path = f"/api/v1/users/{user.json['id']}"
        assert agent.call("DELETE", path).status == 204
    with closing(sqlite3.connect(agent.database)) as db:
        db.execute(f"ATTACH '{folder}/old/vault.db' AS old")
        assert db.execute(change).rowcount > 0
        db.commit()
    refused = agent.refused_start()
    assert CODE.findall(refused) == ["storage_rows_changed"]
    assert re.search(r"policies|tokens|users|secret_versions", refused)


@pytest.mark.parametrize("back", [DATABASE, LOG, (*DATABASE, *ANCHOR)])
def test_an_operator_accepts_once(agent: Agent, past: Path, back: tuple[str, ...]) -> None:
    """Then it opens, on record and at a higher epoch; the copies of before are old for ever."""
    with running(agent):
        epoch = agent.call("GET", "/api/v1/system/key-status").json["epoch"]
    _copy(agent.data, agent.folder / "later", (*DATABASE, *LOG, *ANCHOR))
    _copy(past / "early", agent.data, back)
    agent.refused_start()
    accepted = freehold(
        "operator", "accept-rollback", "--anchor", str(agent.data / "vault.anchor"),
        "--reason", "restored after a fire",
    )  # fmt: skip
    assert accepted.returncode == 0, accepted.stderr
    with running(agent):
        assert agent.call("POST", _compat("after"), {"data": {}}).status == 200
        assert agent.call("GET", "/api/v1/system/key-status").json["epoch"] > epoch
        query = "/api/v1/audit/events?operation=sys.accept_rollback"
        [event] = agent.call("GET", query).json["events"]
        assert event["actor_name"] == "operator"
        assert "restored after a fire" in event["rule"]
    assert not (agent.data / "vault.anchor.accept").exists()
    assert agent.verify().returncode == 0
    _copy(agent.folder / "later", agent.data, DATABASE)
    assert CODE.findall(agent.refused_start()) == ["storage_rolled_back"]


def test_an_acceptance_runs_out(agent: Agent, past: Path) -> None:
    """After an hour it counts no more, and at an opening that did not need it it is removed."""
    accept = agent.data / "vault.anchor.accept"
    accept.write_text(json.dumps({"time": 1_700_000_000 * 10**9, "reason": "long ago"}))
    with running(agent):
        assert not accept.exists()
    accept.write_text(json.dumps({"time": 1_700_000_000 * 10**9, "reason": "long ago"}))
    _copy(past / "early", agent.data, DATABASE)
    assert CODE.findall(agent.refused_start()) == ["storage_rolled_back"]


@pytest.mark.parametrize(
    ("back", "witness"),
    [
        (LOG, "vault"),  # both know of it
        ((*LOG, *ANCHOR), "vault.db"),
        ((*LOG, *DATABASE), "vault.anchor"),
    ],
    ids=["log", "log and anchor", "log and database"],
)
@pytest.mark.parametrize("gone", [False, True], ids=["older", "removed"])
def test_verify_finds_a_log_that_was_cut_with_its_head(
    agent: Agent, past: Path, back: tuple[str, ...], witness: str, *, gone: bool
) -> None:
    """It is held against what lies beside it, and says who has seen more of it."""
    assert agent.verify().returncode == 0
    _copy(past / "early", agent.data, back)
    if gone:  # what could have told of it, too
        for name in set(back) - set(LOG):
            (agent.data / name).unlink(missing_ok=True)
    found = agent.verify()
    assert found.returncode == 1
    assert re.search(
        rf"audit\.log, line \d+, record \d+: the log ends here; the witness has seen \d+ records "
        rf"\(witness: .*/{re.escape(witness)}",
        found.stderr,
    )


def test_verify_takes_an_anchor_from_elsewhere(agent: Agent, past: Path) -> None:
    """Without it nothing tells that log, head and database are older copies; and that is said."""
    _copy(past / "early", agent.data, (*LOG, *DATABASE))
    for name in DATABASE:
        (agent.data / name).unlink(missing_ok=True)
    elsewhere = agent.folder / "elsewhere"
    (agent.data / "vault.anchor").rename(elsewhere)
    alone = agent.verify()
    assert alone.returncode == 0
    assert "no anchor and no database" in alone.stderr
    words = ("audit", "verify", "--log", str(agent.audit_log), "--anchor", str(elsewhere))
    assert "the witness has seen" in freehold(*words).stderr


def _copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Put files in the place of others; what is not in `source` is removed from `target`."""
    target.mkdir(exist_ok=True)
    for name in names:
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copy2(source / name, target / name)


def _compat(name: str) -> str:
    return f"/v1/secret/data/{name}"
