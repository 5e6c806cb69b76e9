"""Ends in memory, as processes share them, for tests."""

from pathlib import Path

from vault.audit.layout import LogLayout
from vault.audit.shared_tail import BYTES, SharedTail


class Ends:
    """One end, of which each call gives another process's view."""

    def __init__(self, log: Path) -> None:
        self.layout = LogLayout(log)
        self.memory = memoryview(bytearray(BYTES))

    def view(self) -> SharedTail:
        """As one more process sees it."""
        return SharedTail(self.memory, self.layout.head_file)
