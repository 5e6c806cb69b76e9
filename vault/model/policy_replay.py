"""Accesses on record, decided again under other policies: what is asked for, and what comes out."""

from enum import StrEnum, unique
from typing import Any, Final

from msgspec import Struct

MAX_WRITTEN: Final = 500  # documents of a candidate, or names that it deletes; a bundle's bound
MAX_CHANGES: Final = 500  # changes that one answer names
MAX_RECORDS: Final = 200_000  # records of one replay; its time has a bound of its own


@unique
class Undecided(StrEnum):
    """Why an access on record cannot be decided again."""

    CREDENTIAL_GONE = "credential_gone"
    """Its token or key is no longer stored, or its user is gone: what it held is not known."""
    SECRET_CHANGED = "secret_changed"
    """A condition asks for tags, metadata or the address, and what they were is not known, or is
    not for whoever asks (`ConditionFact`)."""
    RECORD_CUT = "record_cut"
    """The index has its path shortened, or in a form that is no path of this version."""


@unique
class Stop(StrEnum):
    """What ended a replay before it had seen all that was asked for."""

    NOTHING = ""
    RECORDS = "records"
    TIME = "time"


@unique
class ConditionFact(StrEnum):
    """What conditions can ask of an access on record that whoever asks may not know."""

    TAGS = "tags"
    METADATA = "metadata"
    NETWORKS = "networks"


class ReplayPolicies(Struct, frozen=True, kw_only=True):
    """A candidate, held against what is on record from `since` to `until` (ns, inclusive).

    `write` replaces or adds local policies, `delete` removes them, `bundle` stands in for all
    policies of the control plane (None: they stay). All decoded JSON, as in `WritePolicy`.
    """

    write: tuple[dict[str, Any], ...] = ()
    delete: tuple[str, ...] = ()
    bundle: tuple[dict[str, Any], ...] | None = None
    since: int
    until: int
    limit: int = 100
    """Changes to name."""
    records: int = MAX_RECORDS
    facts: frozenset[ConditionFact] = frozenset(ConditionFact)
    """What conditions may be decided by; where others have a say, an access counts as undecided."""
    opaque: bool = False
    """Name them by opaque ids too, for whoever may not be told names."""


class DecisionChange(Struct, frozen=True, kw_only=True):
    """Accesses of one kind that would be decided otherwise; times are Unix nanoseconds.

    `allowed`: whether they are from now on; `rule` is what decides it then (empty: no rule allows
    it), `rule_now` what decides it under the policies in force.
    """

    allowed: bool
    actor_id: str
    actor_name: str
    operation: str
    capability: str
    path: str
    rule: str
    rule_now: str
    count: int
    last: int
    last_seq: int
    last_ip: str
    identity: bytes = b""
    secret: bytes = b""
    """Opaque ids; empty if not asked for, or if it is about no secret that exists."""


class PolicyReplayReport(Struct, frozen=True, kw_only=True):
    """What a replay found. All counts but `records` are accesses.

    `denied`: allowed by the policies in force and not by the candidate; `allowed`: the other way.
    `drifted`: what the policies in force decide otherwise than it is on record, wherever else they
    count. `others`: changes, each of them many accesses, that are not among `changes`.
    """

    since: int
    until: int
    reached: int
    """Nothing older than this was looked at; `since` for a replay that saw all of it."""
    stopped: Stop
    records: int
    accesses: int
    unchanged: int
    denied: int
    allowed: int
    undecided: dict[Undecided, int]
    drifted: int
    changes: tuple[DecisionChange, ...]
    others: int
