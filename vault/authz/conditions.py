"""Conditions of a policy or rule: what each asks, when it is well-formed, and how it is decided.

A condition is true, false, or undecidable (the caller's address is no address, say). Undecidable
counts as whatever refuses: an allow rule does not apply, a deny rule does.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import TZPATH, ZoneInfo

from msgspec import UNSET, Meta, Struct, UnsetType, field

from actors.slewed_clock import EARLY
from protocols.errors import ValidationError
from protocols.instant import SECOND, parse_duration
from vault.authz.access import AccessRequest
from vault.model.identity import Method

MAX_CONDITIONS: Final = 16  # a rule; seven kinds exist, so this is every kind twice
MAX_MFA_AGE: Final = 366 * 24 * 3600 * SECOND
MAX_ITEMS: Final = 256  # networks, tags or values of one condition

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_CLOCK: Final = re.compile(r"(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00)\Z", re.ASCII)
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
_END_OF_DAY: Final = 24 * 60  # minutes
_MAPPED: Final = 96  # the bits of ::ffff:0:0/96, before the IPv4 address (RFC 4291 section 2.5.5.2)

Check = Callable[[AccessRequest], bool]
Fault = tuple[str, str]  # (field below the condition, what is wrong)

Item = Annotated[str, Meta(min_length=1, max_length=512)]
Items = Annotated[tuple[Item, ...], Meta(max_length=MAX_ITEMS)]


class UndecidableError(Exception):
    """A condition cannot be decided for this access; the message says which and why."""


class HiddenFacts:
    """Replaces `SecretFacts` that the asker may not know: conditions on them are undecidable."""

    @property
    def tags(self) -> frozenset[str]:
        """Raises `UndecidableError`."""
        raise UndecidableError("it depends on the secret, which you may not read")

    @property
    def metadata(self) -> dict[str, str]:
        """Raises `UndecidableError`."""
        raise UndecidableError("it depends on the secret, which you may not read")


class ConditionBase(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"
):
    """What all conditions share: `not` turns the answer round (undecidable stays so)."""

    negate: bool = field(default=False, name="not")


class TimeWindow(ConditionBase, frozen=True, tag="time_window"):
    """On these days from `from` (inclusive) to `to` (exclusive), wall-clock time in `tz`.

    A window whose `to` lies before its `from` runs over midnight and belongs to the day on which
    it began.
    """

    days: Annotated[tuple[str, ...], Meta(min_length=1, max_length=7)] = DAYS
    start: str = field(default="00:00", name="from")
    end: str = field(default="24:00", name="to")
    tz: Annotated[str, Meta(max_length=64)] = "UTC"


class SourceNetwork(ConditionBase, frozen=True, tag="source_network"):
    """From one of these CIDR networks. An IPv4-mapped IPv6 address is the IPv4 address."""

    networks: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=MAX_ITEMS)]


class AuthMethod(ConditionBase, frozen=True, tag="auth_method"):
    """Authenticated by one of these methods."""

    methods: Annotated[tuple[Method, ...], Meta(min_length=1, max_length=len(Method))]


class Tags(ConditionBase, frozen=True, tag="tags"):
    """The secret has any of these tags, all of those, none of the last."""

    any: Items = ()
    all: Items = ()
    none: Items = ()


class Metadata(ConditionBase, frozen=True, tag="metadata"):
    """The secret's metadata has `key`, equal to `equals` or among `in`."""

    key: Item
    equals: Annotated[str, Meta(max_length=512)] | None = None
    among: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_ITEMS)] | None = field(
        default=None, name="in"
    )


class MfaPresent(ConditionBase, frozen=True, tag="mfa_present"):
    """A second factor was shown for the caller's credential, at most `max_age` ago.

    A duration such as `15m`, or seconds; without it however long ago.
    """

    max_age: int | Annotated[str, Meta(max_length=32)] | UnsetType = UNSET


Condition = TimeWindow | SourceNetwork | AuthMethod | Tags | Metadata | MfaPresent
KINDS: Final = ("time_window", "source_network", "auth_method", "tags", "metadata", "mfa_present")


def condition_kind(condition: Condition) -> str:
    """Return the condition's name in a document."""
    return str(condition.__struct_config__.tag)


def condition_needs_facts(condition: Condition) -> bool:
    """Say whether the condition asks about the secret itself."""
    return isinstance(condition, Tags | Metadata)


_NETWORKS_AT_ONCE: Final = 16  # networks that are held against an address as fast as another check


def condition_cost(condition: Condition) -> int:
    """How many checks of about a microsecond it is as dear as."""
    if isinstance(condition, SourceNetwork):
        return 1 + len(condition.networks) // _NETWORKS_AT_ONCE
    return 1


def condition_faults(condition: Condition) -> list[Fault]:
    """Return what the shape alone cannot refuse, as (field below the condition, message)."""
    match condition:
        case TimeWindow():
            return _window_faults(condition)
        case SourceNetwork():
            return [
                (f"networks[{i}]", "is not a CIDR network such as 10.0.0.0/8 (host bits zero)")
                for i, text in enumerate(condition.networks)
                if _network(text) is None
            ]
        case Tags() if not (condition.any or condition.all or condition.none):
            return [("", "needs at least one of any, all, none")]
        case Metadata() if (condition.equals is None) == (condition.among is None):
            return [("", "needs exactly one of equals, in")]
        case MfaPresent() if condition.max_age is not UNSET:
            age = _max_age(condition.max_age)
            if not 0 < age <= MAX_MFA_AGE:
                return [("max_age", "must be a duration of 1s to 366d, such as 15m")]
            return []
        case _:
            return []


def compile_check(condition: Condition) -> Check:
    """Turn a valid condition into its check, which raises `UndecidableError`."""
    check = _check(condition)
    return (lambda access: not check(access)) if condition.negate else check


def _check(condition: Condition) -> Check:
    match condition:
        case TimeWindow():
            return _window_check(condition)
        case SourceNetwork():
            return _network_check(condition)
        case AuthMethod():
            methods = frozenset(condition.methods)
            return lambda access: access.identity.method in methods
        case Tags():
            return _tags_check(condition)
        case Metadata():
            key, values = condition.key, frozenset(condition.among or (condition.equals,))
            return lambda access: access.facts.metadata.get(key) in values
        case MfaPresent():
            return _mfa_check(condition)


def _max_age(given: int | str) -> int:
    """A duration in ns; 0 for a text that is none."""
    try:
        return parse_duration(given, "max_age")
    except ValidationError:
        return 0


def _mfa_check(condition: MfaPresent) -> Check:
    if condition.max_age is UNSET:
        return lambda access: access.identity.mfa
    oldest = _max_age(condition.max_age)

    def check(access: AccessRequest) -> bool:
        shown = access.identity.mfa_at
        # One that is ahead was shown by a clock that was: its age is not known.
        return shown > 0 and -EARLY <= access.now - shown <= oldest

    return check


def _tags_check(condition: Tags) -> Check:
    some, every, none = map(frozenset, (condition.any, condition.all, condition.none))

    def check(access: AccessRequest) -> bool:
        tags = access.facts.tags
        return (not some or not some.isdisjoint(tags)) and every <= tags and none.isdisjoint(tags)

    return check


def _window_faults(window: TimeWindow) -> list[Fault]:
    wrong = [
        (f"days[{i}]", f"is not one of {', '.join(DAYS)}")
        for i, day in enumerate(window.days)
        if day not in DAYS
    ]
    start, end = _minutes(window.start), _minutes(window.end)
    if start is None or start == _END_OF_DAY:
        wrong.append(("from", "is not a time such as 08:30"))
    if end is None:
        wrong.append(("to", "is not a time such as 18:00 (24:00 ends the day)"))
    if start is not None and start == end:
        wrong.append(("to", "equals from: the window would be empty"))
    if _zone(window.tz) is None:
        wrong.append(("tz", "is not a time zone known here, such as UTC or Europe/Berlin"))
    return wrong


def _minutes(text: str) -> int | None:
    if _CLOCK.match(text) is None:
        return None
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _zone(name: str) -> tzinfo | None:
    if name == "UTC":  # needs no time zone database, which a small container may lack
        return UTC
    if _ZONE.fullmatch(name) is None or not _zone_exists(name):
        return None  # `ZoneInfo` takes 0.3 ms to find that out
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return None


@lru_cache(maxsize=1024)  # more than there are zones; an unknown name costs a look for each folder
def _zone_exists(name: str) -> bool:
    """Whether there is a file where `ZoneInfo` looks for one."""
    if any(Path(folder, name).is_file() for folder in TZPATH):
        return True
    packaged = _packaged_zones()
    return packaged is not None and packaged.joinpath(*name.split("/")).is_file()


@cache
def _packaged_zones() -> Traversable | None:
    """The zones of the `tzdata` package; None where it is not installed."""
    try:
        return files("tzdata") / "zoneinfo"
    except ModuleNotFoundError:
        return None


def _window_check(window: TimeWindow) -> Check:
    zone, start, end = _zone(window.tz), _minutes(window.start), _minutes(window.end)
    days = frozenset(DAYS.index(day) for day in window.days)

    @lru_cache(maxsize=1)  # a list asks for one moment a thousand times
    def holds(second: int) -> bool:
        if zone is None or start is None or end is None:  # the host lost its zone database
            raise UndecidableError("time_window: the time zone is not known here")
        try:
            local = datetime.fromtimestamp(second, zone)
        except (ValueError, OverflowError, OSError):
            raise UndecidableError("time_window: the time is out of range") from None
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if start < end:
            return day in days and start <= minute < end
        return (day in days and minute >= start) or ((day - 1) % 7 in days and minute < end)

    return lambda access: holds(access.now // SECOND)


_Range = tuple[int, int, int]  # (IP version, mask, network) as integers


@lru_cache(maxsize=4096)  # the clients of an hour; an entry is a short text and an int
def _address(text: str) -> tuple[int, int]:
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        raise UndecidableError("source_network: the caller's address is unknown") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)


def _network(text: str) -> _Range | None:
    try:
        network: IPv4Network | IPv6Network = ip_network(text)
    except ValueError:
        return None
    first = network.network_address
    if (
        isinstance(first, IPv6Address)
        and first.ipv4_mapped is not None
        and network.prefixlen >= _MAPPED
    ):
        network = IPv4Network((first.ipv4_mapped, network.prefixlen - _MAPPED))
    return network.version, int(network.netmask), int(network.network_address)


def _network_check(condition: SourceNetwork) -> Check:
    ranges = tuple(found for text in condition.networks if (found := _network(text)))

    def check(access: AccessRequest) -> bool:
        version, number = _address(access.origin.ip)
        return any(v == version and number & mask == base for v, mask, base in ranges)

    return check
