"""What the uplink sees of the vault that it speaks for, and all that it can ask of it."""

from typing import Protocol

from msgspec import Struct

from actors.tree import Node
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.bundle import AcceptedVersion


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
    policy_expires: int
    """Unix milliseconds; 0 without a bundle."""
    narrowed: int
    """Rules of that bundle that the local ceiling cut."""
    audit_size: int
    secrets: int
    troubles: frozenset[words.AlertCode] = frozenset()
    """What is wrong now; each is an alert when it begins."""
    workers: words.WorkersState = words.WorkersState.STEADY


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
