"""Channels: made and changed by people, their secrets sealed, tried out with one real message."""

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
from control.model.names import address
from control.model.notices import Channel, Kind, Notice, Quiet, Secrets, State, Terms, Tls, Type
from control.model.records import Alert, Severity
from control.notify import webhook
from control.notify.errors import UndeliveredError
from control.notify.letter import Letter
from control.notify.rate import Allowance
from control.notify.reach import Reach
from control.notify.sender import Sender
from control.services.alerts import Alerts
from control.store import alerts, channels, notices
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import SECOND

MAX_CHANNELS: Final = 50  # of one organization
OVERLAP: Final = 86_400 * SECOND  # for which a signing key signs on beside the next
TESTS_PER_HOUR: Final = 60


class Draft(Struct, frozen=True):
    """What people say of a channel. `password` and `url` empty: as they are."""

    name: str
    type: Type
    enabled: bool
    terms: Terms
    password: str = ""
    url: str = ""


class Held(NamedTuple):
    """A channel, how many notices and messages wait for it, and its dead letters."""

    channel: Channel
    waiting: int
    dead: int


class Channels:
    """Of all organizations."""

    def __init__(
        self,
        store: Store,
        *,
        sealer: Sealer,
        sender: Sender,
        reach: Reach,
        world: World,
        alerts_: Alerts,
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
        self._tests: dict[str, Allowance] = {}

    async def page(self, org: str) -> list[Held]:
        """By name."""
        return await self._store.read(lambda tx: _held(tx, org, channels.channels_of(tx, org)))

    async def get(self, org: str, identifier: str) -> Held:
        """Raises `NotFoundError`."""
        return await self._store.read(lambda tx: _held(tx, org, [require(tx, org, identifier)])[0])

    async def create(self, org: str, draft: Draft) -> tuple[Held, str]:
        """A new one, and its signing key as its receiver has to know it (of webhooks; else empty).

        Raises `ValidationError`, `ConflictError` for a name that is taken or one too many.
        """
        host, now = self._checked(draft, None), self._world.now()
        keys = (webhook.new_key(),) if draft.type is Type.WEBHOOK else ()
        secrets = Secrets(draft.password, draft.url, keys)
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
        )
        made = replace(made, secret=self._sealed(made, secrets))

        def change(tx: Tx) -> None:
            _check_name(tx, made)
            channels.add_channel(tx, made)

        await self._store.write(change)
        return Held(made, 0, 0), webhook.shown(keys[0]) if keys else ""

    async def change(self, org: str, identifier: str, draft: Draft) -> tuple[Held, str]:
        """Replace its terms. Raises `NotFoundError`, `ValidationError`, `ConflictError`.

        A password stays with the server that it was for: elsewhere it would be given away. So does
        a signing key: a webhook at another address gets one of its own, told here, else empty.
        What the new receiver is sent cannot be passed off to the old one.
        """
        before = (await self.get(org, identifier)).channel
        host, now = self._checked(draft, before), self._world.now()
        old = self.secrets(before)
        same = draft.terms.server == before.terms.server
        password = draft.password or (old.password if same else "")
        secrets = replace(old, password=password, url=draft.url or old.url)
        moved = draft.type is Type.WEBHOOK and secrets.url != old.url
        if moved:
            secrets = replace(secrets, keys=(webhook.new_key(),), until=0)
        sealed = self._sealed(before, secrets)

        def change(tx: Tx) -> tuple[Held, list[Alert]]:
            row = require(tx, org, identifier)
            changed = row.secret != before.secret  # not secret: sealed
            if changed or row.changed_at != before.changed_at:
                raise ConflictError("changed", "somebody else has changed it; look again")
            made = replace(
                row, name=draft.name, host=host, enabled=draft.enabled, terms=draft.terms,
                secret=sealed, changed_at=now,
            )  # fmt: skip
            _check_name(tx, made)
            channels.put_channel(tx, made)
            over = [] if made.enabled else self._over(tx, org, identifier)
            return _held(tx, org, [made])[0], over

        held, over = await self._store.write(change)
        self._alerts.tell(*over)
        return held, webhook.shown(secrets.keys[0]) if moved else ""

    async def remove(self, org: str, identifier: str) -> None:
        """And all that waits for it. Raises `NotFoundError`."""

        def change(tx: Tx) -> list[Alert]:
            require(tx, org, identifier)
            channels.drop_channel(tx, org, identifier)
            notices.forget(tx, org, identifier)
            return self._over(tx, org, identifier)

        self._alerts.tell(*await self._store.write(change))

    def _over(self, tx: Tx, org: str, identifier: str) -> list[Alert]:
        """It sends nothing any more, so it does not fail; the alerts that are over with it."""
        now = self._world.now()
        return alerts.resolve(tx, org, [CHANNEL_FAILING], [""], now=now, subject=identifier)

    async def renew_key(self, org: str, identifier: str) -> tuple[Held, str]:
        """Another signing key; the one before signs beside it for a day.

        Raises `NotFoundError`, `ConflictError` for what is no webhook.
        """
        row = (await self.get(org, identifier)).channel
        if row.type is not Type.WEBHOOK:
            raise ConflictError("no_key", "only webhooks have a signing key")
        now, key, old = self._world.now(), webhook.new_key(), self.secrets(row)
        secrets = replace(old, keys=(key, *old.keys[:1]), until=now + OVERLAP)
        sealed = self._sealed(row, secrets)

        def change(tx: Tx) -> Held:
            current = require(tx, org, identifier)
            if current.secret != row.secret:  # not secret: sealed
                raise ConflictError("changed", "somebody else has changed it; look again")
            made = replace(current, secret=sealed, changed_at=now)
            channels.put_channel(tx, made)
            return _held(tx, org, [made])[0]

        return await self._store.write(change), webhook.shown(key)

    async def test(self, org: str, identifier: str, by: str) -> tuple[bool, str]:
        """Send one message now: whether it was taken, and what there is to say.

        Raises `NotFoundError`, `RateLimitError`.
        """
        row = (await self.get(org, identifier)).channel
        now = self._world.monotonic()
        allowance = self._tests.setdefault(identifier, Allowance(now))
        if not allowance.take(TESTS_PER_HOUR, now):
            raise RateLimitError("too_many_tests", "this channel was tried often; wait a minute")
        if len(self._tests) > MAX_CHANNELS * 100:
            self._tests.clear()
        try:
            return True, await self._sender.send(row, self.secrets(row), self._trial(org, by))
        except UndeliveredError as error:
            return False, error.reason

    def secrets(self, row: Channel) -> Secrets:
        """Opened. Raises `TamperedError` for what is not as it was written there."""
        opened = self._sealer.open(row.secret, "channel", row.org, row.id)
        return msgspec.msgpack.decode(opened, type=Secrets)

    def _trial(self, org: str, by: str) -> Letter:
        now, identifier = self._world.now(), self._world.new_id()
        words = f"this is a test, sent by {by}: alerts of {org} will come this way"
        test = Notice(identifier, org, Kind.TEST, "test", Severity.INFO, "", "", words, now)
        return Letter(identifier, org, now, (test,), url=self.url)

    def _sealed(self, row: Channel, secrets: Secrets) -> bytes:
        return self._sealer.seal(msgspec.msgpack.encode(secrets), "channel", row.org, row.id)

    def _checked(self, draft: Draft, before: Channel | None) -> str:
        """Its host as it may be shown. Raises `ValidationError`."""
        if before is not None and draft.type is not before.type:
            raise ValidationError(
                "type_stays", "a channel's type stays: add another channel", field="type"
            )
        if draft.terms.quiet is not None:
            check_quiet(draft.terms.quiet)
        if draft.type is Type.EMAIL:
            return self._checked_mail(draft, before)
        if draft.terms.to or draft.terms.server or draft.password:
            raise ValidationError("not_mail", "to, server and password are for email", field="type")
        if draft.url:
            return self._reach.place(draft.url).authority
        if before is None:
            raise ValidationError(
                "url_missing", "webhooks and Slack take a url: give one", field="url"
            )
        return before.host

    def _checked_mail(self, draft: Draft, before: Channel | None) -> str:
        server = draft.terms.server
        if draft.url:
            raise ValidationError(
                "not_mail", "email takes no url: give addresses in `to`", field="url"
            )
        if not draft.terms.to:
            raise ValidationError("to_missing", "email takes an address in `to`", field="to")
        for each in draft.terms.to:
            address(each)
        if server is None:
            if not self._sender.can_mail or draft.password:
                raise ValidationError(
                    "server_missing",
                    "this takes a mail server: give one in `server`",
                    field="server",
                )
            return ""
        self._reach.check_mail(server.host, server.port, plain=server.tls is Tls.PLAIN)
        address(server.sender)
        kept = before is not None and before.terms.server == server
        if server.username and not draft.password and not kept:
            raise ValidationError(
                "password_missing",
                "a username takes a password: give it anew with another server",
                field="password",
            )
        return server.host


def require(tx: Tx, org: str, identifier: str) -> Channel:
    """The channel. Raises `NotFoundError`."""
    found = channels.channel(tx, org, identifier)
    if found is None:
        raise NotFoundError("not_found", "there is no such channel")
    return found


def check_quiet(quiet: Quiet) -> None:
    """Raises `ValidationError` for hours that are none, or a zone that nobody knows."""
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
            "quiet hours end when they begin: give two times, or leave them out",
            field="quiet",
        )


def _check_name(tx: Tx, made: Channel) -> None:
    others = [row for row in channels.channels_of(tx, made.org) if row.id != made.id]
    if any(row.name == made.name for row in others):
        raise ConflictError("name_taken", "there is a channel of this name: take another")
    if len(others) >= MAX_CHANNELS:
        raise ConflictError(
            "too_many_channels",
            f"an organization has at most {MAX_CHANNELS} channels: remove one first",
        )


def _held(tx: Tx, org: str, rows: list[Channel]) -> list[Held]:
    counts, entries = channels.counts(tx, org), notices.waiting(tx, org)
    return [
        Held(
            row,
            entries.get(row.id, (0, 0))[0] + counts.get((row.id, State.WAITING), 0),
            counts.get((row.id, State.DEAD), 0),
        )
        for row in rows
    ]
