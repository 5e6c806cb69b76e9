"""The MAC chain of the change feed: each entry has a MAC over itself and the MAC of the one before.

Without it, an attacker who can write the database could remove an entry, and a revoked token would
stay valid in the caches of the feed's followers. The commit stamp has the last MAC.
"""

import hmac
from collections.abc import Iterable
from typing import Final, NamedTuple

from vault.crypto.encoding import length_prefixed
from vault.errors import TamperedError
from vault.model.records import ChangeRow
from vault.seal.anchor.keys import AnchorKeys
from vault.store.change_feed import FedChanges, decode_changes
from vault.store.interface import FeedPosition

_LABEL: Final = b"freehold-change-v1\n"


def link_change(keys: AnchorKeys, seq: int, node: str, changes: bytes, before: bytes) -> ChangeRow:
    """The entry with its MAC. `before`: the MAC of the previous entry, empty for the first."""
    data = length_prefixed([seq.to_bytes(8), node.encode(), changes, before])
    return ChangeRow(seq=seq, node=node, changes=changes, chain=keys.mac(_LABEL + data))


class FedPiece(NamedTuple):
    """The changes of some entries in a row, and the position of the last one."""

    changes: list[FedChanges]
    position: FeedPosition


def verify_changes(keys: AnchorKeys, entries: Iterable[ChangeRow], after: FeedPosition) -> FedPiece:
    """The changes of the entries that follow the one at `after`.

    Raises `TamperedError` (`feed_damaged`) if an entry is missing or has a wrong MAC.
    """
    found = list[FedChanges]()
    number, before = after
    for entry in entries:
        number += 1
        wanted = link_change(keys, entry.seq, entry.node, entry.changes, before)
        if entry.seq != number or not hmac.compare_digest(entry.chain, wanted.chain):
            raise feed_damaged_error(f"entry {number} is missing or changed")
        try:
            found.append(decode_changes(entry.changes))
        except ValueError as error:
            raise feed_damaged_error(f"entry {number}: {error}") from None
        before = entry.chain
    return FedPiece(found, FeedPosition(number, before))


def feed_damaged_error(what: str) -> TamperedError:
    """The error for a feed that is not ours."""
    return TamperedError(
        "feed_damaged",
        f"the change feed in the database was changed behind the agent's back: {what}. Find out "
        "who can write the database",
    )
