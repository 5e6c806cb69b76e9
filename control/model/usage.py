"""Usage counts by hour or day, and inventories of secrets by opaque ids."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct


class UsageKind(StrEnum):
    """What a count is of."""

    OPERATION = "operation"
    SECRET = "secret"
    IDENTITY = "identity"


class Which(StrEnum):
    """Secrets that somebody asks for."""

    ALL = "all"
    UNUSED = "unused"
    OVERUSED = "overused"
    EXPIRING = "expiring"
    ROTATION = "rotation"


class UsageCount(Struct, frozen=True):
    """How often one thing was used in the hour (or day: `resolution`) from `at`, Unix seconds.

    `part`: the beginning of the report that says so; of a day it is `at`.
    """

    org: str
    vault: str
    resolution: int
    at: int
    kind: UsageKind
    subject: str
    part: int
    count: int
    failed: int


class UsageReport(Struct, frozen=True):
    """A report that was taken: what was used from `since` to `until`, Unix seconds."""

    org: str
    vault: str
    since: int
    until: int
    rolled: bool


class KnownSecret(Struct, frozen=True):
    """What is known of a secret by its opaque id. Unix seconds, 0 for never."""

    org: str
    vault: str
    secret: str
    last_read: int
    rotated_at: int
    expires_at: int
    seen_at: int


class SecretInventory(Struct, frozen=True):
    """An agent's newest look at all its secrets; classes as `protocols.link.messages.Secrets`."""

    org: str
    vault: str
    at: int
    total: int
    never_read: int
    expired: int
    idle: tuple[int, ...]
    age: tuple[int, ...]
    expires: tuple[int, ...]
    opaque: bool


class UsagePoint(Struct, frozen=True):
    """Of a curve; `at` in Unix seconds."""

    at: int
    count: int
    failed: int


class Ranked(Struct, frozen=True):
    """One of the most used."""

    vault: str
    subject: str
    count: int
    failed: int


class SecretRow(Struct, frozen=True):
    """One secret with its reads in the time asked for; Unix seconds, 0 for never."""

    vault: str
    secret: str
    reads: int
    last_read: int
    rotated_at: int
    expires_at: int
    seen_at: int
    key: int
    """What the list is ordered by."""


class UsagePeriod(Struct, frozen=True):
    """Of whom and when: `vault` empty for all; `since` <= at < `until`, Unix seconds.

    `system`: with the operations of the program itself and of its pages (`SYSTEM_OPERATIONS`).
    """

    org: str
    vault: str
    since: int
    until: int
    system: bool = True


class SecretQuery(Struct, frozen=True):
    """Which secrets. `bound`: Unix seconds; of `overused` the factor."""

    which: Which
    bound: int


class PageCursor(Struct, frozen=True):
    """Where a page before ended: the key of its last row, and what breaks ties."""

    key: int
    vault: str
    subject: str


def newest_by_vault(
    looks: Iterable[SecretInventory], vault_ids: Mapping[str, str]
) -> list[SecretInventory]:
    """Of the looks of nodes of one vault the newest: each of them has all secrets of the vault.

    `vault_ids`: by agent, of those that say one.
    """
    newest: dict[tuple[str, str], SecretInventory] = {}
    for look in looks:
        vault_id = vault_ids.get(look.vault, "")
        key = (vault_id, "") if vault_id else ("", look.vault)
        if key not in newest or (look.at, look.vault) > (newest[key].at, newest[key].vault):
            newest[key] = look
    return list(newest.values())
