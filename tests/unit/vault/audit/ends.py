"""Ends in memory, as processes share them, for tests."""

from pathlib import Path

from vault.audit.end import BYTES, SharedEnd
from vault.audit.layout import Layout


class Ends:
    """One end, of which each call gives another process's view."""

    def __init__(self, log: Path) -> None:
        self.layout = Layout(log)
        self.memory = memoryview(bytearray(BYTES))

    def view(self) -> SharedEnd:
        """As one more process sees it."""
        return SharedEnd(self.memory, self.layout.head)
