"""What every database of the control plane promises to its services."""

from contextlib import suppress
from functools import partial

import msgspec
import pytest
import sqlalchemy as sa
import trio
from msgspec.structs import replace

from actors import SystemWorld
from control.errors import ConflictError, UnavailableError
from control.model.agents import Agent, AgentFilter, Health, Life, Presence
from control.model.people import Organization, Role, Token, TokenKind, User
from control.model.policies import (
    Assignment,
    Outcome,
    Plan,
    Policy,
    PolicyVersion,
    Rollout,
    RolloutState,
    Target,
)
from control.model.records import Alert, Sample, Severity, WitnessedCheckpoint
from control.store import agents, alerts, audit_records, people, policies, samples, shared_values
from control.store.errors import StoreError
from control.store.rows import Tx
from control.store.store import Store, open_store
from control.store.tables import rollouts
from control.store.writer import StoreWriter
from tests.support.postgres import Postgres


def agent(vault: str = "v1", org: str = "acme", **fields: object) -> Agent:
    """An agent with some fields chosen."""
    plain = Agent(org, vault, Life.ACTIVE, "", (), Presence.UNKNOWN, 0, {}, 1, 1)
    return replace(plain, **fields)


def token(digest: bytes, org: str = "acme", user: str = "ann", expires_at: int = 100) -> Token:
    """A credential."""
    return Token(digest, digest.hex(), org, user, TokenKind.API, "", Role.VIEWER, 1, expires_at)


async def test_a_change_is_there_after_it_was_acknowledged(url: str) -> None:
    """And after the process ended and another one began."""
    async with open_store(url, SystemWorld()) as store:
        await store.write(lambda tx: agents.add_agent(tx, agent(tags=("a", "b"), facts={"x": 1})))
    async with open_store(url, SystemWorld()) as store:
        found = await store.read(lambda tx: agents.get_agent(tx, "acme", "v1"))
    assert found == agent(tags=("a", "b"), facts={"x": 1})


async def test_a_change_that_fails_leaves_nothing(store: Store) -> None:
    """What it did before it failed is gone, and its neighbours in the batch are not."""

    def fails(tx: Tx) -> None:
        agents.add_agent(tx, agent("half"))
        raise ZeroDivisionError

    async def failing() -> None:
        with pytest.raises(ZeroDivisionError):
            await store.write(fails)

    await failing()  # alone
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(failing)
            change = partial(_add, agent(f"v{number}"))
            nursery.start_soon(store.write, change)
    found = await store.read(lambda tx: agents.list_targeted_agents(tx, "acme"))
    assert sorted(a.vault for a in found) == sorted(f"v{number}" for number in range(20))


def _add(row: Agent, tx: Tx) -> None:
    agents.add_agent(tx, row)


async def test_what_exists_is_a_conflict(store: Store) -> None:
    """The second one is told, and the first one stays."""
    await store.write(lambda tx: agents.add_agent(tx, agent(reason="first")))
    with pytest.raises(ConflictError):
        await store.write(lambda tx: agents.add_agent(tx, agent(reason="second")))
    found = await store.read(lambda tx: agents.get_agent(tx, "acme", "v1"))
    assert found is not None
    assert found.reason == "first"


async def test_organizations_do_not_see_each_other(store: Store) -> None:
    """The same name in another organization is another thing, everywhere."""
    for org in ("acme", "other"):
        await store.write(lambda tx, org=org: agents.add_agent(tx, agent(org=org, tags=(org,))))
    assert (
        await store.read(lambda tx: agents.find_agents(tx, "acme", AgentFilter(tag="other"))) == []
    )
    [mine] = await store.read(lambda tx: agents.find_agents(tx, "acme", AgentFilter(tag="acme")))
    assert mine.org == "acme"
    assert await store.read(lambda tx: agents.get_agent(tx, "third", "v1")) is None


async def test_agents_are_found_by_what_they_are(store: Store) -> None:
    """Tag, life, presence, and page by page in the order of their names."""
    rows = [
        agent("a", tags=("prod",), presence=Presence.ONLINE),
        agent("b", tags=("prod", "eu"), life=Life.LOCKED),
        agent("c-1"),
        agent("c"),
    ]

    def add(tx: Tx) -> None:
        for row in rows:
            agents.add_agent(tx, row)

    await store.write(add)

    async def names(**wanted: object) -> list[str]:
        chosen = AgentFilter(**wanted)  # type: ignore[arg-type]
        return [
            a.vault for a in await store.read(lambda tx: agents.find_agents(tx, "acme", chosen))
        ]

    assert await names() == ["a", "b", "c", "c-1"]
    assert await names(tag="prod") == ["a", "b"]
    assert await names(tag="prod", life=Life.LOCKED) == ["b"]
    assert await names(presence=Presence.ONLINE) == ["a"]
    assert await names(after="b", limit=1) == ["c"]
    await store.write(lambda tx: agents.put_agent(tx, agent("a", tags=("test",))))
    assert await names(tag="prod") == ["b"]


async def test_many_last_words_are_one_change(store: Store) -> None:
    """Presence and time of each, and of nobody else."""
    for name in ("a", "b", "c"):
        await store.write(lambda tx, name=name: agents.add_agent(tx, agent(name)))
    heard = [("acme", "a", Presence.ONLINE, 7), ("acme", "b", Presence.LATE, 8)]
    await store.write(lambda tx: agents.put_presence(tx, heard))
    found = await store.read(lambda tx: agents.find_agents(tx, "acme", AgentFilter()))
    assert [(a.presence, a.last_seen) for a in found] == [
        (Presence.ONLINE, 7),
        (Presence.LATE, 8),
        (Presence.UNKNOWN, 0),
    ]


async def test_people_and_their_credentials(store: Store) -> None:
    """A user that goes takes every credential along; expired ones are swept."""
    await store.write(lambda tx: people.add_organization(tx, Organization("acme", "Acme", 1)))
    ann = User(
        "acme", "ann", Role.OWNER, "hash", disabled=False, created_at=1, changed_at=1, last_login=0
    )
    await store.write(lambda tx: people.add_user(tx, ann))
    await store.write(lambda tx: people.add_user(tx, replace(ann, name="bob")))
    assert await store.read(lambda tx: people.count_owners(tx, "acme")) == 2
    for row in (token(b"1"), token(b"2", user="bob"), token(b"3", user="bob", expires_at=5)):
        await store.write(lambda tx, row=row: people.add_token(tx, row))
    assert await store.write(lambda tx: people.delete_expired_tokens(tx, 5)) == 1
    ended = await store.write(lambda tx: people.delete_user(tx, "acme", "ann", 9))
    assert ended == [token(b"1").id]
    assert await store.write(lambda tx: people.delete_user(tx, "acme", "ann", 9)) == []
    assert await store.read(lambda tx: people.get_token(tx, b"1")) is None
    assert await store.read(lambda tx: people.get_token(tx, b"2")) == token(b"2", user="bob")
    assert not await store.write(lambda tx: people.delete_token(tx, "other", b"2".hex()))
    assert [u.name for u in await store.read(lambda tx: people.list_users(tx, "acme", "", 9))] == [
        "bob"
    ]


async def test_failed_logins_are_counted(store: Store) -> None:
    """By user, until somebody clears or sweeps them."""
    await store.write(lambda tx: people.put_failures(tx, "acme", "ann", 1, 5))
    await store.write(lambda tx: people.put_failures(tx, "acme", "ann", 2, 6))
    assert await store.read(lambda tx: people.get_failures(tx, "acme", "ann")) == (2, 6)
    assert await store.read(lambda tx: people.get_failures(tx, "other", "ann")) == (0, 0)
    assert await store.write(lambda tx: people.delete_older_failures(tx, 7)) == 1


async def test_policies_versions_and_rollouts(store: Store) -> None:
    """Documents come back as they were; open roll-outs are found."""
    policy = Policy("acme", "p", 1, 0, (Target(tag="prod"), Target(all=True)), 1, 1)
    version = PolicyVersion("acme", "p", 1, {"rules": [{"é": [1, None]}]}, "why", "ann", 1)
    plan = Plan(canary=1, percentages=(10, 50))
    rollout = Rollout("r", "acme", "p", 1, 0, plan, 0, RolloutState.RUNNING, "", "ann", 1, 1)
    before = (Target(vault="v"),)
    rollout = replace(rollout, owner="eve", targets=policy.targets, previous_targets=before)
    await store.write(lambda tx: policies.put_policy(tx, policy))
    await store.write(lambda tx: policies.add_version(tx, version))
    await store.write(lambda tx: policies.put_rollout(tx, rollout))
    assert await store.read(lambda tx: policies.list_policies(tx, "acme")) == [policy]
    assert await store.read(lambda tx: policies.get_version(tx, "acme", "p", 1)) == version
    assert await store.read(lambda tx: policies.open_rollouts(tx, "acme")) == [rollout]
    stored = sa.select(sa.type_coerce(rollouts.c.plan, sa.Text))  # as the release before reads it
    text = await store.read(lambda tx: tx.execute(stored).scalar_one())
    assert msgspec.json.decode(text).keys() == set(Plan.__struct_fields__)
    assert await store.read(policies.organizations_with_rollouts) == ["acme"]
    done = replace(rollout, state=RolloutState.DONE)
    await store.write(lambda tx: policies.put_rollout(tx, done))
    assert await store.read(lambda tx: policies.open_rollouts(tx, "acme")) == []
    assert await store.read(lambda tx: policies.list_rollouts(tx, "acme", "p", 9)) == [done]


async def test_assignments_are_replaced(store: Store) -> None:
    """The newest of each agent is what it should have."""
    row = Assignment("acme", "v", 2**62, {"p": 1}, b"d", Outcome.WANTED, "", 0, 1, b"\0b")
    await store.write(lambda tx: policies.put_assignments(tx, row, replace(row, vault="w")))
    changed = replace(row, outcome=Outcome.FAILED, reason="ceiling")
    await store.write(lambda tx: policies.put_assignments(tx, changed))
    found = [
        await store.read(lambda tx, vault=vault: policies.get_assignment(tx, "acme", vault))
        for vault in ("v", "w")
    ]
    assert found == [changed, replace(row, vault="w")]


async def test_what_agents_stand_at_is_read_by_the_page(store: Store) -> None:
    """Without the bytes, by name, of one policy if it is named; counted, and noted for many."""
    one = Assignment("acme", "a", 3, {"p": 1}, b"d", Outcome.WANTED, "", 0, 1, b"\0b")
    two = replace(one, vault="b", contents={"p": 1, "p-2": 4})
    three = replace(one, vault="c", contents={"p-2": 4})
    rows = (one, two, three, replace(one, org="other"))
    await store.write(lambda tx: policies.put_assignments(tx, *rows))

    async def page(having: str, after: str = "", limit: int = 9) -> list[str]:
        found = await store.read(
            lambda tx: policies.list_assignment_states(
                tx, "acme", having=having, after=after, limit=limit
            )
        )
        return [row.vault for row in found]

    assert await page("") == ["a", "b", "c"]
    assert await page("", after="a", limit=1) == ["b"]
    assert await page("p") == ["a", "b"]
    assert await page("p-2") == ["b", "c"]
    standing = await store.read(lambda tx: policies.get_assignment_state(tx, "acme", "b"))
    assert standing is not None
    noted = replace(standing, outcome=Outcome.APPLIED, applied=3, changed_at=7)
    await store.write(lambda tx: policies.put_reports(tx, [noted]))
    assert await store.read(lambda tx: policies.get_assignment_states(tx, "acme", ["b"])) == [noted]
    assert await store.read(lambda tx: policies.count_by_outcome(tx, "acme")) == {
        Outcome.APPLIED: 1,
        Outcome.WANTED: 2,
    }
    assert sorted(await store.read(lambda tx: policies.list_outcomes(tx, "acme"))) == [
        ("a", Outcome.WANTED, {"p": 1}),
        ("b", Outcome.APPLIED, {"p": 1, "p-2": 4}),
        ("c", Outcome.WANTED, {"p-2": 4}),
    ]
    unanswered = await store.read(lambda tx: policies.unanswered_bundles(tx, "acme"))
    assert unanswered == {"a": (1, False), "c": (1, False)}
    whole = await store.read(lambda tx: policies.get_assignment(tx, "acme", "b"))
    assert whole is not None
    assert (whole.bundle, whole.applied) == (b"\0b", 3)


async def test_agents_are_found_by_release(store: Store) -> None:
    """As they said it, whole; who decides what they get is read without their facts."""
    for name, release in (("a", "1.0.0"), ("b", "1.0.01"), ("c", "")):
        facts = {"release": release, "started_at": 1}
        row = agent(name, facts=facts, tags=("eu",), last_seen=5)
        await store.write(lambda tx, row=row: agents.add_agent(tx, row))
    found = await store.read(
        lambda tx: agents.find_agents(tx, "acme", AgentFilter(release="1.0.0"))
    )
    assert [row.vault for row in found] == ["a"]
    changed = replace(found[0], facts={"release": "2%"}, changed_at=9)
    await store.write(lambda tx: agents.put_facts(tx, changed))
    assert await store.read(lambda tx: agents.get_agents(tx, "acme", ["a"])) == [changed]
    assert await store.read(lambda tx: agents.list_targeted_agents(tx, "acme")) == [
        (name, Life.ACTIVE, ("eu",), Presence.UNKNOWN, 5) for name in "abc"
    ]


async def test_samples_are_added_up(store: Store) -> None:
    """A bucket holds how many, their sum, the lowest, the highest and the last."""
    ids = await store.write(lambda tx: samples.add_series(tx, "acme", "v", ["reads", "cpu"]))
    assert await store.read(lambda tx: samples.list_series(tx, "acme", "v")) == ids
    reads = ids["reads"]
    for value in (3.0, 1.0, 2.0):
        one = Sample(60, 1, value, value, value, value)
        await store.write(lambda tx, one=one: samples.merge_samples(tx, [(reads, 60, one)]))
    found = await store.read(
        lambda tx: samples.samples_between(tx, reads, 60, since=0, until=61, limit=9)
    )
    assert found == [Sample(60, 3, 6.0, 1.0, 3.0, 2.0)]
    assert await store.write(lambda tx: samples.delete_older_samples(tx, 60, 61)) == 1


async def test_alerts_and_checkpoints(store: Store) -> None:
    """Newest first; what is over can be left out, and is swept when old."""
    first = Alert("1", "acme", "v", "offline", Severity.CRITICAL, "gone", 1, "", 0)
    second = replace(first, id="2", vault="w", at=2)
    await store.write(lambda tx: alerts.fire_alerts(tx, first, second))
    acknowledged = replace(first, acknowledged_by="ann", acknowledged_at=3, ended_at=4)
    await store.write(lambda tx: alerts.put_alert(tx, acknowledged))

    async def ids(vault: str = "", *, state: str = "", before: int = 0) -> list[str]:
        narrow = alerts.AlertFilter(state=state)
        found = await store.read(
            lambda tx: alerts.list_alerts(
                tx, "acme", vault=vault, before=before, limit=9, narrow=narrow
            )
        )
        return [alert.id for alert in found]

    assert await ids() == ["2", "1"]
    assert await ids(state="open") == ["2"]
    assert await ids(vault="v") == ["1"]
    assert await ids(before=2) == ["1"]
    assert await store.write(lambda tx: alerts.delete_older_alerts(tx, 10)) == 1
    seen = WitnessedCheckpoint("acme", "v", 2**40, b"r" * 32, "note", 1, "", b"k" * 32)
    await store.write(lambda tx: audit_records.put_checkpoint(tx, seen))
    assert await store.read(lambda tx: audit_records.get_checkpoint(tx, "acme", "v")) == seen


async def test_two_processes_do_not_overwrite_each_other(url: str) -> None:
    """A counter that two of them raise counts every time; SQLite lets no second process in."""
    world = SystemWorld()

    def raise_it(tx: Tx) -> None:
        count, _ = people.get_failures(tx, "acme", "ann")
        people.put_failures(tx, "acme", "ann", count + 1, 1)

    async with open_store(url, world, shared=True) as one:
        if url.startswith("sqlite"):
            with pytest.raises(UnavailableError, match="store_locked"):
                async with open_store(url, world, shared=True):
                    pytest.fail("it is open twice")
            return
        async with open_store(url, world, shared=True) as two, trio.open_nursery() as nursery:
            for _ in range(25):
                nursery.start_soon(one.write, raise_it)
                nursery.start_soon(two.write, raise_it)
        assert await one.read(lambda tx: people.get_failures(tx, "acme", "ann")) == (50, 1)


async def test_marks_are_what_all_agree_on(store: Store) -> None:
    """The first to settle one wins; numbers go up by one."""
    assert await store.read(lambda tx: shared_values.get_shared_value(tx, "keys")) == ""
    assert (
        await store.write(lambda tx: shared_values.get_or_set_shared_value(tx, "keys", "a")) == "a"
    )
    assert (
        await store.write(lambda tx: shared_values.get_or_set_shared_value(tx, "keys", "b")) == "a"
    )
    await store.write(lambda tx: shared_values.put_shared_value(tx, "keys", "c"))
    assert await store.read(lambda tx: shared_values.get_shared_value(tx, "keys")) == "c"
    counted = [await store.write(lambda tx: shared_values.next_number(tx, "n")) for _ in range(3)]
    assert counted == [1, 2, 3]


async def test_pulses_are_those_of_active_agents(store: Store) -> None:
    """With presence and last word."""
    rows = (agent("on", presence=Presence.ONLINE, last_seen=7), agent("off", life=Life.LOCKED))
    for row in rows:
        await store.write(partial(_add, row))
    assert await store.read(agents.list_presence) == [
        ("acme", "on", Presence.ONLINE, 7, Health.UNSAID)
    ]
    among = await store.read(lambda tx: agents.get_presence(tx, "acme", ["on", "off", "x"]))
    assert among == [("on", Presence.ONLINE, 7)]


async def test_agents_are_counted_by_organization(store: Store) -> None:
    """The most first; retired ones not at all, and who is locked is nobody's who is heard."""
    rows = [
        agent("a", "few", presence=Presence.ONLINE), agent("a", "gone", life=Life.RETIRED),
        agent("a", presence=Presence.ONLINE), agent("b", presence=Presence.OFFLINE),
        agent("c", life=Life.LOCKED, presence=Presence.ONLINE),
    ]  # fmt: skip
    for row in rows:
        await store.write(partial(agents.add_agent, agent=row))
    assert await store.read(lambda tx: agents.count_agents(tx, 9)) == [
        ("acme", 3, 1),
        ("few", 1, 1),
    ]
    assert await store.read(lambda tx: agents.count_agents(tx, 1)) == [("acme", 3, 1)]


async def test_a_commit_that_fails_may_have_stored(store: Store) -> None:
    """It says so; its connection is never used again, and the next change goes by another."""
    gone: list[object] = []

    def fail(connection: sa.Connection) -> None:
        raise sa.exc.OperationalError("COMMIT", None, Exception("canary"))

    def note(*connection: object) -> None:
        gone.append(connection[0])

    sa.event.listen(sa.Engine, "commit", fail)
    sa.event.listen(sa.Pool, "invalidate", note)
    try:
        with pytest.raises(StoreError) as told:
            await store.write(lambda tx: _add(agent(), tx))
    finally:
        sa.event.remove(sa.Engine, "commit", fail)
        sa.event.remove(sa.Pool, "invalidate", note)
    assert told.value.details["outcome"] == "unknown"
    assert "canary" not in str(told.value)
    assert len(gone) == 1
    await _begun_anew(store)


async def test_a_writer_that_fails_says_so_as_the_store_does(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked is not told of an error that nobody has thought of; then it is begun anew."""

    def crash(*_: object) -> list[object]:
        raise ZeroDivisionError("canary")

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "_commit", crash)
        with pytest.raises(StoreError) as told:
            await store.write(lambda tx: _add(agent(), tx))
    assert told.value.details["outcome"] == "unknown"
    assert "canary" not in str(told.value)
    await _begun_anew(store)


async def _begun_anew(store: Store) -> None:
    with trio.fail_after(30):
        while True:
            with suppress(UnavailableError):
                await store.write(lambda tx: _add(agent("v2"), tx))
                break
            await trio.sleep(0.05)


async def test_agents_of_one_vault_are_its_nodes(store: Store) -> None:
    """In their organization, by name; retired ones are none, and locked ones stay as they were."""
    ended = {"locked": Life.LOCKED, "retired": Life.RETIRED}
    for row in (
        *(agent("b"), agent("a"), agent("other", org="globex"), agent("plain")),
        *(agent(name, life=life, vault_id="x") for name, life in ended.items()),
    ):
        await store.write(lambda tx, row=row: agents.add_agent(tx, row))
    for org, name in (("acme", "a"), ("acme", "b"), ("globex", "other")):
        await store.write(lambda tx, o=org, n=name: agents.put_vault_id(tx, o, n, "x"))
    await store.write(lambda tx: agents.put_vault_id(tx, "acme", "locked", "y"))
    found = await store.read(lambda tx: agents.list_nodes(tx, "acme", ["x"]))
    assert [node.name for node in found] == ["a", "b", "locked"]
    assert [(node.vault_id, node.life) for node in found[1:]] == [
        ("x", Life.ACTIVE), ("x", Life.LOCKED),
    ]  # fmt: skip
    every = await store.read(lambda tx: agents.list_nodes(tx, "acme"))
    assert [node.name for node in every] == ["a", "b", "locked", "plain"]
    said = await store.read(lambda tx: agents.list_vault_ids(tx, "acme"))
    assert said == {"a": "x", "b": "x", "locked": "x", "retired": "x"}
    chosen = await store.read(
        lambda tx: agents.find_agents(tx, "acme", AgentFilter(vault_id="x", life=Life.ACTIVE))
    )
    assert [row.vault for row in chosen] == ["a", "b"]


async def test_a_figure_of_a_vault_is_added_up_once(store: Store) -> None:
    """Of its nodes the highest; those of other vaults and of agents that say none are added."""
    for name, vault_id, value in (("a", "x", 5.0), ("b", "x", 7.0), ("c", "", 1.0), ("x", "", 2.0)):
        row, sample = agent(name, vault_id=vault_id), Sample(3600, 1, *(value,) * 4)

        def change(tx: Tx, row: Agent = row, sample: Sample = sample) -> None:
            agents.add_agent(tx, row)
            ids = samples.add_series(tx, "acme", row.vault, ["secrets"])
            samples.merge_samples(tx, [(ids["secrets"], 3600, sample)])

        await store.write(change)

    async def total(*, once: bool) -> float:
        return await store.read(
            lambda tx: samples.summed_means(
                tx, "acme", "secrets", since=0, until=7200, once_a_vault=once
            )
        )

    assert await total(once=True) == 10.0
    assert await total(once=False) == 15.0


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_holds_not_every_text_is_refused(
    server: Postgres, encoding: str
) -> None:
    """At the start, with the statement that makes another one."""
    url = server.database()
    name = sa.make_url(url).database
    server.run(
        f"DROP DATABASE {name}",
        f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0",
    )
    with pytest.raises(UnavailableError, match=f"store_unsafe.* encoding is {encoding}"):
        async with open_store(url, SystemWorld()):
            pytest.fail("it was opened")
