"""Decides by policies in Vault's language, as Vault and OpenBao do.

Of all paths of all policies that cover a request the most specific one alone decides: a path as it
is, then the one whose first wildcard comes latest. What several policies say of the very same path
is merged: capabilities add up, `deny` beats them, the shorter time and the smaller page count.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, takewhile
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from vault.authz.folder_reach import FolderReach
from vault.authz.pattern import GLOB, SEGMENT, Pattern
from vault.authz.pattern_index import PatternIndex, build_pattern_index
from vault.model.acl.access import AclCapability, ApiAccess
from vault.model.acl.hcl import Scalar
from vault.model.acl.identity_template import parse_template
from vault.model.acl.list_filter import ListFilter
from vault.model.acl.policy import AclPath, AclPolicy, Parameters

_C = AclCapability
_WITH_PARAMETERS: Final = frozenset({_C.READ, _C.CREATE, _C.UPDATE, _C.PATCH})
_LISTS: Final = frozenset({_C.LIST, _C.SCAN})
_LIMITS: Final = "has limits on parameters, pages or wrapping that do not hold"
_DENIES: Final = frozenset({_C.DENY})
ALL: Final = "*"  # as the name of a parameter: each
LIMIT: Final = "limit"  # the parameter that `pagination_limit` bounds


class AclDecision(NamedTuple):
    """What the policies say; `rule` is the deciding path with its policies, empty: none covers it.

    `page_limit` and `list_filter` are what a list that is allowed is held to. `controlled`: it is
    denied for want of the approval of a control group.
    """

    allowed: bool
    denied: bool
    rule: str = ""
    page_limit: int = 0
    list_filter: ListFilter | None = None
    controlled: bool = False


NO_PATH: Final = AclDecision(allowed=False, denied=False)


class _Rule(Struct, frozen=True, gc=False):
    """What all policies say of one path."""

    said: AclPath
    policies: tuple[str, ...]

    @property
    def label(self) -> str:
        """For a decision: which path, of which policies."""
        return f"{', '.join(self.policies)}: {self.said.path}"


class _Stanzas(Struct, gc=False):
    """All stanzas of one path, and how specific the path is."""

    rank: tuple[int, int, int, int, str]
    parts: tuple[tuple[AclPath, str], ...]
    expiries: tuple[int, ...]
    merged: tuple[int, _Rule | None]  # by how many had expired

    @classmethod
    def of(cls, pattern: Pattern, parts: Sequence[tuple[AclPath, str]]) -> "_Stanzas":
        """Those of a path with this pattern."""
        expiries = sorted(path.expires_at for path, _ in parts if path.expires_at)
        return cls(_rank(pattern), tuple(parts), tuple(expiries), (-1, _merge(parts)))

    def at(self, now: int) -> _Rule | None:
        """What those say together that have not expired; None where all have."""
        if not self.expiries:
            return self.merged[1]
        expired = bisect_right(self.expiries, now)
        if self.merged[0] != expired:
            live = [part for part in self.parts if not 0 < part[0].expires_at <= now]
            self.merged = expired, _merge(live) if live else None
        return self.merged[1]


class AclRules:
    """The paths of some policies for one identity, filed by how they are written."""

    def __init__(
        self,
        policies: Sequence[AclPolicy],
        values: Mapping[str, str],
        denied_by: Collection[str] = (),
    ) -> None:
        """`values`: of identity templates. Policies in `denied_by` count for what they deny."""
        paths = tuple(_filled_paths(policies, values, denied_by))
        self.size = len(paths)
        """How many paths there are."""
        self.has_list_filters = any(path.list_filter for path, _ in paths)
        """Whether a list may show some of what is in a folder, and not the rest."""
        self._exact, self._wild = _file(paths)
        self._reach = FolderReach(
            _pattern(path.path) for path, _ in paths if path.capabilities - {_C.DENY}
        )

    def decide(self, access: ApiAccess, now: int, *, has_mfa: bool = False) -> AclDecision:
        """Decide on a request at `now` (Unix ns)."""
        rule = self._find(access, now)
        if rule is None:
            return NO_PATH
        said = rule.said
        if _C.DENY in said.capabilities:
            return AclDecision(allowed=False, denied=True, rule=rule.label)
        if _is_controlled(said, access):
            return AclDecision(allowed=False, denied=True, rule=rule.label, controlled=True)
        allowed = (
            access.operation in said.capabilities
            and (has_mfa or not said.needs_mfa)
            and _limits_hold(said, access)
        )
        return AclDecision(
            allowed=allowed and (not access.needs_sudo or _C.SUDO in said.capabilities),
            denied=False,
            rule=rule.label,
            page_limit=said.pagination_limit if access.operation in _LISTS else 0,
            list_filter=said.list_filter if access.operation in _LISTS else None,
        )

    def limits_hold(self, access: ApiAccess, now: int, *, knows_fields: bool = True) -> bool:
        """Whether the limits of the path that decides hold, whatever it allows.

        Without `knows_fields` those on wrapping alone are asked.
        """
        rule = self._find(access, now)
        if rule is None:
            return True
        holds = _limits_hold if knows_fields else _wrapping_holds
        return holds(rule.said, access)

    def capabilities(self, path: str, now: int) -> frozenset[AclCapability]:
        """What `sys/capabilities` tells of a path; empty: nothing."""
        rule = self._find(ApiAccess(path=path, operation=_C.LIST), now)
        return frozenset() if rule is None else rule.said.capabilities

    def listing(self, now: int) -> tuple[dict[str, AclPath], dict[str, AclPath]]:
        """Permissions by exact path and by prefix; paths with `+` are not among them."""
        exact = {path: rule for path, each in self._exact.items() if (rule := each.at(now))}
        begun = {
            start: rule
            for start, found in self._wild.prefixes.items()
            for each in found
            if (rule := each.at(now)) is not None
        }
        return (
            {path: rule.said for path, rule in exact.items()},
            {start: rule.said for start, rule in begun.items()},
        )

    def explain(self, access: ApiAccess, now: int, *, has_mfa: bool = False) -> str:
        """What a request lacks that is not allowed, one sentence."""
        asked = f'{access.operation} on "{access.path}"'
        rule = self._find(access, now)
        if rule is None:
            return f"no path of a policy in Vault's language covers {asked}"
        said = rule.said
        if _is_controlled(said, access):
            return f"{rule.label} asks for the approval of a control group, which cannot be given"
        wanted = {access.operation} | ({_C.SUDO} if access.needs_sudo else set())
        if missing := sorted(wanted - said.capabilities):
            has = ", ".join(sorted(said.capabilities)) or "nothing"
            text = f"{rule.label} decides about {asked}, with {has}, not {', '.join(missing)}"
            return text if _limits_hold(said, access) else f"{text}, and {_LIMITS}"
        if said.needs_mfa and not has_mfa:
            return f"{rule.label} asks for a second factor (mfa_methods)"
        return f"{rule.label} {_LIMITS}"

    def reaches(self, folder: str) -> bool:
        """Whether something that is allowed, perhaps no longer, may lie below `folder`."""
        return self._reach.meets_folder(folder)

    def _find(self, access: ApiAccess, now: int) -> _Rule | None:
        """The rule that decides. Of a folder that is listed a path may lack the slash."""
        path, lists = access.path.lstrip("/"), access.operation in _LISTS
        forms = (path, path.removesuffix("/")) if lists and path.endswith("/") else (path,)
        exact = (found.at(now) for form in forms if (found := self._exact.get(form)) is not None)
        wild = (self._most_specific(form, now) for form in forms)
        return next((rule for rule in chain(exact, wild) if rule is not None), None)

    def _most_specific(self, path: str, now: int) -> _Rule | None:
        found = sorted(self._wild.matching(path), key=lambda each: each.rank, reverse=True)
        return next((rule for each in found if (rule := each.at(now)) is not None), None)


def _file(
    paths: Iterable[tuple[AclPath, str]],
) -> tuple[dict[str, _Stanzas], PatternIndex[_Stanzas]]:
    """The stanzas of paths that cover one thing, by what it is called, and all others."""
    by_path: defaultdict[str, list[tuple[AclPath, str]]] = defaultdict(list)
    for path, policy in paths:
        by_path[path.path].append((path, policy))
    exact: dict[str, _Stanzas] = {}
    wild: list[tuple[Pattern, _Stanzas]] = []
    for text, parts in by_path.items():
        pattern = _pattern(text)
        filed = _Stanzas.of(pattern, parts)
        if pattern.open_ended or pattern.parts:
            wild.append((pattern, filed))
        else:
            exact[pattern.text] = filed
    return exact, build_pattern_index(wild, empty_segments=True)


class AclDenials:
    """Paths that are denied, asked which of them a more specific path would lift.

    It goes by what stands before the first wildcard or template, so it errs towards a yes.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._all = frozenset(paths)
        self._by_start: defaultdict[str, list[str]] = defaultdict(list)
        for path in self._all:
            start = literal_start(path)
            if path.endswith(GLOB) or start != path:  # an exact one is the most specific
                self._by_start[start].append(path)
        self._starts = sorted(self._by_start)

    def lifted_by(self, path: str) -> str:
        """A denial that `path`, which does not deny, would lift; empty: none."""
        if path.endswith("/") and path[:-1] in self._all:
            return path[:-1]  # it denies listing the folder, which the slash would lift
        start = literal_start(path)
        found = [self._by_start.get(start[:end], ()) for end in range(len(start) + 1)]
        if "{{" in path:  # what it is filled with may lead below any of these
            first = bisect_left(self._starts, start)
            found += [
                self._by_start[one]
                for one in takewhile(lambda one: one.startswith(start), self._starts[first:])
            ]
        return next((one for each in found for one in each if one != path), "")


def literal_start(path: str) -> str:
    """What stands before the first wildcard or template."""
    ends = (path.find("{{"), path.find(f"/{SEGMENT}") + 1, path.find(GLOB, len(path) - 1))
    first = min((end for end in ends if end > 0), default=len(path))
    return "" if path.startswith((SEGMENT, "{{")) or path == GLOB else path[:first]


def _filled_paths(
    policies: Iterable[AclPolicy], values: Mapping[str, str], denied_by: Collection[str]
) -> Iterable[tuple[AclPath, str]]:
    for policy in policies:
        only_denials = policy.name in denied_by
        for path in policy.paths:
            if only_denials and not path.denies:
                continue
            if only_denials and path.controlled:
                path = replace(path, capabilities=path.capabilities & _DENIES)  # noqa: PLW2901
            if not path.templated:
                yield path, policy.name
                continue
            template = parse_template(path.path)
            denies = path.denies
            filled = template.fill_denial(values) if denies else template.fill(values)
            if filled is not None:
                yield replace(path, path=filled), policy.name


def _pattern(path: str) -> Pattern:
    """A path with `+` segments or a closing `*`; any other is taken as it is."""
    has_segments = path == SEGMENT or f"/{SEGMENT}" in path or path.startswith(f"{SEGMENT}/")
    open_ended = path.endswith(GLOB)
    body = path.removesuffix(GLOB)
    if not has_segments:
        return Pattern(text=body, open_ended=open_ended, head=body)
    parts = tuple(body.split("/"))
    return Pattern(body, open_ended, body[: body.index(SEGMENT)], parts)


def _rank(pattern: Pattern) -> tuple[int, int, int, int, str]:
    """Greater is more specific: the later first wildcard, then no open end, then fewer `+`."""
    first = len(pattern.head) if pattern.parts else len(pattern.text)
    wild = pattern.parts.count(SEGMENT)
    return first, not pattern.open_ended, -wild, len(pattern.text), pattern.text


def _merge(parts: Sequence[tuple[AclPath, str]]) -> _Rule:
    """What stanzas of one path say together."""
    said = [path for path, _ in parts]
    policies = tuple(dict.fromkeys(policy for _, policy in parts))
    denial = next((path for path in said if _C.DENY in path.capabilities), None)
    if denial is not None or len(said) == 1:
        return _Rule(denial or said[0], policies)
    merged = AclPath(
        path=said[0].path,
        capabilities=frozenset().union(*(path.capabilities for path in said)),
        allowed_parameters=_merge_parameters(path.allowed_parameters for path in said),
        denied_parameters=_merge_parameters(path.denied_parameters for path in said),
        required_parameters=tuple(
            dict.fromkeys(name for path in said for name in path.required_parameters)
        ),
        min_wrapping_ttl=_least(path.min_wrapping_ttl for path in said),
        max_wrapping_ttl=_least(path.max_wrapping_ttl for path in said),
        needs_mfa=any(path.needs_mfa for path in said),
        pagination_limit=_least(path.pagination_limit for path in said),
        list_filter=next((path.list_filter for path in said if path.list_filter), None),
        controlled=frozenset().union(*(path.controlled for path in said)),
    )
    return _Rule(merged, policies)


def _least(limits: Iterable[int]) -> int:
    """The least of the limits, where 0 is none."""
    return min((limit for limit in limits if limit), default=0)


def _merge_parameters(all_parameters: Iterable[Parameters]) -> Parameters:
    """The values of all; a name without values stands for any value, and stays so."""
    found: defaultdict[str, list[Scalar]] = defaultdict(list)
    any_value = set[str]()
    for parameters in all_parameters:
        for name, values in parameters.items():
            found[name] += values
            if not values:
                any_value.add(name)
    return {name: () if name in any_value else tuple(values) for name, values in found.items()}


def _is_controlled(said: AclPath, access: ApiAccess) -> bool:
    """Whether others would have to approve. `sudo` applies to each request that needs it."""
    return access.operation in said.controlled or (access.needs_sudo and _C.SUDO in said.controlled)


def _wrapping_holds(said: AclPath, access: ApiAccess) -> bool:
    wrapping = access.wrapping_ttl
    if said.max_wrapping_ttl and not 0 < wrapping <= said.max_wrapping_ttl:
        return False
    return wrapping >= said.min_wrapping_ttl


def _limits_hold(said: AclPath, access: ApiAccess) -> bool:
    if not _wrapping_holds(said, access):
        return False
    if access.operation in _LISTS:
        return not said.pagination_limit or _page_holds(said, access)
    return access.operation not in _WITH_PARAMETERS or _parameters_hold(said, access)


def _page_holds(said: AclPath, access: ApiAccess) -> bool:
    """Who names no page size gets the largest that is allowed, unless it must be named."""
    parameters = access.parameters() if access.parameters else {}
    if LIMIT not in parameters:
        return LIMIT not in said.required_parameters
    limit = str(parameters[LIMIT])
    return limit == "max" or (limit.isdecimal() and int(limit[:18]) <= said.pagination_limit)


def _parameters_hold(said: AclPath, access: ApiAccess) -> bool:
    allowed, denied = said.allowed_parameters, said.denied_parameters
    if not (allowed or denied or said.required_parameters):
        return True
    if access.parameters is None:
        return False
    parameters = access.parameters()
    given = {name.lower(): value for name, value in parameters.items()}
    if len(given) != len(parameters):
        return False  # one name in two spellings: which of them is meant is not for us to say
    if any(name not in given for name in said.required_parameters):
        return False
    if not given:
        return True
    if ALL in denied or any(
        name in denied and _is_value_of(value, denied[name]) for name, value in given.items()
    ):
        return False
    return all(
        _is_value_of(value, allowed[name]) if name in allowed else ALL in allowed or not allowed
        for name, value in given.items()
    )


def _is_value_of(value: object, values: tuple[Scalar, ...]) -> bool:
    return not values or any(_is_equal(value, one) for one in values)


def _is_equal(value: object, expected: Scalar) -> bool:
    """Strings by a `*` at their beginning or end; 1 and true are not equal."""
    if not (isinstance(value, str) and isinstance(expected, str)):
        return isinstance(value, bool) is isinstance(expected, bool) and value == expected
    if len(expected) <= 1:
        return value == expected
    opens, closes = expected.startswith(GLOB), expected.endswith(GLOB)
    body = expected[1 if opens else 0 : -1 if closes else None]
    if opens and closes:
        return body in value
    return value.endswith(body) if opens else value.startswith(body) if closes else value == body
