"""Prove that a backup can be restored: restore it, open it, and sign a certificate. Blocks.

The work is done by a process of its own (`vault.backup.proof_child`) in a private folder, without
network: the objects are copied there first. It gets the root key through a pipe. Whatever happens,
the folder is removed, by the next test at the latest.
"""

import errno
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn

import msgspec

from actors import World
from protocols import json_text
from protocols.instant import parse_rfc3339, rfc3339
from vault.backup.certificate import (
    ADDED_TABLES,
    Phases,
    RestoreCertificate,
    SignedCertificate,
    is_row_count,
    milliseconds,
    rpo_ms,
    write_certificate,
)
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.destinations.interface import Destination
from vault.backup.format import (
    DATA,
    MANIFEST,
    MAX_CHAIN,
    Manifest,
    damaged,
    verify_manifest,
)
from vault.backup.keys import VaultKeys
from vault.backup.offline import parse_identity
from vault.backup.proof_child import (
    EXIT_MEMORY,
    MAX_MESSAGE,
    SOURCE,
    ProofAnswer,
    ProofFailure,
    ProofRequest,
    ProofResult,
)
from vault.backup.restore import list_backups, read_backup_header, read_manifest
from vault.backup.sandbox import Limits
from vault.crypto.random import random_bytes
from vault.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    TamperedError,
    UnavailableError,
    VaultError,
)
from vault.store.bulk import Progress

COMMAND: Final = (sys.executable, "-I", "-m", "vault.backup.proof_child")
PREFIX: Final = "freehold-restore-test-"
SAMPLE: Final = 256
_SEED: Final = 32
_PIECE: Final = 2**20
_ROOM: Final = 64 * 2**20  # for an empty database, and for its write-ahead log
_GROWTH: Final = 3
"""Bytes of a database for a byte of its rows: keys are in indexes, and pages are not full."""
_TICK_MS: Final = 200  # between two looks at whether the test is cancelled
_FOLDERS: Final = 8  # that others remove while they are made

_KNOWN: Final[dict[str, Callable[[str, str], VaultError]]] = {
    "backup_damaged": TamperedError,
    "backup_missing": NotFoundError,
    "backup_outdated": ConflictError,
    "key_retired": UnavailableError,
    "root_key_wrong": AuthenticationError,
    "row_tampered": TamperedError,
    "storage_rows_changed": TamperedError,
    "store_copy_differs": TamperedError,
    "store_newer": UnavailableError,
    "value_tampered": TamperedError,
}
"""Codes of the process that say something of the backup; all others say that the test failed."""


class ProofLimits(NamedTuple):
    """What a test may take: seconds, bytes of memory, and values that it decrypts (at least 1).

    `command`: the process.
    """

    seconds: float = 4 * 3600.0
    memory: int = 2 * 2**30
    sample: int = SAMPLE
    command: Sequence[str] = COMMAND


DEFAULT_LIMITS: Final = ProofLimits()


class _Folder(NamedTuple):
    """The private folder, and what the process may write to one file."""

    path: Path
    file_bytes: int


class _Objects(NamedTuple):
    """What is tested: the verified manifests, the newest first; whether it can be restored."""

    manifests: tuple[Manifest, ...]
    restores: bool


def prove_backup(
    destination: Destination,
    backup: str,
    keys: VaultKeys,
    *,
    root_key: bytes,
    name: str,
    work: Path,
    world: World,
    progress: Progress,
    following: int | None = None,
    identity: str = "",
    limits: ProofLimits = DEFAULT_LIMITS,
) -> SignedCertificate:
    """Restore the backup into an empty store, decrypt a sample, and write the certificate.

    `keys` are of any epoch of the vault's keyring; `root_key` opens that of the backup's header.
    `name` is the destination's. `work` is where the private folder is made. `following`: when the
    next backup was made, in Unix nanoseconds; None for the newest. `identity`: for a backup with
    recipients; without one its signatures and chunks are verified alone, and the certificate says
    so. `progress` is called at least five times a second: what it raises ends the test.

    Raises `TamperedError` (`backup_damaged`, `row_tampered`, `storage_rows_changed`,
    `store_copy_differs`, `value_tampered`, `backup_not_proven`): then the backup is no good.
    `UnavailableError` (`backup_proof_stopped`, `backup_proof_space`, `backup_unavailable`): then
    nothing is known. Also `NotFoundError` (`backup_missing`) and `AuthenticationError`
    (`root_key_wrong`).
    """
    began, start = world.now(), world.uptime()
    with _private_folder(work) as path, progress("Testing backup", None) as advance:
        seed = random_bytes(_SEED)
        objects, folder = _fetch(
            destination, backup, keys, path, identity=identity, advance=advance
        )
        fetched = world.uptime()
        request = ProofRequest(
            backup=backup,
            root_key=root_key,
            identity=identity,
            restores=objects.restores,
            sample=limits.sample,
            seed=seed,
            now=began,
        )
        answer = _run(request, folder, limits, world, advance)
        ended = world.uptime()
    result = _require_result(backup, answer)
    _require_equal(objects, result, limits.sample)
    newest, *chain = objects.manifests
    certificate = RestoreCertificate(
        org=newest.org,
        vault=newest.vault,
        backup=backup,
        digest=newest.digest,
        chain=tuple(each.reference for each in chain),
        destination=name,
        created=newest.created,
        commits=newest.commits,
        schema=newest.schema,
        began=rfc3339(began),
        finished=rfc3339(max(world.now(), began)),
        depth="rows" if objects.restores else "chunks",
        phases=Phases(
            milliseconds(fetched - start), result.restore_ms, result.open_ms, result.check_ms
        ),
        rto_ms=(
            max(milliseconds(ended - start) - result.check_ms, 0) if objects.restores else None
        ),
        rpo_ms=rpo_ms(
            parse_rfc3339(newest.created, "created"), began if following is None else following
        ),
        rows=result.rows,
        backup_root=result.backup_root,
        store_root=result.store_root,
        tables=result.tables,
        versions=result.versions,
        sampled=result.sampled,
        seed=seed.hex() if objects.restores else "",
        sandbox=result.sandbox,
        program=version("freehold"),
    )
    return write_certificate(destination, certificate, keys.backup)


def find_following(destination: Destination, backup: str, keys: VaultKeys) -> int | None:
    """When the next backup of the same vault was made, in Unix nanoseconds; None for the newest.

    Reads all manifests. Raises as `Destination`.
    """
    times: dict[str, int] = {}
    for each in list_backups(destination)[0]:
        with suppress(TamperedError):
            note = read_manifest(destination, each.id)
            verified = verify_manifest(note, keys.keyring.vault, keys.backup)
            times[each.id] = parse_rfc3339(verified.created, "created")
    if backup not in times:
        return None
    return min((time for time in times.values() if time > times[backup]), default=None)


def remove_abandoned(work: Path) -> None:
    """Remove the folders of tests whose process has died: nobody has them locked."""
    for path in work.glob(f"{PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
            finally:
                os.close(descriptor)


@contextmanager
def _private_folder(work: Path) -> Iterator[Path]:
    """A folder of mode 0700, locked while the block lasts, and removed after it."""
    try:
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_abandoned(work)
        path, lock = _make_folder(work)
    except OSError as error:
        raise _no_folder(work, error) from error
    try:
        yield path
    finally:
        try:
            shutil.rmtree(path)
        finally:
            os.close(lock)


def _make_folder(work: Path) -> tuple[Path, int]:
    """The folder, and the descriptor that locks it."""
    for _ in range(_FOLDERS):
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=work))
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # another test took it for abandoned
            continue
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (path / SOURCE).mkdir(mode=0o700)
            return path, lock
        os.close(lock)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(work))


def _no_folder(work: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        "backup_proof_space",
        f"the backup cannot be tested in {work}: {error.strerror}. Make room there, or choose "
        "another folder",
    )


# The objects.


def _fetch(
    destination: Destination,
    backup: str,
    keys: VaultKeys,
    path: Path,
    *,
    identity: str,
    advance: Callable[[int], None],
) -> tuple[_Objects, _Folder]:
    """Copy the backup and what it builds on into the folder, whose room is checked before."""
    source = path / SOURCE
    notes = _read_chain(destination, backup, keys)
    manifests = tuple(notes)
    size = sum(manifest.size for manifest in manifests)
    file_bytes = _GROWTH * sum(manifest.content for manifest in manifests) + _ROOM
    needed = size + file_bytes + _ROOM
    free = shutil.disk_usage(path).free
    if free < needed:
        raise UnavailableError(
            "backup_proof_space",
            f"a test of backup {backup} may take {needed} bytes in {path.parent}, which has "
            f"{free}. Make room there, or choose another folder",
        )
    try:
        for manifest, note in notes.items():
            (source / (manifest.id + MANIFEST)).write_bytes(note)
            with (
                destination.open(manifest.id + DATA) as original,
                (source / (manifest.id + DATA)).open("xb") as copy,
            ):
                _copy(original, copy, manifest, advance)
    except OSError as error:
        raise _no_folder(path.parent, error) from error
    spooled = LocalDirectory(source)
    recipient = parse_identity(identity).recipient.text if identity else ""
    restores = all(
        any(
            wrap.kind == "keyring" or (recipient and wrap.recipient == recipient)
            for wrap in read_backup_header(spooled, manifest.id).keys
        )
        for manifest in manifests
    )
    return _Objects(manifests, restores), _Folder(path, file_bytes)


def _read_chain(destination: Destination, backup: str, keys: VaultKeys) -> dict[Manifest, bytes]:
    """The manifests that the vault has signed, the newest first, as objects."""
    found: dict[Manifest, bytes] = {}
    wanted = backup
    for _ in range(MAX_CHAIN):
        note = read_manifest(destination, wanted)
        manifest = verify_manifest(note, keys.keyring.vault, keys.backup)
        if manifest.id != wanted:
            raise damaged(f"the manifest by the name of {wanted} is of {manifest.id}")
        found[manifest] = note
        if manifest.base is None:
            return found
        wanted = manifest.base.id
    raise damaged(f"{backup} builds on too many others")


def _copy(
    original: BinaryIO, copy: BinaryIO, manifest: Manifest, advance: Callable[[int], None]
) -> None:
    """Copy as many bytes as the manifest says, and one more if there is one."""
    left = manifest.size + 1
    while left > 0 and (piece := original.read(min(_PIECE, left))):
        copy.write(piece)
        left -= len(piece)
        advance(0)
    if left != 1:
        raise damaged(f"the data object of {manifest.id} has not the {manifest.size} bytes it had")


# The process.


def _run(
    request: ProofRequest,
    folder: _Folder,
    limits: ProofLimits,
    world: World,
    advance: Callable[[int], None],
) -> ProofAnswer:
    """Start the process, hand it the request, and wait for its answer; it does not outlive this."""
    confined = Limits(cpu=max(int(limits.seconds), 1), memory=limits.memory, file=folder.file_bytes)
    deadline = world.uptime() + limits.seconds
    process = subprocess.Popen(  # noqa: S603  # our own program, no shell
        [*limits.command, msgspec.json.encode(confined).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder.path,
        env={"TMPDIR": str(folder.path), "SQLITE_TMPDIR": str(folder.path)},
        start_new_session=True,
        bufsize=0,
    )
    try:
        with suppress(BrokenPipeError):  # its status says why
            process.stdin.write(msgspec.json.encode(request))  # type: ignore[union-attr]  # a pipe; it holds a request
            process.stdin.close()  # type: ignore[union-attr]  # as above
        data = _receive(
            process, request.backup, deadline, limits=limits, world=world, advance=advance
        )
    finally:
        _end(process)
    if process.returncode:
        raise _stopped(request.backup, _describe(process.returncode, limits))
    try:
        return json_text.decode(data, type=ProofAnswer)
    except (msgspec.MsgspecError, VaultError, ValueError):
        raise _stopped(request.backup, "it has answered something else than a result") from None


def _receive(
    process: subprocess.Popen[bytes],
    backup: str,
    deadline: float,
    *,
    limits: ProofLimits,
    world: World,
    advance: Callable[[int], None],
) -> bytes:
    """All that it writes, until it closes its output."""
    output: Any = process.stdout
    poll = select.poll()
    poll.register(output, select.POLLIN | select.POLLHUP)
    data = b""
    while True:
        advance(0)
        if world.uptime() > deadline:
            raise _stopped(backup, f"it has taken longer than {limits.seconds:g} s")
        if not poll.poll(_TICK_MS):
            continue
        piece = os.read(output.fileno(), MAX_MESSAGE + 2)
        if not piece:
            return data
        data += piece
        if len(data) > MAX_MESSAGE + 1:
            raise _stopped(backup, "it has answered more than a result")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of its group.

    The kernel closes the output of a process that ends after its exit status is set, so one that
    has answered and ends by itself keeps that status. Until it is waited for, its id is its own.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _describe(status: int, limits: ProofLimits) -> str:
    if status == EXIT_MEMORY:
        return f"it needs more than {limits.memory} bytes of memory"
    if status == -signal.SIGXCPU:
        return f"it has used more than {limits.seconds:g} s of processor time"
    if status < 0:
        return f"it was ended by signal {-status}"
    return f"it has ended with status {status}"


def _stopped(backup: str, why: str) -> UnavailableError:
    return UnavailableError(
        "backup_proof_stopped",
        f"the test of backup {backup} has not finished: {why}. There is no certificate; test it "
        "again with `freehold backup prove`",
    )


# What it has found.


def _require_result(backup: str, answer: ProofAnswer) -> ProofResult:
    if answer.failure is not None:
        _raise(backup, answer.failure)
    if answer.result is None:
        raise _stopped(backup, "it has answered something else than a result")
    return answer.result


def _raise(backup: str, failure: ProofFailure) -> NoReturn:
    message = "".join(filter(str.isprintable, failure.message))[:1000]
    make = _KNOWN.get(failure.code)
    if make is None:
        raise _stopped(backup, message or "it has failed")
    raise make(failure.code, message)


def _require_equal(objects: _Objects, result: ProofResult, sample: int) -> None:
    """Raise `TamperedError` unless the manifests' and the process's numbers are the same."""
    newest = objects.manifests[0]
    differing = []
    if result.digests != tuple(each.digest for each in objects.manifests):
        differing.append("manifests")
    if objects.restores:
        if result.backup_root != result.store_root:
            differing.append("Merkle roots")
        if result.sampled != min(sample, result.versions):
            differing.append("decrypted values")
        if not is_row_count(result.rows, result.tables):
            differing.append("rows")
        if newest.base is None and not _is_manifest(newest, result):
            differing.append("rows of the manifest")
    if differing:
        raise TamperedError(
            "backup_not_proven",
            f"backup {newest.id} is not what was restored from it: {', '.join(differing)} differ. "
            "There is no certificate; make another backup, and look for who wrote to this one",
        )


def _is_manifest(manifest: Manifest, result: ProofResult) -> bool:
    wanted = {each.table: each.rows for each in manifest.tables}
    found = {each.table: each.rows for each in result.tables}
    added = {name: found.get(name, 0) - wanted.get(name, 0) for name in found | wanted}
    return (
        (result.rows, result.store_root) == (manifest.records, manifest.row_root)
        and all(count in {0, 1} for count in added.values())
        and {name for name, count in added.items() if count} <= ADDED_TABLES
    )
