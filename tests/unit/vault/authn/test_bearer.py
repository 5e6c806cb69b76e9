"""Bearer credentials: located by id, matched by secret, spent durably."""

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from vault.authn.bearer import api_key_method, token_method
from vault.authn.tokens import NewToken
from vault.errors import UnavailableError
from vault.model.operation import Origin
from vault.store.tables import TOKENS

HERE = Origin(ip="10.0.0.1")


def _methods(desk: Any) -> tuple[Any, Any]:
    parts = (desk.store, desk.scheme, desk.lockout, desk.world)
    return token_method(*parts), api_key_method(*parts)


async def test_the_secret_decides(desk: Any) -> None:
    """The id finds the row, the secret decides; the same work is done when there is none."""
    text, _ = await desk.root()
    method, _ = _methods(desk)
    located = desk.scheme.locate(text)
    assert await method.identify(located, HERE)
    compared: list[bytes | None] = []
    desk.scheme.matches = lambda _located, stored: compared.append(stored)
    assert await method.identify(located, HERE) is None
    assert await method.identify(located._replace(id="nobody"), HERE) is None
    assert [stored is None for stored in compared] == [False, True]


async def test_a_token_does_not_count_in_a_cookie(desk: Any) -> None:
    """There, only a browser's session does."""
    text, _ = await desk.root()
    method, _ = _methods(desk)
    located = desk.scheme.locate(text)
    assert await method.identify(located, Origin(ip=HERE.ip, browser=True)) is None
    assert await method.identify(located, HERE)


async def test_spending_is_durable_first(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the use cannot be stored, it does not count as an authentication."""
    _, root = await desk.root()
    made = await desk.tokens.create(root, NewToken(num_uses=2))
    method, _ = _methods(desk)

    async def refuse(_change: Any) -> None:
        raise UnavailableError("store_full", "full")

    monkeypatch.setattr(desk.store, "commit", refuse)
    with pytest.raises(UnavailableError):
        await method.identify(desk.scheme.locate(made.text), HERE)


async def test_spending_goes_by_the_store(desk: Any) -> None:
    """What the store has counts, not what was read before: uses never go below zero."""
    _, root = await desk.root()
    made = await desk.tokens.create(root, NewToken(num_uses=3))
    method, _ = _methods(desk)
    located = desk.scheme.locate(made.text)
    answers: list[bool] = []

    async def use() -> None:
        answers.append(await method.identify(located, HERE) is not None)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(use)
    row = await desk.store.get(TOKENS, made.row.id)
    assert (answers.count(True), row.uses_left) == (3, 0)


async def test_unlimited_tokens_write_nothing(desk: Any) -> None:
    """A use of a token without a limit costs no commit."""
    text, _ = await desk.root()
    before = desk.store.statistics().changes
    await desk.who(text)
    assert desk.store.statistics().changes == before


async def test_a_cold_cache_changes_nothing(desk: Any) -> None:
    """With nothing in the cache the answers are those of a warm one, for both kinds."""
    text, root = await desk.root()
    token, key = _methods(desk)
    desk.store._cache.invalidate([(TOKENS, (desk.scheme.locate(text).id,), None)])
    assert await token.identify(desk.scheme.locate(text), HERE) == root
    assert await key.identify(desk.scheme.locate(desk.scheme.mint_api_key().text), HERE) is None


async def test_success_forgets_failures(desk: Any) -> None:
    """Four wrong secrets, the right one, four wrong ones: nothing is locked."""
    text, _ = await desk.root()
    method, _ = _methods(desk)
    right = desk.scheme.locate(text)
    wrong = right._replace(secret_hash=bytes(32))
    for _ in range(3):
        for _ in range(4):
            assert await method.identify(wrong, HERE) is None
        assert await method.identify(right, HERE)


async def test_a_damaged_row(desk: Any) -> None:
    """A row without a hash matches nothing."""
    text, root = await desk.root()
    row = await desk.tokens.lookup_self(root)
    await desk.store.commit(lambda tx: tx.put(TOKENS, replace(row, secret_hash=b"")))
    method, _ = _methods(desk)
    assert await method.identify(desk.scheme.locate(text), HERE) is None
