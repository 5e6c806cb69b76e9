"""The contract of `Backend` and `Session`, without the store around them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace

from tests.contract.store import samples
from tests.contract.store.samples import StampGuard, put, remove, secret, system, user, version
from vault.store.interface import ConstraintError, StoreBackend, StoreSession, WriteSet
from vault.store.query import apply_query
from vault.store.table import Key, StoreQuery, Table
from vault.store.tables import (
    ALL,
    API_KEYS,
    MOUNTS,
    NODES,
    SECRETS,
    SYSTEM,
    TOKENS,
    USERS,
    VERSIONS,
)
from vault.store.transaction import StoreTx, transact

NAMES = [
    *(
        "",
        " ",
        "!",
        "A",
        "Z",
        "a",
        "a ",
        "a/",
        "a/b",
        "a/b/c",
        "aa",
        "b",
        "\u00e9",
        "e\u0301",
        "ß",
        "ss",
    ),
    *(
        "%",
        "_",
        "a%",
        "a_",
        "i",
        "I",
        "\u0131",
        "\u0130",
        "\ud7ff",
        "\ue000",
        "\uffff",
        "😀",
        "\U0010ffff",
    ),
]
BYTEWISE = sorted(NAMES, key=str.encode)


def store(backend: StoreBackend, table: Table[Any], *rows: Any) -> None:
    """Put rows in one transaction."""
    transact(backend, put(table, *rows), StampGuard())


def select(backend: StoreBackend, table: Table[Any], **query: Any) -> list[Any]:
    """What a reader finds."""
    with backend.read() as session:
        return session.select(table, StoreQuery(**query))


def get(backend: StoreBackend, table: Table[Any], *key: Any) -> Any:
    """What a reader gets."""
    with backend.read() as session:
        return session.get(table, key)


class TestRoundTrip:
    """What goes in comes out."""

    def test_extreme_rows(self, backend: StoreBackend) -> None:
        """A row comes back equal and of the same types, whatever its columns hold."""
        rows = samples.extreme_rows()

        def change(tx: StoreTx) -> None:
            for table, row in rows:
                tx.put(table, row)

        transact(backend, change, StampGuard())
        for table, row in rows:
            found = get(backend, table, *table.key_of(row))
            if table.is_guarded:
                StampGuard().check(table.name, found)
            for column in table.columns:
                if column.name != "mac":
                    kept, given = getattr(found, column.name), getattr(row, column.name)
                    assert kept == given
                    assert type(kept) is type(given)

    def test_updated_row(self, backend: StoreBackend) -> None:
        """Every column that is not of the key can change."""
        for table, row in samples.extreme_rows():
            store(backend, table, row)
        rows = list(reversed(samples.extreme_rows()))
        rows.sort(key=lambda pair: pair[0] is NODES)  # a node of no level takes no newer rows
        for table, row in rows:
            plain = {c: v for c, v in _defaults(table).items() if c not in _pinned(table)}
            changed = type(row)(**({c.name: getattr(row, c.name) for c in table.columns} | plain))
            store(backend, table, changed)
            found = get(backend, table, *table.key_of(row))
            assert all(getattr(found, name) == value for name, value in plain.items())

    def test_survives_close(self, backend: StoreBackend) -> None:
        """What was written is there after the backend was closed and opened again."""
        store(backend, SYSTEM, system("a", b"x" * 100_000))
        backend.close()
        backend.open()
        assert get(backend, SYSTEM, "a") == system("a", b"x" * 100_000)


def _defaults(table: Table[Any]) -> dict[str, Any]:
    empty = {str: "new", int: 7, bool: False, bytes: b"new"}
    return {c.name: empty[c.type] for c in table.columns if c.type in empty and c.name != "mac"}


def _pinned(table: Table[Any]) -> set[str]:
    referred = {name for t in ALL for parent, name in t.references.values() if parent is table}
    return {*table.key, *table.unique, *table.references, *referred}


class TestKeys:
    """Rows by key."""

    def test_absent(self, backend: StoreBackend) -> None:
        """A key without a row is None, and is not among the many."""
        store(backend, SYSTEM, system("a"))
        with backend.read() as session:
            assert session.get(SYSTEM, ("b",)) is None
            assert session.get_many(SYSTEM, [("a",), ("b",)]) == {("a",): system("a")}
            assert session.get_many(SYSTEM, []) == {}
            assert session.existing_keys(SYSTEM, [("a",), ("b",)]) == {("a",)}

    @pytest.mark.parametrize("key", [("x", 2**63), ("x", -(2**70)), ("\ud800", 1), ("x\0", 1)])
    def test_impossible(self, backend: StoreBackend, key: Key) -> None:
        """A key that no database can hold is a key without a row, not a failure."""
        with backend.read() as session:
            assert session.get(VERSIONS, key) is None
            assert session.get_many(VERSIONS, [key]) == {}

    def test_many_of_two_parts(self, backend: StoreBackend) -> None:
        """More keys than one statement takes, of more than one column."""
        store(backend, SECRETS, secret("a", id="a"), secret("b", id="b"))
        rows = [version(name, n) for name in "ab" for n in range(1, 700)]
        store(backend, VERSIONS, *rows)
        keys = [(name, n) for name in "abc" for n in range(0, 1400, 2)]
        with backend.read() as session:
            assert session.existing_keys(VERSIONS, keys) == {
                (name, n) for name in "ab" for n in range(2, 700, 2)
            }
            found = session.get_many(VERSIONS, keys)
        assert len(found) == 2 * 349
        assert all(VERSIONS.key_of(row) == key for key, row in found.items())

    def test_stamps(self, backend: StoreBackend) -> None:
        """The stamp of each row by key, and of all rows of a table, without reading the rows."""
        head = secret("a", id="a")
        store(backend, SECRETS, head)
        rows = [version("a", n) for n in range(1, 1200)]
        store(backend, VERSIONS, *rows)
        stamp = {("a", row.version): StampGuard().stamp("secret_versions", row).mac for row in rows}
        with backend.read() as session:
            found = session.get_macs(VERSIONS, [("a", n) for n in range(0, 2400, 2)] + [("b", 1)])
            assert found == {key: mac for key, mac in stamp.items() if key[1] % 2 == 0}
            assert session.get_macs(VERSIONS, []) == {}
            assert sorted(session.iter_macs(VERSIONS)) == sorted(stamp.items())
            mac = StampGuard().stamp("secrets", head).mac
            assert list(session.iter_macs(SECRETS)) == [(("a",), mac)]

    def test_no_two_keys_are_alike(self, backend: StoreBackend) -> None:
        """Case, closing spaces, accents and normal forms all tell keys and unique columns apart."""
        store(backend, SYSTEM, *(system(name, name.encode()) for name in NAMES))
        for name in NAMES:
            assert get(backend, SYSTEM, name).value == name.encode()
        store(backend, USERS, *(user(name) for name in NAMES))
        assert len(select(backend, USERS)) == len(NAMES)


class TestSelect:
    """Rows by query."""

    def test_order_is_bytewise(self, backend: StoreBackend) -> None:
        """Keys come in the order of their UTF-8, either way round."""
        store(backend, SYSTEM, *(system(name) for name in NAMES))
        assert [row.name for row in select(backend, SYSTEM)] == BYTEWISE
        assert [row.name for row in select(backend, SYSTEM, descending=True)] == BYTEWISE[::-1]

    def test_prefix_is_literal(self, backend: StoreBackend) -> None:
        """A prefix is a range of bytes: no wildcard, no folding, no last character to trip over."""
        store(backend, SYSTEM, *(system(name) for name in {a + b for a in NAMES for b in NAMES}))
        everything = [row.name for row in select(backend, SYSTEM)]
        for prefix in NAMES:
            found = [row.name for row in select(backend, SYSTEM, prefix=("name", prefix))]
            assert found == [name for name in everything if name.startswith(prefix)]

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("equals", [{}, {"secret_id": "b"}])
    def test_pages(self, backend: StoreBackend, descending: bool, equals: dict[str, Any]) -> None:
        """Page after page by the last key, every row comes exactly once, in order."""
        store(backend, SECRETS, *(secret(name, id=name) for name in "abc"))
        store(backend, VERSIONS, *(version(name, n) for name in "abc" for n in range(1, 8)))
        query: dict[str, Any] = {"equals": equals, "descending": descending}
        whole = [VERSIONS.key_of(row) for row in select(backend, VERSIONS, **query)]
        assert len(whole) == (7 if equals else 21)
        pages: list[Key] = []
        while page := select(
            backend, VERSIONS, **query, limit=4, after=pages[-1] if pages else None
        ):
            assert len(page) <= 4
            pages += [VERSIONS.key_of(row) for row in page]
        assert pages == whole == sorted(whole, reverse=descending)

    def test_at_most_leaves_out_never(self, backend: StoreBackend) -> None:
        """Zero means never, and is not before any instant."""
        times = (0, 1, 5, 6, -3)
        store(backend, SECRETS, *(secret(f"s{n}", expires_at=n) for n in times))
        found = select(backend, SECRETS, at_most=("expires_at", 5))
        assert {row.expires_at for row in found} == {1, 5}

    def test_equals(self, backend: StoreBackend) -> None:
        """Text, number and truth are compared as they are, and all have to hold."""
        store(backend, SECRETS, secret("a", id="a"))
        rows = [version("a", n, created_by=by, destroyed=n > 2) for n, by in enumerate("uuvv", 1)]
        store(backend, VERSIONS, *rows)

        def numbers(**equals: Any) -> list[int]:
            return [row.version for row in select(backend, VERSIONS, equals=equals)]

        assert numbers(created_by="u") == [1, 2]
        assert numbers(created_by="v", destroyed=True) == [3, 4]
        assert numbers(destroyed=False) == [1, 2]
        assert numbers(created_by="V") == []
        assert numbers(version=3, secret_id="a") == [3]

    def test_agrees_with_its_definition(self, backend: StoreBackend) -> None:
        """All parts of a query together mean what `query.arrange` says they mean."""
        rows = [
            secret(name, expires_at=i % 4, status="active" if i % 3 else "deleted", id=f"{i}")
            for i, name in enumerate(NAMES)
        ]
        store(backend, SECRETS, *rows)
        kept = select(backend, SECRETS)
        for descending in (False, True):
            for after in (None, *((name,) for name in BYTEWISE[::5])):
                for prefix in (None, ("name", "a"), ("created_by", "u"), ("name", "\ud7ff")):
                    query = StoreQuery(
                        equals={"status": "active"},
                        at_most=("expires_at", 2),
                        prefix=prefix,
                        after=after,
                        descending=descending,
                        limit=5,
                    )
                    first = replace(
                        query, smallest_first=True, after=after and (1, *after), equals={}
                    )
                    with backend.read() as session:
                        for one in (query, first):
                            assert session.select(SECRETS, one) == apply_query(SECRETS, one, kept)


class TestWrite:
    """One transaction."""

    def test_raising_stores_nothing(self, backend: StoreBackend) -> None:
        """When `apply` raises, what it raised comes out and the next write works."""

        def apply(session: StoreSession) -> WriteSet:
            assert session.get(SYSTEM, ("a",)) is None
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            backend.write(apply)
        store(backend, SYSTEM, system("a"))
        assert get(backend, SYSTEM, "a") is not None

    @pytest.mark.parametrize(
        "writes",
        [
            WriteSet(inserts={SYSTEM: [system("new"), system("old")]}),
            WriteSet(inserts={SYSTEM: [system("new")]}, updates={SYSTEM: [system("absent")]}),
            WriteSet(inserts={SYSTEM: [system("new")], USERS: [user("x", name_key="ann")]}),
            WriteSet(inserts={SYSTEM: [system("new")], VERSIONS: [version("nobody", 1)]}),
            WriteSet(inserts={SYSTEM: [system("new")]}, deletes={USERS: [("ann",)]}),
            WriteSet(inserts={SYSTEM: [system("new")]}, updates={SECRETS: [secret("s", id="y")]}),
        ],
        ids=["key", "absent", "unique", "reference", "referenced", "moved"],
    )
    def test_constraints(self, backend: StoreBackend, writes: WriteSet) -> None:
        """Writes that contradict the schema are refused whole, and the backend goes on."""
        store(backend, SYSTEM, system("old"))
        store(backend, USERS, user("ann"))
        store(backend, API_KEYS, samples.api_key("k", "ann"))
        store(backend, SECRETS, secret("s", id="s"))
        store(backend, VERSIONS, version("s", 1))
        with pytest.raises(ConstraintError):
            backend.write(lambda _: writes)
        assert get(backend, SYSTEM, "new") is None
        store(backend, SYSTEM, system("new"))
        assert get(backend, SYSTEM, "new") is not None

    def test_a_row_gets_another_key(self, backend: StoreBackend) -> None:
        """What refers to it stays, and its old key is free at once, also for another that moves."""
        for name in ("a", "b"):
            store(backend, SECRETS, secret(name, id=f"id-{name}"))
            store(backend, VERSIONS, version(f"id-{name}", 1))

        def change(tx: StoreTx) -> None:
            for old, new in (("a", "c"), ("b", "a")):
                row = tx.get(SECRETS, old)
                assert row is not None
                tx.delete(SECRETS, old)
                tx.put(SECRETS, replace(row, name=new, tags=["moved"]))
            tx.put(SECRETS, secret("b", id="id-new"))

        transact(backend, change, StampGuard())
        found = {name: get(backend, SECRETS, name) for name in "abc"}
        assert {name: (row.id, row.tags) for name, row in found.items() if row} == {
            "c": ("id-a", ["moved"]),
            "a": ("id-b", ["moved"]),
            "b": ("id-new", []),
        }
        assert get(backend, VERSIONS, "id-a", 1)
        assert get(backend, VERSIONS, "id-b", 1)

    def test_a_moved_row_takes_the_place_of_another(self, backend: StoreBackend) -> None:
        """That one is deleted before."""
        for name in ("a", "b"):
            store(backend, SECRETS, secret(name, id=f"id-{name}"))

        def change(tx: StoreTx) -> None:
            row = tx.get(SECRETS, "a")
            assert row is not None
            tx.delete(SECRETS, "a")
            tx.put(SECRETS, replace(row, name="b"))

        transact(backend, change, StampGuard())
        assert get(backend, SECRETS, "a") is None
        moved = get(backend, SECRETS, "b")
        assert moved is not None
        assert moved.id == "id-a"

    def test_a_ring_of_keys_is_refused(self, backend: StoreBackend) -> None:
        """No order of moves makes it: nothing is stored."""
        for name in ("a", "b"):
            store(backend, SECRETS, secret(name, id=f"id-{name}"))

        def change(tx: StoreTx) -> None:
            one, two = tx.get(SECRETS, "a"), tx.get(SECRETS, "b")
            assert one is not None
            assert two is not None
            tx.put(SECRETS, replace(one, name="b"))
            tx.put(SECRETS, replace(two, name="a"))

        with pytest.raises(ConstraintError):
            transact(backend, change, StampGuard())
        kept = get(backend, SECRETS, "a")
        assert kept is not None
        assert kept.id == "id-a"

    def test_parent_and_children_go_together(self, backend: StoreBackend) -> None:
        """One transaction may store a parent with its children, and delete them, in any order."""

        def come(tx: StoreTx) -> None:
            tx.put(VERSIONS, version("s", 1))
            tx.put(SECRETS, secret("s", id="s"))

        def go(tx: StoreTx) -> None:
            tx.delete(SECRETS, "s")
            tx.delete(VERSIONS, "s", 1)

        transact(backend, come, StampGuard())
        transact(backend, go, StampGuard())
        assert get(backend, SECRETS, "s") is None
        assert get(backend, VERSIONS, "s", 1) is None

    def test_delete_then_insert(self, backend: StoreBackend) -> None:
        """A unique value that one row gives up another may take in the same transaction."""
        store(backend, USERS, user("ann", name_key="boss"))

        def change(tx: StoreTx) -> None:
            tx.put(USERS, user("bob", name_key="boss"))
            tx.delete(USERS, "ann")

        transact(backend, change, StampGuard())
        assert [row.id for row in select(backend, USERS)] == ["bob"]

    def test_deleting_nothing(self, backend: StoreBackend) -> None:
        """Deleting what is not there is no error."""
        transact(backend, remove(SYSTEM, "absent"))
        assert select(backend, SYSTEM) == []

    def test_readers_keep_their_view(self, backend: StoreBackend) -> None:
        """A session sees one moment, and the next one the next."""
        store(backend, SYSTEM, system("a", b"1"))
        with backend.read() as session:
            assert session.get(SYSTEM, ("a",)) == system("a", b"1")
            store(backend, SYSTEM, system("a", b"2"), system("b"))
            assert session.get(SYSTEM, ("a",)) == system("a", b"1")
            assert session.select(SYSTEM, StoreQuery()) == [system("a", b"1")]
        assert get(backend, SYSTEM, "a") == system("a", b"2")

    def test_one_writer(self, backend: StoreBackend) -> None:
        """Writes from several threads are done one after the other."""

        def count(tx: StoreTx) -> None:
            row = tx.get(SYSTEM, "n") or system("n", b"")
            tx.put(SYSTEM, system("n", row.value + b"."))

        with ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(transact, backend, count) for _ in range(100)]:
                done.result()
        assert get(backend, SYSTEM, "n").value == b"." * 100

    def test_own_view(self, backend: StoreBackend) -> None:
        """`apply` reads what was committed before it."""
        store(backend, SYSTEM, system("a"))
        seen = []

        def apply(session: StoreSession) -> WriteSet:
            seen.append(session.select(SYSTEM, StoreQuery()))
            seen.append(session.get_many(SYSTEM, [("a",)]))
            return WriteSet()

        backend.write(apply)
        assert seen == [[system("a")], {("a",): system("a")}]


class TestLife:
    """Open, closed, connected anew."""

    def test_check(self, backend: StoreBackend) -> None:
        """A sound database passes."""
        store(backend, MOUNTS, samples.extreme_rows()[2][1])
        store(
            backend, TOKENS, next(row for table, row in samples.extreme_rows() if table is TOKENS)
        )
        backend.check()

    def test_is_open(self, backend: StoreBackend) -> None:
        """It says whether it is open, and may be closed twice."""
        assert backend.is_open
        backend.close()
        backend.close()
        assert not backend.is_open
        backend.open()

    def test_connect_again(self, backend: StoreBackend) -> None:
        """A fresh connection loses nothing."""
        store(backend, SYSTEM, system("a"))
        backend.connect()
        store(backend, SYSTEM, system("b"))
        assert [row.name for row in select(backend, SYSTEM)] == ["a", "b"]
