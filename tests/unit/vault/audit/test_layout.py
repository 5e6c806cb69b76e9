"""Names of files, and lines out of them."""

from pathlib import Path

import pytest

from vault.audit.layout import LogLayout, read_lines, read_segment_header
from vault.audit.record import MAX_LINE
from vault.audit.testing import write_log


def test_files_are_in_the_order_of_the_log(tmp_path: Path) -> None:
    """Closed segments by number, then the active file; nothing else that lies about."""
    layout = LogLayout(tmp_path / "audit.log")
    for name in ("audit.log", "audit.log.00000010", "audit.log.00000009", "audit.log.123456789"):
        (tmp_path / name).touch()
    for name in ("audit.log.head", "audit.log.reserve", "audit.log.1", "xaudit.log.00000001"):
        (tmp_path / name).touch()
    assert layout.closed_segment_numbers() == [9, 10, 123456789]
    assert [path.name for path in layout.segment_files()] == [
        "audit.log.00000009",
        "audit.log.00000010",
        "audit.log.123456789",
        "audit.log",
    ]
    layout.log.unlink()
    assert len(layout.segment_files()) == 3


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    """Reading is bounded, whatever lies on the disk."""
    path = tmp_path / "f"
    path.write_bytes(b"x" * (3 * MAX_LINE) + b"\n" + b"next\n")
    lines = list(read_lines(path))
    assert [(len(line.data), line.is_complete) for line in lines] == [(MAX_LINE + 1, False)]


def test_the_first_record_is_the_header(tmp_path: Path) -> None:
    """The header of a segment, or an error for a file without one."""
    write_log(tmp_path / "audit.log", 1)
    assert read_segment_header(tmp_path / "audit.log").kind == "genesis"
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        read_segment_header(tmp_path / "empty")
