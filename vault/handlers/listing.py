"""Listing: a search over names with filters, and the children of a folder.

Both show only what the caller may see, by the same decision that a read of it would get. A search
looks at a bounded number of rows a call and hands out a cursor where it stopped.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from actors.pacer import Pacer
from actors.world import World
from vault import operations
from vault.authz.authorizer import Authorizer
from vault.errors import ValidationError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.stores import SecretStore
from vault.handlers.visibility import Visibility, secret_facts
from vault.model.operation import COPIES, NO_FACTS, Capability, SecretFacts
from vault.model.payloads import MAX_PAGE_SIZE, MAX_RESULT_BYTES, ListKeys, ListSecrets
from vault.model.records import SecretRow
from vault.model.results import KeyList, SecretPage

MAX_SCANNED: Final = 20_000  # rows a search looks at before it hands out a cursor
MAX_KEYS: Final = 100_000  # children of one folder in one answer
_PAGE: Final = 1_000
_STEP: Final = 1 << 18
"""Bytes of an answer for which memory is reserved at a time; the first so many are free."""
_ENTRY: Final = 64  # bytes of a name in a list beside its letters
_REST: Final = 512  # bytes of a row on the wire beside its name, metadata and tags


@dataclass(frozen=True)
class ListingHandlers:
    """The handlers of `secret.list` (search) and `secret.keys` (folder)."""

    store: SecretStore
    authorizer: Authorizer
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_SECRETS,
                run=self.search,
                capability=None,
                may_be_stale=True,
                discloses=lambda page: bool(page.secrets),
                audit_response=lambda page: {"count": len(page.secrets)},
            ),
            Handler(
                operations.LIST_SECRET_KEYS,
                run=self.keys,
                capability=Capability.LIST,
                may_be_stale=True,
                audit_response=lambda keys: {"count": len(keys.keys)},
            ),
        )

    async def search(self, call: Call[ListSecrets]) -> SecretPage:
        """The visible secrets below the folder for which all filters hold, in name order.

        Of one whose metadata the caller may not read there is the name alone, and no filter finds
        it: `list` is not `read_metadata`.
        """
        payload = call.payload
        if not 1 <= payload.limit <= MAX_PAGE_SIZE:
            raise ValidationError(
                "limit_invalid", f"limit must be 1 to {MAX_PAGE_SIZE}", field="limit"
            )
        after = self.store.open_cursor(payload.cursor) if payload.cursor else ""
        visibility = Visibility(self.authorizer, call, self.world.now())
        found, reserved = (
            _Search(payload, visibility, Pacer(self.world.monotonic)),
            AnswerMemory(call),
        )
        while True:
            page = await self.store.list_page(call.op.path, after, _PAGE)
            await found.add_page(page)
            is_last = len(page) < _PAGE
            del page  # not held while there is no room for what was found
            await reserved.reserve_total(found.size)
            after = found.last
            if found.is_over:
                return SecretPage(secrets=found.shown, cursor=self.store.seal_cursor(after))
            if is_last:
                return SecretPage(secrets=found.shown, cursor="")

    async def keys(self, call: Call[ListKeys]) -> KeyList:
        """Direct children of the folder. A sub-folder shows when something visible lies in it."""
        payload = call.payload
        folder = call.op.path
        visibility = Visibility(self.authorizer, call, self.world.now(), listed=folder)
        most = min(payload.limit or MAX_KEYS, call.decision.page_limit or MAX_KEYS, MAX_KEYS)
        shows = self.authorizer.shown_entries(
            call.identity, call.decision, call.op.api, folder, self.world.now()
        )
        found: list[str] = []
        size, reserved, pacer = 0, AnswerMemory(call), Pacer(self.world.monotonic)
        last = ""  # of these
        cursor = _last_below(folder, payload.after) if payload.after else folder
        while True:
            page = await self._names(folder, cursor, facts=visibility.needs_facts)
            for name, facts in page:
                await pacer.pace()
                key = _child(folder, name)
                if key == last or not visibility.is_listed(name, facts):
                    continue
                if shows is not None and not shows(key):
                    continue
                if len(found) == most:
                    return KeyList(keys=found)
                found.append(key)
                size += _ENTRY + len(key)
                last = key
            await reserved.reserve_total(size)
            if len(page) < _PAGE:
                return KeyList(keys=found)
            end, _ = page[-1]
            cursor = _last_below(folder, last) if _child(folder, end) == last else end

    async def _names(
        self, folder: str, after: str, *, facts: bool
    ) -> list[tuple[str, SecretFacts]]:
        """Of a page the names, with their facts where these are needed: rows stay packed if not."""
        if facts:
            page = await self.store.list_page(folder, after, _PAGE)
            return [(row.name, secret_facts(row)) for row in page]
        return [(name, NO_FACTS) for name in await self.store.list_names(folder, after, _PAGE)]


class _Search:
    """What a search has found so far, and where it is."""

    def __init__(self, wanted: ListSecrets, visibility: Visibility, pacer: Pacer) -> None:
        self._wanted = wanted
        self._pacer = pacer
        self._visibility = visibility
        self._scanned = 0
        self.shown: list[SecretRow] = []
        self.size = 0  # bytes of these on the wire, about
        self.last = ""  # name of the row that was looked at last
        self.is_over = False  # as many as may be were found, or looked at

    async def add_page(self, page: list[SecretRow]) -> None:
        """Look at some more rows, until it is over."""
        for row in page:
            await self._pacer.pace()
            self._scanned += 1
            self.last = row.name
            if self._visibility.can_list(row):
                known = row if self._visibility.can_read_metadata(row) else _name_only(row)
                if _matches(known, self._wanted):
                    self.shown.append(known)
                    self.size += _size(known)
            is_full = len(self.shown) == self._wanted.limit or self.size > MAX_RESULT_BYTES
            if is_full or self._scanned == MAX_SCANNED:
                self.is_over = True
                return


class AnswerMemory:
    """The memory that is reserved for an answer which grows."""

    def __init__(self, call: Call[object]) -> None:
        self._call = call
        self._size = _STEP

    async def reserve_total(self, size: int) -> None:
        """The answer has so many bytes by now. Raises `UnavailableError`."""
        if size > self._size:
            more = size - self._size + _STEP
            await self._call.reserve(COPIES * more)
            self._size += more


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
