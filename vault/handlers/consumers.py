"""The blast radius of a secret: who fetches it, who could, and what connects with it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from actors.pacer import Pacer
from actors.world import World
from vault import operations
from vault.authn.tokens import Tokens
from vault.authn.users import Users
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.secrets import check_facts_unchanged, secret_not_found
from vault.handlers.stores import ConsumerStore, LeaseStore, RotationStore, SecretStore
from vault.handlers.visibility import Visibility, secret_facts
from vault.model.identity import Identity
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import MAX_PAGE_SIZE, ListReaders, Nothing
from vault.model.records import RecordStatus, SecretRow
from vault.model.results import Dependent, Reader, ReaderPage, SecretConsumers

MAX_DEPENDENTS: Final = 1_000  # of one answer
MAX_EXAMINED: Final = 1_000  # identities that are looked at for one page
DEPENDENTS_SECONDS: Final = 10.0  # for which they are remembered: to find them reads all secrets
_PAGE: Final = 100
_USER, _TOKEN = "user", "token"

FindDependents = Callable[[], Awaitable[list[Dependent]]]


async def find_rotated(store: RotationStore) -> list[Dependent]:
    """The secrets and folders whose rotation policy has a connection."""
    return [
        Dependent(kind="rotation", path=path, connection=connection)
        for path, connection in await store.list_connections()
        if connection
    ]


async def find_leased(store: LeaseStore) -> list[Dependent]:
    """The connections of dynamic credentials."""
    return [
        Dependent(kind="dynamic credentials", path=row.path, connection=row.secret)
        for row in await store.list_connections()
    ]


class Dependents:
    """What connects with which secret, from all that may: one look serves several callers."""

    def __init__(self, sources: Sequence[FindDependents], world: World) -> None:
        self._sources = sources
        self._world = world
        self._looking = trio.Lock()
        self._found: dict[str, list[Dependent]] = {}
        self._until = 0.0

    async def by_connection(self) -> dict[str, list[Dependent]]:
        """By the path of the secret that they connect with. Raises as the store does."""
        async with self._looking:
            if self._world.monotonic() >= self._until:
                found = dict[str, list[Dependent]]()
                for find in self._sources:
                    for one in await find():
                        found.setdefault(one.connection, []).append(one)
                self._found = found
                self._until = self._world.monotonic() + DEPENDENTS_SECONDS
        return self._found


@dataclass(frozen=True)
class ConsumerHandlers:
    """The handlers of `secret.consumers` and `secret.readers`."""

    store: ConsumerStore
    secrets: SecretStore
    rotations: RotationStore
    dependents: Dependents
    users: Users
    tokens: Tokens
    authorizer: Authorizer
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_CONSUMERS,
                run=self.list_consumers,
                capability=Capability.READ_METADATA,
                targets_secret=True,
                audit_response=lambda found: {"count": len(found.consumers)},
            ),
            Handler(
                operations.LIST_READERS,
                run=self.list_readers,
                capability=Capability.READ_METADATA,
                targets_secret=True,
                audit_response=lambda page: {"count": len(page.readers)},
            ),
        )

    async def _secret(self, call: Call[object]) -> SecretRow:
        secret = await self.secrets.get(call.op.path)
        check_facts_unchanged(call, secret)
        if secret is None:
            raise secret_not_found()
        return secret

    async def list_consumers(self, call: Call[Nothing]) -> SecretConsumers:
        """Who has fetched a secret, the latest first. What is not flushed yet is missing."""
        secret = await self._secret(call)
        rows = await self.store.list_of_secret(secret.id)
        consumers = sorted((row for row in rows if row.consumer), key=lambda row: -row.fetched_at)
        current = await self.secrets.get_version(secret.id, secret.current_version)
        ended = (row.ended_at for row in await self.rotations.list_of_secret(secret.id))
        dependents = (await self.dependents.by_connection()).get(secret.name, [])
        visibility = Visibility(self.authorizer, call, self.world.now())
        shown = list[Dependent]()
        for one in dependents[:MAX_DEPENDENTS]:
            if await self._can_see(one, visibility):
                shown.append(one)
        return SecretConsumers(
            secret=secret,
            written_at=0 if current is None else current.created_at,
            rotated_at=max(ended, default=0),
            consumers=consumers,
            is_partial=len(consumers) < len(rows),
            dependents=shown,
            hidden=len(dependents) - len(shown),
        )

    async def _can_see(self, one: Dependent, visibility: Visibility) -> bool:
        if one.path.endswith("/"):
            return visibility.can_read_removed(ResourcePath.parse(one.path + "-"))
        row = await self.secrets.get(one.path)
        return row is not None and visibility.can_read_metadata(row)

    async def list_readers(self, call: Call[ListReaders]) -> ReaderPage:
        """Who may read a secret by the policies of now: users, then tokens without one."""
        payload = call.payload
        if not 1 <= payload.limit <= MAX_PAGE_SIZE:
            raise ValidationError(
                "limit_invalid", f"limit must be 1 to {MAX_PAGE_SIZE}", field="limit"
            )
        secret = await self._secret(call)
        visibility = Visibility(self.authorizer, call, self.world.now())
        kinds = {_USER: visibility.can_list_users(), _TOKEN: visibility.can_list_accessors()}
        search = _ReaderSearch(self, call, secret, payload.limit)
        kind, after = self._open(payload.cursor)
        if kind == _USER:
            left = await search.look_at_users(after) if kinds[_USER] else None
            kind, after = (_TOKEN, "") if left is None else (_USER, left)
        more = kind == _USER
        if kind == _TOKEN and kinds[_TOKEN]:
            left = await search.look_at_tokens(after)
            more, after = left is not None, left or ""
        return ReaderPage(
            readers=search.found,
            hidden=[kind for kind, is_shown in kinds.items() if not is_shown],
            cursor=self.secrets.seal_cursor(f"readers {kind} {after}") if more else "",
        )

    def _open(self, cursor: str) -> tuple[str, str]:
        if not cursor:
            return _USER, ""
        label, kind, *after = self.secrets.open_cursor(cursor).split(" ")
        if label != "readers" or kind not in {_USER, _TOKEN}:
            raise ValidationError(
                "cursor_invalid", "this cursor is of another list", field="cursor"
            )
        return kind, " ".join(after)


class _ReaderSearch:
    """One page: looks at identity after identity until it is full, or has looked for long."""

    def __init__(
        self, parts: ConsumerHandlers, call: Call[object], secret: SecretRow, limit: int
    ) -> None:
        self.found: list[Reader] = []
        self._parts = parts
        self._call = call
        self._secret = secret
        self._limit = limit
        self._left = MAX_EXAMINED
        self._pacer = Pacer(parts.world.monotonic)

    async def look_at_users(self, after: str) -> str | None:
        """Behind the id `after`; the id to go on behind, None at the end."""
        users = self._parts.users
        while not self._is_full():
            page = await users.list_page(after=after, limit=_PAGE)
            for user in page:
                after = user.id
                if user.status == RecordStatus.ACTIVE:
                    await self._look_at(_USER, await users.identity_of(user.username))
                if self._is_full():
                    return after
            if len(page) < _PAGE:
                return None
        return after

    async def look_at_tokens(self, after: str) -> str | None:
        """As `look_at_users`, of tokens by their accessors."""
        tokens = self._parts.tokens
        for accessor in sorted(await tokens.list_accessors()):
            if accessor <= after:
                continue
            if self._is_full():
                return after
            after = accessor
            identity = await tokens.identity_of(accessor)
            if identity is not None and identity.id == accessor:
                await self._look_at(_TOKEN, identity)
        return None

    def _is_full(self) -> bool:
        return self._left <= 0 or len(self.found) >= self._limit

    async def _look_at(self, kind: str, identity: Identity) -> None:
        await self._pacer.pace()
        self._left -= 1
        access = AccessRequest(
            capability=Capability.READ,
            path=ResourcePath.parse_secret(self._secret.name),
            identity=identity,
            origin=self._call.op.origin,
            facts=secret_facts(self._secret),
            now=self._parts.world.now(),
        )
        decision = self._parts.authorizer.decide(access)
        rule = decision.rule if decision.allowed else self._parts.authorizer.could_allow(access)
        if rule:
            self.found.append(
                Reader(
                    kind=kind,
                    id=identity.id,
                    name=identity.name,
                    rule=rule,
                    is_conditional=not decision.allowed,
                )
            )
