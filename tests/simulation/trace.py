"""What happened in a run, as lines and as one hash: two runs of a seed have the same."""

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Final

import trio

KEPT: Final = 400  # lines, for whoever looks at a failure


class Trace:
    """Append-only. `echo` gets every line as it is written."""

    def __init__(self, echo: Callable[[str], None] | None = None) -> None:
        self._hash = hashlib.sha256()
        self._echo = echo
        self.lines = 0
        self.last: deque[str] = deque(maxlen=KEPT)

    def write(self, who: str, what: str) -> None:
        """One line, at the virtual time."""
        line = f"{trio.current_time():.6f} {who}: {what}"
        self._hash.update(line.encode() + b"\n")
        self.lines += 1
        self.last.append(line)
        if self._echo is not None:
            self._echo(line)

    def frame(self, who: str, frame: bytes) -> None:
        """A frame's bytes count, its line is short."""
        self.write(who, f"{len(frame)} {hashlib.sha256(frame).hexdigest()[:16]}")

    @property
    def digest(self) -> str:
        """Of all lines so far."""
        return self._hash.hexdigest()
