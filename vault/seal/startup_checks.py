"""What is checked before a vault opens, and what is stored when an operator accepts a finding.

Database, audit log and anchor are compared with each other, and nothing of them is changed. Only
then store and log are opened. If an operator has accepted that something was set back, that is
recorded first: in the keyring's epoch, in the audit log, in the anchor.
"""

import errno
import logging
import os
import shlex
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from actors import World
from protocols.instant import rfc3339
from protocols.link.vocabulary import AlertCode
from vault.audit.broker import AuditBroker
from vault.audit.checkpoint import log_id_of
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout
from vault.audit.recovery import RecoveredLog, recover_log
from vault.audit.retention import RetentionSchedule
from vault.barrier import KEYRING_CHANGED, KEYRING_ROW, HmacRowGuard
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.errors import CryptoError
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError, SetupError, UnavailableError, VaultError
from vault.model.records import SystemRow
from vault.seal.anchor import acceptance
from vault.seal.anchor.acceptance import AcceptanceSubject
from vault.seal.anchor.anchor_file import AnchorFile, replace_file, temporary_path
from vault.seal.anchor.anchor_writer import WRITE_TIMEOUT, AnchorWriter
from vault.seal.anchor.audit_events import (
    clock_confirmed_event,
    foreign_write_event,
    node_joined_event,
    rollback_accepted_event,
)
from vault.seal.anchor.commit_stamp import CommitStampWriter, StampTimes
from vault.seal.anchor.rollback_check import (
    ResumePoint,
    VaultFiles,
    anchor_unavailable_error,
    check_rollback,
)
from vault.seal.anchor.state import MAX_BYTES
from vault.seal.break_glass import store_uses
from vault.seal.manager import ROLLBACK_ACCEPTED, SEALED_ON_ORDER
from vault.seal.nodes import NodeIdentity, find_node_id, make_node_id, read_only_node
from vault.store.interface import StoreBackend, StoreSession
from vault.store.row_guard import RowGuard
from vault.store.store import Store
from vault.store.tables import SYSTEM
from vault.store.transaction import StoreTx

ORDER_SECONDS: Final = 3.0
"""How long the order of a seal waits for the database. Operations get
`vault.seal.manager.DRAIN_TIMEOUT` in all."""
ORDER_GRACE: Final = 0.5
"""Seconds that the second place gets to store the order of a seal."""

_OTHERS: Final = 0o077  # mode bits of group and world

_ROLLED_BACK: Final = frozenset({"storage_rolled_back", "audit_log_behind", "anchor_missing"})
"""Codes of findings that say that a place is older than another one knows."""

T = TypeVar("T")

log: Final = logging.getLogger("freehold.seal")


@dataclass(frozen=True)
class SealPaths:
    """Where anchor and audit log lie, for how long the latter is kept, and the machine's name."""

    anchor: Path
    log: Path
    retention_days: int = 365
    machine: str = ""


@dataclass(frozen=True)
class StartupState:
    """`keyring` is the one to go on with; both writers remember from here on."""

    node: NodeIdentity
    keyring: Keyring
    resume_point: ResumePoint
    stamp_writer: CommitStampWriter
    anchor_writer: AnchorWriter
    recovered_log: RecoveredLog
    anchor: Path
    retention: RetentionSchedule
    foreign_writes: int
    """How often somebody else was seen to write to the database before it was looked at."""
    world: World

    @property
    def is_first(self) -> bool:
        """Whether no node has opened the vault before: there is no log, and none is missing.

        Then its making is the only commit. The last commit of a restore is no node's either.
        """
        base = self.resume_point.base
        return self._has_no_log and not base.state.node and base.commits <= 1

    @property
    def joins(self) -> bool:
        """Whether this is a new node of a vault that others have opened before."""
        return self._has_no_log and not self.is_first

    @property
    def _has_no_log(self) -> bool:
        return (
            not self.resume_point.accepted_findings and not self.recovered_log.position.chain.size
        )

    @asynccontextmanager
    async def join(self, store: Store, root_key: bytes, version: str) -> AsyncIterator[None]:
        """Commit the node's row, and after an acceptance the keyring with its new epoch.

        It is the store's first commit. `version` is that of this program. Raises `ConflictError`
        (`keyring_changed`) where another agent has changed the keyring since this one was unsealed:
        its keys would be lost; `BackendError` (`store_behind`) where another one has committed
        since the rows were counted that are accepted: its commit would be lost from the count.
        """
        row = SystemRow(name=KEYRING_ROW, value=self.keyring.encode(root_key))
        now = self.world.now()

        def change(tx: StoreTx) -> None:
            if self.resume_point.accepted_findings:
                self.require_same_keys(tx, root_key, self.keyring)
                tx.put(SYSTEM, row)
                store_uses(tx, root_key, self.keyring)
            self.node.join(tx, version, now)

        await store.commit(change)
        yield

    def require_same_keys(self, tx: StoreTx, root_key: bytes, keyring: Keyring) -> None:
        """Raise unless the stored keyring is an earlier epoch of `keyring`, with the same keys.

        Raises `ConflictError` (`keyring_changed`).
        """
        stored = tx.get(SYSTEM, KEYRING_ROW)
        with suppress(CryptoError):
            found = Keyring.decode(
                root_key,
                b"" if stored is None else stored.value,
                org=keyring.org,
                vault=keyring.vault,
            )
            states = [[one.state for one in each.generations] for each in (found, keyring)]
            if found.epoch < keyring.epoch and states[0] == states[1]:
                return
        raise ConflictError(
            KEYRING_CHANGED,
            "another agent has changed the keyring meanwhile: unseal this one again",
        )

    async def anchor_uses(self, keyring: Keyring) -> None:
        """Have the anchor say how often break-glass was used. Raises `UnavailableError`."""
        self.stamp_writer.break_glass = _uses_of(keyring)
        await self.anchor_writer.write_anchor()

    def require_operator(self, *, allow_accepted: bool = False) -> None:
        """Refuse an opening that no person asks for while an ordered seal is in force.

        Rolled-back data may have lost such an order. An attacker who rolled back the data could
        also write the acceptance file, so the file alone is not sufficient. `allow_accepted`: it
        is, in development mode. Raises `UnavailableError` (`sealed_on_order`, `rollback_accepted`).
        """
        if at := self.resume_point.sealed_at:
            raise UnavailableError(
                SEALED_ON_ORDER,
                f"the vault was sealed on order at {rfc3339(at)} and stays sealed: run "
                "`freehold operator unseal --config FILE` on the agent's machine to open it",
            )

        if self.resume_point.accepted_findings and not allow_accepted:
            raise UnavailableError(
                ROLLBACK_ACCEPTED,
                f"{self.resume_point.accepted_findings[0].what}. This is accepted, and takes a "
                "person with the root key, since the key file alone opens nothing that was set "
                "back: run `freehold operator unseal --config FILE` on the agent's machine within "
                "the hour of the acceptance",
            )

    async def persist_seal_order(self, store: Store) -> None:
        """Have the seal outlive the process: only a person ends it. One of the two places suffices.

        Once one has it the other gets `ORDER_GRACE`: its disk may hang. Raises `UnavailableError`
        (`seal_not_stored`) when neither database nor anchor took it.
        """
        self.stamp_writer.sealed_at = self.world.now()
        failures = list[VaultError]()

        async def store_it(note: Callable[[], Awaitable[None]]) -> None:
            try:
                await note()
            except VaultError as error:
                log.error("the ordered seal is not stored: %s", error)  # noqa: TRY400  # one line tells all
                failures.append(error)
            else:
                nursery.cancel_scope.deadline = trio.current_time() + ORDER_GRACE

        async with trio.open_nursery() as nursery:
            nursery.start_soon(store_it, partial(store.commit, _no_change, deadline=ORDER_SECONDS))
            nursery.start_soon(store_it, self.anchor_writer.write_anchor)
        if len(failures) > 1:
            raise UnavailableError(
                "seal_not_stored",
                "the vault is sealed now, but neither database nor anchor could store that it was "
                "ordered, so that a restart may unseal it: stop the agent and move its key file",
                outcome="done",
            )

    async def clear_seal_order(self, store: Store) -> None:
        """A person has unsealed: the seal that was ordered is over. Raises `UnavailableError`."""
        if self.stamp_writer.sealed_at:
            self.stamp_writer.sealed_at = 0
            await store.commit(_no_change)
            await self.anchor_writer.write_anchor()

    async def record_acceptance(self, audit: AuditBroker) -> None:
        """Put an acceptance on record, and have the anchor say where we are.

        Raises `UnavailableError`.
        """
        if self.resume_point.accepted_findings:
            await audit.record(rollback_accepted_event(self.resume_point, self.world))
        if self.joins:
            await audit.record(node_joined_event(self.node.id, self.node.name, self.world))
        await self._confirm_clock(audit)
        await self.anchor_writer.write_anchor()
        await self._call_beside_anchor(acceptance.remove_acceptance, self.anchor)

    async def stamp_clock(self, store: Store, audit: AuditBroker) -> bool:
        """Stamp the time: a clock that is set back while the agent is down revives nothing.

        Returns whether an operator has confirmed the clock. Raises `UnavailableError`.
        """
        confirmed = await self._confirm_clock(audit)
        await store.commit(_no_change)
        return confirmed

    async def _confirm_clock(self, audit: AuditBroker) -> bool:
        """Go on from the machine's clock where an operator says that it is right; whether so."""
        clock, call = self.retention.clock, self._call_beside_anchor
        found = await call(
            acceptance.read_acceptance, self.anchor, self.world.wall(), AcceptanceSubject.CLOCK
        )
        if found is not None:
            await audit.record(clock_confirmed_event(found.reason, clock.lag, self.world))
            clock.step()
        await call(acceptance.remove_acceptance, self.anchor, AcceptanceSubject.CLOCK)
        return found is not None

    async def _call_beside_anchor(self, fn: Callable[..., T], *args: object) -> T:
        """The blocking call, bounded. Raises `UnavailableError` (`anchor_unavailable`)."""
        try:
            with trio.fail_after(WRITE_TIMEOUT):
                return await self.world.run_sync(fn, *args, abandon_on_cancel=True)
        except trio.TooSlowError:
            error: OSError = TimeoutError(
                errno.ETIMEDOUT, f"no answer within {WRITE_TIMEOUT:g} s", str(self.anchor.parent)
            )
        except OSError as failure:
            error = failure
        raise anchor_unavailable_error(error) from error


async def run_startup_checks(
    paths: SealPaths,
    backend: StoreBackend,
    keyring: Keyring,
    audit: Callable[[str], AuditKeys],
    world: World,
) -> StartupState:
    """Look at what is there. Raises as `check_rollback`; `audit_log_damaged` of the log.

    `audit` returns the keys of a node's log. Only anchor and log of this machine are looked at. The
    clock of `world` goes on from that of the last commit stamp.
    """
    keys, file = DerivedAnchorKeys(keyring), AnchorFile(paths.anchor)
    foreign_writes = await world.run_sync(backend.foreign_writes)
    known = await world.run_sync(find_node_id, file, LogLayout(paths.log), keys)
    if not known and backend.is_of_one_node:
        known = await world.run_sync(read_only_node, backend, keys)
    place = str(paths.log.absolute())
    node = NodeIdentity(known or make_node_id(world), paths.machine, place, world.new_id())
    log_id = log_id_of(keyring.vault, node.id)
    found = await world.run_sync(_recover_log, paths.log, audit(node.id), log_id)
    there = VaultFiles(
        backend,
        HmacRowGuard(keyring),
        file,
        found,
        keyring.epoch,
        node=node.id,
        new_node=None if known else node,
    )
    resume_point = await world.run_sync(check_rollback, there, keys, world.wall())
    if resume_point.accepted_findings:
        keyring = keyring.at_epoch(resume_point.epoch).with_known_uses(*resume_point.break_glass)
    world.clock.resume(resume_point.slewed or world.wall(), resume_point.time)
    retention = RetentionSchedule(world.clock, paths.retention_days, resume_point.recorded.notice)
    stamp_writer = CommitStampWriter(
        keys,
        node=node.id,
        base=resume_point.base,
        written=resume_point.stamp_row,
        replaced=resume_point.replaced_row,
        epoch=resume_point.epoch,
        checkpoint=resume_point.checkpoint,
        anchored=resume_point.anchored,
        sealed_at=resume_point.sealed_at,
        times=lambda: StampTimes(world.now(), world.clock.value, retention.notice),
    )
    stamp_writer.break_glass = _uses_of(keyring)
    anchor_writer = AnchorWriter(file, keys, stamp_writer, world)
    return StartupState(
        node,
        keyring,
        resume_point,
        stamp_writer,
        anchor_writer,
        found,
        file.path,
        retention,
        foreign_writes,
        world,
    )


@dataclass(frozen=True)
class SealOnDamage:
    """`vault.store.integrity_monitor.DamageReaction` of an open vault."""

    stamp_writer: CommitStampWriter
    audit: AuditBroker
    seal: Callable[[], None]
    world: World
    alert: Callable[[], None]
    guard: RowGuard

    def begin_recount(self) -> Callable[[StoreSession], None]:
        """See `CommitStampWriter`."""
        return self.stamp_writer.begin_recount(self.guard)

    async def record(self, code: str, what: str) -> None:
        """As an alert. Raises `UnavailableError`."""
        await self.audit.record(foreign_write_event(code, what, self.world))


def alert_for(code: str) -> AlertCode:
    """The alert that the control plane receives for a finding, by its code."""
    if code in _ROLLED_BACK:
        return AlertCode.STORE_ROLLED_BACK
    if code.startswith("audit_"):
        return AlertCode.AUDIT_TAMPERED
    return AlertCode.STORE_TAMPERED


def _uses_of(keyring: Keyring) -> tuple[int, int]:
    return keyring.break_glass_uses, keyring.break_glass_used_at


def _no_change(_tx: StoreTx) -> None:
    """The change of a transaction that is there for its commit stamp alone."""


def require_private_database(file: Path) -> None:
    """Refuse a database that somebody else may read, change or swap. Blocks; none yet is all right.

    Its rows are authenticated; what is taken away or held back is noticed late, and names of
    secrets are in the clear. Raises `UnavailableError` (`database_not_private`).
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        path = file.with_name(file.name + suffix)
        try:
            found = path.lstat()
        except OSError:
            continue  # opening it fails with the reason
        mode, quoted = stat.S_IMODE(found.st_mode), shlex.quote(str(path))
        if not stat.S_ISREG(found.st_mode):
            why, remedy = (
                "is not a plain file",
                "set `storage.connection_string` to the file itself",
            )
        elif found.st_uid != os.geteuid():
            why = f"belongs to user {found.st_uid}, the agent is user {os.geteuid()}"
            remedy = f"see who has changed it, then run chown {os.geteuid()} {quoted}"
        elif mode & _OTHERS:
            why = f"has mode {mode:04o}"
            remedy = f"see who has changed it, then run chmod 600 {quoted}"
        else:
            continue
        raise UnavailableError(
            "database_not_private", f"the database is not opened: {path} {why}; {remedy}"
        )


def check_paths(paths: SealPaths) -> None:
    """Try out, before a vault is made, what its first opening will need of the disk. Blocks.

    The shares of a vault that cannot be opened would be worth nothing. Raises `ConflictError`
    (`anchor_exists`, `audit_log_exists`) where another vault has left its own, `SetupError`
    (`anchor_unavailable`, `audit_unavailable`) where nothing can be written.
    """
    anchor, layout = paths.anchor, LogLayout(paths.log)
    _check_folder(anchor, "anchor", "anchor.file")
    _check_folder(layout.log, "audit", "audit.log_file")
    beside = (
        temporary_path(anchor),
        *(acceptance.acceptance_path(anchor, subject) for subject in AcceptanceSubject),
    )
    _check_file_types("anchor", *beside)
    _check_file_types("audit", layout.reserve_file)
    left = next(
        filter(os.path.lexists, (layout.head_file, *layout.segment_files(), layout.log)), None
    )
    for file, code in ((anchor, "anchor_exists"), (left, "audit_log_exists")):
        if file is not None and os.path.lexists(file):
            raise ConflictError(
                code,
                f"{file} is of another vault, and no vault is made: put its database back, or move "
                f"{anchor} and {layout.log}* away to begin anew",
            )


def _check_folder(file: Path, what: str, key: str) -> None:
    """Make the folder of a file as its opening does, and write there as it does, and as much."""
    probe = file.with_name(f"{file.name}.probe")
    try:
        probe.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            replace_file(probe, bytes(MAX_BYTES))
        finally:
            for left in (probe, temporary_path(probe)):
                left.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(
            f"{what}_unavailable",
            "no vault is made, since it could not be opened: "
            f"{error.filename or file.parent}: {error.strerror}; let the agent's user write in "
            f"{file.parent}, where some space is free, or set `{key}` to another place",
        ) from error


def _check_file_types(what: str, *files: Path) -> None:
    """Where the opening needs a file or nothing, there is no folder, link or pipe."""
    for file in files:
        if os.path.lexists(file) and not stat.S_ISREG(file.lstat().st_mode):
            raise SetupError(
                f"{what}_unavailable",
                f"no vault is made, since it could not be opened: {file} is not a file; "
                "move it away",
            )


def _recover_log(log: Path, keys: AuditKeys, log_id: str) -> RecoveredLog:
    """The end of the log, which is not there before the first start."""
    try:
        return recover_log(LogLayout(log), keys, log_id)
    except OSError as error:
        raise UnavailableError(
            "audit_unavailable",
            f"the audit log cannot be read ({error.filename}: {error.strerror})",
        ) from error
