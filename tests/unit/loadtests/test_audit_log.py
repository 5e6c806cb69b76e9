"""Lines of an audit log are counted once, wherever rotation puts them."""

from pathlib import Path

from loadtests.audit_log import AuditLogCounter


def test_lines_are_counted_as_they_come(tmp_path: Path) -> None:
    """A line counts when it has its end."""
    path = tmp_path / "audit.log"
    path.write_bytes(b"1\n2\nhal")
    log = AuditLogCounter(path)
    assert log.count_lines() == 2
    with path.open("ab") as file:
        file.write(b"f\n4\n")
    assert log.count_lines() == 4


def test_a_rotated_file_is_not_counted_twice(tmp_path: Path) -> None:
    """Nor lost, when the new one begins; and what was removed stays counted."""
    path = tmp_path / "audit.log"
    path.write_bytes(b"1\n2\n")
    log = AuditLogCounter(path)
    assert log.count_lines() == 2
    path.rename(tmp_path / "audit.log.000001")
    path.write_bytes(b"3\n")
    (tmp_path / "audit.log.head").write_bytes(b"no\nrecords\n")
    assert log.count_lines() == 3


def test_another_file_by_an_old_number(tmp_path: Path) -> None:
    """File systems give the number of a removed file to the next: its lines count all the same."""
    path = tmp_path / "audit.log"
    path.write_bytes(b"1\n2\n3\n")
    log = AuditLogCounter(path)
    assert log.count_lines() == 3
    path.write_bytes(b"4\n")  # the same inode, as surely as can be
    assert log.count_lines() == 4
