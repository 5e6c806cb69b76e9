"""Changes of one kind that are applied together when several wait for the writer.

Ten thousand agents that report the same kind of thing at once then cost a few statements in all.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from actors import Failure
from control.store.rows import Tx

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
