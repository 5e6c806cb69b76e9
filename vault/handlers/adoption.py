"""Whether all who have an old value have fetched the new one.

Decided from what is stored (`vault.handlers.consumer_recorder`), and only where that is known to be
all there is. Whatever is not known makes a rotation wait until its grace period is over.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from msgspec.structs import replace

from protocols.instant import SECOND
from vault.handlers.consumer_recorder import REFRESH
from vault.handlers.stores import ConsumerStore, RotationTx
from vault.model.records import ConsumerRow, RecorderRow, RotationRow
from vault.model.rotation import AdoptionState, AdoptionStatus

MARGIN: Final = 30 * SECOND
"""After a value is current, until no process answers with the one before: caches of other agents
follow within a second, and their clocks differ by two at most."""


class Adoption(Protocol):
    """Who uses which version of a secret, as far as it is known."""

    async def status(self, row: RotationRow, window: int, /) -> AdoptionStatus:
        """Of a rotation's new value among those who fetched within `window` ns before it began."""
        ...

    def status_in(self, tx: RotationTx, row: RotationRow, window: int, /) -> AdoptionStatus:
        """As `status`, in the transaction that decides by it."""
        ...


class StoredAdoption:
    """`Adoption` by what consumers were recorded."""

    def __init__(self, store: ConsumerStore) -> None:
        self._store = store

    async def status(self, row: RotationRow, window: int) -> AdoptionStatus:
        """See `Adoption`."""
        recorders = await self._store.list_recorders()  # first: what they have flushed is there
        return adoption_status(
            row, window, recorders, await self._store.list_of_secret(row.secret_id)
        )

    @staticmethod
    def status_in(tx: RotationTx, row: RotationRow, window: int) -> AdoptionStatus:
        """See `Adoption`."""
        return adoption_status(row, window, tx.list_recorders(), tx.list_consumers(row.secret_id))


def adoption_status(
    row: RotationRow,
    window: int,
    recorders: Iterable[RecorderRow],
    consumers: Iterable[ConsumerRow],
) -> AdoptionStatus:
    """The pure rule."""
    since = row.began_at - window
    recent = [one for one in consumers if one.fetched_at > since - REFRESH]
    awaited = [one for one in recent if one.consumer and not one.compromised_at]
    lagging = sorted(one.name for one in awaited if one.version < row.version)
    found = AdoptionStatus(
        state=AdoptionState.WAITING, laggards=lagging, fetched=len(awaited) - len(lagging)
    )
    if not window:
        return replace(found, state=AdoptionState.UNKNOWN, reason="off")
    if any(one.lost_at > since for one in recorders):
        return replace(found, state=AdoptionState.UNKNOWN, reason="fetches_lost")
    if any(not one.consumer for one in recent):
        return replace(found, state=AdoptionState.UNKNOWN, reason="too_many_consumers")
    if lagging:
        return found
    complete_from = row.current_at + MARGIN
    if any(one.is_open and one.flushed_at < complete_from for one in recorders):
        return replace(found, reason="not_flushed")
    if not recent:
        return replace(found, state=AdoptionState.UNKNOWN, reason="no_consumers")
    return replace(found, state=AdoptionState.ADOPTED)
