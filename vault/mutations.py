"""Step 4 of writes that other processes of the agent run: the one who owns the store commits them.

He does so for all that came together in one transaction, in the thread that they came to.

    worker: steps 1, 2, 3 → `Decided` → `Mutations` → worker: steps 5, 6
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, Self, TypeAlias

import trio
from msgspec import Struct
from msgspec.structs import replace

from actors import Failure
from vault.errors import VaultError
from vault.handlers.handler import Call
from vault.handlers.secrets import SecretHandlers, check_existence_unchanged
from vault.handlers.stores import SecretTx
from vault.model.identity import ANONYMOUS
from vault.model.operation import Operation, Origin, SecretFacts
from vault.model.path import ResourcePath
from vault.model.payloads import WriteSecret
from vault.model.results import SecretWritten
from vault.operations import WRITE_SECRET
from vault.pipeline import internal_error
from vault.store.committer import NO_DEADLINE, commit_timeout_error

WRITE: Final = "secret.write"
"""The one operation that is done so: it is what comes by the thousand."""

_ORIGIN: Final = Origin(ip="")  # for steps 1 to 3 and 5, which are the worker's

End: TypeAlias = SecretWritten | VaultError


class Decided(Struct, frozen=True, array_like=True):
    """A write whose intent is on record: what step 4 needs of it."""

    request_id: str
    path: str
    payload: WriteSecret
    writer: str  # the caller's name
    facts: SecretFacts
    decisive: bool

    def __repr__(self) -> str:
        return f"Decided(request_id={self.request_id!r})"

    @classmethod
    def of(cls, call: Call[WriteSecret]) -> Self:
        """What is sent of an operation."""
        op = call.op
        return cls(
            op.request_id,
            str(op.path),
            call.payload,
            call.identity.name,
            call.facts,
            call.needs_facts,
        )

    def call(self) -> Call[WriteSecret]:
        """The operation again. Raises `ValidationError` when its path is none."""
        op = Operation(
            type=WRITE_SECRET,
            path=ResourcePath.parse(self.path),
            payload=self.payload,
            request_id=self.request_id,
            credential=None,
            origin=_ORIGIN,
        )
        return Call(op, replace(ANONYMOUS, name=self.writer), self.facts, self.decisive)


class Follows(Protocol):
    """`vault.pipeline.SnapshotRefresher`: what is held of mounts and keyring."""

    @property
    def is_stale(self) -> bool:
        """Whether there is anything to `refresh_stale`; from any thread."""
        ...

    async def refresh_stale(self) -> None:
        """Make it current. Raises `VaultError`."""
        ...


class Mutations:
    """Carries out what was decided and recorded elsewhere."""

    def __init__(self, secrets: SecretHandlers, following: Follows) -> None:
        self._writing = secrets.prepare_write
        self._store = secrets.store
        self._following = following
        self._clock = secrets.world.uptime

    async def carry_out(self, decided: Sequence[Decided], until: float = NO_DEADLINE) -> list[End]:
        """What became of each, in order: all in one transaction, where each fails alone.

        Facts that do not hold any more are `changed_meanwhile`, as in `SecretHandlers.write`. What
        is begun is done whole, whoever leaves meanwhile, and in bounded time. What is not begun
        `until` then (`World.uptime`) is not begun, and told so.
        """
        changes = self._changes(decided, until)
        try:
            await self._following.refresh_stale()
            with trio.CancelScope(shield=True):  # uses of the key are counted once it has ended
                results = await self._store.transact_each(changes, max_encryptions=len(changes))
        except Exception as error:  # noqa: BLE001  # as in the pipeline: each is told
            return [_told(one, error) for one in decided]
        return _ends(decided, results)

    def carry_out_here(self, decided: Sequence[Decided], *, until: float) -> list[End] | None:
        """As `carry_out`, in the thread that calls, which may be any; blocks it, without a bound.

        None: nothing of it was done, and `carry_out` may. It has to where what is held is not
        current, where the key's uses have to be reserved, and when the database has failed.
        """
        if self._following.is_stale:
            return None
        changes = self._changes(decided, until)
        try:
            results = self._store.transact_each_in_thread(
                changes, max_encryptions=len(changes), deadline=until
            )
        except Exception as error:  # noqa: BLE001  # as above
            return [_told(one, error) for one in decided]
        return None if results is None else _ends(decided, results)

    def _changes(
        self, decided: Sequence[Decided], until: float
    ) -> list[Callable[[SecretTx], SecretWritten]]:
        return [partial(self._change, one, until) for one in decided]

    def _change(self, decided: Decided, until: float, tx: SecretTx) -> SecretWritten:
        if until < self._clock():
            raise commit_timeout_error()
        call = decided.call()
        if decided.facts.is_guess:  # before anything is refused: who may not know is not told
            check_existence_unchanged(call, tx.get_secret(call.op.path))
        return self._writing(call)(tx)


def _ends(decided: Sequence[Decided], results: Sequence[SecretWritten | Failure]) -> list[End]:
    return [
        _told(one, result.error) if isinstance(result, Failure) else result
        for one, result in zip(decided, results, strict=True)
    ]


def _told(decided: Decided, error: Exception) -> VaultError:
    if isinstance(error, VaultError):
        return error
    return internal_error(decided.request_id, WRITE, error)
