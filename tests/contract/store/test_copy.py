"""A vault is copied from each kind of database to each: whole, or not at all."""

import itertools
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from tests.contract.store.copy_child import digest, ignored
from tests.contract.store.samples import extreme_rows, secret, version
from tests.support.databases import SERVERS, make_backend, server_backend, shared_server
from vault.errors import VaultError
from vault.model.records import ChangeRow, SystemRow
from vault.store.bulk import Progress
from vault.store.copy import CopyResult, copy_vault
from vault.store.interface import StoreSession, WriteSet
from vault.store.schema import HEAD, UNFINISHED
from vault.store.server import Role, run
from vault.store.sql import SqlBackend
from vault.store.table import StoreQuery, Table
from vault.store.tables import ALL, CHANGES, HEAD_ROW, SECRETS, SYSTEM, VERSIONS

ROOT: Final = Path(__file__).parents[3]
KINDS: Final = ("sqlite", *SERVERS)
SECRETS_MADE: Final = 150  # more than a page
BATCH: Final = 40
Make: TypeAlias = Callable[[str], str]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes URLs of databases that are not there yet, or are empty."""
    number = itertools.count()

    def make_one(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{next(number)}.db"
        return shared_server(kind).empty()

    return make_one


@pytest.fixture
def source(make: Make) -> str:
    """A vault in a file."""
    return fill(make("sqlite"))


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, make: Make) -> str:
    """An empty database of each kind."""
    return make(request.param)


def fill(url: str, secrets: int = SECRETS_MADE) -> str:
    """Make a vault there: rows with every extreme value, secrets with a version each, a stamp."""
    rows: dict[Table[Any], list[Any]] = {}
    for table, row in extreme_rows():
        rows.setdefault(table, []).append(row)
    for number in range(secrets):
        rows[SECRETS].append(secret(f"secret/{number:04}"))
        rows[VERSIONS].append(version(f"id-secret/{number:04}", 1, box=bytes([number % 256]) * 99))
    rows[SYSTEM].append(SystemRow(name=HEAD_ROW, value=b"first"))
    write(url, WriteSet(inserts=rows))
    return url


def write(url: str, writes: WriteSet) -> None:
    """One transaction of whoever opens it as an agent does."""
    backend = make_backend(url)
    backend.open()
    try:
        backend.write(lambda _: writes)
    finally:
        backend.close()


def change(url: str, head: bytes = b"second") -> None:
    """What an agent that is started leaves: another stamp, and a row that was changed."""
    updates = {
        SYSTEM: [SystemRow(name=HEAD_ROW, value=head)],
        SECRETS: [secret("secret/0000", tags=["changed"])],
    }
    entry = ChangeRow(seq=5, node="n", changes=b"", chain=head)
    write(url, WriteSet(updates=updates, inserts={CHANGES: [entry]}))


def contents(url: str) -> dict[str, list[Any]]:
    """All rows, as an agent that opens it would find them."""
    backend = make_backend(url)
    backend.open()
    try:
        backend.check()
        with backend.read() as session:
            return {table.name: list(rows_of(session, table)) for table in ALL}
    finally:
        backend.close()


def rows_of(session: StoreSession, table: Table[Any]) -> Iterator[Any]:
    """All rows of a table."""
    after = None
    while page := session.select(table, StoreQuery(after=after)):
        yield from page
        after = table.key_of(page[-1])


def copy(
    source: str | SqlBackend, target: str | SqlBackend, seen: Progress = ignored
) -> CopyResult:
    """A run."""
    ends = [make_backend(end) if isinstance(end, str) else end for end in (source, target)]
    return copy_vault(*ends, digest, seen, most=BATCH)


def refusal(source: str, target: str, seen: Progress = ignored) -> VaultError:
    """Why a run ends."""
    with pytest.raises(VaultError) as caught:
        copy(source, target, seen)
    return caught.value


def step_of(url: str) -> str:
    """The step that it says it is at."""
    backend = make_backend(url)
    backend.take()
    try:
        return backend.read_step()
    finally:
        backend.close()


def set_step(url: str, step: str) -> None:
    """Have it say so."""
    execute(url, f"UPDATE alembic_version SET version_num = '{step}'")  # noqa: S608  # of the test


def require_refused_at_start(url: str) -> None:
    """No agent opens an unfinished copy, and it says what to do."""
    backend = make_backend(url)
    with pytest.raises(VaultError) as caught:
        backend.open()
    assert caught.value.code == "store_incomplete"
    assert "freehold storage migrate" in caught.value.message
    assert not backend.is_open


def execute(url: str, statement: str) -> None:
    """Behind everybody's back."""
    if url.startswith("sqlite:"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(statement)
        return
    with closing(server_backend(url).connect_driver(Role.WRITE)) as connection:
        run(connection, statement)


def during(part: str, act: Callable[[], None]) -> Progress:
    """Act as a part of the work begins."""

    @contextmanager
    def seen(what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
        if what.startswith(part):
            act()
        yield lambda _: None

    return seen


class CutError(Exception):
    """The process is gone."""


def cut(url: str, number: int, *, stored: bool) -> SqlBackend:
    """A backend whose process is gone at its write of this number, after or before it is stored."""
    backend = make_backend(url)
    write, count = backend.write, itertools.count()

    def counted(apply: Callable[[StoreSession], WriteSet]) -> None:
        is_last = next(count) == number
        if not is_last or stored:
            write(apply)
        if is_last:
            raise CutError

    backend.write = counted  # type: ignore[method-assign]  # the one fault of this backend
    return backend


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_pair(make: Make, kind: str, to: str) -> None:
    """Each row is there as it was, an agent opens it, and the source is as before."""
    source, target = fill(make(kind)), make(to)
    before = contents(source)
    told: list[tuple[str, int | None]] = []

    @contextmanager
    def seen(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count

        yield advance
        assert done == total
        told.append((what, total))

    file = Path(source.removeprefix("sqlite:///"))
    bytes_before = file.read_bytes() if kind == "sqlite" else b""
    result = copy(source, target, seen)
    assert (file.read_bytes() if kind == "sqlite" else b"") == bytes_before
    total = sum(map(len, before.values()))
    assert told == [("Copying rows", total), ("Verifying rows", total)]
    assert (result.rows, result.copied) == (total, total)
    assert {each.table: each.rows for each in result.tables} == {
        name: len(rows) for name, rows in before.items()
    }
    assert contents(target) == before
    assert contents(source) == before
    again = copy(source, target)
    assert (again.root, again.copied) == (result.root, 0)


def test_the_root_is_of_all_rows(make: Make, source: str) -> None:
    """One byte of one row is another root."""
    first = copy(source, make("sqlite"))
    execute(source, "UPDATE secret_access SET value_reads = value_reads - 1 WHERE secret_id = 'x'")
    assert copy(source, make("sqlite")).root != first.root


@pytest.mark.parametrize("stored", [False, True])
def test_cut_at_each_write(make: Make, source: str, *, stored: bool) -> None:
    """A run that ends anywhere leaves nothing that an agent opens; the next one completes it."""
    wanted = contents(source)
    for number in itertools.count():
        target = make("sqlite")
        try:
            copy(source, cut(target, number, stored=stored))
        except CutError:
            pass
        else:
            break
        if step_of(target).startswith(UNFINISHED):
            require_refused_at_start(target)
        result = copy(source, target)
        assert contents(target) == wanted
        assert result.copied < result.rows or number <= 1
    assert number > 10


def test_goes_on_where_it_was(source: str, target: str) -> None:
    """What was copied is not copied again, on each kind of database."""
    with pytest.raises(CutError):
        copy(source, cut(target, 4, stored=True))
    require_refused_at_start(target)
    with pytest.raises(CutError):
        copy(source, cut(target, 2, stored=False))
    result = copy(source, target)
    assert 0 < result.copied < result.rows - 4 * 2
    assert contents(target) == contents(source)


@pytest.mark.parametrize("lines", [1, 4, 9, 16])
def test_killed(source: str, target: str, lines: int) -> None:
    """Killed at any moment, twice: the third run completes it."""
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.contract.store.copy_child", source, target, str(BATCH)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            for _ in range(lines):
                child.stdout.readline()
            child.kill()
    copy(source, target)
    assert contents(target) == contents(source)


def test_a_source_that_changed_is_copied_anew(source: str, target: str) -> None:
    """An agent ran on it after the first attempt: nothing of that attempt stays."""
    with pytest.raises(CutError):
        copy(source, cut(target, 8, stored=True))
    change(source)
    result = copy(source, target)
    assert result.copied == result.rows
    assert contents(target) == contents(source)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE secrets SET updated_at = 7 WHERE name = 'secret/0077'",
        "DELETE FROM secret_versions WHERE secret_id = 'id-secret/0149'",
        "UPDATE changes SET node = 'other'",
        "DELETE FROM system WHERE name = 'x'",
        "INSERT INTO secret_access VALUES ('planted', 1, 1, 1, 1)",
    ],
)
def test_another_row_is_noticed(source: str, target: str, statement: str) -> None:
    """A copy that is not the same never becomes a vault; the next run makes it the same."""
    error = refusal(source, target, during("Verifying", lambda: execute(target, statement)))
    assert error.code == "store_copy_differs"
    assert statement.split()[1 + (statement.split()[1] in {"FROM", "INTO"})] in error.message
    require_refused_at_start(target)
    result = copy(source, target)
    assert result.copied == result.rows
    assert contents(target) == contents(source)


def test_a_damaged_row_is_noticed(source: str, target: str) -> None:
    """As well, where it cannot even be read."""
    damage = "UPDATE policies SET document = '7'"
    error = refusal(source, target, during("Verifying", lambda: execute(target, damage)))
    assert error.code == "row_corrupt"
    assert error.message.startswith("target")
    assert copy(source, target).copied == copy(source, target).rows
    assert contents(target) == contents(source)


def test_another_row_of_a_finished_copy(source: str, target: str) -> None:
    """It is told, and left alone: it may be in use."""
    copy(source, target)
    execute(target, "UPDATE secrets SET updated_at = 7 WHERE name = 'secret/0077'")
    assert refusal(source, target).code == "store_copy_differs"
    assert step_of(target) == HEAD


def test_a_vault_is_not_overwritten(source: str, target: str) -> None:
    """Nor is what an agent made of the copy."""
    copy(source, target)
    change(target)
    before = contents(target)
    error = refusal(source, target)
    assert error.code == "store_not_empty"
    assert "target" in error.message
    assert contents(target) == before


def test_a_source_without_a_vault(source: str, target: str) -> None:
    """Such as when both are the wrong way round: nothing is written to either."""
    before = contents(source)
    if not target.startswith("sqlite:"):
        assert refusal(target, source).code == "not_initialized"
        assert step_of(target) == ""
    contents(target)  # an agent was started on it, and the vault not initialized
    error = refusal(target, source)
    assert error.code == "not_initialized"
    assert "wrong way round" in error.message
    assert contents(source) == before


def test_an_unfinished_copy_is_no_source(make: Make, source: str, target: str) -> None:
    """It does not have all rows."""
    with pytest.raises(CutError):
        copy(source, cut(target, 4, stored=True))
    assert refusal(target, make("sqlite")).code == "store_incomplete"


def test_a_file_is_held(make: Make, source: str) -> None:
    """While an agent has it nothing is copied, and no agent gets it meanwhile."""
    target = make("sqlite")
    copy(source, target)
    for first, second, role in ((source, make("sqlite"), "source"), (source, target, "target")):
        held = make_backend(first if role == "source" else second)
        held.open()
        error = refusal(first, second)
        held.close()
        assert error.code == "store_locked"
        assert error.message.startswith(role)
    refused: list[str] = []

    def start_agents() -> None:
        for url in (source, target):
            with pytest.raises(VaultError) as caught:
                make_backend(url).open()
            refused.append(caught.value.code)

    copy(source, target, during("Verifying", start_agents))
    assert refused == ["store_locked", "store_locked"]


@pytest.mark.parametrize("kind", SERVERS)
def test_an_agent_that_runs_on_a_server(make: Make, kind: str) -> None:
    """Its heartbeat says so; one that has stopped, or was silent for long, does not."""
    source = fill(make(kind))
    for age, is_refused in ((None, False), (60, False), (0, True)):  # seconds; None: it has stopped
        heartbeat = 0 if age is None else time.time_ns() - age * 10**9
        execute(source, f"UPDATE nodes SET heartbeat = {heartbeat}, name = 'vault-1.example'")  # noqa: S608  # numbers of ours
        if is_refused:
            error = refusal(source, make("sqlite"))
            assert error.code == "store_locked"
            assert "vault-1.example" in error.message
        else:
            copy(source, make("sqlite"))


def test_one_database_by_two_names(make: Make, source: str, target: str) -> None:
    """The lock notices what the names do not say."""
    copy(source, target)
    again = target.replace("@/", "@/%66", 1).replace("%66f", "%66", 1)
    assert refusal(target, again).code == "store_locked"


def test_an_agent_that_wrote_meanwhile(make: Make, source: str, target: str) -> None:
    """By whatever way it came in: the copy is older than its source, so it is not finished."""
    copy(source, target)
    third = make("sqlite")
    head = (
        "UPDATE system SET value = (SELECT box FROM secret_versions WHERE secret_id = "
        "'id-secret/0007') WHERE name = 'mark'"
    )
    error = refusal(target, third, during("Verifying", lambda: execute(target, head)))
    assert error.message.startswith("source")
    assert "run the same command again" in error.message
    require_refused_at_start(third)
    copy(target, third)
    assert contents(third) == contents(target)


@pytest.mark.parametrize(("step", "code"), [("0001", "store_outdated"), ("9999", "store_newer")])
def test_a_source_of_another_version(make: Make, source: str, step: str, code: str) -> None:
    """It is not migrated: the source is never written."""
    set_step(source, step)
    assert refusal(source, make("sqlite")).code == code
    assert step_of(source) == step


@pytest.mark.parametrize(
    ("step", "code"), [("0001", "store_not_empty"), (f"{UNFINISHED}9999-0", "store_incomplete")]
)
def test_a_target_of_another_version(source: str, target: str, step: str, code: str) -> None:
    """It is left as it is."""
    copy(source, target)
    set_step(target, step)
    assert refusal(source, target).code == code
    assert step_of(target) == step


def test_a_file_of_another_program(make: Make, source: str) -> None:
    """No table is made in it."""
    target = make("sqlite")
    execute(target, "CREATE TABLE notes (text)")
    assert refusal(source, target).code == "store_not_empty"
    with closing(sqlite3.connect(target.removeprefix("sqlite:///"))) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]


def test_the_first_migration_was_interrupted(make: Make, source: str) -> None:
    """On MySQL and MariaDB each statement of it is stored by itself, and it is begun anew."""
    target = make("mysql")
    contents(target)
    execute(target, "DROP TABLE changes")
    set_step(target, "0005")
    copy(source, target)
    assert contents(target) == contents(source)


def test_a_changed_schema(make: Make, source: str, target: str) -> None:
    """A source with a trigger could show other rows than it has; a target could change them."""
    copy(source, target)
    planted = "CREATE INDEX planted ON secrets (status)"
    execute(target, planted)
    assert refusal(target, make("sqlite")).code == "storage_schema_changed"
    assert refusal(source, target).code == "storage_schema_changed"
    empty = make("sqlite")
    contents(empty)
    execute(empty, planted)
    assert refusal(source, empty).code == "storage_schema_changed"
    assert step_of(empty) == HEAD
