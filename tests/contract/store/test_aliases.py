"""Two spellings of a name at a source are one person, or two, alike on every database."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from actors.world import SystemWorld
from tests.contract.store.harness import opened
from tests.contract.store.samples import put
from vault.authn.aliases import AliasMount
from vault.authn.entities import EntityDirectory
from vault.authn.revocation import Revoker
from vault.authn.source_checks import SourceRecords
from vault.authn.stream_registry import StreamRegistry
from vault.model.auth_mounts import AuthMountTable
from vault.model.records import EntityAliasRow
from vault.store.interface import StoreBackend
from vault.store.store import Store
from vault.store.tables import ENTITY_ALIASES

EXACT: Final = AliasMount("auth_jwt_1", "auth/jwt/", "jwt")
FOLDING: Final = AliasMount("auth_ldap_1", "auth/ldap/", "ldap")
SPELLINGS: Final = (
    "ann",
    "Ann",
    "ANN",
    "ann ",
    " ann",
    "\uff41nn",
    "a\u0308nn",
    "\xe4nn",
    "\xc4nn",
)


@pytest.fixture
async def store(backend: StoreBackend) -> AsyncIterator[Store]:
    """An empty one, without a cache that could tell names apart in the database's place."""
    async with opened(backend) as made:
        yield made


@pytest.mark.parametrize(("mount", "people"), [(EXACT, 9), (FOLDING, 2)])
async def test_a_login_finds_its_own_entity(store: Store, mount: AliasMount, people: int) -> None:
    """By bytes, or folded where the source folds: never by a collation of the database's."""
    directory = EntityDirectory(SystemWorld())
    found = [
        (
            await store.commit(
                lambda tx, name=name: directory.admit(tx, mount, name, metadata={})  # type: ignore[misc]  # bound early
            )
        ).id
        for _ in range(2)
        for name in SPELLINGS
    ]
    assert found[: len(SPELLINGS)] == found[len(SPELLINGS) :]
    assert len(set(found)) == people


async def test_the_oldest_word_of_a_source_is_due_first(store: Store) -> None:
    """Of one mount, at an age, and none that nobody depends on."""
    rows = [
        EntityAliasRow(
            alias_key=f"{accessor}:{name}",
            id=f"{accessor}-{name}",
            entity_id=name,
            mount_accessor=accessor,
            mount_path="auth/x/",
            mount_type="jwt",
            name=name,
            verified_at=verified_at,
            created_at=1,
            updated_at=1,
        )
        for accessor in ("one", "two")
        for name, verified_at in (("a", 30), ("b", 10), ("c", 0), ("d", 40), ("e", 20))
    ]
    await store.commit(put(ENTITY_ALIASES, *rows))
    clear = Revoker(store, StreamRegistry(), SystemWorld().now)
    records = SourceRecords(store, clear, AuthMountTable())
    assert [row.name for row in await records.list_due("two", 30, 10)] == ["b", "e", "a"]
    assert [row.id for row in await records.list_due("one", 30, 2)] == ["one-b", "one-e"]
    await records.note_confirmed("one:b", 50)
    await records.note_unused("one:e")
    assert [row.name for row in await records.list_due("one", 40, 10)] == ["a", "d"]
