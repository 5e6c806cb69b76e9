"""Notification channels: made and changed by people, with sealed secrets and a test message."""

from datetime import time
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors import World
from control.crypto import Sealer
from control.errors import ConflictError, NotFoundError, RateLimitError, ValidationError
from control.model.conditions import CHANNEL_FAILING
from control.model.names import normalize_address
from control.model.notices import (
    Channel,
    ChannelSecrets,
    ChannelTerms,
    Kind,
    Notice,
    Quiet,
    State,
    Tls,
    Type,
)
from control.model.records import Alert, Severity
from control.notify import webhook
from control.notify.errors import DeliveryError
from control.notify.message import NotificationMessage
from control.notify.network_policy import NetworkPolicy
from control.notify.sender import NotificationSender
from control.services.alerts import Alerts
from control.services.delegated_authority import review_suspensions
from control.services.hourly_limits import hourly_bucket
from control.store import alerts, channels, notices
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import DAY
from protocols.token_bucket import TokenBucket

MAX_CHANNELS: Final = 50  # of one organization
KEY_OVERLAP: Final = DAY  # for which a signing key signs on beside the next
TESTS_PER_HOUR: Final = 60


class ChannelDraft(Struct, frozen=True):
    """A channel as an administrator gives it. `password` and `url` empty: unchanged."""

    name: str
    type: Type
    enabled: bool
    terms: ChannelTerms
    password: str = ""
    url: str = ""


class ChannelStatus(NamedTuple):
    """A channel, its waiting notices and messages, and its dead letters."""

    channel: Channel
    waiting: int
    dead: int


class Channels:
    """Channels of all organizations."""

    def __init__(
        self,
        store: Store,
        *,
        sealer: Sealer,
        sender: NotificationSender,
        reach: NetworkPolicy,
        alerts_: Alerts,
        world: World,
        url: str = "",
    ) -> None:
        """`url`: where the dashboard is, if that is known."""
        self._store = store
        self._alerts = alerts_
        self._sealer = sealer
        self._sender = sender
        self._reach = reach
        self._world = world
        self.url = url
        self._tests: dict[str, TokenBucket] = {}

    async def list_channels(self, org: str) -> list[ChannelStatus]:
        """Channels by name."""
        return await self._store.read(
            lambda tx: _channel_statuses(tx, org, channels.list_channels(tx, org))
        )

    async def get_channel(self, org: str, identifier: str) -> ChannelStatus:
        """Raises `NotFoundError`."""
        return await self._store.read(
            lambda tx: _channel_statuses(tx, org, [require_channel(tx, org, identifier)])[0]
        )

    async def create_channel(
        self, org: str, draft: ChannelDraft, by: str
    ) -> tuple[ChannelStatus, str]:
        """Make a channel; it and its signing key (webhooks only; else empty).

        `by`: the account, `organization/name`, that owns it. Raises `ValidationError`,
        `ConflictError` for a name that is taken or one too many.
        """
        host, now = self._validated_host(draft, None), self._world.now()
        keys = (webhook.new_webhook_key(),) if draft.type is Type.WEBHOOK else ()
        secrets = ChannelSecrets(draft.password, draft.url, keys)
        made = Channel(
            org=org,
            id=self._world.new_id(),
            name=draft.name,
            type=draft.type,
            host=host,
            enabled=draft.enabled,
            terms=draft.terms,
            secret=b"",
            created_at=now,
            changed_at=now,
            owner=by,
        )
        made = replace(made, secret=self._seal_secrets(made, secrets))

        def change(tx: Tx) -> list[Alert]:
            _require_free_name(tx, made)
            channels.add_channel(tx, made)
            return self._review(tx, org, by)

        self._alerts.publish_alerts(*await self._store.write(change))
        return ChannelStatus(made, 0, 0), webhook.encode_webhook_key(keys[0]) if keys else ""

    async def change_channel(
        self, org: str, identifier: str, draft: ChannelDraft, by: str
    ) -> tuple[ChannelStatus, str]:
        """Replace its terms. Raises `NotFoundError`, `ValidationError`, `ConflictError`.

        `by`, an account, becomes the owner if the channel sends to another destination than before.
        A suspended channel stays suspended until somebody takes it over (`adopt`).

        A password stays with the server that it was given for, and a signing key with its address:
        a webhook at another address gets a new key, returned here (else empty), so that messages
        for the new receiver cannot be passed off to the old one.
        """
        before = (await self.get_channel(org, identifier)).channel
        host, now = self._validated_host(draft, before), self._world.now()
        old = self.unseal_secrets(before)
        same = draft.terms.server == before.terms.server
        password = draft.password or (old.password if same else "")
        secrets = replace(old, password=password, url=draft.url or old.url)
        moved = draft.type is Type.WEBHOOK and secrets.url != old.url
        if moved:
            secrets = replace(secrets, keys=(webhook.new_webhook_key(),), until=0)
        sealed = self._seal_secrets(before, secrets)

        elsewhere = secrets.url != old.url or draft.terms.to != before.terms.to or not same

        def change(tx: Tx) -> tuple[ChannelStatus, list[Alert]]:
            row = require_channel(tx, org, identifier)
            changed = row.secret != before.secret  # not secret: sealed
            if changed or row.changed_at != before.changed_at:
                raise ConflictError(
                    "changed", "somebody else has changed the channel: read it again and repeat"
                )
            made = replace(
                row, name=draft.name, host=host, enabled=draft.enabled, terms=draft.terms,
                secret=sealed, changed_at=now,
                owner=by if elsewhere and not row.suspended else row.owner,
            )  # fmt: skip
            _require_free_name(tx, made)
            channels.put_channel(tx, made)
            over = [] if made.enabled else self._resolve_alerts_of(tx, org, identifier)
            return _channel_statuses(tx, org, [made])[0], [*over, *self._review(tx, org, row.owner)]

        held, told = await self._store.write(change)
        self._alerts.publish_alerts(*told)
        return held, webhook.encode_webhook_key(secrets.keys[0]) if moved else ""

    async def adopt(self, org: str, identifier: str, by: str) -> ChannelStatus:
        """Make `by`, an account, the owner of the channel, and end its suspension.

        Messages that waited for it are sent. Raises `NotFoundError`.
        """
        now = self._world.now()

        def change(tx: Tx) -> tuple[ChannelStatus, list[Alert]]:
            row = require_channel(tx, org, identifier)
            made = replace(row, owner=by, suspended="", changed_at=now)
            channels.put_channel(tx, made)
            return _channel_statuses(tx, org, [made])[0], self._review(tx, org, row.owner)

        held, told = await self._store.write(change)
        self._alerts.publish_alerts(*told)
        return held

    async def remove_channel(self, org: str, identifier: str) -> None:
        """Delete it and everything that waits for it. Raises `NotFoundError`."""

        def change(tx: Tx) -> list[Alert]:
            row = require_channel(tx, org, identifier)
            channels.delete_channel(tx, org, identifier)
            notices.delete_channel_entries(tx, org, identifier)
            return [
                *self._resolve_alerts_of(tx, org, identifier),
                *self._review(tx, org, row.owner),
            ]

        self._alerts.publish_alerts(*await self._store.write(change))

    def _resolve_alerts_of(self, tx: Tx, org: str, identifier: str) -> list[Alert]:
        """Resolve the alerts of a channel that sends nothing any more."""
        now = self._world.now()
        return alerts.resolve_alerts(tx, org, [CHANNEL_FAILING], [""], now=now, subject=identifier)

    async def rotate_key(self, org: str, identifier: str) -> tuple[ChannelStatus, str]:
        """Make another signing key; the one before signs beside it for a day.

        Raises `NotFoundError`, `ConflictError` for a channel that is no webhook.
        """
        row = (await self.get_channel(org, identifier)).channel
        if row.type is not Type.WEBHOOK:
            raise ConflictError("no_key", "only webhooks have a signing key")
        now, key, old = self._world.now(), webhook.new_webhook_key(), self.unseal_secrets(row)
        secrets = replace(old, keys=(key, *old.keys[:1]), until=now + KEY_OVERLAP)
        sealed = self._seal_secrets(row, secrets)

        def change(tx: Tx) -> ChannelStatus:
            current = require_channel(tx, org, identifier)
            if current.secret != row.secret:  # not secret: sealed
                raise ConflictError(
                    "changed", "somebody else has changed the channel: read it again and repeat"
                )
            made = replace(current, secret=sealed, changed_at=now)
            channels.put_channel(tx, made)
            return _channel_statuses(tx, org, [made])[0]

        return await self._store.write(change), webhook.encode_webhook_key(key)

    async def send_test(self, org: str, identifier: str, by: str) -> tuple[bool, str]:
        """Send one message now: whether it was accepted, and the reason or remark.

        Raises `NotFoundError`, `RateLimitError`, `ConflictError` while it is suspended.
        """
        row = (await self.get_channel(org, identifier)).channel
        if row.suspended:
            raise ConflictError(
                "channel_suspended",
                f"this channel is suspended, {row.suspended}: check its destination, then take it "
                "over with 'freehold fleet channel adopt'",
            )
        now = self._world.monotonic()
        allowance = self._tests.setdefault(identifier, hourly_bucket(TESTS_PER_HOUR, now))
        if not allowance.try_consume(now):
            raise RateLimitError("too_many_tests", "too many tests of this channel: wait a minute")
        if len(self._tests) > MAX_CHANNELS * 100:
            self._tests.clear()
        try:
            return True, await self._sender.send_message(
                row, self.unseal_secrets(row), self._test_message(org, by)
            )
        except DeliveryError as error:
            return False, error.reason

    def unseal_secrets(self, row: Channel) -> ChannelSecrets:
        """The channel's secrets. Raises `TamperedError` for a value that was changed or moved."""
        opened = self._sealer.open(row.secret, "channel", row.org, row.id)
        return msgspec.msgpack.decode(opened, type=ChannelSecrets)

    def _review(self, tx: Tx, org: str, owner: str) -> list[Alert]:
        return review_suspensions(tx, org, owner, self._alerts.new_alert, self._world.now())

    def _test_message(self, org: str, by: str) -> NotificationMessage:
        now, identifier = self._world.now(), self._world.new_id()
        words = f"this is a test, sent by {by}: alerts of {org} will come this way"
        test = Notice(identifier, org, Kind.TEST, "test", Severity.INFO, "", "", words, now)
        return NotificationMessage(identifier, org, now, (test,), url=self.url)

    def _seal_secrets(self, row: Channel, secrets: ChannelSecrets) -> bytes:
        return self._sealer.seal(msgspec.msgpack.encode(secrets), "channel", row.org, row.id)

    def _validated_host(self, draft: ChannelDraft, before: Channel | None) -> str:
        """The host of its destination, as pages show it. Raises `ValidationError`."""
        if before is not None and draft.type is not before.type:
            raise ValidationError(
                "type_stays",
                "the type of a channel cannot be changed: create another channel",
                field="type",
            )
        if draft.terms.quiet is not None:
            validate_quiet_hours(draft.terms.quiet)
        if draft.type is Type.EMAIL:
            return self._validated_mail(draft, before)
        if draft.terms.to or draft.terms.server or draft.password:
            raise ValidationError("not_mail", "to, server and password are for email", field="type")
        if draft.url:
            return self._reach.parse_url(draft.url).host_header
        if before is None:
            raise ValidationError(
                "url_missing", "webhooks and Slack need a url: give one", field="url"
            )
        return before.host

    def _validated_mail(self, draft: ChannelDraft, before: Channel | None) -> str:
        server = draft.terms.server
        if draft.url:
            raise ValidationError(
                "not_mail", "email has no url: give addresses in `to`", field="url"
            )
        if not draft.terms.to:
            raise ValidationError("to_missing", "email needs an address in `to`", field="to")
        for each in draft.terms.to:
            normalize_address(each)
        if server is None:
            if not self._sender.can_mail or draft.password:
                raise ValidationError(
                    "server_missing",
                    "email needs a mail server: give one in `server`",
                    field="server",
                )
            return ""
        self._reach.check_mail(server.host, server.port, plain=server.tls is Tls.PLAIN)
        normalize_address(server.sender)
        kept = before is not None and before.terms.server == server
        if server.username and not draft.password and not kept:
            raise ValidationError(
                "password_missing",
                "a username needs a password: give it again for another server",
                field="password",
            )
        return server.host


def require_channel(tx: Tx, org: str, identifier: str) -> Channel:
    """The channel. Raises `NotFoundError`."""
    found = channels.get_channel(tx, org, identifier)
    if found is None:
        raise NotFoundError("not_found", "there is no such channel")
    return found


def validate_quiet_hours(quiet: Quiet) -> None:
    """Raise `ValidationError` for empty hours or an unknown zone."""
    try:
        begins, ends = time.fromisoformat(quiet.begins), time.fromisoformat(quiet.ends)
        ZoneInfo(quiet.zone)
    except (KeyError, ValueError, OSError):  # KeyError: ZoneInfoNotFoundError
        raise ValidationError(
            "quiet_invalid", "quiet hours are HH:MM in a zone such as Europe/Berlin", field="quiet"
        ) from None
    if begins == ends:
        raise ValidationError(
            "quiet_invalid",
            "quiet hours begin and end at the same time: give two times, or leave them out",
            field="quiet",
        )


def _require_free_name(tx: Tx, made: Channel) -> None:
    others = [row for row in channels.list_channels(tx, made.org) if row.id != made.id]
    if any(row.name == made.name for row in others):
        raise ConflictError("name_taken", "a channel has this name already: choose another")
    if len(others) >= MAX_CHANNELS:
        raise ConflictError(
            "too_many_channels",
            f"an organization has at most {MAX_CHANNELS} channels: delete one first",
        )


def _channel_statuses(tx: Tx, org: str, rows: list[Channel]) -> list[ChannelStatus]:
    counts, entries = channels.count_by_state(tx, org), notices.waiting_entries(tx, org)
    return [
        ChannelStatus(
            row,
            entries.get(row.id, (0, 0))[0] + counts.get((row.id, State.WAITING), 0),
            counts.get((row.id, State.DEAD), 0),
        )
        for row in rows
    ]
