"""Whatever is changed between them, a chain of backups restores to what the vault was at each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.backup.samples import CREATED, back_up, fill, restore
from tests.contract.store.samples import put, remove, secret, user
from tests.support.databases import make_backend
from tests.support.vaults import Vault, contents, require_whole
from vault.backup.create import create_backup
from vault.backup.destinations.directory import LocalDirectory
from vault.backup.format import Manifest
from vault.backup.keys import VaultKeys
from vault.model.records import AccessRow
from vault.seal.anchor.row_totals import ADVANCE_ROWS
from vault.store.tables import ACCESS, SECRETS, USERS
from vault.store.transaction import StoreTx

NAMES = ["a", "a/b", "b", "é", "z/0"]
_numbers = count()

OPERATIONS = st.one_of(
    st.tuples(st.just("secret"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("user"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("access"), st.sampled_from(NAMES), st.integers(1, 3)),
    st.tuples(st.just("delete secret"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("delete user"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("backup"), st.just(""), st.integers(0, 1)),
)


def change(operation: str, name: str, number: int) -> Any:
    """The change of an operation that is one. A name moves from one user to another."""
    match operation:
        case "secret":
            return put(SECRETS, secret(name, tags=[str(number)]))
        case "user":
            return put(USERS, user(name, name_key=f"{name}-{number}"))
        case "access":

            def count_access(tx: StoreTx) -> None:
                tx.add_counts(ACCESS, [AccessRow(secret_id=f"id-{name}", value_reads=number)])

            return count_access
        case "delete secret":
            return remove(SECRETS, name)
        case _:
            return remove(USERS, name)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(OPERATIONS, min_size=1, max_size=25))
def test_each_is_what_was(tmp_path: Path, operations: list[tuple[str, str, int]]) -> None:
    """Full or incremental, at any place in the chain."""
    place = tmp_path / str(next(_numbers))
    place.mkdir()
    vault = Vault(f"sqlite:///{place}/vault.db")
    made: list[tuple[Manifest, dict[str, list[Any]]]] = []
    with vault.opened() as backend:
        vault.create()
        made.append((back_up(vault, place / "b"), contents(backend)))
        for operation in [*operations, ("backup", "", 1)]:
            if operation[0] == "backup":
                base = made[-1][0] if operation[2] else None
                made.append((back_up(vault, place / "b", base=base), contents(backend)))
            else:
                vault.commit(change(*operation))
    for manifest, wanted in made[-3:]:
        url = f"sqlite:///{place}/{manifest.id}.db"
        restore(vault, place / "b", manifest.id, make_backend(url), keep_tokens=True)
        target = make_backend(url)
        target.open()
        try:
            require_whole(target, vault.keyring)
            found = contents(target)
        finally:
            target.close()
        for table in (SECRETS, USERS, ACCESS):
            assert found[table.name] == wanted[table.name]


def test_an_incremental_backup_can_be_ended_while_it_checks_totals(
    tmp_path: Path,
) -> None:
    """Which reads all rows, however few have changed."""
    vault = Vault(f"sqlite:///{tmp_path}/vault.db")

    @contextmanager
    def ending(what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
        def advance(_count: int) -> None:
            if "totals" in what:
                raise RuntimeError(what)

        yield advance

    with vault.opened():
        fill(vault, 3)
        rows = [secret(f"secret/more-{number}") for number in range(ADVANCE_ROWS)]
        vault.commit(*(put(SECRETS, row) for row in rows))
        base = back_up(vault, tmp_path / "backups", "full")
        vault.commit(put(SECRETS, secret("secret/new")))
        with pytest.raises(RuntimeError):
            create_backup(
                vault.backend,
                LocalDirectory(tmp_path / "backups"),
                VaultKeys(vault.keyring),
                backup="next",
                created=CREATED,
                progress=ending,
                base=base,
            )
    assert not [each for each in (tmp_path / "backups").iterdir() if "next" in each.name]
