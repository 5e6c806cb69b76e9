"""What the control link sees of the vault that it speaks for, and all that it can ask of it."""

import platform
import resource
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct

from actors import World
from actors.tree import Node
from protocols.instant import SECOND
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import AcceptedVersion, BundleError
from vault import operations
from vault.control_link.audit_follower import AuditLogFollower
from vault.errors import UnavailableError, VaultError
from vault.metrics import RequestTotals
from vault.model.link_ports import ActiveBundle, KekState
from vault.model.operation import OperationType, P, R, RunOperation, service_operation
from vault.model.payloads import ApplyBundle, Nothing


class AppliedBundle(Struct, frozen=True):
    """A bundle that is in force. `narrowed`: rules that the local ceiling cut."""

    stored: AcceptedVersion
    narrowed: int


class VaultFacts(Struct, frozen=True, kw_only=True):
    """What is told of the vault as a whole; numbers and listed words."""

    health: words.Health
    release: str
    platform: words.Platform
    backend: words.Backend
    key_holder: words.KeyHolder
    started_at: int
    """Unix milliseconds."""
    uptime: int
    """Seconds."""
    policy: AcceptedVersion
    bundle_hash: bytes = bytes(32)
    """Of the bundle in force, by whichever agent of the vault it came; zeros without one."""
    policy_expires: int
    """Unix milliseconds; 0 without a bundle."""
    narrowed: int
    """Rules of that bundle that the local ceiling cut."""
    audit_size: int
    secrets: int
    vault: bytes = b""
    """The vault's id; empty while there is none."""
    troubles: frozenset[words.AlertCode] = frozenset()
    """What is wrong now; each is an alert when it begins."""
    break_glass_uses: int = 0
    """How often break-glass holders have opened the vault, on any agent; unverified while it is
    sealed."""
    break_glass_used_at: int = 0
    """Unix nanoseconds, of the last time; 0: never."""
    workers: words.WorkersState = words.WorkersState.STEADY
    key_providers: words.KeyProvidersState | None = None
    """None without any."""
    backups: m.Backups | None = None
    """None until the vault was open."""
    clients: m.Clients | None = None
    """None unless this agent reports for the vault, as is the next."""
    rotations: m.Rotations | None = None


class MetricFigures(Struct, frozen=True, kw_only=True):
    """Totals and states for `Metrics`; what is not known is left out."""

    counters: dict[words.CounterName, int]
    gauges: dict[words.GaugeName, int]
    histograms: dict[words.HistogramName, tuple[tuple[int, ...], int]]
    """Counts by bucket, and the sum in microseconds."""


class LinkHost(Protocol):
    """The vault. Nothing here returns a value, a name or a path of a secret."""

    @property
    def is_open(self) -> bool:
        """Whether the vault is unsealed."""
        ...

    def facts(self) -> VaultFacts:
        """As of now."""
        ...

    def figures(self) -> MetricFigures:
        """As of now."""
        ...

    def actor_tree(self) -> Node | None:
        """The actors as they are now; None while the vault is sealed."""
        ...

    async def apply_bundle(self, signed: bytes) -> AppliedBundle:
        """Have the vault check a bundle and put it in force, by an ordinary audited operation.

        Raises `BundleError` for one that is refused, `UnavailableError` when it cannot be done now
        (sealed, store or audit away): then it is tried again.
        """
        ...

    async def checkpoint(self, old_size: int, old_root: bytes) -> m.AuditCheckpoint | None:
        """The audit log's newest signed state with the proof that it grew from the old one.

        None when there is nothing new, or the log cannot be read now.
        """
        ...

    async def rotate_kek(self) -> None:
        """Rotate the key-encryption key. Raises `VaultError`."""
        ...

    async def run_backup(self) -> bool:
        """Begin a backup; False where the agent makes none. Raises `VaultError`."""
        ...


# The local vault: through its seal manager, its metrics, and the follower of its audit log.


SERVICE: Final = "control-plane"
NO_ACTIVE_BUNDLE: Final = ActiveBundle(0, bytes(32), 0, 0)
_MICRO: Final = 1_000_000
_MILLI: Final = 1_000_000  # nanoseconds
_READS: Final = frozenset({"secret.read"})
_WRITES: Final = frozenset({"secret.write", "secret.patch", "secret.rollback"})
_DELETES: Final = frozenset({"secret.delete", "secret.destroy", "secret.purge", "secret.remove"})
_LISTS: Final = frozenset({"secret.list", "secret.keys"})
_OURS: Final = frozenset({"internal", "unavailable"})
_THEIRS: Final = frozenset({"validation", "not_found", "conflict"})
_MACHINES: Final = {
    "x86_64": words.Platform.LINUX_AMD64,
    "aarch64": words.Platform.LINUX_ARM64,
}


@dataclass
class LocalVaultHost:
    """The `LinkHost` of this process. Functions are called each time their value is needed."""

    run: RunOperation
    is_open_now: Callable[[], bool]
    totals: Callable[[], RequestTotals]
    connections: Callable[[], float]
    audit: AuditLogFollower
    release: str
    backend: words.Backend
    key_holder: words.KeyHolder
    world: World
    vault_id: Callable[[], str] = str
    """Of the vault's seal, also while it is sealed; empty before it is initialized."""
    break_glass_uses: Callable[[], tuple[int, int]] = field(default=lambda: (0, 0))
    """As `vault.seal.manager.SealManager.break_glass_uses`."""
    secrets: int = 0
    """As last counted; whoever counts sets it."""
    policies: Callable[[], ActiveBundle] = field(default=lambda: NO_ACTIVE_BUNDLE)
    """Set by whoever opens the vault; outlives its sealing."""
    bundle_in_force: Callable[[], ActiveBundle] = field(default=lambda: NO_ACTIVE_BUNDLE)
    """The same, but whichever agent of the vault it came by."""
    keys: Callable[[], KekState | None] = field(default=lambda: None)
    """The same; asked while the vault is open."""
    troubles: Callable[[], frozenset[words.AlertCode]] = field(default=frozenset)
    workers_failing: Callable[[], bool] = field(default=bool)
    key_providers: Callable[[], words.KeyProvidersState | None] = field(default=lambda: None)
    refusing: Callable[[], bool] = field(default=bool)
    sinks_failing: Callable[[], float] = field(default=float)
    backups: Callable[[], m.Backups | None] = field(default=lambda: None)
    """None until the vault was open; outlives its sealing."""
    backup_counts: Callable[[], Mapping[words.CounterName, int]] = field(default=dict)
    make_backup: Callable[[], Callable[[], Awaitable[None]] | None] = field(default=lambda: None)
    """What begins a backup, while the vault is open; None where the agent makes none."""
    clients: Callable[[], m.Clients | None] = field(default=lambda: None)
    rotations: Callable[[], m.Rotations | None] = field(default=lambda: None)
    expiring: Callable[[], int | None] = field(default=lambda: None)
    """Secrets that expire soon; None while nobody has looked."""
    actors: Callable[[], Node | None] = field(default=lambda: None)
    sizes: dict[words.GaugeName, int] = field(default_factory=dict)
    """As last measured; whoever measures sets it."""
    started: int = 0

    def __post_init__(self) -> None:
        self.started = self.world.now()

    @property
    def is_open(self) -> bool:
        """See `LinkHost`."""
        return self.is_open_now()

    def facts(self) -> VaultFacts:
        """See `LinkHost`."""
        held = self.policies()
        uses, used_at = self.break_glass_uses()
        return VaultFacts(
            health=self._health(),
            release=self.release,
            platform=detect_platform(),
            backend=self.backend,
            key_holder=self.key_holder,
            started_at=self.started // _MILLI,
            uptime=(self.world.now() - self.started) // SECOND,
            policy=AcceptedVersion(held.version, held.hash),
            bundle_hash=held.hash if held.version else self.bundle_in_force().hash,
            policy_expires=held.expires,
            narrowed=held.narrowed,
            audit_size=self.audit.size,
            secrets=self.secrets,
            vault=parse_vault_id(self.vault_id()),
            break_glass_uses=uses,
            break_glass_used_at=used_at,
            troubles=self.troubles(),
            workers=self._workers(),
            key_providers=self.key_providers(),
            backups=self.backups(),
            clients=self.clients(),
            rotations=self.rotations(),
        )

    def _health(self) -> words.Health:
        if not self.is_open:
            return words.Health.SEALED
        return words.Health.REFUSING if self.refusing() else words.Health.SERVING

    def _workers(self) -> words.WorkersState:
        return words.WorkersState.FAILING if self.workers_failing() else words.WorkersState.STEADY

    def figures(self) -> MetricFigures:
        """See `LinkHost`."""
        totals = self.totals()
        counters, gauges = _of_keys(self.keys() if self.is_open else None)
        expiring = self.expiring()
        if expiring is not None:
            gauges[words.GaugeName.SECRETS_EXPIRING] = expiring
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return MetricFigures(
            counters={
                **count_link_operations(totals),
                words.CounterName.AUDIT_RECORDS: self.audit.size,
                **self.backup_counts(),
                **counters,
            },
            gauges={
                words.GaugeName.SEALED: int(not self.is_open),
                words.GaugeName.ACTIVE_CONNECTIONS: int(self.connections()),
                words.GaugeName.SECRETS: self.secrets,
                words.GaugeName.MEMORY_BYTES: usage.ru_maxrss * 1024,
                words.GaugeName.AUDIT_SINKS_FAILING: int(self.sinks_failing()),
                **self.sizes,
                **gauges,
            },
            histograms={
                words.HistogramName.REQUEST_DURATION: (
                    totals.counts,
                    round(totals.seconds * _MICRO),
                )
            },
        )

    def actor_tree(self) -> Node | None:
        """See `LinkHost`."""
        return self.actors()

    async def apply_bundle(self, signed: bytes) -> AppliedBundle:
        """See `LinkHost`."""
        try:
            found = await self._run(
                operations.APPLY_BUNDLE, "sys/fleet/bundle", ApplyBundle(signed=signed)
            )
        except VaultError as error:
            reason = error.details.get("reason")
            if error.code == "bundle_refused" and isinstance(reason, str):
                raise BundleError(words.PolicyReason(reason), error.message) from None
            if error.code == "bundle_older":
                raise BundleError(words.PolicyReason.OLDER, error.message) from None
            raise
        return AppliedBundle(AcceptedVersion(found.version, found.hash), found.narrowed)

    async def checkpoint(self, old_size: int, old_root: bytes) -> m.AuditCheckpoint | None:
        """See `LinkHost`."""
        return await self.audit.checkpoint(old_size, old_root)

    async def rotate_kek(self) -> None:
        """See `LinkHost`."""
        await self._run(operations.ROTATE_KEY, "sys/rotate", Nothing())
        await self._run(operations.REWRAP_DATA_KEYS, "sys/rewrap", Nothing())

    async def run_backup(self) -> bool:
        """See `LinkHost`."""
        if not self.is_open:
            raise UnavailableError("sealed", "the vault is sealed: unseal it to make a backup")
        run = self.make_backup()
        if run is None:
            return False
        await run()
        return True

    async def _run(self, operation: OperationType[P, R], path: str, payload: P) -> R:
        request_id = self.world.new_id()
        return await self.run(
            service_operation(operation, path, payload, service=SERVICE, request_id=request_id)
        )


def parse_vault_id(text: str) -> bytes:
    """The 16 bytes of the vault's id; empty for none."""
    with suppress(ValueError):
        return UUID(text).bytes
    return b""


def _of_keys(
    state: KekState | None,
) -> tuple[dict[words.CounterName, int], dict[words.GaugeName, int]]:
    """Nothing while nobody knows: a sealed vault has no keys to look at."""
    if state is None:
        return {}, {}
    return (
        {words.CounterName.ROTATIONS: state.rotations},
        {words.GaugeName.ROTATIONS_DUE: int(state.due)},
    )


def count_link_operations(totals: RequestTotals) -> dict[words.CounterName, int]:
    """The link's counters from those of operations (name, status → how often)."""
    name = words.CounterName
    found = dict.fromkeys(
        (
            *(name.REQUESTS, name.READS, name.WRITES, name.DELETES, name.LISTS, name.DENIALS),
            *(name.LOGIN_FAILURES, name.RATE_LIMITED, name.CLIENT_ERRORS, name.SERVER_ERRORS),
        ),
        0,
    )
    found[name.REQUESTS] = sum(totals.counts)
    for (operation, status), count in totals.operations.items():
        for counter in _counters(operation, status):
            found[counter] += count
    return found


def _counters(operation: str, status: str) -> list[words.CounterName]:
    name = words.CounterName
    kinds = {
        name.READS: operation in _READS,
        name.WRITES: operation in _WRITES,
        name.DELETES: operation in _DELETES,
        name.LISTS: operation in _LISTS,
        name.DENIALS: status == "authorization",
        name.LOGIN_FAILURES: status == "authentication",
        name.RATE_LIMITED: status == "rate_limit",
        name.CLIENT_ERRORS: status in _THEIRS,
        name.SERVER_ERRORS: status in _OURS,
    }
    return [counter for counter, counts in kinds.items() if counts]


def detect_platform() -> words.Platform:
    """What this runs on."""
    if sys.platform != "linux":
        return words.Platform.OTHER
    return _MACHINES.get(platform.machine(), words.Platform.OTHER)
