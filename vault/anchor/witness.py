"""Who else remembers how long the audit log was: for its verifier, which has no keys. Blocks.

A witness is a signed checkpoint of the log, kept by somebody other than the log's own head file.
"""

from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from vault.anchor.file import look
from vault.anchor.mark import MARK_ROW
from vault.anchor.state import Mark, read_unchecked
from vault.audit.checkpoint import parse_unverified_head
from vault.store.sqlite import ForeignReader
from vault.store.tables import SYSTEM


class Witness(Struct, frozen=True):
    """A file and the checkpoint in it."""

    file: Path
    note: str

    @property
    def size(self) -> int:
        """How many records it has seen."""
        return parse_unverified_head(self.note).size


def in_anchor(file: Path) -> Witness | None:
    """What an anchor has seen; None before the first record. Raises `ValueError`, `OSError`."""
    note = look(file).checkpoint
    return Witness(file, note) if note else None


def in_database(file: Path) -> Witness | None:
    """What the mark in a database has seen, while an agent holds it or not, of whichever release.

    None where there is none yet. Raises `ValueError`, `UnavailableError`.
    """
    reader = ForeignReader(f"sqlite:///{quote(str(file.absolute()))}", readers=1)
    reader.open()
    try:
        with reader.read() as session:
            row = session.get(SYSTEM, (MARK_ROW,))
    finally:
        reader.close()
    note = read_unchecked(row.value, Mark).checkpoint if row is not None else ""
    return Witness(file, note) if note else None
