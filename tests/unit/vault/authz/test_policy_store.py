"""The book: what is stored is in force, and a snapshot is whole."""

from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

import msgspec
import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from actors.world import SystemWorld
from tests.support.no_guard import NoGuard
from tests.unit.vault.authz.conftest import caller
from vault.authn.roles import load_service_identity
from vault.authz import policy_store as module
from vault.authz.access import AccessRequest
from vault.authz.authorizer import Authorizer
from vault.authz.policy import validate_policy
from vault.authz.policy_bundle import PolicyBundle
from vault.authz.policy_store import PolicySnapshot, PolicyStore
from vault.errors import (
    AuthorizationError,
    ConflictError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from vault.model.identity import Identity, Method, Permission, service_identity
from vault.model.operation import Capability, Origin
from vault.model.path import ResourcePath
from vault.model.records import PolicyRow, RoleRow
from vault.store.interface import StoreSession, WriteSet
from vault.store.memory import MemoryBackend
from vault.store.store import open_store
from vault.store.tables import POLICIES, ROLES
from vault.store.transaction import transact


def _document(name: str, path: str = "secret/*") -> dict[str, Any]:
    return {
        "name": name,
        "rules": [{"effect": "allow", "paths": [path], "capabilities": ["read"]}],
    }


def _identity(*policies: str, permissions: tuple[Permission, ...] = ()) -> Identity:
    return Identity(
        id="u", name="u", method=Method.TOKEN, policies=policies, permissions=permissions
    )


async def test_put_get_delete(store: Any, world: Any) -> None:
    """A policy is in force when `put` returns and out of force when `delete` does."""
    book = PolicyStore(store, world)
    row = await book.put(_document("app"), by=caller("ann"))
    assert (row.version, row.created_by) == (1, "ann")
    assert book.get("APP").rules[0].paths == ("secret/*",)
    assert book.names() == ["app", "default", "root", "service-rotation"]
    assert len(book.snapshot.compiled_for(_identity("app")).rules.rules) == 1
    await book.delete("app", by=caller("ann"))
    assert book.snapshot.compiled_for(_identity("app")).rules.rules == ()
    with pytest.raises(NotFoundError):
        book.get("app")
    with pytest.raises(NotFoundError):
        await book.delete("app", by=caller("ann"))


async def test_a_policy_that_is_written_again_begins_anew(store: Any, world: Any) -> None:
    """The version counts from 1, as docs/reference/policies.md says of `cas`; the id tells."""
    book, by = PolicyStore(store, world), caller("ann")
    first = await book.put(_document("app"), by=by)
    edited = await book.put(_document("app"), by=by, cas=first.version)
    await book.delete("app", by=by)
    with pytest.raises(ConflictError):
        await book.put(_document("app"), by=by, cas=edited.version)
    again = await book.put(_document("app"), by=by, cas=0)
    assert again.version == 1
    assert again.id != first.id
    with pytest.raises(ConflictError):
        await book.put(_document("app"), by=by, cas=edited.version)


async def test_versions(store: Any, world: Any) -> None:
    """Writing again keeps the id and counts the version; `create_only` refuses."""
    book = PolicyStore(store, world)
    first = await book.put(_document("app"), by=caller("ann"))
    world.time += 5
    second = await book.put(_document("app", "kv/*"), by=caller("bob"))
    assert (second.id, second.version, second.created_at) == (first.id, 2, first.created_at)
    assert second.updated_at == first.updated_at + 5
    with pytest.raises(ConflictError):
        await book.put(_document("app"), by=caller("bob"), create_only=True)
    assert book.get("app").rules[0].paths == ("kv/*",)


async def test_reload(store: Any, world: Any) -> None:
    """A book opened on stored policies decides as the one that wrote them, over many pages."""
    first = PolicyStore(store, world)
    await first.put(_document("app"), by=caller("ann"))
    rows = [
        PolicyRow(
            name=f"p{i:04}", id=f"{i}", version=1, document=_document(f"p{i:04}"),
            created_at=1, updated_at=1, created_by="x",
        )
        for i in range(1500)
    ]  # fmt: skip
    await store.commit(lambda tx: [tx.put(POLICIES, row) for row in rows])
    second = PolicyStore(store, world)
    await second.reload()
    assert len(second.names()) == 1504
    assert second.get("app") == first.get("app")


async def test_unreadable_policy(store: Any, world: Any) -> None:
    """A stored policy that is not understood, or bears two names, stops the book."""
    for number, document in enumerate(({"name": "x", "rules": 3}, _document("other"))):
        row = PolicyRow(
            name="x", id=f"{number}", version=1, document=document,
            created_at=1, updated_at=1, created_by="x",
        )  # fmt: skip
        await store.commit(lambda tx, row=row: tx.put(POLICIES, row))
        with pytest.raises(UnavailableError, match="x"):
            await PolicyStore(store, world).reload()


async def test_root_and_default(store: Any, world: Any) -> None:
    """Root is neither written nor deleted; a deleted default is the built-in one again."""
    book = PolicyStore(store, world)
    for name in ("root", "ROOT"):
        with pytest.raises(ValidationError):
            await book.put({"name": name}, by=caller("ann"))
        with pytest.raises(ValidationError):
            await book.delete(name, by=caller("ann"))
    built_in = book.get("default")
    await book.put(_document("default"), by=caller("ann"))
    assert book.get("default") != built_in
    await book.delete("default", by=caller("ann"))
    await book.delete("default", by=caller("ann"))  # it is as it should be
    assert book.get("default") == built_in


def test_default_is_valid() -> None:
    """The built-in default passes the validation that everybody's policies do."""
    assert (
        validate_policy(module.policy_document(module.BUILT_IN_DEFAULT)) == module.BUILT_IN_DEFAULT
    )


async def test_unknown_outcome(store: Any, world: Any) -> None:
    """When a commit was stored but its answer lost, the snapshot still holds what is stored."""

    def lost() -> None:
        raise UnavailableError("store_unavailable", "answer lost")

    book = PolicyStore(store, world)
    store.after_commit = lost
    with pytest.raises(UnavailableError):
        await book.put(_document("app"), by=caller("ann"))
    assert book.get("app").name == "app"


async def test_refused_write_changes_nothing(store: Any, world: Any) -> None:
    """A document with a fault is not stored and the one in force stays."""
    book = PolicyStore(store, world)
    await book.put(_document("app"), by=caller("ann"))
    with pytest.raises(ValidationError):
        await book.put(_document("app", "a//b"), by=caller("ann"))
    assert book.get("app").rules[0].paths == ("secret/*",)
    assert [row.version for row in await book.stored_rows()] == [1]


async def test_effective(store: Any, world: Any) -> None:
    """An identity's policies are those that exist; names that mean nothing are told apart."""
    book = PolicyStore(store, world)
    await book.put(_document("app"), by=caller("ann"))
    found = book.effective_policies(_identity("app", "default", "gone", "root", "app"))
    assert [policy.name for policy in found.policies] == ["app", "default"]
    assert (found.root, found.unknown) == (True, ("gone",))


def test_sets_are_shared_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One combination of policies is compiled once; what is kept has a bound in sets and weight."""
    snapshot = PolicySnapshot([validate_policy(_document(f"p{i}")) for i in range(20)])
    one = snapshot.compiled_for(_identity("p1"))
    assert snapshot.compiled_for(_identity("p1")) is one
    cut = (Permission(capabilities=("read",), paths=("secret/*",)),)
    assert snapshot.compiled_for(_identity("p1", permissions=cut)) is not one
    monkeypatch.setattr(module, "MAX_SETS", 5)
    for i in range(20):
        snapshot.compiled_for(_identity(f"p{i}"))
    assert len(snapshot._sets) == 5
    monkeypatch.setattr(module, "MAX_WEIGHT", 4)
    snapshot.compiled_for(_identity("p1", "p2"))
    assert snapshot._weight <= 4
    assert snapshot._weight == sum(kept.weight for kept in snapshot._sets.values())


async def test_full(store: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of stored policies has a bound; those that exist can still be written."""
    monkeypatch.setattr(module, "MAX_POLICIES", 2)
    book = PolicyStore(store, world)
    await book.put(_document("a"), by=caller("ann"))
    await book.put(_document("b"), by=caller("ann"))
    with pytest.raises(ValidationError, match="2 policies"):
        await book.put(_document("c"), by=caller("ann"))
    await book.put(_document("a", "kv/*"), by=caller("ann"))
    await book.delete("b", by=caller("ann"))
    await book.put(_document("c"), by=caller("ann"))


def _intricate(name: str, rules: int, form: str = "+") -> dict[str, Any]:
    rule = {"effect": "allow", "capabilities": ["*"]}
    paths = [[f"{form}/{name}{i}/{j}" for j in range(100)] for i in range(rules)]
    return {"name": name, "rules": [{**rule, "paths": those} for those in paths]}


async def test_patterns_that_are_matched_one_by_one_are_bounded(store: Any, world: Any) -> None:
    """As many paths with `+` as the bound says; one of an older version still counts."""
    book = PolicyStore(store, world)
    row = await book.put(_intricate("most", 10), by=caller("ann"))
    with pytest.raises(ValidationError, match=r"at most 1000 paths with '\+'") as told:
        await book.put(_intricate("more", 11), by=caller("ann"))
    assert told.value.details["field"] == "rules"
    await book.put(_intricate("literal", 100, "a"), by=caller("ann"))
    older = msgspec.structs.replace(row, name="older", document=_intricate("older", 11))
    transact(store.backend, lambda tx: tx.put(POLICIES, older), NoGuard())
    await book.reload()
    assert book.get("older").name == "older"


async def test_large_policies_are_compiled_in_a_thread(store: Any, world: Any) -> None:
    """Once, whoever asks for them meanwhile; small ones where they are needed."""
    book, threads = PolicyStore(store, world), []

    async def run_sync(fn: Callable[..., Any], *args: Any, **more: Any) -> Any:
        threads.append(fn)
        return await trio.to_thread.run_sync(partial(fn, *args), **more)

    await book.put(_intricate("large", 30, "a"), by=caller("ann"))
    await book.put(_document("app"), by=caller("ann"))
    world.run_sync = run_sync
    assert book.snapshot.is_ready(_identity("app"))
    permission = Permission(
        capabilities=("*",), paths=tuple(f"a/{i}" for i in range(module.MAX_INLINE_PATHS))
    )
    assert not book.snapshot.is_ready(_identity("app", permissions=(permission,)))
    large = _identity("large", "app")
    assert not book.snapshot.is_ready(large)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(book.prepare, large)
    assert len(threads) == 1
    assert book.snapshot.is_ready(large)
    assert len(book.snapshot.compiled_for(large).rules.rules) == 31


def _fleet(version: int, *documents: dict[str, Any], org: str = "acme") -> PolicyBundle:
    policies = tuple(validate_policy(document) for document in documents)
    return PolicyBundle(
        org=org, vault="prod", version=version, hash=bytes([version]) * 32, policies=policies
    )


async def test_a_bundle_counts_beside_local_policies_and_survives(store: Any, world: Any) -> None:
    """A bundle is in force when `put_bundle` returns, for names held, and after a restart."""
    ceiling = validate_policy(_document("ceiling"))
    book = PolicyStore(store, world, ceiling)
    await book.put(_document("local", "kv/*"), by=caller("ann"))
    await book.put_bundle(_fleet(1, _document("app"), _document("default")), by="fleet")
    for opened in (book, PolicyStore(store, world, ceiling)):
        await opened.reload()
        assert opened.names() == ["app", "default", "local", "root", "service-rotation"]
        assert opened.listing().control_plane == ["app", "default"]
        assert opened.listing().local == ["default", "local", "root", "service-rotation"]
        assert opened.get("app").source == "control_plane"
        assert opened.get("local").source is msgspec.UNSET
        assert opened.get("app").name == "app"
        labels = [
            r.label for r in opened.snapshot.compiled_for(_identity("app", "default")).rules.rules
        ]
        assert "fleet:app/rules[0]" in labels
        assert "default/rules[0]" in labels
        assert opened.effective_policies(_identity("app", "none")).unknown == ("none",)
        assert [p.name for p in opened.effective_policies(_identity("app")).fleet] == ["app"]
        assert [row.name for row in await opened.stored_rows()] == ["local"]


async def test_a_bundle_never_goes_back(store: Any, world: Any) -> None:
    """An older one is refused, the same one changes nothing, another agent's counts from 0."""
    book = PolicyStore(store, world)
    await book.put_bundle(_fleet(5, _document("app")), by="fleet")
    assert (await book.put_bundle(_fleet(5, _document("app")), by="fleet")).version == 5
    for older in (_fleet(4), PolicyBundle(org="acme", vault="prod", version=5, hash=b"x" * 32)):
        with pytest.raises(ConflictError):
            await book.put_bundle(older, by="fleet")
    assert book.snapshot.bundle.version == 5
    assert (await book.put_bundle(_fleet(1, org="other"), by="fleet")).org == "other"


async def test_a_local_write_keeps_the_bundle(store: Any, world: Any) -> None:
    """Writing and deleting local policies leaves the control plane's in force."""
    book = PolicyStore(store, world)
    await book.put_bundle(_fleet(1, _document("app")), by="fleet")
    await book.put(_document("app", "kv/*"), by=caller("ann"))
    await book.delete("app", by=caller("ann"))
    assert book.snapshot.bundle.version == 1
    assert book.get("app").rules[0].paths == ("secret/*",)


async def test_a_change_that_is_stored_late_is_followed(store: Any, world: Any) -> None:
    """One that was told as timed out and stored long after is in force at the next decision."""
    book, late = PolicyStore(store, world), PolicyStore(store, world)
    await book.reload()
    await book.put(_document("app"), by=caller("ann"))
    assert not book.is_stale
    await late.put(_document("app", "kv/*"), by=caller("ann"))
    assert book.is_stale
    await book.refresh()
    assert not book.is_stale
    assert book.get("app").rules[0].paths == ("kv/*",)


async def test_a_late_change_is_not_taken_for_the_one_that_follows(store: Any, world: Any) -> None:
    """A write that succeeds after it takes over its own policy, and leaves the rest to be read."""
    book, late = PolicyStore(store, world), PolicyStore(store, world)
    await book.reload()

    def meanwhile() -> None:
        store.commits += 1
        row = msgspec.structs.replace(stored, name="other", document=_document("other"))
        transact(store.backend, lambda tx: tx.put(POLICIES, row), NoGuard())

    stored = await late.put(_document("app"), by=caller("ann"))
    await book.reload()
    store.after_commit = meanwhile
    await book.put(_document("app", "kv/*"), by=caller("ann"))
    assert book.get("app").rules[0].paths == ("kv/*",)
    assert book.is_stale
    await book.refresh()
    assert book.get("other").name == "other"


async def test_what_cannot_be_read_back_is_stored_all_the_same(store: Any, world: Any) -> None:
    """A write is told as done; nothing is decided until the book can be read."""

    async def gone(*_: object) -> None:
        raise UnavailableError("store_unavailable", "gone")

    book = PolicyStore(store, world)
    await book.reload()
    get, select = store.get, store.select
    store.get = store.select = gone
    assert (await book.put(_document("app"), by=caller("ann"))).version == 1
    assert book.is_stale
    with pytest.raises(UnavailableError):
        await book.refresh()
    assert book.is_stale
    store.get, store.select = get, select
    await book.refresh()
    assert book.get("app").name == "app"


async def test_an_older_reading_replaces_no_newer_one(store: Any, world: Any) -> None:
    """Who began to read before a write, and ended after it, throws away what was read."""
    book = PolicyStore(store, world)
    await book.reload()
    select = store.select

    async def slow(*asked: Any) -> Any:
        found = await select(*asked)
        store.select = select
        await book.put(_document("app"), by=caller("ann"))
        return found

    store.select = slow
    await book.reload()
    assert book.get("app").name == "app"


async def test_a_write_behind_others_waits_for_a_bounded_time(
    store: Any, world: Any, autojump_clock: MockClock
) -> None:
    """On a disk that has stalled the tenth does not wait ten times as long as the first."""
    book, commit = PolicyStore(store, world), store.commit

    async def stalled(change: Any) -> Any:
        await trio.sleep(30)
        return await commit(change)

    async def put(number: int) -> None:
        try:
            await book.put(_document(f"app{number}"), by=caller("ann"))
        except UnavailableError as error:
            refused.append((error.code, trio.current_time() - begun))

    store.commit, refused, begun = stalled, list[tuple[str, float]](), trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(put, number)
    assert len(refused) == 9
    assert all(code == "store_busy" and after < 11 for code, after in refused)


class Stalling(MemoryBackend):
    """A database whose writes wait while it has stalled."""

    def __init__(self) -> None:
        super().__init__()
        self.going = Event()
        self.going.set()

    def write(self, apply: Callable[[StoreSession], WriteSet]) -> None:
        """As the memory does, later."""
        assert self.going.wait(60)
        super().write(apply)


async def test_a_write_that_timed_out_is_followed_once_it_is_stored() -> None:
    """Through the real store: what it was told as unknown decides as soon as it is known."""
    backend, world = Stalling(), SystemWorld()
    async with open_store(backend, NoGuard(), world) as opened:
        book = PolicyStore(opened, world)
        await book.reload()
        await book.put(_document("app"), by=caller("ann"))
        commit = opened.commit
        opened.commit = partial(commit, deadline=0.05)  # type: ignore[method-assign]  # for 30 s
        backend.going.clear()
        with pytest.raises(UnavailableError, match="store_timeout"):
            await book.put(_document("app", "kv/*"), by=caller("ann"))
        assert not book.is_stale
        assert book.get("app").rules[0].paths == ("secret/*",)
        backend.going.set()
        await commit(lambda _: None)  # behind it
        assert book.is_stale
        await book.refresh()
        assert book.get("app").rules[0].paths == ("kv/*",)


def heavy(name: str, rules: int, conditions: int) -> dict[str, Any]:
    """A policy with so many conditions on so many rules, each for other secrets."""
    rule = {
        "effect": "allow",
        "capabilities": ["read"],
        "conditions": [{"type": "tags", "all": [f"t{i}"]} for i in range(conditions)],
    }
    return {
        "name": name,
        "rules": [{**rule, "paths": [f"secret/{name}/{i}"]} for i in range(rules)],
    }


async def test_a_set_of_policies_is_not_heavier_than_its_bound(store: Any, world: Any) -> None:
    """Each may be all right: whoever has all of them may do nothing, and is told of which."""
    book = PolicyStore(store, world)
    for name in "ab":
        await book.put(heavy(name, 100, 10), by=caller("ann"))
    await book.put(heavy("c", 1, 1), by=caller("ann"))
    assert book.snapshot.compiled_for(_identity("a", "b", "default")).rules.rules
    for held in (_identity("a", "b", "c"), replace(_identity("c"), denied_by=("a", "b"))):
        assert book.snapshot.is_ready(held)
        with pytest.raises(AuthorizationError, match="policy_set_too_heavy") as told:
            book.snapshot.compiled_for(held)
        assert "2001" in told.value.message
        assert "a (1000), b (1000), c (1)" in told.value.message
    assert book.snapshot.compiled_for(_identity("a", "b", "c", "root")).rules.root
    await book.delete("c", by=caller("ann"))
    assert book.snapshot.compiled_for(_identity("a", "b", "c")).rules.rules


async def test_a_policy_that_alone_is_too_heavy_is_not_written(store: Any, world: Any) -> None:
    """Conditions of the policy count for each rule, many networks for several."""
    book = PolicyStore(store, world)
    networks = [f"10.0.{i}.0/24" for i in range(160)]
    policy = heavy("a", 200, 0)
    policy["conditions"] = [{"type": "source_network", "networks": networks}]
    with pytest.raises(ValidationError, match="policy_invalid") as told:
        await book.put(policy, by=caller("ann"))
    assert "not 2200" in str(told.value.details)
    policy["conditions"][0]["networks"] = networks[:128]
    await book.put(policy, by=caller("ann"))


def decided(book: PolicyStore, identity: Identity, capability: Capability, path: str) -> bool:
    """Whether the policies allow it."""
    access = AccessRequest(
        capability=capability,
        path=ResourcePath.parse(path),
        identity=identity,
        origin=Origin(ip="192.0.2.1"),
        now=0,
    )
    return Authorizer(book).decide(access).allowed


async def test_the_policy_of_a_service_is_its_own_until_it_is_written(
    store: Any, world: Any
) -> None:
    """Whoever has its name gains nothing by what is built in; it can be written and goes back."""
    book, other = PolicyStore(store, world), _identity("service-rotation")
    service = service_identity("rotation")
    assert book.get("service-rotation").rules[0].paths == ("*",)
    assert book.effective_policies(service).unknown == ()
    assert book.effective_policies(other).unknown == ("service-rotation",)
    for _ in range(2):  # before and behind the cache of compiled sets
        assert decided(book, service, Capability.UPDATE, "secret/a")
        assert not decided(book, service, Capability.DELETE, "secret/a")
        assert not decided(book, other, Capability.UPDATE, "secret/a")
    await book.put(_document("service-rotation"), by=caller("ann"))
    assert decided(book, service, Capability.READ, "secret/a")
    assert not decided(book, service, Capability.UPDATE, "secret/a")
    await book.delete("service-rotation", by=caller("ann"))
    assert decided(book, service, Capability.UPDATE, "secret/a")
    await book.delete("service-rotation", by=caller("ann"))


async def test_policies_that_a_service_is_given_can_deny(store: Any, world: Any) -> None:
    """They are those of the role that has the name of its own policy; root lifts nothing."""
    book, now = PolicyStore(store, world), world.now()
    rule = {"effect": "deny", "paths": ["secret/legacy/*"], "capabilities": ["*"]}
    await book.put({"name": "no-legacy", "rules": [rule]}, by=caller("ann"))
    role = RoleRow(
        name="service-rotation", policies=["no-legacy", "root"], created_at=now, updated_at=now
    )
    await store.commit(lambda tx: tx.put(ROLES, role))
    service = await load_service_identity(store, "rotation")
    assert service.policies == ("service-rotation", "no-legacy")
    assert decided(book, service, Capability.UPDATE, "secret/a")
    assert not decided(book, service, Capability.UPDATE, "secret/legacy/a")
    assert (await load_service_identity(store, "key-rotation")).policies == ("root",)
