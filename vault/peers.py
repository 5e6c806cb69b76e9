"""The other processes of this agent: what they share, and what they are told.

With one process nothing is shared (`ALONE`). `vault.workers` has the rest.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

from vault.audit.broker import AuditBroker
from vault.audit.layout import LogLayout
from vault.audit.shared_tail import SharedTail
from vault.authn.lockout import Lockout
from vault.authz.policy import Policy
from vault.authz.rate_limits import Limit, TokenBuckets
from vault.errors import TamperedError
from vault.store.row_cache import CacheStats
from vault.store.shared_head import SharedHead


@dataclass(frozen=True)
class Handover:
    """What the others need to open the vault by themselves, and whom they report to."""

    root_key: bytes
    org: str
    vault: str
    node: str  # whose log and anchor they have
    epoch: int  # of the keyring: one below it was put back, and does not count
    ceiling: Policy  # of the control plane's policies
    audit: AuditBroker
    report_damage: Callable[[TamperedError], None]
    """Take note of a row that is not ours, as if it had been met here: the vault is sealed."""

    def __repr__(self) -> str:
        return f"Handover(epoch={self.epoch})"


class Peers(Protocol):
    """The interface of a process to the others of its agent."""

    def head(self) -> SharedHead | None:
        """The head of the database's file; None: nobody else writes it, or it is on a server."""
        ...

    def audit_tail(self, layout: LogLayout) -> SharedTail | None:
        """The end of the audit log; None: nobody else writes it."""
        ...

    def lockout(self) -> Lockout:
        """The count of wrong secrets."""
        ...

    def buckets(self, limit: Limit, rate: float, burst: int) -> TokenBuckets:
        """The token buckets of this limit."""
        ...


class Followers(Protocol):
    """What the process that unseals tells the others."""

    @property
    def store_failing(self) -> bool:
        """Whether the last transaction of one of them could not be stored."""
        ...

    def cache_statistics(self) -> list[CacheStats]:
        """Of the cache of each."""
        ...

    def confirm_clock(self) -> None:
        """Have them go on from the clock that an operator has confirmed."""
        ...

    def opened(self, handover: Handover) -> AbstractAsyncContextManager[None]:
        """Have them serve for the length of the block; after it their keys are gone."""
        ...

    def shut(self) -> None:
        """Have them serve nothing new until the next opening: the vault seals."""
        ...

    def rekeying(self) -> AbstractAsyncContextManager[Callable[[bytes, int], None]]:
        """Have them do without keys for the block, in which another root key comes into force.

        After it they have what the block has told, with the keyring's epoch, or the old one.
        """
        ...


class ProcessGroup(Peers, Followers, Protocol):
    """The interface of the process that unseals to the others."""


class OneProcess:
    """The `ProcessGroup` of a process that is alone."""

    def head(self) -> None:
        """Nobody else writes."""
        return

    def audit_tail(self, layout: LogLayout) -> None:
        """Nobody else writes."""
        _ = layout

    def lockout(self) -> Lockout:
        """One of its own."""
        return Lockout()

    def buckets(self, limit: Limit, rate: float, burst: int) -> TokenBuckets:
        """Its own."""
        _ = limit
        return TokenBuckets(rate, burst)

    @property
    def store_failing(self) -> bool:
        """There are none."""
        return False

    def cache_statistics(self) -> list[CacheStats]:
        """There are none."""
        return []

    def confirm_clock(self) -> None:
        """Nobody to tell."""

    def opened(self, handover: Handover) -> AbstractAsyncContextManager[None]:
        """Nobody to tell."""
        _ = handover
        return nullcontext()

    def shut(self) -> None:
        """Nobody to tell."""

    def rekeying(self) -> AbstractAsyncContextManager[Callable[[bytes, int], None]]:
        """Nobody has any."""
        return nullcontext(lambda _root_key, _epoch: None)


ALONE: Final = OneProcess()
