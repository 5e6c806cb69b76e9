"""What is read where the control plane's database is."""

from pathlib import Path

import pytest

from protocols.lockfile import LockFile
from tests.newest import bring_up
from tests.unit.ui.cli.conftest import Run


def test_a_change_takes_a_control_plane_that_is_stopped(cli: Run, tmp_path: Path) -> None:
    """Of SQLite's: the command says so, and changes nothing."""
    bring_up(f"sqlite:///{tmp_path}/control.db")
    lock = LockFile(tmp_path / "control.db.lock")
    lock.acquire()
    try:
        words = ("control", "user", "recover", "platform", "admin", "--data-dir", str(tmp_path))
        done = cli(*words, stdin="a long enough password\n")
        read = cli("control", "audit", "verify", "--data-dir", str(tmp_path))
    finally:
        lock.release()
    assert (done.code, done.out) == (1, "")
    assert "store_locked: " in done.err
    assert done.err.endswith("; stop the control plane, repeat this, and start it again\n")
    assert read.code == 0, read.err


@pytest.mark.parametrize("words", [("audit", "verify"), ("audit", "export", "acme"),
                                   ("user", "recover", "platform", "admin")])  # fmt: skip
def test_where_there_is_no_database_none_is_made(
    words: tuple[str, ...], cli: Run, tmp_path: Path
) -> None:
    """A wrong folder is no empty trail that is whole."""
    folder = tmp_path / "wrong"
    done = cli("control", *words, "--data-dir", str(folder), stdin="a long enough password\n")
    assert (done.code, done.out) == (1, "")
    assert f"there is no database at {folder}/control.db" in done.err
    assert "--config FILE" in done.err
    assert not folder.exists()


def test_without_a_key_no_report_is_called_forged(cli: Run, tmp_path: Path) -> None:
    """It says which key it needs, and where that is."""
    report = tmp_path / "report.json"
    report.write_text("{}")
    done = cli("control", "report", "verify", str(report), "--data-dir", str(tmp_path))
    assert (done.code, done.out) == (1, "")
    assert "pass --key" in done.err
