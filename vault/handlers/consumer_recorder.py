"""Who fetches which version of a secret, kept in memory and flushed in batches.

A read must not cost a write, so what a process has recorded since its last flush is lost with it.
A rotation must not retire a credential because of that. So a row of each process says whether it
may hold anything: what it leaves behind when it ends without a last flush is a loss, which the next
start notices, and a loss keeps rotations from trusting the table (`vault.handlers.adoption`).
"""

from typing import Final, NamedTuple

from msgspec.structs import replace

from actors.world import World
from protocols.instant import DAY, HOUR
from vault.errors import UnavailableError
from vault.handlers.stores import ConsumerStore, merge_fetches
from vault.model.identity import Identity, Method
from vault.model.records import ConsumerRow, RecorderRow

REFRESH: Final = HOUR
"""How old the time of a stored fetch may be: those of one version in between cost no write."""
KEPT: Final = 90 * DAY
"""After that a consumer is forgotten, and so is a loss: no policy looks back so far."""
BATCH: Final = 500  # rows of a transaction
MAX_PENDING: Final = 50_000  # rows between two flushes; about 25 MiB (tracemalloc)
MAX_SEEN: Final = 100_000  # fetches that need no write; about 20 MB
LEADER: Final = 0  # the number of the process that opens first

_Key = tuple[str, str]


class _Fetch(NamedTuple):
    version: int
    at: int


def consumer_id(identity: Identity) -> str:
    """What stands for a caller: an API key, all tokens of a user, or one token."""
    if identity.method is Method.API_KEY:
        return f"key:{identity.credential}"
    kind = "token" if identity.id == identity.credential else "user"
    return f"{kind}:{identity.id}"


class ConsumerRecorder:
    """What one process has seen. `open` before the first read, `close` behind the last."""

    def __init__(self, store: ConsumerStore, world: World, node: str, process: int) -> None:
        """`process`: its number within the node."""
        self._store = store
        self._world = world
        self._node = node
        self._process = process
        self._seen: dict[_Key, _Fetch] = {}
        self._pending: dict[_Key, ConsumerRow] = {}
        self._lost_at = 0
        self._is_closed = False

    async def open(self) -> None:
        """Say that this process records. Finds what former ones have lost."""
        has_secrets, now = await self._store.has_secrets(), self._world.now()

        def change(rows: list[RecorderRow]) -> list[RecorderRow]:
            before = next((row for row in rows if row.id == self._id), None)
            is_lost = has_secrets if not rows else before is not None and before.is_open
            lost_at = now if is_lost else 0 if before is None else before.lost_at
            own = RecorderRow(id=self._id, flushed_at=now, is_open=True, lost_at=lost_at)
            others = [row for row in rows if row.id != self._id]
            if self._process == LEADER:
                others = [self._without_crash(row, now) for row in others]
            oldest = now - KEPT
            return [own, *(row for row in others if row.is_open or row.lost_at > oldest)]

        await self._store.change_recorders(change)

    def _without_crash(self, row: RecorderRow, now: int) -> RecorderRow:
        """A process of this node that was not closed is gone, with what it held."""
        if not row.is_open or not row.id.startswith(f"{self._node}/"):
            return row
        return replace(row, is_open=False, lost_at=now)

    @property
    def _id(self) -> str:
        return f"{self._node}/{self._process}"

    def record(self, identity: Identity, secret_id: str, path: str, version: int) -> None:
        """A fetch, now. Raises `UnavailableError` once it is closed: nobody would know of it."""
        if identity.method is Method.SERVICE:
            return
        key, now = (secret_id, identity.credential), self._world.now()
        seen = self._seen.get(key)
        if seen is not None and seen.version >= version and now - seen.at < REFRESH:
            return
        if self._is_closed:
            raise UnavailableError("store_unavailable", "the database is being closed")
        waiting = self._pending.get(key)
        if waiting is None and len(self._pending) >= MAX_PENDING:
            self._lost_at = now
            return
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        highest = max(one.version for one in (_Fetch(version, now), seen, waiting) if one)
        self._seen[key] = _Fetch(highest, now)
        self._pending[key] = ConsumerRow(
            secret_id=secret_id,
            consumer=consumer_id(identity),
            identity=identity.first,
            name=identity.name,
            path=path,
            version=highest,
            fetched_at=now,
        )

    async def flush(self) -> None:
        """Write what was recorded until now, and then that it is written. Raises as the store."""
        began, lost_at = self._world.now(), self._lost_at
        taken, self._pending = self._pending, {}
        wrote = bool(taken) or bool(lost_at)
        rows = list(taken.items())
        try:
            while rows:
                await self._store.merge(_merged([row for _, row in rows[:BATCH]]))
                del rows[:BATCH]
        except BaseException:
            self._pending = dict(rows) | self._pending
            raise
        if wrote or await self._store.has_waiting_rotation():
            await self._report(began, lost_at, is_open=True)
            self._lost_at = 0 if self._lost_at == lost_at else self._lost_at

    async def close(self) -> None:
        """The last flush. If it fails, what was not written is a loss. Raises as the store."""
        self._is_closed = True
        await self.flush()
        await self._report(self._world.now(), self._lost_at, is_open=False)

    async def _report(self, flushed_at: int, lost_at: int, *, is_open: bool) -> None:
        def change(rows: list[RecorderRow]) -> list[RecorderRow]:
            fresh = RecorderRow(id=self._id, flushed_at=flushed_at, is_open=is_open)
            own = next((row for row in rows if row.id == self._id), fresh)
            own = replace(
                own, flushed_at=flushed_at, is_open=is_open, lost_at=max(own.lost_at, lost_at)
            )
            return [own, *(row for row in rows if row.id != self._id)]

        await self._store.change_recorders(change)


def _merged(rows: list[ConsumerRow]) -> list[ConsumerRow]:
    """Several tokens of a user are one consumer."""
    found: dict[_Key, ConsumerRow] = {}
    for row in rows:
        key = row.secret_id, row.consumer
        before = found.get(key)
        found[key] = row if before is None else merge_fetches(before, row)
    return list(found.values())


async def forget_old_consumers(store: ConsumerStore, world: World) -> None:
    """Remove some of those who have not fetched for long; the next call goes on."""
    await store.forget(world.now() - KEPT)
