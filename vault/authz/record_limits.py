"""A rate limit for failed authentication, whose durable records could otherwise fill the disk.

It holds for each address (IPv6: for each /64, which is what one subscriber has) and for all of them
together. Callers beyond the limit get 429 and leave no record of their own; their number is on
record once a window. A caller with a valid credential is let in from the same address at any time:
this limits records, and is no lockout.

Refusals of authenticated callers have a limit for each caller, in the same way. Beyond it they get
the same refusal without a record; what is allowed always has a record of its own.
"""

from collections.abc import Callable
from ipaddress import IPv6Network, ip_address
from typing import Final

from msgspec import Struct

from protocols.instant import SECOND
from vault.authz.rate_limits import Buckets
from vault.errors import RateLimitError

MAX_REPORTED: Final = 1_024  # sources whose refusals are counted one by one in a window
ALL: Final = "all"
OTHERS: Final = "others"
_SUBSCRIBER: Final = 64  # bits, RFC 6177 section 2


class TooManyFailuresError(RateLimitError):
    """A failed authentication that is only counted: the one error without a record of its own."""


class SuppressedRecords(Struct, frozen=True):
    """What was refused in a window: how often, of how many sources, and the one with most.

    A source is an address, or a caller.
    """

    count: int
    sources: int
    most: str
    most_count: int


class RecordLimits:
    """A limit for each source, and one for all of them together."""

    def __init__(self, each: Buckets, together: Buckets, now: Callable[[], int]) -> None:
        """`together` is asked for one key alone."""
        self._each = each
        self._all = together
        self._now = now
        self._suppressed: dict[str, int] = {}

    def allows(self, source: str) -> bool:
        """Whether the next record of a source is within its pace; one that is not is counted."""
        return not self.delay_ns(source)

    def delay_ns(self, source: str) -> int:
        """As `allows`; how long until one would be within it (ns), 0 if this one is."""
        now = self._now()
        wait = self._each.take_token(source, now) or self._all.take_token(ALL, now)
        if wait:
            self._count_suppressed(source)
        return wait

    def drain(self) -> SuppressedRecords | None:
        """What was refused since the last call; None for nothing."""
        refused, self._suppressed = self._suppressed, {}
        if not refused:
            return None
        most = max(refused, key=lambda source: refused[source])
        return SuppressedRecords(sum(refused.values()), len(refused), most, refused[most])

    def _count_suppressed(self, source: str) -> None:
        if source not in self._suppressed and len(self._suppressed) >= MAX_REPORTED:
            source = OTHERS
        self._suppressed[source] = self._suppressed.get(source, 0) + 1


class FailureLimits(RecordLimits):
    """Those of failed authentications, by address."""

    def count_failure(self, ip: str) -> None:
        """Count a failure; raises `TooManyFailuresError` when it is one too many."""
        wait = self.delay_ns(address_key(ip))
        if wait:
            raise TooManyFailuresError(
                "too_many_failures",
                "too many failed authentications; wait and try again",
                retry_after=-(-wait // SECOND),
            )


def address_key(ip: str) -> str:
    """What counts as one address; text that is none stands for itself."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if address.version == 4:  # noqa: PLR2004 - of IP
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), _SUBSCRIBER), strict=False))


def is_loopback(source: str) -> bool:
    """Whether an `address_key` is of a client on the same machine."""
    return source.startswith("127.") or source == address_key("::1")
