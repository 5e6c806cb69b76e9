"""Leases and the credentials that they end with."""

from typing import Final, NamedTuple

from vault.authn.credential_validity import (
    KEY_PARENT,
    MAX_DEPTH,
    RowLookup,
    api_key_identity,
    token_identity,
)
from vault.errors import AuthorizationError
from vault.model.dynamic import STANDING
from vault.model.identity import Identity, Method
from vault.model.lease_transitions import end
from vault.model.records import ApiKeyRow, TokenRow
from vault.store.table import StoreQuery
from vault.store.tables import API_KEYS, DYNAMIC_LEASES, LEASE_CLIENTS, TOKENS
from vault.store.transaction import StoreTx

ALL_CLIENTS: Final = ""
TOKEN_ENDED: Final = "token_ended"


class LeaseOwner(NamedTuple):
    """What a lease ends with: its `parent`, and an instant that is known before (0: none)."""

    parent: str
    ends_at: int


def owner_of_api_key(get: RowLookup, caller: Identity, now: int) -> LeaseOwner:
    """Raises `AuthorizationError` (`credential_ended`) unless the API key stands."""
    key: ApiKeyRow | None = get(API_KEYS, caller.credential)
    if key is None or api_key_identity(get, key, now) is None:
        raise _ended()
    return LeaseOwner(KEY_PARENT + key.id, key.expires_at)


def owner_of_token(get: RowLookup, row: TokenRow | None, now: int) -> LeaseOwner:
    """As `owner_of_api_key`. A token's own end is not counted: it may be renewed, with the lease.

    The API key that it came from may end before it, and nothing removes the token then.
    """
    if row is None or token_identity(get, row, now) is None:
        raise _ended()
    above: TokenRow | None = row
    for _ in range(MAX_DEPTH):
        if above is None or not above.parent:
            break
        if above.parent.startswith(KEY_PARENT):
            key: ApiKeyRow | None = get(API_KEYS, above.parent.removeprefix(KEY_PARENT))
            return LeaseOwner(row.id, 0 if key is None else key.expires_at)
        above = get(TOKENS, above.parent)
    return LeaseOwner(row.id, 0)


def can_own_leases(caller: Identity) -> bool:
    """Whether there is something that a lease of the caller could end with."""
    return caller.holds_token or caller.method is Method.API_KEY


def end_leases_of(tx: StoreTx, parent: str, limit: int, now: int) -> int:
    """End leases of a token, or of an API key (`key:` and its id); returns how many, at most so.

    They have no parent any more, so the next call finds others.
    """
    everyone = tx.get(LEASE_CLIENTS, ALL_CLIENTS)
    if everyone is None or not everyone.leases:
        return 0
    found = tx.select(DYNAMIC_LEASES, StoreQuery(equals={"parent": parent}, limit=limit))
    for row in found:
        if row.state in STANDING:
            tx.put(DYNAMIC_LEASES, end(row, TOKEN_ENDED, now))
    return len(found)


def _ended() -> AuthorizationError:
    return AuthorizationError(
        "credential_ended",
        "the credential has ended or has no uses left, and a lease would end with it: log in anew",
    )
