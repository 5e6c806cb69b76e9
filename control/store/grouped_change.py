"""A change that is made together with others of its kind, when several wait for the writer.

Many agents that say the same kind of thing at once then cost a few statements, not a few each.
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
    """As a change: `apply_all` with this item alone. Kinds are told apart by `apply_all` itself."""

    apply_all: Callable[[Tx, Sequence[Item]], Sequence[Result | Failure]]
    item: Item

    def __call__(self, tx: Tx) -> Result:
        """Alone."""
        (result,) = self.apply_all(tx, [self.item])
        if isinstance(result, Failure):
            raise result.error
        return result
