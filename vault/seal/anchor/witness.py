"""Who else remembers how long an audit log was: for its verifier, which has no keys. Blocks.

A witness is a signed checkpoint of a log, kept by somebody other than the log's own head file.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from vault.audit.checkpoint import origin_node, parse_unverified_head
from vault.seal.anchor.anchor_file import read_unverified
from vault.seal.anchor.commit_stamp import COMMIT_STAMP_ROW
from vault.seal.anchor.state import CommitStamp, decode_unverified
from vault.store.interface import StoreSession
from vault.store.server import ServerBackend
from vault.store.sqlite import ForeignSqliteReader
from vault.store.table import StoreQuery
from vault.store.tables import NODES, SYSTEM


class LogWitness(Struct, frozen=True):
    """Where it was found, the checkpoint, and the name of the node's machine if it is known."""

    place: str
    note: str
    machine: str = ""

    @property
    def size(self) -> int:
        """How many records it has seen."""
        return parse_unverified_head(self.note).size

    @property
    def origin(self) -> str:
        """Which log that is."""
        return parse_unverified_head(self.note).origin

    @property
    def node(self) -> str:
        """The node whose log that is."""
        return origin_node(self.origin)


def read_anchor_witness(file: Path) -> LogWitness | None:
    """What an anchor has seen; None before the first record. Raises `ValueError`, `OSError`."""
    note = read_unverified(file).checkpoint
    return LogWitness(str(file), note) if note else None


def read_database_witnesses(file: Path) -> list[LogWitness]:
    """What a database has seen of each node's log, while an agent holds it or not.

    Raises `ValueError`, `UnavailableError`.
    """
    reader = ForeignSqliteReader(f"sqlite:///{quote(str(file.absolute()))}", readers=1)
    reader.open()
    try:
        with reader.read() as session:
            return list(read_witnesses(str(file), session))
    finally:
        reader.close()


def read_server_witnesses(backend: ServerBackend) -> list[LogWitness]:
    """As `read_database_witnesses`, of a database on a server."""
    with backend.read_closed() as session:
        return list(read_witnesses(backend.location, session))


def read_witnesses(place: str, session: StoreSession) -> Iterator[LogWitness]:
    """What a database has seen of each node's log. Raises `ValueError`.

    The commit stamp last: what it says goes into a row when the next one replaces it.
    """
    head = session.get(SYSTEM, (COMMIT_STAMP_ROW,))
    stamp = decode_unverified(head.value, CommitStamp) if head is not None else None
    machines = dict[str, str]()
    after = None
    while page := session.select(NODES, StoreQuery(after=after)):
        for row in page:
            machines[row.id] = row.name
            if row.checkpoint:
                yield LogWitness(place, row.checkpoint, row.name)
        after = NODES.key_of(page[-1])
    if stamp is not None and stamp.checkpoint:
        yield LogWitness(place, stamp.checkpoint, machines.get(stamp.node, ""))
