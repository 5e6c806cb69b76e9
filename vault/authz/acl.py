"""Decides by policies in Vault's language, as Vault and OpenBao do.

Of all paths of all policies that cover a request the most specific one alone decides: a path as it
is, then the one whose first wildcard comes latest. What several policies say of the very same path
is merged: capabilities add up, `deny` beats them, the shorter time and the smaller page count.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
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
ALL: Final = "*"  # as the name of a parameter: each
LIMIT: Final = "limit"  # the parameter that `pagination_limit` bounds


class AclDecision(NamedTuple):
    """What the policies say; `rule` is the deciding path with its policies, empty: none covers it.

    `page_limit` and `list_filter` are what a list that is allowed is held to.
    """

    allowed: bool
    denied: bool
    rule: str = ""
    page_limit: int = 0
    list_filter: ListFilter | None = None


NO_PATH: Final = AclDecision(allowed=False, denied=False)


class _Rule(Struct, frozen=True, kw_only=True):
    """What all policies say of one path, and how specific the path is."""

    said: AclPath
    policies: tuple[str, ...]
    pattern: Pattern
    rank: tuple[int, int, int, int, str]

    @property
    def label(self) -> str:
        """For a decision: which path, of which policies."""
        return f"{', '.join(self.policies)}: {self.said.path}"


class AclRules:
    """The paths of some policies for one identity, compiled for the time until one expires."""

    def __init__(
        self,
        policies: Sequence[AclPolicy],
        values: Mapping[str, str],
        denied_by: Collection[str] = (),
    ) -> None:
        """`values`: of identity templates. Policies in `denied_by` count for what they deny."""
        self._paths = tuple(_filled_paths(policies, values, denied_by))
        self._expiries = sorted({path.expires_at for path, _ in self._paths if path.expires_at})
        self._tables: tuple[int, _Table] | None = None
        self._reach = FolderReach(
            _pattern(path.path) for path, _ in self._paths if path.capabilities - {_C.DENY}
        )

    def decide(self, access: ApiAccess, now: int, *, has_mfa: bool = False) -> AclDecision:
        """Decide on a request at `now` (Unix ns)."""
        rule = self._table(now).find(access)
        if rule is None:
            return NO_PATH
        said = rule.said
        if _C.DENY in said.capabilities:
            return AclDecision(allowed=False, denied=True, rule=rule.label)
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

    def capabilities(self, path: str, now: int) -> frozenset[AclCapability]:
        """What `sys/capabilities` tells of a path; empty: nothing."""
        rule = self._table(now).find(ApiAccess(path=path, operation=_C.LIST))
        return frozenset() if rule is None else rule.said.capabilities

    def reaches(self, folder: str) -> bool:
        """Whether something that is allowed, perhaps no longer, may lie below `folder`."""
        return self._reach.meets_folder(folder)

    @property
    def size(self) -> int:
        """How many paths there are."""
        return len(self._paths)

    def _table(self, now: int) -> "_Table":
        """The paths that have not expired by now; compiled again when one has."""
        expired = sum(1 for at in self._expiries if at <= now)
        if self._tables is None or self._tables[0] != expired:
            live = [part for part in self._paths if not 0 < part[0].expires_at <= now]
            self._tables = expired, _Table(live)
        return self._tables[1]


class _Table:
    """Rules, filed by their paths."""

    def __init__(self, paths: Iterable[tuple[AclPath, str]]) -> None:
        merged: dict[tuple[Pattern, str], tuple[AclPath, tuple[str, ...]]] = {}
        for path, policy in paths:
            key = _pattern(path.path), path.path
            known = merged.get(key)
            merged[key] = (
                (path, (policy,))
                if known is None
                else (_merge(known[0], path), tuple(dict.fromkeys((*known[1], policy))))
            )
        rules = [
            _Rule(said=said, policies=names, pattern=pattern, rank=_rank(pattern))
            for (pattern, _), (said, names) in merged.items()
        ]
        self._exact = {rule.pattern.text: rule for rule in rules if _is_exact(rule.pattern)}
        self._wild: PatternIndex[_Rule] = build_pattern_index(
            ((rule.pattern, rule) for rule in rules if not _is_exact(rule.pattern)),
            empty_segments=True,
        )

    def find(self, access: ApiAccess) -> _Rule | None:
        """The rule that decides. Of a folder that is listed a path may lack the slash."""
        path, lists = access.path.lstrip("/"), access.operation in _LISTS
        forms = (path, path.removesuffix("/")) if lists and path.endswith("/") else (path,)
        exact = (self._exact.get(form) for form in forms)
        wild = (self._most_specific(form) for form in forms)
        return next((rule for rule in chain(exact, wild) if rule is not None), None)

    def _most_specific(self, path: str) -> _Rule | None:
        return max(self._wild.matching(path), key=lambda rule: rule.rank, default=None)


def _filled_paths(
    policies: Iterable[AclPolicy], values: Mapping[str, str], denied_by: Collection[str]
) -> Iterable[tuple[AclPath, str]]:
    for policy in policies:
        only_denials = policy.name in denied_by
        for path in policy.paths:
            if only_denials and _C.DENY not in path.capabilities:
                continue
            if not path.templated:
                yield path, policy.name
            elif (filled := parse_template(path.path).fill(values)) is not None:
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


def _is_exact(pattern: Pattern) -> bool:
    return not pattern.open_ended and not pattern.parts


def _rank(pattern: Pattern) -> tuple[int, int, int, int, str]:
    """Greater is more specific: the later first wildcard, then no open end, then fewer `+`."""
    first = len(pattern.head) if pattern.parts else len(pattern.text)
    wild = pattern.parts.count(SEGMENT)
    return first, not pattern.open_ended, -wild, len(pattern.text), pattern.text


def _merge(one: AclPath, other: AclPath) -> AclPath:
    if _C.DENY in one.capabilities:
        return one
    if _C.DENY in other.capabilities:
        return other
    return replace(
        one,
        capabilities=one.capabilities | other.capabilities,
        allowed_parameters=_merge_parameters(one.allowed_parameters, other.allowed_parameters),
        denied_parameters=_merge_parameters(one.denied_parameters, other.denied_parameters),
        required_parameters=tuple(
            dict.fromkeys((*one.required_parameters, *other.required_parameters))
        ),
        min_wrapping_ttl=_least(one.min_wrapping_ttl, other.min_wrapping_ttl),
        max_wrapping_ttl=_least(one.max_wrapping_ttl, other.max_wrapping_ttl),
        needs_mfa=one.needs_mfa or other.needs_mfa,
        pagination_limit=_least(one.pagination_limit, other.pagination_limit),
        list_filter=one.list_filter or other.list_filter,
    )


def _least(one: int, other: int) -> int:
    """The lesser of two limits, where 0 is none."""
    return min(one, other) if one and other else one or other


def _merge_parameters(one: Parameters, other: Parameters) -> Parameters:
    """The values of both; a name without values stands for any value, and stays so."""
    found: defaultdict[str, tuple[Scalar, ...]] = defaultdict(tuple)
    for name in (*one, *other):
        any_value = not one.get(name, (None,)) or not other.get(name, (None,))
        found[name] = () if any_value else (*one.get(name, ()), *other.get(name, ()))
    return dict(found)


def _limits_hold(said: AclPath, access: ApiAccess) -> bool:
    wrapping = access.wrapping_ttl
    if said.max_wrapping_ttl and not 0 < wrapping <= said.max_wrapping_ttl:
        return False
    if wrapping < said.min_wrapping_ttl:
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
