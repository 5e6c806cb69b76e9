"""Who else remembers how long the audit log was: for its verifier, which has no keys. Blocks.

A witness is a signed checkpoint of the log, kept by somebody other than the log's own head file.
"""

from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from vault.audit.checkpoint import parse_unverified_head
from vault.seal.anchor.anchor_file import read_unverified
from vault.seal.anchor.commit_stamp import COMMIT_STAMP_ROW
from vault.seal.anchor.state import CommitStamp, decode_unverified
from vault.store.server import ServerBackend
from vault.store.sqlite import ForeignSqliteReader
from vault.store.tables import SYSTEM


class LogWitness(Struct, frozen=True):
    """Where it was found, and the checkpoint."""

    place: str
    note: str

    @property
    def size(self) -> int:
        """How many records it has seen."""
        return parse_unverified_head(self.note).size


def read_anchor_witness(file: Path) -> LogWitness | None:
    """What an anchor has seen; None before the first record. Raises `ValueError`, `OSError`."""
    note = read_unverified(file).checkpoint
    return LogWitness(str(file), note) if note else None


def read_database_witness(file: Path) -> LogWitness | None:
    """What the stamp in a database has seen, while an agent holds it or not, of whichever release.

    None where there is none yet. Raises `ValueError`, `UnavailableError`.
    """
    reader = ForeignSqliteReader(f"sqlite:///{quote(str(file.absolute()))}", readers=1)
    reader.open()
    try:
        with reader.read() as session:
            row = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
    finally:
        reader.close()
    return _stamp_witness(str(file), b"" if row is None else row.value)


def read_server_witness(backend: ServerBackend) -> LogWitness | None:
    """As `read_database_witness`, of a database on a server."""
    return _stamp_witness(backend.location, backend.read_closed_head())


def _stamp_witness(place: str, stamp: bytes) -> LogWitness | None:
    note = decode_unverified(stamp, CommitStamp).checkpoint if stamp else ""
    return LogWitness(place, note) if note else None
