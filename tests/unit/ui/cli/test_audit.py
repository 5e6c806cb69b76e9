import base64
import json
from pathlib import Path

import pytest

from tests.contract.store.samples import StampGuard, put
from tests.unit.ui.cli.conftest import TOKEN, FakeAgent, Run
from vault.audit.checkpoint import log_id_of
from vault.audit.head_file import read_head
from vault.audit.testing import VAULT, make_keys, write_log
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.model.records import NodeRow
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.state import Anchor
from vault.store.sqlite import SqliteBackend
from vault.store.tables import NODES
from vault.store.transaction import transact

KEYS = make_keys()
ANCHOR_KEYS = DerivedAnchorKeys(Keyring.create(1, org="o", vault=VAULT))
KEY = base64.b64encode(KEYS.public).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of a few records."""
    path = tmp_path / "audit.log"
    write_log(path, 3)
    return path


def test_a_log_of_another_key_is_1(cli: Run, log: Path) -> None:
    """Whoever replaced everything did not have the key."""
    other = base64.b64encode(make_keys(b"other").public).decode()
    assert cli("audit", "verify", "--log", str(log), "--key", other).code == 1


def test_an_anchor_beside_the_log_is_minded(cli: Run, log: Path) -> None:
    """And one that is named; what is no anchor is told by its name."""
    anchor = log.with_name("vault.anchor")
    for content, words in ((b"nonsense", ()), (b"nonsense", ("--anchor", str(anchor)))):
        anchor.write_bytes(content)
        done = cli("audit", "verify", "--log", str(log), *words)
        assert done.code == 1
        assert "vault.anchor: not an anchor" in done.err
    done = cli("audit", "verify", "--log", str(log), "--anchor", str(anchor) + "x")
    assert done.code == 1
    assert "cannot read" in done.err


def test_a_database_beside_the_log_is_minded_too(cli: Run, log: Path) -> None:
    """What is none is told by its name."""
    log.with_name("vault.db").write_bytes(b"nonsense" * 1000)
    done = cli("audit", "verify", "--log", str(log))
    assert (done.code, done.out) == (1, "")
    assert "vault.db: store_" in done.err


def test_a_log_alone_is_said_to_be_alone(cli: Run, log: Path) -> None:
    """Whole in itself is all that can be said then: an older copy of all of it is whole too."""
    done = cli("audit", "verify", "--log", str(log))
    assert done.code == 0
    assert "no anchor and no database to compare the log with" in done.err


def test_a_log_that_cannot_be_read_is_told(cli: Run, tmp_path: Path) -> None:
    """By its name."""
    folder = tmp_path / "audit.log"
    folder.mkdir()
    done = cli("audit", "verify", "--log", str(folder))
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "audit.log" in done.err


def test_a_log_that_is_not_there_is_told(cli: Run, log: Path) -> None:
    """A misspelt path is no damaged log; one whose head is left is."""
    done = cli("audit", "verify", "--log", str(log.with_name("nope")))
    assert done.code == 1
    assert done.err.splitlines()[-1] == f"freehold: there is no audit log: {log.with_name('nope')}"
    log.unlink()
    assert "the log is not whole" in cli("audit", "verify", "--log", str(log)).err


def database(path: Path, notes: dict[str, tuple[str, str]]) -> None:
    """A vault's database, which has a node of each of these names with the head of its log."""
    backend = SqliteBackend(f"sqlite:///{path}")
    backend.open()
    for node, (machine, note) in notes.items():
        row = NodeRow(id=node, name=machine, checkpoint=note, mac=b"unverified")
        transact(backend, put(NODES, row), StampGuard())
    backend.close()


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    """The logs of two nodes that share a database, each in a folder, and the database beside."""
    notes = {}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        log = tmp_path / name / "audit.log"
        write_log(log, 3, log_id=log_id_of(VAULT, name), keys=make_keys(name.encode()))
        notes[name] = (f"machine-{name}", head_of(log, name))
    database(tmp_path / "vault.db", notes)
    seen = Anchor(vault=VAULT, node="a", epoch=1, commits=1, checkpoint=notes["a"][1])
    AnchorFile(tmp_path / "vault.anchor").write(seen, ANCHOR_KEYS)
    settings = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}},
        "storage": {"connection_string": f"sqlite:///{tmp_path}/vault.db"},
    }
    (tmp_path / "vault.yaml").write_text(json.dumps(settings))
    return tmp_path


def head_of(log: Path, name: str) -> str:
    """The signed head as it is."""
    keys = make_keys(name.encode())
    return read_head(log.with_name("audit.log.head"), keys, keys.public).note


def test_the_logs_of_several_nodes(cli: Run, nodes: Path) -> None:
    """As folders, as files, or as the folder of both; each with its own key."""
    config = ("--config", str(nodes / "vault.yaml"), "--complete", "-o", "json")
    keys = [base64.b64encode(make_keys(name).public).decode() for name in (b"a", b"b")]
    for words in (
        ("--log", str(nodes / "a"), "--log", str(nodes / "b" / "audit.log")),
        ("--log", str(nodes)),
        ("--log", str(nodes), "--key", keys[0], "--key", keys[1]),
    ):
        done = cli("audit", "verify", *words, *config)
        assert (done.code, done.err) == (0, "")
        assert [(row["node"], row["public_key"]) for row in done.json] == [
            ("a", keys[0]), ("b", keys[1]),
        ]  # fmt: skip
    done = cli("audit", "verify", "--log", str(nodes), "--key", keys[0], *config)
    assert (done.code, [row["node"] for row in done.json]) == (1, ["a"])
    assert "not signed by" in done.err


def test_a_node_whose_log_is_missing_is_told(cli: Run, nodes: Path) -> None:
    """By its id and its machine; with --complete that is a failure."""
    words = ("audit", "verify", "--log", str(nodes / "a"), "--config", str(nodes / "vault.yaml"))
    done = cli(*words)
    assert done.code == 0
    assert "node b (machine-b): its log is missing" in done.err
    done = cli(*words, "--complete")
    assert done.code == 1
    assert "1 of 2 logs is missing" in done.err


def test_a_node_whose_log_is_behind_is_told(cli: Run, nodes: Path) -> None:
    """All others are read all the same."""
    log = nodes / "a" / "audit.log"
    for file in log.parent.iterdir():
        file.unlink()
    write_log(log, 2, log_id=log_id_of(VAULT, "a"), keys=make_keys(b"a"))
    done = cli("audit", "verify", "--log", str(nodes), "--config", str(nodes / "vault.yaml"))
    assert done.code == 1
    assert f"{log}: the log is not whole" in done.err
    assert "the witness has seen" in done.err
    assert str(nodes / "b") in done.out


def test_a_log_that_no_node_has_is_told(cli: Run, nodes: Path) -> None:
    """Whoever replaced a log by one of another vault is found out by the database."""
    for file in (nodes / "a").iterdir():
        file.unlink()
    write_log(nodes / "a" / "audit.log", 9, log_id="other/a")
    done = cli("audit", "verify", "--log", str(nodes / "a"), "--config", str(nodes / "vault.yaml"))
    assert done.code == 1
    assert "the log of no node that" in done.err


def test_the_key_is_printed_alone(cli: Run, log: Path) -> None:
    """To be kept elsewhere; not of a log that is not whole."""
    assert cli("audit", "key", "get", "--log", str(log)).out == f"{KEY}\n"
    log.write_text(log.read_text().replace("alice", "mally", 1))
    assert cli("audit", "key", "get", "--log", str(log)).code == 1


@pytest.mark.parametrize("key", ["!", "YQ", "é"])
def test_a_key_that_is_none_is_wrong_usage(key: str, cli: Run, log: Path) -> None:
    """It is never taken for no key at all."""
    assert cli("audit", "verify", "--log", str(log), "--key", key).code == 64


def test_query_takes_an_id_or_a_name_and_says_that_neither_is_there(
    agent: FakeAgent, cli: Run
) -> None:
    """An id is searched for by the filters of the index; a name is that of deleted users too."""
    user = "f89362bb-6603-4521-a79d-7c44e6e05b7f"
    for actor, asked in ((user, "actor_id"), ("ann", "actor")):
        agent.answer({"events": [], "cursor": ""})
        done = cli("audit", "query", "--actor", actor)
        assert f"no matching record of {actor}, by name or by id" in done.err
        assert agent.seen[-1].path == f"/api/v1/audit/events?{asked}={actor}"


def test_the_events_of_several_agents_are_merged(agent: FakeAgent, cli: Run) -> None:
    """By time, newest first, page by page as they are needed."""

    def event(node: str, seq: int, time: str) -> dict[str, object]:
        return {"node": node, "seq": seq, "time": f"2026-01-01T00:00:{time}Z"}

    a, b = event("a", 9, "09.5"), event("b", 3, "09")
    older = event("a", 8, "08"), event("b", 2, "08.1")
    agent.answer({"events": [a], "cursor": "9"})
    agent.answer({"events": [b, older[1]], "cursor": ""})
    agent.answer({"events": [older[0]], "cursor": ""})
    done = cli("audit", "query", "--agent", agent.address, "--limit", "4", "-o", "json")
    assert done.json == [a, b, older[1], older[0]]
    assert {seen.headers["authorization"] for seen in agent.seen} == {f"Bearer {TOKEN}"}


def test_status_has_a_row_for_each_copy(agent: FakeAgent, cli: Run) -> None:
    """And says when nothing is wrong; programs get it as the API has it."""
    found = {"size": 7, "sinks": [{"name": "file", "size": 7, "error": ""}], "trouble": ""}
    agent.answer(found)
    assert cli("audit", "status").out.splitlines() == [
        "key      value", "size     7", "trouble  none", "name  size  error", "file  7",
    ]  # fmt: skip
    agent.answer(found)
    assert cli("audit", "status", "-o", "json").json == found
