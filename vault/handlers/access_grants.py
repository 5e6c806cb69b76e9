"""Grants: access to one path for one caller that ends by itself, for the ticket of a refusal.

A grant lifts "no rule allows it", and the want of a control group's approval; never a denial, a
limit on wrapping or parameters, the permissions of a key or a ceiling. It lives from the access of
whoever granted it: what that person may not do any more, nobody may by it. It shows nothing in
lists and reaches nothing but its path.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from actors.world import World
from protocols.instant import HOUR, SECOND
from vault import operations
from vault.authz.access import CONTROL_GROUP, NO_RULE, AccessRequest, Decision
from vault.authz.authorizer import Authorizer
from vault.authz.tickets import DenialTickets, DeniedAccess
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.stores import GrantStore, GrantTx, SecretStore
from vault.handlers.visibility import secret_facts
from vault.model.dynamic import MOUNT_TYPE as DATABASE
from vault.model.identity import Identity, Method
from vault.model.mounts import MountTable
from vault.model.operation import NO_FACTS, Capability, Origin
from vault.model.path import RESERVED, ResourcePath
from vault.model.payloads import GrantAccess, Nothing
from vault.model.records import AccessGrantRow, GrantAuthority

MAX_GRANTS: Final = 500  # that have not ended; held in memory
MAX_DURATION: Final = 24 * HOUR
MIN_DURATION: Final = SECOND
MAX_TICKET_AGE: Final = 24 * HOUR  # of a ticket that something is granted for
GRANT: Final = "grant"  # reason of a decision, and before the id in its rule
LIFTED: Final = frozenset({NO_RULE, CONTROL_GROUP})
"""The reasons for a refusal that a grant answers."""
_OWN_CREDENTIALS: Final = frozenset({Method.TOKEN, Method.API_KEY})
_NOBODY: Final = frozenset({Method.SERVICE, Method.ANONYMOUS})


class AccessGrants:
    """The grants that have not ended: a `vault.pipeline.Snapshot`, asked after each refusal."""

    def __init__(
        self,
        store: GrantStore,
        authorizer: Authorizer,
        stands: Callable[[str], Awaitable[bool]],
        world: World,
    ) -> None:
        """`stands`: whether a token, by its accessor, or an API key, by its id, is valid now."""
        self.store = store
        self._authorizer = authorizer
        self._stands = stands
        self._world = world
        self._seen = -1  # transactions of grants that are read
        self._by_place: dict[tuple[str, str, str], list[AccessGrantRow]] = {}

    async def decide(self, access: AccessRequest, refused: Decision) -> Decision:
        """Return the decision on what was refused: the refusal, or that a grant allows it."""
        row = self.find(access, refused)
        if (
            row is None
            or not self._authorizer.limits_hold(access)
            or not await self._is_backed(row, access)
        ):
            return refused
        return Decision(allowed=True, rule=f"{GRANT}:{row.id}", reason=GRANT, alert=refused.alert)

    def find(self, access: AccessRequest, refused: Decision) -> AccessGrantRow | None:
        """The grant for an access that was refused, if there is one."""
        if not self._by_place or refused.reason not in LIFTED:
            return None
        identity = access.identity
        if identity.permissions or identity.ceiling or identity.method in _NOBODY:
            return None
        found = self._by_place.get((identity.id, access.capability, str(access.path)), ())
        return next(
            (row for row in found if access.now < row.expires_at and _is_for(row, identity)), None
        )

    async def _is_backed(self, row: AccessGrantRow, access: AccessRequest) -> bool:
        """Whether the granter may still do the same by their own policies."""
        authority = row.authority
        if authority.credential and not await self._stands(authority.credential):
            return False
        granter = await self.store.resolve_granter(row, access.now)
        if granter is None:
            return False
        if not self._authorizer.is_ready(granter):
            await self._authorizer.prepare(granter)
        own = replace(access, identity=granter, origin=Origin(ip=authority.ip))
        return self._authorizer.decide(own).allowed

    async def change(self, change: Callable[[GrantTx], AccessGrantRow]) -> AccessGrantRow:
        """Run `change` in a transaction, then update the grants in memory."""
        async with self.store.changing.hold():
            try:
                return await self.store.transact(change)
            finally:
                with suppress(UnavailableError):  # what the change has come to is what is told
                    await self.reload()

    def list_all(self) -> list[AccessGrantRow]:
        """Those that have not ended, the next to end first."""
        now = self._world.now()
        rows = [row for each in self._by_place.values() for row in each if now < row.expires_at]
        return sorted(rows, key=lambda row: row.expires_at)

    async def reload(self) -> None:
        """Read the grants again."""
        seen = self.store.count_transactions()
        by_place: dict[tuple[str, str, str], list[AccessGrantRow]] = {}
        for row in await self.store.list_all():
            by_place.setdefault((row.subject, row.capability, row.path), []).append(row)
        if seen >= self._seen:  # else another one was quicker, and read later
            self._seen, self._by_place = seen, by_place

    @property
    def is_stale(self) -> bool:
        """Whether a transaction has ended that the grants in memory do not reflect."""
        return self.store.count_transactions() > self._seen

    async def refresh(self) -> None:
        """Read them again if they are stale. Raises as `Store.select`."""
        async with self.store.reading.hold():
            if self.is_stale:
                await self.reload()


@dataclass(frozen=True)
class AccessGrantHandlers:
    """The handlers of `policy.grant` and of what is granted."""

    grants: AccessGrants
    store: GrantStore
    tickets: DenialTickets
    authorizer: Authorizer
    secrets: SecretStore
    mounts: MountTable
    stands: Callable[[str], Awaitable[bool]]
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves. To grant takes sudo, beside the access itself."""
        return handler_table(
            Handler(
                operations.GRANT_ACCESS,
                run=self.grant,
                capability=Capability.SUDO,
                mutates=True,
                audit_request=lambda asked: {"duration": asked.duration},
                audit_response=_response,
            ),
            Handler(operations.LIST_GRANTS, run=self.list_all, capability=Capability.LIST),
            Handler(
                operations.REVOKE_GRANT,
                run=self.revoke,
                capability=Capability.DELETE,
                mutates=True,
                audit_response=_response,
            ),
        )

    async def list_all(self, _: Call[Nothing]) -> list[AccessGrantRow]:
        """The grants that have not ended."""
        return self.grants.list_all()

    async def revoke(self, call: Call[Nothing]) -> AccessGrantRow:
        """End a grant; it is out of force when this returns. Raises `NotFoundError`."""
        grant_id = call.name

        def change(tx: GrantTx) -> AccessGrantRow:
            row = tx.get(grant_id)
            if row is None:
                raise NotFoundError("grant_not_found", "there is no such grant")
            tx.delete(grant_id)
            return row

        return await self.grants.change(change)

    async def grant(self, call: Call[GrantAccess]) -> AccessGrantRow:
        """Allow what a ticket is about, for a time. Raises `ValidationError` and as the checks."""
        payload, now = call.payload, self.world.now()
        if not MIN_DURATION <= payload.duration <= MAX_DURATION:
            raise ValidationError(
                "duration_invalid", "a grant lasts from 1 second to 24 hours", field="duration"
            )
        denied = self.tickets.read(payload.ticket)
        if not 0 <= now - denied.at <= MAX_TICKET_AGE:
            raise ValidationError(
                "ticket_too_old",
                "the ticket is older than 24 hours: have the request repeated, and use its ticket",
                field="ticket",
            )
        if denied.capability == Capability.LIST:
            raise ValidationError(
                "grant_capability_invalid",
                "a grant is not for a list, whose names show by policies: write a policy",
                field="ticket",
            )
        path = ResourcePath.parse(denied.path.removesuffix("/"))
        self._require_secrets_path(path)
        access = await self._access_now(denied, now)
        await self._require_subject(denied)
        self._require_liftable(access)
        await self._require_own_access(call, access)
        row = AccessGrantRow(
            id=self.world.new_id(),
            subject=denied.actor_id,
            subject_name=denied.actor_name,
            credential=denied.credential if Method(denied.method) in _OWN_CREDENTIALS else "",
            capability=denied.capability,
            path=denied.path,
            granter=call.identity.id,
            granter_name=call.identity.name,
            authority=await self._authority(call),
            request_id=denied.request_id,
            granted_at=now,
            expires_at=now + payload.duration,
        )

        def change(tx: GrantTx) -> AccessGrantRow:
            kept = 0
            for other in tx.list_all():
                if other.expires_at <= now or _is_same(other, row):
                    tx.delete(other.id)
                else:
                    kept += 1
            if kept >= MAX_GRANTS:
                raise ConflictError(
                    "grants_full",
                    f"there are {MAX_GRANTS} grants: revoke one, or write a policy",
                )
            made = replace(row, authority=_with_origins(tx, row, call.identity))
            tx.put(made)
            return made

        return await self.grants.change(change)

    def _require_secrets_path(self, path: ResourcePath) -> None:
        """Raise `ValidationError` for what could outlast a grant.

        Who may write policies or make tokens for an hour may do so for ever; so may a database user
        be used that was made in it.
        """
        mount = self.mounts.find_for_path(f"{path}/")
        if path.partition("/")[0].casefold() in RESERVED or mount is None:
            raise ValidationError(
                "grant_path_reserved",
                "a grant is for secrets, not for the agent's own paths: write a policy",
                field="ticket",
            )
        if mount.type == DATABASE:
            raise ValidationError(
                "grant_path_reserved",
                "a grant is not for a database mount, whose users outlast it: write a policy",
                field="ticket",
            )

    async def _access_now(self, denied: DeniedAccess, now: int) -> AccessRequest:
        """What was refused, on the secret as it is now."""
        access = denied.as_access(now)
        row = await self.secrets.get(access.path)
        return replace(access, facts=NO_FACTS if row is None else secret_facts(row))

    async def _require_subject(self, denied: DeniedAccess) -> None:
        """Raise `ValidationError` unless the caller of then is there, and may be given anything."""
        method = Method(denied.method)
        if method in _NOBODY:
            raise ValidationError(
                "grant_subject_invalid", "nothing is granted to a service", field="ticket"
            )
        if denied.permissions or denied.ceiling:
            raise ValidationError(
                "grant_subject_bounded",
                "the caller is cut down to some permissions or by a ceiling, which no grant lifts: "
                "use another credential",
                field="ticket",
            )
        is_own = method in _OWN_CREDENTIALS
        stands = (
            await self.stands(denied.credential)
            if is_own
            else await self.store.is_active_user(denied.actor_id)
        )
        if not stands:
            raise ValidationError(
                "grant_subject_gone",
                "whoever was refused is not there any more, as it was then: have the request "
                "repeated, and use its ticket",
                field="ticket",
            )

    def _require_liftable(self, access: AccessRequest) -> None:
        """Raise `ConflictError` where there is nothing to grant, or a denial or limit.

        A ticket has the request of the Vault-compatible API without its fields.
        """
        decision = self.authorizer.decide(access)
        if decision.allowed:
            raise ConflictError("already_allowed", "a policy allows this already: nothing is done")
        is_within = self.authorizer.limits_hold(access, knows_fields=access.api is None)
        if decision.reason not in LIFTED or not is_within:
            raise ConflictError(
                "denied_by_rule",
                "a rule denies this, or limits it (wrapping, parameters), and a grant lifts "
                "neither: see 'freehold policy explain'",
            )

    async def _require_own_access(self, call: Call[GrantAccess], access: AccessRequest) -> None:
        """Raise `AuthorizationError` unless the granter may do this themselves, by policies."""
        own = replace(access, identity=call.identity, origin=call.op.origin)
        if not self.authorizer.is_ready(call.identity):
            await self.authorizer.prepare(call.identity)
        if not self.authorizer.decide(own).allowed:
            raise AuthorizationError(
                "grant_exceeds_own",
                f"you may not {access.capability} {access.path} yourself, so you cannot grant it",
            )

    async def _authority(self, call: Call[GrantAccess]) -> GrantAuthority:
        """The granter's policies and bounds, which the grant depends on.

        Raises `AuthorizationError` for a credential that cannot grant.
        """
        identity = call.identity
        is_user = await self.store.is_active_user(identity.id)
        if identity.permissions or (not is_user and not await self.stands(identity.credential)):
            raise AuthorizationError(
                "granter_invalid",
                "with this credential nothing can be granted: use a token or a login of yours",
            )
        return GrantAuthority(
            policies=list(identity.policies),
            denied_by=list(identity.denied_by),
            ceiling=list(identity.ceiling),
            method=identity.method,
            ip=call.op.origin.ip,
            mfa_at=identity.mfa_at,
            credential="" if is_user else identity.credential,
        )


def _is_for(row: AccessGrantRow, identity: Identity) -> bool:
    """Whether an identity is the subject of a grant: its credential, or a login of its entity."""
    if row.credential:
        return row.credential == identity.credential  # not secret: an accessor, or the id of a key
    return identity.method not in _OWN_CREDENTIALS


def _with_origins(tx: GrantTx, row: AccessGrantRow, granter: Identity) -> GrantAuthority:
    """What the grant lives from, with which policies the granter's login alone gave."""
    authority = row.authority
    if authority.credential or not (granter.mount or granter.is_transient):
        return authority
    held = tx.policies_of(row.granter)
    given = [name for name in authority.policies if name not in held]
    return replace(authority, from_login=given or UNSET)


def _is_same(one: AccessGrantRow, two: AccessGrantRow) -> bool:
    """Whether two grants are of the same access; the later one replaces the other."""
    return (one.subject, one.credential, one.capability, one.path) == (
        two.subject, two.credential, two.capability, two.path,
    )  # fmt: skip


def _response(row: AccessGrantRow) -> object:
    """What the audit record says."""
    return {
        "grant": row.id,
        "subject": row.subject,
        "capability": row.capability,
        "path": row.path,
        "expires_at": row.expires_at,
        "request_id": row.request_id,
    }
