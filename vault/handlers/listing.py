"""Listing: a search over names with filters, and the children of a folder.

Both show only what the caller may see, by the same decision that a read of it would get. A search
looks at a bounded number of rows a call and hands out a cursor where it stopped.
"""

from dataclasses import dataclass
from typing import Final, cast

import msgspec

from actors.world import World
from vault.authz.authorizer import Authorizer
from vault.barrier import SECRETS, Barrier, Query
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers
from vault.handlers.sight import Sight, facts_of
from vault.model.operation import NO_FACTS, Capability, Facts
from vault.model.payloads import MOST_ANSWERED, MOST_SHOWN, ListKeys, ListSecrets
from vault.model.records import SecretRow
from vault.model.results import Keys, Page

MOST_SCANNED: Final = 20_000  # rows a search looks at before it hands out a cursor
MOST_KEYS: Final = 100_000  # children of one folder in one answer
_PAGE: Final = 1_000
_REST: Final = 512  # bytes of a row on the wire beside its name, metadata and tags


@dataclass(frozen=True)
class Listing:
    """The handlers of `secret.list` (search) and `secret.keys` (folder)."""

    barrier: Barrier
    authorizer: Authorizer
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {
            "secret.list": Handler(
                run=self.search, capability=None, response=lambda page: {"count": len(page.secrets)}
            ),
            "secret.keys": Handler(
                run=self.keys,
                capability=Capability.LIST,
                response=lambda keys: {"count": len(keys.keys)},
            ),
        }

    async def search(self, call: Call) -> Page:
        """The visible secrets below the folder for which all filters hold, in name order.

        Of one whose metadata the caller may not read there is the name alone, and no filter finds
        it: `list` is not `read_metadata`.
        """
        payload: ListSecrets = call.payload
        if not 1 <= payload.limit <= MOST_SHOWN:
            raise ValidationError(
                "limit_invalid", f"limit must be 1 to {MOST_SHOWN}", field="limit"
            )
        after = self.barrier.open_cursor(payload.cursor) if payload.cursor else ""
        sight = Sight(self.authorizer, call, self.world.now())
        shown: list[SecretRow] = []
        scanned = size = 0
        while True:
            page = await self._page(call.op.path, after)
            for row in page:
                scanned += 1
                if sight.lists(row):
                    known = row if sight.describes(row) else _name_only(row)
                    if _matches(known, payload):
                        shown.append(known)
                        size += _size(known)
                if len(shown) == payload.limit or scanned == MOST_SCANNED or size > MOST_ANSWERED:
                    return Page(secrets=shown, cursor=self.barrier.seal_cursor(row.name))
            if len(page) < _PAGE:
                return Page(secrets=shown, cursor="")
            after = page[-1].name

    async def keys(self, call: Call) -> Keys:
        """Direct children of the folder. A sub-folder shows when something visible lies in it."""
        payload: ListKeys = call.payload
        folder, sight = call.op.path, Sight(self.authorizer, call, self.world.now())
        most = min(payload.limit or MOST_KEYS, MOST_KEYS)
        found: list[str] = []
        last = ""  # of these
        cursor = _last_below(folder, payload.after) if payload.after else folder
        while True:
            page = await self._names(folder, cursor, facts=sight.needs_facts)
            for name, facts in page:
                key = _child(folder, name)
                if key == last or not sight.shows(name, facts):
                    continue
                if len(found) == most:
                    return Keys(keys=found)
                found.append(key)
                last = key
            if len(page) < _PAGE:
                return Keys(keys=found)
            end, _ = page[-1]
            cursor = _last_below(folder, last) if _child(folder, end) == last else end

    async def _names(self, folder: str, after: str, *, facts: bool) -> list[tuple[str, Facts]]:
        """Of a page the names, with their facts where these are needed: rows stay packed if not."""
        if facts:
            return [(row.name, facts_of(row)) for row in await self._page(folder, after)]
        keys = await self.barrier.checked_keys(SECRETS, _below(folder, after))
        return [(name, NO_FACTS) for (name,) in cast("list[tuple[str]]", keys)]

    async def _page(self, folder: str, after: str) -> list[SecretRow]:
        """Secrets below `folder` whose names come after `after`, in byte order."""
        return await self.barrier.select(SECRETS, _below(folder, after))


def _below(folder: str, after: str) -> Query:
    return Query(
        prefix=("name", folder) if folder else None,
        after=(after,) if after else None,
        limit=_PAGE,
    )


def _child(folder: str, name: str) -> str:
    """The direct child of `folder` that `name` is or lies in (then with a closing `/`)."""
    child, slash, _ = name[len(folder) :].partition("/")
    return child + slash


def _last_below(folder: str, child: str) -> str:
    """A key after every name that is or lies in `child`.

    U+10FFFF is no character, so no `ResourcePath` holds it, and its bytes sort after all others.
    """
    return f"{folder}{child}\U0010ffff" if child.endswith("/") else folder + child


def _name_only(row: SecretRow) -> SecretRow:
    return SecretRow(name=row.name, id="", status="", created_at=0, updated_at=0, created_by="")


def _size(row: SecretRow) -> int:
    """Bytes of it on the wire, about: of what its owner chose, and of all else together."""
    return _REST + len(msgspec.json.encode((row.name, row.metadata, row.tags)))


def _matches(row: SecretRow, want: ListSecrets) -> bool:
    return (
        (not want.status or row.status == want.status)
        and (not want.expiring_before or 0 < row.expires_at < want.expiring_before)
        and set(want.tags) <= set(row.tags)
        and all(row.metadata.get(key) == value for key, value in want.metadata.items())
    )
