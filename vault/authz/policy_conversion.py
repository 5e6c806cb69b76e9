"""Policies from one language into the other, with what does not map told in words.

The two differ in more than words: in Vault's language the most specific path alone decides, and
paths are those of the HTTP API; natively all rules count, a denial wins, and a secret has one path.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from vault.authz.acl import literal_start
from vault.authz.api_paths import native_access
from vault.authz.conditions import condition_kind
from vault.authz.pattern import GLOB, SEGMENT
from vault.authz.policy import ANY_CAPABILITY, Effect, Policy, Rule, is_denial
from vault.model.acl.access import AclCapability
from vault.model.acl.policy import AclPath, AclPolicy
from vault.model.mounts import MountTable
from vault.model.operation import Capability
from vault.model.path import RESERVED
from vault.model.records import MountRow

_C, _A = Capability, AclCapability

_TREES: Final[Mapping[Capability, tuple[tuple[str, frozenset[AclCapability]], ...]]] = {
    _C.CREATE: (("data/", frozenset({_A.CREATE})),),
    _C.READ: (("data/", frozenset({_A.READ})), ("subkeys/", frozenset({_A.READ}))),
    _C.READ_METADATA: (("metadata/", frozenset({_A.READ})),),
    _C.UPDATE: (
        ("data/", frozenset({_A.UPDATE, _A.PATCH})),
        ("metadata/", frozenset({_A.CREATE, _A.UPDATE, _A.PATCH})),
    ),
    _C.DELETE: (
        ("data/", frozenset({_A.DELETE})),
        ("delete/", frozenset({_A.UPDATE})),
        ("undelete/", frozenset({_A.UPDATE})),
    ),
    _C.DESTROY: (("destroy/", frozenset({_A.UPDATE})), ("metadata/", frozenset({_A.DELETE}))),
    _C.LIST: (("metadata/", frozenset({_A.LIST})),),
    _C.SUDO: (),
}
"""Where a version 2 mount has what a native capability allows."""

_FLAT: Final[Mapping[Capability, frozenset[AclCapability]]] = {
    _C.CREATE: frozenset({_A.CREATE}),
    _C.READ: frozenset({_A.READ}),
    _C.READ_METADATA: frozenset({_A.READ}),
    _C.UPDATE: frozenset({_A.UPDATE, _A.PATCH}),
    _C.DELETE: frozenset({_A.DELETE}),
    _C.DESTROY: frozenset({_A.DELETE}),
    _C.LIST: frozenset({_A.LIST}),
    _C.SUDO: frozenset({_A.SUDO}),
}
_NEEDED: Final[Mapping[Capability, frozenset[AclCapability]]] = {
    _C.CREATE: frozenset({_A.CREATE}),
    _C.READ: frozenset({_A.READ}),
    _C.READ_METADATA: frozenset({_A.READ}),
    _C.UPDATE: frozenset({_A.UPDATE}),
    _C.DELETE: frozenset({_A.DELETE, _A.UPDATE}),
    _C.DESTROY: frozenset({_A.DELETE, _A.UPDATE}),
    _C.LIST: frozenset({_A.LIST}),
}
"""The verbs on all of its trees that a native capability takes at least."""
_EVERYTHING: Final = frozenset(_A) - {_A.DENY}
_TREE_NAMES: Final = ("data", "metadata", "delete", "undelete", "destroy", "subkeys")
_POLICY_FOLDERS: Final = ("sys/policies/acl/", "sys/policy/")
_NATIVE_POLICIES: Final = "sys/policies/"
_ACL_POLICIES: Final = "sys/policies/acl/"


class Converted(Struct, frozen=True, kw_only=True):
    """A policy in the other language. `notes`: what is not as it was, a sentence each.

    `acl` or `rules`: whichever it was not. `exact`: it allows and denies what it did, all of it.
    """

    acl: str = ""
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the policy says the same in both languages."""
        return not self.notes


def to_acl(policy: Policy, mounts: MountTable) -> Converted:
    """A native policy in Vault's language."""
    paths, notes = acl_paths(policy, mounts)
    if policy.actions:
        notes.append("actions are left out: Vault's language has no alerts")
    if not policy.enabled:
        notes.append("it is not enabled: all of it is left out")
        paths = {}
    text = "\n".join(
        f'path "{path}" {{\n  capabilities = [{_quoted(capabilities)}]\n}}\n'
        for path, capabilities in paths.items()
    )
    return Converted(acl=text, notes=tuple(dict.fromkeys(notes)))


def acl_paths(
    policy: Policy, mounts: MountTable
) -> tuple[dict[str, frozenset[AclCapability]], list[str]]:
    """The paths of the HTTP API that a native policy speaks of, and what does not map."""
    found: dict[str, frozenset[AclCapability]] = {}
    notes: list[str] = []
    for number, rule in enumerate(policy.rules):
        label = f"rules[{number}]"
        if rule.conditions or policy.conditions:
            kinds = ", ".join(sorted(set(map(condition_kind, rule.conditions))))
            told = f"conditions ({kinds})" if kinds else "the conditions of the policy"
            if not is_denial(rule):
                notes.append(f"{label} is left out: {told} have no counterpart")
                continue
            notes.append(f"{label} denies always: {told} have no counterpart")
        wanted = _capabilities(rule)
        for pattern in rule.paths:
            for path, verbs in _api_paths(pattern, wanted, mounts, label, notes):
                if not is_denial(rule) and (more := _coarse(path, wanted, mounts)):
                    notes.append(f'{label} allows {more} too at "{path}", where they are one')
                if is_denial(rule):
                    if wanted != frozenset(_C):
                        notes.append(f'{label} denies all at "{path}": there a denial is whole')
                    verbs = frozenset({_A.DENY})  # noqa: PLW2901
                if verbs:
                    found[path] = _joined(found.get(path, frozenset()), verbs)
    return _settle(found, notes), notes


def to_native(policy: AclPolicy, mounts: MountTable) -> Converted:
    """A policy in Vault's language as native rules."""
    rules: dict[tuple[Effect, tuple[str, ...]], list[str]] = {}
    notes: list[str] = []
    for said in policy.paths:
        notes += _limits(said)
        if said.templated or (_limit_names(said) and _A.DENY not in said.capabilities):
            continue
        for path, capabilities in _native_paths(said, mounts, notes):
            effect = Effect.DENY if _A.DENY in said.capabilities else Effect.ALLOW
            named = (ANY_CAPABILITY,) if effect is Effect.DENY else tuple(sorted(capabilities))
            if named:
                places = rules.setdefault((effect, named), [])
                if path not in places:
                    places.append(path)
    notes += _overlaps(policy)
    made = tuple(
        Rule(effect=effect, paths=tuple(paths), capabilities=capabilities)
        for (effect, capabilities), paths in rules.items()
    )
    return Converted(rules=made, notes=tuple(dict.fromkeys(notes)))


def _capabilities(rule: Rule) -> frozenset[Capability]:
    if rule.capabilities == (ANY_CAPABILITY,):
        return frozenset(_C)
    return frozenset(map(_C, rule.capabilities))


def _api_paths(
    pattern: str,
    wanted: frozenset[Capability],
    mounts: MountTable,
    label: str,
    notes: list[str],
) -> Iterable[tuple[str, frozenset[AclCapability]]]:
    """The paths of the API for a native pattern, with what is wanted there."""
    start = literal_start(pattern)
    mount = mounts.find_for_path(start if start.endswith("/") else f"{start}/")
    if mount is not None and start.startswith(mount.path):
        yield from _in_mount(mount, pattern[len(mount.path) :], wanted)
        return
    flat = frozenset[AclCapability]().union(*(_FLAT[one] for one in wanted))
    if pattern == GLOB and wanted == frozenset(_C):
        yield GLOB, _EVERYTHING
        return
    if pattern.startswith(_NATIVE_POLICIES):
        yield f"{_ACL_POLICIES}{pattern[len(_NATIVE_POLICIES) :]}", flat
        return
    inside = [row for row in mounts.list_mounts() if row.path.startswith(start)]
    if not inside:
        yield pattern, flat
    elif SEGMENT in pattern:
        notes.append(f'{label}: "{pattern}" is left out: it speaks of several mounts')
    else:
        if any(name.startswith(start) for name in RESERVED):
            notes.append(f'{label}: "{pattern}" leaves out the paths of the agent itself')
        for row in inside:
            yield from _in_mount(row, GLOB, wanted)


def _coarse(path: str, wanted: frozenset[Capability], mounts: MountTable) -> str:
    """The capabilities that are not wanted, and come with those that are, outside of KV 2."""
    start = literal_start(path)
    mount = mounts.find_for_path(start if start.endswith("/") else f"{start}/")
    if mount is not None and mount.type == "kv" and mount.version != 1:
        return ""
    found = set[Capability]()
    if wanted & {_C.READ, _C.READ_METADATA}:
        found |= {_C.READ, _C.READ_METADATA}
    if wanted & {_C.DELETE, _C.DESTROY}:
        found |= {_C.DELETE, _C.DESTROY}
    return ", ".join(sorted(found - wanted))


def _in_mount(
    mount: MountRow, below: str, wanted: frozenset[Capability]
) -> Iterable[tuple[str, frozenset[AclCapability]]]:
    if mount.type != "kv" or mount.version == 1:
        verbs = frozenset[AclCapability]().union(*(_FLAT[one] for one in wanted))
        yield f"{mount.path}{below}", verbs
        return
    trees: dict[str, frozenset[AclCapability]] = {}
    for one in sorted(wanted):
        for tree, verbs in _TREES[one]:
            trees[tree] = trees.get(tree, frozenset()) | verbs
    for tree, verbs in trees.items():
        yield f"{mount.path}{tree}{below}", verbs


def _native_paths(
    said: AclPath, mounts: MountTable, notes: list[str]
) -> Iterable[tuple[str, set[str]]]:
    """The native patterns of a path of the API, with the capabilities there."""
    path = said.path.removesuffix("/")
    start = literal_start(path)
    mount = mounts.find_for_path(start if start.endswith("/") else f"{start}/")
    verbs = said.capabilities - {_A.DENY}
    if mount is None or mount.type != "kv" or mount.version == 1:
        for folder in _POLICY_FOLDERS:
            if path.startswith(folder):
                path = f"{_NATIVE_POLICIES}{path[len(folder) :]}"
                break
        else:
            if mount is None and path != GLOB and not path.startswith(("sys/", "auth/")):
                notes.append(f'"{said.path}" lies in no mount: it is taken as it is')
        yield path, {native_access(verb, "", mounts)[0] for verb in verbs}
        return
    tree, _, below = path[len(mount.path) :].partition("/")
    if tree in {GLOB, SEGMENT}:
        if verbs:
            notes.append(
                f'"{said.path}" speaks of all trees of {mount.path}, which are one natively'
            )
        yield f"{mount.path}{below or GLOB}", {one.value for one in _of_all_trees(verbs)}
        return
    if tree not in _TREE_NAMES:
        notes.append(f'"{said.path}" is left out: {mount.path} has no {tree or "root"}')
        return
    if _A.DENY in said.capabilities and tree != "data":
        notes.append(f'"{said.path}" denies all on these secrets: natively there is one path')
    probe = f"{mount.path}{tree}/x"
    yield (
        f"{mount.path}{below}" if below else f"{mount.path}{GLOB}",
        {native_access(verb, probe, mounts)[0].value for verb in verbs},
    )


def _of_all_trees(verbs: frozenset[AclCapability]) -> set[Capability]:
    """What verbs on every tree of a version 2 mount come to."""
    return {one for one, needed in _NEEDED.items() if needed <= verbs}


def _limit_names(said: AclPath) -> list[str]:
    """The names of the settings of a path that rules do not have."""
    values = {
        "allowed_parameters": said.allowed_parameters,
        "denied_parameters": said.denied_parameters,
        "required_parameters": said.required_parameters,
        "min_wrapping_ttl": said.min_wrapping_ttl,
        "max_wrapping_ttl": said.max_wrapping_ttl,
        "pagination_limit": said.pagination_limit,
        "expiration": said.expires_at,
        "a list filter": said.list_filter,
        "control_group": said.controlled,
        "mfa_methods": said.needs_mfa,
    }
    return [name for name, value in values.items() if value]


def _limits(said: AclPath) -> list[str]:
    """Notes on one path. A rule that would allow more is left out."""
    notes = []
    if found := _limit_names(said):
        told = "denies always" if _A.DENY in said.capabilities else "is left out"
        notes.append(f'"{said.path}" {told}: rules have no {", ".join(found)}')
    if said.templated:
        notes.append(f'"{said.path}" is left out: rules have no identity templates')
    return notes


def _overlaps(policy: AclPolicy) -> list[str]:
    """Notes on paths that lie below another one: in Vault's language the most specific decides."""
    notes = []
    for wide in policy.paths:
        if not wide.path.endswith(GLOB):
            continue
        prefix = wide.path.removesuffix(GLOB)
        for one in policy.paths:
            if one is wide or not one.path.startswith(prefix) or one.path == wide.path:
                continue
            if _A.DENY in wide.capabilities:
                notes.append(
                    f'"{one.path}" is denied natively, since a denial wins: "{wide.path}" denies it'
                )
            elif _A.DENY not in one.capabilities and wide.capabilities - one.capabilities:
                more = ", ".join(sorted(wide.capabilities - one.capabilities))
                notes.append(
                    f'"{one.path}" is allowed more natively ({more}), by "{wide.path}": there the '
                    "most specific path alone decides"
                )
    return notes


def _settle(
    paths: Mapping[str, frozenset[AclCapability]], notes: list[str]
) -> dict[str, frozenset[AclCapability]]:
    """The paths as they must be where the most specific one alone decides.

    What a wider path allows is allowed by a narrower one, too, and what it denies is left to it.
    """
    settled: dict[str, frozenset[AclCapability]] = {}
    for path, verbs in paths.items():
        wider = [
            others
            for other, others in paths.items()
            if other != path and other.endswith(GLOB) and path.startswith(other.removesuffix(GLOB))
        ]
        joined = verbs
        for others in wider:
            joined = _joined(joined, others)
        if _A.DENY in joined and _A.DENY not in verbs:
            continue
        settled[path] = joined
    for path, said in settled.items():
        if SEGMENT not in path.split("/"):
            continue
        notes += [
            f'"{path}" and "{other}" may speak of the same: there the more specific one alone '
            "decides, and would lift a denial"
            for other, verbs in settled.items()
            if other != path and verbs != said and _meet(literal_start(path), literal_start(other))
        ]
    return settled


def _meet(one: str, two: str) -> bool:
    return one.startswith(two) or two.startswith(one)


def _joined(
    one: frozenset[AclCapability], two: frozenset[AclCapability]
) -> frozenset[AclCapability]:
    both = one | two
    return frozenset({_A.DENY}) if _A.DENY in both else both


def _quoted(capabilities: frozenset[AclCapability]) -> str:
    return ", ".join(f'"{one}"' for one in sorted(capabilities))
