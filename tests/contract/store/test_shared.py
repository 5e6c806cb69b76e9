"""Several stores on one database: what one acknowledges, each other sees from then on."""

import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.contract.store.harness import KEYS
from tests.contract.store.samples import next_version, put, remove, secret, system
from tests.contract.store.sharing import SharedDatabase, SharedServer, joined, shared_file
from tests.support.databases import SERVERS
from vault.errors import TamperedError, UnavailableError
from vault.model.records import AccessRow
from vault.seal.anchor.commit_stamp import CommitStampWriter
from vault.seal.anchor.feed_chain import verify_changes
from vault.seal.anchor.row_totals import RowTotals, sum_rows
from vault.seal.anchor.state import CommitStamp, decode_state
from vault.store import change_feed
from vault.store.interface import BackendError
from vault.store.row_cache import MISSING
from vault.store.shared_head import SharedHead
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import ACCESS, CHANGES, HEAD_ROW, SECRETS, SYSTEM, VERSIONS

NAMES = ("a", "b", "c", "d")
ENOUGH, COMMITS = 200, 20  # reads, and what happens beside them


@pytest.fixture(params=["sqlite", *SERVERS])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SharedDatabase]:
    """An empty database of each kind that can be shared, with its first commit stamp."""
    if request.param == "sqlite":
        with shared_file(tmp_path) as made:
            yield made
    else:
        yield SharedServer(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def stores(database: SharedDatabase) -> AsyncIterator[list[Store]]:
    """Three of them."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(joined(database, node)) for node in "abc"]


async def test_what_one_commits_another_answers(stores: list[Store]) -> None:
    """Rows, lists and rows that are gone, from the cache as well as from the database."""
    one, other, _ = stores
    assert await other.get(SECRETS, "a") is None
    await one.commit(put(SECRETS, secret("a", current_version=1)))
    await other.catch_up()
    found = await other.get(SECRETS, "a")
    assert found is not None
    assert found.current_version == 1
    await one.commit(put(SECRETS, secret("a", current_version=2)))
    assert other.get_cached(SECRETS, "a") == found, "without a look it is what it was"
    await other.catch_up()
    assert other.get_cached(SECRETS, "a") is MISSING
    assert [row.current_version for row in await other.select(SECRETS, StoreQuery())] == [2]
    await one.commit(remove(SECRETS, "a"))
    await other.catch_up()
    assert await other.get(SECRETS, "a") is None
    assert await other.select(SECRETS, StoreQuery()) == []


async def test_what_both_have_counted_each_answers(stores: list[Store]) -> None:
    """A count that is cached is not the last one once another has added to it."""
    one, other, _ = stores
    await one.commit(put(SECRETS, secret("a")))
    for total, store in enumerate((one, other, one), 1):
        await store.commit(
            lambda tx: tx.add_counts(ACCESS, [AccessRow(secret_id="id-a", value_reads=1)])
        )
        for each in stores:
            await each.catch_up()
            found = await each.get(ACCESS, "id-a")
            assert found is not None
            assert found.value_reads == total


async def test_tables_are_known_to_have_changed(stores: list[Store]) -> None:
    """Who holds rows in another form is told, of a row of the one table without MACs too."""
    one, other, _ = stores
    before = other.count_transactions(SECRETS), other.count_transactions(SYSTEM, "keyring")
    await one.commit(put(SECRETS, secret("a")))
    await one.commit(put(SYSTEM, system("keyring")))
    await other.catch_up()
    after = other.count_transactions(SECRETS), other.count_transactions(SYSTEM, "keyring")
    assert after == (before[0] + 1, before[1] + 1)


async def test_a_transaction_sees_what_others_committed(stores: list[Store]) -> None:
    """Nobody looks before it: it catches up itself, so no number is given twice."""
    numbers = [await store.commit(next_version("a")) for _ in range(5) for store in stores]
    assert numbers == list(range(1, 16))


async def test_concurrent_writers(database: SharedDatabase, stores: list[Store]) -> None:
    """Versions have no gap, nothing is stored twice, and the totals are those of the rows."""
    numbers: dict[str, list[int]] = {name: [] for name in NAMES}

    async def write(store: Store) -> None:
        for _ in range(10):
            for name in NAMES:
                numbers[name].append(await store.commit(next_version(name)))

    async with trio.open_nursery() as nursery:
        for store in stores:
            nursery.start_soon(write, store)
            nursery.start_soon(write, store)
    assert {name: sorted(found) for name, found in numbers.items()} == {
        name: list(range(1, 61)) for name in NAMES
    }
    for store in stores:
        await store.catch_up()
        assert store.finding is None
        assert await store.foreign_writes() == 0
        assert len(await store.select(VERSIONS, StoreQuery(equals={"secret_id": "id-a"}))) == 60
    backend = database.backend()
    backend.open()
    with backend.read() as session:
        row = session.get(SYSTEM, (HEAD_ROW,))
        assert row is not None
        stamp = decode_state(row.value, CommitStamp, KEYS)
        totals = RowTotals.from_bytes(KEYS.open_(stamp.epoch, stamp.rows))
        assert sum_rows(session, KEYS).differing_tables(totals) == []
        entries = session.select(CHANGES, StoreQuery())
        assert [entry.seq for entry in entries] == list(range(1, stamp.commits + 1))
        assert entries[-1].chain == stamp.feed
    backend.close()


async def stale_reads(
    stores: list[Store], look: Callable[[Store], Awaitable[None]] = Store.catch_up
) -> int:
    """How many reads beside writes of another lacked what was acknowledged before they began."""
    acknowledged = dict.fromkeys(NAMES, 0)
    stale = reads = 0
    done = False
    chance = random.Random(7)  # noqa: S311

    async def write(store: Store) -> None:
        nonlocal done
        while reads < ENOUGH or sum(acknowledged.values()) < COMMITS:
            name = chance.choice(NAMES)
            number = await store.commit(next_version(name))
            acknowledged[name] = max(acknowledged[name], number)
        done = True

    async def read(store: Store) -> None:
        nonlocal stale, reads
        while not done:
            name = chance.choice(NAMES)
            least = acknowledged[name]
            await look(store)
            found = await store.get(SECRETS, name)
            reads += 1
            stale += (found.current_version if found else 0) < least
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, stores[0])
        for store in stores[1:]:
            nursery.start_soon(read, store)
            nursery.start_soon(read, store)
    return stale


async def test_no_read_is_stale(stores: list[Store]) -> None:
    """What was acknowledged before a read began is in its answer."""
    assert await stale_reads(stores) == 0


async def test_no_read_is_stale_by_the_query_alone(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words in memory only spare it."""
    monkeypatch.setattr(SharedHead, "is_at", lambda *_: False)
    assert await stale_reads(stores) == 0


async def test_without_a_look_reads_are_stale(stores: list[Store]) -> None:
    """So that the tests above could find one."""

    async def nothing(_: Store) -> None:
        await trio.lowlevel.checkpoint()

    assert await stale_reads(stores, nothing) > 0


async def test_words_that_say_that_nothing_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nobody asks the file, and reads are stale: the words are what is looked at."""
    monkeypatch.setattr(SharedHead, "is_at", lambda *_: True)
    with shared_file(tmp_path) as file:
        async with joined(file, "a") as one, joined(file, "b") as other:
            assert await stale_reads([one, other]) > 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM changes WHERE seq = 3",
        "UPDATE changes SET node = 'x' WHERE seq = 3",
        "UPDATE changes SET changes = chain WHERE seq = 3",
        "UPDATE changes SET seq = 30 WHERE seq = 3",
        "DELETE FROM changes WHERE seq >= 3",
    ],
)
async def test_an_entry_that_was_touched(
    database: SharedDatabase, stores: list[Store], statement: str
) -> None:
    """Who withholds a revocation from the feed is found out before anything is answered."""
    one, other, _ = stores
    for name in NAMES:
        await one.commit(put(SECRETS, secret(name)))
    database.run(statement)
    with pytest.raises(TamperedError, match="change feed"):
        await other.catch_up()
    with pytest.raises(TamperedError, match="change feed"):
        await other.commit(put(SECRETS, secret("e")))


async def test_an_older_head_that_was_put_back(
    database: SharedDatabase, stores: list[Store]
) -> None:
    """Nothing goes on from it. A file's head is not read while nobody has committed."""
    one, other, _ = stores
    ((old,),) = database.run("SELECT value FROM system WHERE name = 'mark'")
    await one.commit(put(SECRETS, secret("a")))
    await other.catch_up()
    database.run("UPDATE system SET value = ? WHERE name = 'mark'", bytes(old))
    if isinstance(database, SharedServer):
        with pytest.raises(TamperedError, match="put back"):
            await other.catch_up()
    with pytest.raises(TamperedError, match="put back"):
        await other.commit(put(SECRETS, secret("b")))


async def fall_behind(stores: list[Store]) -> None:
    """The second one has rows cached, of which the first one changes some in many commits."""
    one, other, _ = stores
    await one.commit(put(SECRETS, *map(secret, NAMES)))
    await other.catch_up()
    assert await other.get(SECRETS, "a") is not None
    assert await other.get(SECRETS, "e") is None
    await one.commit(put(SECRETS, secret("e")))
    for number in range(1, 8):
        await one.commit(put(SECRETS, secret("a", current_version=number)))
    await one.commit(remove(SECRETS, "b"))


async def require_all_seen(stores: list[Store]) -> None:
    """The second store answers as the database is, and takes part again."""
    one, other, _ = stores
    found = await other.get(SECRETS, "a")
    assert found is not None
    assert found.current_version == 7
    assert [row.name for row in await other.select(SECRETS, StoreQuery())] == ["a", "c", "d", "e"]
    assert (other.has_row(SECRETS, "b"), other.has_row(SECRETS, "e")) == (False, True)
    assert await other.commit(next_version("c")) == 1
    await one.catch_up()
    assert len(await one.select(VERSIONS, StoreQuery(equals={"secret_id": "id-c"}))) == 1
    assert (other.is_behind, other.outage, other.finding, one.finding) == (False, "", None, None)


def trim_feed(database: SharedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the last entries are gone, as after many more commits."""
    monkeypatch.setattr("vault.seal.anchor.commit_stamp.KEPT", 2)
    database.run("DELETE FROM changes WHERE seq <= 9")


@pytest.mark.parametrize("begins", ["look", "commit"])
async def test_who_is_far_behind_reads_the_feed_in_pieces(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch, begins: str
) -> None:
    """All of what the feed still has, and no piece of it twice."""
    monkeypatch.setattr("vault.seal.anchor.commit_stamp.ENTRIES_PER_READ", 2)
    monkeypatch.setattr("vault.store.committer.ENTRIES_PER_READ", 2)
    await fall_behind(stores)
    if begins == "look":
        await stores[1].catch_up()
    else:
        await stores[1].commit(put(SYSTEM, system("more")))
    await require_all_seen(stores)


async def test_who_is_too_far_behind_counts_the_rows_anew(
    database: SharedDatabase, stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed is kept for some commits. An agent that was away for longer forgets everything."""
    await fall_behind(stores)
    trim_feed(database, monkeypatch)
    other = stores[1]
    before = other.count_transactions(SECRETS), other.count_transactions(SYSTEM, "keyring")
    with pytest.raises(UnavailableError) as refused:
        await other.commit(put(SYSTEM, system("more")))
    assert (refused.value.code, refused.value.details["outcome"]) == ("store_behind", "none")
    await other.catch_up()
    after = other.count_transactions(SECRETS), other.count_transactions(SYSTEM, "keyring")
    assert min(now - then for now, then in zip(after, before, strict=True)) > 0
    await require_all_seen(stores)


async def test_nothing_is_answered_while_rows_are_counted_anew(
    database: SharedDatabase, stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told why, and need not wait for it; nor does the end of the process."""
    await fall_behind(stores)
    trim_feed(database, monkeypatch)
    other = stores[1]
    begun, go_on = threading.Event(), threading.Event()
    count = CommitStampWriter.count_rows

    def slow(*args: Any) -> Any:
        begun.set()
        assert go_on.wait(90)
        return count(*args)

    monkeypatch.setattr(CommitStampWriter, "count_rows", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look_until_behind, other)
        await trio.to_thread.run_sync(begun.wait, 60)
        assert other.is_behind
        with trio.fail_after(30), pytest.raises(UnavailableError) as refused:
            await other.catch_up()
        assert refused.value.code == "store_behind"
        assert other.outage
        go_on.set()
    await other.catch_up()
    await require_all_seen(stores)


async def look_until_behind(store: Store) -> None:
    """One look, which may take its time."""
    with suppress(UnavailableError):
        await store.catch_up()


async def test_who_was_cut_off_in_the_middle_counts_anew(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of the feed is applied: it must not be applied once more."""
    monkeypatch.setattr("vault.seal.anchor.commit_stamp.ENTRIES_PER_READ", 2)
    await fall_behind(stores)
    verify, calls = verify_changes, 0

    def fails_once(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise BackendError("store_unavailable", "the connection is gone")
        return verify(*args)

    monkeypatch.setattr("vault.seal.anchor.commit_stamp.verify_changes", fails_once)
    other = stores[1]
    with pytest.raises(UnavailableError, match="gone"):
        await other.catch_up()
    assert other.outage
    await other.catch_up()
    await require_all_seen(stores)


async def test_what_is_counted_stays_counted(
    database: SharedDatabase, stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away right after it: nothing is missing, so nothing else is waited for."""
    await fall_behind(stores)
    trim_feed(database, monkeypatch)
    resume, failing = CommitStampWriter.resume, [BackendError("store_unavailable", "gone")]

    def resume_and_fail(self: CommitStampWriter, counted: Any) -> None:
        resume(self, counted)
        monkeypatch.setattr(CommitStampWriter, "catch_up", fail)

    def fail(*_: object, **__: object) -> Any:
        monkeypatch.undo()
        raise failing.pop()

    monkeypatch.setattr(CommitStampWriter, "resume", resume_and_fail)
    other = stores[1]
    with pytest.raises(UnavailableError, match="gone"):
        await other.catch_up()
    assert not other.is_behind
    await other.catch_up()
    await require_all_seen(stores)


async def test_rows_that_were_changed_are_found_by_who_counts_anew(
    database: SharedDatabase, stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at an opening."""
    await fall_behind(stores)
    trim_feed(database, monkeypatch)
    database.run("DELETE FROM secrets WHERE name = 'c'")
    with pytest.raises(TamperedError, match="secrets"):
        await stores[1].catch_up()
    finding = stores[1].finding
    assert finding is not None
    assert finding.code == "storage_rows_changed"


async def test_entries_are_removed(stores: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed has a bound."""
    monkeypatch.setattr(change_feed, "KEPT", 5)
    monkeypatch.setattr("vault.seal.anchor.commit_stamp.REMOVED_PER", 4)
    for number in range(20):
        await stores[0].commit(put(SYSTEM, system(str(number))))
    found = await stores[0].select_keys(CHANGES, StoreQuery())
    assert 5 <= len(found) <= 9


async def test_a_group_that_is_too_large_for_an_entry(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is halved until it fits: nobody's changes fail for those of others."""
    monkeypatch.setattr("vault.seal.anchor.commit_stamp.MAX_ENTRY_BYTES", 100)
    one, other, _ = stores
    before = one.statistics().transactions
    async with trio.open_nursery() as nursery:
        for number in range(16):
            nursery.start_soon(one.commit, put(SECRETS, secret(str(number))))
    assert one.statistics().transactions - before > 1
    await other.catch_up()
    assert len(await other.select(SECRETS, StoreQuery())) == 16
