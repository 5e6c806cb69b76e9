"""The writer of this process: one transaction and one fsync for all waiting changes.

Ten thousand agents that report at once would cost a commit each (decision 4).
Changes of a kind (`GroupedChange`) are one statement, as well. A change that fails is rolled back
to its savepoint, and fails alone, also one with a value that the database does not take. When the
database fails, every change of the batch gets the error and the actor crashes: its restart has a
fresh, checked connection.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar, cast

import sqlalchemy as sa
import trio
from msgspec import Struct

from actors import BatchActor, Failure, World
from control.errors import UnavailableError
from control.store.engines import DatabaseEngines
from control.store.errors import (
    INVALID_VALUE_ERRORS,
    StoreError,
    invalid_value_error,
    is_invalid_value,
    is_serialization_conflict,
    translate_error,
)
from control.store.rows import Tx

Change = Callable[[Tx], Any]

MAX_ATTEMPTS: Final = 20  # of a batch that met another process's; each try is a fresh snapshot


# Changes of one kind that are applied together when several wait for the writer.
#
# Ten thousand agents that report the same kind of thing at once then cost a few statements in
# all.


Item = TypeVar("Item")
Result = TypeVar("Result")

GroupFunction = Callable[[Tx, Sequence[Any]], Sequence[object]]
"""A result for each item, in order. `Failure(error)` is one that raises; nothing of that item may
have been changed. Raising anything takes all of them back, and each is tried alone."""


class GroupedChange(Struct, Generic[Item, Result], frozen=True, eq=False):
    """A change: `apply_all` with this item alone, or with others of the same `apply_all`."""

    apply_all: Callable[[Tx, Sequence[Item]], Sequence[Result | Failure]]
    item: Item

    def __call__(self, tx: Tx) -> Result:
        """Apply it alone."""
        (result,) = self.apply_all(tx, [self.item])
        if isinstance(result, Failure):
            raise result.error
        return result


class StoreWriter(BatchActor[Change]):
    """An actor: its messages are changes, its replies their results.

    A change may run more than once.
    """

    max_batch: ClassVar[int] = 512

    def __init__(self, engines: DatabaseEngines, world: World) -> None:
        self._engines = engines
        self._world = world
        self._thread = trio.CapacityLimiter(1)
        self._connection: sa.Connection | None = None

    async def on_start(self) -> None:
        """Open a connection, and verify its durability settings. Raises `StoreError`."""
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
                self._engines.verify_durability(self._connection)
        except sa.exc.SQLAlchemyError as error:
            raise translate_error(error) from error

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _commit(self, changes: Sequence[Change]) -> list[object]:
        for _ in range(MAX_ATTEMPTS):
            try:
                return self._attempt(changes)
            except sa.exc.SQLAlchemyError as error:
                if not is_serialization_conflict(error):
                    self._broken()
                    raise translate_error(error) from error
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
                if is_serialization_conflict(error):
                    raise  # the database says that nothing was stored
                raise translate_error(error, committing=True) from error
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
    kinds: dict[GroupFunction, list[int]] = {}
    for place, change in enumerate(changes):
        if isinstance(change, GroupedChange):
            kinds.setdefault(change.apply_all, []).append(place)
    for place, change in enumerate(changes):
        if place in results:
            continue
        places = kinds[change.apply_all] if isinstance(change, GroupedChange) else [place]
        found = _run_grouped(connection, [changes[each] for each in places])
        results.update(zip(places, found, strict=True))
    return [results[place] for place in range(len(changes))]


def _run_grouped(connection: sa.Connection, changes: Sequence[Change]) -> Sequence[object]:
    """Changes of one kind; when they fail together, each alone."""
    first = changes[0]
    if len(changes) > 1 and isinstance(first, GroupedChange):
        items = [change.item for change in changes if isinstance(change, GroupedChange)]
        found = _run(connection, lambda tx: first.apply_all(tx, items))
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
        return Failure(translate_error(error))
    except sa.exc.SQLAlchemyError as error:
        if not is_invalid_value(error):
            raise  # the transaction itself is broken
        return Failure(translate_error(error))
    except INVALID_VALUE_ERRORS:
        return Failure(invalid_value_error())
    except Exception as error:  # noqa: BLE001  # raised where the change was asked for
        return Failure(error)


def _busy() -> UnavailableError:
    return UnavailableError("store_busy", "other changes came first every time: try again")
