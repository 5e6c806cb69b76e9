"""How the agent stands with its control plane, for people and programs."""

from msgspec import Struct


class LinkNotification(Struct, frozen=True, kw_only=True):
    """Something that the control plane has told. `at`: Unix milliseconds."""

    code: str
    severity: str
    at: int


class LinkStatus(Struct, frozen=True, kw_only=True):
    """All of it in one look. Times: Unix nanoseconds, 0 for never.

    `state`: the design's: online, syncing, offline, queueing. `standing`: unenrolled, pending,
    enrolled, expired. `health`: serving, sealed, refusing. `faults`: sessions that ended because
    the control plane broke the protocol. `round_trip`: seconds; None until this session has
    measured it. `trouble`: why it is not better, for people.
    """

    enabled: bool
    state: str = "offline"
    health: str = ""
    since: int = 0
    standing: str = "unenrolled"
    endpoint: str = ""
    org: str = ""
    vault: str = ""
    fingerprint: str = ""
    generation: int = 0
    certificate_expires: int = 0
    connected: bool = False
    connected_at: int = 0
    round_trip: float | None = None
    attempts: int = 0
    faults: int = 0
    outbox_messages: int = 0
    outbox_bytes: int = 0
    dropped: int = 0
    egress_bytes: int = 0
    cosigned_size: int = 0
    policy_version: int = 0
    policy_expires: int = 0
    policy_trouble: str = ""
    trouble: str = ""
    notifications: tuple[LinkNotification, ...] = ()


DISABLED = LinkStatus(enabled=False)


class CentralPolicy(Struct, frozen=True, kw_only=True):
    """A policy of a control plane's bundle: how many rules of it allow and deny."""

    name: str
    allows: int
    denies: int


class CentralBundle(Struct, frozen=True, kw_only=True):
    """A control plane's bundle; version 0 for none. `org` and `vault`: by whose enrolment it came.

    `expires`: Unix nanoseconds.
    """

    version: int
    org: str
    vault: str
    expires: int
    policies: tuple[CentralPolicy, ...]


class SentEntry(Struct, frozen=True, kw_only=True):
    """One entry of the egress ledger. `says`: what its bytes mean; a token in it is not shown."""

    entry: int
    time: str
    kind: str
    peer: str
    path: str
    connection: str
    offset: int
    length: int
    sha256: str
    says: str


class SentPage(Struct, frozen=True):
    """Some of what was sent, newest first; `before` asks for older ones, 0 marks the last page."""

    entries: tuple[SentEntry, ...]
    before: int


class SentVerdict(Struct, frozen=True, kw_only=True):
    """The whole ledger checked: `fault` is what is wrong and where, empty for none."""

    entries: int
    bytes: int
    first: int
    last: int
    fault: str
