import base64
from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run
from vault.audit.testing import make_keys, write_log

KEYS = make_keys()
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


def test_status_has_a_row_for_each_copy(agent: FakeAgent, cli: Run) -> None:
    """And says when nothing is wrong; programs get it as the API has it."""
    found = {"size": 7, "sinks": [{"name": "file", "size": 7, "error": ""}], "trouble": ""}
    agent.answer(found)
    assert cli("audit", "status").out.splitlines() == [
        "key      value", "size     7", "trouble  none", "name  size  error", "file  7",
    ]  # fmt: skip
    agent.answer(found)
    assert cli("audit", "status", "-o", "json").json == found
