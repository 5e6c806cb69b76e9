"""Channels by which people are told, and the messages that went or go by them."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from control.api.endpoint import CREATED, NO_CONTENT, EndpointCall, EndpointGroup
from control.api.services import NotificationServices
from control.model import notices as model
from control.model.names import LINE, Limit, Slug, Tag
from control.model.notices import ChannelTerms, Delivery, Kind, Notice, State, Tls, Type
from control.model.people import Role
from control.model.records import Severity
from control.services.channels import ChannelDraft, ChannelStatus
from protocols.instant import SECOND, rfc3339, rfc3339_or_none

Call = EndpointCall[NotificationServices]

channels = EndpointGroup[NotificationServices](
    "channels", "How people are told of alerts: email, webhooks, Slack."
)
deliveries = EndpointGroup[NotificationServices](
    "deliveries", "Messages by channels: waiting, sent, dead."
)

_CHANNELS: Final = "organizations/{org}/channels"
_ONE: Final = _CHANNELS + "/{channel}"
_DELIVERIES: Final = "organizations/{org}/deliveries"
_UNRECORDED: Final = ("password", "url")

Seconds = Annotated[int, Meta(ge=0, le=2**33)]
Span = Annotated[int, Meta(ge=0, le=86_400)]
Clock = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Zone = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z][A-Za-z0-9_+/-]*$")]
Address = Annotated[str, Meta(min_length=3, max_length=254, pattern="^[!-~]+@[!-~]+$")]
Code = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-z][a-z0-9_]*$")]
Told = Annotated[tuple[Kind, ...], Meta(min_length=1, max_length=3)]
Name = Annotated[str, Meta(max_length=64, pattern="^[a-z0-9-]*$")]


class Quiet(Struct, frozen=True, forbid_unknown_fields=True):
    """Hours without messages, local time of an IANA zone; they may span midnight."""

    begins: Clock
    ends: Clock
    zone: Zone


class MailServer(Struct, frozen=True, forbid_unknown_fields=True):
    """An organization's own mail server."""

    host: Annotated[str, Meta(min_length=1, max_length=253, pattern="^[A-Za-z0-9.:-]+$")]
    sender: Address
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    tls: Tls = Tls.STARTTLS
    username: Annotated[str, Meta(max_length=256, pattern=LINE)] = ""


class NewChannel(Struct, frozen=True, forbid_unknown_fields=True):
    """All of a channel (docs/guides/alerts.md). `window` and `digest` are seconds."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[!-~]([ -~]*[!-~])?$")]
    type: Type
    enabled: bool = True
    url: Annotated[str, Meta(max_length=2048)] = ""
    to: Annotated[tuple[Address, ...], Meta(max_length=20)] = ()
    server: MailServer | None = None
    password: Annotated[str, Meta(max_length=1024)] = ""
    severity: Severity = Severity.WARNING
    events: Annotated[tuple[Code, ...], Meta(max_length=64)] = ()
    kinds: Told = (Kind.RAISED, Kind.RESOLVED)
    tags: Annotated[tuple[Tag, ...], Meta(max_length=32)] = ()
    vaults: Annotated[tuple[Slug, ...], Meta(max_length=64)] = ()
    window: Span = 600
    digest: Span = 0
    quiet: Quiet | None = None
    urgent: Severity | None = Severity.CRITICAL
    per_hour: Annotated[int, Meta(ge=1, le=3600)] = 60


class ChannelView(Struct, frozen=True):
    """A channel, without its secrets: `host` is what is shown of its address.

    `failures`: in a row; `reason`: of the last one, or what there was to say of the last message.
    `owner`: whose it is, an account; `suspended`: why it sends nothing, until somebody adopts it.
    """

    id: str
    name: str
    type: Type
    enabled: bool
    host: str
    to: tuple[str, ...]
    server: model.Server | None
    severity: Severity
    events: tuple[str, ...]
    kinds: tuple[Kind, ...]
    tags: tuple[str, ...]
    vaults: tuple[str, ...]
    window: int
    digest: int
    quiet: model.Quiet | None
    urgent: Severity | None
    per_hour: int
    created_at: str
    changed_at: str
    sent_at: str | None
    failed_at: str | None
    failures: int
    reason: str
    waiting: int
    dead: int
    owner: str
    suspended: str


class Keyed(Struct, frozen=True):
    """A channel, and a webhook's signing key, shown this once; empty for other types."""

    channel: ChannelView
    key: str


class Tried(Struct, frozen=True):
    """Whether a message was taken, and why not."""

    sent: bool
    reason: str


class Replayed(Struct, frozen=True):
    """How many messages are tried anew."""

    replayed: int


class NoticeView(Struct, frozen=True):
    """One thing that a message tells; `repeated`: how often the same was not told before."""

    id: str
    kind: Kind
    code: str
    severity: Severity
    vault: str
    subject: str
    message: str
    at: str
    repeated: int


class DeliveryView(Struct, frozen=True):
    """A message; `channel` is empty for an invitation's mail."""

    id: str
    channel: str
    state: State
    attempts: int
    reason: str
    created_at: str
    due_at: str
    finished_at: str | None
    omitted: int
    notices: tuple[NoticeView, ...]


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages; `before`: Unix seconds."""

    channel: Name = ""
    state: State | None = None
    before: Seconds = 0
    limit: Limit = 100


@channels.route("GET", _CHANNELS, "Channels by name", role=Role.OPERATOR)
async def list_(call: Call, org: str) -> list[ChannelView]:
    return [_channel_view(held) for held in await call.services.channels.list_channels(org)]


@channels.route(
    "POST",
    _CHANNELS,
    "Make a channel",
    role=Role.ADMIN,
    requires_recent_auth=True,
    unrecorded=_UNRECORDED,
    status=CREATED,
    errors=(409,),
)
async def create(call: Call, org: str, *, body: NewChannel) -> Keyed:
    held, key = await call.services.channels.create_channel(org, _draft(body), call.caller.actor)
    return Keyed(_channel_view(held), key)


@channels.route("GET", _ONE, "One channel", role=Role.OPERATOR)
async def get(call: Call, org: str, channel: str) -> ChannelView:
    return _channel_view(await call.services.channels.get_channel(org, channel))


@channels.route(
    "PUT",
    _ONE,
    "Replace its terms; password and url stay if left out, a webhook's other url has another key",
    role=Role.ADMIN,
    requires_recent_auth=True,
    unrecorded=_UNRECORDED,
    errors=(409,),
)
async def change(call: Call, org: str, channel: str, *, body: NewChannel) -> Keyed:
    by = call.caller.actor
    held, key = await call.services.channels.change_channel(org, channel, _draft(body), by)
    return Keyed(_channel_view(held), key)


@channels.route(
    "POST",
    _ONE + "/adopt",
    "Take it over: a suspended one sends again, what waited for it too",
    role=Role.ADMIN,
    requires_recent_auth=True,
)
async def adopt(call: Call, org: str, channel: str) -> ChannelView:
    return _channel_view(await call.services.channels.adopt(org, channel, call.caller.actor))


@channels.route(
    "DELETE",
    _ONE,
    "Remove it and what waits for it",
    role=Role.ADMIN,
    requires_recent_auth=True,
    status=NO_CONTENT,
)
async def remove(call: Call, org: str, channel: str) -> None:
    await call.services.channels.remove_channel(org, channel)


@channels.route(
    "POST",
    _ONE + "/key",
    "A new signing key; the one before signs beside it for a day",
    role=Role.ADMIN,
    requires_recent_auth=True,
    errors=(409,),
)
async def renew_key(call: Call, org: str, channel: str) -> Keyed:
    held, key = await call.services.channels.rotate_key(org, channel)
    return Keyed(_channel_view(held), key)


@channels.route(
    "POST",
    _ONE + "/test",
    "Send one message now",
    role=Role.ADMIN,
    requires_recent_auth=False,
    errors=(409, 429),
)
async def test(call: Call, org: str, channel: str) -> Tried:
    return Tried(*await call.services.channels.send_test(org, channel, call.caller.actor))


@channels.route(
    "POST",
    _ONE + "/replay",
    "Try its dead letters anew",
    role=Role.OPERATOR,
    requires_recent_auth=False,
)
async def replay(call: Call, org: str, channel: str) -> Replayed:
    return Replayed(await call.services.deliveries.retry_dead_letters(org, channel))


@deliveries.route("GET", _DELIVERIES, "Messages, the newest first", role=Role.OPERATOR)
async def page(call: Call, org: str, *, query: Wanted) -> list[DeliveryView]:
    found = await call.services.deliveries.list_deliveries(
        org,
        channel=query.channel,
        state=query.state,
        before=query.before * SECOND,
        limit=query.limit,
    )
    return [_delivery_view(row) for row in found]


@deliveries.route(
    "POST",
    _DELIVERIES + "/{delivery}/replay",
    "Try a dead letter anew",
    role=Role.OPERATOR,
    requires_recent_auth=False,
    errors=(409,),
)
async def again(call: Call, org: str, delivery: str) -> DeliveryView:
    return _delivery_view(await call.services.deliveries.retry_dead_letter(org, delivery))


@deliveries.route(
    "DELETE",
    _DELIVERIES + "/{delivery}",
    "Let a dead letter go",
    role=Role.ADMIN,
    requires_recent_auth=False,
    status=NO_CONTENT,
    errors=(409,),
)
async def discard(call: Call, org: str, delivery: str) -> None:
    await call.services.deliveries.discard_dead_letter(org, delivery)


def _draft(body: NewChannel) -> ChannelDraft:
    own, quiet = body.server, body.quiet
    server = hours = None
    if own is not None:
        server = model.Server(own.host, own.port, own.tls, own.username, own.sender)
    if quiet is not None:
        hours = model.Quiet(quiet.begins, quiet.ends, quiet.zone)
    terms = ChannelTerms(
        severity=body.severity,
        events=body.events,
        kinds=body.kinds,
        tags=body.tags,
        vaults=body.vaults,
        window=body.window,
        digest=body.digest,
        quiet=hours,
        urgent=body.urgent,
        per_hour=body.per_hour,
        to=body.to,
        server=server,
    )
    return ChannelDraft(body.name, body.type, body.enabled, terms, body.password, body.url)


def _channel_view(held: ChannelStatus) -> ChannelView:
    row, terms = held.channel, held.channel.terms
    return ChannelView(
        id=row.id,
        name=row.name,
        type=row.type,
        enabled=row.enabled,
        host=row.host,
        to=terms.to,
        server=terms.server,
        severity=terms.severity,
        events=terms.events,
        kinds=terms.kinds,
        tags=terms.tags,
        vaults=terms.vaults,
        window=terms.window,
        digest=terms.digest,
        quiet=terms.quiet,
        urgent=terms.urgent,
        per_hour=terms.per_hour,
        created_at=rfc3339(row.created_at),
        changed_at=rfc3339(row.changed_at),
        sent_at=rfc3339_or_none(row.sent_at),
        failed_at=rfc3339_or_none(row.failed_at),
        failures=row.failures,
        reason=row.reason,
        waiting=held.waiting,
        dead=held.dead,
        owner=row.owner,
        suspended=row.suspended,
    )


def _delivery_view(row: Delivery) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        channel=row.channel,
        state=row.state,
        attempts=row.attempts,
        reason=row.reason,
        created_at=rfc3339(row.created_at),
        due_at=rfc3339(row.due_at),
        finished_at=rfc3339_or_none(row.finished_at),
        omitted=row.omitted,
        notices=tuple(_notice_view(each) for each in row.notices),
    )


def _notice_view(row: Notice) -> NoticeView:
    return NoticeView(
        id=row.id,
        kind=row.kind,
        code=row.code,
        severity=row.severity,
        vault=row.vault,
        subject=row.subject,
        message=row.message,
        at=rfc3339(row.at),
        repeated=row.repeated,
    )
