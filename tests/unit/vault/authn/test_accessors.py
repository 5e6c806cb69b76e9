"""vault.authn.tokens: whose an accessor is, looked up once."""

from typing import Any

from vault.authn.tokens import NewToken


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
