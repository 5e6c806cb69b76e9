"""What agents say, and what they are sent, fills no disk, on every database."""

from functools import partial

import sqlalchemy as sa
from msgspec.structs import replace

from control.model.history import Aspect, StateChange
from control.model.policies import Assignment, Outcome
from control.model.replays import Replay, ReplayAgent, ReplayNumbers, State
from control.model.reported_values import MAX_COUNT
from control.model.retention import LegalHold
from control.model.usage import KnownSecret, Ranked, SecretQuery, UsagePeriod, Which
from control.services import agent_metrics, outbox
from control.services.usage import ingest_usage
from control.store import compliance_queries as reads
from control.store import history, links, policies, replays, samples, shared_bodies, usage
from control.store.legal_holds import add_hold
from control.store.rows import Tx
from control.store.store import Store
from control.store.tables import bundle_bodies
from protocols.link import messages as m
from protocols.link.bundle import ZERO_HASH, Bundle, PolicyKey, sign_bundle
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.limits import MAX_INT
from protocols.link.vocabulary import OperationName
from protocols.pki.keys import new_signing_key
from tests.unit.control.used import named, report

NOW = 1_800_000_000 // 3600 * 3600
ALL = UsagePeriod("acme", "", 0, 2**40)


async def test_there_is_room_for_so_many_replays(store: Store) -> None:
    """The newest of an organization, by count and by agents; what has no room can be removed."""

    def change(tx: Tx) -> None:
        for at, org in ((1, "acme"), (2, "acme"), (3, "other")):
            row = Replay(org, f"r{at}", "p", 1, {}, 0, 1, "ann", at, 9)
            of = [ReplayAgent(org, row.id, v, State.DONE, ReplayNumbers(), 1) for v in ("a", "b")]
            replays.add_replay(tx, row, of)

    await store.write(change)
    assert await store.read(lambda tx: replays.replays_over_limit(tx, "acme", 2, 4)) == []
    assert await store.read(lambda tx: replays.replays_over_limit(tx, "acme", 2, 3)) == [
        ("acme", "r1")
    ]
    gone = await store.read(lambda tx: replays.replays_over_limit(tx, "", 1, 99))
    assert gone == [("acme", "r2"), ("acme", "r1")]
    await store.write(lambda tx: replays.delete_replays(tx, gone))
    assert await store.read(lambda tx: replays.replays_over_limit(tx, "", 0, 0)) == [
        ("other", "r3")
    ]


async def test_what_an_agent_says_too_often_is_written_over(store: Store) -> None:
    """So many turns an hour; the newest is its last word, behind the one before the one it was."""
    most = history.MAX_PER_HOUR[Aspect.KEY]
    for at in range(1, most + 4):
        for subject in ("loud", "calm")[: 1 + (at == 1)]:
            turn = StateChange(org="acme", aspect=Aspect.KEY, subject=subject, at=at, value=str(at))
            await store.write(lambda tx, turn=turn: history.record_changes(tx, [turn]))
    found = await store.read(lambda tx: history.changes_between(tx, "acme", Aspect.KEY, 0, 2**62))
    assert [turn.at for turn in found["loud"]] == [*range(1, most), most + 3]
    assert found["loud"][-1].before == most - 1
    newest = await store.read(lambda tx: history.newest_change(tx, "acme", Aspect.KEY, "loud"))
    assert newest == found["loud"][-1]
    assert [turn.at for turn in found["calm"]] == [1]
    later = StateChange(
        org="acme", aspect=Aspect.KEY, subject="loud", at=2 * history.HOUR, value="x"
    )
    await store.write(lambda tx: history.record_changes(tx, [later]))
    found = await store.read(lambda tx: history.changes_between(tx, "acme", Aspect.KEY, 0, 2**62))
    assert len(found["loud"]) == most + 1


async def test_counts_of_agents_can_be_added_up(store: Store) -> None:
    """Whatever number they say: by hours, days, agents and by the median."""
    most = m.OperationUse(name=OperationName.SECRET_READ, count=MAX_INT, failed=MAX_INT)
    for at in (NOW, NOW + 1):
        told = report(
            at, at + 1, named("a", MAX_INT), operations=(most,),
            identities=(m.IdentityUse(identity=b"u" * 16, count=MAX_INT),),
        )  # fmt: skip
        for vault in ("v1", "v2"):
            assert await store.write(
                lambda tx, v=vault, t=told: ingest_usage(tx, "acme", v, t, now=NOW + 2)
            )
    sums = [Ranked("", str(OperationName.SECRET_READ), 4 * MAX_COUNT, 4 * MAX_COUNT)]
    assert await store.read(lambda tx: usage.list_operations(tx, ALL)) == sums
    assert await store.write(lambda tx: usage.roll_up_days(tx, NOW + 9, 9)) == 4
    assert await store.read(lambda tx: usage.list_operations(tx, ALL)) == sums
    overused = SecretQuery(Which.OVERUSED, 2)
    assert await store.read(lambda tx: usage.list_secrets(tx, ALL, overused, None, 9)) == []


async def test_figures_are_taken_once_and_in_their_order(store: Store) -> None:
    """The newest moment is remembered with the agent's link, of this agent alone."""

    def said(vault: str, at: int, tx: Tx) -> int:
        link = outbox.ensure_link(tx, "acme", vault, b"s" * 16)
        taken = agent_metrics.accepted_time(at, link.measured, NOW)
        if taken is not None:
            links.put_measured(tx, replace(link, measured=taken))
            agent_metrics.ingest_figures(tx, "acme", vault, taken, {"x": 1.0}, now=NOW)
        number = samples.list_series(tx, "acme", vault)["x"]
        return len(samples.samples_between(tx, number, 0, since=0, until=2**40, limit=99))

    for at, count in ((NOW - 60, 1), (NOW - 60, 1), (NOW, 2), (NOW - 30, 2), (MAX_INT // 1000, 3)):
        assert await store.write(partial(said, "v1", at)) == count
    assert await store.write(partial(said, "v2", NOW - 60)) == 1


async def test_an_agent_is_known_to_have_so_many_secrets(store: Store) -> None:
    """Who was not named for longest makes room, but not for what a hold covers."""

    async def tell(at: int, *names: str, vault: str = "v1") -> list[str]:
        rows = [KnownSecret("acme", vault, name, 1, 1, 0, at) for name in names]
        await store.write(lambda tx: usage.put_known_secrets(tx, rows, 3))
        every_ = SecretQuery(Which.ALL, 0)
        found = await store.read(lambda tx: usage.list_secrets(tx, ALL, every_, None, 99))
        return sorted(row.secret for row in found if row.vault == vault)

    await tell(1, "x", vault="v2")
    assert await tell(2, "a", "b") == ["a", "b"]
    assert await tell(3, "b", "c") == ["a", "b", "c"]
    assert await tell(4, "d", "c") == ["b", "c", "d"]
    assert await tell(5, "e", "f", "g", "h") == ["e", "f", "g"]
    hold = LegalHold(
        org="acme", id="h", vault="v1", since=1, until=0, reason="why", created_by="ann",
        created_at=1,
    )  # fmt: skip
    await store.write(lambda tx: add_hold(tx, hold))
    assert await tell(6, "i", "e") == ["e", "f", "g"]
    assert await tell(7, "x", vault="v2") == ["x"]


async def test_who_waited_longest_is_tried_again_first(store: Store) -> None:
    """Who was refused for its time, and who is behind; of a wrong clock's time before all."""

    def change(tx: Tx) -> None:
        for vault, outcome, applied, changed in (
            ("a", Outcome.FAILED, 0, 8), ("b", Outcome.FAILED, 0, 7), ("c", Outcome.FAILED, 0, 30),
            ("d", Outcome.WANTED, 2, 10), ("e", Outcome.FAILED, 0, 10), ("f", Outcome.WANTED, 1, 1),
        ):  # fmt: skip
            row = bundle(vault, "acme")
            row = replace(row, outcome=outcome, applied=applied, changed_at=changed)
            policies.put_assignments(tx, replace(row, reason="expired"))

    await store.write(change)
    since = policies.RefusalBounds(refused=9, behind=11, beyond=20)
    found = await store.read(lambda tx: policies.refused_bundles(tx, ["expired"], since, limit=9))
    assert [row.vault for row in found] == ["c", "b", "a", "d"]
    found = await store.read(lambda tx: policies.refused_bundles(tx, ["expired"], since, limit=2))
    assert [row.vault for row in found] == ["c", "b"]


async def test_rules_are_stored_once_for_many_agents(store: Store) -> None:
    """Each is offered, and each report finds, the very bytes that were signed; then they go."""
    rows = [bundle(vault, org) for vault, org in (("a", "acme"), ("b", "acme"), ("a", "other"))]

    def change(tx: Tx) -> int:
        policies.put_assignments(tx, *rows)
        for each in rows:
            outbox.ensure_link(tx, each.org, each.vault, b"s" * 16)
        return shared_bodies.delete_unused_bodies(tx)

    assert await store.write(change) == 0
    offered = await store.read(lambda tx: links.unoffered_bundles(tx, "acme", ["a", "b"]))
    assert [row for _, row in sorted(offered, key=lambda pair: pair[0].vault)] == rows[:2]
    signed = await store.read(lambda tx: reads.signed_assignments(tx, "acme"))
    assert [row.signature for row in signed] == [row.bundle[:SIGNATURE_SIZE] for row in rows[:2]]
    assert await store.read(lambda tx: policies.get_assignment(tx, "other", "a")) == rows[2]
    count = sa.select(sa.func.count()).select_from(bundle_bodies)
    assert await store.read(lambda tx: tx.execute(count).scalar_one()) == 2  # one of each
    bare = [replace(row, bundle=b"none") for row in rows]
    await store.write(lambda tx: policies.put_assignments(tx, *bare[:2]))
    assert await store.write(shared_bodies.delete_unused_bodies) == 1
    assert await store.read(lambda tx: policies.get_assignment(tx, "other", "a")) == rows[2]


def bundle(vault: str, org: str) -> Assignment:
    """One that its agent would take."""
    made = Bundle(
        org=org, vault=vault, version=1, prev_hash=ZERO_HASH, not_before=1, expires=2,
        rules=(b"x" * 5000, b"{}"),
    )  # fmt: skip
    signed = sign_bundle(made, PolicyKey(new_signing_key()))
    return Assignment(org, vault, 1, {"p": 1}, b"d", Outcome.WANTED, "", 0, 1, signed)
