"""A policy in Vault's language: paths of the HTTP API, and what is allowed there.

The text is kept as it was written; this module reads it. Whatever could be read in two ways is
refused: an attribute that comes twice, a second label, an unknown key. `vault.authz.acl` decides.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from threading import Lock
from typing import Final, TypeAlias

from msgspec import Struct

from protocols.instant import parse_duration, parse_rfc3339
from vault.errors import ValidationError
from vault.model.acl.access import AclCapability
from vault.model.acl.hcl import Block, HclError, Item, Literal, Node, Scalar, Sequence, parse_hcl
from vault.model.acl.identity_template import TemplateError, parse_template
from vault.model.acl.list_filter import ListFilter, parse_list_filter

MAX_PATHS: Final = 2_000  # of a policy
MAX_REMEMBERED: Final = 8 << 20  # characters of policies that are kept as they were read
MAX_PATH_LENGTH: Final = 1_024
MAX_PARAMETERS: Final = 200  # of a path, names and values
_MAX_DIGITS: Final = 18  # of a number in a string
SEGMENT: Final = "+"  # stands for one segment of a path


_C = AclCapability
_CAPABILITIES: Final = frozenset(capability.value for capability in _C)
_OLD_FORMS: Final[Mapping[str, frozenset[AclCapability]]] = {
    "deny": frozenset({_C.DENY}),
    "read": frozenset({_C.READ, _C.LIST}),
    "write": frozenset({_C.CREATE, _C.READ, _C.UPDATE, _C.DELETE, _C.LIST}),
    "sudo": frozenset({_C.CREATE, _C.READ, _C.UPDATE, _C.DELETE, _C.LIST, _C.SUDO}),
}
"""What `policy = "write"` stands for, from the time before capabilities."""

Parameters: TypeAlias = Mapping[str, tuple[Scalar, ...]]
"""Names, in small letters or `*` for all, and the values; none: any value."""


class AclPath(Struct, frozen=True, kw_only=True, gc=False):
    """What a policy says of a path. Durations and instants in ns; 0 and empty: not limited.

    `allowed_parameters` None: any may be given. `controlled`: what takes the approval of a control
    group, which cannot be asked for here, so that it is refused.
    """

    path: str
    capabilities: frozenset[AclCapability] = frozenset()
    allowed_parameters: Parameters = {}
    denied_parameters: Parameters = {}
    required_parameters: tuple[str, ...] = ()
    min_wrapping_ttl: int = 0
    max_wrapping_ttl: int = 0
    needs_mfa: bool = False
    pagination_limit: int = 0
    expires_at: int = 0
    list_filter: ListFilter | None = None
    templated: bool = False
    controlled: frozenset[AclCapability] = frozenset()

    @property
    def denies(self) -> bool:
        """Whether it takes something away, whatever others allow."""
        return _C.DENY in self.capabilities or bool(self.controlled)


class AclPolicy(Struct, frozen=True):
    """A policy that was read."""

    name: str
    paths: tuple[AclPath, ...]

    @property
    def denials(self) -> Mapping[str, int]:
        """The paths that are denied, as they are written, and until when; 0: for good."""
        found: dict[str, int] = {}
        for path in self.paths:
            if path.denies:
                known = found.get(path.path, path.expires_at)
                found[path.path] = max(known, path.expires_at) if known and path.expires_at else 0
        return found

    @property
    def allows(self) -> bool:
        """Whether any path does not deny: each lifts the denials of less specific ones."""
        return any(_C.DENY not in path.capabilities for path in self.paths)

    @property
    def cost(self) -> int:
        """The paths that a decision may have to look at one by one."""
        return sum(SEGMENT in path.path or path.expires_at > 0 for path in self.paths)

    @property
    def is_templated(self) -> bool:
        """Whether what it says depends on who asks."""
        return any(path.templated for path in self.paths)


class _ParsedPolicies:
    """The policies that were read last, up to `MAX_REMEMBERED` characters. Any thread may ask."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, str], AclPolicy] = OrderedDict()
        self._characters = 0
        self._lock = Lock()

    def get(self, key: tuple[str, str]) -> AclPolicy | None:
        with self._lock:
            found = self._found.get(key)
            if found is not None:
                self._found.move_to_end(key)
            return found

    def put(self, key: tuple[str, str], policy: AclPolicy) -> None:
        with self._lock:
            if key not in self._found:
                self._found[key] = policy
                self._characters += len(key[1])
            while self._characters > MAX_REMEMBERED:
                (_, text), _ = self._found.popitem(last=False)
                self._characters -= len(text)


_parsed: Final = _ParsedPolicies()


def parse_acl_policy(name: str, text: str) -> AclPolicy:
    """Read a policy. Raises `ValidationError` (`policy_invalid`), with the line and column."""
    if (known := _parsed.get((name, text))) is not None:
        return known
    try:
        policy = AclPolicy(name, tuple(_paths(text)))
    except HclError as fault:
        raise ValidationError(
            "policy_invalid", f"failed to parse policy: {fault}", field="policy"
        ) from None
    _parsed.put((name, text), policy)
    return policy


def _paths(text: str) -> Iterator[AclPath]:
    count = 0
    for item in parse_hcl(text).items:
        if item.keys == ("name",) and isinstance(item.value, Literal):
            continue  # it has the name that it is written under
        if item.keys[0] != "path":
            raise HclError(text, item.at, f"invalid key {item.keys[0]!r}: expected 'path'")
        for path, value in _stanzas(text, item):
            count += 1
            if count > MAX_PATHS:
                raise HclError(text, item.at, f"a policy has at most {MAX_PATHS} paths")
            yield _Stanza(text, path, value).read()


def _stanzas(text: str, item: Item) -> Iterator[tuple[str, Item]]:
    """`path "x" { … }`; in JSON, `"path": {"x": { … }}`."""
    if len(item.keys) == 2:  # noqa: PLR2004  # `path` and its label
        yield item.keys[1], item
    elif len(item.keys) == 1 and isinstance(item.value, Block):
        for inner in item.value.items:
            if len(inner.keys) != 1 or not isinstance(inner.value, Block):
                raise HclError(text, inner.at, 'expected path "…" { … }')
            yield inner.keys[0], inner
    else:
        raise HclError(text, item.at, 'expected path "…" { … }')


@lru_cache(maxsize=1 << len(_C))
def _shared(capabilities: frozenset[AclCapability]) -> frozenset[AclCapability]:
    """The same object for equal sets: there are few of them, and many paths."""
    return capabilities


class _Stanza:
    """Reads what stands between the braces of one path."""

    def __init__(self, text: str, path: str, item: Item) -> None:
        self._text = text
        self._path = path
        self._item = item

    def read(self) -> AclPath:
        """Raises `HclError`."""
        if not isinstance(self._item.value, Block):
            raise self._error(self._item.at, "expected '{'")
        found = self._attributes(self._item.value)
        capabilities = self._capabilities(found)
        path = AclPath(
            path=self._checked_path(),
            capabilities=capabilities,
            allowed_parameters=self._parameters(found.get("allowed_parameters")),
            denied_parameters=self._parameters(found.get("denied_parameters")),
            required_parameters=tuple(
                name.lower() for name in self._strings(found.get("required_parameters"))
            ),
            min_wrapping_ttl=self._duration(found.get("min_wrapping_ttl")),
            max_wrapping_ttl=self._duration(found.get("max_wrapping_ttl")),
            needs_mfa=bool(self._strings(found.get("mfa_methods"))),
            pagination_limit=self._limit(found.get("pagination_limit")),
            expires_at=self._instant(found.get("expiration")),
            list_filter=self._list_filter(found.get(_LIST_FILTER), capabilities),
            templated="{{" in self._path,
            controlled=self._controlled(found.get("control_group")),
        )
        if 0 < path.max_wrapping_ttl < path.min_wrapping_ttl:
            raise self._error(
                self._item.at, "max_wrapping_ttl cannot be less than min_wrapping_ttl"
            )
        return path

    def _error(self, at: int, fault: str) -> HclError:
        return HclError(self._text, at, f'path "{self._path}": {fault}')

    def _attributes(self, block: Block) -> dict[str, Node]:
        """By name; of parameters also in several blocks."""
        found: dict[str, Node] = {}
        for item in block.items:
            name = item.keys[0]
            if name not in _KEYS or len(item.keys) > 1:
                raise self._error(item.at, f"invalid key {name!r}")
            known = found.get(name)
            if name in _PARAMETERS and isinstance(known, Block) and isinstance(item.value, Block):
                found[name] = Block((*known.items, *item.value.items), known.at)
            elif known is not None:
                raise self._error(item.at, f"{name} is given twice")
            else:
                found[name] = item.value
        return found

    def _checked_path(self) -> str:
        path = self._path.removeprefix("/")
        if len(path) > MAX_PATH_LENGTH:
            raise self._error(self._item.at, f"a path has at most {MAX_PATH_LENGTH} characters")
        if "+*" in path:
            raise self._error(self._item.at, "invalid use of wildcards ('+*' is forbidden)")
        try:
            parse_template(path)
        except TemplateError as fault:
            raise self._error(self._item.at, str(fault)) from None
        return path

    def _capabilities(self, found: Mapping[str, Node]) -> frozenset[AclCapability]:
        names = self._strings(node := found.get("capabilities"))
        at = self._item.at if node is None else node.at
        chosen = set[AclCapability]()
        for name in names:
            if name not in _CAPABILITIES:
                raise self._error(at, f'invalid capability "{name}"')
            chosen.add(_C(name))
        if (old := found.get("policy")) is not None and (form := self._string(old)):
            if form not in _OLD_FORMS:
                raise self._error(old.at, f'invalid policy "{form}"')
            chosen |= _OLD_FORMS[form]
        return _shared(frozenset({_C.DENY} if _C.DENY in chosen else chosen))

    def _controlled(self, node: Node | None) -> frozenset[AclCapability]:
        """The capabilities that some factor of a control group controls."""
        if node is None:
            return frozenset()
        if not isinstance(node, Block):
            raise self._error(node.at, "expected control_group = { factor … }")
        found = set[AclCapability]()
        factors = 0
        for item in node.items:
            if item.keys == ("ttl",):
                self._duration(item.value)
                continue
            if item.keys[0] != "factor":
                raise self._error(item.at, f"control_group: invalid key {item.keys[0]!r}")
            for name, factor in self._factors(item):
                found |= self._factor(name, factor)
                factors += 1
        if not factors:
            raise self._error(node.at, "control_group requires at least one factor but had none")
        return _shared(frozenset(found))

    def _factors(self, item: Item) -> list[tuple[str, Item]]:
        """`factor "x" { … }`; in JSON, `"factor": {"x": { … }}`."""
        if len(item.keys) == 2:  # noqa: PLR2004  # `factor` and its label
            return [(item.keys[1], item)]
        if len(item.keys) != 1 or not isinstance(item.value, Block):
            raise self._error(item.at, 'expected factor "…" { … }')
        return [(one.keys[0], one) for one in item.value.items]

    def _factor(self, name: str, item: Item) -> set[AclCapability]:
        """What a factor controls. It needs people who approve, and how many of them."""
        parts = self._block(item, f"factor {name}", {"controlled_capabilities", "identity"})
        controlled = parts.get("controlled_capabilities")
        chosen = self._strings(None if controlled is None else controlled.value)
        if not chosen:
            raise self._error(item.at, f"factor {name}: missing controlled capabilities")
        if unknown := [one for one in chosen if one not in _CAPABILITIES or one == _C.DENY]:
            raise self._error(item.at, f'factor {name}: invalid capability "{unknown[0]}"')
        if "identity" not in parts:
            raise self._error(item.at, f"factor {name}: missing required approvals")
        known = {"group_names", "group_ids", "approvals"}
        who = self._block(parts["identity"], f"factor {name}: identity", known)
        for key in ("group_names", "group_ids"):
            self._strings(who[key].value if key in who else None)
        approvals = self._scalar(who["approvals"].value) if "approvals" in who else 0
        if isinstance(approvals, bool) or not isinstance(approvals, int) or approvals < 1:
            raise self._error(item.at, f"factor {name}: missing required approvals")
        return {_C(one) for one in chosen}

    def _block(self, item: Item, what: str, known: set[str]) -> dict[str, Item]:
        """What stands between braces, each key once."""
        if not isinstance(item.value, Block):
            raise self._error(item.at, f"{what}: expected '{{'")
        found: dict[str, Item] = {}
        for one in item.value.items:
            key = one.keys[0]
            if key not in known or len(one.keys) > 1:
                raise self._error(one.at, f"{what}: invalid key {key!r}")
            if key in found:
                raise self._error(one.at, f"{what}: {key} is given twice")
            found[key] = one
        return found

    def _parameters(self, node: Node | None) -> Parameters:
        if node is None:
            return {}
        if not isinstance(node, Block):
            raise self._error(node.at, "expected { name = [values] }")
        found: dict[str, tuple[Scalar, ...]] = {}
        for item in node.items:
            name = item.keys[0].lower()
            if len(item.keys) > 1 or not isinstance(item.value, Sequence):
                raise self._error(item.at, "expected name = [values]")
            if name in found:
                raise self._error(item.at, f"{name} is given twice")
            found[name] = tuple(self._scalar(one) for one in item.value.items)
        if len(found) + sum(map(len, found.values())) > MAX_PARAMETERS:
            raise self._error(node.at, f"more than {MAX_PARAMETERS} parameters and values")
        return found

    def _scalar(self, node: Node) -> Scalar:
        if not isinstance(node, Literal):
            raise self._error(node.at, "expected a string, a number, true or false")
        return node.value

    def _string(self, node: Node) -> str:
        if not isinstance(node, Literal) or not isinstance(node.value, str):
            raise self._error(node.at, "expected a string")
        return node.value

    def _strings(self, node: Node | None) -> list[str]:
        if node is None:
            return []
        if not isinstance(node, Sequence):
            raise self._error(node.at, 'expected a list of strings: ["…"]')
        return [self._string(one) for one in node.items]

    def _limit(self, node: Node | None) -> int:
        value = 0 if node is None else self._scalar(node)
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            value = int(value[:_MAX_DIGITS])
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._error(self._item.at, "pagination_limit is a number of keys, or 0")
        return value

    def _duration(self, node: Node | None) -> int:
        """In ns, from seconds or `1h30m`."""
        if node is None:
            return 0
        value = self._scalar(node)
        try:
            if isinstance(value, bool) or value is None:
                raise self._error(node.at, _NO_DURATION)
            if (found := parse_duration(value, "")) >= 0:
                return found
        except ValidationError:
            pass
        raise self._error(node.at, _NO_DURATION)

    def _instant(self, node: Node | None) -> int:
        """In ns since 1970, from seconds or RFC 3339."""
        if node is None or (value := self._scalar(node)) == "":
            return 0
        text = str(value)
        try:
            if text.isascii() and text.isdecimal():
                return parse_duration(int(text[:_MAX_DIGITS]), "")
            return parse_rfc3339(text, "")
        except ValidationError:
            raise self._error(
                node.at,
                "invalid expiration time: expected 2030-01-31T12:00:00Z, or seconds since 1970",
            ) from None

    def _list_filter(
        self, node: Node | None, capabilities: frozenset[AclCapability]
    ) -> ListFilter | None:
        if node is None or not (template := self._string(node)):
            return None
        if _C.LIST not in capabilities:
            raise self._error(node.at, f"{_LIST_FILTER} needs the list capability")
        try:
            return parse_list_filter(template)
        except ValueError as fault:
            raise self._error(node.at, f"{_LIST_FILTER}: {fault}") from None


_NO_DURATION: Final = "expected a duration: seconds, or text such as 1h30m"
_LIST_FILTER: Final = "list_scan_response_keys_filter_path"
_PARAMETERS: Final = frozenset({"allowed_parameters", "denied_parameters"})
_KEYS: Final = _PARAMETERS | {
    "comment", "policy", "capabilities", "required_parameters", "min_wrapping_ttl",
    "max_wrapping_ttl", "mfa_methods", "pagination_limit", "expiration", _LIST_FILTER,
    "control_group",
}  # fmt: skip
