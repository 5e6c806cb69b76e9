"""Restore tests by the schedule: the newest backup of each destination is restored and certified.

What was proven is in the destinations: the certificates that the vault has signed. So all agents of
a vault know the same, and an agent that was off makes up a time that it has missed.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import trio

from actors import World
from actors.periodic import Trigger
from protocols.instant import MAX_NS, parse_rfc3339
from vault.audit.record import AuditEvent
from vault.backup.certificate import (
    SignedCertificate,
    certificate_names,
    read_certificate,
    verify_certificate,
)
from vault.backup.destinations.interface import Destination
from vault.backup.format import MANIFEST, Manifest, verify_manifest
from vault.backup.keys import VaultKeys
from vault.backup.proof import DEFAULT_LIMITS, ProofLimits, prove_backup, remove_abandoned
from vault.backup.restore import read_manifest
from vault.backup.threads import run_backup_work
from vault.crypto.digest import sha256
from vault.errors import NotFoundError, TamperedError, ValidationError, VaultError
from vault.model.backup import RestoreProof
from vault.model.backup_runs import StoredCertificate
from vault.store.bulk import Progress

PROVE: Final = "backup.prove"
SERVICE: Final = "service:backup"
CHECK_INTERVAL: Final = 30.0
"""Seconds between two looks at the schedule, whose times are minutes."""
REFRESH_SECONDS: Final = 300.0
"""How often the certificates are looked for: another agent may have written one."""

T = TypeVar("T")
log: Final = logging.getLogger("freehold.backup")


@dataclass(frozen=True)
class RestoreTestParts:
    """What the tests work with.

    `next_time`: the first time behind one, in Unix nanoseconds, by the schedule. `root_key` is the
    one in force. `work`: where the private folders are made. `record` writes to the audit log.
    """

    destinations: Mapping[str, Destination]
    keys: VaultKeys
    root_key: Callable[[], bytes]
    next_time: Callable[[int], int]
    work: Path
    world: World
    record: Callable[[AuditEvent], Awaitable[object]]
    limits: ProofLimits = DEFAULT_LIMITS


class RestoreTests:
    """`run` is a periodic job of one agent at a time, `refresh` one of each."""

    def __init__(self, parts: RestoreTestParts) -> None:
        self._parts = parts
        self._known: dict[str, dict[str, SignedCertificate | None]] = {}
        self._attempted: dict[str, int] = {}
        self._failed: set[str] = set()
        self._looked = -REFRESH_SECONDS
        self.look_at_once = Trigger()
        """For the job `refresh`: what is proven is reported from the start."""
        self.look_at_once.fire()
        self.backup_made = Trigger()
        """For the job `run`: see `on_made`."""
        self._threads = trio.CapacityLimiter(1)

    def proven(self) -> int:
        """When the newest backup that has a certificate was made, in Unix nanoseconds; or 0."""
        return max((found.certificate.created_ns for found in self._certificates()), default=0)

    def proof(self) -> RestoreProof:
        """What the certificate of the newest backup that has one says."""
        newest = max(self._certificates(), key=lambda one: one.certificate.created_ns, default=None)
        if newest is None:
            return RestoreProof()
        found = newest.certificate
        return RestoreProof(
            rto=-(-(found.rto_ms or 0) // 1000),
            rpo=-(-found.rpo_ms // 1000),
            certificate=sha256(newest.note),
        )

    def certificate(self, destination: str, backup: str) -> StoredCertificate | None:
        """The newest one of a backup, by the last look at the destination."""
        known = self._known.get(destination, {}).values()
        own = [one for one in known if one is not None and one.certificate.backup == backup]
        if not own:
            return None
        newest = max(own, key=lambda one: (one.certificate.finished_ns, one.name))
        found = newest.certificate
        return StoredCertificate(
            name=newest.name,
            finished=found.finished_ns,
            depth=found.depth,
            rto_ms=found.rto_ms,
            rpo_ms=found.rpo_ms,
            rows=found.rows,
            sha256=newest.digest,
        )

    @property
    def has_failed(self) -> bool:
        """Whether the last test of a destination failed, here."""
        return bool(self._failed)

    def on_made(self, _destination: str, _manifest: Manifest) -> None:
        """A backup was made here: if it is the first one, it is tested at once."""
        self._looked = -REFRESH_SECONDS
        self.backup_made.fire()

    async def run(self) -> None:
        """Test what is due. A test that fails is tried again at the next scheduled time."""
        world = self._parts.world
        is_old = world.uptime() - self._looked >= REFRESH_SECONDS
        if is_old:
            await self._in_thread(lambda _: remove_abandoned(self._parts.work))
            await self.refresh()
            self._looked = world.uptime()
        for name in self._parts.destinations:
            due = self._due(name)
            if due is None:  # the first test waits for the first backup
                due = 0 if is_old else MAX_NS
            if due <= world.now():
                await self.test(name)

    async def refresh(self) -> None:
        """Read the certificates that are new, also those of other agents."""
        for name in self._parts.destinations:
            await self._refresh(name)

    async def test(self, name: str) -> SignedCertificate | None:
        """Test the newest backup of a destination and record it; None: it has failed, or is none.

        Raises what recording does.
        """
        parts, world = self._parts, self._parts.world
        backup = ""
        try:
            backup = await self._in_thread(lambda _: self._newest(name))
            if not backup:
                return None
            self._attempted[name] = world.now()
            signed = await self._in_thread(lambda progress: self._prove(name, backup, progress))
        except VaultError as error:
            self._attempted[name] = world.now()
            self._failed.add(name)
            log.warning("the restore test at %s failed: %s", name, error)
            await parts.record(_event(world.new_request_id(), name, backup, error))
            return None
        self._failed.discard(name)
        self._known.setdefault(name, {})[signed.name] = signed
        await parts.record(_event(world.new_request_id(), name, backup, signed))
        return signed

    def _prove(self, name: str, backup: str, progress: Progress) -> SignedCertificate:
        parts = self._parts
        return prove_backup(
            parts.destinations[name],
            backup,
            parts.keys,
            root_key=parts.root_key(),
            name=name,
            work=parts.work,
            world=parts.world,
            progress=progress,
            limits=parts.limits,
        )

    def _newest(self, name: str) -> str:
        """The id of the newest backup that the vault has signed; empty if there is none.

        Not of one from the future: the clock was ahead, and later ones would never be tested.
        """
        source, keys = self._parts.destinations[name], self._parts.keys
        now, newest = self._parts.world.now(), (0, "")
        for each in source.names():
            backup = each.removesuffix(MANIFEST)
            if backup == each:
                continue
            with suppress(TamperedError, ValidationError, NotFoundError):
                note = read_manifest(source, backup)
                found = verify_manifest(note, keys.keyring.vault, keys.backup)
                created = parse_rfc3339(found.created, "created")
                if found.id == backup and created <= now:
                    newest = max(newest, (created, backup))
        return newest[1]

    async def _refresh(self, name: str) -> None:
        """One that is refused proves nothing."""
        try:
            self._known[name] = await self._in_thread(lambda _: self._read(name))
        except VaultError as error:
            log.info("the certificates at %s cannot be read: %s", name, error)

    def _read(self, name: str) -> dict[str, SignedCertificate | None]:
        source, keys = self._parts.destinations[name], self._parts.keys
        known, found = self._known.get(name, {}), dict[str, SignedCertificate | None]()
        there = set(source.names())
        for each in certificate_names(source):
            if each.partition(".")[0] + MANIFEST not in there:
                continue  # its backup was removed
            if each in known:
                found[each] = known[each]
                continue
            try:
                note = read_certificate(source, each)
                certificate = verify_certificate(note, keys.keyring.vault, keys.backup.note.public)
                found[each] = SignedCertificate(each, certificate, note)
            except TamperedError as error:
                log.warning("%s: %s", each, error)
                found[each] = None
        return found

    def _due(self, name: str) -> int | None:
        """The first time by the schedule behind the last test; None: there was none."""
        now = self._parts.world.now()
        finished = (
            found.certificate.finished_ns
            for found in self._known.get(name, {}).values()
            if found is not None
        )
        times = [time for time in (*finished, self._attempted.get(name, 0)) if time <= now]
        last = max(times, default=0)
        return self._parts.next_time(last) if last else None

    def _certificates(self) -> Iterator[SignedCertificate]:
        """Of backups that are not from the future."""
        now = self._parts.world.now()
        for known in self._known.values():
            for found in known.values():
                if found is not None and found.certificate.created_ns <= now:
                    yield found

    async def _in_thread(self, work: Callable[[Progress], T]) -> T:
        return await run_backup_work(self._parts.world, self._threads, work, _ignore)


@contextmanager
def _ignore(_what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


def _event(
    request_id: str, destination: str, backup: str, outcome: SignedCertificate | VaultError
) -> AuditEvent:
    """An alert if the backup is bad."""
    if isinstance(outcome, VaultError):
        result, code, rule = "failed", outcome.code, f"at {destination}: {outcome.code}"
    else:
        found = outcome.certificate
        result, code = "ok", ""
        what = "signatures and chunks verified, nothing restored"
        if found.depth == "rows":
            what = (
                f"{found.rows} rows restored, {found.sampled} of {found.versions} values "
                f"decrypted, RTO {found.rto_ms} ms, RPO {found.rpo_ms} ms"
            )
        rule = f"at {destination}: {what}; {outcome.name}, SHA-256 {outcome.digest}"
    return AuditEvent(
        request_id=request_id,
        phase="outcome",
        operation=PROVE,
        path=f"sys/backups/{backup}",
        capability="",
        actor_id=SERVICE,
        actor_name=SERVICE,
        method="service",
        credential="",
        ip="",
        user_agent="",
        dialect="service",
        result=result,
        code=code,
        rule=rule,
        alert=isinstance(outcome, TamperedError),
    )
