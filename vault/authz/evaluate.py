"""The decision: a pure function of compiled rules and an access.

Deny by default; a denial that applies wins over every allowance, whatever the priorities; what
the policies allow, an API key's permissions may still cut down.
"""

from typing import Final, TypeAlias

from msgspec import UNSET, Struct, structs

from vault.authz.access import (
    ALLOWED,
    CONTROL_GROUP,
    DENY_RULE,
    NO_RULE,
    NOT_PERMITTED,
    OVER_CEILING,
    AccessRequest,
    Decision,
)
from vault.authz.acl import AclRules
from vault.authz.api_paths import nearest_api_access
from vault.authz.compile import CEILING, CompiledRule, Grant, RuleSet, is_mixed_folder
from vault.authz.conditions import UndecidableError
from vault.model.acl.access import AclCapability, ApiAccess
from vault.model.identity import ROOT_POLICY
from vault.model.memo import BoundedMemo
from vault.model.operation import Capability

ALLOWED_BY_ROOT: Final = Decision(allowed=True, rule=ROOT_POLICY, reason=ALLOWED)
_DENIALS: Final = frozenset({DENY_RULE, CONTROL_GROUP})
NO_RULE_APPLIES: Final = Decision(allowed=False, reason=NO_RULE)
OUTSIDE_KEY_PERMISSIONS: Final = Decision(allowed=False, reason=NOT_PERMITTED)

_NO_APPROVAL: Final = "this agent cannot ask for it; grant the access for a time instead"
MAX_MISSING: Final = 20  # sentences of a dry run
DecisionKey: TypeAlias = tuple[int, Capability, str, bool]
"""Whose, for what, and where: a path, or a folder for all that lies in it (True)."""


def evaluate(rules: RuleSet, grants: tuple[Grant, ...], access: AccessRequest) -> Decision:
    """Decide. No `grants` means: not cut down.

    A listed folder is covered by a pattern for the folder itself and by one for what is in it:
    `secret/app` and `secret/app/*` both speak of listing `secret/app/`.
    """
    if access.capability is Capability.LIST:
        return _decide(rules, grants, access, _folder_forms(access.path))
    return _decide(rules, grants, access, (access.path,))


def is_listed(
    rules: RuleSet, grants: tuple[Grant, ...], access: AccessRequest, listed: str = ""
) -> bool:
    """Say whether `access.path` appears when the folder that it is in is listed.

    Rules for the thing itself count and those for exactly its folder; a denial of either hides it.
    Policies in Vault's language say of a folder, `listed` or that of the thing, that all shows. The
    list filter of one that is `listed` is the caller's to apply.
    """
    path = access.path
    folder, _, key = path.rpartition("/")
    if rules.acl is not None:
        api = nearest_api_access(Capability.LIST, listed or folder, rules.mounts)
        access = structs.replace(access, api=api)
    decision = _decide(rules, grants, access, (path, folder) if folder else (path,))
    if not decision.list_filter or rules.acl is None or access.api is None or listed:
        return decision.allowed
    shown = decision.list_filter.path_of(access.api.path, key)
    return not rules.acl.capabilities(shown, access.now) <= _DENIED


_DENIED: Final = frozenset({AclCapability.DENY})


def _folder_forms(path: str) -> tuple[str, ...]:
    stripped = path.removesuffix("/")
    return (stripped, f"{stripped}/") if stripped else ("",)


def _decide(
    rules: RuleSet, grants: tuple[Grant, ...], access: AccessRequest, forms: tuple[str, ...]
) -> Decision:
    if rules.root:
        decision = ALLOWED_BY_ROOT
    else:
        decision = _first_match(rules, access, forms)
        if rules.acl is not None and decision.reason != DENY_RULE:
            decision = _with_acl(rules.acl, rules, access, decision)
    if decision.allowed and grants and not _granted(grants, access, forms):
        return OUTSIDE_KEY_PERMISSIONS
    return decision


def _with_acl(acl: AclRules, rules: RuleSet, access: AccessRequest, native: Decision) -> Decision:
    """The decision with the policies in Vault's language, whose `deny` wins as any other does."""
    api = _api_access(rules, access)
    found = acl.decide(api, access.now, has_mfa=access.identity.mfa)
    if found.denied:
        reason = CONTROL_GROUP if found.controlled else DENY_RULE
        return Decision(allowed=False, rule=found.rule, reason=reason, alert=native.alert)
    if native.allowed or not found.allowed:
        return native
    return Decision(
        allowed=True,
        rule=found.rule,
        reason=ALLOWED,
        alert=native.alert,
        page_limit=found.page_limit or UNSET,
        list_filter=found.list_filter or UNSET,
    )


def _api_access(rules: RuleSet, access: AccessRequest) -> ApiAccess:
    return access.api or nearest_api_access(
        access.capability, access.path, rules.mounts, access.form
    )


def _first_match(rules: RuleSet, access: AccessRequest, forms: tuple[str, ...]) -> Decision:
    table = rules.tables.get(access.capability)
    if table is None:
        return NO_RULE_APPLIES
    first: CompiledRule | None = None
    alert = False
    failed = set[int]()  # a rule may be filed under several patterns that cover the path
    for path in forms:
        for rule in table.index.matching(path):
            if first is not None and rule.order >= first.order and (alert or not rule.alert):
                continue  # it changes nothing
            if rule.checks and (rule.order in failed or not rule.conditions_hold(access)):
                failed.add(rule.order)
                continue
            alert = alert or rule.alert
            if first is None or rule.order < first.order:
                first = rule
    if first is None:
        return NO_RULE_APPLIES
    if alert and not first.alert:
        found = first.decision
        return Decision(found.allowed, found.rule, found.reason, (), alert=True)
    return first.decision


def _granted(grants: tuple[Grant, ...], access: AccessRequest, forms: tuple[str, ...]) -> bool:
    return any(
        grant.index.covers(path)
        for grant in grants
        if access.capability in grant.capabilities
        for path in forms
    )


def is_granted(grants: tuple[Grant, ...], access: AccessRequest) -> bool:
    """Say whether an API key's permissions include an access."""
    lists = access.capability is Capability.LIST
    return _granted(grants, access, _folder_forms(access.path) if lists else (access.path,))


def explain(rules: RuleSet, grants: tuple[Grant, ...], access: AccessRequest) -> Decision:
    """Decide as `evaluate` does and, for a no, say what is missing (a dry run; not for speed)."""
    decision = evaluate(rules, grants, access)
    if decision.allowed:
        return decision
    if decision.reason == NOT_PERMITTED:
        missing = [f"the API key's permissions do not include {access.capability} here"]
    elif decision.reason == CONTROL_GROUP:
        missing = [f"{decision.rule} asks for the approval of a control group: {_NO_APPROVAL}"]
    elif decision.rule:
        missing = [f"{decision.rule} denies {access.capability} here; a denial wins"]
        missing += [
            f"{rule.label}: {unclear}"
            for rule in rules.rules
            if rule.label == decision.rule and (unclear := _failed(rule, access))
        ]
    else:
        missing = _missing_conditions(rules, access)
        if rules.acl is not None:
            api = _api_access(rules, access)
            missing.append(rules.acl.explain(api, access.now, has_mfa=access.identity.mfa))
    return structs.replace(decision, missing=tuple(missing))


def limits_hold(rules: RuleSet, access: AccessRequest, *, knows_fields: bool = True) -> bool:
    """Whether the limits hold that policies in Vault's language set on a request, if any do."""
    acl = rules.acl
    return acl is None or acl.limits_hold(
        _api_access(rules, access), access.now, knows_fields=knows_fields
    )


def could_allow(rules: RuleSet, access: AccessRequest) -> str:
    """The rule that allows an access under some conditions; empty where none ever does.

    A denial without conditions rules it out.
    """
    found = ""
    for rule in rules.rules:
        if access.capability not in rule.capabilities or not _covers(rule, access):
            continue
        if rule.deny and not rule.checks:
            return ""
        if not rule.deny:
            found = found or rule.label
    if rules.acl is not None:
        api = nearest_api_access(access.capability, access.path, rules.mounts)
        said = rules.acl.decide(api, access.now, has_mfa=True)
        if said.denied:
            return ""
        if api.operation in rules.acl.capabilities(api.path, access.now):
            found = found or said.rule
    return found


def _missing_conditions(rules: RuleSet, access: AccessRequest) -> list[str]:
    """Name the allow rules that cover the path, and what each lacks; the nearest first."""
    held, other = [], []
    for rule in rules.rules:
        if rule.deny or not _covers(rule, access):
            continue
        if access.capability in rule.capabilities:
            held.append(f"{rule.label}: {_failed(rule, access)}")
        else:
            has = ", ".join(c for c in Capability if c in rule.capabilities)
            other.append(f"{rule.label} covers this path with {has}, not {access.capability}")
    return (held + other)[: MAX_MISSING - 1] or [f"no rule allows {access.capability} here"]


def _covers(rule: CompiledRule, access: AccessRequest) -> bool:
    forms = _folder_forms(access.path)
    return any(p.matches(path) for p in rule.patterns for path in forms)


OVER: Final = "the ceiling of this agent (control_plane.ceiling) does not allow it"
"""Of a rule of the control plane's that allows it."""


def _failed(rule: CompiledRule, access: AccessRequest) -> str:
    words = []
    for check, name in rule.checks:
        try:
            if not check(access):
                words.append(OVER if name == CEILING else f"condition {name} does not hold")
        except UndecidableError as why:
            words.append(f"condition {name} cannot be decided ({why})")
    return "; ".join(words)


class CompiledPolicies(Struct, frozen=True):
    """What decides for one combination of policies and key permissions."""

    rules: RuleSet
    grants: tuple[Grant, ...]
    number: int  # which of the snapshot's it is
    decisions: BoundedMemo[DecisionKey, Decision]  # known ones, of all of the snapshot's
    ceiling: "CompiledPolicies | None" = None  # what has to allow it too

    @property
    def needs_facts(self) -> bool:
        """Whether a decision can depend on tags or metadata."""
        return self.rules.needs_facts or (self.ceiling is not None and self.ceiling.needs_facts)

    def decide(self, access: AccessRequest) -> Decision:
        """Evaluate, or return what is known: where no rule has a condition, the path says it all.

        What is known goes with the snapshot, so it never outlives a change of any policy.
        """
        decision = self._decide_own(access)
        if self.ceiling is None or not decision.allowed:
            return decision
        return _within_ceiling(decision, self.ceiling.decide(access))

    def explain(self, access: AccessRequest) -> Decision:
        """As `decide`; for a no it says what is missing."""
        decision = explain(self.rules, self.grants, access)
        if self.ceiling is None or not decision.allowed:
            return decision
        over = self.ceiling.explain(access)
        missing = tuple(f"ceiling: {text}" for text in over.missing)
        return structs.replace(_within_ceiling(decision, over), missing=missing)

    def could_allow(self, access: AccessRequest) -> str:
        """See the function of this name."""
        if self.ceiling is not None and not self.ceiling.could_allow(access):
            return ""
        return could_allow(self.rules, access)

    def _decide_own(self, access: AccessRequest) -> Decision:
        table = self.rules.tables.get(access.capability)
        if table is None or table.conditional or self.rules.acl is not None:
            return evaluate(self.rules, self.grants, access)
        folder = access.path[: access.path.rfind("/") + 1]
        known = self.decisions.get((self.number, access.capability, folder, True))
        if known is not None:
            return known
        lists = access.capability is Capability.LIST  # folders, which patterns cover in two forms
        alike = not lists and not is_mixed_folder(table, self.grants, folder)
        place = folder if alike else access.path
        question: DecisionKey = (self.number, access.capability, place, alike)
        known = self.decisions.get(question)
        if known is None:
            known = evaluate(self.rules, self.grants, access)
            self.decisions.put(question, known)
        return known

    def without_acl(self) -> "CompiledPolicies":
        """The same without policies in Vault's language."""
        return structs.replace(self, rules=structs.replace(self.rules, acl=None))

    @property
    def weight(self) -> int:
        """How much is kept for it, in filed patterns."""
        tables = {id(table): table for table in self.rules.tables.values()}
        filed = sum(table.index.size for table in tables.values())
        paths = 0 if self.rules.acl is None else self.rules.acl.size
        own = 1 + filed + paths + sum(grant.index.size for grant in self.grants)
        return own + (0 if self.ceiling is None else self.ceiling.weight)


def _within_ceiling(decision: Decision, over: Decision) -> Decision:
    """What is allowed, if the ceiling allows it too; within the page of either."""
    if not over.allowed:
        return Decision(
            allowed=False,
            rule=over.rule,
            reason=over.reason if over.reason in _DENIALS else OVER_CEILING,
            alert=over.alert,
        )
    limits = [limit for limit in (decision.page_limit, over.page_limit) if limit]
    return structs.replace(
        decision, alert=decision.alert or over.alert, page_limit=min(limits, default=UNSET)
    )
