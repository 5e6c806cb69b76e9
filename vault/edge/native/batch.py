"""`/api/v1/batch/read` and `/api/v1/batch/write`: many secrets in one request.

Each item is an operation of its own: authorized, recorded, counted by the rate limit and answered
by itself. They run side by side, so that one fsync serves many of them; nothing ties them together:
one that is refused takes none with it.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final, TypeAlias

import trio
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, encode, encode_reply
from vault.edge.native.openapi import ErrorBody
from vault.edge.native.secrets import Number, parse_expiry, raw_value, secret_path, value_read_body
from vault.edge.native.views import SecretBody, error_body, secret_body
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.errors import AuthenticationError, TooLargeError, ValidationError, VaultError
from vault.model.operation import COPIES, LARGE_VALUE, ResponseBudget
from vault.model.path import MAX_BYTES
from vault.model.payloads import MAX_RESULT_BYTES, ReadSecret, WriteSecret

batch = Endpoints(
    "batch", "Many secrets in one request, each authorized, recorded and answered by itself."
)

MAX_ITEMS: Final = 1_000  # items of one request
MAX_CONCURRENT: Final = (
    128  # of them under way: half a batch of the store's writer, and as many values
)
MAX_CONCURRENT_TOTAL: Final = 256
"""What the requests of a process share: each has its part of it when it begins, and one at least.
Who asks for one secret has to wait behind these, and each may be a large value. A part is not taken
back, so of n requests that come at once they are more: 256 by 1 + 1/3 + 1/4 + … + 1/n."""
ALL_DONE: Final = 200
SOME_FAILED: Final = 207  # Multi-Status, as RFC 4918, section 13 has it: look at each
_STEP: Final = 1 << 18  # bytes of small secrets for which memory is reserved at a time
_BATCH_STATUSES: Final = frozenset(
    {429, 503}
)  # refusals that are the request's when all items have them

Name = Annotated[str, Meta(min_length=1, max_length=MAX_BYTES)]
ItemOutcome: TypeAlias = SecretBody | VaultError
ItemOperation: TypeAlias = Callable[[int], Awaitable[SecretBody]]


class ReadBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Names of secrets, whose current versions are read. One that is named twice is read twice."""

    names: Annotated[list[Name], Meta(min_length=1, max_length=MAX_ITEMS)]


class BatchWrite(Struct, frozen=True, forbid_unknown_fields=True):
    """A new version, of a new secret where there is none. What is left out is as of `PUT`.

    `cas` is the version that must be current, 0 for none.
    """

    name: Name
    value: Raw
    cas: Number | None = None
    metadata: dict[str, str] | None = None
    tags: list[str] | None = None
    expires_at: str | None = None


class WriteBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be written. They are written side by side, so no name may be there twice."""

    secrets: Annotated[list[BatchWrite], Meta(min_length=1, max_length=MAX_ITEMS)]


class ItemBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one item: `secret` with 200, `error` with the status it had alone."""

    name: str
    status: int
    secret: SecretBody | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class BatchBody(Struct, frozen=True, kw_only=True):
    """What came of each item, in the order in which they were asked; `failed` of them did not."""

    failed: int
    results: list[ItemBody]


class _ActiveBatches:
    """The requests for several secrets that a process has in hand."""

    def __init__(self) -> None:
        self._count = 0

    @contextmanager
    def count_one(self) -> Iterator[int]:
        """Be one of them within the block; how many there are."""
        self._count += 1
        try:
            yield self._count
        finally:
            self._count -= 1


_active_batches: Final = _ActiveBatches()


class BatchBudget:
    """What one answer may still hold: a value, and all that is said beside it, as they are sent.

    It is the memory of its items, too: of a large one the size is known before it is decrypted, so
    one for which there is no room is refused before that.
    """

    def __init__(self, memory: ResponseBudget) -> None:
        self._memory = memory
        self._left = MAX_RESULT_BYTES
        self._reserved = 0  # bytes of memory that items have reserved and were not told yet
        self._unreserved = 0  # bytes of small secrets for which nothing is reserved

    def take_nowait(self, size: int) -> bool:
        """As the request's. Raises `TooLargeError` when the answer is full."""
        self.require_room()
        if not self._memory.take_nowait(size):
            return False
        self._reserved += size
        return True

    async def take(self, size: int) -> bool:
        """As the request's. Raises `TooLargeError` when the answer is full."""
        self.require_room()
        self._reserved += size
        if await self._memory.take(size):
            return True
        self._reserved -= size
        return False

    async def add_secret(self, secret: SecretBody) -> None:
        """A secret is to be told, or was read for nothing."""
        size = len(encode(secret))
        self._left -= size
        if size >= LARGE_VALUE:
            self._reserved = max(self._reserved - COPIES * size, 0)
            return
        self._unreserved += size
        if self._unreserved >= _STEP:
            more, self._unreserved = self._unreserved, 0
            await self._memory.take(COPIES * more)  # it is there already, with room or without

    def require_room(self) -> None:
        """Raises `TooLargeError` when it is full, or will be with what is under way."""
        self._require(self._left - self._reserved // COPIES)

    def require_within(self) -> None:
        """Raises `TooLargeError` when it is full with what was told."""
        self._require(self._left)

    def _require(self, left: int) -> None:
        if left < 0:
            raise TooLargeError(
                "answer_full", f"one answer may have {MAX_RESULT_BYTES} bytes; ask for this again"
            )


@batch.add(
    "POST", "batch/read", "Read many secrets", body=ReadBatch, returns=BatchBody,
    also=(SOME_FAILED,),
)  # fmt: skip
async def read(dialect: Dialect, request: Request, *, body: ReadBatch) -> Reply:
    room, pacer = BatchBudget(request.memory), dialect.pacer

    async def one(i: int) -> SecretBody:
        await pacer.pace()
        room.require_room()
        path = secret_path(body.names[i])
        result = await dialect.run_operation(
            request, operations.READ_SECRET, path, ReadSecret(), part=_item_suffix(i), memory=room
        )
        secret = value_read_body(result)
        del result
        await room.add_secret(secret)
        room.require_within()
        return secret

    return _batch_reply(dialect, request, body.names, await _run_each(len(body.names), one))


@batch.add(
    "POST", "batch/write", "Write many secrets", body=WriteBatch, returns=BatchBody,
    also=(SOME_FAILED,),
)  # fmt: skip
async def write(dialect: Dialect, request: Request, *, body: WriteBatch) -> Reply:
    names = [item.name for item in body.secrets]
    if len(set(names)) != len(names):  # a name has one spelling: another is no name
        raise ValidationError(
            "batch_duplicate", "a name may be written once in a batch", field="secrets"
        )

    room, pacer = BatchBudget(request.memory), dialect.pacer

    async def one(i: int) -> SecretBody:
        await pacer.pace()
        room.require_room()
        item = body.secrets[i]
        payload = WriteSecret(
            value=raw_value(item.value),
            cas=item.cas,
            metadata=item.metadata,
            tags=item.tags,
            expires_at=parse_expiry(item.expires_at, "expires_at"),
        )
        path = secret_path(item.name)
        written = await dialect.run_operation(
            request, operations.WRITE_SECRET, path, payload, part=_item_suffix(i)
        )
        secret = secret_body(written.secret)
        await room.add_secret(
            secret
        )  # what is written is told: only what is not begun can be refused
        return secret

    return _batch_reply(dialect, request, names, await _run_each(len(names), one))


async def _run_each(count: int, do: ItemOperation) -> list[ItemOutcome]:
    """What `do` returned or was refused with for each index, begun in order, some at a time.

    Once the credential does not count none is begun any more: that is told, and recorded, of those
    that were under way, not a thousand times.
    """
    outcomes: dict[int, ItemOutcome] = {}
    rest = iter(range(count))
    unknown: AuthenticationError | None = None

    async def work() -> None:
        nonlocal unknown
        for i in rest:
            try:
                outcomes[i] = unknown or await do(i)
            except VaultError as error:
                # Its frames hold what was read for nothing, and it is kept until all is told.
                outcomes[i] = error.with_traceback(None)
                error.__context__ = None
                if isinstance(error, AuthenticationError):
                    unknown = error

    with _active_batches.count_one() as requests:
        async with trio.open_nursery() as nursery:
            for _ in range(min(MAX_CONCURRENT, count, max(MAX_CONCURRENT_TOTAL // requests, 1))):
                nursery.start_soon(work)
    return [outcomes[i] for i in range(count)]


def _batch_reply(
    dialect: Dialect, request: Request, names: Sequence[str], outcomes: list[ItemOutcome]
) -> Reply:
    """The answer; raises what was all items' in common, and is no item's own."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, VaultError)]
    kinds = {(error.code, error.details.get("outcome")) for error in errors}
    if len(errors) == len(outcomes) and len(kinds) == 1:
        first = errors[0]
        if isinstance(first, AuthenticationError) or first.status in _BATCH_STATUSES:
            raise first
    now = dialect.world.now()
    results = [
        ItemBody(
            name=name,
            status=outcome.status,
            error=error_body(outcome, request.id + _item_suffix(i), now),
        )
        if isinstance(outcome, VaultError)
        else ItemBody(name=name, status=ALL_DONE, secret=outcome)
        for i, (name, outcome) in enumerate(zip(names, outcomes, strict=True))
    ]
    told = BatchBody(failed=len(errors), results=results)
    return encode_reply(told, SOME_FAILED if errors else ALL_DONE)


def _item_suffix(i: int) -> str:
    """What an item's request id has behind the request's own."""
    return f".{i}"
