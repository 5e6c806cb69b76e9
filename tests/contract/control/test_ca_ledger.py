"""`control.ca.store.CaStore`: in memory, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import trio
from msgspec.structs import replace

from actors import SystemWorld
from control.ca.store import (
    AgentState,
    CaStore,
    CaTransaction,
    EnrolledAgent,
    EnrolmentToken,
    IssuedCertificate,
    JoinCounts,
    JoinRecord,
    JoinState,
)
from control.errors import NotFoundError
from control.model.people import Organization
from control.store import people
from control.store.ca_store import SqlCaStore, revoked_serials
from control.store.rows import Tx
from control.store.store import Store, open_store
from control.store.tables import ca_certificates
from protocols.pki.names import AgentName
from tests.newest import place_control
from tests.support.memory_ca_store import MemoryCaStore
from tests.support.postgres import Postgres
from tests.unit.control.ca.harness import Asking, Ca

NAME, OTHER = AgentName.from_slugs("acme", "prod"), AgentName.from_slugs("acme", "dev")
NOW = 1_800_000_000_000_000_000


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CaStore]:
    """An empty ledger of each kind, where `acme` is the one organization."""
    if request.param == "memory":
        yield MemoryCaStore({"acme"})
        return
    url = place_control(tmp_path)
    if request.param == "postgresql":
        running: Postgres = request.getfixturevalue("server")
        url = running.migrated()
    async with open_store(url, SystemWorld()) as store:
        acme = Organization("acme", "Acme", NOW)
        await store.write(lambda tx: people.add_organization(tx, acme))
        yield SqlCaStore(store)


async def test_it_knows_which_organizations_there_are(ledger: CaStore) -> None:
    """So that nobody is let into another."""
    for org, there in (("acme", True), ("amce", False), ("", False)):
        assert await ledger.transact(lambda tx, org=org: tx.has_organization(org)) is there
    with pytest.raises(NotFoundError, match="organization"):
        await Ca(ledger).token(name=AgentName.from_slugs("amce", "prod"))


def _token(n: int, name: AgentName = NAME, **fields: object) -> EnrolmentToken:
    made = EnrolmentToken(
        id=f"{n}",
        hash=bytes([n]) * 32,
        name=name,
        replace=False,
        created_by="alice",
        created_at=NOW + n,
        expires_at=NOW + 600,
    )
    return replace(made, **fields)


def _issued(n: int, name: AgentName = NAME, **fields: object) -> IssuedCertificate:
    made = IssuedCertificate(
        serial=f"{n:040x}",
        key=bytes([n]) * 32,
        name=name,
        generation=n,
        der=b"der",
        issuer="ab",
        not_before=NOW,
        not_after=NOW + 100,
    )
    return replace(made, **fields)


def _join(n: int, **fields: object) -> JoinRecord:
    made = JoinRecord(
        id=f"{n}",
        key=bytes([n]) * 32,
        link_key=bytes(32),
        org="acme",
        label="host",
        source="192.0.2.1",
        client="192.0.2.1",
        site="192.0.2.1",
        requested_at=NOW + n,
        expires_at=NOW + 100,
    )
    return replace(made, **fields)


async def test_rows_come_back_as_they_were_put(ledger: CaStore) -> None:
    """Every field, and the last one put counts."""
    agent = EnrolledAgent(
        name=NAME,
        state=AgentState.ACTIVE,
        generation=2,
        confirmed=1,
        link_key=bytes(range(32)),
        enrolled_at=NOW,
        changed_at=NOW,
    )
    locked = replace(agent, state=AgentState.LOCKED, reason="why", generation=2**40)
    used = _token(1, used_at=NOW, used_by=b"k" * 32, replace=True)
    revoked = _issued(1, revoked_at=NOW)
    decided = _join(1, state=JoinState.APPROVED, name=NAME, decided_by="bob", decided_at=NOW)

    def step(tx: CaTransaction) -> None:
        for row in (_token(1), used):
            tx.put_token(row)
        for row in (agent, locked):
            tx.put_agent(row)
        for row in (_issued(1), revoked):
            tx.put_certificate(row)
        for row in (_join(1), decided):
            tx.put_join(row)
        assert tx.agent(NAME) == locked  # it sees its own writes

    def look(tx: CaTransaction) -> None:
        assert (tx.token(used.hash), tx.token(bytes(32))) == (used, None)
        assert (tx.agent(NAME), tx.agent(OTHER)) == (locked, None)
        assert tx.certificate(revoked.serial) == tx.certificate_of(revoked.key) == revoked
        assert tx.join("1") == tx.join_of(decided.key) == decided
        assert (tx.certificate("0"), tx.certificate_of(b""), tx.join("0")) == (None, None, None)

    await ledger.transact(step)
    await ledger.transact(look)


async def test_a_step_that_raises_leaves_nothing(ledger: CaStore) -> None:
    """And its exception passes unchanged."""

    def step(tx: CaTransaction) -> None:
        tx.put_token(_token(1))
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await ledger.transact(step)
    assert await ledger.transact(lambda tx: tx.token(_token(1).hash)) is None


async def test_a_key_has_one_certificate_and_asks_once(ledger: CaStore) -> None:
    """Whatever the serial or the id."""
    await ledger.transact(lambda tx: (tx.put_certificate(_issued(1)), tx.put_join(_join(1))))
    with pytest.raises(ValueError, match="key"):
        await ledger.transact(lambda tx: tx.put_certificate(_issued(2, key=_issued(1).key)))
    with pytest.raises(ValueError, match="key"):
        await ledger.transact(lambda tx: tx.put_join(_join(2, key=_join(1).key)))


async def test_lists_are_in_their_order_and_within_their_bounds(ledger: CaStore) -> None:
    """Tokens newest first, certificates by generation, requests oldest first."""

    def step(tx: CaTransaction) -> None:
        for n in (2, 1, 3):
            tx.put_token(_token(n))
            tx.put_certificate(_issued(n))
            tx.put_join(_join(n, client=f"{n}", org="" if n == 3 else "acme"))
        tx.put_token(_token(4, AgentName.from_slugs("other", "prod")))
        tx.put_certificate(_issued(5, OTHER, revoked_at=NOW))
        tx.put_certificate(_issued(4, not_after=NOW + 9, revoked_at=NOW))

    def look(tx: CaTransaction) -> None:
        assert [t.id for t in tx.tokens("acme", 2)] == ["3", "2"]
        assert [i.generation for i in tx.certificates(NAME, NOW + 100)] == [1, 2, 3]
        assert tx.certificates(NAME, NOW + 101) == []
        pending = JoinState.PENDING
        assert [j.id for j in tx.joins(None, pending, NOW, 9)] == ["1", "2", "3"]
        assert [j.id for j in tx.joins("", pending, NOW, 9)] == ["3"]
        assert [j.id for j in tx.joins("acme", pending, NOW, 1)] == ["1"]
        assert tx.joins(None, pending, NOW + 100, 9) == []

    await ledger.transact(step)
    await ledger.transact(look)


async def test_a_crowd_is_the_others(ledger: CaStore) -> None:
    """Pending ones that have not expired, and late ones in whatever state; never itself."""
    one = _join(1, requested_at=NOW, client="c", site="s")
    crowd = [
        _join(2, client="c", site="s"),
        _join(3, org="other", client="d", site="s"),
        _join(4, org="other", client="d", site="t", expires_at=NOW),
        _join(5, client="c", site="s", state=JoinState.REFUSED),
        _join(6, client="c", site="s", requested_at=NOW - 100),
    ]

    def step(tx: CaTransaction) -> None:
        for row in crowd:
            tx.put_join(row)

    expected = JoinCounts(pending=3, of_org=2, of_client=2, of_site=3, lately=4, lately_of_org=2)
    await ledger.transact(step)
    assert await ledger.transact(lambda tx: tx.count_joins(one, NOW)) == expected
    await ledger.transact(lambda tx: tx.put_join(one))
    assert await ledger.transact(lambda tx: tx.count_joins(one, NOW)) == expected
    nobody = JoinCounts(pending=0, of_org=0, of_client=0, of_site=0, lately=0, lately_of_org=0)
    late = _join(9, requested_at=NOW + 100)
    assert await ledger.transact(lambda tx: tx.count_joins(late, NOW + 9)) == nobody


async def test_what_expired_is_forgotten_but_the_newest_certificate(ledger: CaStore) -> None:
    """An agent comes back by it; tokens are dropped within their organization only."""

    def step(tx: CaTransaction) -> None:
        tx.put_token(_token(1))
        tx.put_token(_token(2, expires_at=NOW + 900))
        tx.put_join(_join(1))
        for n in (1, 2):
            tx.put_certificate(_issued(n))
        assert not tx.delete_token("other", "2")

    await ledger.transact(step)
    assert await ledger.transact(lambda tx: tx.delete_expired(NOW + 700)) == 3
    left = await ledger.transact(lambda tx: (tx.tokens("acme", 9), tx.certificate_of(b"\2" * 32)))
    assert [t.id for t in left[0]] == ["2"]
    assert left[1] == _issued(2)
    assert await ledger.transact(lambda tx: tx.delete_token("acme", "2"))


async def test_what_an_agent_was_last_seen_with_is_kept(ledger: CaStore) -> None:
    """And all after it: their answers may be lost, and it comes back by what it has."""
    seen = EnrolledAgent(
        name=NAME,
        state=AgentState.ACTIVE,
        generation=4,
        confirmed=2,
        link_key=bytes(32),
        enrolled_at=NOW,
        changed_at=NOW,
    )

    def step(tx: CaTransaction) -> None:
        tx.put_agent(seen)
        for n in (1, 2, 3, 4):
            tx.put_certificate(_issued(n))

    await ledger.transact(step)
    assert await ledger.transact(lambda tx: tx.delete_expired(NOW + 700)) == 1
    left = await ledger.transact(lambda tx: [tx.certificate(f"{n:040x}") for n in (1, 2, 3, 4)])
    assert left == [None, _issued(2), _issued(3), _issued(4)]


async def test_of_many_that_use_a_token_one_gets_in(ledger: CaStore) -> None:
    """The services over this ledger: burnt and recorded in one transaction, truly."""
    ca = Ca(ledger)
    token = await ca.token()
    outcomes: list[str] = []

    async def enrol() -> None:
        try:
            await ca.enrolment.enrol_agent(Asking().enrol(token))
            outcomes.append("in")
        except Exception as error:  # noqa: BLE001  # which it was is what the test looks at
            outcomes.append(getattr(error, "code", repr(error)))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(enrol)
    assert sorted(outcomes) == ["in"] + ["token_refused"] * 19


async def test_the_newest_end_is_of_those_that_count(ledger: CaStore) -> None:
    """Of any agent; a revoked certificate tells nothing of the time."""
    assert await ledger.transact(lambda tx: tx.latest_expiry()) == 0

    def step(tx: CaTransaction) -> int:
        tx.put_certificate(_issued(1))
        tx.put_certificate(_issued(2, not_after=NOW + 500))
        tx.put_certificate(_issued(3, not_after=NOW + 900, revoked_at=NOW))
        return tx.latest_expiry()

    assert await ledger.transact(step) == NOW + 500


async def test_who_was_revoked_is_found_by_an_index_of_those(store: Store) -> None:
    """Among many that were not, on either database: it is asked again and again."""

    def fill(tx: Tx) -> None:
        rows = [
            {
                "serial": f"{n:040x}",
                "key": n.to_bytes(32, "big"),
                "org": "acme",
                "vault": f"v{n}",
                "generation": 1,
                "der": bytes(700),
                "issuer": "ab",
                "not_before": NOW,
                "not_after": NOW + n,
                "revoked_at": NOW if n % 1000 == 0 else None,
            }
            for n in range(1, 5001)
        ]
        tx.execute(sa.insert(ca_certificates), rows)
        tx.exec_driver_sql("ANALYZE")

    def look(tx: Tx) -> tuple[frozenset[str], str]:
        asked: list[tuple[str, Any]] = []

        def heard(_c: object, _k: object, statement: str, given: Any, *_: object) -> None:
            asked.append((statement, given))

        sa.event.listen(tx, "before_cursor_execute", heard)
        found = revoked_serials(tx, NOW + 2000)
        sa.event.remove(tx, "before_cursor_execute", heard)
        statement, given = asked[-1]  # behind whatever begins the transaction
        explain = "EXPLAIN QUERY PLAN" if tx.dialect.name == "sqlite" else "EXPLAIN"
        plan = tx.exec_driver_sql(f"{explain} {statement}", given)
        return found, "\n".join(str(tuple(row)) for row in plan)

    await store.write(fill)
    found, plan = await store.read(look)
    assert found == {f"{n:040x}" for n in (2000, 3000, 4000, 5000)}
    assert "ix_ca_certificates_revoked" in plan, plan
