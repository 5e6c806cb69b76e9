"""The policy time machine, on a real book, real credentials and an index in memory."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from tests.unit.vault.handlers.conftest import NOW, ROOT, SECOND, House
from vault.audit.query import AuditPage, AuditQuery
from vault.authn.api_keys import ApiKeys
from vault.authn.credential_owners import CredentialOwners
from vault.authn.credential_usage import CredentialUsage
from vault.authn.revocation import Revoker
from vault.authn.roles import load_service_identity
from vault.authn.tokens import NewToken
from vault.authn.users import Users
from vault.authz.policy import validate_policy
from vault.authz.policy_bundle import PolicyBundle
from vault.errors import ConflictError, ValidationError
from vault.handlers import policy_replay as module
from vault.handlers.handler import Call
from vault.handlers.policy_replay import PolicyReplayHandlers
from vault.handlers.stores import SecretStore
from vault.model.audit_row import AuditRow
from vault.model.identity import Identity
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import CreateUser, WriteMetadata, WritePolicy
from vault.model.policy_replay import (
    MAX_CHANGES,
    MAX_WRITTEN,
    PolicyReplayReport,
    ReplayPolicies,
    Stop,
    Undecided,
)
from vault.seal.bound_keys import PepperedScheme

READ = {"effect": "allow", "paths": ["s/*"], "capabilities": ["read"]}
ALLOW = {"name": "app", "rules": [READ]}
DENY = {"name": "app", "rules": []}
FAULTY = {"name": "x", "rules": [READ | {"paths": ["/"]}]}


@dataclass
class Log:
    """An index that pages as the real one does."""

    rows: list[AuditRow] = field(default_factory=list)
    searches: int = 0

    async def search(self, query: AuditQuery) -> AuditPage:
        """See `Index`."""
        await trio.lowlevel.checkpoint()
        self.searches += 1
        below = query.validated_cursor()
        found = [
            one
            for one in sorted(self.rows, key=lambda one: -one.seq)
            if query.since <= one.time <= query.until and (below is None or one.seq < below)
        ]
        more = len(found) > query.limit
        found = found[: query.limit]
        return AuditPage(found, str(found[-1].seq) if more else "")


@dataclass
class Machine:
    """A house with a log."""

    house: House
    log: Log
    replays: PolicyReplayHandlers
    root: Identity
    accessor: str = ""

    async def token(self, ttl: int = 0) -> str:
        """The accessor of one more token with the policy."""
        new = NewToken(policies=("app",), no_parent=True, ttl=ttl)
        return (await self.house.tokens.create(self.root, new)).row.accessor

    async def run(self, **asked: Any) -> PolicyReplayReport:
        """As the pipeline would."""
        payload = ReplayPolicies(**{"since": 1, "until": self.house.world.time, **asked})
        op = Operation(
            type=OperationType("policy.replay"),
            path=ResourcePath.parse("sys/policies-replay"), payload=payload,
            request_id="r", credential=None, origin=Origin(ip=""),
        )  # fmt: skip
        found: PolicyReplayReport = await self.replays.handlers()["policy.replay"].run(
            Call(op, ROOT)
        )
        return found

    def seen(self, path: str = "s/a", **changes: Any) -> None:
        """One more read on record, by the token."""
        fields: dict[str, Any] = {
        "node": "n",
            "seq": len(self.log.rows) + 1, "time": self.house.world.time,
            "request_id": "r", "phase": "outcome", "operation": "secret.read", "path": path,
            "capability": "read", "actor_id": self.accessor, "actor_name": "token",
            "method": "token", "credential": self.accessor, "ip": "10.0.0.1", "user_agent": "",
            "dialect": "native", "result": "ok",
        }  # fmt: skip
        self.log.rows.append(AuditRow(**fields | changes))


@pytest.fixture
async def machine(house: House) -> Machine:
    """A policy `app` that allows reading, and a token with it."""
    usage = CredentialUsage(house.store, house.world)
    revoker = Revoker(house.store, house.sessions, house.world.now)
    scheme = PepperedScheme(bytes(32))
    keys = ApiKeys(house.store, scheme, revoker, usage, house.world)
    owners = CredentialOwners(keys, house.tokens, Users(house.store, revoker, house.world))
    log = Log()
    replays = PolicyReplayHandlers(
        house.book, log, owners, partial(load_service_identity, house.store),
        SecretStore(house.barrier),
        lambda kind, id_: f"{kind}:{id_}".encode(),
        house.handlers, house.world,
    )  # fmt: skip
    await house.do("policy.write", "sys/policies/app", WritePolicy(document=ALLOW))
    root = replace(ROOT, credential=(await house.tokens.create_root()).row.accessor)
    machine = Machine(house, log, replays, root)
    machine.accessor = await machine.token()
    return machine


async def test_the_policies_in_force_change_nothing(machine: Machine) -> None:
    """Without a candidate everything is as it is on record; a refusal stays one."""
    machine.seen()
    machine.seen("t/a", result="denied", code="permission_denied")
    found = await machine.run()
    assert (found.records, found.accesses, found.unchanged, found.drifted) == (2, 2, 2, 0)
    assert (found.changes, found.undecided, found.stopped) == ((), {}, Stop.NOTHING)
    assert found.reached == found.since


async def test_a_policy_that_is_changed_added_or_deleted(machine: Machine) -> None:
    """Each is told as it would be: who, what, where, and by which rule from then on."""
    machine.seen()
    for asked in ({"write": (DENY,)}, {"delete": ("app",)}):
        found = await machine.run(**asked)
        (change,) = found.changes
        assert (found.denied, found.allowed, change.allowed, change.rule) == (1, 0, False, "")
        assert (change.actor_id, change.path, change.count) == (machine.accessor, "s/a", 1)
        assert (change.rule_now, change.last_ip) == ("app/rules[0]", "10.0.0.1")
    machine.seen("t/a", result="denied", code="permission_denied")
    wider = {"name": "app", "rules": [READ | {"paths": ["*"]}]}
    found = await machine.run(write=(wider,))
    assert (found.denied, found.allowed, found.unchanged) == (0, 1, 1)
    assert machine.house.book.get("app").rules[0].paths == ("s/*",)  # nothing was written


async def test_a_bundle_counts_within_the_ceiling(machine: Machine) -> None:
    """A candidate of the control plane denies at once, and allows only what the ceiling does."""
    machine.seen()
    machine.seen("t/a", result="denied", code="permission_denied")
    central = {"name": "app", "rules": [READ | {"paths": ["t/*"]}]}
    assert (await machine.run(bundle=(central,))).unchanged == 2  # no ceiling: it grants nothing
    denial = {"name": "app", "rules": [READ | {"effect": "deny"}]}
    found = await machine.run(bundle=(denial,))
    assert (found.denied, found.changes[0].rule) == (1, "fleet:app/rules[0]")
    fleet = PolicyBundle(version=1, policies=(validate_policy(denial),))
    machine.house.book.snapshot = machine.house.book.snapshot.with_changes(bundle=fleet)
    found = await machine.run(bundle=())
    assert (found.allowed, found.drifted) == (1, 1)  # it was let in before that bundle came


async def test_what_the_caller_holds_now_counts(machine: Machine) -> None:
    """A user's key has what its user has; what was recorded otherwise has drifted."""
    written = await machine.house.do(
        "user.create", "sys/users/", CreateUser(username="ann", policies=("app",))
    )
    user = written.user
    key = (await machine.replays.owners._keys.create(ROOT, user.id, "k")).key
    machine.seen(method="api_key", credential=key.id, actor_id=user.id)
    machine.seen(
        "t/a", method="api_key", credential=key.id, actor_id=user.id, time=NOW - 5
    )  # fmt: skip
    found = await machine.run(write=(DENY,))
    assert (found.denied, found.unchanged, found.drifted) == (1, 1, 1)


async def test_whose_policies_are_gone_is_said(machine: Machine) -> None:
    """A revoked token, an unknown method, an id that is somebody else's."""
    machine.seen()
    machine.seen(method="jwt")
    machine.seen(actor_id="other")
    await machine.house.tokens.revoke(
        await machine.house.tokens.lookup_accessor(machine.accessor)
    )  # fmt: skip
    found = await machine.run(write=(DENY,))
    assert found.undecided == {Undecided.CREDENTIAL_GONE: 3}
    assert (found.accesses, found.denied) == (3, 0)


async def test_a_token_that_has_expired_since_is_judged_at_its_time(machine: Machine) -> None:
    """Its row is there until it is swept."""
    accessor = await machine.token(ttl=60 * SECOND)
    machine.seen(actor_id=accessor, credential=accessor)
    machine.house.world.time += 3600 * SECOND
    assert (await machine.run(write=(DENY,))).denied == 1


async def test_background_work_is_allowed_everything(machine: Machine) -> None:
    """As it is when it happens."""
    machine.seen(
        "sys/x", method="service", actor_id="service:x", operation="sys.rotate", phase="intent"
    )
    assert (await machine.run(write=(DENY,))).unchanged == 1


async def test_a_record_without_a_whole_path_is_said(machine: Machine) -> None:
    """It is not decided by half of a name."""
    machine.seen("s//a")
    assert (await machine.run()).undecided == {Undecided.RECORD_CUT: 1}


async def test_tags_count_while_they_are_what_they_were(machine: Machine) -> None:
    """A secret that changed after the record leaves it undecided; so does a write's own tags."""
    tagged = {"name": "app", "rules": [READ | {"conditions": [{"type": "tags", "any": ["x"]}]}]}
    await machine.house.write("s/a", tags=["x"])
    await machine.house.write("s/b", tags=["y"])
    machine.house.world.time += SECOND
    for path in ("s/a", "s/b", "s/none"):
        machine.seen(path)
    machine.seen(operation="secret.write", phase="intent")
    found = await machine.run(write=(tagged,))
    assert (found.unchanged, found.denied) == (1, 1)
    assert found.changes[0].path == "s/b"
    assert found.undecided == {Undecided.SECRET_CHANGED: 2}
    machine.house.world.time += SECOND
    await machine.house.do("secret.metadata.write", "s/a", WriteMetadata(tags=["z"]))
    assert (await machine.run(write=(tagged,))).undecided == {Undecided.SECRET_CHANGED: 3}
    keys = {"paths": ["*"], "capabilities": ["list"]}
    folder = {"name": "app", "rules": [tagged["rules"][0] | keys]}  # type: ignore[index]
    machine.log.rows.clear()
    machine.seen("s/", operation="secret.keys", capability="list")
    assert (await machine.run(write=(folder,))).drifted == 1  # a folder has no tags: decided


async def test_it_is_bounded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In records, in time and in what is named; what was not looked at is said."""
    for i in range(6):
        machine.house.world.time += SECOND
        machine.seen(f"s/{i}")
    newest = machine.house.world.time
    monkeypatch.setattr(module, "MAX_PAGE", 2)
    found = await machine.run(write=(DENY,), records=3, limit=1)
    assert (found.records, found.stopped, found.reached) == (
        3,
        Stop.RECORDS,
        newest - 2 * SECOND,
    )
    assert (found.denied, len(found.changes), found.others) == (3, 1, 2)
    monkeypatch.setattr(module, "MAX_SECONDS", -1.0)
    found = await machine.run(write=(DENY,))
    assert (found.records, found.stopped) == (2, Stop.TIME)
    monkeypatch.setattr(module, "MAX_SECONDS", 20.0)
    assert (await machine.run(since=newest, write=(DENY,))).records == 1
    assert (await machine.run(until=newest - SECOND)).records == 5


async def test_one_at_a_time(machine: Machine) -> None:
    """A second one is refused and leaves the first alone."""
    machine.seen()
    results: list[object] = []

    async def one() -> None:
        try:
            results.append((await machine.run()).accesses)
        except ConflictError as error:
            results.append(error.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        nursery.start_soon(one)
    assert sorted(map(str, results)) == ["1", "replay_running"]
    assert (await machine.run()).accesses == 1


async def test_opaque_ids_are_for_who_may_not_be_told_names(machine: Machine) -> None:
    """Of the caller, and of the secret if there is one."""
    await machine.house.write("s/a")
    machine.seen()
    machine.seen("s/none")
    assert (await machine.run(write=(DENY,))).changes[0].identity == b""
    found = await machine.run(write=(DENY,), opaque=True)
    head = await machine.house.head("s/a")
    assert head is not None
    assert {one.secret for one in found.changes} == {b"", f"secret:{head.id}".encode()}
    assert {one.identity for one in found.changes} == {f"identity:{machine.accessor}".encode()}


@pytest.mark.parametrize(
    ("asked", "field_"),
    [
        ({"write": (ALLOW, FAULTY)}, "write[1].rules[0].paths[0]"),
        ({"write": ({"name": "root"},)}, "write[0].name"),
        ({"write": (ALLOW, ALLOW)}, "write[1]"),
        ({"bundle": (ALLOW, {"nane": "x"})}, "bundle[1].nane"),
        ({"delete": ("none",)}, "delete[0]"),
        ({"delete": ("app", "root")}, "delete[1]"),
        ({"delete": ("x",) * (MAX_WRITTEN + 1)}, "delete"),
        ({"since": 0}, "since"),
        ({"since": NOW + 1, "until": NOW}, "since"),
        ({"limit": MAX_CHANGES + 1}, "limit"),
        ({"records": 0}, "records"),
    ],
)  # fmt: skip
async def test_what_is_malformed_is_refused(
    machine: Machine, asked: dict[str, Any], field_: str
) -> None:
    """By its place; nothing is searched for."""
    with pytest.raises(ValidationError) as caught:
        await machine.run(**asked)
    assert caught.value.details["field"] == field_
    assert machine.log.searches == 0


async def test_the_record_of_it_holds_names_and_no_documents(machine: Machine) -> None:
    """Who looked at what is on record; what the policies say is not copied there."""
    handler = machine.replays.handlers()["policy.replay"]
    assert handler.audit_request is not None
    assert handler.audit_response is not None
    asked = ReplayPolicies(write=(ALLOW,), delete=("old",), bundle=(DENY,), since=1, until=2)
    assert handler.audit_request(asked) == {
        "write": ["app"], "delete": ["old"], "bundle": ["app"], "since": 1, "until": 2,
    }  # fmt: skip
    machine.seen()
    assert handler.audit_response(await machine.run()) == {"records": 1, "denied": 0, "allowed": 0}
    assert (handler.mutates, handler.capability) == (False, "read")
