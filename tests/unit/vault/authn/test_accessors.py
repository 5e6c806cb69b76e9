"""vault.authn.tokens: whose an accessor is, looked up once."""

from typing import Any

import pytest

from vault.authn.tokens import NewToken
from vault.errors import ValidationError
from vault.store.table import StoreQuery

HOUR = 3600 * 10**9


async def test_an_accessor_is_found_again_by_its_token(desk: Any) -> None:
    """The database is asked once whose it is; what is told is how it stands now."""
    _, root = await desk.root()
    made = await desk.tokens.create(root, NewToken(policies=("app",)))
    asked: list[StoreQuery] = []
    select = desk.store.select

    async def counted(table: Any, query: StoreQuery) -> list[Any]:
        asked.append(query)
        return await select(table, query)

    desk.store.select = counted
    assert await desk.tokens.lookup_accessor(made.row.accessor) == made.row
    renewed = (await desk.tokens.renew(made.row, HOUR)).row
    assert await desk.tokens.lookup_accessor(made.row.accessor) == renewed
    assert len(asked) == 1
    await desk.tokens.revoke(renewed)
    with pytest.raises(ValidationError, match="invalid_accessor"):
        await desk.tokens.lookup_accessor(made.row.accessor)
    with pytest.raises(ValidationError, match="invalid_accessor"):
        await desk.tokens.lookup_accessor("none")


async def test_an_accessor_is_of_one_token_for_good(desk: Any) -> None:
    """Also where another token has the text, and so the id, of one that is gone."""
    _, root = await desk.root()
    old = await desk.tokens.create(root, NewToken(id="chosen", policies=("a",)), sudo=True)
    assert await desk.tokens.find_by_accessor(old.row.accessor) == old.row
    await desk.tokens.revoke(old.row)
    new = await desk.tokens.create(root, NewToken(id="chosen", policies=("b",)), sudo=True)
    assert new.row.id == old.row.id
    assert await desk.tokens.find_by_accessor(old.row.accessor) is None
    assert await desk.tokens.find_by_accessor(new.row.accessor) == new.row
