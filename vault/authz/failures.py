"""A pace for failed authentication, whose durable records could else fill the disk.

An address (of IPv6: a /64, which is what one subscriber has) may fail so often, and all of them
together so often. Beyond that callers hear 429 and leave no record of their own; how many there
were is on record once a window. Whoever proves who he is, is let in from the same address at any
time: this limits records, and is no lockout.
"""

from collections.abc import Callable
from ipaddress import IPv6Network, ip_address
from typing import Final

from msgspec import Struct

from vault.authz.limits import TokenBuckets
from vault.errors import RateLimitError
from vault.model.instant import SECOND

MAX_TOLD: Final = 1_024  # addresses whose refusals are counted one by one in a window
ALL: Final = "all"
OTHERS: Final = "others"
_SUBSCRIBER: Final = 64  # bits, RFC 6177 section 2


class TooManyFailuresError(RateLimitError):
    """A failed authentication that is only counted: the one error without a record of its own."""


class Refused(Struct, frozen=True):
    """What was refused in a window: how often, from how many addresses, and the one with most."""

    count: int
    addresses: int
    most: str
    most_count: int


class FailureLimits:
    """`rate` failures a second for an address, `burst` at once, and `share` times that for all."""

    def __init__(
        self,
        rate: float,
        burst: int,
        share: int,
        now: Callable[[], int],
        max_addresses: int = 65_536,
    ) -> None:
        self._each = TokenBuckets(rate, burst, max_addresses)
        self._all = TokenBuckets(rate * share, burst * share, 1)
        self._now = now
        self._refused: dict[str, int] = {}

    def fail(self, ip: str) -> None:
        """Count a failure; raises `TooManyFailuresError` when it is one too many."""
        now, address = self._now(), address_of(ip)
        wait = self._each.take(address, now) or self._all.take(ALL, now)
        if wait:
            self._refuse(address)
            raise TooManyFailuresError(
                "too_many_failures",
                "too many failed authentications; wait and try again",
                retry_after=-(-wait // SECOND),
            )

    def drain(self) -> Refused | None:
        """What was refused since the last call; None for nothing."""
        refused, self._refused = self._refused, {}
        if not refused:
            return None
        most = max(refused, key=lambda address: refused[address])
        return Refused(sum(refused.values()), len(refused), most, refused[most])

    def _refuse(self, address: str) -> None:
        if address not in self._refused and len(self._refused) >= MAX_TOLD:
            address = OTHERS
        self._refused[address] = self._refused.get(address, 0) + 1


def address_of(ip: str) -> str:
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
