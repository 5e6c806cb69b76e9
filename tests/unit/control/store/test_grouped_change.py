"""Changes of a kind are made together, and each has its own result or failure."""

from collections.abc import Sequence

import pytest
import trio

from actors import Failure
from control.core import Core
from control.errors import NotFoundError
from control.store import links
from control.store.rows import Tx
from control.store.writer import GroupedChange
from tests.unit.control.store.test_links import row


class Kind:
    """Adds links; a name with `bad` in it fails, and one with `break` takes all of them back."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def together(self, tx: Tx, items: Sequence[str]) -> Sequence[str | Failure]:
        """See `GroupFunction`."""
        self.sizes.append(len(items))
        links.put_links(tx, *(row(item) for item in items if "bad" not in item))
        if any("break" in item for item in items):
            raise ZeroDivisionError
        return [
            Failure(NotFoundError("not_found", item)) if "bad" in item else f"made {item}"
            for item in items
        ]


async def made(core: Core, kind: Kind, *items: str) -> dict[str, object]:
    """What came of each, asked for at once."""
    found: dict[str, object] = {}

    async def one(item: str) -> None:
        try:
            found[item] = await core.store.write(GroupedChange(kind.together, item))
        except (NotFoundError, ZeroDivisionError) as error:
            found[item] = type(error)

    async with trio.open_nursery() as nursery:
        for item in items:
            nursery.start_soon(one, item)
    return found


async def stored(core: Core) -> list[str]:
    """Whose links there are."""
    names = ["a", "b", "c", "bad", "break"]
    found = await core.store.read(lambda tx: links.get_links(tx, "acme", names))
    return sorted(link.vault for link in found)


async def test_many_are_one_call(core: Core) -> None:
    """What waits while the writer is busy is made together; the failure is one's own."""
    kind = Kind()
    found = await made(core, kind, "a", "b", "bad", "c")
    assert found == {"a": "made a", "b": "made b", "c": "made c", "bad": NotFoundError}
    assert sum(kind.sizes) == 4
    assert len(kind.sizes) < 4
    assert await stored(core) == ["a", "b", "c"]


async def test_one_that_breaks_the_rest_is_tried_alone(core: Core) -> None:
    """Nothing of it stays, and all of the others does."""
    kind = Kind()
    found = await made(core, kind, "a", "break", "b")
    assert found == {"a": "made a", "b": "made b", "break": ZeroDivisionError}
    assert await stored(core) == ["a", "b"]


async def test_alone_it_is_a_change_like_any_other(core: Core) -> None:
    """And raises like any other."""
    kind = Kind()
    assert await core.store.write(GroupedChange(kind.together, "a")) == "made a"
    with pytest.raises(NotFoundError):
        await core.store.write(GroupedChange(kind.together, "bad"))
