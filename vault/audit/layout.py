"""Which files a log is made of, and how its lines are read.

`audit.log` is the segment that is being written; a full one becomes `audit.log.00000001` and so on,
so that names sort in the order of the log. Beside them: `audit.log.head`, `audit.log.reserve`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vault.audit.record import MAX_LINE, AuditRecord, decode_record


class LogLine(NamedTuple):
    """A line and where it is. `number` counts from 1; `whole`: it ends with a newline."""

    file: str
    number: int
    data: bytes
    is_complete: bool


@dataclass(frozen=True, slots=True)
class LogLayout:
    """The names of one log's files."""

    log: Path

    @property
    def head_file(self) -> Path:
        """The head file."""
        return self._with_suffix("head")

    @property
    def reserve_file(self) -> Path:
        """The file that is given up when the disk is full."""
        return self._with_suffix("reserve")

    def closed_segment(self, number: int) -> Path:
        """The file of a segment that is no longer written."""
        return self._with_suffix(f"{number:08d}")

    def closed_segment_numbers(self) -> list[int]:
        """The closed segments that exist, ascending. Raises `OSError`."""
        pattern = re.compile(re.escape(self.log.name) + r"\.(\d{8,})")
        names = (pattern.fullmatch(path.name) for path in self.log.parent.iterdir())
        return sorted(int(match[1]) for match in names if match)

    def segment_files(self) -> list[Path]:
        """Every segment that exists, in the order of the log."""
        closed = [self.closed_segment(number) for number in self.closed_segment_numbers()]
        return [*closed, self.log] if self.log.exists() else closed

    def _with_suffix(self, suffix: str) -> Path:
        return self.log.with_name(f"{self.log.name}.{suffix}")


def read_lines(path: Path, offset: int = 0) -> Iterator[LogLine]:
    """The lines of one segment from a byte offset on; `number` counts from there.

    A line longer than `MAX_LINE` ends the reading, as one that is not whole. Raises `OSError`.
    """
    with path.open("rb") as file:
        file.seek(offset)
        number = 0
        while data := file.readline(MAX_LINE + 1):
            number += 1
            whole = data.endswith(b"\n")
            yield LogLine(path.name, number, data[:-1] if whole else data, whole)
            if not whole:
                return


def read_segment_header(path: Path) -> AuditRecord:
    """The header of a segment. Raises `ValueError` when it is none, or `OSError`."""
    for line in read_lines(path):
        return decode_record(line.data)
    raise ValueError("the file is empty")
