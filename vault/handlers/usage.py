"""A look at all secrets: how long unread, how old, how soon expired; and whose an opaque id is."""

from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from typing import Final

from actors.world import World
from protocols.instant import SECOND
from protocols.link.limits import MAX_IDENTITIES
from protocols.link.vocabulary import USAGE_DAYS
from vault import operations
from vault.authn.credential_owners import CredentialOwners
from vault.authz.authorizer import Authorizer
from vault.errors import NotFoundError
from vault.handlers.expiring_secrets import ExpiringSecretHandlers
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.stores import AccessStore, SecretStore
from vault.handlers.visibility import Visibility
from vault.model.operation import Capability
from vault.model.records import RecordStatus, SecretRow
from vault.model.usage import (
    IdentityUsage,
    ReportUsage,
    ResolveOpaqueId,
    SecretUsage,
    UsageReport,
    Who,
)

MAX_MOST_READ: Final = 64
MAX_NAMED_EACH: Final = (
    32  # each: idle, old, soon expired; together `protocols.link.limits.MAX_NAMED`
)
MAX_CREDENTIALS: Final = 256  # looked up for their owners, the most used first
_PAGE: Final = 1_000
_DAY: Final = 86_400 * SECOND

OpaqueId = Callable[[str, str], bytes]
"""Of a kind (`secret`, `identity`) and a random id."""


@dataclass(frozen=True)
class UsageHandlers:
    """The handlers of `usage.*`. People are named no secret that they could not find themselves."""

    secrets: SecretStore
    access: AccessStore
    authorizer: Authorizer
    opaque: OpaqueId
    owners: CredentialOwners
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves, and `usage.expiring`."""
        return {
            **ExpiringSecretHandlers(self.secrets, self.opaque, self.world).handlers(),
            **handler_table(
                Handler(
                    operations.REPORT_USAGE,
                    run=self.survey,
                    capability=Capability.READ,
                    audit_request=lambda payload: {"opaque": payload.opaque},
                    audit_response=lambda found: {"total": found.total, "named": len(found.named)},
                ),
                Handler(
                    operations.RESOLVE_OPAQUE_ID,
                    run=self.resolve_opaque_id,
                    capability=Capability.READ,
                    audit_response=lambda who: {"kind": who.kind},
                ),
            ),
        }

    async def survey(self, call: Call[ReportUsage]) -> UsageReport:
        """Count every secret; the time it takes grows with their number, no request waits for it.

        Each is a row of the database that is read and checked, past the cache. Named are those
        whose metadata the caller may read; the agent's own look names all, by opaque ids.
        """
        payload = call.payload
        survey = _UsageSurvey(self.world.now())
        visibility = None if call.op.service else self._visibility(call)
        seen = await self._last_reads()
        async with aclosing(self._secrets()) as secrets:
            async for row in secrets:
                known = _SurveyedSecret(row, seen.get(row.id, 0), await self._rotated_at(row))
                survey.add(known)
                if visibility is None or visibility.can_read_metadata(row):
                    survey.add_candidate(known, payload.reads.get(row.id, 0))
        return survey.result(
            self.opaque if payload.opaque else None,
            await self._identities(payload.uses) if payload.opaque else (),
        )

    async def resolve_opaque_id(self, call: Call[ResolveOpaqueId]) -> Who:
        """The secret or identity of an opaque id of this vault, among those the caller may list.

        Raises `NotFoundError`, the same for one that does not exist and one the caller may not see.
        """
        payload = call.payload
        visibility = self._visibility(call)
        for id_, name in await self._identities_in(visibility):
            if self.opaque("identity", id_).hex() == payload.opaque:
                return Who(kind="identity", name=name, id=id_)
        async with aclosing(self._secrets()) as secrets:
            async for row in secrets:
                if self.opaque("secret", row.id).hex() == payload.opaque and visibility.can_list(
                    row
                ):
                    return Who(kind="secret", name=row.name, id=row.id)
        raise NotFoundError(
            "not_found", "no secret or identity that you may list here has this opaque id"
        )

    def _visibility(self, call: Call[object]) -> Visibility:
        return Visibility(self.authorizer, call, self.world.now())

    async def _identities_in(self, visibility: Visibility) -> list[tuple[str, str]]:
        users = await self.owners.list_users() if visibility.can_list_users() else []
        return users + (await self.owners.list_tokens() if visibility.can_list_accessors() else [])

    async def _secrets(self) -> AsyncGenerator[SecretRow, None]:
        """Those that have a value to be read."""
        after = ""
        while page := await self.secrets.list_page("", after, _PAGE):
            after = page[-1].name
            for row in page:
                if row.status == RecordStatus.ACTIVE:
                    yield row

    async def _last_reads(self) -> dict[str, int]:
        found: dict[str, int] = {}
        after = None
        while page := await self.access.list_page(after, _PAGE):
            after = page[-1].secret_id
            found |= {row.secret_id: row.last_value_read for row in page if row.last_value_read}
        return found

    async def _rotated_at(self, row: SecretRow) -> int:
        """When the current version was made: `updated_at` moves with metadata, too."""
        if row.current_version <= 1:
            return row.created_at
        newest = await self.secrets.get_newest_version(row.id)
        return row.created_at if newest is None else newest.created_at

    async def _identities(self, uses: dict[str, int]) -> tuple[IdentityUsage, ...]:
        counts: dict[tuple[str, str], int] = {}
        for credential in nlargest(MAX_CREDENTIALS, uses, key=lambda key: uses[key]):
            owner = await self.owners.find_owner(credential)
            if owner is not None:
                counts[owner] = counts.get(owner, 0) + uses[credential]
        most = nlargest(MAX_IDENTITIES, counts.items(), key=lambda pair: pair[1])
        return tuple(
            IdentityUsage(opaque=self.opaque("identity", id_), name=name, count=count)
            for (id_, name), count in most
        )


@dataclass(frozen=True, slots=True)
class _SurveyedSecret:
    row: SecretRow
    last_read: int
    rotated_at: int

    @property
    def used_at(self) -> int:
        return self.last_read or self.row.created_at


class _UsageSurvey:
    """Counts secret by secret, and keeps the few of each kind that may be named."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._total = self._never = self._expired = 0
        self._idle, self._age, self._expires = ([0] * (len(USAGE_DAYS) + 1) for _ in range(3))
        self._reads: dict[str, int] = {}
        self._pool: dict[str, list[_SurveyedSecret]] = {
            "reads": [],
            "idle": [],
            "age": [],
            "expires": [],
        }

    def add(self, known: _SurveyedSecret) -> None:
        """One more."""
        row = known.row
        self._total += 1
        self._never += not known.last_read
        self._idle[_age_class(self._now - known.used_at)] += 1
        self._age[_age_class(self._now - known.rotated_at)] += 1
        if 0 < row.expires_at <= self._now:
            self._expired += 1
        elif row.expires_at:
            self._expires[_age_class(row.expires_at - self._now)] += 1

    def add_candidate(self, known: _SurveyedSecret, reads: int) -> None:
        """One that may be named, for so many reads."""
        row = known.row
        if reads:
            self._reads[row.id] = reads
            self._keep("reads", known)
        if row.expires_at:
            self._keep("expires", known)
        self._keep("idle", known)
        self._keep("age", known)

    def result(self, opaque: OpaqueId | None, identities: tuple[IdentityUsage, ...]) -> UsageReport:
        """All of it; without `opaque` nobody is named."""
        chosen = {known.row.id: known for kind in self._pool for known in self._best(kind)}
        return UsageReport(
            total=self._total,
            never_read=self._never,
            expired=self._expired,
            idle=tuple(self._idle),
            age=tuple(self._age),
            expires=tuple(self._expires),
            identities=identities,
            named=() if opaque is None else tuple(self._named(opaque, k) for k in chosen.values()),
        )

    def _named(self, opaque: OpaqueId, known: _SurveyedSecret) -> SecretUsage:
        row = known.row
        return SecretUsage(
            opaque=opaque("secret", row.id),
            name=row.name,
            reads=self._reads.get(row.id, 0),
            last_read=known.last_read,
            rotated_at=known.rotated_at,
            expires_at=row.expires_at,
        )

    def _keep(self, kind: str, known: _SurveyedSecret) -> None:
        """Keep it for now; of many the best are left now and then, so that this stays small."""
        pool = self._pool[kind]
        pool.append(known)
        if len(pool) > _PAGE:
            self._pool[kind] = self._best(kind)

    def _best(self, kind: str) -> list[_SurveyedSecret]:
        pool = self._pool[kind]
        match kind:
            case "reads":
                return nlargest(MAX_MOST_READ, pool, key=lambda known: self._reads[known.row.id])
            case "idle":
                return nsmallest(MAX_NAMED_EACH, pool, key=lambda known: known.used_at)
            case "age":
                return nsmallest(MAX_NAMED_EACH, pool, key=lambda known: known.rotated_at)
        return nsmallest(MAX_NAMED_EACH, pool, key=lambda known: known.row.expires_at)


def _age_class(age: int) -> int:
    """Which of `USAGE_DAYS`, or above them."""
    return bisect_left(USAGE_DAYS, age / _DAY)
