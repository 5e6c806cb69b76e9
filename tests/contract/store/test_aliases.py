"""Two spellings of a name at a source are one person, or two, alike on every database."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from actors.world import SystemWorld
from tests.contract.store.harness import opened
from vault.authn.aliases import AliasMount
from vault.authn.entities import EntityDirectory
from vault.store.interface import StoreBackend
from vault.store.store import Store

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
