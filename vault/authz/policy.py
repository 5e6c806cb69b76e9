"""The policy document: its typed form, and validation that points at the faulty field.

Several faults are reported at once; the first is `details["field"]`, all are `details["errors"]`.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from vault.authz import conditions
from vault.authz.conditions import KINDS, MAX_CONDITIONS, Condition, MfaPresent, condition_cost
from vault.authz.pattern import SEGMENT, parse_pattern
from vault.errors import ValidationError
from vault.model.acl.policy import AclPolicy, parse_acl_policy
from vault.model.identity import ROOT_POLICY, Permission
from vault.model.name import canonical_name
from vault.model.operation import Capability

MAX_RULES: Final = 200  # a policy; a person can still read it, and evaluation stays in microseconds
MAX_PATHS: Final = 100  # a rule
MAX_BYTES: Final = 256 * 1024  # of the whole document as JSON: OpenBao's entry bound is 1 MiB
MAX_PERMISSIONS: Final = 64  # of an API key
MAX_WILD: Final = 1_000  # paths with `+`, of a policy or an API key: each may cost a look
MAX_SET_COST: Final = 2_000
"""Of all policies of one identity together (`policy_cost`): a decision takes some 3 ms at most."""
_CONDITIONS_LEVEL: Final = 18
"""Since when there are ages of second factors, control groups and `cas_required` in policies."""
MAX_PRIORITY: Final = 1_000_000
_CHARACTERS_A_PATH: Final = 10  # of a text, which take as long to read as a path to compile

ANY_CAPABILITY: Final = "*"  # as the only capability: every one, those of later versions too
CAPABILITIES: Final = tuple(capability.value for capability in Capability)

Conditions = Annotated[tuple[Condition, ...], Meta(max_length=MAX_CONDITIONS)]
Capabilities = Annotated[tuple[str, ...], Meta(min_length=1, max_length=len(CAPABILITIES))]
Paths = Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_PATHS)]


class Effect(StrEnum):
    """What a rule does when it applies; deny wins over every allow."""

    ALLOW = "allow"
    DENY = "deny"


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """These capabilities on these paths, allowed or denied, when all conditions hold."""

    effect: Effect
    paths: Paths
    capabilities: Capabilities
    conditions: Conditions = ()


def is_denial(rule: Rule) -> bool:
    """Say whether the rule denies."""
    return rule.effect is Effect.DENY


class Action(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What else happens when a rule of the policy applies. `alert`: the audit record is flagged."""

    type: Literal["alert"]


class AclSummary(Struct, frozen=True):
    """What is asked of a text in Vault's language over and over, so that it is read once."""

    weight: int = 0  # how much work it is to read and compile, in paths of rules
    cost: int = 0  # of a decision, at most
    has_denials: bool = False
    has_control_groups: bool = False
    is_templated: bool = False


class Policy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A policy. Its `conditions` hold for each rule; `priority` orders what is reported, only.

    `acl`: instead of rules, a text in Vault's language, kept as it was written. `cas_required`: a
    write must name the edition that it replaces.
    """

    name: str
    description: Annotated[str, Meta(max_length=1024)] = ""
    enabled: bool = True
    priority: Annotated[int, Meta(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 100
    rules: Annotated[tuple[Rule, ...], Meta(max_length=MAX_RULES)] = ()
    conditions: Conditions = ()
    actions: Annotated[tuple[Action, ...], Meta(max_length=1)] = ()
    acl: str | msgspec.UnsetType = msgspec.UNSET
    cas_required: bool | msgspec.UnsetType = msgspec.UNSET

    @property
    def level(self) -> int:
        """The schema level that a node must know to read it; 0: every node does."""
        found = (*self.conditions, *(each for rule in self.rules for each in rule.conditions))
        is_new = (
            self.cas_required is not msgspec.UNSET
            or any(
                isinstance(one, MfaPresent) and one.max_age is not msgspec.UNSET for one in found
            )
            or self.acl_summary.has_control_groups
        )
        return _CONDITIONS_LEVEL if is_new else 0

    @property
    def acl_policy(self) -> AclPolicy | None:
        """What the text says; None without one."""
        return parse_acl_policy(self.name, self.acl) if self.acl else None

    @cached_property
    def acl_summary(self) -> AclSummary:
        """What matters of its text."""
        found = self.acl_policy
        if found is None or not self.acl:
            return AclSummary()
        weight = len(found.paths) + len(self.acl) // _CHARACTERS_A_PATH
        return AclSummary(
            weight,
            found.cost,
            bool(found.denials),
            any(path.controlled for path in found.paths),
            found.is_templated,
        )

    @property
    def has_denials(self) -> bool:
        """Whether it denies anything."""
        return any(map(is_denial, self.rules)) or self.acl_summary.has_denials


class ShownPolicy(Policy, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A policy as it is read. `source`: it is of the control plane, and not to be changed here.

    `version` counts its editions, the last of which is of `updated_at`; neither is there of what is
    built in.
    """

    source: Literal["control_plane"] | msgspec.UnsetType = msgspec.UNSET
    version: int | msgspec.UnsetType = msgspec.UNSET
    updated_at: str | msgspec.UnsetType = msgspec.UNSET


def validate_policy(document: object) -> Policy:
    """Read a decoded JSON document; raises `ValidationError` with `field` and `errors`."""
    try:
        policy = msgspec.convert(document, Policy)
    except msgspec.ValidationError as fault:
        raise _refuse([_shape_fault(str(fault))]) from None
    faults = list(_policy_faults(policy))
    if faults:
        raise _refuse(faults)
    if len(msgspec.json.encode(policy)) > MAX_BYTES:
        raise _refuse([("", f"the policy is longer than {MAX_BYTES} bytes")])
    return msgspec.structs.replace(policy, name=canonical_name(policy.name, "name"))


def without_edition(document: object) -> object:
    """A decoded document without the fields that tell of its edition."""
    if not isinstance(document, dict):
        return document
    return {name: value for name, value in document.items() if name not in _EDITION}


_EDITION: Final = frozenset({"version", "updated_at"})


def validate_new_policy(document: object) -> Policy:
    """As `validate_policy`, for what is about to be written: stricter than for what is stored.

    What a read shows beside the document may be there, so that it can be written back.
    """
    policy = validate_policy(without_edition(document))
    if _count_wildcards(policy.rules) > MAX_WILD:
        raise _refuse([("rules", _TOO_WILD)])
    if (cost := policy_cost(policy)) > MAX_SET_COST:
        fault = (
            f"must have at most {MAX_SET_COST} conditions and paths with '{SEGMENT}', not {cost}"
        )
        raise _refuse([("rules", fault)])
    return policy


def policy_cost(policy: Policy) -> int:
    """What a decision may cost: the conditions, of the policy for each rule, and wild paths."""
    shared = sum(map(condition_cost, policy.conditions))
    checks = sum(shared + sum(map(condition_cost, rule.conditions)) for rule in policy.rules)
    return checks + policy.acl_summary.cost + _count_wildcards(policy.rules)


def policy_document(policy: Policy) -> dict[str, Any]:
    """Return the policy as plain JSON data; `validate_policy` reads it back to an equal policy."""
    plain: dict[str, Any] = msgspec.to_builtins(policy)
    return plain


def validate_permissions(plain: object) -> tuple[Permission, ...]:
    """Read the permissions of an API key; raises `ValidationError` as `validate_policy` does."""
    shape = Annotated[tuple[Permission, ...], Meta(max_length=MAX_PERMISSIONS)]
    try:
        permissions: tuple[Permission, ...] = msgspec.convert(plain, shape)
    except msgspec.ValidationError as fault:
        raise _refuse([_shape_fault(str(fault))], "permissions") from None
    faults = [
        (f"[{i}].{field}", message)
        for i, permission in enumerate(permissions)
        for field, message in _grant_faults(permission.paths, permission.capabilities)
    ]
    if not faults and _count_wildcards(permissions) > MAX_WILD:
        faults = [("", _TOO_WILD)]
    if faults:
        raise _refuse(faults, "permissions")
    return permissions


_TOO_WILD: Final = f"must hold at most {MAX_WILD} paths with '{SEGMENT}' in all"


def _count_wildcards(grants: Iterable[Rule | Permission]) -> int:
    return sum(bool(parse_pattern(path, "path").parts) for grant in grants for path in grant.paths)


def _policy_faults(policy: Policy) -> Iterator[tuple[str, str]]:
    try:
        if canonical_name(policy.name, "name") == ROOT_POLICY:
            yield "name", "root is built in and cannot be written"
    except ValidationError as fault:
        yield "name", fault.message.removeprefix("name ")
    yield from _condition_faults(policy.conditions, "")
    if policy.acl:
        yield from _acl_faults(policy)
    for i, rule in enumerate(policy.rules):
        for field, message in _grant_faults(rule.paths, rule.capabilities):
            yield f"rules[{i}].{field}", message
        yield from _condition_faults(rule.conditions, f"rules[{i}].")


def _acl_faults(policy: Policy) -> Iterator[tuple[str, str]]:
    if policy.rules or policy.conditions or policy.actions:
        yield "acl", "stands alone: give rules, conditions and actions, or a text in Vault's form"
    try:
        _ = policy.acl_policy
    except ValidationError as fault:
        yield "acl", fault.message


def _grant_faults(
    paths: tuple[str, ...], capabilities: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    if not paths or len(paths) > MAX_PATHS:
        yield "paths", f"must hold 1 to {MAX_PATHS} paths"
    if not capabilities or (ANY_CAPABILITY in capabilities and len(capabilities) > 1):
        yield "capabilities", f"must hold capabilities, or {ANY_CAPABILITY!r} alone"
    for j, path in enumerate(paths[:MAX_PATHS]):
        try:
            parse_pattern(path, "path")
        except ValidationError as fault:
            yield f"paths[{j}]", fault.message.removeprefix("path: ")
    for j, capability in enumerate(capabilities[: len(CAPABILITIES)]):
        if capability not in (*CAPABILITIES, ANY_CAPABILITY):
            yield f"capabilities[{j}]", f"is not one of {', '.join(CAPABILITIES)}"


def _condition_faults(found: tuple[Condition, ...], place: str) -> Iterator[tuple[str, str]]:
    for j, condition in enumerate(found):
        for below, message in conditions.condition_faults(condition):
            yield f"{place}conditions[{j}]{'.' if below else ''}{below}", message


_PLACED = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<place>.*)`)?\Z", re.DOTALL)
_FIELD = re.compile(r"Object (?P<how>missing required|contains unknown) field `(?P<name>[^`]*)`")
_CHOICES: Final = {
    "effect": ", ".join(Effect),
    "type": f"{', '.join(KINDS)} for a condition, alert for an action",
    "methods": "the methods of authentication",
}


def _shape_fault(text: str) -> tuple[str, str]:
    """Read msgspec's words for the place; never repeat a value, which could be a secret."""
    match = _PLACED.match(text)
    what, place = (match["what"], match["place"] or "") if match else ("", "")
    named = _FIELD.match(what)
    if named and named["how"] == "missing required":
        return f"{place}.{named['name']}".lstrip("."), "is required"
    if named:
        known = re.fullmatch(r"[A-Za-z_]{1,32}", named["name"])  # a field's name, not a value
        return f"{place}.{named['name']}".lstrip(".") if known else place, "is not a known field"
    if what.startswith("Invalid"):
        last = re.sub(r"\[.*?\]", "", place).rpartition(".")[2]
        return place, f"is not one of {_CHOICES.get(last, 'the values allowed here')}"
    return place, what[:1].lower() + what[1:]


def _refuse(faults: list[tuple[str, str]], root: str = "") -> ValidationError:
    placed = [(_join(root, field), message) for field, message in faults]
    field, message = placed[0]
    more = f" (and {len(placed) - 1} more)" if len(placed) > 1 else ""
    return ValidationError(
        "policy_invalid",
        f"{field or 'the document'} {message}{more}",
        field=field,
        errors=[{"field": f, "message": m} for f, m in placed],
    )


def _join(root: str, field: str) -> str:
    return f"{root}{field}" if not root or field.startswith("[") else f"{root}.{field}".rstrip(".")
