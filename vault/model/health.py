"""How the open agent does, in one look."""

from msgspec import Struct


class SinkHealth(Struct, frozen=True, kw_only=True):
    """One durable copy of the audit log."""

    name: str
    size: int
    behind: bool
    on_reserve: bool
    error: str


class DiskHealth(Struct, frozen=True, kw_only=True):
    """The file system of one place that the agent writes. Bytes.

    `place`: `data`, `audit`, `anchor` or `link`. `low`: less is free than the settings
    `monitoring.disk_low_free` and `monitoring.disk_low_percent` ask for.
    One that cannot be measured is as it was last; if it never was, it is low, with `total` 0.
    """

    place: str
    free: int
    total: int
    low: bool


class KeyringState(Struct, frozen=True, kw_only=True):
    """What may be shown of the keyring. `created_at`: of the active generation, Unix ns.

    `uses` of the active generation's key are counted, `reserved_uses` are set aside in the store.
    """

    epoch: int
    generation: int
    oldest_generation: int
    created_at: int
    uses: int
    reserved_uses: int
    rotation_due: bool


class KeyStatus(Struct, frozen=True, kw_only=True):
    """The keyring. `rewrapped`: no version can be under an older key."""

    keyring: KeyringState
    rewrapped: bool


class CacheState(Struct, frozen=True, kw_only=True):
    """The cache of sealed rows: its settings (`ttl` in ns, 0: none) and its counts.

    `hit_rate` in percent.
    """

    eviction_policy: str
    ttl: int
    max_bytes: int
    bytes: int
    entries: int
    hits: int
    misses: int
    evictions: int
    hit_rate: float


class HealthState(Struct, frozen=True, kw_only=True):
    """Rates are of the last seconds, a second; `p50` and `p99` are upper bounds in milliseconds.

    `opened_at`: since when it is unsealed, Unix ns. `trouble`: of audit log and anchor, for people.
    """

    version: str
    opened_at: int
    connections: int
    requests: int
    requests_per_second: float | None
    errors_per_second: float | None
    p50: float | None
    p99: float | None
    key_epoch: int
    key_generation: int
    key_created_at: int
    key_uses: int
    rotation_due: bool
    cache_bytes: int
    cache_max_bytes: int
    cache_entries: int
    cache_hit_rate: float
    audit_size: int
    trouble: str
    sinks: tuple[SinkHealth, ...]
    disks: tuple[DiskHealth, ...]
