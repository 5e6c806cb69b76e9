"""Every message of the link: the allow-list. What has no type here cannot be sent.

An agent's messages are numbers, words of a closed list, random ids, hashes and names that the
receiver knows already (`protocols.link.fields` says for each kind why it is safe): there is no
field that a secret's value, name or path would fit into. All fields are always present, all
numbers are whole. `MESSAGE_SPECS` says who sends what and how it is delivered.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto, unique
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from protocols.link import vocabulary as words
from protocols.link.fields import (
    Bundle,
    Cosignature,
    Hash,
    Id,
    LinkVersion,
    Millis,
    Number,
    Ordinal,
    PublicKey,
    Release,
    Slug,
    TreeHead,
)
from protocols.link.limits import FIRST_VERSION, MAX_CONDITIONS, MAX_OBSERVED
from protocols.link.message import Message as Message
from protocols.link.metrics import ActorNode as ActorNode
from protocols.link.metrics import CounterValue as CounterValue
from protocols.link.metrics import GaugeValue as GaugeValue
from protocols.link.metrics import Glimpse as Glimpse
from protocols.link.metrics import HistogramValue as HistogramValue
from protocols.link.metrics import Metrics as Metrics
from protocols.link.policy_replay import PolicyReplay as PolicyReplay
from protocols.link.policy_replay import ReplayChange as ReplayChange
from protocols.link.policy_replay import ReplayResult as ReplayResult
from protocols.link.policy_replay import UndecidedCount as UndecidedCount
from protocols.link.usage import IdentityUse as IdentityUse
from protocols.link.usage import OperationUse as OperationUse
from protocols.link.usage import Secrets as Secrets
from protocols.link.usage import SecretUse as SecretUse
from protocols.link.usage import Usage as Usage

# --- the session itself, either way ---------------------------------------------------------------


class Cursor(Message, frozen=True, kw_only=True):
    """How far a receiver has applied one durable stream: every id up to `applied`."""

    stream: Id
    applied: Number


class Hello(Message, frozen=True, kw_only=True):
    """The agent's first frame. Its envelope has session 0, sequence 0 and id 0."""

    versions: Annotated[tuple[LinkVersion, ...], Meta(min_length=1, max_length=8)]
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
    """Of the bundle in force; 32 zero bytes without one."""
    audit_size: Number


class Heartbeat(Message, frozen=True, kw_only=True):
    """The agent lives."""

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
