"""Decides on accesses by the current policies, and which names a list shows."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from msgspec.structs import replace

from vault.authz.access import AccessRequest, Decision
from vault.authz.acl import literal_start
from vault.authz.api_paths import nearest_api_access
from vault.authz.compile import can_reach, is_mixed_folder
from vault.authz.evaluate import CompiledPolicies, is_listed, limits_hold
from vault.authz.pattern import GLOB, SEGMENT
from vault.authz.policy import Policy
from vault.authz.policy_store import PolicySnapshot, PolicyStore
from vault.errors import ValidationError
from vault.model.acl.access import AclCapability, ApiAccess
from vault.model.identity import Identity
from vault.model.operation import Capability, Origin, SecretFacts
from vault.model.path import ResourcePath


class Authorizer:
    """Decisions on the current snapshot: synchronous, without a wait, without a side effect."""

    def __init__(self, policies: PolicyStore) -> None:
        self._policies = policies

    def is_ready(self, identity: Identity) -> bool:
        """Whether a decision for this identity is fast; if not, call `prepare` first."""
        return self._policies.snapshot.is_ready(identity)

    async def prepare(self, identity: Identity) -> None:
        """Make its decisions fast. Raises `UnavailableError` as `PolicyStore.prepare`."""
        await self._policies.prepare(identity)

    def decide(self, access: AccessRequest) -> Decision:
        """Say whether the access is allowed, and by which rule."""
        return self._policies.snapshot.compiled_for(access.identity).decide(access)

    def could_allow(self, access: AccessRequest) -> str:
        """The rule that allows an access under some conditions; empty where none ever does."""
        return self._policies.snapshot.compiled_for(access.identity).could_allow(access)

    def limits_hold(self, access: AccessRequest, *, knows_fields: bool = True) -> bool:
        """Whether wrapping and fields are within what the policies set, whatever they allow."""
        rules = self._policies.snapshot.compiled_for(access.identity).rules
        return limits_hold(rules, access, knows_fields=knows_fields)

    def compiled_policies(self, identity: Identity) -> CompiledPolicies:
        """The identity's policies as they are now; later changes do not affect the result."""
        return self._policies.snapshot.compiled_for(identity)

    def dry_run(self, written: Iterable[Policy] = ()) -> Callable[[AccessRequest], Decision]:
        """What decides by the policies of now as `decide` would, and for a no says what is missing.

        `written` stand in for those of their names. It may run in a thread: it shares nothing with
        the snapshot, whose policies never change.
        """
        return partial(_explain, self._policies.snapshot.with_changes(written))

    def unknown_policy_warnings(self, policies: Iterable[str]) -> tuple[str, ...]:
        """Return a sentence for each name that no policy has."""
        return self._policies.unknown_policy_warnings(policies)

    def needs_facts(self, identity: Identity) -> bool:
        """Whether a decision for this identity can depend on the tags or metadata of the secret."""
        return self._policies.snapshot.compiled_for(identity).needs_facts

    def can_reach(self, identity: Identity, folder: str) -> bool:
        """Whether the identity may do anything at all below `folder` (with its closing slash)."""
        found = self._policies.snapshot.compiled_for(identity)
        return can_reach(found.rules, found.grants, folder) and (
            found.ceiling is None or can_reach(found.ceiling.rules, (), folder)
        )

    def effective_policies(self, identity: Identity) -> tuple[Policy, ...]:
        """The policies that count for an identity, with the control plane's."""
        found = self._policies.effective_policies(identity)
        return (*found.policies, *found.fleet)

    def find_lifted_denial(self, identity: Identity, source: str, target: str) -> str:
        """A denial that binds the identity in the folder `source` and not in `target`; empty: none.

        It goes by what stands before the first wildcard or template, so it errs towards a denial.
        """
        for path in self._policies.snapshot.denied_paths(identity):
            start = literal_start(path)
            if not (start.startswith(source) or source.startswith(start)):
                continue
            if not (path == start + GLOB and source.startswith(start) and target.startswith(start)):
                return path
        return ""

    def find_gained_access(
        self, identity: Identity, origin: Origin, now: int, source: str, target: str
    ) -> str:
        """A path below `target` where more is allowed than at its place below `source`, or "".

        It tries one name for each path that the rules and permissions speak of, in both folders.
        What depends on a secret's tags is not seen.
        """
        snapshot = self._policies.snapshot
        own, of_api = snapshot.paths_of_rules(identity)
        found = snapshot.compiled_for(identity)

        def allowed(capability: Capability, path: str, api: ApiAccess) -> bool:
            access = AccessRequest(
                capability=capability, path=_place(path), identity=identity, origin=origin,
                now=now, api=api,
            )  # fmt: skip
            return found.decide(access).allowed

        def is_gain(capability: Capability, below: str, api: ApiAccess) -> bool:
            moved = replace(api, path=target + api.path.removeprefix(source))
            return allowed(capability, target + below, moved) and not allowed(
                capability, source + below, api
            )

        mounts = found.rules.mounts
        for below in _names_below(own, source, target):
            for capability in Capability:
                api = nearest_api_access(capability, source + below, mounts)
                if is_gain(capability, below, api):
                    return target + below
        probe = nearest_api_access(Capability.READ, source + _ANY_NAME, mounts).path
        has_trees = probe != source + _ANY_NAME  # `data/`, `metadata/` and others: version 2
        for below in _names_below(of_api, source, target):
            name = (below.partition("/")[2] if has_trees else below).strip("/") or _ANY_NAME
            for capability, operation in _VERBS.items():
                if is_gain(capability, name, ApiAccess(path=source + below, operation=operation)):
                    return target + below
        return ""

    def list_filter(
        self, identity: Identity, origin: Origin, now: int, listed: str = ""
    ) -> "VisibleNames":
        """Return the filter for a list: which names the identity may be shown.

        It stays with the snapshot it was made from; make one for each list. `listed`: the folder
        whose children are listed; empty: a search.
        """
        found = self._policies.snapshot.compiled_for(identity)
        return VisibleNames(found, identity, origin, now, listed)

    def shown_entries(
        self,
        identity: Identity,
        decision: Decision,
        listed: ApiAccess | None,
        folder: str,
        now: int,
    ) -> Callable[[str], bool] | None:
        """Which entries of a folder's list its list filter shows, by their keys; None: all.

        Those on whose path something is allowed. `decision` is that on the list, which was `listed`
        where it came through the Vault-compatible API.
        """
        found = self.compiled_policies(identity)
        template, rules = decision.list_filter, found.rules
        if found.ceiling is not None and _has_list_filters(found.ceiling):
            return lambda _: False  # made for its own requests, not for those that it bounds
        if not template or rules.acl is None:
            return None
        api, acl = listed or nearest_api_access(Capability.LIST, folder, rules.mounts), rules.acl
        path = f"{api.path.removesuffix('/')}/"
        return lambda key: bool(acl.capabilities(template.path_of(path, key), now) - _DENIED)


_DENIED: Final = frozenset({AclCapability.DENY})
_ANY_NAME: Final = "any-name"  # stands for whatever a wildcard covers
_VERBS: Final = {
    Capability.CREATE: AclCapability.CREATE,
    Capability.READ: AclCapability.READ,
    Capability.UPDATE: AclCapability.UPDATE,
    Capability.DELETE: AclCapability.DELETE,
    Capability.LIST: AclCapability.LIST,
}


def _place(path: str) -> ResourcePath:
    """A path, if it is one: in Vault's language a policy may speak of others, which nothing has."""
    try:
        return ResourcePath.parse(path.removesuffix("/"))
    except ValidationError:
        return ResourcePath.parse(f"{path.partition('/')[0]}/{_ANY_NAME}")


def _names_below(paths: Iterable[str], *folders: str) -> set[str]:
    """What paths say of what lies in these folders, with a name for each wildcard."""
    found: set[str] = set()
    for path in paths:
        for folder in folders:
            below = _part_below(path, folder)
            if below is None:
                continue
            start = "/".join(
                _ANY_NAME if part == SEGMENT else part
                for part in below.removesuffix(GLOB).split("/")
            )
            found.add(start)
            if below.endswith(GLOB):
                found.update(start + "/".join([_ANY_NAME] * depth) for depth in (1, 2, 3))
    return {one for one in found if one.strip("/")}


def _part_below(path: str, folder: str) -> str | None:
    """What of a path speaks of what lies in a folder; None: it speaks of nothing in it."""
    parts, segments = path.removesuffix(GLOB).split("/"), folder.removesuffix("/").split("/")
    for place, segment in enumerate(segments):
        if place == len(parts) - 1:  # it ends before the folder does
            return GLOB if path.endswith(GLOB) and segment.startswith(parts[place]) else None
        if parts[place] not in {SEGMENT, segment}:
            return None
    return "/".join(parts[len(segments) :]) + (GLOB if path.endswith(GLOB) else "")


def _has_list_filters(policies: CompiledPolicies) -> bool:
    return policies.rules.acl is not None and policies.rules.acl.has_list_filters


def _explain(snapshot: PolicySnapshot, access: AccessRequest) -> Decision:
    found = snapshot.compiled_for(access.identity)
    return found.explain(access)


class VisibleNames:
    """The filter of one list. What is decided for all of a folder is decided once for it.

    Names come in order, so those of a folder come together.
    """

    def __init__(
        self,
        policies: CompiledPolicies,
        identity: Identity,
        origin: Origin,
        now: int,
        listed: str,
    ) -> None:
        rules = self._rules = policies.rules
        self._ceiling = (
            None
            if policies.ceiling is None
            else VisibleNames(policies.ceiling, identity, origin, now, listed)
        )
        self._grants = policies.grants
        self._listed = listed
        self._identity = identity
        self._origin = origin
        self._now = now
        self._table = rules.tables.get(Capability.LIST)
        self._filtered = rules.acl is not None and rules.acl.has_list_filters
        self._folder: str | None = None  # whose things are all shown, or none of them
        self._all = False

    def __call__(self, name: str, facts: SecretFacts) -> bool:
        """Whether the thing of this name and these facts shows in its folder's list."""
        return self._shows_by_own(name, facts) and (
            self._ceiling is None or self._ceiling(name, facts)
        )

    def _shows_by_own(self, name: str, facts: SecretFacts) -> bool:
        if self._filtered:
            return self._shows(name, facts)
        folder = name[: name.rfind("/") + 1]
        if folder == self._folder:
            return self._all
        shown = self._shows(name, facts)
        table = self._table
        if table and not table.conditional and not is_mixed_folder(table, self._grants, folder):
            self._folder, self._all = folder, shown
        return shown

    def _shows(self, name: str, facts: SecretFacts) -> bool:
        access = AccessRequest(
            capability=Capability.LIST,
            path=ResourcePath.parse(name),
            identity=self._identity,
            origin=self._origin,
            facts=facts,
            now=self._now,
        )
        return is_listed(self._rules, self._grants, access, self._listed)
