"""Known decisions: as many as the bound says, and each of who asked."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from vault.authz import book as book_module
from vault.authz.access import Access
from vault.authz.authorizer import Authorizer
from vault.authz.book import PolicyBook
from vault.model.identity import Identity, Method

ANN = Identity(id="u", name="ann", method=Method.TOKEN, policies=("app", "default"))
RULE = {"effect": "allow", "paths": ["secret/app/*"], "capabilities": ["read"]}


async def test_what_is_known_is_bounded(
    store: Any, world: Any, make_access: Callable[..., Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many decisions are kept as the bound says, of all callers together.

    Forgetting them changes none, and no caller gets another's.
    """
    monkeypatch.setattr(book_module, "HOT", 2)
    book = PolicyBook(store, world)
    authorizer = Authorizer(book)
    await book.put({"name": "app", "rules": [RULE]}, by="root")
    nobody = replace(ANN, policies=("default",))
    for number in range(5):
        for identity in (ANN, nobody):
            access = make_access(path=f"secret/app/{number // 2}", identity=identity)
            assert authorizer.decide(access).allowed is (identity is ANN)
            assert 1 <= len(book.snapshot.compiled(identity).decisions) <= 2
