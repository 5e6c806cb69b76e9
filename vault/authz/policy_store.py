"""The store of policies: an immutable snapshot of what is stored, compiled, and its editions.

Whoever decides holds a snapshot; a write replaces it whole. A set of policies is compiled at its
first use and kept by the tuple of its names.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from itertools import count
from typing import Final, TypeAlias, TypeVar

import trio
from msgspec import Struct, structs
from msgspec.structs import replace

from actors.world import World
from protocols.instant import rfc3339
from protocols.link.bundle import ZERO_HASH
from vault.authz.access import Decision
from vault.authz.acl import AclDenials
from vault.authz.ceiling import NO_CEILING, compile_ceiling, count_narrowed
from vault.authz.compile import CompiledCeiling, compile_permissions, compile_policies
from vault.authz.evaluate import CompiledPolicies, DecisionKey
from vault.authz.policy import (
    MAX_SET_COST,
    Effect,
    Policy,
    Rule,
    ShownPolicy,
    is_denial,
    policy_cost,
    policy_document,
    validate_new_policy,
    validate_policy,
)
from vault.authz.policy_bundle import NO_POLICY_BUNDLE, PolicyBundle, bundle_document, load_bundle
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.acl.access import AclCapability
from vault.model.acl.identity_template import parse_template
from vault.model.identity import DEFAULT_POLICY, ROOT_POLICY, ROTATION_POLICY, Identity, Method
from vault.model.link_ports import ActiveBundle, PolicyTrust
from vault.model.memo import BoundedMemo
from vault.model.mounts import NO_MOUNTS, MountTable
from vault.model.name import canonical_name
from vault.model.path import MAX_REMEMBERED
from vault.model.records import BUNDLE_ROW, PolicyRow
from vault.store.store import Store
from vault.store.tables import POLICIES
from vault.store.timed_lock import TimedLock
from vault.store.transaction import StoreTx

T = TypeVar("T")
Apply: TypeAlias = Callable[[], Awaitable[None]]

MAX_POLICIES: Final = 10_000  # read and compiled at unseal; about 10 s at the size of a large one
MAX_SETS: Final = 1_024  # compiled sets of one snapshot; callers share few combinations of policies
MAX_WEIGHT: Final = 200_000  # filed patterns of those sets together; about 60 MB
APPLY_TIMEOUT: Final = (
    1.0  # seconds that a write has to take over what it has stored; it takes 1 ms
)
NO_EDITION: Final = -1  # as `cas`: there is no such policy yet
_MAX_INLINE_POLICIES: Final = (
    50  # policies between two turns of others: some 25 ms of 200 rules each
)

MAX_INLINE_PATHS: Final = 2_000  # paths that are compiled between two turns of others: some 25 ms

BUILT_IN_DEFAULT: Final = Policy(
    name=DEFAULT_POLICY,
    description="What every token may do to itself; built in until it is written.",
    rules=(
        Rule(
            effect=Effect.ALLOW,
            paths=("auth/token/lookup-self",),
            capabilities=("read", "update"),
        ),
        Rule(
            effect=Effect.ALLOW,
            paths=("auth/token/renew-self", "auth/token/revoke-self"),
            capabilities=("update",),
        ),
        Rule(
            effect=Effect.ALLOW,
            paths=("cubbyhole/*",),
            capabilities=("create", "read", "update", "delete", "list"),
        ),
        Rule(
            effect=Effect.ALLOW,
            paths=("sys/wrapping/wrap", "sys/wrapping/unwrap"),
            capabilities=("update",),
        ),
        Rule(
            effect=Effect.ALLOW,
            paths=("sys/mfa/own/*",),
            capabilities=("update",),
        ),
    ),
)

BUILT_IN_SERVICES: Final = {
    ROTATION_POLICY: Policy(
        name=ROTATION_POLICY,
        description="What the rotation of secrets may do; built in until it is written.",
        rules=(Rule(effect=Effect.ALLOW, paths=("*",), capabilities=("read", "update", "sudo")),),
    ),
}
"""Policies of services. Until they are written they count for the service alone, whoever else has
one of these names."""


class Effective(Struct, frozen=True, kw_only=True):
    """What an identity's policies amount to: those that exist, and the names that mean nothing."""

    root: bool
    policies: tuple[Policy, ...]
    unknown: tuple[str, ...]
    fleet: tuple[Policy, ...] = ()  # those of a control plane's bundle, held down by the ceiling
    denied_by: tuple[str, ...] = ()  # of whoever made the credential: their denials count too


class PolicyNames(Struct, frozen=True):
    """All names, and whose they are. One that both have counts twice."""

    policies: list[str]
    local: list[str]
    control_plane: list[str]


class PolicySnapshot:
    """All policies at one moment, and the compiled sets that were asked for so far."""

    def __init__(
        self,
        policies: Iterable[Policy] = (),
        bundle: PolicyBundle = NO_POLICY_BUNDLE,
        ceiling: CompiledCeiling | None = None,
        mounts: MountTable = NO_MOUNTS,
    ) -> None:
        """`bundle` counts within `ceiling`; its policies may have the names of local ones."""
        self._mounts = mounts
        self.policies = {DEFAULT_POLICY: BUILT_IN_DEFAULT} | {
            policy.name: policy for policy in policies
        }
        self._templated = frozenset(
            name
            for name, policy in self.policies.items()
            if policy.acl and policy.acl_summary.is_templated
        )
        self.bundle = bundle
        self._ceiling = ceiling
        self._bundle_policies = {policy.name: policy for policy in bundle.policies}
        self._sets: dict[tuple[object, ...], CompiledPolicies] = {}
        self._numbers = count()
        self._decisions: BoundedMemo[DecisionKey, Decision] = BoundedMemo(MAX_REMEMBERED)
        self._weight = 0
        self._costs: dict[int, int] = {}  # of policies, which live as long as this, by their ids

    def compiled_for(self, identity: Identity) -> CompiledPolicies:
        """Return what decides for this identity.

        Raises `AuthorizationError` (`policy_set_too_heavy`) where its policies are too much.
        """
        found = self._sets.get(self._cache_key(identity))
        if found is None:
            self._require_light(identity)
            found = self.compile(identity)
            self.cache_compiled(identity, found)
        return found

    def is_ready(self, identity: Identity) -> bool:
        """Whether `compiled_for` is fast for this identity: its set is cached, or small."""
        if self._cache_key(identity) in self._sets:
            return True
        names = dict.fromkeys((*identity.policies, *identity.denied_by, *identity.ceiling))
        paths = sum(len(permission.paths) for permission in identity.permissions)
        for policy in (*self.local_policies(identity, names), *self.bundle_policies(names)):
            paths += sum(len(rule.paths) for rule in policy.rules)
            paths += policy.acl_summary.weight
        return paths <= MAX_INLINE_PATHS

    def local_policies(self, identity: Identity, names: Iterable[str]) -> list[Policy]:
        """Return those of these policies of the identity that are not the bundle's."""
        known: Mapping[str, Policy] = self.policies
        if identity.method is Method.SERVICE:
            known = BUILT_IN_SERVICES | self.policies
        return [known[name] for name in names if name in known]

    def _require_light(self, identity: Identity) -> None:
        """Raise `AuthorizationError` where a decision for the identity would take too long.

        Others wait for it. To leave some of the policies out could drop a denial.
        """
        own = () if ROOT_POLICY in identity.policies else (*identity.policies, *identity.denied_by)
        if not own and not identity.ceiling:
            return
        costs = Counter[str]()
        names = dict.fromkeys((*own, *identity.ceiling))
        for policy in (*self.local_policies(identity, names), *self.bundle_policies(names)):
            cost = self._costs.get(id(policy))
            if cost is None:
                cost = self._costs[id(policy)] = policy_cost(policy)
            costs[policy.name] += cost
        if (total := costs.total()) > MAX_SET_COST:
            heaviest = ", ".join(f"{name} ({cost})" for name, cost in costs.most_common(3))
            raise AuthorizationError(
                "policy_set_too_heavy",
                f"the policies of this identity have {total} conditions and paths with '+' "
                f"together, and at most {MAX_SET_COST} are decided on: nothing is allowed until "
                f"some are taken away; the most have {heaviest}",
            )

    def cache_compiled(self, identity: Identity, compiled: CompiledPolicies) -> None:
        """Let `compiled_for` return this set while the cache has room for it."""
        self._sets[self._cache_key(identity)] = compiled
        self._weight += compiled.weight
        while len(self._sets) > 1 and (len(self._sets) > MAX_SETS or self._weight > MAX_WEIGHT):
            self._weight -= self._sets.pop(next(iter(self._sets))).weight

    def with_changes(
        self,
        write: Iterable[Policy] = (),
        delete: Iterable[str] = (),
        bundle: PolicyBundle | None = None,
    ) -> "PolicySnapshot":
        """Return a changed snapshot with an empty cache; a deleted `default` is the built-in one.

        `bundle`: a new policy bundle; None keeps the present one.
        """
        kept = {name: p for name, p in self.policies.items() if p is not BUILT_IN_DEFAULT}
        for name in delete:
            kept.pop(name, None)
        kept |= {policy.name: policy for policy in write}
        return PolicySnapshot(
            kept.values(),
            self.bundle if bundle is None else bundle,
            self._ceiling,
            self._mounts,
        )

    def bundle_policies(self, names: Iterable[str]) -> tuple[Policy, ...]:
        """Return the bundle's policies of these names."""
        return tuple(
            self._bundle_policies[n] for n in dict.fromkeys(names) if n in self._bundle_policies
        )

    def has_deny_rule(self, name: str) -> bool:
        """Say whether a policy of this name, local or the bundle's, has a rule that denies."""
        found = (self.policies.get(name), self._bundle_policies.get(name))
        return any(policy.has_denials for policy in found if policy)

    def denied_paths(self, identity: Identity) -> list[str]:
        """Return the paths of all denials that bind an identity, as they are written."""
        names = sorted(identity.binding_policies)
        found: list[str] = []
        for policy in (*self.local_policies(identity, names), *self.bundle_policies(names)):
            if policy.enabled:
                found += [path for rule in policy.rules if is_denial(rule) for path in rule.paths]
                found += () if policy.acl_policy is None else policy.acl_policy.denials
        return found

    def paths_of_rules(self, identity: Identity) -> tuple[set[str], set[str]]:
        """The paths that rules and permissions of an identity speak of, and those in Vault's API.

        Of a path with templates what it stands for.
        """
        names = sorted({*identity.policies, *identity.ceiling})
        own = {path for one in identity.permissions for path in one.paths}
        of_api: set[str] = set()
        values = _template_values(identity)
        for policy in (*self.local_policies(identity, names), *self.bundle_policies(names)):
            if not policy.enabled:
                continue
            own.update(path for rule in policy.rules for path in rule.paths)
            acl = policy.acl_policy
            for path in () if acl is None else acl.paths:
                filled = parse_template(path.path).fill(values) if path.templated else path.path
                of_api.update(() if filled is None else (filled,))
        return own, of_api

    def _cache_key(self, identity: Identity) -> tuple[object, ...]:
        """Of identities with equal keys the same rules hold."""
        is_service = identity.method is Method.SERVICE  # whose built-in policies count for it alone
        names = (
            identity.policies, identity.permissions, identity.denied_by, identity.ceiling,
            is_service,
        )  # fmt: skip
        if self._templated.isdisjoint(identity.policies + identity.denied_by + identity.ceiling):
            return names
        return *names, identity.id, identity.name, identity.entity

    def compile(self, identity: Identity) -> CompiledPolicies:
        """Compile what `compiled_for` returns. Safe in any thread: it changes nothing here."""
        names = dict.fromkeys((*identity.policies, *identity.denied_by))
        return CompiledPolicies(
            compile_policies(
                self.local_policies(identity, names),
                root=ROOT_POLICY in identity.policies,
                bundle=self.bundle_policies(names),
                ceiling=self._ceiling,
                denied_by=frozenset(identity.denied_by).difference(identity.policies),
                template_values=_template_values(identity),
                mounts=self._mounts,
            ),
            compile_permissions(identity.permissions),
            next(self._numbers),
            self._decisions,
            self.compile(_ceiling_of(identity)) if _is_bounded(identity) else None,
        )


def _is_bounded(identity: Identity) -> bool:
    """Whether its ceiling can take anything away.

    One of the very policies that it has allows all that they allow: each decision would be made
    twice, with one answer. Denials that it has besides, and permissions, only take away.
    """
    return bool(identity.ceiling) and {*identity.ceiling} != {*identity.policies}


def _ceiling_of(identity: Identity) -> Identity:
    """Whose policies are the ceiling of an identity."""
    return replace(identity, policies=identity.ceiling, permissions=(), denied_by=(), ceiling=())


def _template_values(identity: Identity) -> dict[str, str]:
    """What identity templates stand for: a token of nobody is no entity."""
    if identity.id == identity.credential:
        return {}
    named = {"identity.entity.id": identity.id, "identity.entity.name": identity.name}
    return {**dict(identity.entity), **named}


class PolicyStore:
    """The current policies and the only way to change them."""

    def __init__(
        self,
        store: Store,
        world: World,
        ceiling: Policy = NO_CEILING,
        mounts: MountTable = NO_MOUNTS,
    ) -> None:
        """`ceiling`: what a control plane's bundle may grant at most."""
        self._mounts = mounts
        self._store = store
        self._world = world
        self._writing, self._reading, self._compiling = TimedLock(), TimedLock(), TimedLock()
        self._validating = trio.CapacityLimiter(1)
        self._written: trio.Event | None = None  # of the write that is under way
        self._seen = -1  # transactions of policies that had ended when `snapshot` was read
        self.ceiling = ceiling
        self.snapshot = PolicySnapshot(ceiling=compile_ceiling(ceiling), mounts=mounts)

    @property
    def is_stale(self) -> bool:
        """Whether a transaction has ended that the snapshot may not have: then it decides nothing.

        A write that was told as timed out may be stored long after.
        """
        return self._store.count_transactions(POLICIES) > self._seen

    async def refresh(self) -> None:
        """Have the snapshot follow what is stored. Raises `UnavailableError` as `reload`."""
        if self._written is not None:  # most likely it is what has ended, and takes itself over
            with trio.move_on_after(APPLY_TIMEOUT):
                await self._written.wait()
        if self.is_stale:
            async with self._reading.hold():
                if self.is_stale:
                    await self.reload()

    async def prepare(self, identity: Identity) -> None:
        """Compile the identity's policies in a thread, one set at a time: 200,000 paths take 2 s.

        Raises `UnavailableError` when there are too many before it.
        """
        async with self._compiling.hold():
            snapshot = self.snapshot
            if not snapshot.is_ready(identity):
                found = await self._world.run_sync(snapshot.compile, identity)
                snapshot.cache_compiled(identity, found)

    async def reload(self) -> None:
        """Read all policies anew, with turns of others between.

        Raises `UnavailableError` if one of them cannot be understood.
        """
        seen = self._store.count_transactions(POLICIES)
        policies: list[Policy] = []
        stored = await self.stored_rows()
        for begin in range(0, len(stored), _MAX_INLINE_POLICIES):
            await trio.lowlevel.checkpoint()
            rows = stored[begin : begin + _MAX_INLINE_POLICIES]
            if any("acl" in row.document for row in rows):  # a large text takes 0.1 s to read
                policies += await self._world.run_sync(_read_policies, rows)
            else:
                policies += _read_policies(rows)
        fleet = await self._stored_bundle()
        if seen >= self._seen:  # else a write was quicker, and has taken itself over
            self._seen, self.snapshot = (
                seen,
                PolicySnapshot(policies, fleet, compile_ceiling(self.ceiling), self._mounts),
            )

    async def stored_rows(self) -> list[PolicyRow]:
        """Return the stored policies by name: all of them, since one that lacks may be a denial."""
        rows = await self._store.select_all(POLICIES)
        return [row for row in rows if row.name != BUNDLE_ROW]

    def names(self) -> list[str]:
        """Return the names of all policies, the built-in and the control plane's among them."""
        return self.listing().policies

    def listing(self) -> PolicyNames:
        """Return the same, and whose they are."""
        central = sorted(policy.name for policy in self.snapshot.bundle.policies)
        local = sorted({*self.snapshot.policies, *BUILT_IN_SERVICES, ROOT_POLICY})
        return PolicyNames(sorted({*local, *central}), local, central)

    async def read(self, name: str) -> ShownPolicy:
        """As `get`, with the edition of what is stored."""
        found = self.get(name)
        row = await self._store.get(POLICIES, found.name)
        if row is None or found.source:
            return found
        return replace(found, version=row.version, updated_at=rfc3339(row.updated_at))

    def get(self, name: str) -> ShownPolicy:
        """Return a policy, a local one before the control plane's; raises `NotFoundError`.

        `root` has no document.
        """
        name = canonical_name(name, "name")
        if (local := self.snapshot.policies.get(name)) is not None:
            return ShownPolicy(**structs.asdict(local))
        for central in self.snapshot.bundle_policies([name]):
            return ShownPolicy(**structs.asdict(central), source="control_plane")
        if (built_in := BUILT_IN_SERVICES.get(name)) is not None:
            return ShownPolicy(**structs.asdict(built_in))
        raise NotFoundError("policy_not_found", "no such policy")

    async def validate(self, written: object) -> Policy:
        """Return what `put` would store (decoded JSON); raises `ValidationError` as it does.

        In a thread, one document at a time: the largest take 0.1 s, in which no request may wait.
        """
        return await self._world.run_sync(validate_new_policy, written, limiter=self._validating)

    async def put(
        self, written: object, *, by: Identity, create_only: bool = False, cas: int | None = None
    ) -> PolicyRow:
        """Validate and store a policy (decoded JSON); it is in force on return.

        Raises `ValidationError` with the faulty field, `ConflictError` if it exists and must not or
        is of another edition than `cas`, `AuthorizationError` if it would lift a denial that binds
        the caller.
        """
        policy = await self.validate(written)
        now = self._world.now()
        new = PolicyRow(
            name=policy.name,
            id=self._world.new_id(),
            version=1,
            document=policy_document(policy),
            created_at=now,
            updated_at=now,
            created_by=by.name,
        )

        def change(tx: StoreTx) -> PolicyRow:
            old = tx.get(POLICIES, new.name)
            if old is not None and create_only:
                raise ConflictError("policy_exists", "a policy of this name exists")
            _check_cas(policy, old, cas)
            tx.require_level(policy.level)  # an older node that cannot read it has no data path
            if old is None:
                _require_room(tx)
            row = new
            _require_acl_denials_kept(by, tx, old, policy)
            if old is not None:
                _require_denials_kept(by, old, policy)
                row = replace(new, id=old.id, version=old.version + 1, created_at=old.created_at)
            tx.put(POLICIES, row)
            return row

        return await self._write(new.name, change)

    async def delete(self, name: str, *, by: Identity) -> None:
        """Delete a policy; it is out of force on return. Some go back to what is built in.

        Raises `ValidationError` for `root`, `NotFoundError`, and `AuthorizationError` as `put`.
        """
        name = canonical_name(name, "name")
        if name == ROOT_POLICY:
            raise ValidationError("policy_built_in", "root cannot be deleted", field="name")

        def change(tx: StoreTx) -> None:
            old = tx.get(POLICIES, name)
            if old is None:
                if name == DEFAULT_POLICY or name in BUILT_IN_SERVICES:
                    return  # the built-in one is in force already
                raise NotFoundError("policy_not_found", "no such policy")
            _require_denials_kept(by, old, None)
            tx.delete(POLICIES, name)

        await self._write(name, change)

    def unknown_policy_warnings(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return a sentence for each name that no policy has: it allows and denies nothing."""
        return tuple(f'Policy "{name}" does not exist' for name in self._unknown(names))

    def effective_policies(self, identity: Identity) -> Effective:
        """Return the policies that count for an identity now."""
        names = dict.fromkeys(identity.policies)
        found = self.snapshot.local_policies(identity, names)
        return Effective(
            root=ROOT_POLICY in names,
            policies=tuple(found),
            unknown=self._unknown(n for n in names if all(n != each.name for each in found)),
            fleet=self.snapshot.bundle_policies(names),
            denied_by=tuple(
                name for name in identity.denied_by if self.snapshot.has_deny_rule(name)
            ),
        )

    def _unknown(self, names: Iterable[str]) -> tuple[str, ...]:
        known, central = self.snapshot.policies, self.snapshot.bundle_policies
        return tuple(n for n in names if n not in known and n != ROOT_POLICY and not central([n]))

    async def put_bundle(self, bundle: PolicyBundle, *, by: str) -> PolicyBundle:
        """Store an agent's next bundle; it is in force on return. The same one again: no change.

        Raises `ConflictError` (`bundle_older`) when one of this version or above is stored.
        """
        now = self._world.now()
        row = PolicyRow(
            name=BUNDLE_ROW,
            id=self._world.new_id(),
            version=bundle.version,
            document=bundle_document(bundle),
            created_at=now,
            updated_at=now,
            created_by=by,
        )

        def change(tx: StoreTx) -> None:
            old = tx.get(POLICIES, BUNDLE_ROW)
            there = NO_POLICY_BUNDLE if old is None else load_bundle(old.document)
            stored = there.stored_for(
                PolicyTrust(bundle.org, bundle.vault, bundle.key, bundle.authority)
            )
            if (stored.version, stored.hash) == (bundle.version, bundle.hash):
                return
            if stored.version >= bundle.version:
                raise ConflictError("bundle_older", "a newer bundle is in force")
            tx.put(POLICIES, row)

        async def take_over() -> None:
            self.snapshot = self.snapshot.with_changes(bundle=await self._stored_bundle())

        await self._change(change, take_over)
        return self.snapshot.bundle

    def active_bundle(self, trust: PolicyTrust | None = None) -> ActiveBundle:
        """The control plane's bundle in force; with `trust` only what came by that enrolment."""
        found = self.snapshot.bundle
        if trust is not None and not found.is_from(trust):
            return ActiveBundle(0, ZERO_HASH, 0, 0)
        narrowed = count_narrowed(self.ceiling, found.policies)
        return ActiveBundle(found.version, found.hash, found.expires, narrowed)

    async def delete_bundle(self, *, by: Identity) -> PolicyBundle:
        """Remove the control plane's bundle; it is out of force on return. Returns what it was.

        Raises `AuthorizationError` if one of its policies denies the caller something.
        """

        def change(tx: StoreTx) -> PolicyBundle:
            row = tx.get(POLICIES, BUNDLE_ROW)
            if row is None:
                return NO_POLICY_BUNDLE
            dropped = load_bundle(row.document)
            _require_not_denied(by, dropped)
            tx.delete(POLICIES, BUNDLE_ROW)
            return dropped

        async def take_over() -> None:
            self.snapshot = self.snapshot.with_changes(bundle=await self._stored_bundle())

        return await self._change(change, take_over)

    async def _stored_bundle(self) -> PolicyBundle:
        row = await self._store.get(POLICIES, BUNDLE_ROW)
        return NO_POLICY_BUNDLE if row is None else load_bundle(row.document)

    async def _write(self, name: str, change: Callable[[StoreTx], T]) -> T:
        async def take_over() -> None:
            row = await self._store.get(POLICIES, name)
            written = () if row is None else (await self._world.run_sync(_policy, row),)
            self.snapshot = self.snapshot.with_changes(written, (name,))

        return await self._change(change, take_over)

    async def _change(self, change: Callable[[StoreTx], T], take_over: Apply) -> T:
        """Store a change and take it over into the snapshot, one at a time.

        Shielded, and read back whatever came of it: a caller who leaves, or a commit of unknown
        outcome, must not leave the snapshot behind what is stored. If that cannot be read, or
        another transaction has ended meanwhile, the snapshot is left stale.
        """
        with trio.CancelScope(shield=True):
            async with self._writing.hold():
                before = self._store.count_transactions(POLICIES)
                was_seen = before == self._seen
                written = self._written = trio.Event()
                try:
                    result = await self._store.commit(change)
                    with suppress(VaultError):  # it is stored, whatever comes of reading it back
                        await take_over()
                        if was_seen and self._store.count_transactions(POLICIES) == before + 1:
                            self._seen = before + 1
                except VaultError:
                    with suppress(VaultError):
                        await take_over()
                    raise
                finally:
                    self._written = None
                    written.set()
        return result


def _check_cas(policy: Policy, old: PolicyRow | None, cas: int | None) -> None:
    """Raise `ConflictError` or `ValidationError`, in OpenBao's words, unless the edition is right.

    A write must name it where what is stored asks for that, and where it asks for it itself.
    """
    edition = 0 if old is None else old.version
    if cas is None:
        if policy.cas_required or (old is not None and old.document.get("cas_required")):
            raise ValidationError(
                "cas_required", "check-and-set parameter required for this call", field="cas"
            )
    elif cas == NO_EDITION and old is not None:
        raise ConflictError("cas_mismatch", "check-and-set parameter set to -1 on existing entry")
    elif cas not in {edition, NO_EDITION}:
        raise ConflictError(
            "cas_mismatch",
            f"check-and-set parameter {cas} did not match the current version {edition}",
        )


def _require_room(tx: StoreTx) -> None:
    """Raise `ValidationError` (`policies_full`) when there are as many policies as there may be."""
    bundles = int(tx.get(POLICIES, BUNDLE_ROW) is not None)
    if tx.count_rows(POLICIES, MAX_POLICIES + bundles) >= MAX_POLICIES + bundles:
        raise ValidationError("policies_full", f"there are {MAX_POLICIES} policies")


def _require_denials_kept(by: Identity, row: PolicyRow, new: Policy | None) -> None:
    """Raise `AuthorizationError` if the change lifts a denial that binds the caller."""
    if row.name not in by.binding_policies:
        return
    old = _policy(row)
    kept = new is not None and (
        (new.enabled or not old.enabled)
        and all(condition in old.conditions for condition in new.conditions)
        and all(rule in new.rules for rule in old.rules if is_denial(rule))
        and _keeps_acl_denials(old, new)
    )
    if old.has_denials and not kept:
        raise AuthorizationError(
            "denial_lifted",
            f'policy "{row.name}" denies you something: its denials must stay as they are; '
            "only somebody who is not bound by it can change them",
        )


def _keeps_acl_denials(old: Policy, new: Policy) -> bool:
    """Whether all that is denied in Vault's language stays so, and as long."""
    before = old.acl_policy
    after = {} if new.acl_policy is None else new.acl_policy.denials
    return before is None or all(
        path in after and (not after[path] or 0 < until <= after[path])
        for path, until in before.denials.items()
    )


def _require_acl_denials_kept(
    by: Identity, tx: StoreTx, row: PolicyRow | None, new: Policy
) -> None:
    """Raise `AuthorizationError` if a path would lift a less specific denial that binds the caller.

    In Vault's language the most specific path decides, in whichever policy it is.
    """
    written = new.acl_policy if new.enabled else None
    if written is None or not written.allows:
        return
    old = None if row is None else _policy(row)
    before = old.acl_policy if old is not None and old.enabled else None
    known = {
        (path.path, path.expires_at)
        for path in (before.paths if before else ())
        if before and path.path not in before.denials
    }
    added = [path for path in written.paths if (path.path, path.expires_at) not in known]
    held = (tx.get(POLICIES, name) for name in sorted(by.binding_policies))
    bound = [acl for each in held if each is not None and (acl := _policy(each).acl_policy)]
    denials = AclDenials(path for acl in bound for path in acl.denials)
    for path in added:
        if AclCapability.DENY not in path.capabilities and (denial := denials.lifted_by(path.path)):
            raise AuthorizationError(
                "denial_lifted",
                f'path "{path.path}" would lift the denial of "{denial}", which binds you: '
                "only somebody who is not bound by it can write it",
            )


def _require_not_denied(by: Identity, bundle: PolicyBundle) -> None:
    """Raise `AuthorizationError` if a policy of a bundle denies the caller something."""
    for policy in bundle.policies:
        if policy.name in by.binding_policies and policy.has_denials:
            raise AuthorizationError(
                "denial_lifted",
                f'the control plane\'s policy "{policy.name}" denies you something: '
                "only somebody who is not bound by it can drop the control plane's policies",
            )


def _read_policies(rows: Iterable[PolicyRow]) -> list[Policy]:
    return [_policy(row) for row in rows]


def _policy(row: PolicyRow) -> Policy:
    try:
        policy = validate_policy(row.document)
        _ = policy.acl_summary  # read in this thread
    except ValidationError as fault:
        # Skipping it could drop a denial: better no data path than a wider one.
        raise UnavailableError(
            "policy_unreadable", f"the stored policy {row.name} is not understood: {fault.message}"
        ) from None
    if policy.name != row.name:
        raise UnavailableError("policy_unreadable", f"the stored policy {row.name} has two names")
    return policy
