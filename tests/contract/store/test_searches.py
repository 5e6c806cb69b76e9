"""The contract of searches: an answer has the rows of its query, and all of them.

Somebody with the file can patch an index, so that a search leads to other rows that we wrote.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from tests.contract.store.faulty import FaultyBackend
from tests.contract.store.harness import cached, index_of_rows, opened
from tests.contract.store.misleading import MisleadingBackend
from tests.contract.store.samples import StampGuard, put, remove, secret, token, user
from vault.errors import TamperedError
from vault.store.interface import UNKNOWN, BackendError, StoreBackend, WriteSet
from vault.store.store import Store
from vault.store.table import Key, StoreQuery, Table
from vault.store.tables import SECRETS, TOKENS, USERS
from vault.store.transaction import transact


@pytest.fixture
def misled(backend: StoreBackend) -> MisleadingBackend:
    """With some rows."""
    transact(backend, put(USERS, user("ann"), user("bob"), user("cyd")), StampGuard())
    transact(backend, put(TOKENS, token("a"), token("b")), StampGuard())
    secrets = [secret(f"kv/{n:02}", expires_at=n) for n in range(1, 6)]
    transact(backend, put(SECRETS, *secrets), StampGuard())
    return MisleadingBackend(backend)


@pytest.fixture(params=["cached", "cold"])
async def store(request: pytest.FixtureRequest, misled: MisleadingBackend) -> AsyncIterator[Store]:
    """Of whoever commits; its rows are in the cache, or not."""
    async with opened(misled, index=index_of_rows(misled)) as made:
        if request.param == "cached":
            for table in (USERS, TOKENS, SECRETS):
                await made.select(table, StoreQuery())
        yield made


LEADS: Any = {
    "another value": (
        USERS,
        StoreQuery(equals={"name_key": "ann"}),
        StoreQuery(equals={"name_key": "bob"}),
    ),
    "one too many": (SECRETS, StoreQuery(prefix=("name", "kv/"), limit=2), StoreQuery()),
    "beyond the prefix": (
        SECRETS,
        StoreQuery(prefix=("name", "kv/01")),
        StoreQuery(prefix=("name", "kv/")),
    ),
    "before the place": (USERS, StoreQuery(after=("bob",)), StoreQuery(after=("ann",))),
    "the other order": (USERS, StoreQuery(limit=3), StoreQuery(descending=True, limit=3)),
    "later": (
        SECRETS,
        StoreQuery(at_most=("expires_at", 2)),
        StoreQuery(at_most=("expires_at", 4)),
    ),
}


@pytest.mark.parametrize(("table", "asked", "led"), LEADS.values(), ids=LEADS.keys())
@pytest.mark.parametrize("way", ["select", "select_checked_keys", "transaction"])
async def test_rows_of_another_query(
    store: Store,
    misled: MisleadingBackend,
    table: Table[Any],
    asked: StoreQuery,
    led: StoreQuery,
    way: str,
) -> None:
    """They are authentic, and no answer; the finding stays, so that the vault is sealed."""

    async def ask() -> list[Key]:
        match way:
            case "select":
                return [table.key_of(row) for row in await store.select(table, asked)]
            case "select_checked_keys":
                return await store.select_checked_keys(table, asked)
        return [table.key_of(r) for r in await store.commit(lambda tx: tx.select(table, asked))]

    right = await ask()
    assert store.finding is None
    misled.mislead = lambda _: led
    with pytest.raises(TamperedError) as refused:
        await ask()
    assert refused.value.code == "row_tampered"
    assert store.finding is not None
    misled.mislead = lambda query: query
    assert await ask() == right


async def test_without_an_index_of_rows(misled: MisleadingBackend) -> None:
    """What opens a database for a moment has none: the answer is refused all the same."""
    asked = StoreQuery(equals={"name_key": "ann"})
    async with opened(misled) as store:
        misled.mislead = lambda _: StoreQuery(equals={"name_key": "bob"})
        for question in (store.select, store.select_checked_keys):
            with pytest.raises(TamperedError):
                await question(USERS, asked)
    with pytest.raises(TamperedError):
        transact(misled, lambda tx: tx.select(USERS, asked), StampGuard())  # type: ignore[arg-type]  # a wrapper


@pytest.mark.parametrize(("table", "is_noted"), [(USERS, True), (SECRETS, False)])
@pytest.mark.parametrize("way", ["get", "select", "select_checked_keys", "tx.get", "tx.select"])
async def test_a_damaged_row(
    backend: StoreBackend, table: Table[Any], way: str, *, is_noted: bool
) -> None:
    """Of the tables with few rows it seals the vault; a secret is refused by itself."""
    row = user("ann") if table is USERS else secret("ann")
    transact(backend, put(table, row), StampGuard())
    index = index_of_rows(backend)
    stored = StampGuard().stamp(table.name, row)
    backend.write(lambda _: WriteSet(updates={table: [replace(stored, updated_at=7)]}))
    async with opened(backend, index=index) as store:
        ways: Any = {
            "get": lambda: store.get(table, "ann"),
            "select": lambda: store.select(table, StoreQuery()),
            "select_checked_keys": lambda: store.select_checked_keys(table, StoreQuery()),
            "tx.get": lambda: store.commit(lambda tx: tx.get(table, "ann")),
            "tx.select": lambda: store.commit(lambda tx: tx.select(table, StoreQuery())),
        }
        with pytest.raises(TamperedError):
            await ways[way]()
        assert (store.finding is not None) is is_noted


WHOLE: Any = {
    "by a unique column": (TOKENS, StoreQuery(equals={"accessor": "a"}, limit=1), ("id of a",)),
    "by another column": (TOKENS, StoreQuery(equals={"parent": ""}), ("id of b",)),
    "a name": (USERS, StoreQuery(equals={"name_key": "ann"}, limit=1), ("ann",)),
    "the only one": (USERS, StoreQuery(equals={"name_key": "bob"}), ("bob",)),
    "a table": (USERS, StoreQuery(), ("cyd",)),
    "a folder": (SECRETS, StoreQuery(prefix=("name", "kv/")), ("kv/03",)),
}


@pytest.mark.parametrize(("table", "asked", "key"), WHOLE.values(), ids=WHOLE.keys())
@pytest.mark.parametrize("way", ["select", "select_checked_keys", "transaction"])
async def test_a_row_that_a_search_leaves_out(
    store: Store,
    misled: MisleadingBackend,
    table: Table[Any],
    asked: StoreQuery,
    key: Key,
    way: str,
) -> None:
    """The sum of those that there are is known: nothing is told as gone."""
    ways: Any = {
        "select": lambda: store.select(table, asked),
        "select_checked_keys": lambda: store.select_checked_keys(table, asked),
        "transaction": lambda: store.commit(lambda tx: tx.select(table, asked)),
    }
    right = await ways[way]()
    misled.hidden = {key}
    with pytest.raises(TamperedError) as refused:
        await ways[way]()
    assert refused.value.code == "row_tampered"
    assert store.finding is not None
    misled.hidden = set()
    assert await ways[way]() == right


async def test_a_search_that_finds_nothing(store: Store) -> None:
    """Where there is nothing, that is what is told; so is what comes and goes."""
    nobody = StoreQuery(equals={"name_key": "zoe"}, limit=1)
    assert await store.select(USERS, nobody) == []
    await store.commit(put(USERS, user("zoe")))
    assert len(await store.select(USERS, nobody)) == 1
    assert len(await store.commit(lambda tx: tx.select(USERS, nobody))) == 1
    await store.commit(put(USERS, user("zoe", name_key="zoe the second")))
    assert await store.select(USERS, nobody) == []
    await store.commit(remove(USERS, "zoe"))
    assert await store.select(USERS, StoreQuery(equals={"name_key": "zoe the second"})) == []
    assert await store.select(SECRETS, StoreQuery(prefix=("name", "other/"))) == []
    assert store.finding is None


async def test_all_rows_of_a_table(store: Store, misled: MisleadingBackend) -> None:
    """They are whole or they are refused, be there a page of them or several."""
    assert await store.select_all(USERS, lambda row: row.id) == ["ann", "bob", "cyd"]
    names = [f"m/{n:04}" for n in range(2100)]
    await store.commit(lambda tx: tx.insert_new(SECRETS, [secret(name) for name in names]))
    found = [row.name for row in await store.select_all(SECRETS)]
    assert found[5:] == names
    for key in (("m/0000",), ("m/1500",), ("m/2099",)):
        misled.hidden = {key}
        with pytest.raises(TamperedError):
            await store.select_all(SECRETS)
    misled.hidden = set()
    assert len(await store.select_all(SECRETS)) == len(names) + 5


async def test_searches_beside_commits(backend: StoreBackend) -> None:
    """Whoever searches while others commit is refused nothing, and nothing is found."""
    async with opened(backend, index=index_of_rows(backend)) as store:

        async def commit() -> None:
            for number in range(40):
                await store.commit(put(USERS, user(f"u{number}")))
                await store.commit(put(SECRETS, secret(f"kv/{number}")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit)
            for _ in range(60):
                await store.select(USERS, StoreQuery())
                await store.select_all(USERS)
                await store.select(SECRETS, StoreQuery(prefix=("name", "kv/")))
        assert len(await store.select_all(USERS)) == 40
        assert store.finding is None


@pytest.mark.parametrize("stage", ["lost", "stored"])
async def test_a_search_after_a_commit_in_doubt(backend: StoreBackend, stage: str) -> None:
    """It is settled what was stored, also in the sums."""
    faulty = FaultyBackend(backend)
    async with opened(faulty, **cached(backend), index=index_of_rows(faulty)) as store:
        await store.commit(put(USERS, user("ann")))
        faulty.faults = [(stage, BackendError("store_unavailable", "away", UNKNOWN))]
        with pytest.raises(BackendError):
            await store.commit(put(USERS, user("ann", name_key="other"), user("bob")))
        found = await store.select(USERS, StoreQuery(equals={"name_key": "ann"}))
        assert len(found) == (stage == "lost")
        assert len(await store.select_all(USERS)) == (1 if stage == "lost" else 2)
        await store.commit(remove(USERS, "ann"))
        await store.commit(remove(USERS, "bob"))
        for name in ("ann", "other", "bob"):
            assert await store.select(USERS, StoreQuery(equals={"name_key": name})) == []
        assert store.finding is None
