"""How many lines an audit log holds, rotated files included, read once and then followed."""

from pathlib import Path

CHUNK = 1 << 20


class AuditLogCounter:
    """A growing log at a path, with `path.*` beside it for what was rotated away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: dict[int, tuple[int, int]] = {}  # inode → (offset, lines before it)

    def count_lines(self) -> int:
        """Lines that were ever in it, as far as their files were seen or are still there."""
        for file in (self.path, *self.path.parent.glob(f"{self.path.name}.[0-9]*")):
            self._follow(file)
        return sum(lines for _, lines in self._read.values())

    def _follow(self, file: Path) -> None:
        with file.open("rb") as log:
            inode, size = file.stat().st_ino, file.stat().st_size
            offset, lines = self._read.get(inode, (0, 0))
            if size < offset:  # another file by the number of one that was removed
                offset = 0
            log.seek(offset)
            while chunk := log.read(CHUNK):
                offset, lines = offset + len(chunk), lines + chunk.count(b"\n")
        self._read[inode] = offset, lines
