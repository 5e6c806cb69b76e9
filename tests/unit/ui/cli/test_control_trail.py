"""What is read where the control plane's database is."""

from pathlib import Path

from protocols.lockfile import LockFile
from tests.unit.ui.cli.conftest import Run


def test_a_control_plane_that_runs_is_to_be_stopped(cli: Run, tmp_path: Path) -> None:
    """Of SQLite's: the command says so, and reads nothing."""
    lock = LockFile(tmp_path / "control.db.lock")
    lock.acquire()
    try:
        done = cli("control", "trail", "verify", "--data-dir", str(tmp_path))
    finally:
        lock.release()
    assert (done.code, done.out) == (1, "")
    assert "store_locked: " in done.err
    assert done.err.endswith(
        "; stop the control plane first: SQLite is for one process at a time\n"
    )
