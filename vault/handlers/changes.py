"""Changes of secrets since a cursor, as far as the caller may see them, and the wait for the next.

An answer names each secret once, as it is when the answer is made. So a client that goes on from
the cursor of each answer has, in the end, the newest state of each secret that it may see.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import trio

from actors.pacer import Pacer
from actors.world import World
from vault import operations
from vault.authn.stream_registry import StreamRegistry
from vault.authz.authorizer import Authorizer
from vault.errors import AuthenticationError, ConflictError, NotFoundError, ValidationError
from vault.handlers.change_hub import ChangeHub, Watch, is_below
from vault.handlers.consumer_recorder import ConsumerRecorder
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.listing import AnswerMemory
from vault.handlers.secrets import check_facts_unchanged, secret_not_found
from vault.handlers.stores import SecretStore
from vault.handlers.visibility import Visibility
from vault.model.changes import (
    CHANGES_EXPIRED,
    MAX_PREFIXES,
    REMOVED,
    AcknowledgeVersion,
    ChangePosition,
    ChangesRead,
    FeedExpiredError,
    IdleRequest,
    ReadChanges,
    SecretChange,
    SecretFeed,
    WatchEvent,
)
from vault.model.identity import Identity
from vault.model.operation import NO_FACTS, Capability
from vault.model.path import ResourcePath
from vault.model.records import SecretRow

MAX_CHANGES: Final = 1_000
"""Secrets after which an answer ends at the end of a commit."""
_LABEL: Final = "changes"  # so that the cursor of a list is none of these
_SIZE: Final = 160  # bytes of a change on the wire beside its name
_UNNAMED: Final = "\0"  # stands for what was not given, in a cursor of fixed size


@dataclass(frozen=True)
class WatchParts:
    """What says who may wait, and for how long. `stands`: whether a credential is valid now."""

    hub: ChangeHub
    streams: StreamRegistry
    stands: Callable[[str], Awaitable[bool]]


@dataclass(frozen=True)
class ChangeHandlers:
    """The handlers of `secret.changes` and `secret.acknowledge`."""

    store: SecretStore
    feed: SecretFeed
    authorizer: Authorizer
    consumers: ConsumerRecorder
    watching: WatchParts
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.READ_CHANGES,
                run=self.read,
                capability=None,
                discloses=lambda found: bool(found.changes),
                audit_request=lambda asked: {"prefixes": list(asked.prefixes)},
                audit_response=lambda found: {"count": len(found.changes)},
            ),
            Handler(
                operations.ACKNOWLEDGE_VERSION,
                run=self.acknowledge,
                capability=Capability.READ,
                targets_secret=True,
                audit_request=lambda asked: {"version": asked.version},
                audit_response=lambda secret: {"secret_id": secret.id},
            ),
        )

    async def read(self, call: Call[ReadChanges]) -> ChangesRead:
        """What changed after the cursor. Raises `ConflictError` (`changes_expired`)."""
        payload, until = call.payload, self.feed.commits
        prefixes = _checked_prefixes(payload.prefixes)
        if not payload.since:
            return self._answer(call, prefixes, [], await self.feed.position(), has_more=False)
        position = self._open_cursor(payload.since)
        viewer = _Viewer(self.store, Visibility(self.authorizer, call, self.world.now()))
        pacer, memory = Pacer(self.world.monotonic), AnswerMemory(call)
        found: dict[str, SecretChange] = {}
        seen, size, has_more = set[str](), 0, False
        while not has_more:
            try:
                entries = await self.feed.read(position, until)
            except FeedExpiredError:
                raise await self._expired() from None
            if not entries:
                break
            for entry in entries:
                for name in entry.names:
                    await pacer.pace()
                    if name in seen or not is_below(name, prefixes):
                        continue
                    seen.add(name)
                    if (change := await viewer.change_of(name)) is not None:
                        found[name] = change
                        size += _SIZE + len(name)
                position = entry.position
                await memory.reserve_total(size)
                if len(found) >= MAX_CHANGES:
                    has_more = position.commits < until
                    break
            if position.commits >= until:
                break
        return self._answer(call, prefixes, list(found.values()), position, has_more=has_more)

    async def acknowledge(self, call: Call[AcknowledgeVersion]) -> SecretRow:
        """The secret whose version the caller says it uses: its record is what says so.

        Raises `NotFoundError` for no such secret or version.
        """
        secret = await self.store.get(call.op.path)
        check_facts_unchanged(call, secret)
        if secret is None:
            raise secret_not_found()
        if not max(secret.oldest_version, 1) <= call.payload.version <= secret.current_version:
            raise NotFoundError("version_not_found", "there is no such version of this secret")
        self.consumers.record(call.identity, secret.id, secret.name, call.payload.version)
        return secret

    def _answer(
        self,
        call: Call[ReadChanges],
        prefixes: tuple[str, ...],
        changes: list[SecretChange],
        position: ChangePosition,
        *,
        has_more: bool,
    ) -> ChangesRead:
        watch = SecretWatch(self, call, Watch(prefixes, position))
        return ChangesRead(
            changes=changes, cursor=self.seal_cursor(position), has_more=has_more, watch=watch
        )

    async def _expired(self) -> ConflictError:
        return ConflictError(
            CHANGES_EXPIRED,
            "the changes since this cursor are no longer kept: list the secrets anew, then go on "
            "from details.cursor",
            cursor=self.seal_cursor(await self.feed.position()),
        )

    def seal_cursor(self, position: ChangePosition) -> str:
        """A cursor that says nothing to its holder; all of them are of one length."""
        chain = position.chain.hex().ljust(64, _UNNAMED)
        return self.store.seal_cursor(f"{_LABEL}{position.commits:016x}{chain}")

    def _open_cursor(self, cursor: str) -> ChangePosition:
        text = self.store.open_cursor(cursor)
        if not text.startswith(_LABEL):
            raise ValidationError(
                "cursor_invalid", "the cursor is not one of changes; start over", field="since"
            )
        number = text.removeprefix(_LABEL)
        return ChangePosition(int(number[:16], 16), bytes.fromhex(number[16:].rstrip(_UNNAMED)))


class SecretWatch:
    """`vault.model.changes.ChangeWatch` of one caller."""

    def __init__(self, parts: ChangeHandlers, call: Call[ReadChanges], watch: Watch) -> None:
        self._parts = parts
        self._call = call
        self._watch = watch

    @property
    def cursor(self) -> str:
        """A cursor behind all that was looked at so far."""
        return self._parts.seal_cursor(self._watch.position)

    @contextmanager
    def open(self, request: IdleRequest) -> Iterator[None]:
        """As `ChangeWatch.open`."""
        identity: Identity = self._call.identity
        watching = self._parts.watching
        with watching.hub.join(self._watch, identity.first, request):
            with watching.streams.open_stream(identity.credential) as scope:
                yield
            if scope.cancelled_caught:
                raise AuthenticationError("unauthenticated", "permission denied")

    async def wait(self, seconds: float) -> WatchEvent:
        """As `ChangeWatch.wait`."""
        watch, hub = self._watch, self._parts.watching.hub
        with trio.move_on_after(seconds):
            while True:
                await watch.wait()
                if watch.is_over:
                    return WatchEvent.SEALED if hub.is_closed else WatchEvent.STOPPED
                position, names = hub.position, watch.take()
                if names is None or await self._sees_any(names):
                    return WatchEvent.CHANGED
                self._advance(position)
        if watch.is_idle:
            self._advance(hub.position)
        return WatchEvent.TIMED_OUT

    def turn(self) -> trio.CapacityLimiter:
        """As `ChangeWatch.turn`."""
        return self._parts.watching.hub.turns

    async def is_still_valid(self) -> bool:
        """As `ChangeWatch.is_still_valid`."""
        return await self._parts.watching.stands(self._call.identity.credential)

    def _advance(self, position: ChangePosition | None) -> None:
        if position is not None and position.commits > self._watch.position.commits:
            self._watch.position = position

    async def _sees_any(self, names: list[str]) -> bool:
        parts, identity = self._parts, self._call.identity
        if not parts.authorizer.is_ready(identity):  # policies may have changed meanwhile
            await parts.authorizer.prepare(identity)
        visibility = Visibility(parts.authorizer, self._call, parts.world.now())
        viewer = _Viewer(parts.store, visibility)
        for name in names:
            if await viewer.change_of(name) is not None:
                return True
        return False


class _Viewer:
    """What one caller may be told of changed secrets."""

    def __init__(self, store: SecretStore, visibility: Visibility) -> None:
        self._store = store
        self._visibility = visibility

    async def change_of(self, name: str) -> SecretChange | None:
        """The secret as it is now; None if the caller may not see it."""
        visibility, path = self._visibility, ResourcePath.parse(name)
        if not visibility.needs_facts and not (
            visibility.is_listed(name, NO_FACTS) or visibility.can_read_removed(path)
        ):
            return None  # whatever the row is: it is not looked up
        row = await self._store.get(path)
        if row is None:
            seen = visibility.is_listed(name, NO_FACTS) or visibility.can_read_removed(path)
            return SecretChange(path=name, version=0, status=REMOVED) if seen else None
        if visibility.can_read_metadata(row):
            return SecretChange(
                path=name,
                version=row.current_version,
                status=row.status,
                updated_at=row.updated_at,
            )
        return SecretChange(path=name) if visibility.can_list(row) else None


def _checked_prefixes(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    if len(prefixes) > MAX_PREFIXES:
        raise ValidationError(
            "prefix_invalid", f"at most {MAX_PREFIXES} prefixes in one request", field="prefix"
        )
    for prefix in prefixes:
        if prefix.endswith("/"):
            ResourcePath.parse_folder(prefix)
        else:
            ResourcePath.parse(prefix)
    return tuple(dict.fromkeys(prefixes))
