"""What the anchor and the mark have seen of the log, told to whoever has no keys."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.vault.seal.anchor.places import KEYS, Log, commit, new_stamp_writer
from vault.audit.checkpoint import log_origin
from vault.audit.testing import LOG_ID, NODE, VAULT
from vault.errors import UnavailableError
from vault.seal.anchor.anchor_file import AnchorFile
from vault.seal.anchor.state import Anchor
from vault.seal.anchor.witness import read_anchor_witness, read_database_witnesses
from vault.store.sqlite import SqliteBackend


@pytest.fixture
def note(tmp_path: Path) -> str:
    """The signed head of a log."""
    log = Log(tmp_path / "audit.log", lambda: 0)
    try:
        return log.grow()
    finally:
        log.close()


def anchor(path: Path, checkpoint: str) -> Path:
    """An anchor with it."""
    state = Anchor(vault=VAULT, epoch=1, commits=1, checkpoint=checkpoint)
    AnchorFile(path).write(state, KEYS)
    return path


def database(path: Path, checkpoint: str | None) -> Path:
    """A database with it in its mark; None: without a mark."""
    backend: Any = SqliteBackend(f"sqlite:///{path}")
    backend.open()
    if checkpoint is not None:
        stamp_writer = new_stamp_writer()
        stamp_writer.checkpoint = checkpoint
        commit(backend, stamp_writer)
    backend.close()
    return path


def test_each_tells_what_it_has_seen(tmp_path: Path, note: str) -> None:
    """The note as it was signed, its size, and in which file it is."""
    for witness in (
        read_anchor_witness(anchor(tmp_path / "a", note)),
        *read_database_witnesses(database(tmp_path / "d b", note)),
    ):
        assert witness is not None
        assert (witness.node, witness.origin) == (NODE, log_origin(LOG_ID))
        assert witness.note == note
        assert witness.size == 3  # genesis, checkpoint and the record
    assert witness.place == str(tmp_path / "d b")


def test_before_the_first_record_there_is_none(tmp_path: Path) -> None:
    """Nor in a database that has no mark yet."""
    assert read_anchor_witness(anchor(tmp_path / "a", "")) is None
    assert read_database_witnesses(database(tmp_path / "b", "")) == []
    assert read_database_witnesses(database(tmp_path / "c", None)) == []


def test_a_database_is_read_while_an_agent_holds_it(tmp_path: Path, note: str) -> None:
    """Nothing is locked, and nothing is changed."""
    path = database(tmp_path / "d", note)
    agent = SqliteBackend(f"sqlite:///{path}")
    agent.open()
    try:
        assert read_database_witnesses(path)
    finally:
        agent.close()


@pytest.mark.parametrize(
    "change", ["ALTER TABLE tokens DROP COLUMN denied_by", "ALTER TABLE secrets ADD COLUMN x JSON"]
)
def test_a_database_of_another_release_is_read(tmp_path: Path, note: str, change: str) -> None:
    """Before an upgrade and after it, and in a backup: its schema is nobody's fault."""
    path = database(tmp_path / "d", note)
    with closing(sqlite3.connect(path)) as other:
        other.execute(change)
    (found,) = read_database_witnesses(path)
    assert found.note == note


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    """As what it is not; and no file is made where there is none."""
    wrong = tmp_path / "x"
    wrong.write_bytes(b"nonsense" * 1000)
    with pytest.raises(ValueError, match="not an anchor"):
        read_anchor_witness(wrong)
    for path in (wrong, tmp_path / "none"):
        with pytest.raises(UnavailableError):
            read_database_witnesses(path)
    assert not (tmp_path / "none").exists()
