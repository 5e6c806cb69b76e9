"""`/api/v1/policies`, `policies-effective`, `policies-dry-run`."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from protocols.instant import parse_duration, parse_rfc3339, rfc3339
from vault import operations
from vault.authz.access import NO_RULE, Decision
from vault.authz.policy import MAX_RULES, Action, Conditions, Effect, Policy, Rule, ShownPolicy
from vault.authz.policy_store import Effective, PolicyNames
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.model.identity import Method
from vault.model.name import canonical_name
from vault.model.operation import Capability
from vault.model.path import ResourcePath
from vault.model.payloads import (
    ConvertPolicy,
    DryRunAccess,
    ExplainDenial,
    GrantAccess,
    Nothing,
    WritePolicy,
)
from vault.model.records import AccessGrantRow

policies = Endpoints("policies", "Who may do what: deny by default, and a denial wins.")


class PolicyDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy says. Its name is that of the path; one that is given must be the same.

    `acl`: in place of rules, a text in Vault's language.
    """

    rules: Annotated[tuple[Rule, ...], Meta(max_length=MAX_RULES)] = ()
    name: str | None = None
    description: Annotated[str, Meta(max_length=1024)] = ""
    enabled: bool = True
    priority: int = 100
    conditions: Conditions = ()
    actions: Annotated[tuple[Action, ...], Meta(max_length=1)] = ()
    acl: str | None = None
    cas_required: bool = False


class WriteQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`cas`: only if the stored policy is of this `version`; 0: only if there is none."""

    cas: Annotated[int, Meta(ge=0)] | None = None


class WrittenPolicy(Struct, frozen=True):
    """A policy that was written and is in force; `version` counts its editions."""

    name: str
    id: str
    version: int
    created_at: str
    updated_at: str
    created_by: str


class DryRunBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A request that might be made. What is left out is taken from this one, or as it is.

    With `capability` and `path` alone it is about the caller, and any caller may ask.
    `draft` is a policy document with its name: it stands in for the stored policy of that name.
    """

    capability: Capability
    path: str
    draft: dict[str, Any] | None = None
    user: str | None = None
    policies: list[str] | None = None
    ip: str | None = None
    method: Method | None = None
    mfa: bool | None = None
    at: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, str] | None = None


@policies.add("GET", "policies", "List the policies' names", returns=PolicyNames)
async def list_(dialect: Dialect, request: Request) -> PolicyNames:
    path = system_folder("policies")
    return await dialect.run_operation(request, operations.LIST_POLICIES, path, Nothing())


@policies.add("GET", "policies/{name}", "Read a policy", returns=ShownPolicy)
async def read(dialect: Dialect, request: Request, name: str) -> ShownPolicy:
    return await dialect.run_operation(request, operations.READ_POLICY, _at(name), Nothing())


@policies.add(
    "PUT",
    "policies/{name}",
    "Write a policy; it is in force at once",
    body=dict[str, Any],  # validated by the handler, whose errors point at the faulty field
    schema=PolicyDocument,
    query=WriteQuery,
    returns=WrittenPolicy,
    errors=(409,),
)
async def write(
    dialect: Dialect, request: Request, name: str, *, body: dict[str, Any], query: WriteQuery
) -> WrittenPolicy:
    payload = WritePolicy(document=body, cas=query.cas)
    row = await dialect.run_operation(request, operations.WRITE_POLICY, _at(name), payload)
    return WrittenPolicy(
        name=row.name,
        id=row.id,
        version=row.version,
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
        created_by=row.created_by,
    )


@policies.add(
    "POST",
    "policies/{name}/validate",
    "Look for faults as writing it would; changes nothing",
    body=dict[str, Any],
    schema=PolicyDocument,
    returns=Policy,
)
async def validate(
    dialect: Dialect, request: Request, name: str, *, body: dict[str, Any]
) -> Policy:
    payload = WritePolicy(document=body)
    return await dialect.run_operation(request, operations.VALIDATE_POLICY, _at(name), payload)


@policies.add(
    "DELETE", "policies/{name}", "Delete a policy; it is out of force at once", status=204
)
async def delete(dialect: Dialect, request: Request, name: str) -> None:
    await dialect.run_operation(request, operations.DELETE_POLICY, _at(name), Nothing())


@policies.add("GET", "policies-effective", "The policies that count for you", returns=Effective)
async def effective(dialect: Dialect, request: Request) -> Effective:
    path = system_path("policies-effective")
    return await dialect.run_operation(request, operations.READ_EFFECTIVE_POLICIES, path, Nothing())


@policies.add(
    "POST",
    "policies-dry-run",
    "Would this be allowed, by which rule, and what is missing?",
    body=DryRunBody,
    returns=Decision,
    errors=(404,),
)
async def dry_run(dialect: Dialect, request: Request, *, body: DryRunBody) -> Decision:
    payload = DryRunAccess(
        capability=body.capability,
        path=body.path,
        draft=body.draft,
        user=body.user,
        policies=_names(body.policies),
        ip=body.ip,
        method=body.method,
        mfa=body.mfa,
        at=None if body.at is None else parse_rfc3339(body.at, "at"),
        tags=None if body.tags is None else tuple(body.tags),
        metadata=body.metadata,
    )
    own = payload == DryRunAccess(
        capability=payload.capability, path=payload.path
    )  # takes no policy: see `Policies`
    name = operations.CHECK_ACCESS if own else operations.DRY_RUN_ACCESS
    path = system_path("policies-dry-run")
    return await dialect.run_operation(request, name, path, payload)


class TicketBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A ticket, as a refusal has it among its details."""

    ticket: str


class DenialExplained(Struct, frozen=True, kw_only=True):
    """Who was refused what, and how it is decided now. `rule`: what a policy could allow it by.

    `then`: the decision on what it was about at that time; `exact`: nothing of that is missing.
    """

    request_id: str
    denied_at: str
    actor_id: str
    actor_name: str
    method: str
    credential: str
    policies: tuple[str, ...]
    ip: str
    capability: str
    path: str
    decision: Decision
    then: Decision
    exact: bool
    rule: Rule | None


@policies.add(
    "POST",
    "policies-explain",
    "What was refused, by the ticket of the refusal, and what is missing now",
    body=TicketBody,
    returns=DenialExplained,
)
async def explain(dialect: Dialect, request: Request, *, body: TicketBody) -> DenialExplained:
    found = await dialect.run_operation(
        request,
        operations.EXPLAIN_DENIAL,
        system_path("policies-explain"),
        ExplainDenial(ticket=body.ticket),
    )
    denied = found.denied
    rule = Rule(effect=Effect.ALLOW, paths=(denied.path,), capabilities=(denied.capability,))
    return DenialExplained(
        request_id=denied.request_id,
        denied_at=rfc3339(denied.at),
        actor_id=denied.actor_id,
        actor_name=denied.actor_name,
        method=denied.method,
        credential=denied.credential,
        policies=denied.policies,
        ip=denied.ip,
        capability=denied.capability,
        path=denied.path,
        decision=found.decision,
        then=found.then,
        exact=found.exact,
        rule=rule if found.decision.reason == NO_RULE else None,
    )


class ConvertedPolicy(Struct, frozen=True, kw_only=True):
    """The policy in the other language: `acl`, or `rules`. `notes`: what is not as it was."""

    acl: str
    rules: tuple[Rule, ...]
    notes: tuple[str, ...]
    exact: bool


@policies.add(
    "POST",
    "policies-convert",
    "Turn a policy into Vault's language, or into rules, and say what does not map",
    body=dict[str, Any],
    schema=PolicyDocument,
    returns=ConvertedPolicy,
)
async def convert(dialect: Dialect, request: Request, *, body: dict[str, Any]) -> ConvertedPolicy:
    found = await dialect.run_operation(
        request,
        operations.CONVERT_POLICY,
        system_path("policies-convert"),
        ConvertPolicy(document=body),
    )
    return ConvertedPolicy(acl=found.acl, rules=found.rules, notes=found.notes, exact=found.exact)


class NewGrant(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """For the ticket of a refusal. `duration`: `1h`, or seconds; a day at most."""

    ticket: str
    duration: str | int = "1h"


class GrantBody(Struct, frozen=True, kw_only=True):
    """What is granted to whom, by whom, and until when. `credential`: only to this one."""

    id: str
    subject: str
    subject_name: str
    credential: str
    capability: str
    path: str
    granted_by: str
    granted_at: str
    expires_at: str
    request_id: str

    @classmethod
    def of(cls, row: AccessGrantRow) -> "GrantBody":
        """From the row."""
        return cls(
            id=row.id,
            subject=row.subject,
            subject_name=row.subject_name,
            credential=row.credential,
            capability=row.capability,
            path=row.path,
            granted_by=row.granter_name,
            granted_at=rfc3339(row.granted_at),
            expires_at=rfc3339(row.expires_at),
            request_id=row.request_id,
        )


class GrantList(Struct, frozen=True):
    """The grants that have not ended, the next to end first."""

    grants: list[GrantBody]


@policies.add(
    "POST",
    "policies-grants",
    "Allow what was refused, by the ticket of the refusal, for a time",
    body=NewGrant,
    returns=GrantBody,
    status=201,
    errors=(409,),
)
async def grant(dialect: Dialect, request: Request, *, body: NewGrant) -> GrantBody:
    payload = GrantAccess(ticket=body.ticket, duration=parse_duration(body.duration, "duration"))
    row = await dialect.run_operation(
        request, operations.GRANT_ACCESS, system_path("access-grants"), payload
    )
    return GrantBody.of(row)


@policies.add("GET", "policies-grants", "List what is granted for a time", returns=GrantList)
async def list_grants(dialect: Dialect, request: Request) -> GrantList:
    path = system_folder("access-grants")
    found = await dialect.run_operation(request, operations.LIST_GRANTS, path, Nothing())
    return GrantList(grants=[GrantBody.of(row) for row in found])


@policies.add("DELETE", "policies-grants/{id}", "End a grant at once", status=204, errors=(404,))
async def revoke_grant(dialect: Dialect, request: Request, id: str) -> None:  # noqa: A002  # the route's word
    await dialect.run_operation(
        request, operations.REVOKE_GRANT, system_path("access-grants", id), Nothing()
    )


def _at(name: str) -> ResourcePath:
    return system_path("policies", canonical_name(name, "name"))


def _names(names: list[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    return tuple(canonical_name(name, f"policies[{i}]") for i, name in enumerate(names))
