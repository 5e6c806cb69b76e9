"""Which files a log is made of, and how its lines are read.

`audit.log` is the segment that is being written; a full one becomes `audit.log.00000001` and so on,
so that names sort in the order of the log. Beside them: `audit.log.head`, `audit.log.reserve`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vault.audit.record import MAX_LINE, Record, decode


class Line(NamedTuple):
    """A line and where it is. `number` counts from 1; `whole`: it ends with a newline."""

    file: str
    number: int
    data: bytes
    whole: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of one log's files."""

    log: Path

    @property
    def head(self) -> Path:
        """The head file."""
        return self._beside("head")

    @property
    def reserve(self) -> Path:
        """The file that is given up when the disk is full."""
        return self._beside("reserve")

    def closed(self, number: int) -> Path:
        """The file of a segment that is no longer written."""
        return self._beside(f"{number:08d}")

    def numbers(self) -> list[int]:
        """The closed segments that exist, ascending. Raises `OSError`."""
        pattern = re.compile(re.escape(self.log.name) + r"\.(\d{8,})")
        names = (pattern.fullmatch(path.name) for path in self.log.parent.iterdir())
        return sorted(int(match[1]) for match in names if match)

    def files(self) -> list[Path]:
        """Every segment that exists, in the order of the log."""
        closed = [self.closed(number) for number in self.numbers()]
        return [*closed, self.log] if self.log.exists() else closed

    def _beside(self, suffix: str) -> Path:
        return self.log.with_name(f"{self.log.name}.{suffix}")


def read_lines(path: Path, offset: int = 0) -> Iterator[Line]:
    """The lines of one segment from a byte offset on; `number` counts from there.

    A line longer than `MAX_LINE` ends the reading, as one that is not whole. Raises `OSError`.
    """
    with path.open("rb") as file:
        file.seek(offset)
        number = 0
        while data := file.readline(MAX_LINE + 1):
            number += 1
            whole = data.endswith(b"\n")
            yield Line(path.name, number, data[:-1] if whole else data, whole)
            if not whole:
                return


def first_record(path: Path) -> Record:
    """The header of a segment. Raises `ValueError` when it is none, or `OSError`."""
    for line in read_lines(path):
        return decode(line.data)
    raise ValueError("the file is empty")
