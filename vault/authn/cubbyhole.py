"""Cubbyholes: what a token keeps for itself, and answers that wait for the holder of a token.

What is kept is sealed by the token's own text (`CredentialScheme.seal_own`): nobody else can read
it, not even the vault while the token is away. It goes with the token. A wrapped answer is the one
entry of a token that is good for nothing but to unwrap it, once.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from actors.world import World
from vault.authn.credential_scheme import TOKEN, CredentialScheme
from vault.authn.credential_validity import WRAPPING_PATH, token_identity
from vault.authn.revocation import Revoker
from vault.authn.token_lifetime import MAX_TTL
from vault.errors import (
    ConflictError,
    NotFoundError,
    TamperedError,
    TooLargeError,
    ValidationError,
)
from vault.model.identity import WRAPPING_POLICY
from vault.model.records import CubbyholeRow, TokenRow
from vault.store.store import Store
from vault.store.table import StoreQuery
from vault.store.tables import CUBBYHOLE, TOKENS
from vault.store.transaction import StoreTx

T = TypeVar("T")

MAX_ENTRIES: Final = 64  # of one token
MAX_BYTES: Final = 1 << 20  # of all entries of one token: as of one secret
MAX_WRAPPED: Final = 2 << 20  # bytes of a wrapped answer; a row has room for 8 MiB
_ANSWER: Final = "response"
_CREATION_PATH: Final = "creation_path"
_WRAPPED_ACCESSOR: Final = "wrapped_accessor"
_NOT_VALID: Final = "wrapping token is not valid or does not exist"


class WrappedAnswer(Struct, frozen=True, kw_only=True):
    """A token that stands for an answer. `ttl` in ns; `text` is there at its making alone.

    `creation_path`: of the request that was answered. `wrapped_accessor`: of the token that the
    answer brings; empty: it brings none.
    """

    accessor: str
    ttl: int
    created_at: int
    creation_path: str
    wrapped_accessor: str = ""
    text: str = ""

    def __repr__(self) -> str:
        return f"WrappedAnswer(accessor={self.accessor!r})"


class Cubbyholes:
    """What handlers call. `text` is always that of a token, as it was presented."""

    def __init__(
        self, store: Store, scheme: CredentialScheme, revoker: Revoker, world: World
    ) -> None:
        self._store = store
        self._scheme = scheme
        self._revoker = revoker
        self._world = world

    async def read(self, text: str, path: str) -> bytes:
        """Return an entry of a standing token. Raises `NotFoundError`."""
        rows = await self._store.select(CUBBYHOLE, _entries(self._id(text)))
        row = next((row for row in rows if row.path == path), None)
        if row is None:
            raise NotFoundError("cubbyhole_empty", "the token keeps nothing there")
        return self._open(text, row)

    async def list_(self, text: str) -> list[str]:
        """Return the paths of all entries of a token, in order."""
        rows = await self._store.select(CUBBYHOLE, _entries(self._id(text)))
        return [row.path for row in rows]

    async def write(self, text: str, path: str, value: bytes) -> None:
        """Keep `value`, in place of what was there.

        Raises `TooLargeError` beyond `MAX_BYTES`, and `ConflictError` beyond `MAX_ENTRIES`.
        """
        token_id = self._id(text)
        row = self._row(text, token_id, path, value)

        def change(tx: StoreTx) -> None:
            if tx.get(TOKENS, token_id) is None:
                raise ValidationError("token_not_found", "token not found")
            others = [one for one in tx.select(CUBBYHOLE, _entries(token_id)) if one.path != path]
            if len(others) >= MAX_ENTRIES:
                raise ConflictError(
                    "cubbyhole_full",
                    f"a token keeps at most {MAX_ENTRIES} entries: delete one that is no longer "
                    "needed",
                )
            if sum(len(one.box) for one in others) + len(row.box) > MAX_BYTES:
                raise TooLargeError(
                    "cubbyhole_too_large", f"a token keeps at most {MAX_BYTES} bytes in all"
                )
            tx.put(CUBBYHOLE, row)

        await self._store.commit(change)

    async def delete(self, text: str, path: str) -> None:
        """Forget an entry; one that is not there is no error."""
        token_id = self._id(text)

        def change(tx: StoreTx) -> None:
            if any(row.path == path for row in tx.select(CUBBYHOLE, _entries(token_id))):
                tx.delete(CUBBYHOLE, token_id, path)

        await self._store.commit(change)

    async def wrap(
        self, content: bytes, ttl: int, creation_path: str, wrapped_accessor: str = ""
    ) -> WrappedAnswer:
        """Keep an answer for whoever unwraps it first, for `ttl` ns.

        Raises `ValidationError` for a TTL beyond `MAX_TTL` and `TooLargeError` for a large answer.
        """
        if not 0 < ttl <= MAX_TTL:
            raise ValidationError(
                "wrap_ttl_invalid", "an answer can be wrapped for 1 second to 768 hours"
            )
        if len(content) > MAX_WRAPPED:
            raise TooLargeError(
                "answer_too_large", f"an answer of more than {MAX_WRAPPED} bytes is not wrapped"
            )
        about = {_CREATION_PATH: creation_path, _WRAPPED_ACCESSOR: wrapped_accessor}
        made, store = self._prepare(content, ttl, about)
        await self._store.commit(store)
        return made

    async def unwrap(self, text: str) -> tuple[WrappedAnswer, bytes]:
        """Return the answer, and end its token. Of many who ask at once, one gets it.

        Raises `ValidationError` (`wrapping_token_invalid`) for any other token.
        """
        return await self._take(text, lambda _, token, content: (_about(token), content))

    async def rewrap(self, text: str) -> WrappedAnswer:
        """Give the answer another token, with the same TTL from now. Raises as `unwrap`."""

        def change(tx: StoreTx, token: TokenRow, content: bytes) -> WrappedAnswer:
            made, store = self._prepare(content, token.ttl, token.meta)
            store(tx)
            return made

        return await self._take(text, change)

    async def look_up(self, text: str) -> WrappedAnswer:
        """Return what a wrapping token stands for, without its use. Raises as `unwrap`."""
        token_id, now = self._id(text), self._world.now()

        def look(tx: StoreTx) -> WrappedAnswer:
            return _about(self._wrapping_token(tx, text, token_id, now))

        return await self._store.commit(look)

    async def _take(self, text: str, change: Callable[[StoreTx, TokenRow, bytes], T]) -> T:
        """Run `change` with the token and its answer, and end the token in the same commit."""
        token_id, now = self._id(text), self._world.now()
        taken: list[T] = []

        def take(tx: StoreTx) -> list[str]:
            token = self._wrapping_token(tx, text, token_id, now)
            rows = tx.select(CUBBYHOLE, _entries(token_id))
            if not rows:
                raise _not_valid()
            taken[:] = [change(tx, token, self._open(text, rows[0]))]
            return [token_id]

        await self._revoker.revoke_families(take)
        return taken[0]

    def _wrapping_token(self, tx: StoreTx, text: str, token_id: str, now: int) -> TokenRow:
        row = tx.get(TOKENS, token_id)
        located = self._scheme.locate(text)
        right = self._scheme.matches(located, None if row is None else row.secret_hash)
        if not right or row is None or row.path != WRAPPING_PATH:
            raise _not_valid()
        if token_identity(tx.get, row, now) is None:
            raise _not_valid()
        return row

    def _prepare(
        self, content: bytes, ttl: int, about: dict[str, str]
    ) -> tuple[WrappedAnswer, Callable[[StoreTx], None]]:
        """A new wrapping token, and what stores it with the answer."""
        minted, now = self._scheme.mint_token(), self._world.now()
        token = TokenRow(
            id=minted.id,
            accessor=self._scheme.mint_accessor(),
            secret_hash=minted.secret_hash,
            policies=[WRAPPING_POLICY],
            meta={name: value for name, value in about.items() if value},
            path=WRAPPING_PATH,
            created_at=now,
            issued_at=now,
            ttl=ttl,
            explicit_max_ttl=ttl,
            expires_at=now + ttl,
            renewable=False,
        )
        row = self._row(minted.text, minted.id, _ANSWER, content)

        def store(tx: StoreTx) -> None:
            tx.put(TOKENS, token)
            tx.put(CUBBYHOLE, row)

        return replace(_about(token), text=minted.text), store

    def _row(self, text: str, token_id: str, path: str, value: bytes) -> CubbyholeRow:
        return CubbyholeRow(
            token_id=token_id,
            path=path,
            box=self._scheme.seal_own(text, (token_id, path), value),
            created_at=self._world.now(),
        )

    def _open(self, text: str, row: CubbyholeRow) -> bytes:
        value = self._scheme.open_own(text, (row.token_id, row.path), row.box)
        if value is None:
            raise TamperedError(
                "cubbyhole_tampered",
                "what the token keeps was changed in the database and is refused; look for who "
                "wrote to it",
            )
        return value

    def _id(self, text: str) -> str:
        located = self._scheme.locate(text)
        if located.kind != TOKEN:
            raise ValidationError(
                "cubbyhole_needs_token", "only a token keeps something for itself: log in for one"
            )
        return located.id


def _entries(token_id: str) -> StoreQuery:
    return StoreQuery(equals={"token_id": token_id}, limit=MAX_ENTRIES + 1)


def _about(token: TokenRow) -> WrappedAnswer:
    return WrappedAnswer(
        accessor=token.accessor,
        ttl=token.ttl,
        created_at=token.created_at,
        creation_path=token.meta.get(_CREATION_PATH, ""),
        wrapped_accessor=token.meta.get(_WRAPPED_ACCESSOR, ""),
    )


def _not_valid() -> ValidationError:
    return ValidationError("wrapping_token_invalid", _NOT_VALID, field="token")
