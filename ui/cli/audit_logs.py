"""Audit logs in files, each with the witnesses that it is held against. No agent is needed."""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ui.cli.agent_files import anchor_path, database_path, default_paths, server_storage
from ui.cli.errors import CliError
from ui.cli.progress import counted

if TYPE_CHECKING:
    from vault.audit.verify import LogVerdict
    from vault.seal.anchor.witness import LogWitness

T = TypeVar("T")

LOG_NAME: Final = "audit.log"


def find_logs(path: Path) -> Iterator[Path]:
    """The log that a path names: a file, or those in a folder and in the folders within it."""
    if not path.is_dir():
        yield path
        return
    found = sorted({*path.glob(f"{LOG_NAME}.head"), *path.glob(f"*/{LOG_NAME}.head")})
    if not found:
        raise CliError(f"there is no audit log: {path}")
    yield from (head.with_name(LOG_NAME) for head in found)


@dataclass(frozen=True)
class VerifiedLog:
    """A log that is whole."""

    file: Path
    verdict: "LogVerdict"

    def describe(self) -> dict[str, Any]:
        """For the command's output."""
        from vault.audit.checkpoint import origin_node

        return {
            "node": origin_node(self.verdict.origin),
            "log": str(self.file),
            "size": self.verdict.size,
            "root": self.verdict.root,
            "public_key": base64.b64encode(self.verdict.public).decode(),
        }


class LogWitnesses:
    """Who has seen how much of the logs: asked before they are read, since logs only grow."""

    def __init__(self, logs: Sequence[Path], anchor: Path | None, config: Path | None) -> None:
        """The anchor and the database of `config`, or else those beside each log.

        Of several logs the anchors beside them count as well.
        """
        from vault.seal.anchor.witness import read_anchor_witness, read_database_witnesses

        self._anchors: dict[Path, LogWitness] = {}  # what has to be of this log
        self._others: list[LogWitness] = []  # of any
        self._database: list[LogWitness] = []
        named, database = anchor_path(config, anchor), database_path(config)
        server = server_storage(config)
        databases = set() if database is None else {database}
        for log in logs:
            beside, near_database = default_paths(log)
            place = named or beside if len(logs) == 1 else beside
            if place is not None and (seen := _read(read_anchor_witness, place, place)):
                self._anchors[log] = seen
            if server is None and database is None and near_database is not None:
                databases.add(near_database)
        if len(logs) > 1 and named and (seen := _read(read_anchor_witness, named, named)):
            self._others.append(seen)
        for file in databases:
            self._database += _read(read_database_witnesses, file, file)
        if server is not None:
            from vault.app import read_server_witnesses  # slow to load

            self._database += _read(read_server_witnesses, server, server.server)

    @property
    def all(self) -> "list[LogWitness]":
        """All of them."""
        return [*self._anchors.values(), *self._others, *self._database]

    def newest(self, log: Path, origin: str) -> "LogWitness | None":
        """Who has seen the most of a log; an empty `origin`: it does not say which one it is.

        Raises `CliError` for a log that the database does not know.
        """
        if self._database and origin and all(one.origin != origin for one in self._database):
            place = self._database[0].place
            raise CliError(f"this is the log of no node that {place} knows")
        pool = [*self._others, *self._database]
        found = [one for one in pool if not origin or one.origin == origin]
        if log in self._anchors:
            found.append(self._anchors[log])
        return max(found, key=lambda one: one.size, default=None)

    def missing(self, verified: set[str]) -> "list[LogWitness]":
        """What the database has seen of the logs that are not among these, by node."""
        newest: dict[str, LogWitness] = {}
        for witness in sorted(self._database, key=lambda one: one.size):
            newest[witness.origin] = witness
        return [one for origin, one in sorted(newest.items()) if origin not in verified]


def verify_log(log: Path, keys: Sequence[bytes], witnesses: "LogWitnesses | None") -> VerifiedLog:
    """Read a log through. Raises `CliError` with the first thing that is wrong with it.

    `keys`: it has to be signed by one of these, if there are any.
    """
    from vault.audit.keys import VerifyKeys
    from vault.audit.layout import LogLayout
    from vault.audit.verify import BadLogError, LogVerifier
    from vault.crypto.digest import sha256
    from vault.crypto.note_signing import is_note_signature_valid

    layout, witness = LogLayout(log), None
    try:
        if witnesses is not None:
            witness = witnesses.newest(log, _origin(layout.head_file))
        verifier = LogVerifier(
            layout,
            VerifyKeys(sha256, is_note_signature_valid),
            keys[0] if len(keys) == 1 else None,
            witness.note if witness else "",
        )
        for _ in counted(verifier.records(), "Verifying records"):
            pass
        verdict = verifier.verdict()
    except BadLogError as error:
        seen_by = f" (witness: {witness.place})" if witness else ""
        if not layout.head_file.exists() and not layout.segment_files():
            raise CliError(f"there is no audit log: {log}{seen_by}") from None
        raise CliError(f"the log is not whole: {error}{seen_by}") from None
    except OSError as error:
        raise CliError(f"cannot read {error.filename or log}: {error.strerror}") from None
    if keys and verdict.public not in keys:
        raise CliError("the log is not whole: it is not signed by a given key")
    return VerifiedLog(log, verdict)


def _origin(head_file: Path) -> str:
    """Which log it is, by its head; empty for a head that is damaged or missing."""
    from vault.audit.head_file import read_unverified_origin

    try:
        return read_unverified_origin(head_file)
    except (OSError, ValueError):
        return ""


def _read(ask: Callable[[Any], T], asked: object, place: object) -> T:
    from vault.errors import VaultError

    try:
        return ask(asked)
    except (ValueError, VaultError) as error:
        raise CliError(f"{place}: {error}") from None
    except OSError as error:
        raise CliError(f"cannot read {place}: {error.strerror}") from None
