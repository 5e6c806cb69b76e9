"""Every message of the link: the allow-list. What has no type here cannot be sent.

An agent's messages are numbers, words of a closed list, random ids, hashes and names that the
receiver knows already (`protocols.link.fields` says for each kind why it is safe): there is no
field that a secret's value, name or path would fit into. All fields are always present, all
numbers are whole. `MESSAGE_SPECS` says who sends what and how it is delivered.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto, unique
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from protocols.link import vocabulary as words
from protocols.link.fields import (
    Bundle,
    ChannelDigest,
    Cosignature,
    Hash,
    Id,
    LinkVersion,
    Millis,
    Number,
    Opaque,
    Ordinal,
    PublicKey,
    Release,
    Rules,
    Slug,
    TreeHead,
)
from protocols.link.limits import (
    FIRST_VERSION,
    MAX_BUNDLE,
    MAX_CONDITIONS,
    MAX_IDENTITIES,
    MAX_NAMED,
    MAX_NODES,
    MAX_NOTIFY_CHANNELS,
    MAX_OBSERVED,
    MAX_REPLAY_CHANGES,
    MAX_ROTATION_NOTICES,
    MAX_VERSIONS,
)


class Message(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every payload: a frozen struct whose unknown fields are refused."""


# --- what an agent measures -----------------------------------------------------------------------


class CounterValue(Message, frozen=True, kw_only=True):
    """A total."""

    name: words.CounterName
    value: Number


class GaugeValue(Message, frozen=True, kw_only=True):
    """A state."""

    name: words.GaugeName
    value: Number


class HistogramValue(Message, frozen=True, kw_only=True):
    """Times: how many in each of `BUCKETS_US` (not cumulative) and above, and their sum."""

    name: words.HistogramName
    counts: Annotated[
        tuple[Number, ...],
        Meta(min_length=len(words.BUCKETS_US) + 1, max_length=len(words.BUCKETS_US) + 1),
    ]
    sum_us: Number


class Metrics(Message, frozen=True, kw_only=True):
    """The agent's figures over a window. Each name comes at most once."""

    since: Millis
    until: Millis
    counters: Annotated[tuple[CounterValue, ...], Meta(max_length=len(words.CounterName))]
    gauges: Annotated[tuple[GaugeValue, ...], Meta(max_length=len(words.GaugeName))]
    histograms: Annotated[tuple[HistogramValue, ...], Meta(max_length=len(words.HistogramName))]

    def __post_init__(self) -> None:
        """Refuse a `name` that comes twice among counters, gauges or histograms (`ValueError`)."""
        for values in (self.counters, self.gauges, self.histograms):
            if len({value.name for value in values}) != len(values):
                raise ValueError("a metric comes twice")


class ActorNode(Message, frozen=True, kw_only=True):
    """One actor or supervisor, where a walk of the tree meets it. Counts are since the start."""

    name: words.ActorName
    level: Number
    """How far below the root, which is at 0: what comes next and deeper is below it."""
    state: words.ActorState
    restarts: Number
    handled: Number
    mean_us: Number
    max_us: Number
    queued: Number
    """In its mailbox; 0 for what has none, as are the following."""
    bound: Number
    refused: Number
    dropped: Number


class Glimpse(Message, frozen=True, kw_only=True):
    """How the agent does at this moment: sent while the control plane observes, never kept."""

    at: Millis
    counters: Annotated[tuple[CounterValue, ...], Meta(max_length=len(words.CounterName))]
    gauges: Annotated[tuple[GaugeValue, ...], Meta(max_length=len(words.GaugeName))]
    histograms: Annotated[tuple[HistogramValue, ...], Meta(max_length=len(words.HistogramName))]
    nodes: Annotated[tuple[ActorNode, ...], Meta(max_length=MAX_NODES)]


# --- dry runs of policies against the past --------------------------------------------------------


class PolicyReplay(Message, frozen=True, kw_only=True):
    """Decide the accesses from `since` to `until` again, were these your bundle's rules.

    `replay_id` is its idempotency key. Nothing is put in force.
    """

    replay_id: Id
    rules: Rules
    since: Millis
    until: Millis
    expires_at: Millis
    """From then on nobody waits for the answer."""

    def __post_init__(self) -> None:
        """Refuse `rules` of together more than 196608 bytes (`ValueError`: they fit no bundle)."""
        if sum(map(len, self.rules)) > MAX_BUNDLE:
            raise ValueError("the rules are longer than a bundle")


class UndecidedCount(Message, frozen=True, kw_only=True):
    """How many accesses cannot be decided again for one reason."""

    reason: words.UndecidedReason
    count: Ordinal


class ReplayChange(Message, frozen=True, kw_only=True):
    """Accesses of one identity to one secret that would be decided otherwise."""

    identity: Opaque
    secret: Opaque
    """Zeros for what is about no secret."""
    denied: Number
    allowed: Number


class ReplayResult(Message, frozen=True, kw_only=True):
    """What came of a `PolicyReplay`; all numbers are 0 unless it is `done`."""

    replay_id: Id
    outcome: words.ReplayOutcome
    reached: Millis
    """Nothing older was looked at; the `since` that was asked for if all of it was."""
    records: Number
    accesses: Number
    unchanged: Number
    denied: Number
    """Allowed by the policies in force, and not by the candidate."""
    allowed: Number
    """The other way."""
    drifted: Number
    """What the policies in force decide otherwise than it is on record."""
    undecided: Annotated[tuple[UndecidedCount, ...], Meta(max_length=len(words.UndecidedReason))]
    changes: Annotated[tuple[ReplayChange, ...], Meta(max_length=MAX_REPLAY_CHANGES)]
    """The most frequent ones, if the agent's owner lets out opaque ids; else none."""

    def __post_init__(self) -> None:
        """Refuse a `reason`, or an `identity` with a `secret`, that comes twice (`ValueError`)."""
        for keys in (
            [one.reason for one in self.undecided],
            [(one.identity, one.secret) for one in self.changes],
        ):
            if len(set(keys)) != len(keys):
                raise ValueError("one thing comes twice")


# --- what was used, without names -----------------------------------------------------------------


Classes = Annotated[
    tuple[Number, ...],
    Meta(min_length=len(words.USAGE_DAYS) + 1, max_length=len(words.USAGE_DAYS) + 1),
]
"""How many secrets are in each of `USAGE_DAYS` (not cumulative), and above."""


class OperationUse(Message, frozen=True, kw_only=True):
    """How often an operation was asked for; `failed`: refusals and failures among them."""

    name: words.OperationName
    count: Number
    failed: Number


class SecretUse(Message, frozen=True, kw_only=True):
    """One secret; times are 0 for never. `reads`: of its value, in the report's time."""

    secret: Opaque
    reads: Number
    last_read: Millis
    rotated_at: Millis
    """When its current version was written."""
    expires_at: Millis


class IdentityUse(Message, frozen=True, kw_only=True):
    """How often one identity was let in."""

    identity: Opaque
    count: Number


class Secrets(Message, frozen=True, kw_only=True):
    """All secrets, counted at `at`; all 0 before the first look."""

    at: Millis
    total: Number
    never_read: Number
    expired: Number
    idle: Classes
    """By the time since their value was last read, or since they were made."""
    age: Classes
    """By the age of their current version."""
    expires: Classes
    """Those that will expire, by how soon."""


class Usage(Message, frozen=True, kw_only=True):
    """What was used from `since` on, within one clock hour. A later `until` replaces an earlier."""

    since: Millis
    until: Millis
    operations: Annotated[tuple[OperationUse, ...], Meta(max_length=len(words.OperationName))]
    secrets: Secrets
    named: Annotated[tuple[SecretUse, ...], Meta(max_length=MAX_NAMED)]
    identities: Annotated[tuple[IdentityUse, ...], Meta(max_length=MAX_IDENTITIES)]

    def __post_init__(self) -> None:
        """Refuse a `name`, `secret` or `identity` that comes twice in its array (`ValueError`)."""
        for keys in (
            [one.name for one in self.operations],
            [one.secret for one in self.named],
            [one.identity for one in self.identities],
        ):
            if len(set(keys)) != len(keys):
                raise ValueError("one thing comes twice")


# --- the session itself, either way ---------------------------------------------------------------


class Cursor(Message, frozen=True, kw_only=True):
    """How far a receiver has applied one durable stream: every id up to `applied`."""

    stream: Id
    applied: Number


class Hello(Message, frozen=True, kw_only=True):
    """The agent's first frame. Its envelope has session 0, sequence 0 and id 0."""

    versions: Annotated[tuple[LinkVersion, ...], Meta(min_length=1, max_length=MAX_VERSIONS)]
    org: Slug
    nonce: Id
    stream: Id
    """Of the agent's outbox; a new outbox has a new one."""
    newest: Number
    """The highest id that the outbox has given; 0 before the first."""
    received: Cursor
    """Of the control plane's outbox, as far as the agent knows it (zeros if it does not)."""


class Welcome(Message, frozen=True, kw_only=True):
    """The control plane's answer, the first frame of the session."""

    version: LinkVersion
    agent_nonce: Id
    nonce: Id
    stream: Id
    newest: Number
    received: Cursor


class Ping(Message, frozen=True, kw_only=True):
    """Are you there? Answered by `Pong` with the same number."""

    number: Number


class Pong(Message, frozen=True, kw_only=True):
    """The answer to the newest `Ping`."""

    number: Number


class Ack(Message, frozen=True, kw_only=True):
    """Nothing but its envelope's `ack`."""


class Skipped(Message, frozen=True, kw_only=True):
    """The ids `first` to its envelope's id never come."""

    first: Ordinal
    reason: words.SkipReason


class Bye(Message, frozen=True, kw_only=True):
    """The session ends in order; nothing durable follows. The peer answers with its own."""

    reason: words.ByeReason
    spread: Number
    """Milliseconds over which peers that come back should spread themselves."""


# --- agent to control plane -----------------------------------------------------------------------


class Registration(Message, frozen=True, kw_only=True):
    """What the agent is; the first message after `Welcome`."""

    release: Release
    platform: words.Platform
    backend: words.Backend
    key_holder: words.KeyHolder
    started_at: Millis
    policy_version: Number
    policy_hash: Hash
    """Of the bundle in force; 32 zero bytes without one. With version 0 it came by another
    enrolment: that of another agent of the vault, or the one before."""
    audit_size: Number


class Heartbeat(Message, frozen=True, kw_only=True):
    """The agent lives. The control plane acts on `health`; the rest has messages of its own."""

    health: words.Health
    uptime: Number
    """Seconds."""
    policy_version: Number
    audit_size: Number
    secrets: Number
    outbox_messages: Number
    outbox_bytes: Number


class Conditions(Message, frozen=True, kw_only=True):
    """What is wrong with the agent now, all of it. What is not listed is over."""

    codes: Annotated[tuple[words.AlertCode, ...], Meta(max_length=MAX_CONDITIONS)]


class Workers(Message, frozen=True, kw_only=True):
    """How the agent's worker processes do. Sent with `conditions`."""

    state: words.WorkersState


class KeyProviders(Message, frozen=True, kw_only=True):
    """How the agent's key providers do, if it has any. Sent with `conditions`."""

    state: words.KeyProvidersState


class Backups(Message, frozen=True, kw_only=True):
    """How the vault's backups do. Sent with `conditions`, once the vault was open."""

    state: words.BackupState
    newest: Millis
    """When the newest whole backup was made; 0: never, as is the next."""
    proven: Millis
    """When the newest backup was made that a restore has proven."""
    count: Number
    """Backups that are kept."""
    period: Number
    """Seconds: the longest time between two backups by the schedule; 0 if not known."""
    rto: Number
    """Seconds that the newest proven restore took; 0 without one, as is the next."""
    rpo: Number
    """Seconds of changes that this restore would have lost."""
    certificate: Hash
    """Of the newest restore certificate; 32 zero bytes without one."""


class RotationNotice(Message, frozen=True, kw_only=True):
    """An event of a rotation whose policy names channels. It is repeated while it is news."""

    notice: Opaque
    """Of the rotation and the event: the same one is told once."""
    secret: Opaque
    """Zeros unless the agent's owner lets out opaque ids."""
    event: words.RotationEvent
    channels: Annotated[
        tuple[ChannelDigest, ...], Meta(min_length=1, max_length=MAX_NOTIFY_CHANNELS)
    ]


class Rotations(Message, frozen=True, kw_only=True):
    """The rotations and leases of the vault, counted. Sent with `conditions` by one of its agents.

    The newest look counts, whichever agent reports it.
    """

    at: Millis
    """When it was first counted so."""
    policies: Number
    """Secrets with a rotation policy, their own or a folder's."""
    unmanaged: Number
    """Secrets without one."""
    due: Number
    """Secrets whose rotation is due within a day."""
    overdue: Number
    """Secrets that should have been rotated more than an hour ago."""
    overdue_since: Millis
    """When the oldest of them was due; 0 without one."""
    next_due: Millis
    """When the next rotation is due; 0 if none is."""
    running: Number
    """Rotations whose new value is not current yet."""
    waiting: Number
    """Rotations that wait until applications have fetched the new value."""
    failing: Number
    """Secrets whose last rotation was undone."""
    stuck: Number
    """Rotations that wait for a person."""
    rotated_day: Number
    """Rotations of the last 24 hours."""
    rotated_month: Number
    """Rotations of the last 30 days."""
    leases: Number
    """Leases of dynamic credentials that are active."""
    revoking: Number
    """Leases whose credential is about to be dropped at its target."""
    irrevocable: Number
    """Leases whose credential could not be dropped."""
    notices: Annotated[tuple[RotationNotice, ...], Meta(max_length=MAX_ROTATION_NOTICES)]


class Clients(Message, frozen=True, kw_only=True):
    """What clients of the vault make of what it gives them. Sent before `rotations`.

    It is of the same look, and sent by the same agent.
    """

    lagging: Number
    """Rotations whose new value an application has not fetched, though half of the grace period is
    over. One that went on without it counts for a day after its end."""
    unrenewed: Number
    """Clients with leases that ask for new credentials instead of renewing."""


class Vault(Message, frozen=True, kw_only=True):
    """Which vault the agent serves. Agents that say the same one are its nodes."""

    vault: Id
    """The random id that the vault got when it was initialized."""


class Alert(Message, frozen=True, kw_only=True):
    """Somebody should look. `subject` names a thing by the agent's random id for it; or zeros."""

    alert_id: Id
    code: words.AlertCode
    severity: words.Severity
    raised_at: Millis
    subject: Id
    count: Ordinal
    """How often since it was last reported."""


class AuditCheckpoint(Message, frozen=True, kw_only=True):
    """A signed state of the audit log, and the proof that it begins with an earlier one."""

    old_size: Number
    """The size that the proof starts from: the last cosigned one; 0 for none, without a proof."""
    size: Ordinal
    root: Hash
    note: TreeHead
    signer: PublicKey
    proof: Annotated[tuple[Hash, ...], Meta(max_length=64)]
    """RFC 9162, 2.1.4.1: at most one hash a bit of the size."""


class PolicyStatus(Message, frozen=True, kw_only=True):
    """What became of a bundle; `narrowed`: rules of it that the local ceiling cut."""

    version: Ordinal
    bundle_hash: Hash
    phase: words.PolicyPhase
    reason: words.PolicyReason
    narrowed: Number
    at: Millis


class SyncState(Message, frozen=True, kw_only=True):
    """The agent's own view of its link over the time that the control plane did not see."""

    phase: words.SyncPhase
    since: Millis
    pending: Number
    """Durable messages not yet acknowledged."""
    dropped: Number
    """Metrics that the outbox let go since it was made."""


class CommandResult(Message, frozen=True, kw_only=True):
    """What became of a command."""

    command_id: Id
    outcome: words.CommandOutcome
    at: Millis


# --- control plane to agent -----------------------------------------------------------------------


class PolicyUpdate(Message, frozen=True, kw_only=True):
    """A signed bundle (`protocols.link.bundle`), as the policy key's holder made it."""

    bundle: Bundle


class Notification(Message, frozen=True, kw_only=True):
    """Something that the agent's operator should know."""

    notification_id: Id
    code: words.NotificationCode
    severity: words.Severity
    at: Millis


class Command(Message, frozen=True, kw_only=True):
    """Please do this. `command_id` is its idempotency key; no command takes an argument."""

    command_id: Id
    command: words.CommandName
    expires_at: Millis


class Observe(Message, frozen=True, kw_only=True):
    """Somebody looks: send a `Glimpse` now and every few seconds, for so long."""

    seconds: Annotated[int, Meta(ge=1, le=MAX_OBSERVED)]


class CheckpointCosignature(Message, frozen=True, kw_only=True):
    """The witness's line for a checkpoint (C2SP tlog-cosignature), as it is kept beside it."""

    size: Ordinal
    root: Hash
    cosignature: Cosignature


# --- who sends what -------------------------------------------------------------------------------


@unique
class Direction(Enum):
    """Which way a frame goes; its value separates the signatures of the two ways."""

    TO_CONTROL = b"\x01"
    TO_AGENT = b"\x02"

    @property
    def opposite(self) -> "Direction":
        """The other way."""
        return Direction.TO_AGENT if self is Direction.TO_CONTROL else Direction.TO_CONTROL


@unique
class Delivery(Enum):
    """What the outbox owes a message."""

    EPHEMERAL = auto()
    """Sent once, with id 0; lost with its connection."""
    DROPPABLE = auto()
    """Durable, but the oldest go first when the outbox is full."""
    SUPERSEDED = auto()
    """Durable, but may go once a newer one of its type waits."""
    EVIDENCE = auto()
    """Durable; never dropped."""


@unique
class MessageType(StrEnum):
    """A message's name in the envelope."""

    HELLO = "hello"
    WELCOME = "welcome"
    PING = "ping"
    PONG = "pong"
    ACK = "ack"
    SKIPPED = "skipped"
    BYE = "bye"
    REGISTRATION = "registration"
    HEARTBEAT = "heartbeat"
    METRICS = "metrics"
    ALERT = "alert"
    AUDIT_CHECKPOINT = "audit_checkpoint"
    POLICY_STATUS = "policy_status"
    SYNC_STATE = "sync_state"
    COMMAND_RESULT = "command_result"
    POLICY_UPDATE = "policy_update"
    NOTIFICATION = "notification"
    COMMAND = "command"
    CHECKPOINT_COSIGNATURE = "checkpoint_cosignature"
    GLIMPSE = "glimpse"
    OBSERVE = "observe"
    USAGE = "usage"
    POLICY_REPLAY = "policy_replay"
    REPLAY_RESULT = "replay_result"
    CONDITIONS = "conditions"
    WORKERS = "workers"
    KEY_PROVIDERS = "key_providers"
    VAULT = "vault"
    BACKUPS = "backups"
    ROTATIONS = "rotations"
    CLIENTS = "clients"


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """One row of the allow-list. `session`: the protocol's own, not a caller's to send.

    `since`: the version of the link that it came with; older peers do not know it. A durable
    message is of the first, for it waits in an outbox and nobody knows who will come for it.
    """

    name: MessageType
    shape: type[Message]
    directions: frozenset[Direction]
    delivery: Delivery
    session: bool = False
    since: int = FIRST_VERSION


_UP: Final = frozenset({Direction.TO_CONTROL})
_DOWN: Final = frozenset({Direction.TO_AGENT})
_T: TypeAlias = MessageType
_D: TypeAlias = Delivery

_TABLE: Final = (
    MessageSpec(_T.HELLO, Hello, _UP, _D.EPHEMERAL, session=True),
    MessageSpec(_T.WELCOME, Welcome, _DOWN, _D.EPHEMERAL, session=True),
    MessageSpec(_T.PING, Ping, _UP | _DOWN, _D.EPHEMERAL, session=True),
    MessageSpec(_T.PONG, Pong, _UP | _DOWN, _D.EPHEMERAL, session=True),
    MessageSpec(_T.ACK, Ack, _UP | _DOWN, _D.EPHEMERAL, session=True),
    MessageSpec(_T.SKIPPED, Skipped, _UP | _DOWN, _D.EVIDENCE, session=True),
    MessageSpec(_T.BYE, Bye, _UP | _DOWN, _D.EPHEMERAL, session=True),
    MessageSpec(_T.REGISTRATION, Registration, _UP, _D.EPHEMERAL),
    MessageSpec(_T.HEARTBEAT, Heartbeat, _UP, _D.EPHEMERAL),
    MessageSpec(_T.SYNC_STATE, SyncState, _UP, _D.EPHEMERAL),
    MessageSpec(_T.GLIMPSE, Glimpse, _UP, _D.EPHEMERAL),
    MessageSpec(_T.REPLAY_RESULT, ReplayResult, _UP, _D.EPHEMERAL, since=2),
    MessageSpec(_T.CONDITIONS, Conditions, _UP, _D.EPHEMERAL, since=3),
    MessageSpec(_T.WORKERS, Workers, _UP, _D.EPHEMERAL, since=4),
    MessageSpec(_T.KEY_PROVIDERS, KeyProviders, _UP, _D.EPHEMERAL, since=8),
    MessageSpec(_T.VAULT, Vault, _UP, _D.EPHEMERAL, since=5),
    MessageSpec(_T.BACKUPS, Backups, _UP, _D.EPHEMERAL, since=6),
    MessageSpec(_T.ROTATIONS, Rotations, _UP, _D.EPHEMERAL, since=7),
    MessageSpec(_T.CLIENTS, Clients, _UP, _D.EPHEMERAL, since=9),
    MessageSpec(_T.METRICS, Metrics, _UP, _D.DROPPABLE),
    MessageSpec(_T.USAGE, Usage, _UP, _D.DROPPABLE),
    MessageSpec(_T.ALERT, Alert, _UP, _D.EVIDENCE),
    MessageSpec(_T.AUDIT_CHECKPOINT, AuditCheckpoint, _UP, _D.EVIDENCE),
    MessageSpec(_T.POLICY_STATUS, PolicyStatus, _UP, _D.EVIDENCE),
    MessageSpec(_T.COMMAND_RESULT, CommandResult, _UP, _D.EVIDENCE),
    MessageSpec(_T.POLICY_UPDATE, PolicyUpdate, _DOWN, _D.SUPERSEDED),
    MessageSpec(_T.NOTIFICATION, Notification, _DOWN, _D.EVIDENCE),
    MessageSpec(_T.COMMAND, Command, _DOWN, _D.EVIDENCE),
    MessageSpec(_T.OBSERVE, Observe, _DOWN, _D.EPHEMERAL),
    MessageSpec(_T.POLICY_REPLAY, PolicyReplay, _DOWN, _D.EPHEMERAL, since=2),
    MessageSpec(_T.CHECKPOINT_COSIGNATURE, CheckpointCosignature, _DOWN, _D.SUPERSEDED),
)

MESSAGE_SPECS: Final = {kind.name: kind for kind in _TABLE}
_KIND_OF: Final = {kind.shape: kind for kind in _TABLE}


def spec_of(message: Message) -> MessageSpec:
    """The row of this message. Raises `KeyError` for a struct that is no message of its own."""
    return _KIND_OF[type(message)]
