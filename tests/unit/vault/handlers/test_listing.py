"""Tests of listing: filters, cursors, folders, and that only the visible is shown."""

from typing import Any

import pytest
import trio

from actors.pacer import SLICE
from tests.unit.vault.handlers.conftest import NOW, ROOT, SECOND, House
from vault.authz.evaluate import is_listed
from vault.errors import ValidationError
from vault.model.identity import Identity, Method
from vault.model.operation import Capability
from vault.model.payloads import ListKeys, ListSecrets, SecretVersions, WriteMetadata
from vault.model.results import KeyList, SecretPage
from vault.store.table import StoreQuery, Table

NOBODY = Identity(id="n", name="n", method=Method.TOKEN, policies=())


async def search(house: House, folder: str = "", by: Identity = ROOT, **filters: Any) -> SecretPage:
    """One page."""
    page: SecretPage = await house.do("secret.list", folder, ListSecrets(**filters), by=by)
    return page


async def names(house: House, folder: str = "", by: Identity = ROOT, **filters: Any) -> list[str]:
    """The names of one page."""
    return [row.name for row in (await search(house, folder, by, **filters)).secrets]


async def keys(
    house: House, folder: str, by: Identity = ROOT, after: str = "", limit: int = 0
) -> list[str]:
    """Direct children."""
    found: KeyList = await house.do(
        "secret.keys", folder, ListKeys(after=after, limit=limit), by=by
    )
    return found.keys


async def test_byte_order_below_the_folder(house: House) -> None:
    """In the order of their UTF-8 bytes; a folder is a whole segment, not a prefix of a name."""
    for name in ("a/b", "a/é", "a/B", "ab/c", "a/b/c", "b/b"):
        await house.write(name)
    assert await names(house) == ["a/B", "a/b", "a/b/c", "a/é", "ab/c", "b/b"]
    assert await names(house, "a/") == ["a/B", "a/b", "a/b/c", "a/é"]
    assert await names(house, "c/") == []


async def test_a_page_that_is_not_full_is_the_last(house: House) -> None:
    """Nobody is asked for what comes behind it."""
    for name in ("s/a", "s/b/c", "s/d"):
        await house.write(name)
    asked = []

    def counted(ask: Any) -> Any:
        async def one_more(table: Table[Any], query: StoreQuery) -> list[Any]:
            asked.append(ask)
            rows: list[Any] = await ask(table, query)
            return rows

        return one_more

    select, checked_keys = house.barrier.select, house.barrier.select_checked_keys
    house.barrier.select = counted(select)  # type: ignore[method-assign]
    house.barrier.select_checked_keys = counted(checked_keys)  # type: ignore[method-assign]
    assert await keys(house, "s/") == ["a", "b/", "d"]
    assert asked == [checked_keys]  # of keys alone: rows stay packed
    assert await names(house, "s/") == ["s/a", "s/b/c", "s/d"]
    tagged = [{"type": "tags", "none": ["x"]}]
    some = await house.allow("some", "s/*", capabilities=("list",), conditions=tagged)
    assert await keys(house, "s/", by=some) == ["a", "b/", "d"]
    assert asked == [checked_keys, select, select]


async def test_behind_a_full_page_there_may_be_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages are asked for until one is not full."""
    monkeypatch.setattr("vault.handlers.listing._PAGE", 3)
    for count in (3, 4, 6):
        for number in range(count):
            await house.write(f"s{count}/{number}")
        wanted = [str(number) for number in range(count)]
        assert await keys(house, f"s{count}/") == wanted
        assert await names(house, f"s{count}/") == [f"s{count}/{name}" for name in wanted]


async def test_every_filter(house: House) -> None:
    """All filters that are given must hold, each on its own and together."""
    await house.write("s/plain")
    await house.write("s/tagged", tags=["a", "b"], metadata={"env": "prod", "team": "x"})
    await house.write("s/other", tags=["a"], metadata={"env": "dev"}, expires_at=NOW + SECOND)
    await house.write("s/gone")
    await house.do("secret.delete", "s/gone", SecretVersions())
    await house.do("secret.metadata.write", "s/empty", WriteMetadata())
    assert await names(house, tags=("a",)) == ["s/other", "s/tagged"]
    assert await names(house, tags=("a", "b")) == ["s/tagged"]
    assert await names(house, metadata={"env": "prod"}) == ["s/tagged"]
    assert await names(house, metadata={"env": "prod", "team": "y"}) == []
    assert await names(house, status="deleted") == ["s/gone"]
    assert await names(house, status="empty") == ["s/empty"]
    assert await names(house, expiring_before=NOW + SECOND) == []
    assert await names(house, expiring_before=NOW + SECOND + 1) == ["s/other"]
    assert await names(house, tags=("a",), status="active", metadata={"env": "dev"}) == ["s/other"]


async def test_pages(house: House) -> None:
    """Cursor by cursor everything is seen once, whatever is written between the pages."""
    for number in range(7):
        await house.write(f"s/{number}")
    page = await search(house, limit=3)
    assert [row.name for row in page.secrets] == ["s/0", "s/1", "s/2"]
    await house.write("s/00")  # before the cursor: not seen
    await house.write("s/33")  # behind it: seen
    page = await search(house, limit=3, cursor=page.cursor)
    assert [row.name for row in page.secrets] == ["s/3", "s/33", "s/4"]
    page = await search(house, limit=3, cursor=page.cursor)
    assert [row.name for row in page.secrets] == ["s/5", "s/6"]
    assert page.cursor == ""


async def test_a_search_looks_at_a_bounded_number_of_rows(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing matches it stops early with a cursor that leads on to the matches."""
    monkeypatch.setattr("vault.handlers.listing.MAX_SCANNED", 4)
    for number in range(10):
        await house.write(f"s/{number}", tags=["last"] if number == 9 else [])
    page = await search(house, tags=("last",))
    seen = list(page.secrets)
    turns = 1
    while page.cursor:
        page = await search(house, tags=("last",), cursor=page.cursor)
        seen += page.secrets
        turns += 1
    assert [row.name for row in seen] == ["s/9"]
    assert turns == 3


async def test_a_page_has_a_size(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with a cursor where it would be too large to answer, and the next one goes on."""
    monkeypatch.setattr("vault.handlers.listing.MAX_RESULT_BYTES", 20_000)
    for number in range(6):
        await house.write(f"s/{number}", metadata={str(key): '"' * 500 for key in range(10)})
    pages = [await search(house)]
    while pages[-1].cursor:
        pages.append(await search(house, cursor=pages[-1].cursor))
    assert [len(page.secrets) for page in pages] == [2, 2, 2, 0]
    assert [row.name for page in pages for row in page.secrets] == [f"s/{n}" for n in range(6)]


async def test_a_cursor_tells_nothing(house: House) -> None:
    """It stands on a name that may be hidden, so the name is not in it; another is refused."""
    for name in ("s/hidden-name", "s/second"):
        await house.write(name)
    cursor = (await search(house, limit=1)).cursor
    assert b"hidden-name".hex() not in cursor
    for bad in ("00", "zz", cursor[:-2], cursor[:-2] + "00", "é"):
        with pytest.raises(ValidationError, match="cursor_invalid"):
            await search(house, cursor=bad)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_the_limit_is_bounded(house: House, limit: int) -> None:
    """One answer holds at most a thousand."""
    with pytest.raises(ValidationError):
        await search(house, limit=limit)


async def test_only_what_is_visible(house: House) -> None:
    """A search shows what the caller may list, and nobody without a rule sees anything."""
    for name in ("s/a", "s/b", "t/a"):
        await house.write(name)
    one = await house.allow("one", "s/*", capabilities=("list",))
    reader = await house.allow("reader", "s/*", capabilities=("read",))
    assert await names(house, by=one) == ["s/a", "s/b"]
    assert await names(house, by=NOBODY) == []
    assert await names(house, by=reader) == []


async def test_hidden_rows_do_not_fill_a_page(house: House) -> None:
    """The limit counts what is shown."""
    for name in ("s/a", "s/b", "s/c", "s/d"):
        await house.write(name)
    some = await house.allow("some", "s/b", "s/d", capabilities=("list",))
    page = await search(house, by=some, limit=2)
    assert [row.name for row in page.secrets] == ["s/b", "s/d"]


async def test_children(house: House) -> None:
    """A secret and a folder of one name are two children, as KV clients expect."""
    for name in ("m/foo", "m/foo/a", "m/foo/b", "m/foo-x", "m/bar/c/d", "n/x"):
        await house.write(name)
    assert await keys(house, "m/") == ["bar/", "foo", "foo-x", "foo/"]
    assert await keys(house, "m/foo/") == ["a", "b"]
    assert await keys(house, "m/bar/") == ["c/"]
    assert await keys(house, "") == ["m/", "n/"]
    assert await keys(house, "m/none/") == []


async def test_children_in_pages(house: House) -> None:
    """`after` and `limit` walk through folders and secrets without a repeat or a gap."""
    for name in ("m/a", "m/b/x", "m/b/y", "m/b-c", "m/c", "m/d/z"):
        await house.write(name)
    everything = await keys(house, "m/")
    assert everything == ["a", "b-c", "b/", "c", "d/"]
    walked: list[str] = []
    while page := await keys(house, "m/", after=walked[-1] if walked else "", limit=1):
        walked += page
    assert walked == everything


async def test_a_large_folder_is_passed_over_whole(house: House) -> None:
    """A sub-folder of more rows than a page shows once, and what follows it still shows."""
    for number in range(1005):
        await house.write(f"m/big/{number}", b"1")
    await house.write("m/last")
    assert await keys(house, "m/") == ["big/", "last"]


async def test_a_folder_shows_when_something_visible_lies_in_it(house: House) -> None:
    """The visible one may come late, behind a page of hidden ones."""
    for number in range(1005):
        await house.write(f"m/big/{number:04}", b"1")
    await house.write("m/hid/a")
    await house.write("m/big/zz")
    some = await house.allow("some", "m/big/zz", capabilities=("list",))
    assert await keys(house, "m/", by=some) == ["big/"]


async def test_what_listing_asks_for(house: House) -> None:
    """A folder takes `list` on it; a search is open to all and shows each only his own."""
    assert house.handlers["secret.keys"].capability is Capability.LIST
    assert house.handlers["secret.list"].capability is None


async def test_list_is_not_read_metadata(house: House) -> None:
    """Whoever may only list sees names alone, and no filter tells him more."""
    await house.write("s/a", tags=["pci"], metadata={"owner": "x"}, expires_at=NOW + SECOND)
    lister = await house.allow("lister", "s/*", capabilities=("list",))
    reader = await house.allow("reader", "s/*", capabilities=("list", "read_metadata"))
    [bare] = (await search(house, by=lister)).secrets
    assert (bare.name, bare.tags, bare.metadata) == ("s/a", [], {})
    assert (bare.id, bare.created_by, bare.created_at, bare.expires_at) == ("", "", 0, 0)
    for filters in (
        {"tags": ("pci",)},
        {"metadata": {"owner": "x"}},
        {"status": "active"},
        {"expiring_before": NOW + 2 * SECOND},
    ):
        assert await names(house, by=lister, **filters) == []
        assert await names(house, by=reader, **filters) == ["s/a"]
    assert (await search(house, by=reader)).secrets[0].tags == ["pci"]


async def test_a_search_goes_by_one_state_of_the_policies(house: House) -> None:
    """A policy that is written meanwhile counts from the next search on, with all it asks for."""
    await house.write("s/a", tags=["private"], metadata={"owner": "x"})
    lister = await house.allow("lister", "s/*", capabilities=("list",))
    select = house.barrier.select

    async def slow(table: Table[Any], query: StoreQuery) -> Any:
        rows = await select(table, query)
        unless_private = [{"type": "tags", "none": ["private"]}]
        capabilities = ("list", "read_metadata")
        await house.allow("lister", "s/*", capabilities=capabilities, conditions=unless_private)
        return rows

    house.barrier.select = slow  # type: ignore[method-assign,assignment]  # a write in between
    [found] = (await search(house, by=lister)).secrets
    assert (found.name, found.metadata) == ("s/a", {})
    assert await names(house, by=lister) == []


async def test_a_condition_on_tags_hides_names(house: House) -> None:
    """A list is decided on each secret's own tags."""
    await house.write("s/a", tags=["private"])
    await house.write("s/b")
    some = await house.allow(
        "some", "s/*", capabilities=("list",), conditions=[{"type": "tags", "none": ["private"]}]
    )
    assert await names(house, by=some) == ["s/b"]
    assert await keys(house, "s/", by=some) == ["b"]


@pytest.mark.parametrize("ask", [search, keys])
async def test_others_get_their_turns(
    house: House, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time that it takes to decide on names: here a few in each slice."""
    for number in range(100):
        await house.write(f"s/{number}")
    lister = await house.allow("lister", "+/+", capabilities=("list",))
    in_a_row, now = [0], [0.0]

    def counted(*question: Any) -> bool:
        in_a_row[-1] += 1
        now[0] += SLICE / 3.5
        return is_listed(*question)

    async def other() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            in_a_row.append(0)

    monkeypatch.setattr("vault.authz.authorizer.is_listed", counted)
    monkeypatch.setattr(house.world, "monotonic", lambda: now[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await ask(house, "s/", by=lister)
        nursery.cancel_scope.cancel()
    assert sum(in_a_row) == 100
    assert max(in_a_row) <= 8  # two slices of 4 may come one after the other
