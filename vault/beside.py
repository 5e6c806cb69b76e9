"""Other processes of this agent, which read what this one writes: what they are told."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

from vault.audit.broker import AuditBroker
from vault.audit.layout import LogLayout
from vault.audit.shared_tail import SharedTail
from vault.authn.credential_usage import CredentialUsage
from vault.authn.lockout import Lockout
from vault.authz.policy import Policy
from vault.authz.rate_limits import TokenBuckets
from vault.handlers.access_counters import AccessCounters
from vault.mutations import Mutations
from vault.store.committer import CommitStamper
from vault.store.row_cache import CacheConfig, RowCache
from vault.store.row_index import IndexMemory, ProcessMemory


@dataclass(frozen=True)
class Opening:
    """What they are given, and who takes in what they record and count."""

    root_key: bytes
    org: str
    vault: str
    node: str  # whose audit log they write
    epoch: int
    ceiling: Policy  # of the control plane's policies
    audit: AuditBroker
    mutations: Mutations
    access: AccessCounters
    usage: CredentialUsage


class Beside(Protocol):
    """The others."""

    def fenced(
        self, mark: CommitStamper, config: CacheConfig
    ) -> tuple[RowCache | CacheConfig, CommitStamper]:
        """Cache and mark for the store that writes, so that they hear of each change."""
        ...

    def rows(self) -> IndexMemory:
        """Where the index of rows lies, which they read, too."""
        ...

    def end(self, layout: LogLayout) -> SharedTail | None:
        """Where they write the audit log themselves; None: they do not."""
        ...

    def lockout(self) -> Lockout:
        """The count of wrong secrets, so that they hear of it."""
        ...

    def buckets(self, rate: float, burst: int) -> TokenBuckets:
        """The token buckets that they take from, too."""
        ...

    def confirm_clock(self) -> None:
        """Have them go on from the clock that an operator has confirmed."""
        ...

    def opened(self, opening: Opening) -> AbstractAsyncContextManager[None]:
        """Have them read for the length of the block; after it their keys are gone."""
        ...

    def shut(self) -> None:
        """Have them answer nothing new by themselves until the next opening: the vault seals."""
        ...

    def rekeying(self) -> AbstractAsyncContextManager[Callable[[bytes, int], None]]:
        """Have them do without keys for the block, in which another root key comes into force.

        After it they have what the block has told, with the keyring's epoch, or the old one.
        """
        ...


class Nobody:
    """One process alone."""

    def fenced(
        self, mark: CommitStamper, config: CacheConfig
    ) -> tuple[RowCache | CacheConfig, CommitStamper]:
        """As they are."""
        return config, mark

    def rows(self) -> IndexMemory:
        """In memory of its own."""
        return ProcessMemory()

    def end(self, layout: LogLayout) -> SharedTail | None:  # noqa: ARG002
        """Nobody else writes."""
        return None

    def lockout(self) -> Lockout:
        """One of its own."""
        return Lockout()

    def buckets(self, rate: float, burst: int) -> TokenBuckets:
        """Its own."""
        return TokenBuckets(rate, burst)

    def confirm_clock(self) -> None:
        """Nobody to tell."""

    def opened(self, opening: Opening) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        """Nobody to tell."""
        return nullcontext()

    def shut(self) -> None:
        """Nobody to tell."""

    def rekeying(self) -> AbstractAsyncContextManager[Callable[[bytes, int], None]]:
        """Nobody has any."""
        return nullcontext(lambda _root_key, _epoch: None)


ALONE: Final[Beside] = Nobody()
