"""Notices, channels, and messages.

Times are Unix nanoseconds, durations in a channel's terms are seconds.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from control.model.conditions import end_message
from control.model.records import Alert, Severity

INVITATION: Final = "invitation"
MAIL_CHANNEL: Final = ""
"""In place of a channel's id: the control plane's own mail, for invitations."""


class Kind(StrEnum):
    """What has happened."""

    RAISED = "raised"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"
    INVITED = "invited"
    TEST = "test"


class Notice(Struct, frozen=True):
    """One thing to be told. It is made of closed lists of words, names and ids: no secret."""

    id: str
    org: str
    kind: Kind
    code: str
    severity: Severity
    vault: str
    subject: str
    """What it is about: an opaque id of the agent's own, or an invitation's id."""
    message: str
    at: int
    repeated: int = 0
    """How often the same was not told since it was told last."""
    began_at: int = 0
    """When the condition began."""
    ended_at: int = 0
    """When it was over; 0 while it fires."""
    channels: tuple[str, ...] = ()
    """Digests of channels' names: it is for them alone, as long as there is one of them."""

    @property
    def key(self) -> str:
        """The same for notices of the same condition."""
        return f"{self.code}/{self.vault}/{self.subject}"

    @property
    def effective_severity(self) -> Severity:
        """The severity for urgency: an end is never urgent."""
        return Severity.INFO if self.kind is Kind.RESOLVED else self.severity


def resolution_notice(alert: Alert) -> Notice:
    """What is to be told of an alert that is over."""
    return alert_notice(alert, Kind.RESOLVED, end_message(alert), alert.ended_at)


def alert_notice(alert: Alert, kind: Kind = Kind.RAISED, message: str = "", at: int = 0) -> Notice:
    """What is to be told of an alert; `message` and `at` are the alert's own unless given."""
    return Notice(
        id=alert.id,
        org=alert.org,
        kind=kind,
        code=alert.code,
        severity=alert.severity,
        vault=alert.vault,
        subject=alert.subject,
        message=message or alert.message,
        at=at or alert.at,
        began_at=alert.at,
        ended_at=alert.ended_at,
    )


class Type(StrEnum):
    """How a channel reaches people."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    SLACK = "slack"


class Tls(StrEnum):
    """How a mail server proves who it is; `plain` is for development, on loopback."""

    STARTTLS = "starttls"
    TLS = "tls"
    PLAIN = "plain"


class Server(Struct, frozen=True):
    """A mail server. `username` empty: it lets us in without a login."""

    host: str
    port: int
    tls: Tls
    username: str
    sender: str


class Quiet(Struct, frozen=True):
    """Hours in which nothing is sent: `HH:MM`, local time of `zone`; they may span midnight."""

    begins: str
    ends: str
    zone: str


class ChannelTerms(Struct, frozen=True, kw_only=True):
    """What a channel tells, to whom, and when. Empty lists mean all."""

    severity: Severity = Severity.WARNING
    events: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = (Kind.RAISED, Kind.RESOLVED)
    tags: tuple[str, ...] = ()
    vaults: tuple[str, ...] = ()
    window: int = 600
    digest: int = 0
    quiet: Quiet | None = None
    urgent: Severity | None = Severity.CRITICAL
    per_hour: int = 60
    to: tuple[str, ...] = ()
    server: Server | None = None


class Channel(Struct, frozen=True):
    """A way to reach people of an organization.

    `secret` is sealed: `ChannelSecrets`. `host` is what may be shown of its address. `failures`
    counts those in a row, `omitted` notices that had no place in its queue.
    """

    org: str
    id: str
    name: str
    type: Type
    host: str
    enabled: bool
    terms: ChannelTerms
    secret: bytes
    created_at: int
    changed_at: int
    sent_at: int = 0
    failed_at: int = 0
    failures: int = 0
    reason: str = ""
    omitted: int = 0
    owner: str = ""
    """The account, `organization/name`, that chose where it sends to, or has taken it over."""
    suspended: str = ""
    """Why it sends nothing: its owner may not have channels any more; empty while it sends."""

    @property
    def is_active(self) -> bool:
        """Whether it sends."""
        return self.enabled and not self.suspended

    @property
    def tells_critical(self) -> bool:
        """Whether its terms let it send each critical alert, of whichever agent."""
        terms = self.terms
        return Kind.RAISED in terms.kinds and not (terms.events or terms.tags or terms.vaults)


class ChannelSecrets(Struct, frozen=True, omit_defaults=True):
    """What a channel needs and nobody is shown: a mail password, an address, signing keys.

    Both `keys` sign until `until`, then the first alone.
    """

    password: str = ""
    url: str = ""
    keys: tuple[bytes, ...] = ()
    until: int = 0


class QueuedNotice(Struct, frozen=True):
    """A notice that waits for its turn on a channel; `notice` is its kind and id."""

    org: str
    channel: str
    notice: str
    due_at: int
    at: int
    body: Notice


class LastNotice(Struct, frozen=True):
    """What a channel was told last of an alert, and how often the same came since."""

    org: str
    channel: str
    key: str
    kind: Kind
    at: int
    count: int


class State(StrEnum):
    """Where a message is."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"


class Delivery(Struct, frozen=True):
    """A message, the same at every attempt. `reason`: of the last failure."""

    org: str
    id: str
    channel: str
    state: State
    attempts: int
    reason: str
    created_at: int
    due_at: int
    finished_at: int
    omitted: int
    notices: tuple[Notice, ...]
