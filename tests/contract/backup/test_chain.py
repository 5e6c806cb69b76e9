"""Whatever is changed between them, a chain of backups restores to what the vault was at each."""

from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.backup.samples import back_up, restore
from tests.contract.store.samples import put, remove, secret, user
from tests.support.databases import make_backend
from tests.support.vaults import Vault, contents, require_whole
from vault.backup.format import Manifest
from vault.model.records import AccessRow
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
