"""Policies: write, read, delete, and ask what they would do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

import trio
from msgspec.structs import replace

from actors.world import World
from vault import operations
from vault.authn.roles import MAX_POLICIES
from vault.authn.users import Users
from vault.authz.access import AccessRequest, Decision
from vault.authz.authorizer import Authorizer
from vault.authz.conditions import HiddenFacts
from vault.authz.policy import Policy, ShownPolicy
from vault.authz.policy_conversion import Converted, to_acl, to_native
from vault.authz.policy_store import Effective, PolicyNames, PolicyStore
from vault.authz.tickets import DenialTickets, ExplainedDenial
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.stores import SecretStore
from vault.handlers.visibility import secret_facts
from vault.model.identity import Identity, Method
from vault.model.mounts import NO_MOUNTS, MountTable
from vault.model.operation import NO_FACTS, Capability, SecretFacts
from vault.model.path import ResourcePath
from vault.model.payloads import ConvertPolicy, DryRunAccess, ExplainDenial, Nothing, WritePolicy
from vault.model.records import PolicyRow

_DRY_RUN: Final = ResourcePath.parse("sys/policies-dry-run")
_HIDDEN: Final = cast("SecretFacts", HiddenFacts())
_SIGHT: Final = (Capability.READ_METADATA, Capability.READ)
"""Either shows the tags and metadata of a secret."""


@dataclass(frozen=True)
class PolicyHandlers:
    """The handlers of `policy.*`."""

    policies: PolicyStore
    authorizer: Authorizer
    users: Users
    secrets: SecretStore
    tickets: DenialTickets
    world: World
    mounts: MountTable = NO_MOUNTS
    _deciding: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(operations.LIST_POLICIES, run=self.list, capability=Capability.LIST),
            Handler(operations.READ_POLICY, run=self.read, capability=Capability.READ),
            Handler(
                operations.VALIDATE_POLICY,
                run=self.validate,
                capability=Capability.UPDATE,
                is_audited=False,
            ),
            Handler(
                operations.CONVERT_POLICY,
                run=self.convert,
                capability=Capability.READ,
                audit_request=lambda _: None,
                audit_response=lambda found: {"notes": len(found.notes)},
            ),
            Handler(
                operations.WRITE_POLICY, run=self.write, capability=Capability.UPDATE, mutates=True
            ),
            Handler(
                operations.DELETE_POLICY,
                run=self.delete,
                capability=Capability.DELETE,
                mutates=True,
            ),
            Handler(
                operations.READ_EFFECTIVE_POLICIES,
                run=self.effective,
                capability=None,
                is_self_service=True,
            ),
            Handler(operations.CHECK_ACCESS, run=self.check, capability=None, is_self_service=True),
            Handler(operations.DRY_RUN_ACCESS, run=self.dry_run, capability=Capability.READ),
            Handler(
                operations.EXPLAIN_DENIAL,
                run=self.explain,
                capability=Capability.READ,
                audit_request=lambda _: None,
                audit_response=lambda found: {
                    "request_id": found.denied.request_id,
                    "actor": found.denied.actor_id,
                },
            ),
        )

    async def list(self, _: Call[Nothing]) -> PolicyNames:
        """All names, the built-in ones among them."""
        return self.policies.listing()

    async def read(self, call: Call[Nothing]) -> ShownPolicy:
        """One policy."""
        return await self.policies.read(call.canonical_name)

    async def write(self, call: Call[WritePolicy]) -> PolicyRow:
        """Validate and put a policy; it is in force when this returns."""
        payload = call.payload
        document = _document_with_name(call)
        return await self.policies.put(
            document, by=call.identity, create_only=payload.create_only, cas=payload.cas
        )

    async def validate(self, call: Call[WritePolicy]) -> Policy:
        """What `write` would take the document for; raises what it would. Changes nothing.

        For who may write it, since it costs as much. An editor asks at each pause in typing, so
        it leaves no record: they would bury those that somebody looks for.
        """
        return await self.policies.validate(_document_with_name(call))

    async def convert(self, call: Call[ConvertPolicy]) -> Converted:
        """A policy in the other language, with what does not map. Raises `ValidationError`."""
        policy = await self.policies.validate({"name": "converted", **call.payload.document})
        found = policy.acl_policy
        if found is None:
            convert: Callable[[], Converted] = partial(to_acl, policy, self.mounts)
        else:
            convert = partial(to_native, found, self.mounts)
        return await self.world.run_sync(convert, limiter=self._deciding)

    async def delete(self, call: Call[Nothing]) -> None:
        """Delete a policy; it is out of force when this returns."""
        await self.policies.delete(call.canonical_name, by=call.identity)

    async def effective(self, call: Call[Nothing]) -> Effective:
        """The policies of the caller as they count now."""
        return self.policies.effective_policies(call.identity)

    async def check(self, call: Call[DryRunAccess]) -> Decision:
        """What the decision on a request of the caller would be now, for any caller.

        Nothing else is taken from the payload: a caller could learn a secret's tags by supposing
        another address or time. Tags and metadata of a secret that the caller may not read
        decide nothing, as in a refusal; a secret that does not exist gets the same answer.
        """
        payload = call.payload
        asked = DryRunAccess(capability=payload.capability, path=payload.path)
        return await self._decide(call, asked, withholds=not self._may_dry_run(call))

    async def dry_run(self, call: Call[DryRunAccess]) -> Decision:
        """What the decision would be, by which rule, and what is missing. Changes nothing.

        A draft is validated as `write` would and takes the place of the stored policy of its name:
        in a thread, one at a time, for both take a while and no request may wait for them.
        """
        return await self._decide(call, call.payload)

    async def explain(self, call: Call[ExplainDenial]) -> ExplainedDenial:
        """What a ticket stands for, and how the same question is decided now, and then.

        By the policies that the caller had by name then, as they are now. `decision` is on the
        secret as it is now, `then` on what it was, at that time. Raises `ValidationError`
        (`ticket_invalid`).
        """
        denied = self.tickets.read(call.payload.ticket)
        was = denied.as_access(denied.at)
        row = await self.secrets.get(was.path)
        facts = NO_FACTS if row is None else secret_facts(row)
        exact = denied.entity is not None and (not denied.facts or denied.secret_facts is not None)
        if denied.secret_facts is None:
            was = replace(was, facts=facts)
        decide = self.authorizer.dry_run(())
        then = await self.world.run_sync(decide, was, limiter=self._deciding)
        now = replace(was, now=self.world.now(), facts=facts)
        decision = await self.world.run_sync(decide, now, limiter=self._deciding)
        unknown = self.policies.effective_policies(was.identity).unknown
        return ExplainedDenial(
            denied=denied,
            decision=replace(decision, unknown=unknown),
            then=replace(then, unknown=unknown),
            exact=exact,
        )

    def _may_dry_run(self, call: Call[object]) -> bool:
        access = AccessRequest(
            capability=Capability.READ,
            path=_DRY_RUN,
            identity=call.identity,
            origin=call.op.origin,
            now=self.world.now(),
        )
        return self.authorizer.decide(access).allowed

    async def _decide(
        self, call: Call[object], payload: DryRunAccess, *, withholds: bool = False
    ) -> Decision:
        if payload.capability not in set(Capability):
            raise ValidationError("capability_unknown", "no such capability", field="capability")
        if payload.policies is not None and len(payload.policies) > MAX_POLICIES:
            raise ValidationError(
                "policies_invalid",
                f"policies holds more than {MAX_POLICIES} names",
                field="policies",
            )
        if payload.method is not None and payload.method not in set(Method):
            raise ValidationError("method_unknown", "no such method", field="method")
        path = ResourcePath.parse_folder(payload.path) if _is_folder(payload) else None
        path = ResourcePath.parse(payload.path) if path is None else path
        origin = call.op.origin
        access = AccessRequest(
            capability=Capability(payload.capability),
            path=path,
            identity=await self._subject(call, payload),
            origin=replace(origin, ip=payload.ip or origin.ip),
            facts=await self._facts(path, payload),
            now=payload.at or self.world.now(),
        )
        written = () if payload.draft is None else (await self._validate_draft(payload.draft),)
        decide = self.authorizer.dry_run(written)
        if withholds:
            decide = partial(_withheld, decide)
        decision = await self.world.run_sync(decide, access, limiter=self._deciding)
        drafts = {policy.name for policy in written}
        unknown = self.policies.effective_policies(access.identity).unknown
        return replace(decision, unknown=tuple(n for n in unknown if n not in drafts))

    async def _validate_draft(self, document: dict[str, object]) -> Policy:
        """The document, validated; faults are told with their place. Raises `ValidationError`."""
        try:
            return await self.policies.validate(document)
        except ValidationError as fault:
            inner = fault.details.get("field") or ""
            raise ValidationError(
                fault.code, f"draft: {fault.message}", field=f"draft.{inner}".rstrip(".")
            ) from None

    async def _subject(self, call: Call[object], payload: DryRunAccess) -> Identity:
        identity = call.identity
        if payload.user is not None:
            identity = await self.users.identity_of(payload.user)
        if payload.policies is not None:
            identity = replace(identity, policies=payload.policies, permissions=(), denied_by=())
        if payload.method is not None:
            identity = replace(identity, method=Method(payload.method))
        if payload.mfa is None:
            return identity
        return replace(identity, mfa_at=self.world.now() if payload.mfa else 0)

    async def _facts(self, path: ResourcePath, payload: DryRunAccess) -> SecretFacts:
        row = await self.secrets.get(path)
        facts = NO_FACTS if row is None else secret_facts(row)
        return SecretFacts(
            exists=facts.exists,
            tags=facts.tags if payload.tags is None else frozenset(payload.tags),
            metadata=facts.metadata if payload.metadata is None else payload.metadata,
        )


def _withheld(decide: Callable[[AccessRequest], Decision], access: AccessRequest) -> Decision:
    """As `decide`, with the facts of the secret only if the caller could read them.

    For a secret that does not exist: only if the caller could read it whatever its facts were.
    """
    if access.capability is Capability.LIST:  # no list asks for the facts of the folder
        return decide(replace(access, facts=NO_FACTS))
    hidden = replace(access, facts=_HIDDEN)
    known = access if access.facts.exists else hidden
    if any(decide(replace(known, capability=sight)).allowed for sight in _SIGHT):
        return decide(access)
    return decide(hidden)


def _document_with_name(call: Call[WritePolicy]) -> dict[str, object]:
    """The document with the name of the path."""
    payload = call.payload
    name, given = call.canonical_name, payload.document.get("name")
    if given is not None and not (isinstance(given, str) and given.lower() == name):
        raise ValidationError(
            "policy_invalid", "name must be that of the path, or left out", field="name"
        )
    return {**payload.document, "name": name}


def _is_folder(payload: DryRunAccess) -> bool:
    return payload.capability == Capability.LIST and payload.path.endswith("/")
