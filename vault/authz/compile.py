"""From policies to one immutable structure that answers in microseconds.

A rule is filed by pattern (`vault.authz.pattern_index`), for each capability; capabilities with
the same rules share what is filed. All rules of a set stand in one order (denials first, then by
priority, name and place), so the decision is the first of those that apply.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from vault.authz import conditions
from vault.authz.access import ALLOWED, DENY_RULE, AccessRequest, Decision
from vault.authz.acl import AclRules
from vault.authz.api_paths import api_folders
from vault.authz.conditions import Check, Condition, UndecidableError
from vault.authz.folder_reach import FolderReach
from vault.authz.pattern import Pattern, parse_pattern
from vault.authz.pattern_index import PatternIndex, build_pattern_index
from vault.authz.policy import ANY_CAPABILITY, Effect, Policy
from vault.model.identity import ROOT_POLICY, Permission
from vault.model.mounts import NO_MOUNTS, MountTable
from vault.model.operation import Capability

CEILING: Final = "ceiling"  # the name of the bound among a rule's conditions, for a dry run


class CompiledCeiling(Struct, frozen=True, kw_only=True):
    """What holds the allow rules of a control plane's bundle down (`vault.authz.ceiling`)."""

    check: Check
    reaches: Callable[[str], bool]
    needs_facts: bool


class CompiledRule(Struct, frozen=True, kw_only=True):
    """A rule of an enabled policy, its conditions (the policy's and its own) turned into checks."""

    label: str
    deny: bool
    alert: bool
    capabilities: frozenset[Capability]
    patterns: tuple[Pattern, ...]
    checks: tuple[tuple[Check, str], ...]  # with the condition's name, for a dry run
    order: int
    decision: Decision
    ceiling: CompiledCeiling | None = (
        None  # of an allow rule that a bundle brought; it is among the checks
    )

    def conditions_hold(self, access: AccessRequest) -> bool:
        """Say whether all conditions do; one that cannot be decided counts as what refuses."""
        for check, _ in self.checks:
            try:
                if not check(access):
                    return False
            except UndecidableError:
                if not self.deny:
                    return False
        return True


class MixedFolders(Struct, frozen=True):
    """The folders in which patterns tell one thing from another; elsewhere they cover all or none.

    Of the things that lie in the folder itself, not of those in folders below it.
    """

    folders: frozenset[str]  # each with its closing slash, the topmost is empty
    anywhere: bool  # some pattern has wildcards within

    def __contains__(self, folder: str) -> bool:
        return self.anywhere or folder in self.folders


class RuleTable(Struct, frozen=True):
    """The rules of one capability, filed by pattern."""

    index: PatternIndex[CompiledRule]
    conditional: bool  # some rule asks for more than the path
    mixed_folders: MixedFolders


class RuleSet(Struct, frozen=True, kw_only=True):
    """What a set of policies amounts to."""

    root: bool = False
    needs_facts: bool = False
    rules: tuple[CompiledRule, ...] = ()
    tables: dict[Capability, RuleTable] = {}
    reach: tuple[
        tuple[CompiledCeiling | None, FolderReach], ...
    ] = ()  # of the allow rules, by what bounds them
    acl: AclRules | None = None  # of policies in Vault's language
    mounts: MountTable = NO_MOUNTS


class Grant(Struct, frozen=True):
    """One permission of an API key, compiled."""

    capabilities: frozenset[Capability]
    patterns: tuple[Pattern, ...]
    index: PatternIndex[Pattern]
    mixed_folders: MixedFolders
    reach: FolderReach


def is_mixed_folder(table: RuleTable, grants: tuple[Grant, ...], folder: str) -> bool:
    """Whether a pattern covers some of what lies in the folder itself, and not the rest."""
    return folder in table.mixed_folders or any(folder in grant.mixed_folders for grant in grants)


def can_reach(rules: RuleSet, grants: tuple[Grant, ...], folder: str) -> bool:
    """Say whether an allow rule meets `folder` (closing slash and all), and one of any grants."""
    allowed = (
        rules.root
        or any(
            reach.meets_folder(folder) and (bound is None or bound.reaches(folder))
            for bound, reach in rules.reach
        )
        or (
            rules.acl is not None and any(map(rules.acl.reaches, api_folders(folder, rules.mounts)))
        )
    )
    return allowed and (not grants or any(grant.reach.meets_folder(folder) for grant in grants))


class PolicyRule(Struct, frozen=True):
    """One rule of one policy; `bound` is set for those of a bundle."""

    policy: Policy
    index: int
    ceiling: CompiledCeiling | None

    @property
    def deny(self) -> bool:
        """Whether the rule denies."""
        return self.policy.rules[self.index].effect is Effect.DENY


def compile_policies(
    policies: Sequence[Policy],
    *,
    root: bool = False,
    bundle: Sequence[Policy] = (),
    ceiling: CompiledCeiling | None = None,
    denied_by: Collection[str] = (),
    template_values: Mapping[str, str] = {},  # never changed
    mounts: MountTable = NO_MOUNTS,
) -> RuleSet:
    """Compile validated policies; disabled ones count for nothing. `root`: everything is allowed.

    `root` is the caller's word, since no document can be named so. `bundle`: policies of a bundle,
    whose allow rules count only within `ceiling`; without a ceiling they do not count. Policies
    named in `denied_by` count with their denials only. `template_values` are what identity
    templates stand for, `mounts` what the paths of the Vault-compatible API are made by.
    """
    local = [(policy, None) for policy in policies]
    enabled = sorted(
        (
            part
            for part in [*local, *((policy, ceiling or DENY_ALL) for policy in bundle)]
            if part[0].enabled and part[0].name != ROOT_POLICY
        ),
        key=lambda part: (-part[0].priority, part[0].name),  # stable: the local one of a name first
    )
    all_parts = [
        PolicyRule(policy, i, held) for policy, held in enabled for i in range(len(policy.rules))
    ]
    parts = [part for part in all_parts if part.deny or part.policy.name not in denied_by]
    parts.sort(key=lambda part: not part.deny)  # stable
    rules = tuple(_rule(part, order) for order, part in enumerate(parts))
    return RuleSet(
        root=root,
        needs_facts=any(
            conditions.condition_needs_facts(c)
            for part in parts
            for c in _conditions(part.policy, part.index)
        )
        or any(rule.ceiling is not None and rule.ceiling.needs_facts for rule in rules),
        rules=rules,
        tables=_tables(rules),
        reach=_reach(rules),
        acl=_acl_rules(policies, template_values, denied_by),
        mounts=mounts,
    )


def _acl_rules(
    policies: Iterable[Policy], values: Mapping[str, str], denied_by: Collection[str]
) -> AclRules | None:
    found = [policy.acl_policy for policy in policies if policy.enabled]
    written = [policy for policy in found if policy is not None]
    return AclRules(written, values, denied_by) if written else None


def compile_permissions(permissions: Iterable[Permission]) -> tuple[Grant, ...]:
    """Compile the permissions that an API key is cut down to."""
    return tuple(_grant(permission) for permission in permissions)


def _grant(permission: Permission) -> Grant:
    patterns = tuple(parse_pattern(text, "paths") for text in permission.paths)
    filed = build_pattern_index((pattern, pattern) for pattern in patterns)
    particular, reach = _mixed_folders(patterns), FolderReach(patterns)
    return Grant(_capabilities(permission.capabilities), patterns, filed, particular, reach)


ALL_CAPABILITIES: Final = frozenset(Capability)
DENY_ALL: Final = CompiledCeiling(check=lambda _: False, reaches=lambda _: False, needs_facts=False)


def _capabilities(names: tuple[str, ...]) -> frozenset[Capability]:
    return ALL_CAPABILITIES if ANY_CAPABILITY in names else frozenset(map(Capability, names))


def _conditions(policy: Policy, index: int) -> tuple[Condition, ...]:
    return policy.conditions + policy.rules[index].conditions


def _rule(part: PolicyRule, order: int) -> CompiledRule:
    policy, index, deny = part.policy, part.index, part.deny
    rule, bound = policy.rules[index], None if deny else part.ceiling
    label = f"{'' if part.ceiling is None else 'fleet:'}{policy.name}/rules[{index}]"
    alert = bool(policy.actions)
    checks = [
        (conditions.compile_check(c), conditions.condition_kind(c))
        for c in _conditions(policy, index)
    ]
    if bound is not None:
        checks.append((bound.check, CEILING))
    return CompiledRule(
        label=label,
        deny=deny,
        alert=alert,
        capabilities=_capabilities(rule.capabilities),
        patterns=tuple(dict.fromkeys(parse_pattern(text, "paths") for text in rule.paths)),
        checks=tuple(checks),
        order=order,
        decision=Decision(not deny, label, DENY_RULE if deny else ALLOWED, (), alert),
        ceiling=bound,
    )


def _mixed_folders(patterns: Iterable[Pattern]) -> MixedFolders:
    folders, anywhere = set(), False
    for pattern in patterns:
        if pattern.parts:
            anywhere = True
        elif not (pattern.open_ended and pattern.text.endswith("/")):  # that is a folder, whole
            folders.add(pattern.text[: pattern.text.rfind("/") + 1])
    return MixedFolders(frozenset(folders), anywhere)


def _reach(
    rules: tuple[CompiledRule, ...],
) -> tuple[tuple[CompiledCeiling | None, FolderReach], ...]:
    bounds = {id(rule.ceiling): rule.ceiling for rule in rules if not rule.deny}
    return tuple(
        (
            bound,
            FolderReach(
                pattern
                for rule in rules
                if not rule.deny and rule.ceiling is bound
                for pattern in rule.patterns
            ),
        )
        for bound in bounds.values()
    )


def _tables(rules: tuple[CompiledRule, ...]) -> dict[Capability, RuleTable]:
    made: dict[tuple[int, ...], RuleTable] = {}
    tables = {}
    for capability in Capability:
        those = [rule for rule in rules if capability in rule.capabilities]
        key = tuple(rule.order for rule in those)
        if key not in made:
            made[key] = _table(those)
        tables[capability] = made[key]
    return tables


def _table(rules: list[CompiledRule]) -> RuleTable:
    return RuleTable(
        index=build_pattern_index((pattern, rule) for rule in rules for pattern in rule.patterns),
        conditional=any(rule.checks for rule in rules),
        mixed_folders=_mixed_folders(pattern for rule in rules for pattern in rule.patterns),
    )
