"""The egress ledger's files: appended and synced before anything is sent, rotated, bounded.

`egress_chain.log` is being written; full ones are `egress_chain.log.00000001` and so on. When all
together are over the bound, the oldest go: the header of the next says how much there was. If a
line cannot be written, nothing is sent.
"""

import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec
import trio

from actors import World
from protocols import json_text
from protocols.errors import ValidationError
from protocols.instant import SECOND, parse_rfc3339
from protocols.link import codec
from protocols.link.envelope import Envelope
from protocols.link.errors import RemoteFaultError
from protocols.link.fields import SIGNATURE_SIZE
from protocols.lockfile import LockFile
from vault.control_link import egress_chain
from vault.control_link.egress_chain import (
    BadLedgerError,
    EgressStream,
    LedgerChain,
    LedgerEntry,
    LedgerHeader,
)
from vault.errors import TamperedError, UnavailableError
from vault.model.link import SentEntry, SentPage, SentVerdict

FILE_BYTES: Final = 8 * 1024 * 1024
MAX_CLOSED_FILES: Final = 16
"""Closed files that are kept: with `FILE_BYTES` some weeks of a busy agent."""
FAST_ROTATION: Final = 3600 * SECOND
"""`FILE_BYTES` in less are told: a busy agent says them in a day, one whose page is open on a
dashboard all the time in hours. Faster is a backlog of weeks, once, or a control plane that makes
it talk, and the oldest files are what it may want to be gone."""

log: Final = logging.getLogger("freehold.uplink")

MAX_CONNECTIONS: Final = 10_000
"""Whose offsets a check holds at a time."""


class EgressRecorder(Protocol):
    """What records before sending; `EgressLedger`, or a list in a test."""

    async def record(self, sending: EgressStream, contents: Sequence[bytes]) -> None:
        """Return once all of it is durable. Raises `UnavailableError`; then send nothing."""
        ...


class EgressLedger:
    """The ledger at one path; one writer."""

    def __init__(
        self,
        path: Path,
        world: World,
        *,
        file_bytes: int = FILE_BYTES,
        files: int = MAX_CLOSED_FILES,
    ) -> None:
        self._path = path
        self._world = world
        self._worker = world.worker("egress ledger")
        self._file_bytes = file_bytes
        self._files = files
        self._lock = LockFile(path.with_name(f"{path.name}.lock"))
        self._chain = LedgerChain()
        self._number = 0
        self._fd = -1
        self._length = 0
        self._began = 0
        """When the first entry of the file was made; 0 for one without entries."""

    async def open(self) -> None:
        """Find the end; cut off a line that a crash left unfinished: it was never sent.

        Raises `UnavailableError`, `TamperedError` when the last file is not whole.
        """
        await self._worker.run(self._told, self._open)

    async def close(self) -> None:
        """Give up file and thread."""
        with trio.CancelScope(shield=True):
            await self._worker.run(self._close)
        self._worker.close()

    async def record(self, sending: EgressStream, contents: Sequence[bytes]) -> None:
        """See `EgressRecorder`."""
        if contents:
            now = self._world.now()
            await self._worker.run(self._told, lambda: self._append(sending, contents, now))

    @property
    def total(self) -> int:
        """Bytes that were recorded since the ledger was begun."""
        return self._chain.bytes

    def _open(self) -> None:
        self._take()
        self._find_end()

    def _find_end(self) -> None:
        """Go on where the files end: at the start, and after the disk has left it unclear."""
        chain, whole, number = LedgerChain(), 0, 0
        for chain, whole, number in _read_chain(self._path):  # noqa: B007  # the last is the end
            pass
        self._chain, self._number = chain, number or _last_closed(self._path) + 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, 0o600)
        os.ftruncate(self._fd, whole)
        os.lseek(self._fd, whole, os.SEEK_SET)
        self._length = whole
        self._began = _first_entry(self._path)
        if whole:
            _sync_folder(self._path.parent)  # its name may not be durable yet
        else:
            self._begin()

    def _take(self) -> None:
        """One process at a time: two would write two chains into one file."""
        try:
            self._lock.acquire()
        except UnavailableError:
            raise UnavailableError(
                "egress_locked",
                f"the egress ledger {self._path} is in use by another process (the agent, or "
                "`freehold agent enrol`), which has to end first",
            ) from None

    def _begin(self) -> None:
        self._write(self._chain.header_line(self._number))
        _sync_folder(self._path.parent)

    def _append(self, sending: EgressStream, contents: Sequence[bytes], now: int) -> None:
        with self._unclear_if_it_fails():
            if self._fd < 0:
                self._find_end()
            if self._length >= self._file_bytes:
                self._tell(now)
                self._rotate()
        chain, offset, length = self._chain.copy(), sending.offset, self._length
        try:
            self._write(egress_chain.encode_entries(self._chain, sending, contents, now))
        except BaseException:
            self._chain, sending.offset = chain, offset
            with self._unclear_if_it_fails():
                os.ftruncate(self._fd, length)
                os.lseek(self._fd, length, os.SEEK_SET)
            self._length = length
            raise
        self._began = self._began or now

    def _tell(self, now: int) -> None:
        """The owner, when a file was full so soon that the ledger as a whole does not last."""
        took = now - self._began
        if self._began and 0 <= took < FAST_ROTATION * self._file_bytes // FILE_BYTES:
            log.warning(
                "egress is unusually high, unless the control plane was away long and gets what "
                "waited for it: %d KiB of the egress ledger were written within %d s, and it keeps "
                "%d KiB; copy %s* if you need to know more of the past",
                self._length >> 10,
                took // SECOND,
                self._file_bytes * self._files >> 10,
                self._path,
            )

    @contextmanager
    def _unclear_if_it_fails(self) -> Iterator[None]:
        """Halfway through this the file is in no state to write on: the next record looks first."""
        try:
            yield
        except BaseException:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)
            raise

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        os.fdatasync(self._fd)
        self._length += len(data)

    def _rotate(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)
        self._path.replace(_closed(self._path, self._number))
        self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, 0o600)
        self._length = self._began = 0
        self._begin()
        for old in closed_ledger_files(self._path)[: -self._files]:
            old.unlink()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._lock.release()

    def _told(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BadLedgerError as error:
            raise TamperedError("egress_tampered", f"the egress ledger {error}") from None
        except OSError as error:
            raise UnavailableError(
                "egress_unavailable",
                f"the egress ledger {self._path} cannot be written ({error.strerror}): "
                "nothing is sent to the control plane",
            ) from error


def ledger_files(path: Path) -> list[Path]:
    """All files of a ledger, oldest first. Raises `OSError`."""
    return [*closed_ledger_files(path), *([path] if path.exists() else [])]


def closed_ledger_files(path: Path) -> list[Path]:
    """The full ones, oldest first. Raises `OSError`."""
    pattern = re.compile(re.escape(path.name) + r"\.(\d{8,})")
    found = [(int(match[1]), other) for other in path.parent.iterdir()
             if (match := pattern.fullmatch(other.name))]  # fmt: skip
    return [other for _, other in sorted(found)]


def read_entries(path: Path) -> Iterator[LedgerEntry]:
    """Every entry that is here, oldest first, each checked with its place in the chain.

    An unfinished line at the very end is left out: the agent is writing it, or was stopped before
    it sent anything of it. Raises `BadLedgerError` with file and line, `OSError`.
    """
    chain: LedgerChain | None = None
    for file in ledger_files(path):
        number = 0
        for number, line in enumerate(_lines(file), 1):
            try:
                if not line.endswith(b"\n"):
                    if file != path:
                        raise BadLedgerError("is cut off")  # noqa: TRY301  # placed below
                    return
                if chain is None:
                    chain = _resumed(line[:-1])
                    continue
                found = chain.verify_next(line[:-1])
                if isinstance(found, LedgerHeader) != (number == 1):
                    raise BadLedgerError("is not where it belongs")  # noqa: TRY301  # as above
            except BadLedgerError as error:
                raise BadLedgerError(f"{file.name}, line {number}: {error}") from None
            if isinstance(found, LedgerEntry):
                yield found


def _read_chain(path: Path) -> Iterator[tuple[LedgerChain, int, int]]:
    """The state behind each whole line of the last file: chain, bytes, number of the file."""
    if not path.exists():
        yield _end_of_closed(path), 0, 0
        return
    chain: LedgerChain | None = None
    whole = number = 0
    for line in _lines(path):
        if not line.endswith(b"\n"):
            break
        if chain is None:
            header = egress_chain.decode_line(line[:-1])
            if not isinstance(header, LedgerHeader):
                raise BadLedgerError("begins without a header")
            chain, number = egress_chain.resume_chain(header, line[:-1]), header.number
        else:
            chain.verify_next(line[:-1])
        whole += len(line)
        yield chain, whole, number
    if chain is None:  # a crash before the header was whole
        yield _end_of_closed(path), 0, 0


def _end_of_closed(path: Path) -> LedgerChain:
    """Where the last closed file ends. Raises `BadLedgerError`."""
    chain = LedgerChain()
    for file in closed_ledger_files(path)[-1:]:
        for number, line in enumerate(_lines(file)):
            if number:
                chain.verify_next(line.removesuffix(b"\n"))
            else:
                chain = _resumed(line.removesuffix(b"\n"))
    return chain


def _resumed(line: bytes) -> LedgerChain:
    header = egress_chain.decode_line(line)
    if not isinstance(header, LedgerHeader):
        raise BadLedgerError("is not a header")
    return egress_chain.resume_chain(header, line)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(egress_chain.MAX_LINE + 1):
            yield line


def _first_entry(path: Path) -> int:
    """When the first entry of a file was made, Unix nanoseconds; 0 without one."""
    with path.open("rb") as file:
        lines = [file.readline(egress_chain.MAX_LINE + 1) for _ in range(2)]
    try:
        entry = egress_chain.decode_line(lines[1].removesuffix(b"\n"))
        return parse_rfc3339(entry.time, "time") if isinstance(entry, LedgerEntry) else 0
    except (BadLedgerError, ValidationError):
        return 0


def _closed(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number:08d}")


def _last_closed(path: Path) -> int:
    found = closed_ledger_files(path)
    return int(found[-1].name.rpartition(".")[2]) if found else 0


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class LedgerTotals:
    """Adds up a ledger's entries, and checks that each connection's follow one another."""

    def __init__(self) -> None:
        self._entries = self._bytes = self._first = self._last = 0
        self._offsets: dict[str, int] = {}

    def add_entry(self, entry: LedgerEntry) -> None:
        """The next one. Raises `BadLedgerError`; a connection may have begun before the first."""
        expected = self._offsets.get(entry.connection, entry.offset)
        if entry.offset != expected:
            raise BadLedgerError(f"entry {entry.entry}: bytes of its connection are missing")
        self._offsets[entry.connection] = entry.offset + entry.length
        if len(self._offsets) > MAX_CONNECTIONS:
            del self._offsets[next(iter(self._offsets))]
        self._first = self._first or entry.entry
        self._last = entry.entry
        self._entries += 1
        self._bytes += entry.length

    def result(self) -> dict[str, int]:
        """What is here: how many entries and bytes, from which entry to which."""
        return {
            "entries": self._entries,
            "bytes": self._bytes,
            "first": self._first,
            "last": self._last,
        }


def describe_entry(entry: LedgerEntry) -> str:
    """What an entry's bytes say, for people: the message's name and fields, or the request's.

    A token is not shown: it was good for one use.
    """
    try:
        if entry.kind == "frame":
            envelope = codec.decode_struct(entry.content[SIGNATURE_SIZE:], Envelope)
            message = codec.decode_payload(envelope.message_type, envelope.payload)
            return f"{envelope.message_type} {msgspec.json.encode(message).decode()}"
        body = json_text.decode(entry.content)
        fields = {name: value for name, value in body.items() if name != "token"}
        return msgspec.json.encode(fields).decode()
    except (RemoteFaultError, msgspec.DecodeError, AttributeError):
        return "not a message of the link"


# The egress ledger for whoever looks at it while the agent runs.
#
# It is read from its beginning, since only so is an entry's place in the chain known to be right.
# That blocks: call these in a thread.


def read_egress_page(path: Path, before: int, limit: int) -> SentPage:
    """The newest `limit` entries below number `before` (0: of all).

    Raises `TamperedError`, `UnavailableError`.
    """
    found: deque[LedgerEntry] = deque(maxlen=limit + 1)
    try:
        for entry in read_entries(path) if path.parent.is_dir() else ():
            if before and entry.entry >= before:
                break
            found.append(entry)
    except BadLedgerError as error:
        raise TamperedError("egress_tampered", f"the egress ledger is not whole: {error}") from None
    except OSError as error:
        raise _unreadable(error) from None
    shown = list(found)[-limit:]
    more = shown[0].entry if len(found) > limit else 0
    return SentPage(tuple(map(_entry, reversed(shown))), more)


def verify_egress_ledger(path: Path) -> SentVerdict:
    """Every hash, the chain, and each connection's offsets. Raises `UnavailableError`."""
    tally, fault = LedgerTotals(), ""
    try:
        for entry in read_entries(path) if path.parent.is_dir() else ():
            tally.add_entry(entry)
    except BadLedgerError as error:
        fault = str(error)
    except OSError as error:
        raise _unreadable(error) from None
    return SentVerdict(**tally.result(), fault=fault)


def _entry(entry: LedgerEntry) -> SentEntry:
    return SentEntry(
        entry=entry.entry,
        time=entry.time,
        kind=entry.kind,
        peer=entry.peer,
        path=entry.path,
        connection=entry.connection,
        offset=entry.offset,
        length=entry.length,
        sha256=entry.sha256,
        says=describe_entry(entry),
    )


def _unreadable(error: OSError) -> UnavailableError:
    return UnavailableError("egress_unreadable", f"the egress ledger: {error.strerror}")
