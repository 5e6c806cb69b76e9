"""The process of a restore test: restores into an empty file, opens it, decrypts a sample.

`python -I -m vault.backup.proof_child LIMITS` in the private folder, whose `source` has copies of
the backup's objects. It confines itself before it reads the request, which has the root key, from
its standard input; the answer is one line on its standard output. No value leaves the process: they
are decrypted, which authenticates them, and dropped.
"""

import heapq
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import trio
from msgspec import Struct

from actors.world import SystemWorld, World
from protocols import json_text
from protocols.errors import ApiError, locate
from vault.backup.certificate import milliseconds
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.format import MEMORY_SHORT, TABLES, TableCount, damaged
from vault.backup.keys import VaultKeys, open_keyring
from vault.backup.offline import parse_identity
from vault.backup.restore import (
    read_backup_header,
    restore_backup,
    verify_backup,
    verify_outside,
)
from vault.backup.sandbox import Limits, confine
from vault.barrier import KEYRING_ROW, Barrier
from vault.crypto.hmac import HmacKey
from vault.crypto.keyring import Keyring
from vault.errors import TamperedError
from vault.model.records import VersionRow
from vault.seal.anchor.commit_stamp import stamp_base
from vault.seal.anchor.row_totals import COMMIT_STAMP_ROW, TotalsBuilder
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.store.bulk import read_rows
from vault.store.row_guard import check_row
from vault.store.sqlite import SqliteBackend
from vault.store.store import NO_CACHE, open_store
from vault.store.tables import SYSTEM, VERSIONS

SOURCE: Final = "source"
DATABASE: Final = "restored.db"
MAX_MESSAGE: Final = 64 * 1024
"""Of a request or an answer: a chain of 64, or 14 tables."""
EXIT_MEMORY: Final = 77
"""Memory is gone: perhaps for an answer, too."""
_PIECE: Final = 4096
_HEADROOM: Final = 64 * 2**20  # more than any one step takes


class ProofRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be restored, and with what. `now` is in Unix nanoseconds.

    `sample`: how many values are decrypted, or all if there are fewer; `seed` chooses them.
    """

    backup: str
    root_key: bytes
    identity: str
    restores: bool
    sample: int
    seed: bytes
    now: int

    def __repr__(self) -> str:
        return f"ProofRequest({self.backup})"


class ProofFailure(Struct, frozen=True, forbid_unknown_fields=True):
    """Why there is no result."""

    type: str
    code: str
    message: str


class ProofResult(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was found. `digests` are of the manifests, the newest first; times in milliseconds."""

    digests: tuple[str, ...]
    sandbox: tuple[str, ...]
    restore_ms: int
    open_ms: int = 0
    check_ms: int = 0
    rows: int = 0
    backup_root: str = ""
    store_root: str = ""
    tables: tuple[TableCount, ...] = ()
    versions: int = 0
    sampled: int = 0


class ProofAnswer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer: one of both."""

    result: ProofResult | None = None
    failure: ProofFailure | None = None


class Survey(NamedTuple):
    """The restored rows: how many of each table, how many values, and which are the sample."""

    tables: dict[str, int]
    versions: int
    sample: list[tuple[str, int]]


def main() -> None:
    """Do what the request says."""
    try:
        limits = json_text.decode(sys.argv[1], type=Limits)
        folder = Path.cwd()
        sandbox = confine(limits, folder, program_folders())
        request = json_text.decode(_read_request(), type=ProofRequest)
        answer = ProofAnswer(result=prove(folder, request, sandbox, SystemWorld()))
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except ApiError as error:
        if error.code == MEMORY_SHORT:
            os._exit(EXIT_MEMORY)
        _require_memory()
        answer = ProofAnswer(failure=ProofFailure(error.type.value, error.code, error.message))
    except Exception as error:  # noqa: BLE001  # the process ends; its text could hold a secret
        answer = ProofAnswer(failure=ProofFailure("internal", "internal", locate(error)))
    os.write(1, msgspec.json.encode(answer)[:MAX_MESSAGE] + b"\n")


def _require_memory() -> None:
    """End the process if memory is short: a library may have said so by another error.

    Zstandard does. It would be told as damage of the backup.
    """
    try:
        bytearray(_HEADROOM)
    except MemoryError:
        os._exit(EXIT_MEMORY)


def program_folders() -> list[Path]:
    """Where the program and its libraries are."""
    root = Path(__file__).parents[2]
    packages = (str(root / name) for name in ("actors", "protocols", "vault"))
    own = (sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), *sys.path, *packages)
    libraries = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/dev/urandom")
    return [Path(each) for each in dict.fromkeys((*own, *libraries)) if each]


def _read_request() -> bytes:
    data = bytearray()
    while piece := os.read(0, _PIECE):
        data += piece
        if len(data) > MAX_MESSAGE:
            raise ValueError("the request is too long")
    return bytes(data)


def prove(
    folder: Path, request: ProofRequest, sandbox: tuple[str, ...], world: World
) -> ProofResult:
    """Restore, open and sample; or verify signatures and chunks where it is for recipients."""
    source = LocalDirectory(folder / SOURCE)
    began = world.uptime()
    keys = open_keyring(read_backup_header(source, request.backup), request.root_key)
    if not request.restores:
        manifests = verify_outside(source, request.backup, keys)
        return ProofResult(
            digests=tuple(each.digest for each in manifests),
            sandbox=sandbox,
            restore_ms=milliseconds(world.uptime() - began),
        )
    identity = parse_identity(request.identity) if request.identity else None
    url = f"sqlite:///{folder}/{DATABASE}"
    result = restore_backup(
        source,
        request.backup,
        SqliteBackend(url),
        keys,
        root_key=request.root_key,
        now=request.now,
        progress=_unreported,
        identity=identity,
        keep_tokens=True,  # all of its rows are to be compared; nobody uses the store
        reason="restore test",
    )
    restored = world.uptime()
    found, opened, sampled = trio.run(_open, url, request, world)
    # What the restored store is compared to; after the restore, which it takes no part of.
    verified = verify_backup(source, request.backup, keys, identity=identity, progress=_unreported)
    return ProofResult(
        digests=tuple(each.digest for each in verified.manifests),
        sandbox=sandbox,
        restore_ms=milliseconds(restored - began),
        open_ms=milliseconds(opened - restored),
        check_ms=milliseconds(world.uptime() - opened),
        rows=verified.rows,
        backup_root=verified.root,
        store_root=result.root,
        tables=tuple(TableCount(name, rows) for name, rows in found.tables.items() if rows),
        versions=found.versions,
        sampled=sampled,
    )


async def _open(url: str, request: ProofRequest, world: World) -> tuple[Survey, float, int]:
    """Open the store as an agent does; what is in it, when it had answered a read, the sample."""
    backend = SqliteBackend(url)
    backend.open()
    try:
        keys = _open_restored_keyring(backend, request)
        found = _survey(backend, keys, request)
        failure: ApiError | None = None
        sampled, opened = 0, 0.0
        async with open_store(backend, keys.guard, world, cache=NO_CACHE) as store:
            barrier = Barrier(store, keys.keyring, request.root_key, world)
            try:
                await barrier.load_use_counter()
                sampled = await _decrypt(barrier, found.sample[:1])
                opened = world.uptime()
                sampled += await _decrypt(barrier, found.sample[1:])
            except ApiError as error:  # raised outside: a nursery puts it into a group
                failure = error
    finally:
        backend.close()
    if failure is not None:
        raise failure
    return found, opened, sampled


def _open_restored_keyring(backend: SqliteBackend, request: ProofRequest) -> VaultKeys:
    """By the root key, from the restored database."""
    source = LocalDirectory(Path.cwd() / SOURCE)
    header = read_backup_header(source, request.backup)
    with backend.read() as session:
        row = session.get(SYSTEM, (KEYRING_ROW,))
    if row is None:
        raise damaged("the restored database has no keyring")
    return VaultKeys(
        Keyring.decode(request.root_key, row.value, org=header.org, vault=header.vault)
    )


def _survey(backend: SqliteBackend, keys: VaultKeys, request: ProofRequest) -> Survey:
    """Read all rows: their MACs, and the totals that the commit stamp says; count and choose.

    The sample are the versions with the smallest keyed hashes: nobody who lacks the seed, which is
    drawn after the backup was made, knows them before.
    """
    choose = HmacKey(request.seed).tag
    tables, totals = dict.fromkeys((table.name for table in TABLES), 0), TotalsBuilder(keys.anchor)
    stamp, versions = b"", 0
    sample: list[tuple[bytes, str, int]] = []
    backend.check()
    with backend.read() as session:
        session.inspect()
        for table in TABLES:
            for row in read_rows(session, table):
                check_row(keys.guard, table, row)
                totals.add(table, row)
                tables[table.name] += 1
                if table is SYSTEM and row.name == COMMIT_STAMP_ROW:
                    stamp = row.value
                if table is VERSIONS and not row.destroyed:
                    versions += 1
                    _keep_smallest(sample, _rank(choose, row), request.sample)
    base = stamp_base(decode_state(stamp, CommitStamp, keys.anchor), keys.anchor)
    if differing := totals.totals().differing_tables(base.totals):
        raise TamperedError(
            "storage_rows_changed",
            f"the restored tables {', '.join(differing)} have other totals than the vault had",
        )
    return Survey(tables, versions, [(secret, number) for _, secret, number in sorted(sample)])


def _rank(choose: Callable[[bytes], bytes], row: VersionRow) -> tuple[bytes, str, int]:
    place = f"{row.secret_id}\n{row.version}".encode()
    return bytes(255 - byte for byte in choose(place)), row.secret_id, row.version


def _keep_smallest(heap: list[tuple[bytes, str, int]], rank: Any, most: int) -> None:
    """The ranks are inverted, so that the first of the heap is the one to go."""
    if len(heap) < most:
        heapq.heappush(heap, rank)
    else:
        heapq.heappushpop(heap, rank)


async def _decrypt(barrier: Barrier, sample: list[tuple[str, int]]) -> int:
    """Decrypt them as a read does. Raises `TamperedError` (`value_tampered`)."""
    for secret_id, number in sample:
        row = await barrier.get_version(secret_id, number)
        if row is None:
            raise TamperedError("storage_rows_changed", "a version is gone from the restored store")
        barrier.open_value(row)
    return len(sample)


@contextmanager
def _unreported(_what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


if __name__ == "__main__":
    main()
