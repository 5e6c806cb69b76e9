"""Changes of secrets, as clients follow them: names and versions, never a value."""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

MAX_PREFIXES: Final = 100
"""Of one request."""
CHANGES_EXPIRED: Final = "changes_expired"
"""Code of the `ConflictError` for a cursor from which the feed cannot be read on. Its
`details["cursor"]` is the one to go on with, after everything was listed anew."""


class FeedExpiredError(Exception):
    """The feed does not reach back to this position, or it is of another history."""


class ChangePosition(NamedTuple):
    """A commit by its entry in the change feed: its number and its chain MAC."""

    commits: int
    chain: bytes


class ChangedNames(NamedTuple):
    """The secrets that one commit changed, and the position of that commit."""

    names: list[str]
    position: ChangePosition


class SecretFeed(Protocol):
    """The change feed of the store, reduced to the names of secrets."""

    @property
    def commits(self) -> int:
        """The number of the last commit whose rows are seen here."""
        ...

    async def position(self) -> ChangePosition:
        """The position of that commit. Raises `VaultError`."""
        ...

    async def read(self, after: ChangePosition, until: int) -> list[ChangedNames]:
        """The next entries after a position, none beyond the commit `until`.

        Empty only if there are none. Raises `FeedExpiredError`, and `TamperedError`
        (`feed_damaged`) for entries that are not the vault's own.
        """
        ...


class ReadChanges(Struct, frozen=True, kw_only=True):
    """What changed after the cursor `since`; empty: nothing, but from where to go on.

    `prefixes`: secrets or folders, everything if there is none.
    """

    since: str = ""
    prefixes: tuple[str, ...] = ()


class AcknowledgeVersion(Struct, frozen=True, kw_only=True):
    """The caller uses this version of the operation's secret from now on."""

    version: int


class SecretChange(Struct, frozen=True, kw_only=True):
    """A secret that was changed, as it is now.

    `status` is `removed` where there is none any more. `version` and `status` are None for a
    caller who may list the secret, but not read its metadata.
    """

    path: str
    version: int | None = None
    status: str | None = None
    updated_at: int = 0


REMOVED: Final = "removed"


class WatchEvent(StrEnum):
    """Why a wait for changes ended."""

    CHANGED = "changed"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"  # the server takes no further requests
    SEALED = "sealed"


class IdleRequest(Protocol):
    """A request that waits for something other than its own work: see `protocols.http`."""

    @property
    def is_draining(self) -> bool:
        """Whether the server stops."""
        ...

    def suspend(self) -> None:
        """Not counted among the requests in hand from here on."""

    def resume(self) -> None:
        """Counted again."""


class ChangeWatch(Protocol):
    """What waits for the next change that its caller may see."""

    @property
    def cursor(self) -> str:
        """A cursor behind all that was looked at so far."""
        ...

    def open(self, request: IdleRequest) -> AbstractContextManager[None]:
        """Wait within the block, which the revocation of the caller's credential cuts.

        Then it raises `AuthenticationError`. Raises `RateLimitError` (`too_many_watches`) and
        `UnavailableError` (`watches_full`), too.
        """
        ...

    async def wait(self, seconds: float) -> WatchEvent:
        """Until the caller may see a change, at most for `seconds`."""
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """A turn to read what changed, within the block: one change may end thousands of waits."""
        ...

    async def is_still_valid(self) -> bool:
        """Whether the caller's credential still stands."""
        ...


class ChangesRead(Struct, frozen=True, kw_only=True):
    """Changes in the order of their first commits, each secret once.

    `cursor`: from where to go on; `has_more`: at once.
    """

    changes: list[SecretChange]
    cursor: str
    has_more: bool
    watch: ChangeWatch
