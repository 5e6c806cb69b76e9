"""What is stored of second factors: entries of `MFA_MOUNT`, by kind.

Factors and recovery codes of an entity are found by its id, which begins their names.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from msgspec.structs import replace

from vault.authn.methods.method import EntryTx, LoginTx, RowTx
from vault.model.auth_mounts import MFA_MOUNT
from vault.store.table import StoreQuery
from vault.store.tables import AUTH_ENTRIES

T = TypeVar("T")

METHOD: Final = "method"  # the settings of a method, by its id
ENFORCEMENTS: Final = "enforcements"  # one entry with all: a request finds it by key
ALL: Final = "all"
FACTOR: Final = "factor"  # ENTITY/FACTOR
NEW_FACTOR: Final = "new-factor"  # the same, of one that was not confirmed by a code yet
RECOVERY: Final = "recovery"  # ENTITY/HASH, a row for each code that is left
FAILURES: Final = "failures"  # wrong codes: PURPOSE/ENTITY
PENDING: Final = "pending"  # a login that waits for its second factor, by a hash of its id
CHALLENGE: Final = "challenge"  # that a passkey is to sign, by what it is for

SEALED: Final[Mapping[str, frozenset[str]]] = {
    FACTOR: frozenset({"secret"}),
    NEW_FACTOR: frozenset({"secret"}),
}
"""The fields of each kind that are stored sealed."""

MAX_FACTORS: Final = 16  # of an entity
OWN_KINDS: Final = (FACTOR, NEW_FACTOR, RECOVERY)
"""Kinds of entries whose names begin with the entity's id."""


class FactorStore(Protocol):
    """Entries and rows of one transaction, and entries outside of one."""

    def transact_rows(
        self, mount_id: str, change: Callable[[EntryTx, LoginTx], T], *, max_encryptions: int = 4
    ) -> Awaitable[T]:
        """As `vault.handlers.stores.AuthEntryStore.transact_rows`."""
        ...

    async def get(self, mount_id: str, kind: str, name: str) -> Any:
        """As `EntryReader.get`."""
        ...

    async def list_names(
        self, mount_id: str, kind: str, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[str]:
        """As `EntryReader.list_names`."""
        ...


def own_name(entity_id: str, name: str) -> str:
    """The name of something that an entity has."""
    return f"{entity_id}/{name}"


def forget_entity(tx: RowTx, entity_id: str) -> None:
    """Delete what there is of an entity that goes."""
    for kind in OWN_KINDS:
        for row in _own_rows(tx, kind, entity_id):
            tx.delete(AUTH_ENTRIES, row.mount_id, row.kind, row.name)


def take_factors(tx: RowTx, target_id: str, other_id: str) -> None:
    """Have an entity take over the factors of one that becomes it, where it has none itself.

    Recovery codes go: they were given out for another name.
    """
    if _own_rows(tx, FACTOR, target_id):
        return
    for row in _own_rows(tx, FACTOR, other_id):
        name = own_name(target_id, row.name.removeprefix(f"{other_id}/"))
        tx.delete(AUTH_ENTRIES, row.mount_id, row.kind, row.name)
        tx.put(AUTH_ENTRIES, replace(row, name=name))


def _own_rows(tx: RowTx, kind: str, entity_id: str) -> list[Any]:
    query = StoreQuery(
        equals={"mount_id": MFA_MOUNT.id, "kind": kind}, prefix=("name", f"{entity_id}/")
    )
    return tx.select(AUTH_ENTRIES, query)
