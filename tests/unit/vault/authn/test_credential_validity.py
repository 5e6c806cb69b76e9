"""Does a credential still stand: the rule itself, on rows as anybody could have written them."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from protocols.instant import SECOND
from vault.authn.credential_validity import (
    KEY_PARENT,
    MAX_DEPTH,
    api_key_identity,
    is_expired,
    resolve_identity,
    token_identity,
)
from vault.model.identity import Identity
from vault.model.records import ApiKeyRow, RecordStatus, RoleRow, TokenRow, UserRow
from vault.store.row_cache import MISSING
from vault.store.tables import API_KEYS, ROLES, TOKENS, USERS

NOW = 1000
Rows = dict[tuple[str, tuple[Any, ...]], Any]


def _token(name: str, **fields: Any) -> TokenRow:
    return TokenRow(
        id=name, accessor=f"acc-{name}", secret_hash=b"", created_at=1,
        **{"issued_at": 1, "policies": ["app", "default"]} | fields,
    )  # fmt: skip


def _key(**fields: Any) -> ApiKeyRow:
    return ApiKeyRow(
        **{"id": "k", "user_id": "u", "name": "k", "key_hash": b"", "created_at": 1,
           "created_by": "x"} | fields
    )  # fmt: skip


def _user(**fields: Any) -> UserRow:
    return UserRow(
        **{"id": "u", "username": "ann", "name_key": "ann", "created_at": 1, "updated_at": 1,
           "policies": ["app"]} | fields
    )  # fmt: skip


def _role(name: str, *policies: str) -> RoleRow:
    return RoleRow(name=name, policies=list(policies), created_at=1, updated_at=1)


def _get(*rows: Any) -> Callable[..., Any]:
    tables = {TokenRow: TOKENS, ApiKeyRow: API_KEYS, UserRow: USERS, RoleRow: ROLES}
    kept = {(tables[type(row)].name, tables[type(row)].key_of(row)): row for row in rows}
    return lambda table, *key: kept.get((table.name, key))


def test_denials_of_the_line() -> None:
    """Each token binds with its own policies, lost ones too, unless it holds root itself."""
    for user, line, denied in (
        (_user(policies=["root"]), [["app"], ["app", "no-db"]], ("no-db",)),
        (_user(policies=[], roles=["r"]), [["app"], ["app", "no-db"]], ("no-db",)),
        (_user(policies=["app"]), [["app"], ["app", "no-db"]], ("default", "no-db")),
        (_user(policies=["app"]), [["app", "no-db"]], ("default", "no-db")),
        (_user(policies=["root"]), [["app"], ["root"]], ()),
        (_user(policies=["app", "no-db"]), [["app"], ["root"]], ("default", "no-db")),
    ):
        makers = [*map(str, range(1, len(line))), "key:k"]
        rows = [
            _token(str(i), user_id="u", policies=policies, parent=maker)
            for i, (policies, maker) in enumerate(zip(line, makers, strict=True))
        ]
        who = _who(rows[0], *rows, _key(), user, _role("r", "root"))
        assert who is not None
        assert who.denied_by == denied


def test_what_a_line_began_with() -> None:
    """The user or the first token; what root made begins anew, and an orphan does."""
    root, app = ["root"], ["app"]
    top, own = _token("t", policies=app), _token("a", parent="t", policies=app)
    of_root = _token("b", parent="r", policies=app)
    by_key = _token("c", user_id="u", parent="key:k", policies=app)
    others = [top, _token("r", policies=root), _key(), _user(policies=["app"])]
    for row, first in (
        (top, "acc-t"),
        (own, "acc-t"),
        (_token("d", parent="a", policies=app), "acc-t"),
        (of_root, "acc-b"),
        (_token("e", parent="b", policies=app), "acc-b"),
        (by_key, "u"),
        (_token("f", parent="c", policies=app), "u"),
    ):
        who = _who(row, own, of_root, by_key, *others)
        assert who is not None
        assert who.first == first, row.id
    admin = _who(by_key, _key(), _user(policies=root))
    assert admin is not None
    assert admin.first == "u"


def _who(row: TokenRow, *others: Any) -> Identity | None:
    return token_identity(_get(row, *others), row, NOW)


@pytest.mark.parametrize(
    ("expires_at", "gone"), [(0, False), (NOW - 1, True), (NOW, True), (NOW + 1, False)]
)
def test_expired(expires_at: int, gone: bool) -> None:
    """Zero is never; the instant itself is too late."""
    assert is_expired(expires_at, NOW) is gone


@pytest.mark.parametrize(
    ("row", "others"),
    [
        (_token("a", expires_at=NOW), []),
        (_token("a", num_uses=1, uses_left=0), []),
        (_token("a", num_uses=1, uses_left=-1), []),
        (_token("a", parent="gone"), []),
        (_token("a", parent="b"), [_token("b", expires_at=NOW)]),
        (_token("a", parent="b"), [_token("b", parent="c"), _token("c", expires_at=NOW)]),
        (_token("a", parent="b"), [_token("b", parent="c")]),
        (_token("a", parent="a"), []),
        (_token("a", parent="b"), [_token("b", parent="a")]),
        (_token("a", user_id="u"), []),
        (_token("a", user_id="u"), [_user(status=RecordStatus.DISABLED)]),
        (_token("a", parent="b"), [_token("b", user_id="u"), _user(status=RecordStatus.DISABLED)]),
        (_token("a", parent="key:k"), [_user()]),
        (_token("a", parent="key:k"), [_key()]),
        (_token("a", parent="key:k"), [_key(status=RecordStatus.REVOKED), _user()]),
        (_token("a", parent="key:k"), [_key(expires_at=NOW), _user()]),
        (_token("a", parent="key:k"), [_key(), _user(status=RecordStatus.DISABLED)]),
        (_token("a", parent="k"), [_key(), _user()]),
    ],
)
def test_does_not_stand(row: TokenRow, others: list[Any]) -> None:
    """Whatever is wrong anywhere in the line, the token does not stand; a circle ends."""
    assert _who(row, *others) is None


def test_stands() -> None:
    """A line of which everything stands, up to an API key and its permissions."""
    grant = {"capabilities": ["read"], "paths": ["secret/*"]}
    who = _who(
        _token("a", parent="b"), _token("b", parent="key:k"), _key(permissions=[grant]), _user()
    )
    assert who is not None
    assert (who.id, who.credential, who.policies) == ("acc-a", "acc-a", ("app", "default"))
    assert [(p.capabilities, p.paths) for p in who.permissions] == [(("read",), ("secret/*",))]


def test_depth() -> None:
    """A line is walked `MAX_DEPTH` tokens far, and no further."""
    line = [_token("0")] + [_token(str(i), parent=str(i - 1)) for i in range(1, MAX_DEPTH + 1)]
    assert _who(line[MAX_DEPTH - 1], *line) is not None
    assert _who(line[MAX_DEPTH], *line) is None


def test_user_policies_bound_the_token() -> None:
    """A user's token has what it was given and its user still has; root has all; default stays."""
    row = _token("a", user_id="u", policies=["app", "default", "ops", "root"])
    for user, roles, held in (
        (_user(policies=[]), [], ("default",)),
        (_user(policies=["app"]), [], ("app", "default")),
        (_user(policies=[], roles=["r", "gone"]), [_role("r", "ops")], ("default", "ops")),
        (_user(policies=["root"]), [], ("app", "default", "ops", "root")),
    ):
        who = _who(row, user, *roles)
        assert who is not None
        assert who.policies == held


@pytest.mark.parametrize(
    ("key", "user"),
    [
        (_key(status=RecordStatus.REVOKED), _user()),
        (_key(expires_at=NOW), _user()),
        (_key(), _user(status=RecordStatus.DISABLED)),
        (_key(), _user(status="anything else")),
        (_key(status="anything else"), _user()),
        (_key(user_id="other"), _user()),
    ],
)
def test_key_does_not_stand(key: ApiKeyRow, user: UserRow) -> None:
    """Only an active, unexpired key of an active user stands."""
    assert api_key_identity(_get(key, user), key, NOW) is None
    assert api_key_identity(_get(_key(), _user()), _key(), NOW) is not None


def test_no_id_is_a_key_reference() -> None:
    """A reference to a key cannot be the id of a token."""
    assert ":" in KEY_PARENT


class _ColdStore:
    """A store whose cache never has anything, as when several agents share a database."""

    def __init__(self, get: Callable[..., Any]) -> None:
        self._get = get
        self.reads: list[Any] = []

    def get_cached(self, _table: Any, *_key: Any) -> Any:
        return MISSING

    async def get(self, table: Any, *key: Any) -> Any:
        self.reads.append((table.name, *key))
        await trio.lowlevel.checkpoint()
        return self._get(table, *key)


async def test_without_a_cache() -> None:
    """Without a cache each row is read once, and the answer is the same."""
    row, parent = _token("a", parent="b", user_id="u"), _token("b", user_id="u")
    store: Any = _ColdStore(_get(row, parent, _user(roles=["r"]), _role("r", "ops")))
    who = await resolve_identity(store, token_identity, row, NOW)
    assert who is not None
    assert who.policies == ("app", "default")
    assert store.reads == [("users", "u"), ("roles", "r"), ("tokens", "b")]


@pytest.mark.parametrize(
    ("expires_at", "seconds", "stands"),
    [(10**15, 300, True), (10**15, 301, False), (0, 10**6, True)],
    ids=["processes differ", "the clock was ahead", "without an end"],
)
def test_what_was_issued_in_the_future_does_not_stand(
    expires_at: int, seconds: int, stands: bool
) -> None:
    """It would end too late: tokens by their last renewal, keys, and what came from either."""
    at = NOW + seconds * SECOND
    early = _token("early", issued_at=at, expires_at=expires_at)
    key = _key(created_at=at, expires_at=expires_at)
    child, of_key = _token("child", parent="early"), _token("of-key", parent=f"{KEY_PARENT}k")
    rows = (early, key, child, of_key, _user())
    for row in (early, child, of_key):
        assert (_who(row, *rows) is not None) is stands
        assert token_identity(_get(*rows), row, NOW, at) is not None  # "what if", at the real time
    assert (api_key_identity(_get(*rows), key, NOW) is not None) is stands
