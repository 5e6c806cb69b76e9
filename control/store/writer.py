"""The writer of this process: one transaction for all changes that wait, one fsync for all of them.

Ten thousand agents that report at once cost a commit each otherwise (measured in
`docs/decisions/0004-store.md`: 2,300 a second alone, 53,000 together). Changes of a kind (`Joint`)
are made together as well: one statement for all of them. A change that fails is taken back, to its
savepoint if others are with it, and fails alone, also one with a value that the database does not
take. When the database fails, every change of the batch
is told and the actor crashes: its next life has a fresh, checked connection.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, cast

import sqlalchemy as sa
import trio

from actors import BatchActor, Failure, World
from control.errors import UnavailableError
from control.store.engines import Engines
from control.store.faults import UNFIT, StoreError, fault, is_conflict, is_unfit, unfit
from control.store.joint import Joint, Together
from control.store.rows import Tx

Change = Callable[[Tx], Any]

ATTEMPTS: Final = 20  # of a batch that met another process's; each try is a fresh snapshot


class Writer(BatchActor[Change]):
    """Its messages are changes, its replies what they return. A change may run more than once."""

    max_batch: ClassVar[int] = 512

    def __init__(self, engines: Engines, world: World) -> None:
        self._engines = engines
        self._world = world
        self._thread = trio.CapacityLimiter(1)
        self._connection: sa.Connection | None = None

    async def on_start(self) -> None:
        """Ready with a connection whose durability was read back. Raises `StoreError`."""
        await self._world.run_sync(self._connect, limiter=self._thread)

    async def on_stop(self) -> None:
        """Give the connection back."""
        await self._world.run_sync(self._discard, limiter=self._thread)

    async def receive_batch(self, batch: Sequence[Change]) -> Sequence[object]:
        """Commit the changes together; raises `StoreError` when none is known to be stored."""
        try:
            return await self._world.run_sync(self._commit, batch, limiter=self._thread)
        except StoreError:
            raise
        except Exception as error:  # whoever asked is told in the store's own words
            raise StoreError(
                "store_unavailable", "the writer failed: the change may be stored or not", "unknown"
            ) from error

    def _connect(self) -> None:
        try:
            self._connection = self._engines.writes.connect()
            with self._connection.begin():
                self._engines.verify(self._connection)
        except sa.exc.SQLAlchemyError as error:
            raise fault(error) from error

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _commit(self, changes: Sequence[Change]) -> list[object]:
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(changes)
            except sa.exc.SQLAlchemyError as error:
                if not is_conflict(error):
                    self._broken()
                    raise fault(error) from error
            except StoreError:
                self._broken()
                raise
        return [Failure(_busy()) for _ in changes]

    def _attempt(self, changes: Sequence[Change]) -> list[object]:
        if self._connection is None:
            raise StoreError("store_unavailable", "the database is not open")
        with self._connection.begin() as transaction:
            results = _run_all(self._connection, changes)
            if len(results) == 1 and isinstance(results[0], Failure):
                transaction.rollback()
                return results
            try:
                transaction.commit()
            except sa.exc.SQLAlchemyError as error:
                if is_conflict(error):
                    raise  # the database says that nothing was stored
                raise fault(error, committing=True) from error
        return results

    def _broken(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # after a failed fsync a second one may lie
            connection.close()


def _run_all(connection: sa.Connection, changes: Sequence[Change]) -> list[object]:
    """The result of each, in order; those of a kind are made where the first of them stands.

    A change that is alone has no savepoint: who runs it takes the transaction back if it fails.
    """
    if len(changes) == 1:
        return [_outcome(connection, changes[0])]
    results: dict[int, object] = {}
    kinds: dict[Together, list[int]] = {}
    for place, change in enumerate(changes):
        if isinstance(change, Joint):
            kinds.setdefault(change.together, []).append(place)
    for place, change in enumerate(changes):
        if place in results:
            continue
        places = kinds[change.together] if isinstance(change, Joint) else [place]
        found = _run_together(connection, [changes[each] for each in places])
        results.update(zip(places, found, strict=True))
    return [results[place] for place in range(len(changes))]


def _run_together(connection: sa.Connection, changes: Sequence[Change]) -> Sequence[object]:
    """Changes of one kind; when they fail together, each alone."""
    first = changes[0]
    if len(changes) > 1 and isinstance(first, Joint):
        items = [change.item for change in changes if isinstance(change, Joint)]
        found = _run(connection, lambda tx: first.together(tx, items))
        if not isinstance(found, Failure):
            return cast("Sequence[object]", found)
    return [_run(connection, change) for change in changes]


def _run(connection: sa.Connection, change: Change) -> object:
    savepoint = connection.begin_nested()
    result = _outcome(connection, change)
    if isinstance(result, Failure):
        savepoint.rollback()
    else:
        savepoint.commit()
    return result


def _outcome(connection: sa.Connection, change: Change) -> object:
    """What it returns, or the failure that it is to be told; what it did is still there."""
    try:
        return change(connection)
    except sa.exc.IntegrityError as error:
        return Failure(fault(error))
    except sa.exc.SQLAlchemyError as error:
        if not is_unfit(error):
            raise  # the transaction itself is broken
        return Failure(fault(error))
    except UNFIT:
        return Failure(unfit())
    except Exception as error:  # noqa: BLE001  # raised where the change was asked for
        return Failure(error)


def _busy() -> UnavailableError:
    return UnavailableError("store_busy", "other changes came first every time; try again")
